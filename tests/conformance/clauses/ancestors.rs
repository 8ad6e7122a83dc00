//! What went wrong in this library's ancestors does not go wrong here.
//!
//! Other clauses are such tests as well:
//!
//! | ancestor | its defect | clause |
//! |---|---|---|
//! | mood.mqueue | limits are read at import | `limits_are_those_of_this_moment`, `kernel_limits_are_those_of_this_moment` |
//! | mood.mqueue | registering again in a callback is undone | `a_callback_may_register_again` |
//! | posix_ipc | EMFILE is called "too many open files" | `too_many_bytes_for_the_user_are_refused_by_the_name_of_the_limit` |
//! | posix_ipc | random names are those of the second | `a_queue_without_a_name_gets_one_of_its_own` |
//! | posix_ipc, Boost | timeouts are measured on the wall clock | tests/clocks/ |
//! | ipcqueue | a queue cannot be opened without making it | `a_queue_that_does_not_exist_is_not_opened` |
//! | go-ipc 0.1 | 16 bits of an inode make a key, which collides | `names_of_one_key_are_told_apart` |
//! | go-ipc 0.1 | opening makes a file | `opening_in_vain_leaves_nothing_behind` |
//! | go-ipc 0.1, ipcqueue | no timeouts on System V queues | `a_timeout_ends_a_receive_and_not_before_its_time` |
//! | Boost | sizes of an existing queue are those asked for | `an_existing_queue_keeps_its_sizes_whatever_its_opener_asks_for` |
//! | Boost | every buffer must be as long as the longest message | `a_buffer_may_be_shorter_than_the_longest_message` |

use super::{Clause, clauses};
use crate::keeper::skip;
use crate::process::spawn;
use crate::subject::{NOWAIT, Subject, Wait};
use crate::world;
use libc::{O_CREAT, O_NONBLOCK, O_RDWR, O_WRONLY};
use mqueue_core::attr::OpenOptions;

pub const CLAUSES: &[Clause] = clauses![All:
    a_message_is_never_cut_by_its_sender,
    an_empty_message_does_not_end_a_drain,
    closing_the_handle_that_made_the_queue_takes_it_from_nobody,
    closing_every_handle_destroys_nothing,
    who_asks_for_less_still_receives_the_longest_message,
    a_message_may_be_longer_than_8192_bytes,
    a_receive_tells_how_long_the_message_is,
    a_send_that_does_not_wait_never_pretends_to_have_sent,
    messages_of_one_priority_never_change_their_order,
    every_way_to_send_has_the_priority_that_it_is_given,
    a_buffer_that_is_too_short_loses_no_message,
    switching_nonblocking_reaches_the_handle_and_costs_no_descriptor,
    a_notification_leaves_no_file_behind,
    a_callback_that_was_cancelled_is_never_called,
];

/// mood.mqueue sends what fits and says how much that was.
fn a_message_is_never_cut_by_its_sender(s: &Subject) {
    let queue = s.queue();
    let msgsize = queue.attr().expect("attributes").msgsize as usize;

    for longer in 1..4 {
        s.fails(libc::EMSGSIZE, queue.send(&vec![b'm'; msgsize + longer], 0, NOWAIT));
    }

    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}

/// mood.mqueue's drain takes an empty message for the end.
fn an_empty_message_does_not_end_a_drain(s: &Subject) {
    let queue = s.queue();
    queue.put("a", 0);
    queue.put("", 0);
    queue.put("b", 0);

    assert_eq!(queue.drain(), 3);
}

/// mood.mqueue unlinks the queue when its creator closes it.
fn closing_the_handle_that_made_the_queue_takes_it_from_nobody(s: &Subject) {
    let (address, made) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);

    drop(made);

    other.put("still here", 0);
    spawn(|| assert_eq!(s.another(&address, O_RDWR).take().0, b"still here")).join();
}

/// ipcqueue.sysvmq destroys the queue when anybody closes it.
fn closing_every_handle_destroys_nothing(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.put("survives", 0);

    spawn(|| drop(s.another(&address, O_RDWR))).join();
    drop(queue);

    assert_eq!(s.another(&address, O_RDWR).take().0, b"survives");
}

/// ipcqueue.posixmq receives into a buffer of the size that its opener asked for.
fn who_asks_for_less_still_receives_the_longest_message(s: &Subject) {
    let (address, queue) = s.create(2, 200);
    queue.put([b'l'; 200], 0);
    let less = OpenOptions { maxmsg: 1, msgsize: 10, ..OpenOptions::default() };

    let opened = s.open_with(&address, O_CREAT | O_RDWR, &less).expect("a queue");

    assert_eq!(opened.take(), (vec![b'l'; 200], 0));
}

/// ipcqueue.sysvmq has a buffer of 8192 bytes, whatever the kernel's limit is.
fn a_message_may_be_longer_than_8192_bytes(s: &Subject) {
    if !world::is_roomy() {
        skip("the kernel's limits cannot be raised here");
    }
    let long: Vec<u8> = (0..30_000u32).map(|index| index as u8).collect();
    let (_, queue) = s.create(2, long.len() as u64);

    queue.put(&long, 0);

    assert_eq!(queue.take(), (long, 0));
}

/// go-ipc 0.1 fills a buffer and does not say how far.
fn a_receive_tells_how_long_the_message_is(s: &Subject) {
    let queue = s.queue();
    let mut buffer = vec![0; queue.attr().expect("attributes").msgsize as usize];

    for length in [0, 1, 63, 64] {
        queue.put(vec![0; length], 0);

        assert_eq!(queue.receive(&mut buffer, NOWAIT), Ok((length, 0)));
    }
}

/// go-ipc 0.1 drops the message of a non-blocking send to a full queue and reports success.
fn a_send_that_does_not_wait_never_pretends_to_have_sent(s: &Subject) {
    let (address, queue) = s.create(3, 16);
    let sender = s.another(&address, O_WRONLY | O_NONBLOCK);

    let sent = (0..10).filter(|_| sender.send(&[b'x'; 16], 0, Wait::Plain).is_ok()).count();

    assert_eq!(sent, 3);
    assert_eq!(queue.drain(), sent);
}

/// go-ipc 0.6's heap gives A, B, C as A, C, B.
fn messages_of_one_priority_never_change_their_order(s: &Subject) {
    let (_, queue) = s.create(8, 8);

    for round in 0..20u8 {
        for message in *b"ABCD" {
            queue.put([message, round], 3);
        }
        queue.put("!", 9);
        assert_eq!(queue.take().0, b"!");
        for message in *b"ABCD" {
            assert_eq!(queue.take(), (vec![message, round], 3));
        }
    }
}

/// go-ipc 0.6 sends with priority 2 without a timeout, and with 0 with one.
fn every_way_to_send_has_the_priority_that_it_is_given(s: &Subject) {
    let queue = s.queue();
    let waits =
        [Wait::Plain, NOWAIT, Wait::For(i64::MAX), Wait::Until(libc::CLOCK_REALTIME, i64::MAX)];

    for prio in [0, 2] {
        for wait in waits {
            queue.send(b"x", prio, wait).expect("room");
            assert_eq!(queue.take().1, prio);
        }
    }
}

/// go-ipc 0.6 takes a message from the kernel, finds the buffer too short, and drops it.
fn a_buffer_that_is_too_short_loses_no_message(s: &Subject) {
    let queue = s.queue();
    queue.put("not to be lost", 0);

    for _ in 0..3 {
        s.fails(libc::EMSGSIZE, queue.receive(&mut [0; 5], Wait::Plain));
    }

    assert_eq!(queue.take().0, b"not to be lost");
}

/// go-ipc 0.6 sets the flag on a descriptor of its own, which it does not close.
fn switching_nonblocking_reaches_the_handle_and_costs_no_descriptor(s: &Subject) {
    let queue = s.queue();
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let before = descriptors();

    for on in [true, false, true, false, true] {
        queue.set_nonblock(on).expect("a switch");
    }

    s.fails(libc::EAGAIN, queue.take_by(Wait::For(i64::MAX)));
    assert_eq!(descriptors(), before);
}

/// go-ipc 0.6 makes sockets for notification in the directory for temporary files.
fn a_notification_leaves_no_file_behind(s: &Subject) {
    let files = || std::fs::read_dir(world::directory()).expect("files").count();
    let queue = s.queue();
    let before = files();

    queue.notify_signal(0, 0).expect("a registration");
    queue.put("x", 0);
    drop(queue);

    assert_eq!(files(), before);
}

/// mood.mqueue calls a null pointer for an event that comes after its callback was dropped.
fn a_callback_that_was_cancelled_is_never_called(s: &Subject) {
    unsafe extern "C" fn never(_: *mut std::ffi::c_void, _: *mut std::ffi::c_void) {
        std::process::abort();
    }
    let queue = s.queue();
    queue.notify_callback(never, std::ptr::null_mut()).expect("a registration");
    queue.notify_cancel().expect("no registration");

    for _ in 0..3 {
        queue.put("an event", 0);
        queue.take();
    }

    // One that is registered now is told by the same thread, and was told last.
    crate::process::block_signal(libc::SIGUSR1);
    queue.notify_signal(libc::SIGUSR1, 0).expect("a registration");
    queue.put("the last", 0);
    crate::process::take_signal(libc::SIGUSR1);
}
