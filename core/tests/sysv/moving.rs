//! Sending and receiving without having to wait.

use super::world::*;
use crate::skips::skip;
use libc::{O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::deadline::Wait;
use mqueue_core::queue;

#[test]
fn the_highest_priority_comes_first_and_equal_ones_in_order() {
    let world = World::new();
    let queue = make(&world.key());
    for (message, prio) in [("a", 5), ("b", 0), ("c", 32767), ("d", 5), ("e", 32767), ("f", 1)] {
        queue.put(message.as_bytes(), prio, Wait::Never).unwrap();
    }

    let came: Vec<_> = (0..6).map(|_| queue.take(8, Wait::Never).unwrap()).collect();

    let expected = [("c", 32767), ("e", 32767), ("a", 5), ("d", 5), ("f", 1), ("b", 0)]
        .map(|(m, p)| (m.into(), p));
    assert_eq!(came, expected);
}

#[test]
fn a_priority_is_a_type_for_other_programs() {
    let world = World::new();
    let queue = make(&world.key());
    let id = foreign::id_of(queue.name());

    queue.put(b"low", 0, Wait::Never).unwrap();
    queue.put(b"high", 32767, Wait::Never).unwrap();
    assert_eq!(foreign::receive(id, 0), Some((32768, b"low".to_vec())));
    assert_eq!(foreign::receive(id, 0), Some((1, b"high".to_vec())));

    for (kind, message) in [(40000, "beyond"), (32768, "lowest"), (7, "high"), (30000, "low")] {
        assert_eq!(foreign::send(id, kind, message.as_bytes()), 0);
    }
    let came: Vec<_> = (0..4).map(|_| queue.take(8, Wait::Never).unwrap()).collect();
    let expected =
        [("high", 32761), ("low", 2768), ("lowest", 0), ("beyond", 0)].map(|(m, p)| (m.into(), p));
    assert_eq!(came, expected);
}

#[test]
fn arguments_are_checked_in_the_order_of_all_transports() {
    let world = World::new();
    let key = world.key();
    let _queue = make(&key);
    let sender = open(&key, O_WRONLY).unwrap();
    let receiver = open(&key, O_RDONLY).unwrap();
    let null = std::ptr::null_mut::<u8>();

    // SAFETY: null pointers, which are refused.
    unsafe {
        assert_eq!(errno(receiver.send(null, 1, 32768, Wait::Never)), libc::EINVAL);
        assert_eq!(errno(receiver.send(null, 1, 0, Wait::Never)), libc::EBADF);
        assert_eq!(errno(sender.send(null, usize::MAX, 0, Wait::Never)), libc::EFAULT);
        assert_eq!(errno(sender.receive(null, 1, Wait::Never)), libc::EBADF);
        assert_eq!(errno(receiver.receive(null, 1, Wait::Never)), libc::EFAULT);
        sender.send(null, 0, 0, Wait::Never).unwrap();
        assert_eq!(receiver.receive(null, 0, Wait::Never), Ok((0, 0)));
    }
}

#[test]
fn an_empty_queue_and_a_full_one_say_so() {
    let world = World::new();
    let key = world.key();
    let queue = make(&key);
    assert_eq!(errno(queue.take(1, Wait::Never)), libc::EAGAIN);
    queue.set_maxbytes(10).unwrap();
    queue.put(b"1234567890", 0, Wait::Never).unwrap();
    assert_eq!(errno(queue.put(b"x", 0, Wait::Never)), libc::EAGAIN);

    let never = open(&key, O_RDWR | O_NONBLOCK).unwrap();
    for wait in [Wait::Unlimited, Wait::For(i64::MAX), Wait::Never] {
        assert_eq!(errno(never.put(b"x", 0, wait)), libc::EAGAIN);
    }
}

#[test]
fn empty_messages_fill_a_queue_too() {
    let world = World::new();
    let queue = make(&world.key());
    queue.set_maxbytes(2).unwrap();
    queue.put(b"", 0, Wait::Never).unwrap();
    queue.put(b"", 0, Wait::Never).unwrap();

    assert_eq!(errno(queue.put(b"", 0, Wait::Never)), libc::EAGAIN);
    assert_eq!(queue.take(0, Wait::Never), Ok((Vec::new(), 0)));
}

#[test]
fn a_message_that_is_too_long_for_the_buffer_stays() {
    let world = World::new();
    let queue = make(&world.key());
    queue.put(b"four", 1, Wait::Never).unwrap();

    let (errno, sentence) = refused(queue.take(3, Wait::Never));

    assert_eq!(errno, libc::EMSGSIZE);
    assert!(sentence.contains("3 bytes") && sentence.contains("stays queued"), "{sentence}");
    assert_eq!(queue.take(4, Wait::Never), Ok((b"four".to_vec(), 1)));
}

#[test]
fn a_message_that_is_too_long_for_the_queue_names_the_limit() {
    let world = World::new();
    let queue = make(&world.key());
    let message = vec![0; queue.msgsize().unwrap() + 1];

    let (errno, sentence) = refused(queue.put(&message, 0, Wait::Unlimited));
    assert_eq!(errno, libc::EMSGSIZE);
    assert!(sentence.contains("/proc/sys/kernel/msgmax"), "{sentence}");

    queue.set_maxbytes(100).unwrap();
    let (errno, sentence) = refused(queue.put(&message[..101], 0, Wait::Unlimited));
    assert_eq!(errno, libc::EMSGSIZE);
    assert!(sentence.contains("holds 100 (mqrs_set_maxbytes"), "{sentence}");
    queue.put(&message[..100], 0, Wait::Unlimited).unwrap();
}

#[test]
fn a_limit_that_was_changed_by_others_is_noticed() {
    let world = World::new();
    let queue = make(&world.key());
    let id = foreign::id_of(queue.name());

    foreign::set_bytes(id, 50);
    for wait in [Wait::Never, Wait::Unlimited, Wait::For(1 << 60)] {
        assert_eq!(errno(queue.put(&[0; 51], 0, wait)), libc::EMSGSIZE);
    }
    foreign::set_bytes(id, 60);
    queue.put(&[0; 51], 0, Wait::Unlimited).unwrap();
    queue.take(51, Wait::Never).unwrap();

    // What we have set ourselves others may change, too.
    queue.set_maxbytes(50).unwrap();
    foreign::set_bytes(id, 60);
    queue.put(&[0; 51], 0, Wait::Never).unwrap();
}

#[test]
fn long_messages_go_through_memory_of_their_own() {
    let Some(world) = World::of_our_own("long-messages") else { return };
    std::fs::write("/proc/sys/kernel/msgmax", "1000000").unwrap();
    std::fs::write("/proc/sys/kernel/msgmnb", "3000000").unwrap();
    let queue = make(&world.key());
    for len in [8191, 8192, 8193, 20_000, 1_000_000] {
        let message: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();

        queue.put(&message, 9, Wait::Unlimited).unwrap();
        assert_eq!(errno(queue.take(len - 1, Wait::Unlimited)), libc::EMSGSIZE);
        // Bytes of others make no difference to the room that is taken.
        queue.put(&message[..100], 1, Wait::Unlimited).unwrap();

        assert_eq!(queue.take(len, Wait::Unlimited), Ok((message.clone(), 9)));
        assert_eq!(queue.take(2_000_000, Wait::Unlimited), Ok((message[..100].to_vec(), 1)));
    }
    assert_eq!(errno(queue.put(&vec![0; 1_000_001], 0, Wait::Never)), libc::EMSGSIZE);
}

#[test]
fn a_removed_queue_is_gone_for_every_handle_and_for_good() {
    let world = World::new();
    let key = world.key();
    let queue = make(&key);
    let other = open(&key, O_RDWR).unwrap();
    queue.put(b"lost", 0, Wait::Never).unwrap();

    queue::unlink(&key).unwrap();

    let _new = Removed(open(&key, O_CREAT | O_RDWR).unwrap());
    for handle in [&queue.0, &other] {
        assert_eq!(errno(handle.put(b"x", 0, Wait::Unlimited)), libc::EIDRM);
        assert_eq!(errno(handle.put(&[0; 100_000], 0, Wait::Never)), libc::EIDRM);
        assert_eq!(errno(handle.take(1, Wait::Unlimited)), libc::EIDRM);
        assert_eq!(errno(handle.attr()), libc::EIDRM);
        assert_eq!(errno(handle.stats()), libc::EIDRM);
        assert_eq!(errno(handle.check()), libc::EIDRM);
        assert_eq!(errno(handle.set_maxbytes(5)), libc::EIDRM);
        assert_eq!(errno(handle.set_owner(0o600, u32::MAX, u32::MAX)), libc::EIDRM);
    }
}

#[test]
fn a_handle_never_reaches_the_queue_that_has_its_number_next() {
    let Some(world) = World::of_our_own("the-same-number") else { return };
    let old = make(&world.key());
    let id = foreign::id_of(old.name());
    queue::unlink(old.name()).unwrap();
    assert_eq!(errno(old.put(b"x", 0, Wait::Never)), libc::EIDRM);

    // It takes the kernel a long time to come back to a number, unless it is told to.
    if std::fs::write("/proc/sys/kernel/msg_next_id", id.to_string()).is_err() {
        return skip("the-same-number", "this kernel does not let numbers be chosen");
    }
    let new = make(&world.key());
    assert_eq!(foreign::id_of(new.name()), id);
    new.put(b"another's", 0, Wait::Never).unwrap();

    for wait in [Wait::Never, Wait::Unlimited, Wait::For(1 << 60)] {
        assert_eq!(errno(old.put(b"x", 0, wait)), libc::EIDRM);
        assert_eq!(errno(old.take(9, wait)), libc::EIDRM);
    }
    assert_eq!(errno(old.attr()), libc::EIDRM);
    assert_eq!(errno(old.set_maxbytes(5)), libc::EIDRM);
    assert_eq!(errno(old.set_owner(0o666, u32::MAX, u32::MAX)), libc::EIDRM);
    assert_eq!(new.attr().unwrap().curmsgs, 1);
}

#[test]
fn each_call_notices_by_itself_that_the_queue_was_removed() {
    let world = World::new();
    let calls: [fn(&queue::Queue) -> i32; 7] = [
        |q| errno(q.put(b"x", 0, Wait::Unlimited)),
        |q| errno(q.take(1, Wait::Unlimited)),
        |q| errno(q.take(1, Wait::Never)),
        |q| errno(q.take(1, Wait::For(1 << 60))),
        |q| errno(q.attr()),
        |q| errno(q.check()),
        |q| errno(q.set_maxbytes(5)),
    ];
    for call in calls {
        let queue = make(&world.key());
        foreign::remove(foreign::id_of(queue.name()));
        assert_eq!(call(&queue), libc::EIDRM);
    }
}

#[test]
fn a_forked_child_uses_the_handle_at_once() {
    let world = World::new();
    let queue = make(&world.key());

    let child = process(|| {
        queue.take(99, Wait::Unlimited) == Ok((b"from the parent".to_vec(), 5))
            && queue.put(b"from the child", 4, Wait::Unlimited).is_ok()
    });
    queue.put(b"from the parent", 5, Wait::Unlimited).unwrap();

    assert_eq!(child.end(), 0);
    assert_eq!(queue.take(99, Wait::Never), Ok((b"from the child".to_vec(), 4)));
}
