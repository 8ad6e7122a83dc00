//! A name that is removed, and handles that are closed, on either side.

use super::{MAXMSG, MSGSIZE, Scene, scene};
use crate::ours::{NOWAIT, Queue, unlink};
use crate::peer::Answer;
use crate::program::Program;
use crate::tests;

tests! {
    [c = POSIX_C c_of_32_bits = POSIX_C32 posix_ipc = POSIX_IPC ipcqueue = IPCQUEUE_POSIXMQ]
    [
        a_name_removed_there_is_gone_here_and_the_queue_lives_on
        a_name_removed_here_is_gone_there_and_the_queue_lives_on
        our_close_leaves_the_queue_to_the_others
        their_close_leaves_the_queue_to_us
    ]
}

fn a_name_removed_there_is_gone_here_and_the_queue_lives_on(program: &'static Program) {
    let Scene { ours, mut theirs, world } = scene!(program);

    theirs.must("unlink");

    let reopened = Queue::open_with(&world.posix(), libc::O_RDWR, 0, 0);
    assert_eq!(reopened.err().unwrap().errno, libc::ENOENT);
    ours.send(b"still", 2, NOWAIT).unwrap();
    theirs.expect(0, 2, b"still");
    let another = Queue::create(&world.posix(), MAXMSG, MSGSIZE);
    another.send(b"elsewhere", 0, NOWAIT).unwrap();
    assert_eq!(theirs.ask("receive 0 now"), Answer::Busy);
}

fn a_name_removed_here_is_gone_there_and_the_queue_lives_on(program: &'static Program) {
    let Scene { ours, mut theirs, world } = scene!(program);

    unlink(&world.posix()).unwrap();

    theirs.send(2, b"still");
    ours.expect(b"still", 2);
    assert_eq!(theirs.ask("unlink"), Answer::Error(libc::ENOENT));
    assert_eq!(unlink(&world.posix()).unwrap_err().errno, libc::ENOENT);
}

fn our_close_leaves_the_queue_to_the_others(program: &'static Program) {
    let Scene { ours, mut theirs, world } = scene!(program);
    ours.send(b"left behind", 2, NOWAIT).unwrap();

    drop(ours);

    theirs.expect(0, 2, b"left behind");
    theirs.send(3, b"for the next");
    Queue::open(&world.posix()).expect(b"for the next", 3);
}

fn their_close_leaves_the_queue_to_us(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    theirs.send(2, b"left behind");

    theirs.must("close");
    drop(theirs);

    ours.expect(b"left behind", 2);
}
