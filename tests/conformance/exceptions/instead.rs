//! What transports do where a clause does not hold: one body for each exception.

use crate::clauses::message::{ANY, get, outgoing, put_typed};
use crate::process::{as_user, need_root, set_umask, spawn};
use crate::subject::{NOBODY, NOWAIT, Subject, Wait};
use libc::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, SIGUSR1};
use mqueue_core::attr::{OpenOptions, capability, option};
use mqueue_core::message::{Outgoing, Request, receive, send};
use mqueue_core::queue::how;

/// It is not supported, and the capability is cleared.
fn is_not_there<T>(s: &Subject, result: crate::subject::Result<T>, capability: u64) {
    s.fails(libc::ENOTSUP, result);
    assert_eq!(s.queue().attr().expect("attributes").capabilities & capability, 0);
}

pub fn who_may_only_read_may_not_open(s: &Subject) {
    need_root();
    set_umask(0);
    let (address, _queue) = s.create_with(&OpenOptions { mode: 0o644, ..OpenOptions::default() });

    as_user(NOBODY, || {
        for oflag in [O_RDONLY, O_WRONLY, O_RDWR] {
            s.fails(libc::EACCES, s.open(&address, oflag));
        }
    })
    .join();
}

pub fn there_is_no_descriptor_for_poll(s: &Subject) {
    is_not_there(s, s.queue().fd(), capability::FD);
}

pub fn there_is_no_descriptor_to_hand_on(s: &Subject) {
    s.fails(libc::ENOTSUP, s.queue().dup_fd());
}

pub fn there_are_no_statistics(s: &Subject) {
    is_not_there(s, s.queue().stats(), capability::STATS);
}

pub fn messages_are_not_counted(s: &Subject) {
    let queue = s.queue();
    queue.put("x", 0);

    let stats = queue.stats().expect("statistics");

    assert_eq!((stats.sent, stats.received, stats.last_send_pid), (0, 0, std::process::id()));
}

pub fn nobody_can_look_at_messages(s: &Subject) {
    let queue = s.queue();
    queue.put("x", 0);

    let look = Request { flags: receive::PEEK, ..ANY };
    is_not_there(s, get(&queue, look, 0), capability::PEEK);
    s.fails(libc::ENOTSUP, get(&queue, look, -1));
    s.fails(libc::ENOTSUP, queue.receive_batch(&[look; 2], 0));

    assert_eq!(queue.take().0, b"x");
}

pub fn looking_begins_with_the_oldest(s: &Subject) {
    let queue = s.queue();
    queue.put("oldest", 1);
    queue.put("highest", 2);

    let look = |sequence| get(&queue, Request { flags: receive::PEEK, sequence, ..ANY }, 0);

    let (message, incoming) = look(0).expect("a message");
    assert_eq!((message, incoming.prio, incoming.sequence), (b"oldest".to_vec(), 1, 1));
    let (message, incoming) = look(1).expect("a message");
    assert_eq!((message, incoming.prio, incoming.sequence), (b"highest".to_vec(), 2, 2));
    s.fails(libc::EAGAIN, look(2));

    // What is looked at last is a place, which the others move up to.
    queue.put("newest", 1);
    assert_eq!(queue.take().0, b"highest");
    assert_eq!(look(1).expect("a message").0, b"newest");
    s.fails(libc::EAGAIN, look(2));
}

pub fn messages_have_no_type(s: &Subject) {
    let queue = s.queue();
    queue.put("no type", 0);

    is_not_there(s, put_typed(&queue, "x", 1), capability::TYPES);
    let typed = Outgoing { kind: 1, flags: send::TYPE, ..outgoing(b"x") };
    s.fails(libc::ENOTSUP, queue.send_batch(&[typed; 2], 0));
    for flags in [receive::TYPE, receive::TYPE | receive::EXCEPT] {
        s.fails(libc::ENOTSUP, get(&queue, Request { kind: 1, flags, ..ANY }, 0));
    }

    let (_, incoming) = get(&queue, ANY, 0).expect("a message");
    assert_eq!(incoming.kind, 0);
}

pub fn nothing_is_done_in_place(s: &Subject) {
    let queue = s.queue();
    let mut room = [0; 8];
    let slot = room.as_mut_ptr();

    is_not_there(s, queue.reserve(8, 0), capability::ZERO_COPY);
    s.fails(libc::ENOTSUP, queue.commit(slot, 8, 0, 0));
    s.fails(libc::ENOTSUP, queue.abort(slot));
    s.fails(libc::ENOTSUP, queue.acquire(0));
    s.fails(libc::ENOTSUP, queue.release(slot));
    s.fails(libc::ENOTSUP, queue.requeue(slot));
}

pub fn no_message_is_dropped(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    queue.fill(16);
    let newest = Outgoing { flags: send::DROP_OLDEST, ..outgoing(b"x") };

    is_not_there(s, queue.send_message(&newest, 0), capability::DROP_OLDEST);
    s.fails(libc::ENOTSUP, queue.send_message(&newest, -1));
    s.fails(libc::ENOTSUP, queue.send_batch(&[newest; 2], 0));

    assert_eq!(queue.drain(), 2);
}

pub fn messages_have_no_number(s: &Subject) {
    let queue = s.queue();
    queue.put("a", 0);
    queue.put("b", 1);

    for _ in 0..2 {
        assert_eq!(get(&queue, ANY, 0).expect("a message").1.sequence, 0);
    }
}

pub fn a_queue_cannot_be_shut_down(s: &Subject) {
    let (address, queue) = s.create(4, 16);

    is_not_there(s, queue.shutdown(), capability::SHUTDOWN);
    // For whatever direction it was opened.
    s.fails(libc::ENOTSUP, s.another(&address, O_RDONLY).shutdown());

    queue.put("x", 0);
    assert_eq!(queue.take().0, b"x");
}

pub fn a_queue_keeps_its_size(s: &Subject) {
    let queue = s.queue();
    let before = queue.attr();

    s.fails(libc::ENOTSUP, queue.set_maxbytes(100));

    assert_eq!(queue.attr(), before);
}

pub fn a_queue_without_an_address_is_in_shared_memory(s: &Subject) {
    let options = OpenOptions::default();

    let queue = s.language.open(None, O_CREAT | O_EXCL | O_RDWR, &options).expect("a queue");

    assert!(queue.name().to_bytes().starts_with(b"shm:/"));
    assert_eq!(s.language.unlink(&queue.name()), Ok(()));
}

pub fn a_short_buffer_is_refused_at_once(s: &Subject) {
    let (_, queue) = s.create(4, 64);

    for _ in 0..2 {
        s.fails(libc::EMSGSIZE, queue.receive(&mut [0; 63], NOWAIT));
        s.fails(libc::EMSGSIZE, queue.receive(&mut [], Wait::Plain));
        queue.put("x", 0);
    }

    let mut buffers = [[0; 64]; 2];
    let mut requests = buffers.each_mut().map(|b| Request { data: b.as_mut_ptr(), cap: 64, ..ANY });
    requests[1].cap = 63;
    s.fails(libc::EMSGSIZE, queue.receive_batch(&requests, -1));

    assert_eq!(queue.curmsgs(), 2);
    assert_eq!(queue.receive(&mut [0; 64], NOWAIT), Ok((1, 0)));
}

pub fn the_message_of_a_sender_that_waited_does_not_notify(s: &Subject) {
    let (_, queue) = s.create(1, 16);
    queue.fill(16);
    queue.notify_signal(0, 0).expect("a registration");
    let sender = spawn(|| queue.send(b"y", 0, Wait::Plain).expect("room"));
    sender.wait_until_asleep();

    queue.take();
    sender.join();

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
}

pub fn sizes_are_the_kernels_whatever_is_asked_for(s: &Subject) {
    let limits = s.language.limits(s.transport.number()).expect("limits");

    for (maxmsg, msgsize) in [(0, 0), (3, 0), (0, 17), (u64::MAX, u64::MAX)] {
        let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
        let queue = s.open_with(&s.address(), O_CREAT | O_RDWR, &options).expect("a queue");

        let attr = queue.attr().expect("attributes");
        assert_eq!((attr.maxmsg, attr.msgsize), (limits.maxmsg_default, limits.msgsize_default));
    }
}

pub fn a_queue_cannot_be_made_so(s: &Subject) {
    for flags in [option::EPHEMERAL, option::STAMP, option::REDELIVER, option::ALL] {
        let options = OpenOptions { flags, ..OpenOptions::default() };
        let address = s.address();

        s.fails(libc::ENOTSUP, s.open_with(&address, O_CREAT | O_RDWR, &options));

        s.fails(libc::ENOENT, s.open(&address, O_RDWR));
        // Neither where there is one already.
        let _queue = s.another(&address, O_CREAT | O_RDWR);
        s.fails(libc::ENOTSUP, s.open_with(&address, O_CREAT | O_RDWR, &options));
    }
}

pub fn umask_is_not_applied(s: &Subject) {
    set_umask(0o077);

    let (_, queue) = s.create_with(&OpenOptions { mode: 0o666, ..OpenOptions::default() });

    assert_eq!(queue.attr().expect("attributes").mode, 0o666);
}

pub fn the_mode_holds_for_the_creator_too(s: &Subject) {
    s.as_ordinary_user(|| {
        let options = OpenOptions { flags: option::EXACT_MODE, ..OpenOptions::default() };

        let queue = s.open_with(&s.address(), O_CREAT | O_RDWR, &options).expect("a queue");

        s.fails(libc::EACCES, queue.send(b"x", 0, NOWAIT));
        // But the creator may change it.
        queue.set_owner(0o600, u32::MAX, u32::MAX).expect("the mode");
        queue.put("x", 0);
    });
}

pub fn unlinking_ends_every_call(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let receiver = spawn(|| s.fails(libc::EIDRM, queue.take_short(Wait::Plain)));
    let patient = spawn(|| s.fails(libc::EIDRM, queue.take_short(Wait::For(i64::MAX))));
    receiver.wait_until_asleep();
    patient.wait_until_asleep();

    assert_eq!(s.language.unlink(&address), Ok(()));

    receiver.join();
    patient.join();
    s.fails(libc::EIDRM, queue.send(b"x", 0, NOWAIT));
    s.fails(libc::EIDRM, queue.take_short(NOWAIT));
    s.fails(libc::EIDRM, queue.attr());
}

pub fn no_registration_stays(s: &Subject) {
    let queue = s.queue();

    for flags in [how::PERSISTENT, how::ALL] {
        let result = queue.notify_signal_as(0, 0, flags);
        is_not_there(s, result, capability::PERSISTENT_NOTIFY);
    }

    assert_eq!(queue.notify_signal(0, 0), Ok(()), "nothing was registered");
}

pub fn no_registration_notifies_at_once(s: &Subject) {
    let queue = s.queue();
    queue.put("x", 0);

    s.fails(libc::ENOTSUP, queue.notify_signal_as(0, 0, how::NOW));

    assert_eq!(queue.notify_signal(0, 0), Ok(()), "nothing was registered");
}

pub fn there_is_no_notification(s: &Subject) {
    let queue = s.queue();

    is_not_there(s, queue.notify_signal(SIGUSR1, 0), capability::NOTIFY);
    s.fails(libc::ENOTSUP, queue.notify_callback(nothing, std::ptr::null_mut()));

    assert_eq!(queue.notify_cancel(), Ok(()));
}

unsafe extern "C" fn nothing(_: *mut std::ffi::c_void, _: *mut std::ffi::c_void) {}
