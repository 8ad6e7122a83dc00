//! Signals that a process sends itself at a step; one now, and one for when it goes on.

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

/// What is set when the process is continued.
static mut NEXT_TRAP: Option<Trap> = None;

extern "C" fn continued(_: i32) {
    // SAFETY: written before the handler was installed; one thread.
    unsafe {
        if let Some(trap) = NEXT_TRAP {
            trap.set();
        }
        NEXT_TRAP = None;
    }
}

/// Set a trap, and another for the time after a stop.
pub fn set_traps(first: Trap, next: Option<Trap>) {
    if next.is_some() {
        // SAFETY: one thread; the handler stores to atomics only.
        unsafe {
            NEXT_TRAP = next;
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = continued as extern "C" fn(i32) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGCONT, &action, std::ptr::null_mut());
        }
    }
    first.set();
}
