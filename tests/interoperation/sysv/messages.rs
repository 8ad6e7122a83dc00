//! What arrives, in which order, and of which type.

use super::{LOWEST, Scene, scene, type_of};
use crate::ours::{NOWAIT, Queue};
use crate::peer::Answer;
use crate::program::Program;
use crate::tests;
use crate::world::World;

tests! {
    [c = SYSV_C c_of_32_bits = SYSV_C32 sysv_ipc = SYSV_IPC ipcqueue = IPCQUEUE_SYSVMQ]
    [
        messages_of_all_lengths_arrive_unchanged_both_ways
        our_priorities_are_types_there
        a_queue_that_was_filled_there_is_drained_here_in_the_right_order
        types_beyond_the_priorities_are_the_lowest_priority
        a_type_below_one_is_refused_on_both_sides
        our_types_are_what_they_select_by
        their_types_are_what_we_select_by
    ]
}

tests! {
    [objects = IPCQUEUE_SYSVMQ]
    [
        a_pickled_object_passes_through_us
    ]
}

fn messages_of_all_lengths_arrive_unchanged_both_ways(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    let longest: Vec<u8> = (0..8192).map(|i| (i * 5) as u8).collect();

    for message in [&b""[..], b"\0", b"a\0b", b"text", &longest] {
        ours.send(message, 7, NOWAIT).unwrap();
        theirs.expect(0, type_of(7), message);

        theirs.send(type_of(9), message);
        ours.expect(message, 9);
    }
}

fn our_priorities_are_types_there(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));

    ours.send(b"low", 1, NOWAIT).unwrap();
    ours.send(b"middle", 300, NOWAIT).unwrap();
    ours.send(b"highest", 32767, NOWAIT).unwrap();
    ours.send(b"middle, later", 300, NOWAIT).unwrap();
    ours.send(b"lowest", 0, NOWAIT).unwrap();

    theirs.expect(-LOWEST, 1, b"highest");
    theirs.expect(-LOWEST, 32468, b"middle");
    theirs.expect(-LOWEST, 32468, b"middle, later");
    theirs.expect(-LOWEST, 32767, b"low");
    theirs.expect(-LOWEST, 32768, b"lowest");
}

fn a_queue_that_was_filled_there_is_drained_here_in_the_right_order(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(program) else { return };
    theirs.must("create");
    theirs.send(type_of(0), b"lowest");
    theirs.send(type_of(300), b"middle");
    theirs.send(40000, b"foreign");
    theirs.send(type_of(300), b"middle, later");
    theirs.send(type_of(32767), b"highest");

    let ours = Queue::open(&world.sysv());

    ours.expect(b"highest", 32767);
    ours.expect(b"middle", 300);
    ours.expect(b"middle, later", 300);
    ours.expect(b"lowest", 0);
    ours.expect(b"foreign", 0);
    assert_eq!(ours.receive(NOWAIT).unwrap_err().errno, libc::EAGAIN);
}

fn types_beyond_the_priorities_are_the_lowest_priority(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    theirs.send(i64::from(i32::MAX), b"furthest");
    theirs.send(LOWEST + 1, b"just beyond");

    let first = ours.take(0, 64, 0, 0, NOWAIT).unwrap();
    let second = ours.take(0, 64, 0, 0, NOWAIT).unwrap();

    assert_eq!((&first.bytes[..], first.priority, first.kind), (&b"just beyond"[..], 0, 32769));
    let furthest = i64::from(i32::MAX);
    assert_eq!((&second.bytes[..], second.priority, second.kind), (&b"furthest"[..], 0, furthest));
}

fn our_types_are_what_they_select_by(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    for (message, kind) in [(b"A", 1), (b"B", 2), (b"C", 2), (b"D", 1), (b"E", 70000)] {
        ours.send_typed(message, kind).unwrap();
    }

    theirs.expect(70000, 70000, b"E");
    theirs.expect(2, 2, b"B");
    theirs.expect(-5, 1, b"A");
    theirs.expect(0, 2, b"C");
    theirs.expect(0, 1, b"D");
}

fn their_types_are_what_we_select_by(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    for (message, kind) in [(b"A", 1), (b"B", 2), (b"C", 2), (b"D", 1), (b"E", 70000)] {
        theirs.send(kind, message);
    }
    let by_type = mqueue_rs::mqrs_constants_receive::MQRS_RECV_TYPE as u64;
    let take = |selector| {
        let message = ours.take(selector, 64, 0, by_type, NOWAIT).unwrap();
        (message.bytes[0], message.kind)
    };

    assert_eq!(take(70000), (b'E', 70000));
    assert_eq!(take(2), (b'B', 2));
    assert_eq!(take(-5), (b'A', 1));
    assert_eq!(take(0), (b'C', 2));
    assert_eq!(take(0), (b'D', 1));
}

/// An object as Python's pickle writes it is bytes to us.
fn a_pickled_object_passes_through_us(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));

    theirs.must("put_object");
    let (pickled, priority) = ours.receive(NOWAIT).unwrap();
    ours.send(&pickled, priority, NOWAIT).unwrap();

    assert_eq!(theirs.must("get_object"), ["[1,'A']"]);
}

fn a_type_below_one_is_refused_on_both_sides(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));

    for kind in [0, -1] {
        assert_eq!(ours.send_typed(b"", kind).unwrap_err().errno, libc::EINVAL);
        assert_eq!(theirs.ask(&format!("send {kind} now -")), Answer::Error(libc::EINVAL));
    }
}
