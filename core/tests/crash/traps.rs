//! Signals that a process sends itself at a step; one now, and others for when it goes on.

use mqueue_core::fault::{Step, arm};

/// A signal at a step.
#[derive(Clone, Copy)]
pub struct Trap {
    pub step: Option<Step>,
    pub nth: u64,
    pub signal: i32,
}

impl Trap {
    pub fn set(self) {
        arm(self.step, self.nth, self.signal);
    }
}

/// What is set whenever the process is continued, the last first.
static mut LATER: Vec<Trap> = Vec::new();

extern "C" fn continued(_: i32) {
    let later = &raw mut LATER;
    // SAFETY: written before the handler was installed; one thread. Nothing is freed here.
    if let Some(trap) = unsafe { (*later).pop() } {
        trap.set();
    }
}

/// Set the first trap, and after each stop the next one.
pub fn set_traps(traps: &[Trap]) {
    let Some((first, later)) = traps.split_first() else { return };
    if !later.is_empty() {
        // SAFETY: one thread; the handler takes from the list and stores to atomics.
        unsafe {
            LATER = later.iter().rev().copied().collect();
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = continued as extern "C" fn(i32) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGCONT, &action, std::ptr::null_mut());
        }
    }
    first.set();
}
