//! Several messages in one call: `mqrs_sendmmsg`, `mqrs_recvmmsg`.

use super::message::{ANY, outgoing};
use super::{Clause, clauses};
use crate::process::{Child, block_signal, pending_signal, spawn, take_signal};
use crate::subject::{HOUR, NOWAIT, Queue, Result, Subject, Wait};
use libc::{O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, SIGUSR1};
use mqueue_core::message::{Incoming, Outgoing, Request, receive, send};

pub const CLAUSES: &[Clause] = clauses![All:
    a_batch_arrives_in_order,
    a_batch_is_received_by_priority,
    a_batch_and_single_messages_are_one_row,
    as_many_are_sent_as_there_is_room_for,
    as_many_are_received_as_there_are,
    a_batch_to_receive_waits_for_its_first_message_only,
    a_batch_to_send_waits_for_its_first_message_only,
    a_batch_that_may_not_wait_does_not,
    a_batch_wakes_all_who_wait,
    a_batch_ends_before_a_message_that_does_not_fit,
    the_messages_of_a_batch_may_be_cut,
    all_messages_are_checked_before_any_is_sent,
    all_buffers_are_checked_before_anything_is_received,
    a_batch_of_nothing_does_nothing,
    a_batch_is_notified_of_once,
    types_go_with_the_messages_of_a_batch,
    a_batch_may_drop_what_it_has_no_room_for,
];

fn batch<const N: usize>(messages: [&str; N]) -> [Outgoing; N] {
    messages.map(|message| outgoing(message.as_bytes()))
}

/// Receive up to `count` messages of up to 64 bytes.
fn get_some(queue: &Queue, count: usize, timeout: i64) -> Result<Vec<(String, Incoming)>> {
    get_some_by(queue, &vec![Request { cap: 64, ..ANY }; count], timeout)
}

/// Receive as the requests say; buffers are provided.
fn get_some_by(
    queue: &Queue,
    requests: &[Request],
    timeout: i64,
) -> Result<Vec<(String, Incoming)>> {
    let mut buffers: Vec<_> = requests.iter().map(|request| vec![0; request.cap]).collect();
    let requests: Vec<_> = requests
        .iter()
        .zip(&mut buffers)
        .map(|(&request, buffer)| Request { data: buffer.as_mut_ptr(), ..request })
        .collect();
    let all = queue.receive_batch(&requests, timeout)?;
    let text = |(buffer, incoming): (Vec<u8>, Incoming)| {
        let len = buffer.len().min(incoming.len);
        (String::from_utf8_lossy(&buffer[..len]).into_owned(), incoming)
    };
    Ok(buffers.into_iter().zip(all).map(text).collect())
}

fn texts(received: Result<Vec<(String, Incoming)>>) -> Vec<String> {
    received.expect("messages").into_iter().map(|(text, _)| text).collect()
}

fn a_batch_arrives_in_order(s: &Subject) {
    let queue = s.queue();

    assert_eq!(queue.send_batch(&batch(["a", "", "ccc", "dd", "e"]), 0), Ok(5));

    let received = get_some(&queue, 5, 0).expect("messages");
    let told: Vec<_> = received.iter().map(|(text, m)| (text.as_str(), m.len, m.prio)).collect();
    assert_eq!(told, [("a", 1, 0), ("", 0, 0), ("ccc", 3, 0), ("dd", 2, 0), ("e", 1, 0)]);
}

fn a_batch_is_received_by_priority(s: &Subject) {
    let queue = s.queue();
    let mut messages = batch(["low", "high", "higher", "low too", "highest"]);
    messages.iter_mut().zip([1, 5, 6, 1, 32767]).for_each(|(m, prio)| m.prio = prio);

    assert_eq!(queue.send_batch(&messages, 0), Ok(5));

    let received = get_some(&queue, 8, 0).expect("messages");
    let told: Vec<_> = received.iter().map(|(text, m)| (text.as_str(), m.prio)).collect();
    assert_eq!(told, [("highest", 32767), ("higher", 6), ("high", 5), ("low", 1), ("low too", 1)]);
}

fn a_batch_and_single_messages_are_one_row(s: &Subject) {
    let queue = s.queue();

    queue.put("1", 2);
    let messages = batch(["2", "3"]).map(|m| Outgoing { prio: 2, ..m });
    assert_eq!(queue.send_batch(&messages, 0), Ok(2));
    queue.put("4", 2);

    assert_eq!(queue.take().0, b"1");
    assert_eq!(texts(get_some(&queue, 2, 0)), ["2", "3"]);
    assert_eq!(queue.take().0, b"4");
}

fn as_many_are_sent_as_there_is_room_for(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    let messages = [outgoing(&[b'x'; 16]); 6];

    for before in 0..4 {
        for _ in 0..before {
            queue.put([b'x'; 16], 0);
        }
        assert_eq!(queue.send_batch(&messages, HOUR), Ok(4 - before));
        s.fails(libc::EAGAIN, queue.send_batch(&messages, 0));
        s.fails(libc::ETIMEDOUT, queue.send_batch(&messages, 1000));
        assert_eq!(queue.drain(), 4);
    }
}

fn as_many_are_received_as_there_are(s: &Subject) {
    let queue = s.queue();

    for count in 1..=8 {
        for _ in 0..count {
            queue.put("x", 0);
        }
        assert_eq!(get_some(&queue, 3, HOUR).expect("messages").len(), count.min(3));
        let rest = count.saturating_sub(3);
        if rest > 0 {
            assert_eq!(get_some(&queue, 9, HOUR).expect("messages").len(), rest);
        }
        s.fails(libc::EAGAIN, get_some(&queue, 9, 0));
        s.fails(libc::ETIMEDOUT, get_some(&queue, 9, 1000));
    }
}

fn a_batch_to_receive_waits_for_its_first_message_only(s: &Subject) {
    let queue = s.queue();

    for timeout in [-1, HOUR] {
        let receiver = spawn(|| assert_eq!(texts(get_some(&queue, 5, timeout)), ["only"]));
        receiver.wait_until_asleep();
        queue.put("only", 3);
        receiver.join();
    }
}

fn a_batch_to_send_waits_for_its_first_message_only(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let messages = [outgoing(&[b'x'; 16]); 3];
    queue.fill(16);

    for timeout in [-1, HOUR] {
        let sender = spawn(|| assert_eq!(queue.send_batch(&messages, timeout), Ok(1)));
        sender.wait_until_asleep();
        queue.take();
        sender.join();
    }

    assert_eq!(queue.drain(), 2);
}

fn a_batch_that_may_not_wait_does_not(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let impatient = s.another(&address, O_RDWR | O_NONBLOCK);

    s.fails(libc::EAGAIN, get_some(&impatient, 3, -1));
    queue.fill(16);
    s.fails(libc::EAGAIN, impatient.send_batch(&[outgoing(&[0; 16]); 3], -1));

    assert_eq!(get_some(&impatient, 3, -1).expect("messages").len(), 2);
}

fn a_batch_wakes_all_who_wait(s: &Subject) {
    let queue = s.queue();
    let receivers = [(); 3].map(|()| {
        let receiver = spawn(|| assert_eq!(queue.take_by(Wait::Plain), Ok((b"x".to_vec(), 0))));
        receiver.wait_until_asleep();
        receiver
    });

    assert_eq!(queue.send_batch(&batch(["x"; 3]), 0), Ok(3));

    receivers.into_iter().for_each(Child::join);
}

fn a_batch_ends_before_a_message_that_does_not_fit(s: &Subject) {
    let queue = s.queue();
    queue.send_batch(&batch(["one", "two", "three", "four"]), 0).expect("room");
    let short = Request { cap: 3, ..ANY };

    assert_eq!(texts(get_some_by(&queue, &[short; 4], 0)), ["one", "two"]);

    s.fails(libc::EMSGSIZE, get_some_by(&queue, &[short; 4], HOUR));
    assert_eq!(texts(get_some(&queue, 4, 0)), ["three", "four"]);
}

fn the_messages_of_a_batch_may_be_cut(s: &Subject) {
    let queue = s.queue();
    queue.send_batch(&batch(["one", "three", "seven"]), 0).expect("room");
    let cut = Request { cap: 3, flags: receive::TRUNCATE, ..ANY };

    let received = get_some_by(&queue, &[cut; 4], 0).expect("messages");

    let told: Vec<_> = received.iter().map(|(text, m)| (text.as_str(), m.len)).collect();
    assert_eq!(told, [("one", 3), ("thr", 5), ("sev", 5)]);
    assert_eq!(queue.curmsgs(), 0);
}

fn all_messages_are_checked_before_any_is_sent(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let receiver = s.another(&address, O_RDONLY);
    let too_long = vec![0; queue.attr().expect("attributes").msgsize as usize + 1];
    let good = outgoing(b"x");
    let null = Outgoing { data: std::ptr::null(), ..good };

    for (errno, bad) in [
        (libc::EINVAL, Outgoing { prio: 32768, ..good }),
        (libc::EFAULT, null),
        (libc::EMSGSIZE, outgoing(&too_long)),
    ] {
        for at in 0..3 {
            let mut messages = [good; 3];
            messages[at] = bad;
            s.fails(errno, queue.send_batch(&messages, 0));
        }
    }
    s.fails(libc::EINVAL, queue.send_batch(&[good; 3], -2));
    s.fails(libc::EBADF, receiver.send_batch(&[good; 3], 0));

    assert_eq!(queue.curmsgs(), 0);
    let empty = Outgoing { len: 0, ..null };
    assert_eq!(queue.send_batch(&[empty, good, empty], 0), Ok(3));
}

fn all_buffers_are_checked_before_anything_is_received(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let sender = s.another(&address, O_WRONLY);
    queue.send_batch(&batch(["a", "b", "c"]), 0).expect("room");
    let mut buffer = vec![0; 1 << 16];
    let good = Request { data: buffer.as_mut_ptr(), ..ANY };

    for at in 0..3 {
        let mut requests = [good; 3];
        requests[at].data = std::ptr::null_mut();
        s.fails(libc::EFAULT, queue.receive_batch(&requests, 0));
    }
    s.fails(libc::EINVAL, queue.receive_batch(&[good; 3], -2));
    s.fails(libc::EBADF, sender.receive_batch(&[good; 3], 0));

    assert_eq!(queue.drain(), 3);
}

fn a_batch_of_nothing_does_nothing(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    assert_eq!(queue.receive_batch(&[], -1), Ok(vec![]));
    queue.fill(16);
    assert_eq!(queue.send_batch(&[], -1), Ok(0));

    assert_eq!(queue.curmsgs(), 2);
}

fn a_batch_is_notified_of_once(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 5).expect("a registration");

    spawn(|| assert_eq!(queue.send_batch(&batch(["a", "b", "c"]), 0), Ok(3))).join();

    take_signal(SIGUSR1);
    assert_eq!(queue.notify_signal(SIGUSR1, 6), Ok(()), "there is no registration any more");
    assert!(pending_signal(SIGUSR1).is_none());
    assert_eq!(queue.drain(), 3);
}

fn types_go_with_the_messages_of_a_batch(s: &Subject) {
    let queue = s.queue();
    let typed = |kind| Outgoing { kind, flags: send::TYPE, ..outgoing(b"x") };

    s.fails(libc::EINVAL, queue.send_batch(&[typed(5), typed(0)], 0));
    assert_eq!(queue.send_batch(&[5, 6, 5, 7].map(typed), 0), Ok(4));

    let fives = Request { kind: 5, flags: receive::TYPE, cap: 64, ..ANY };
    let kinds = |received: Vec<(String, Incoming)>| -> Vec<_> {
        received.into_iter().map(|(_, incoming)| incoming.kind).collect()
    };
    assert_eq!(get_some_by(&queue, &[fives; 4], 0).map(kinds), Ok(vec![5, 5]));
    assert_eq!(get_some(&queue, 4, 0).map(kinds), Ok(vec![6, 7]));
    s.fails(libc::EAGAIN, queue.take_by(NOWAIT));
}

fn a_batch_may_drop_what_it_has_no_room_for(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    queue.put("older than all", 0);
    let dropping = |m| Outgoing { flags: send::DROP_OLDEST, ..m };

    assert_eq!(queue.send_batch(&batch(["a", "b", "c", "d"]).map(dropping), 0), Ok(4));

    assert_eq!(texts(get_some(&queue, 4, 0)), ["c", "d"]);
    assert_eq!(queue.stats().expect("statistics").dropped, 3);
}
