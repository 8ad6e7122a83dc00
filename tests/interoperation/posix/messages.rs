//! What arrives, in which order, and what both sides say of the queue.

use super::{MAXMSG, MSGSIZE, Scene, scene};
use crate::ours::{NOWAIT, Queue};
use crate::peer::Answer;
use crate::program::Program;
use crate::tests;
use crate::world::World;

tests! {
    [c = POSIX_C c_of_32_bits = POSIX_C32 posix_ipc = POSIX_IPC ipcqueue = IPCQUEUE_POSIXMQ]
    [
        messages_of_all_lengths_arrive_unchanged_both_ways
        our_messages_arrive_there_in_the_order_of_priority
        a_queue_that_was_filled_there_is_drained_here_in_the_right_order
        full_and_empty_are_the_same_to_both
        attributes_are_the_same_on_both_sides
        the_sizes_are_those_of_whoever_creates_the_queue
        priorities_have_the_same_limits_on_both_sides
    ]
}

tests! {
    [objects = IPCQUEUE_POSIXMQ]
    [
        a_pickled_object_passes_through_us
    ]
}

fn messages_of_all_lengths_arrive_unchanged_both_ways(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    let longest: Vec<u8> = (0..MSGSIZE).map(|i| (i * 5) as u8).collect();

    for message in [&b""[..], b"\0", b"a\0b", b"text", &longest] {
        ours.send(message, 7, NOWAIT).unwrap();
        theirs.expect(0, 7, message);

        theirs.send(9, message);
        ours.expect(message, 9);
    }
}

fn our_messages_arrive_there_in_the_order_of_priority(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    ours.send(b"low", 1, NOWAIT).unwrap();
    ours.send(b"middle", 300, NOWAIT).unwrap();
    ours.send(b"highest", 32767, NOWAIT).unwrap();
    ours.send(b"middle, later", 300, NOWAIT).unwrap();

    theirs.expect(0, 32767, b"highest");
    theirs.expect(0, 300, b"middle");
    theirs.expect(0, 300, b"middle, later");
    theirs.expect(0, 1, b"low");
}

fn a_queue_that_was_filled_there_is_drained_here_in_the_right_order(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.posix_peer(program) else { return };
    theirs.must(&format!("create {MAXMSG} {MSGSIZE}"));
    theirs.send(0, b"lowest");
    theirs.send(300, b"middle");
    theirs.send(300, b"middle, later");
    theirs.send(32767, b"highest");

    let ours = Queue::open(&world.posix());

    ours.expect(b"highest", 32767);
    ours.expect(b"middle", 300);
    ours.expect(b"middle, later", 300);
    ours.expect(b"lowest", 0);
    assert_eq!(ours.receive(NOWAIT).unwrap_err().errno, libc::EAGAIN);
}

fn full_and_empty_are_the_same_to_both(program: &'static Program) {
    let scene = scene!(program);
    let Scene { ours, mut theirs, .. } = scene;

    assert_eq!(theirs.ask("receive 0 now"), Answer::Busy);
    assert_eq!(theirs.ask("receive 0 20"), Answer::Busy);
    assert_eq!(ours.receive(NOWAIT).unwrap_err().errno, libc::EAGAIN);
    assert_eq!(ours.receive(20_000_000).unwrap_err().errno, libc::ETIMEDOUT);

    for i in 0..MAXMSG {
        if i % 2 == 0 {
            theirs.send(0, b"theirs");
        } else {
            ours.send(b"ours", 0, NOWAIT).unwrap();
        }
    }
    assert_eq!(theirs.ask("send 0 now 61"), Answer::Busy);
    assert_eq!(theirs.ask("send 0 20 61"), Answer::Busy);
    assert_eq!(ours.send(b"a", 0, NOWAIT).unwrap_err().errno, libc::EAGAIN);
    assert_eq!(ours.send(b"a", 0, 20_000_000).unwrap_err().errno, libc::ETIMEDOUT);
}

fn attributes_are_the_same_on_both_sides(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    let told = |count: u64| vec![MAXMSG as i64, MSGSIZE as i64, count as i64];

    for count in 0..=MAXMSG {
        let attributes = ours.attributes();
        assert_eq!(attributes.maxmsg, MAXMSG);
        assert_eq!(attributes.msgsize, MSGSIZE);
        assert_eq!(attributes.curmsgs, count);
        assert_eq!(attributes.curbytes, 3 * count);
        assert_eq!(theirs.numbers("attributes"), told(count));
        if count < MAXMSG {
            theirs.send(count as i64, b"abc");
        }
    }
}

fn the_sizes_are_those_of_whoever_creates_the_queue(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.posix_peer(program) else { return };
    theirs.must("create 3 40");

    let oflag = libc::O_RDWR | libc::O_CREAT;
    let ours = Queue::open_with(&world.posix(), oflag, 9, 900).unwrap();

    assert_eq!((ours.attributes().maxmsg, ours.attributes().msgsize), (3, 40));
    assert_eq!(ours.send(&[1; 41], 0, NOWAIT).unwrap_err().errno, libc::EMSGSIZE);
    ours.send(&[1; 40], 0, NOWAIT).unwrap();
    theirs.expect(0, 0, &[1; 40]);
}

fn priorities_have_the_same_limits_on_both_sides(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    assert_eq!(ours.send(b"", 32768, NOWAIT).unwrap_err().errno, libc::EINVAL);
    assert_eq!(theirs.ask("send 32768 now -"), Answer::Error(libc::EINVAL));

    assert_eq!(ours.attributes().curmsgs, 0);
}

/// An object as Python's pickle writes it is bytes to us.
fn a_pickled_object_passes_through_us(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    theirs.must("put_object");
    let (pickled, priority) = ours.receive(NOWAIT).unwrap();
    ours.send(&pickled, priority, NOWAIT).unwrap();

    assert_eq!(theirs.must("get_object"), ["[1,'A']"]);
}
