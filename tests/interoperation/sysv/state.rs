//! What both sides say of the queue, and what each changes for the other.

use super::{Scene, scene, type_of};
use crate::ours::{NOWAIT, Queue, listed};
use crate::peer::Answer;
use crate::program::Program;
use crate::tests;
use crate::world::World;

tests! {
    [c = SYSV_C c_of_32_bits = SYSV_C32 sysv_ipc = SYSV_IPC ipcqueue = IPCQUEUE_SYSVMQ]
    [
        full_and_empty_are_the_same_to_both
        counts_and_sizes_are_the_same_on_both_sides
        our_size_is_their_limit
        our_close_leaves_the_queue_to_the_others
        the_list_has_their_queue
    ]
}

fn full_and_empty_are_the_same_to_both(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::full(program));

    assert_eq!(theirs.ask("send 1 now 61"), Answer::Busy);
    assert_eq!(ours.send(b"a", 0, NOWAIT).unwrap_err().errno, libc::EAGAIN);
    assert_eq!(ours.send(b"a", 0, 30_000_000).unwrap_err().errno, libc::ETIMEDOUT);

    for _ in 0..4 {
        ours.expect(&[b'b'; 16], 5);
    }
    assert_eq!(theirs.ask("receive 0 now"), Answer::Busy);
    assert_eq!(ours.receive(NOWAIT).unwrap_err().errno, libc::EAGAIN);
    assert_eq!(ours.receive(30_000_000).unwrap_err().errno, libc::ETIMEDOUT);
}

fn counts_and_sizes_are_the_same_on_both_sides(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));

    for count in 0..4 {
        let attributes = ours.attributes();
        assert_eq!(attributes.curmsgs, count);
        assert_eq!(attributes.curbytes, 3 * count);
        // The mode is octal, and not told by all.
        let told: Vec<u64> =
            theirs.must("attributes")[..2].iter().map(|word| word.parse().unwrap()).collect();
        assert_eq!(told, [count, attributes.maxmsg]);
        theirs.send(1, b"abc");
    }
}

fn our_size_is_their_limit(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));

    ours.set_most_bytes(100);
    assert_eq!(theirs.must("attributes")[1], "100");

    theirs.must("bytes 50");
    assert_eq!(ours.attributes().maxmsg, 50);
    assert_eq!(ours.attributes().msgsize, 50);
    assert_eq!(ours.send(&[1; 51], 0, NOWAIT).unwrap_err().errno, libc::EMSGSIZE);
}

fn our_close_leaves_the_queue_to_the_others(program: &'static Program) {
    let Scene { ours, mut theirs, world } = scene!(Scene::new(program));
    ours.send(b"left behind", 2, NOWAIT).unwrap();

    drop(ours);

    theirs.expect(0, type_of(2), b"left behind");
    theirs.send(type_of(3), b"for the next");
    Queue::open(&world.sysv()).expect(b"for the next", 3);
}

fn the_list_has_their_queue(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(program) else { return };
    theirs.must("create");
    theirs.send(1, b"abc");

    let listed = listed(3).unwrap();

    let address = format!("sysv:{:#x}", world.key());
    let (_, attributes) = listed.iter().find(|(name, _)| *name == address).expect("it is there");
    assert_eq!((attributes.curmsgs, attributes.curbytes), (1, 3));
}
