//! Handles in forked children, and traffic between many processes.

use super::{Clause, clauses};
use crate::process::{Child, Shared, spawn, wait_until};
use crate::subject::{MS, NOWAIT, Result, Subject, Wait};
use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;

pub const CLAUSES: &[Clause] = clauses![All:
    a_child_uses_an_inherited_handle_at_once,
    a_child_of_a_child_uses_it_too,
    a_child_that_the_c_library_does_not_know_uses_it_too,
    messages_touch_no_threads_signals_or_timers,
    a_pending_cancellation_ends_no_call,
    a_handle_that_a_child_closes_stays_its_parents,
    a_handle_that_its_parent_closes_stays_the_childs,
    nonblocking_is_each_processs_own,
    a_child_forked_while_others_wait_uses_the_handle,
    many_writers_and_readers_pass_each_message_once_and_in_order,
    threads_share_one_handle,
    a_process_may_have_many_handles,
    more_messages_than_the_queue_holds_pass_through_it,
    a_killed_process_takes_no_message_with_it_that_it_has_sent,
];

fn a_child_uses_an_inherited_handle_at_once(s: &Subject) {
    let queue = s.queue();
    queue.put("down", 1);

    spawn(|| {
        assert_eq!(queue.take(), (b"down".to_vec(), 1));
        queue.put("up", 2);
    })
    .join();

    assert_eq!(queue.take(), (b"up".to_vec(), 2));
}

fn a_child_of_a_child_uses_it_too(s: &Subject) {
    let queue = s.queue();

    spawn(|| spawn(|| queue.put("from far below", 3)).join()).join();

    assert_eq!(queue.take(), (b"from far below".to_vec(), 3));
}

fn a_child_that_the_c_library_does_not_know_uses_it_too(s: &Subject) {
    let queue = s.queue();
    queue.put("down", 0);

    // SAFETY: a process as of fork, without the handlers of pthread_atfork.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32;
    if child == 0 {
        let is_done = queue.take_short(NOWAIT) == Ok((b"down".to_vec(), 0))
            && queue.send(b"up", 0, NOWAIT) == Ok(());
        // SAFETY: ends the child.
        unsafe { libc::_exit(if is_done { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: writes the status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);

    assert_eq!(status, 0);
    assert_eq!(queue.take().0, b"up");
}

fn messages_touch_no_threads_signals_or_timers(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let state = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("a status");
        let kept = ["Threads:", "SigBlk:", "SigIgn:", "SigCgt:"];
        let is_kept = |line: &&str| kept.iter().any(|word| line.starts_with(word));
        let lines: Vec<_> = status.lines().filter(is_kept).map(str::to_owned).collect();
        // A kernel may be built without it.
        (lines, std::fs::read_to_string("/proc/self/timers").unwrap_or_default())
    };
    let before = state();

    for wait in [NOWAIT, Wait::For(MS), Wait::Until(libc::CLOCK_REALTIME, 0)] {
        assert!(queue.take_by(wait).is_err());
        queue.fill(16);
        assert!(queue.send(&[0; 16], 0, wait).is_err());
        queue.drain();
    }

    assert_eq!(state(), before);
}

fn a_pending_cancellation_ends_no_call(s: &Subject) {
    let address = s.address();

    spawn(|| {
        // SAFETY: this thread ends with the process, before anything acts on it.
        assert_eq!(unsafe { libc::pthread_cancel(libc::pthread_self()) }, 0);
        let is_alive = || -> Result<()> {
            let queue = s.open(&address, O_CREAT | O_RDWR)?;
            queue.send(b"x", 0, Wait::Plain)?;
            queue.take_by(Wait::For(MS))?;
            assert_eq!(queue.take_by(Wait::For(MS)), Err(libc::ETIMEDOUT));
            queue.attr()?;
            queue.set_owner(0o600, u32::MAX, u32::MAX)?;
            // Not every transport can do these.
            let _ = queue.dup_fd();
            let _ = queue.notify_signal(0, 0);
            queue.notify_cancel()?;
            drop(queue);
            s.language.list(0)?;
            s.language.limits(s.transport.number())?;
            s.fails(libc::ENOENT, s.open(&s.address(), O_RDWR));
            s.language.unlink(&address)
        }();
        // SAFETY: ends the process.
        unsafe { libc::_exit(if is_alive.is_ok() { 0 } else { 1 }) };
    })
    .join();
}

fn a_handle_that_a_child_closes_stays_its_parents(s: &Subject) {
    let mut queue = Some(s.queue());

    spawn(|| drop(queue.take())).join();

    let queue = queue.expect("the parent's");
    queue.put("still open", 0);
    assert_eq!(queue.take().0, b"still open");
}

fn a_handle_that_its_parent_closes_stays_the_childs(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let is_closed = Shared::<AtomicU32>::new();

    let child = spawn(|| {
        wait_until(|| is_closed.load(SeqCst) == 1);
        queue.put("still open", 0);
    });
    drop(queue);
    is_closed.store(1, SeqCst);

    child.join();
    assert_eq!(s.another(&address, O_RDONLY).take().0, b"still open");
}

fn nonblocking_is_each_processs_own(s: &Subject) {
    let queue = s.queue();

    spawn(|| {
        queue.set_nonblock(true).expect("a switch");
        s.fails(libc::EAGAIN, queue.take_by(Wait::Plain));
    })
    .join();
    s.fails(libc::ETIMEDOUT, queue.take_by(Wait::For(MS)));

    queue.set_nonblock(true).expect("a switch");
    spawn(|| s.fails(libc::EAGAIN, queue.take_by(Wait::Plain))).join();
}

fn a_child_forked_while_others_wait_uses_the_handle(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    let number = AtomicU32::new(0);

    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            // SAFETY: always succeeds.
            number.store(unsafe { libc::gettid() } as u32, SeqCst);
            queue.take_by(Wait::Plain)
        });
        wait_until(|| number.load(SeqCst) != 0);
        crate::process::wait_until_asleep(number.load(SeqCst) as i32);

        // Other threads may hold locks of the C library now: a child may do little.
        // SAFETY: a child that calls the library and ends.
        unsafe {
            match libc::fork() {
                0 => libc::_exit(queue.send(b"from a child", 1, NOWAIT).map_or(1, |()| 0)),
                child => {
                    let mut status = -1;
                    assert_eq!(libc::waitpid(child, &mut status, 0), child);
                    assert_eq!(status, 0);
                }
            }
        }

        let received = receiver.join().expect("no panic");
        assert_eq!(received, Ok((b"from a child".to_vec(), 1)));
    });
}

fn many_writers_and_readers_pass_each_message_once_and_in_order(s: &Subject) {
    const WRITERS: usize = 3;
    const EACH: u32 = 200;
    let (address, queue) = s.create(4, 8);
    let seen = Shared::<[[AtomicU32; EACH as usize]; WRITERS]>::new();

    let readers: Vec<_> = (0..2)
        .map(|_| {
            spawn(|| {
                let queue = s.another(&address, O_RDONLY);
                let mut latest = [0; WRITERS];
                loop {
                    let (message, _) = queue.take_by(Wait::Plain).expect("a message");
                    let [writer, number] = parse(&message);
                    if writer as usize == WRITERS {
                        return;
                    }
                    // All of one priority: what one reader gets of a writer is in order.
                    assert!(number >= latest[writer as usize], "overtaken");
                    latest[writer as usize] = number;
                    seen[writer as usize][number as usize].fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS as u32)
        .map(|writer| {
            let (s, address) = (&s, &address);
            spawn(move || {
                let queue = s.another(address, O_WRONLY);
                for number in 0..EACH {
                    queue.send(&compose(writer, number), 0, Wait::Plain).expect("room");
                }
            })
        })
        .collect();
    writers.into_iter().for_each(Child::join);
    for _ in 0..readers.len() {
        queue.send(&compose(WRITERS as u32, 0), 0, Wait::Plain).expect("room");
    }
    readers.into_iter().for_each(Child::join);

    let is_once = |count: &AtomicU32| count.load(SeqCst) == 1;
    assert!(seen.iter().flatten().all(is_once), "a message was lost, or came twice");
    assert_eq!(queue.curmsgs(), 0);
}

fn threads_share_one_handle(s: &Subject) {
    const THREADS: u32 = 4;
    const EACH: u32 = 100;
    let (_, queue) = s.create(4, 8);
    let seen = [(); (THREADS * EACH) as usize].map(|()| AtomicU32::new(0));

    std::thread::scope(|scope| {
        let queue = &queue;
        for thread in 0..THREADS {
            scope.spawn(move || {
                for number in 0..EACH {
                    let message = compose(thread, number);
                    assert_eq!(queue.send(&message, number % 3, Wait::Plain), Ok(()));
                }
            });
            scope.spawn(|| {
                for _ in 0..EACH {
                    let (message, prio) = queue.take_by(Wait::Plain).expect("a message");
                    let [thread, number] = parse(&message);
                    assert_eq!(prio, number % 3);
                    seen[(thread * EACH + number) as usize].fetch_add(1, SeqCst);
                }
            });
        }
    });

    assert!(seen.iter().all(|count| count.load(SeqCst) == 1));
}

fn a_process_may_have_many_handles(s: &Subject) {
    let (address, queue) = s.create(2, 16);

    let handles: Vec<_> = (0..100).map(|_| s.another(&address, O_WRONLY)).collect();

    for handle in handles {
        handle.put("through each", 0);
        assert_eq!(queue.take().0, b"through each");
    }
    assert_eq!(queue.curmsgs(), 0);
}

fn compose(writer: u32, number: u32) -> [u8; 8] {
    (u64::from(writer) << 32 | u64::from(number)).to_be_bytes()
}

fn parse(message: &[u8]) -> [u32; 2] {
    let both = u64::from_be_bytes(message.try_into().expect("eight bytes"));
    [(both >> 32) as u32, both as u32]
}

fn more_messages_than_the_queue_holds_pass_through_it(s: &Subject) {
    let (_, queue) = s.create(1, 8);
    const COUNT: u32 = 500;

    let sender = spawn(|| {
        for number in 0..COUNT {
            queue.send(&compose(0, number), number % 2, Wait::Plain).expect("room");
        }
    });

    for number in 0..COUNT {
        let (message, prio) = queue.take_by(Wait::Plain).expect("a message");
        assert_eq!((parse(&message), prio), ([0, number], number % 2));
    }
    sender.join();
}

fn a_killed_process_takes_no_message_with_it_that_it_has_sent(s: &Subject) {
    let (address, queue) = s.create(8, 16);
    let sent = Shared::<AtomicU32>::new();

    let sender = spawn(|| {
        let own = s.another(&address, O_WRONLY);
        for number in 0..8u8 {
            own.put([number], 0);
            sent.fetch_add(1, SeqCst);
        }
        wait_until(|| false);
    });
    sender.wait_until(|| sent.load(SeqCst) == 8);
    sender.kill();

    assert_eq!((0..8).map(|_| queue.take().0[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
}
