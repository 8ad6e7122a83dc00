//! Threads of the library.

use crate::error::{Errno, Result};
use core::ffi::{c_int, c_void};

/// This thread's number in the system.
pub fn id() -> u32 {
    // SAFETY: always succeeds.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// While it lives, this thread is not cancelled.
///
/// No function of the library is a point at which pthread_cancel takes effect, but several of
/// the C library's are: to open, close, read and write files, and to ask for random bytes. A
/// cancellation that is pending takes effect at the program's own next such point.
///
/// Source: pthreads(7), "Cancellation points"; pthread_setcancelstate(3).
pub struct Uncancelled {
    #[cfg(not(miri))]
    before: c_int,
}

#[cfg(not(miri))]
unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

impl Uncancelled {
    /// From now on.
    #[cfg(not(miri))]
    pub fn begin() -> Uncancelled {
        /// The same in every C library of Linux.
        const PTHREAD_CANCEL_DISABLE: c_int = 1;
        let mut before = 0;
        // SAFETY: writes the state before; such a state is always accepted.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut before) };
        Uncancelled { before }
    }

    /// Miri cancels no threads.
    #[cfg(miri)]
    pub fn begin() -> Uncancelled {
        Uncancelled {}
    }
}

#[cfg(not(miri))]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        // SAFETY: a state that pthread_setcancelstate gave; null is allowed.
        unsafe { pthread_setcancelstate(self.before, core::ptr::null_mut()) };
    }
}

/// While it lives, no signal handler runs in this thread.
pub struct Unsignalled {
    before: libc::sigset_t,
}

impl Unsignalled {
    /// From now on.
    pub fn begin() -> Unsignalled {
        // SAFETY: both sets are this function's; a full one is always accepted.
        unsafe {
            let mut all: libc::sigset_t = core::mem::zeroed();
            let mut before: libc::sigset_t = core::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Unsignalled { before }
        }
    }
}

impl Drop for Unsignalled {
    fn drop(&mut self) {
        // SAFETY: a mask that the thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, core::ptr::null_mut()) };
    }
}

/// Sleep so many nanoseconds, or less if a signal handler runs.
pub fn sleep(ns: i64) {
    // libc's functions are cancellation points. Nothing is waited for but time.
    let _ = super::poll::wait(&mut [], ns);
}

/// Start a detached thread with all signals blocked.
pub fn spawn_without_signals(run: extern "C" fn(*mut c_void) -> *mut c_void) -> Result<()> {
    let _unsignalled = Unsignalled::begin();
    // SAFETY: `thread` is written by the call; `run` needs no argument.
    unsafe {
        let mut thread: libc::pthread_t = core::mem::zeroed();
        let error =
            libc::pthread_create(&mut thread, core::ptr::null(), run, core::ptr::null_mut());
        if error != 0 {
            return Err(Errno(error));
        }
        libc::pthread_setname_np(thread, c"mqrs-notify".as_ptr());
        libc::pthread_detach(thread);
    }
    Ok(())
}
