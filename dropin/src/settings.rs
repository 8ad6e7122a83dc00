//! What the environment says, read once. A set-user-ID program hears nothing of it.

use mqueue_core::sys::process;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// The variables beside MQRS_DIR, which the core reads.
pub struct Settings {
    /// MQRS_DROPIN_QUEUES: only names that match are ours (glob(7)); all if there is none.
    pattern: Option<CString>,
    /// MQRS_DROPIN_LIMITS=kernel: queues are limited as the kernel's are.
    pub has_kernel_limits: bool,
    /// MQRS_DROPIN_SYSV=1: System V's calls are ours, too.
    pub has_sysv: bool,
    /// MQRS_DROPIN_TRACE=1: tell of opens, and of all calls at exit.
    pub is_traced: bool,
}

impl Settings {
    /// Those of this process.
    pub fn get() -> &'static Settings {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        SETTINGS.get_or_init(|| Settings {
            pattern: process::with_environment(c"MQRS_DROPIN_QUEUES", CStr::to_owned),
            has_kernel_limits: is(c"MQRS_DROPIN_LIMITS", c"kernel"),
            has_sysv: is(c"MQRS_DROPIN_SYSV", c"1"),
            is_traced: is(c"MQRS_DROPIN_TRACE", c"1"),
        })
    }

    /// Whether a queue of this name is ours.
    pub fn is_ours(&self, name: &CStr) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        // SAFETY: two C strings.
        unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), 0) == 0 }
    }
}

fn is(name: &CStr, wanted: &CStr) -> bool {
    process::with_environment(name, |value| value == wanted).unwrap_or(false)
}
