//! Notification: when it comes, by signal, and whose the registration is.

use super::{Clause, clauses};
use crate::process::{
    Shared, as_user, block_signal, need_root, pending_signal, set_umask, spawn, take_signal,
    wait_until,
};
use crate::subject::{NOBODY, NOWAIT, Queue, Subject, Wait};
use libc::{O_RDONLY, O_RDWR, O_WRONLY, SIGRTMIN, SIGUSR1};
use mqueue_core::attr::OpenOptions;
use mqueue_core::queue::how;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub const CLAUSES: &[Clause] = clauses![All:
    a_message_on_an_empty_queue_sends_the_signal,
    the_signal_tells_who_sent_the_message,
    a_message_on_a_queue_that_is_not_empty_does_not_notify,
    a_registration_is_good_for_one_notification,
    a_queue_has_one_registration,
    a_registration_that_fired_makes_room_for_another,
    a_cancelled_registration_does_not_fire,
    to_cancel_without_a_registration_is_no_error,
    to_cancel_by_another_handle_changes_nothing,
    a_receiver_that_waits_gets_the_message_without_a_notification,
    a_sender_of_another_user_notifies_too,
    closing_the_handle_drops_its_registration,
    closing_another_handle_of_the_queue_leaves_the_registration,
    a_process_that_was_killed_has_no_registration,
    a_process_that_executed_another_program_has_no_registration,
    a_child_has_no_registration,
    signals_that_do_not_exist_are_refused,
    signal_zero_takes_the_registration_and_sends_nothing,
    any_direction_may_register,
    room_for_a_sender_that_waits_notifies_of_its_message,
    a_registration_that_stays_notifies_of_each_arrival_on_the_empty_queue,
    a_registration_that_stays_is_the_only_one_until_it_is_cancelled,
    a_registration_may_notify_at_once_of_what_waits,
    a_registration_that_may_notify_at_once_waits_for_what_comes,
];

fn a_message_on_an_empty_queue_sends_the_signal(s: &Subject) {
    let signo = SIGRTMIN() + 3;
    block_signal(signo);
    let queue = s.queue();

    assert_eq!(queue.notify_signal(signo, 0x1234_5678), Ok(()));
    queue.put("arrived", 0);

    let info = take_signal(signo);
    const SI_MESGQ: i32 = -3;
    assert_eq!(info.si_code, SI_MESGQ);
    // SAFETY: such signals carry a value.
    assert_eq!(unsafe { info.si_value() }.sival_ptr as usize, 0x1234_5678);
    assert_eq!(queue.take().0, b"arrived");
}

fn the_signal_tells_who_sent_the_message(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    let child = spawn(|| queue.put("from a child", 0));
    let pid = child.pid();
    child.join();

    let info = take_signal(SIGUSR1);
    // SAFETY: such signals carry both; the second call always succeeds.
    unsafe {
        assert_eq!(info.si_pid(), pid);
        assert_eq!(info.si_uid(), libc::geteuid());
    }
}

/// Whether the registration of this process is consumed: its queue takes another.
fn is_consumed(queue: &Queue) -> bool {
    match queue.notify_signal(SIGUSR1, 0) {
        Ok(()) => true,
        Err(libc::EBUSY) => false,
        Err(errno) => panic!("errno {errno}"),
    }
}

fn a_message_on_a_queue_that_is_not_empty_does_not_notify(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.put("here before", 0);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    queue.put("another", 0);
    assert!(!is_consumed(&queue));
    assert!(pending_signal(SIGUSR1).is_none());

    queue.drain();
    queue.put("now it is", 0);
    take_signal(SIGUSR1);
}

fn a_registration_is_good_for_one_notification(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    queue.put("first", 0);
    take_signal(SIGUSR1);
    queue.drain();
    queue.put("second", 0);

    queue.notify_signal(SIGUSR1, 7).expect("nothing is registered");
    queue.drain();
    queue.put("third", 0);
    // SAFETY: such signals carry a value.
    assert_eq!(unsafe { take_signal(SIGUSR1).si_value() }.sival_ptr as usize, 7);
}

fn a_queue_has_one_registration(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal(0, 0).expect("a registration");

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    s.fails(libc::EBUSY, other.notify_signal(0, 0));
    spawn(|| {
        s.fails(libc::EBUSY, other.notify_signal(0, 0));
        s.fails(libc::EBUSY, s.another(&address, O_RDWR).notify_signal(0, 0));
    })
    .join();

    assert_eq!(s.queue().notify_signal(0, 0), Ok(()), "each queue has its own");
}

fn a_registration_that_fired_makes_room_for_another(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);

    for round in 0..5 {
        let handle = s.another(&address, O_RDWR);
        assert_eq!(handle.notify_signal(SIGUSR1, 0), Ok(()), "round {round}");
        queue.put("round", 0);
        take_signal(SIGUSR1);
        queue.drain();
    }
}

fn a_cancelled_registration_does_not_fire(s: &Subject) {
    block_signal(SIGUSR1);
    block_signal(libc::SIGUSR2);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    assert_eq!(queue.notify_cancel(), Ok(()));

    queue.notify_signal(libc::SIGUSR2, 0).expect("there is room again");
    queue.put("for the second", 0);
    take_signal(libc::SIGUSR2);
    assert!(pending_signal(SIGUSR1).is_none());
}

fn to_cancel_without_a_registration_is_no_error(s: &Subject) {
    let queue = s.queue();

    for _ in 0..2 {
        assert_eq!(queue.notify_cancel(), Ok(()));
    }
}

fn to_cancel_by_another_handle_changes_nothing(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.notify_signal(0, 0).expect("a registration");

    assert_eq!(s.another(&address, O_RDWR).notify_cancel(), Ok(()));
    spawn(|| assert_eq!(s.another(&address, O_RDWR).notify_cancel(), Ok(()))).join();

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
}

fn a_receiver_that_waits_gets_the_message_without_a_notification(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");
    let receiver = spawn(|| drop(queue.take_by(Wait::Plain).expect("a message")));
    receiver.wait_until_asleep();

    queue.put("for the one who waits", 0);
    receiver.join();

    assert!(!is_consumed(&queue), "the registration stays");
    assert!(pending_signal(SIGUSR1).is_none());
    queue.put("for nobody yet", 0);
    take_signal(SIGUSR1);
}

fn a_sender_of_another_user_notifies_too(s: &Subject) {
    need_root();
    set_umask(0);
    block_signal(SIGUSR1);
    let (_, queue) = s.create_with(&OpenOptions { mode: 0o666, ..OpenOptions::default() });
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    as_user(NOBODY, || queue.put("from nobody", 0)).join();

    let info = take_signal(SIGUSR1);
    // SAFETY: such signals carry it.
    assert_eq!(unsafe { info.si_uid() }, NOBODY);
}

fn closing_the_handle_drops_its_registration(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    drop(queue);

    assert_eq!(other.notify_signal(0, 0), Ok(()));
    other.put("for nobody", 0);
    assert!(pending_signal(SIGUSR1).is_none());
}

fn closing_another_handle_of_the_queue_leaves_the_registration(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    drop(other);
    drop(s.another(&address, O_WRONLY));

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    queue.put("arrived", 0);
    take_signal(SIGUSR1);
}

/// Register in a process that says so and then does something else for ever.
fn registrant(s: &Subject, queue: &Queue, then: impl FnOnce()) -> crate::process::Child {
    let is_registered = Shared::<AtomicU32>::new();
    let child = spawn(|| {
        queue.notify_signal(SIGUSR1, 0).expect("a registration");
        is_registered.store(1, SeqCst);
        then();
    });
    child.wait_until(|| is_registered.load(SeqCst) == 1);
    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    child
}

fn a_process_that_was_killed_has_no_registration(s: &Subject) {
    let queue = s.queue();
    let child = registrant(s, &queue, || wait_until(|| false));

    child.kill();

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
}

fn a_process_that_executed_another_program_has_no_registration(s: &Subject) {
    let queue = s.queue();
    let go = Shared::<AtomicU32>::new();
    let (mut reader, writer) = UnixStream::pair().expect("a pair of sockets");
    let _child = registrant(s, &queue, || {
        wait_until(|| go.load(SeqCst) == 1);
        let mut program = Command::new("sh");
        let error =
            program.args(["-c", "echo; exec sleep 3600"]).stdout(OwnedFd::from(writer)).exec();
        panic!("sh: {error}");
    });

    go.store(1, SeqCst);
    // The other program runs when it says something.
    reader.read_exact(&mut [0]).expect("its first line");

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
}

fn a_child_has_no_registration(s: &Subject) {
    block_signal(SIGUSR1);
    let mut queue = Some(s.queue());
    queue.as_ref().expect("open").notify_signal(SIGUSR1, 0).expect("a registration");

    spawn(|| {
        let queue = queue.take().expect("inherited");
        assert_eq!(queue.notify_cancel(), Ok(()));
        s.fails(libc::EBUSY, queue.notify_signal(SIGUSR1, 0));
        drop(queue);
    })
    .join();

    let queue = queue.expect("the parent's");
    s.fails(libc::EBUSY, queue.notify_signal(SIGUSR1, 0));
    queue.put("for the parent", 0);
    take_signal(SIGUSR1);
}

fn signals_that_do_not_exist_are_refused(s: &Subject) {
    let queue = s.queue();

    for signo in [-1, 65, 1000, i32::MAX, i32::MIN] {
        s.fails(libc::EINVAL, queue.notify_signal(signo, 0));
    }

    assert_eq!(queue.notify_signal(64, 0), Ok(()), "and nothing is registered");
}

fn signal_zero_takes_the_registration_and_sends_nothing(s: &Subject) {
    let queue = s.queue();

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
    s.fails(libc::EBUSY, queue.notify_signal(SIGUSR1, 0));
    queue.put("noticed by nobody", 0);

    wait_until(|| queue.notify_signal(0, 0).is_ok());
}

fn any_direction_may_register(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    block_signal(SIGUSR1);

    for oflag in [O_RDONLY, O_WRONLY, O_RDWR] {
        let handle = s.another(&address, oflag);
        assert_eq!(handle.notify_signal(SIGUSR1, 0), Ok(()));
        queue.put("arrived", 0);
        take_signal(SIGUSR1);
        queue.drain();
    }
}

fn room_for_a_sender_that_waits_notifies_of_its_message(s: &Subject) {
    block_signal(SIGUSR1);
    let (_, queue) = s.create(1, 16);
    queue.fill(16);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");
    let sender = spawn(|| queue.send(&[b'y'; 16], 0, Wait::Plain).expect("room"));
    sender.wait_until_asleep();

    queue.take();
    sender.join();

    assert!(is_consumed(&queue));
    assert_eq!(queue.take_by(NOWAIT), Ok((vec![b'y'; 16], 0)));
}

fn a_registration_that_stays_notifies_of_each_arrival_on_the_empty_queue(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();

    assert_eq!(queue.notify_signal_as(SIGUSR1, 5, how::PERSISTENT), Ok(()));

    for round in 0..5 {
        let child = spawn(|| queue.put("arrived", 0));
        let pid = child.pid();
        child.join();
        let info = take_signal(SIGUSR1);
        // SAFETY: such signals carry both.
        let (from, value) = unsafe { (info.si_pid(), info.si_value().sival_ptr as usize) };
        assert_eq!((from, value), (pid, 5), "round {round}");
        queue.put("a second one", 0);
        queue.drain();
        assert!(pending_signal(SIGUSR1).is_none());
    }
    assert_eq!(queue.notify_cancel(), Ok(()));
    queue.put("for nobody", 0);
    assert!(pending_signal(SIGUSR1).is_none());
}

fn a_registration_that_stays_is_the_only_one_until_it_is_cancelled(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal_as(SIGUSR1, 0, how::PERSISTENT).expect("a registration");
    queue.put("arrived", 0);
    take_signal(SIGUSR1);

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    s.fails(libc::EBUSY, other.notify_signal_as(0, 0, how::PERSISTENT));
    spawn(|| s.fails(libc::EBUSY, other.notify_signal(0, 0))).join();

    assert_eq!(queue.notify_cancel(), Ok(()));
    assert_eq!(other.notify_signal(0, 0), Ok(()));
}

fn a_registration_may_notify_at_once_of_what_waits(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    spawn(|| queue.put("here before", 0)).join();

    assert_eq!(queue.notify_signal_as(SIGUSR1, 0, how::NOW), Ok(()));

    let info = take_signal(SIGUSR1);
    // SAFETY: such signals carry it.
    assert_eq!(unsafe { info.si_pid() }, std::process::id() as i32, "the sender is not known");
    assert_eq!(queue.take().0, b"here before");
    assert!(is_consumed(&queue));
}

fn a_registration_that_may_notify_at_once_waits_for_what_comes(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();

    assert_eq!(queue.notify_signal_as(SIGUSR1, 0, how::NOW), Ok(()));

    assert!(!is_consumed(&queue));
    assert!(pending_signal(SIGUSR1).is_none());
    queue.put("arrived", 0);
    take_signal(SIGUSR1);
}
