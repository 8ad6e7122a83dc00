//! Descriptors: polled on both sides, handed down, adopted; and who waits on them.

use super::{MAXMSG, MSGSIZE, Scene, scene};
use crate::ours::{FOREVER, LONG, NOWAIT, Queue, asleep_in, unlink};
use crate::peer::{Answer, Peer, got};
use crate::program::Program;
use crate::tests;
use crate::world::World;

tests! {
    [c = POSIX_C c_of_32_bits = POSIX_C32 posix_ipc = POSIX_IPC]
    [
        our_descriptor_is_readable_when_they_have_sent
        a_sender_there_ends_our_poll
        their_descriptor_is_readable_when_we_have_sent
        waiting_is_switched_off_for_one_side_alone
    ]
}

tests! {
    [heir = POSIX_C]
    [
        a_program_uses_a_descriptor_that_we_hand_down
        waiting_switched_off_on_our_handle_leaves_a_handed_down_descriptor_alone
        waiting_switched_off_on_a_handed_down_descriptor_leaves_our_handle_alone
    ]
}

/// Poll for a message, for so many milliseconds (-1: for ever).
fn is_readable(queue: &Queue, timeout_ms: i32) -> bool {
    let mut item = libc::pollfd { fd: queue.fd().unwrap(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one item.
    assert_ne!(unsafe { libc::poll(&mut item, 1, timeout_ms) }, -1);
    item.revents & libc::POLLIN != 0
}

fn our_descriptor_is_readable_when_they_have_sent(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    assert!(!is_readable(&ours, 0));

    theirs.send(0, b"here");

    assert!(is_readable(&ours, 0));
    theirs.expect(0, 0, b"here");
    assert!(!is_readable(&ours, 0));
}

fn a_sender_there_ends_our_poll(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    std::thread::scope(|scope| {
        let polled = asleep_in(scope, || is_readable(&ours, -1));

        theirs.send(0, b"here");

        assert!(polled.join().unwrap());
    });
}

fn their_descriptor_is_readable_when_we_have_sent(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    assert_eq!(theirs.numbers("poll"), [0, 1]);

    ours.send(b"here", 0, NOWAIT).unwrap();
    assert_eq!(theirs.numbers("poll"), [1, 1]);

    for _ in 1..MAXMSG {
        ours.send(b"more", 0, NOWAIT).unwrap();
    }
    assert_eq!(theirs.numbers("poll"), [1, 0]);
}

fn waiting_is_switched_off_for_one_side_alone(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    theirs.must("nonblock 1");
    assert_eq!(theirs.ask("receive 0 forever"), Answer::Busy);
    assert_eq!(ours.receive(20_000_000).unwrap_err().errno, libc::ETIMEDOUT);

    theirs.must("nonblock 0");
    ours.set_nonblock(true);
    assert_eq!(ours.receive(FOREVER).unwrap_err().errno, libc::EAGAIN);
    theirs.say("receive 0 forever");
    theirs.wait_until_asleep();
    ours.send(b"wake", 0, FOREVER).unwrap();
    assert_eq!(got(theirs.hear()), theirs.as_told(0, b"wake"));
}

/// A peer that has inherited a descriptor of ours.
fn heir(world: &World, ours: &Queue, program: &'static Program) -> Option<Peer> {
    use std::os::fd::AsRawFd as _;
    let handed_down = ours.duplicate();
    // SAFETY: an open descriptor of ours; programs that are started now inherit it.
    assert_ne!(unsafe { libc::fcntl(handed_down.as_raw_fd(), libc::F_SETFD, 0) }, -1);
    let mut theirs = world.posix_peer(program)?;
    theirs.must(&format!("adopt {}", handed_down.as_raw_fd()));
    Some(theirs)
}

fn a_program_uses_a_descriptor_that_we_hand_down(program: &'static Program) {
    let world = World::new();
    let ours = Queue::create(&world.posix(), MAXMSG, MSGSIZE);
    unlink(&world.posix()).unwrap();
    let Some(mut theirs) = heir(&world, &ours, program) else { return };

    ours.send(b"to a program", 6, NOWAIT).unwrap();
    theirs.expect(0, 6, b"to a program");
    theirs.send(8, b"and back");
    ours.expect(b"and back", 8);
}

fn waiting_switched_off_on_our_handle_leaves_a_handed_down_descriptor_alone(
    program: &'static Program,
) {
    let world = World::new();
    let ours = Queue::create(&world.posix(), MAXMSG, MSGSIZE);
    let Some(mut theirs) = heir(&world, &ours, program) else { return };

    ours.set_nonblock(true);

    theirs.say("receive 0 forever");
    theirs.wait_until_asleep();
    ours.send(b"wake", 0, NOWAIT).unwrap();
    assert_eq!(got(theirs.hear()), theirs.as_told(0, b"wake"));
}

fn waiting_switched_off_on_a_handed_down_descriptor_leaves_our_handle_alone(
    program: &'static Program,
) {
    let world = World::new();
    let ours = Queue::create(&world.posix(), MAXMSG, MSGSIZE);
    let Some(mut theirs) = heir(&world, &ours, program) else { return };

    theirs.must("nonblock 1");

    assert_eq!(theirs.ask("receive 0 forever"), Answer::Busy);
    assert_eq!(ours.receive(20_000_000).unwrap_err().errno, libc::ETIMEDOUT);
    for timeout in [FOREVER, LONG] {
        std::thread::scope(|scope| {
            let received = asleep_in(scope, || ours.receive(timeout));
            theirs.send(3, b"wake");
            assert_eq!(received.join().unwrap().unwrap(), (b"wake".to_vec(), 3));
        });
    }
    for _ in 0..MAXMSG {
        ours.send(b"before", 5, NOWAIT).unwrap();
    }
    std::thread::scope(|scope| {
        let sent = asleep_in(scope, || ours.send(b"later", 4, LONG));
        theirs.expect(0, 5, b"before");
        sent.join().unwrap().unwrap();
    });
}

#[test]
fn a_descriptor_that_a_program_opened_is_adopted() {
    let world = World::new();
    let name = std::ffi::CString::new(world.name()).unwrap();
    // SAFETY: a C string, and attributes of which only the sizes count.
    let fd = unsafe {
        let mut sizes: libc::mq_attr = std::mem::zeroed();
        sizes.mq_maxmsg = MAXMSG as _;
        sizes.mq_msgsize = MSGSIZE as _;
        libc::mq_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600, &sizes)
    };
    assert_ne!(fd, -1);
    let text = b"sent by mq_send";
    // SAFETY: readable for its length.
    assert_eq!(unsafe { libc::mq_send(fd, text.as_ptr().cast(), text.len(), 6) }, 0);

    let ours = Queue::adopt(fd).unwrap();

    assert_eq!(ours.attributes().maxmsg, MAXMSG);
    ours.expect(text, 6);
}
