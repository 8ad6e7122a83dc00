//! Waiting for room and for messages, in the kernel and on bells.

use super::world::*;
use crate::skips::skip;
use libc::{O_CREAT, O_RDONLY, O_RDWR};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::deadline::{Clock, Wait};
use mqueue_core::message::{Outgoing, Request, receive, send};
use mqueue_core::queue::{self, Queue};
use mqueue_core::sys::clock;
use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::thread::scope;

pub const LONG: Wait = Wait::For(600_000_000_000);

fn until_ns(clock: Clock) -> Wait {
    Wait::Until(clock, clock::now_ns(clock) + 600_000_000_000)
}

/// Every way to wait without a limit that a test would live to see.
fn waits() -> [Wait; 5] {
    [
        Wait::Unlimited,
        LONG,
        until_ns(Clock::Monotonic),
        until_ns(Clock::Realtime),
        until_ns(Clock::Boottime),
    ]
}

pub fn full(world: &World) -> Removed {
    let queue = make(&world.key());
    queue.set_maxbytes(4).unwrap();
    queue.put(b"full", 0, Wait::Never).unwrap();
    queue
}

fn thread_id() -> c_int {
    // SAFETY: always succeeds.
    unsafe { libc::syscall(libc::SYS_gettid) as c_int }
}

/// Run `waits` in a thread and `ends` when it sleeps; gives what the wait came to.
pub fn while_asleep<T: Send>(waits: impl FnOnce() -> T + Send, ends: impl FnOnce(c_int)) -> T {
    let sleeper = AtomicI32::new(0);
    scope(|threads| {
        let waiter = threads.spawn(|| {
            sleeper.store(thread_id(), SeqCst);
            waits()
        });
        until(|| sleeper.load(SeqCst) != 0);
        until_asleep(sleeper.load(SeqCst));
        ends(sleeper.load(SeqCst));
        waiter.join().unwrap()
    })
}

#[test]
fn a_receive_waits_for_a_message_of_anybody() {
    let world = World::new();
    for wait in waits() {
        let queue = make(&world.key());
        let id = foreign::id_of(queue.name());

        let came =
            while_asleep(|| queue.take(9, wait), |_| queue.put(b"ours", 3, Wait::Never).unwrap());
        assert_eq!(came, Ok((b"ours".to_vec(), 3)), "{wait:?}");

        let came = while_asleep(
            || queue.take(9, wait),
            |_| assert_eq!(foreign::send(id, 32768, b"theirs"), 0),
        );
        assert_eq!(came, Ok((b"theirs".to_vec(), 0)), "{wait:?}");
    }
}

#[test]
fn a_send_waits_for_room_made_by_anybody() {
    let world = World::new();
    for wait in waits() {
        let queue = full(&world);
        let id = foreign::id_of(queue.name());

        let sent = while_asleep(
            || queue.put(b"x", 3, wait),
            |_| drop(queue.take(9, Wait::Never).unwrap()),
        );
        assert_eq!(sent, Ok(()), "{wait:?}");

        queue.put(b"yyy", 0, Wait::Never).unwrap();
        let sent = while_asleep(
            || queue.put(b"z", 1, wait),
            |_| assert!(foreign::receive(id, 0).is_some()),
        );
        assert_eq!(sent, Ok(()), "{wait:?}");

        assert_eq!(errno(queue.put(b"z", 0, Wait::Never)), libc::EAGAIN);
        let sent = while_asleep(|| queue.put(b"z", 1, wait), |_| queue.set_maxbytes(100).unwrap());
        assert_eq!(sent, Ok(()), "{wait:?}");
    }
}

#[test]
fn a_time_that_is_up_is_noticed_and_not_before() {
    let world = World::new();
    let queue = full(&world);
    let empty = make(&world.key());
    for ns in [1, 1_000_000, 20_000_000] {
        for clock in [None, Some(Clock::Monotonic), Some(Clock::Realtime), Some(Clock::Boottime)] {
            let on = clock.unwrap_or(Clock::Monotonic);
            let until = clock::now_ns(on) + ns;
            let wait = clock.map_or(Wait::For(ns), |clock| Wait::Until(clock, until));

            let (errno, sentence) = refused(empty.take(1, wait));
            assert_eq!(errno, libc::ETIMEDOUT, "{wait:?}");
            assert!(sentence.contains("until the time was up"));
            assert!(clock::now_ns(on) >= until);

            let until = clock::now_ns(on) + ns;
            let wait = clock.map_or(Wait::For(ns), |clock| Wait::Until(clock, until));
            assert_eq!(refused(queue.put(b"x", 0, wait)).0, libc::ETIMEDOUT, "{wait:?}");
            assert!(clock::now_ns(on) >= until);
        }
    }
}

#[test]
fn a_call_that_can_proceed_does_however_old_its_deadline() {
    let world = World::new();
    let queue = make(&world.key());
    for clock in [Clock::Monotonic, Clock::Realtime, Clock::Boottime] {
        queue.put(b"x", 0, Wait::Until(clock, 0)).unwrap();
        assert_eq!(queue.take(1, Wait::Until(clock, 0)), Ok((b"x".to_vec(), 0)));
        assert_eq!(errno(queue.take(1, Wait::Until(clock, 0))), libc::ETIMEDOUT);
    }
    queue.put(b"x", 0, Wait::For(1)).unwrap();
    queue.take(1, Wait::For(1)).unwrap();
}

#[test]
fn a_wait_ends_when_the_queue_is_removed() {
    let world = World::new();
    for wait in waits() {
        for by_us in [true, false] {
            let remove = |queue: &Removed| {
                if by_us {
                    queue::unlink(queue.name()).unwrap();
                } else {
                    foreign::remove(foreign::id_of(queue.name()));
                }
            };
            let queue = make(&world.key());
            let came = while_asleep(|| queue.take(9, wait), |_| remove(&queue));
            assert_eq!(errno(came), libc::EIDRM, "{wait:?}");
            assert_eq!(errno(queue.take(9, wait)), libc::EIDRM);

            let queue = full(&world);
            let sent = while_asleep(|| queue.put(b"x", 0, wait), |_| remove(&queue));
            assert_eq!(errno(sent), libc::EIDRM, "{wait:?}");
            assert_eq!(errno(queue.put(b"x", 0, wait)), libc::EIDRM);
        }
    }
}

#[test]
fn a_queue_that_shrinks_ends_the_timed_wait_of_what_no_longer_fits() {
    let world = World::new();
    let queue = full(&world);

    let sent = while_asleep(
        || refused(queue.put(b"1234", 0, LONG)),
        |_| foreign::set_bytes(foreign::id_of(queue.name()), 3),
    );

    assert_eq!(sent.0, libc::EMSGSIZE);
    assert!(sent.1.contains("the queue holds 3"), "{}", sent.1);
}

#[test]
fn a_message_too_long_for_the_one_who_waits_stays() {
    let world = World::new();
    for wait in waits() {
        let queue = make(&world.key());

        let came =
            while_asleep(|| queue.take(3, wait), |_| queue.put(b"four", 0, Wait::Never).unwrap());

        assert_eq!(errno(came), libc::EMSGSIZE);
        assert_eq!(queue.attr().unwrap().curmsgs, 1);
    }
}

#[test]
fn a_long_message_comes_to_one_who_waits_with_a_large_buffer() {
    let Some(world) = World::of_our_own("long-while-waiting") else { return };
    std::fs::write("/proc/sys/kernel/msgmax", "60000").unwrap();
    std::fs::write("/proc/sys/kernel/msgmnb", "60000").unwrap();
    let message = vec![0x5a; 50_000];
    for wait in waits() {
        let queue = make(&world.key());

        let came = while_asleep(
            || queue.take(60_000, wait),
            |_| queue.put(&message, 0, Wait::Never).unwrap(),
        );

        assert!(came == Ok((message.clone(), 0)));
    }
}

extern "C" fn handler(_: c_int) {}

/// Let SIGUSR1 run a handler that does nothing.
fn handle_signals(flags: c_int) {
    // SAFETY: a valid action; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(c_int) as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

/// Interrupt a process, again and again, until it is gone.
fn interrupt(child: Child) -> i32 {
    until_asleep(child.pid());
    loop {
        // SAFETY: touches no memory but one siginfo.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::kill(child.pid(), libc::SIGUSR1);
            let how = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
            libc::waitid(libc::P_PID, child.pid() as u32, &mut info, how);
            if info.si_pid() != 0 {
                return child.end();
            }
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_handler_ends_a_wait() {
    let world = World::new();
    for wait in waits() {
        let empty = make(&world.key());
        let full = full(&world);
        let fate = interrupt(process(|| {
            handle_signals(0);
            errno(empty.take(1, wait)) == libc::EINTR
        }));
        assert_eq!(fate, 0, "{wait:?}");
        let fate = interrupt(process(|| {
            handle_signals(0);
            errno(full.put(b"x", 0, wait)) == libc::EINTR
        }));
        assert_eq!(fate, 0, "{wait:?}");
    }
}

#[test]
fn under_sa_restart_a_wait_goes_on() {
    let world = World::new();
    // SAFETY: no words at all, which is refused; or there is no such call.
    let waitv =
        unsafe { libc::syscall(449, std::ptr::null::<u8>(), 0, 0, std::ptr::null::<u8>(), 0) };
    assert!(waitv < 0);
    if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
        return skip("sysv-sa-restart", "no futex_waitv");
    }
    for wait in waits() {
        let queue = make(&world.key());
        let child = process(|| {
            handle_signals(libc::SA_RESTART);
            queue.take(9, wait) == Ok((b"x".to_vec(), 0))
        });
        disturb(child.pid());
        queue.put(b"x", 0, Wait::Never).unwrap();
        assert_eq!(child.end(), 0, "{wait:?}");
    }
}

/// Send so many signals to a process that sleeps.
fn disturb(pid: c_int) {
    for _ in 0..5 {
        until_asleep(pid);
        // SAFETY: touches no memory.
        unsafe { libc::kill(pid, libc::SIGUSR1) };
    }
    until_asleep(pid);
}

#[test]
fn a_handle_with_restart_goes_on_after_a_signal_handler() {
    let world = World::new();
    let options = OpenOptions { flags: option::RESTART, ..OpenOptions::default() };
    for wait in waits() {
        let key = world.key();
        let queue = Removed(Queue::open(Some(&key), O_CREAT | O_RDWR, &options).unwrap());
        let child = process(|| {
            handle_signals(0);
            queue.take(9, wait) == Ok((b"x".to_vec(), 0))
        });
        disturb(child.pid());
        queue.put(b"x", 0, Wait::Never).unwrap();
        assert_eq!(child.end(), 0, "{wait:?}");
    }
    let key = world.key();
    let queue = Removed(Queue::open(Some(&key), O_CREAT | O_RDWR, &options).unwrap());
    let child = process(|| {
        handle_signals(0);
        let until = clock::monotonic_ns() + 50_000_000;
        errno(queue.take(9, Wait::For(50_000_000))) == libc::ETIMEDOUT
            && clock::monotonic_ns() >= until
    });
    interrupt(child);
}

#[test]
fn who_waits_is_served_in_any_number() {
    let world = World::new();
    let queue = make(&world.key());
    queue.set_maxbytes(8).unwrap();
    let work = |wait: Wait| {
        let queue = &queue;
        (
            move || (0..100).all(|_| queue.put(b"1234", 1, wait).is_ok()),
            move || (0..100).all(|_| queue.take(4, wait).is_ok()),
        )
    };
    let children: Vec<_> = [LONG, Wait::Unlimited, LONG, until_ns(Clock::Realtime)]
        .into_iter()
        .flat_map(|wait| {
            let (sender, receiver) = work(wait);
            [process(sender), process(receiver)]
        })
        .collect();

    for child in children {
        assert_eq!(child.end(), 0);
    }
    assert_eq!(queue.attr().unwrap().curmsgs, 0);
}

#[test]
fn a_timed_receive_of_one_type_leaves_others_to_those_who_want_them() {
    let world = World::new();
    let queue = make(&world.key());
    let of_type = |kind: i64| {
        let mut byte = 0u8;
        let request = Request {
            data: &raw mut byte,
            cap: 1,
            kind,
            prio: 0,
            sequence: 0,
            flags: receive::TYPE,
        };
        // SAFETY: room for one byte.
        unsafe { queue.receive_message(&request, LONG) }.unwrap();
        byte
    };
    scope(|threads| {
        let waiters: Vec<_> =
            (1..=6).map(|kind| threads.spawn(move || (kind, of_type(kind)))).collect();
        for kind in [6, 3, 1, 2, 5, 4] {
            let data = [kind as u8];
            let message =
                Outgoing { data: data.as_ptr(), len: 1, prio: 0, kind, flags: send::TYPE };
            // SAFETY: one byte to read.
            unsafe { queue.send_message(&message, Wait::Never) }.unwrap();
        }
        for waiter in waiters {
            let (kind, byte) = waiter.join().unwrap();
            assert_eq!(i64::from(byte), kind);
        }
    });
}

#[test]
fn a_read_only_handle_waits_too() {
    let world = World::new();
    let key = world.key();
    let queue = make(&key);
    let receiver = open(&key, O_RDONLY).unwrap();

    let came =
        while_asleep(|| receiver.take(1, LONG), |_| queue.put(b"x", 0, Wait::Never).unwrap());

    assert!(came.is_ok());
}
