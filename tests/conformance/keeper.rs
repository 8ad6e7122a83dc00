//! The process around a test: gives it a world, watches over it, and judges it.
//!
//! ```text
//! runner (main.rs)      one process, one thread; several tests at a time
//!   keeper              a world; outlives the test, so that nothing is left of it
//!     test              one clause on one subject, in a process group of its own
//!       children        whatever the clause starts
//! ```
//!
//! A clause that is excepted (`exceptions.rs`) runs twice: as it is, and then it must fail,
//! or the exception is not needed any more; and as the exception has it.

use crate::clauses::Body;
use crate::common;
use crate::process::PANICKED;
use crate::subject::Subject;
use crate::world::World;
use crate::{Test, exceptions};
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// After so many seconds something hangs.
const PATIENCE: u32 = 120;

/// The exit code of a test that cannot be tried here.
pub const SKIPPED: c_int = 77;

/// What a clause ends with that cannot be tried here.
struct Skip(String);

/// Leave the clause, with the reason.
pub fn skip(reason: &str) -> ! {
    resume_unwind(Box::new(Skip(reason.to_owned())))
}

/// Try a test; gives the exit code of the keeper: 0, [`SKIPPED`] or another.
pub(crate) fn keep(test: &Test) -> c_int {
    // A keeper whose runner is killed takes that as a signal, and cleans up.
    let signals = [libc::SIGCHLD, libc::SIGTERM];
    // SAFETY: sets are initialised before they are used; the rest touches no memory of ours.
    let set = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signo in signals {
            libc::sigaddset(&mut set, signo);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        set
    };
    let world = World::enter();
    let attempt = |body: Body| {
        let code = attempt(test, body, &set);
        world.clear(test.subject().transport);
        code
    };
    match exceptions::of(test.transport, test.clause.name) {
        None => attempt(test.clause.body),
        Some(exception) => {
            match attempt(test.clause.body) {
                PANICKED => {}
                0 => {
                    println!("the exception is not needed any more: the clause holds");
                    return 1;
                }
                code => return code,
            }
            println!("--- as excepted; what the exception has instead:");
            attempt(exception.instead)
        }
    }
}

/// Run a body in a process of its own.
fn attempt(test: &Test, body: Body, signals: &libc::sigset_t) -> c_int {
    // SAFETY: this process has one thread, so the child may do anything.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    // SAFETY: touches no memory of ours. Both sides do it, since either may be the first.
    unsafe { libc::setpgid(child, if child == 0 { 0 } else { child }) };
    if child == 0 {
        // SAFETY: as above.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::sigprocmask(libc::SIG_UNBLOCK, signals, std::ptr::null_mut());
        }
        let code = perform(test, &test.subject(), body);
        // SAFETY: ends this process without running what belongs to its parent.
        unsafe { libc::_exit(code) }
    }
    let status = watch(child, signals);
    // Children that the test left behind.
    // SAFETY: touches no memory.
    unsafe { libc::kill(-child, libc::SIGKILL) };
    match status {
        None => {
            println!("not finished after {PATIENCE} seconds, or the run was stopped");
            1
        }
        Some(status) if libc::WIFEXITED(status) => libc::WEXITSTATUS(status),
        Some(status) => {
            println!("ended by signal {}", libc::WTERMSIG(status));
            1
        }
    }
}

fn perform(test: &Test, subject: &Subject, body: Body) -> c_int {
    match catch_unwind(AssertUnwindSafe(|| body(subject))) {
        Ok(()) => 0,
        Err(panic) => match panic.downcast::<Skip>() {
            Ok(skip) => {
                common::skip(test.clause.name, &skip.0);
                SKIPPED
            }
            Err(_) => PANICKED,
        },
    }
}

/// The wait status of a child; `None` if the time was over or the runner is gone.
fn watch(child: i32, signals: &libc::sigset_t) -> Option<c_int> {
    // In seconds that we see: a machine that stands still is nobody's fault.
    let mut seconds = 0;
    let mut status = 0;
    loop {
        // SAFETY: writes the status.
        if unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == child {
            return Some(status);
        }
        let second = libc::timespec { tv_sec: 1, tv_nsec: 0 };
        // SAFETY: a whole set and a time.
        match unsafe { libc::sigtimedwait(signals, std::ptr::null_mut(), &second) } {
            -1 => seconds += 1,
            libc::SIGTERM => seconds = PATIENCE,
            _ => {}
        }
        if seconds >= PATIENCE {
            // SAFETY: touches no memory; the second call writes the status.
            unsafe {
                libc::kill(-child, libc::SIGKILL);
                libc::waitpid(child, &mut status, 0);
            }
            return None;
        }
    }
}
