//! Signal handlers that run while a call waits.

use super::{Clause, clauses};
use crate::process::{Child, block_signal, handle, spawn, wait_until, wait_until_asleep};
use crate::subject::{MS, Queue, Subject, Wait, long_waits, now};
use libc::{CLOCK_MONOTONIC, O_RDWR, SA_RESTART, SIGUSR1, c_int};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;

pub const CLAUSES: &[Clause] = clauses![All:
    a_handler_ends_a_receive_that_waits,
    a_handler_ends_a_send_that_waits,
    a_receive_goes_on_after_a_handler_with_sa_restart,
    a_send_goes_on_after_a_handler_with_sa_restart,
    a_handle_with_opt_restart_goes_on_after_any_handler,
    a_wait_that_goes_on_ends_at_the_same_time,
    a_signal_that_is_blocked_or_ignored_ends_no_waiting,
];

/// How often the handler ran in this process.
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

/// Count a signal by a handler of these flags.
pub fn count_signal(signo: c_int, flags: c_int) {
    handle(signo, flags, count);
}

fn pid() -> i32 {
    // SAFETY: always succeeds.
    unsafe { libc::getpid() }
}

fn interrupt(pid: i32) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::kill(pid, SIGUSR1) }, 0);
}

/// A process that sends this one a signal whenever it sleeps in a call, until it is killed.
/// (One signal might come while the call looks at its queue, and go unnoticed.)
pub fn interrupter() -> Child {
    let parent = pid();
    spawn(move || {
        loop {
            wait_until_asleep(parent);
            interrupt(parent);
        }
    })
}

/// A process that does so `times` times, each of which is noticed by the handler, and then
/// does `at_last`.
fn interrupter_and_then(times: u32, at_last: impl FnOnce()) -> Child {
    let parent = pid();
    spawn(move || {
        for _ in 0..times {
            wait_until_asleep(parent);
            interrupt(parent);
        }
        wait_until_asleep(parent);
        at_last();
    })
}

/// A queue in which nobody can send.
pub fn full(s: &Subject) -> Queue {
    let (_, queue) = s.create(2, 16);
    queue.fill(16);
    queue
}

fn a_handler_ends_a_receive_that_waits(s: &Subject) {
    count_signal(SIGUSR1, 0);
    let queue = s.queue();

    for wait in long_waits() {
        HANDLED.store(0, SeqCst);
        let other = interrupter();

        s.fails(libc::EINTR, queue.take_by(wait));

        other.kill();
        assert!(HANDLED.load(SeqCst) > 0);
    }
}

fn a_handler_ends_a_send_that_waits(s: &Subject) {
    count_signal(SIGUSR1, 0);
    let queue = full(s);

    for wait in long_waits() {
        HANDLED.store(0, SeqCst);
        let other = interrupter();

        s.fails(libc::EINTR, queue.send(&[0; 16], 1, wait));

        other.kill();
        assert!(HANDLED.load(SeqCst) > 0);
    }
    assert_eq!(queue.drain(), 2);
}

fn a_receive_goes_on_after_a_handler_with_sa_restart(s: &Subject) {
    count_signal(SIGUSR1, SA_RESTART);
    let queue = s.queue();

    for wait in long_waits() {
        HANDLED.store(0, SeqCst);
        let other = interrupter_and_then(2, || queue.put("at last", 0));

        assert_eq!(queue.take_by(wait), Ok((b"at last".to_vec(), 0)));

        other.join();
        assert_eq!(HANDLED.load(SeqCst), 2);
    }
}

fn a_send_goes_on_after_a_handler_with_sa_restart(s: &Subject) {
    count_signal(SIGUSR1, SA_RESTART);

    for wait in long_waits() {
        let queue = full(s);
        HANDLED.store(0, SeqCst);
        let other = interrupter_and_then(2, || drop(queue.take()));

        assert_eq!(queue.send(&[0; 16], 1, wait), Ok(()));

        other.join();
        assert_eq!(HANDLED.load(SeqCst), 2);
    }
}

fn a_handle_with_opt_restart_goes_on_after_any_handler(s: &Subject) {
    count_signal(SIGUSR1, 0);
    let (address, queue) = s.create(2, 16);
    let options = OpenOptions { flags: option::RESTART, ..OpenOptions::default() };
    let restarting = s.open_with(&address, O_RDWR, &options).expect("a handle");

    for wait in long_waits() {
        HANDLED.store(0, SeqCst);
        let other = interrupter_and_then(2, || queue.put("at last", 0));
        assert_eq!(restarting.take_by(wait), Ok((b"at last".to_vec(), 0)));
        other.join();

        queue.fill(16);
        let other = interrupter_and_then(2, || drop(queue.take()));
        assert_eq!(restarting.send(&[0; 16], 1, wait), Ok(()));
        other.join();

        queue.drain();
        assert_eq!(HANDLED.load(SeqCst), 4);
    }
}

fn a_wait_that_goes_on_ends_at_the_same_time(s: &Subject) {
    count_signal(SIGUSR1, 0);
    let options = OpenOptions { flags: option::RESTART, ..OpenOptions::default() };
    let (_, queue) = s.create_with(&options);

    let begin = now(CLOCK_MONOTONIC);
    // A wait that began anew each time would never end.
    let other = interrupter();

    s.fails(libc::ETIMEDOUT, queue.take_by(Wait::For(60 * MS)));
    s.fails(libc::ETIMEDOUT, queue.take_by(Wait::Until(CLOCK_MONOTONIC, begin + 120 * MS)));

    other.kill();
    assert!(now(CLOCK_MONOTONIC) - begin >= 120 * MS);
    assert!(HANDLED.load(SeqCst) > 0);
}

fn a_signal_that_is_blocked_or_ignored_ends_no_waiting(s: &Subject) {
    let queue = s.queue();
    // SAFETY: no handler at all.
    unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
    block_signal(SIGUSR1);
    let parent = pid();
    let other = interrupter_and_then(1, || {
        // SAFETY: touches no memory.
        unsafe { libc::kill(parent, libc::SIGUSR2) };
        wait_until_asleep(parent);
        queue.put("undisturbed", 0);
    });

    assert_eq!(queue.take_by(Wait::Plain), Ok((b"undisturbed".to_vec(), 0)));

    other.join();
    wait_until(|| crate::process::pending_signal(SIGUSR1).is_some());
}
