//! Threads of the library.

use crate::error::{Errno, Result};
use core::ffi::c_void;

/// This thread's number in the system.
pub fn id() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Start a detached thread with all signals blocked.
pub fn spawn_without_signals(run: extern "C" fn(*mut c_void) -> *mut c_void) -> Result<()> {
    // SAFETY: sets and thread attributes are initialised before they are used; the mask of
    // this thread is restored. `run` needs no argument.
    unsafe {
        let mut all: libc::sigset_t = core::mem::zeroed();
        let mut before: libc::sigset_t = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let mut thread: libc::pthread_t = core::mem::zeroed();
        let error =
            libc::pthread_create(&mut thread, core::ptr::null(), run, core::ptr::null_mut());
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut());
        if error != 0 {
            return Err(Errno(error));
        }
        libc::pthread_setname_np(thread, c"mqrs-notify".as_ptr());
        libc::pthread_detach(thread);
    }
    Ok(())
}
