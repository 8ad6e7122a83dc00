//! Notification by callback: what it may do, and when it runs no more.

use super::{Clause, clauses};
use crate::process::{wait_until, wait_until_asleep};
use crate::subject::{Handle, Subject};
use libc::{SIGRTMIN, SIGUSR1};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;
use std::ffi::c_void;

pub const CLAUSES: &[Clause] = clauses![All:
    a_callback_runs_with_its_argument,
    a_callback_may_register_again,
    no_callback_runs_after_it_was_cancelled,
    a_callback_runs_with_all_signals_blocked,
    a_callback_may_cancel_and_register_and_cancel,
    closing_waits_for_the_callback_that_runs,
];

/// What a callback of these tests is given.
struct Called {
    count: AtomicU32,
    /// Register again, with this handle, that many times.
    again: Option<(*const dyn Handle, u32)>,
}

impl Called {
    fn count(&self) -> u32 {
        self.count.load(SeqCst)
    }

    fn as_user(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }
}

unsafe extern "C" fn called(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clauses give a `Called`, and its handle is open.
    let called = unsafe { &*user.cast::<Called>() };
    if let Some((handle, times)) = called.again {
        if called.count() < times {
            // SAFETY: as above.
            unsafe { &*handle }.notify_callback(self::called, user).expect("a registration");
        }
    }
    called.count.fetch_add(1, SeqCst);
}

fn a_callback_runs_with_its_argument(s: &Subject) {
    let queue = s.queue();
    let user = Called { count: AtomicU32::new(0), again: None };

    assert_eq!(queue.notify_callback(called, user.as_user()), Ok(()));
    queue.put("for the callback", 0);
    wait_until(|| user.count() == 1);

    // Once and no more.
    queue.drain();
    queue.put("for nobody", 0);
    assert_eq!(queue.notify_cancel(), Ok(()));
    assert_eq!(user.count(), 1);
}

fn a_callback_may_register_again(s: &Subject) {
    let queue = s.queue();
    let user = Called { count: AtomicU32::new(0), again: Some((&raw const *queue, 4)) };

    queue.notify_callback(called, user.as_user()).expect("a registration");
    for round in 1..=5 {
        queue.put("again", 0);
        wait_until(|| user.count() == round);
        queue.drain();
    }

    assert_eq!(queue.notify_signal(0, 0), Ok(()), "it did not register after the fifth");
}

fn no_callback_runs_after_it_was_cancelled(s: &Subject) {
    let queue = s.queue();

    for _ in 0..50 {
        let user = Called { count: AtomicU32::new(0), again: None };
        queue.notify_callback(called, user.as_user()).expect("a registration");
        queue.put("at the last moment", 0);
        assert_eq!(queue.notify_cancel(), Ok(()));

        // From here on `user` may be freed.
        let count = user.count();
        assert!(count <= 1);
        queue.drain();
        queue.put("too late", 0);
        queue.drain();
        assert_eq!(user.count(), count);
    }
}

unsafe extern "C" fn look_at_mask(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clause gives an atomic; the set is written before it is read.
    let (seen, is_blocked) = unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        let is_blocked = |signo| libc::sigismember(&set, signo) == 1;
        let signals = [libc::SIGTERM, libc::SIGCHLD, SIGUSR1, SIGRTMIN() + 1];
        (&*user.cast::<AtomicU32>(), signals.into_iter().all(is_blocked))
    };
    seen.store(if is_blocked { 1 } else { 2 }, SeqCst);
}

fn a_callback_runs_with_all_signals_blocked(s: &Subject) {
    let queue = s.queue();
    let seen = AtomicU32::new(0);

    queue.notify_callback(look_at_mask, (&raw const seen).cast_mut().cast()).expect("registered");
    queue.put("x", 0);

    wait_until(|| seen.load(SeqCst) != 0);
    assert_eq!(seen.load(SeqCst), 1);
}

unsafe extern "C" fn cancel_inside(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clauses give a `Called`, and its handle is open.
    let called = unsafe { &*user.cast::<Called>() };
    let (handle, _) = called.again.expect("a handle");
    // SAFETY: as above.
    let handle = unsafe { &*handle };
    assert_eq!(handle.notify_cancel(), Ok(()));
    assert_eq!(handle.notify_signal(0, 0), Ok(()));
    assert_eq!(handle.notify_cancel(), Ok(()));
    called.count.fetch_add(1, SeqCst);
}

fn a_callback_may_cancel_and_register_and_cancel(s: &Subject) {
    let queue = s.queue();
    let user = Called { count: AtomicU32::new(0), again: Some((&raw const *queue, 0)) };

    queue.notify_callback(cancel_inside, user.as_user()).expect("a registration");
    queue.put("x", 0);
    wait_until(|| user.count() == 1);

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
}

unsafe extern "C" fn run_until_told(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clause gives this.
    let [entered, leave, left] = unsafe { &*user.cast::<[AtomicU32; 3]>() };
    entered.store(1, SeqCst);
    wait_until(|| leave.load(SeqCst) == 1);
    left.store(1, SeqCst);
}

fn closing_waits_for_the_callback_that_runs(s: &Subject) {
    let queue = s.queue();
    let steps = [(); 3].map(|()| AtomicU32::new(0));
    let [entered, leave, left] = &steps;
    queue
        .notify_callback(run_until_told, (&raw const steps).cast_mut().cast())
        .expect("registered");
    queue.put("x", 0);
    wait_until(|| entered.load(SeqCst) == 1);
    let closer = AtomicU32::new(0);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: always succeeds.
            closer.store(unsafe { libc::gettid() } as u32, SeqCst);
            drop(queue);
            assert_eq!(left.load(SeqCst), 1, "closed while the callback ran");
        });
        wait_until(|| closer.load(SeqCst) != 0);
        wait_until_asleep(closer.load(SeqCst) as i32);
        leave.store(1, SeqCst);
    });
}
