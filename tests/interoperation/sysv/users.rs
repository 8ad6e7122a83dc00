//! Who may use the queue and who did: told by some of the peers.

use super::{Scene, scene};
use crate::ours::{NOWAIT, Queue};
use crate::peer::Peer;
use crate::program::Program;
use crate::tests;
use crate::world::World;

tests! {
    [c = SYSV_C c_of_32_bits = SYSV_C32 sysv_ipc = SYSV_IPC]
    [
        both_sides_know_who_sent_and_received_last
        the_mode_is_the_same_on_both_sides
        our_change_of_the_mode_is_seen_there
        a_queue_that_is_there_is_not_created_again
    ]
}

fn both_sides_know_who_sent_and_received_last(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    let us = std::process::id();
    let told = |theirs: &mut Peer| theirs.must("attributes")[2..4].to_vec();

    ours.send(b"a", 0, NOWAIT).unwrap();
    theirs.receive(0);
    assert_eq!(told(&mut theirs), [us.to_string(), theirs.pid().to_string()]);

    theirs.send(1, b"b");
    ours.receive(NOWAIT).unwrap();
    let statistics = ours.statistics();
    assert_eq!(statistics.last_send_pid, theirs.pid());
    assert_eq!(statistics.last_receive_pid, us);
    assert!(statistics.last_send_ns > 0 && statistics.last_receive_ns > 0);
}

fn the_mode_is_the_same_on_both_sides(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(program) else { return };
    theirs.must("create");

    let ours = Queue::open(&world.sysv());

    assert_eq!(ours.attributes().mode, 0o640);
    assert_eq!(theirs.must("attributes")[4], "640");
}

fn our_change_of_the_mode_is_seen_there(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    assert_eq!(theirs.must("attributes")[4], "600");

    ours.set_mode(0o664);

    assert_eq!(theirs.must("attributes")[4], "664");
}

fn a_queue_that_is_there_is_not_created_again(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(program) else { return };
    theirs.must("create");

    let oflag = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let again = Queue::open_with(&world.sysv(), oflag, 0, 0);

    assert_eq!(again.err().unwrap().errno, libc::EEXIST);
}
