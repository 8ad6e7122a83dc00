//! Each side ends the waits of the other.

use super::{MAXMSG, MSGSIZE, Scene, scene};
use crate::ours::{FOREVER, LONG, NOWAIT, Queue, asleep_in};
use crate::peer::{Answer, got, word_of};
use crate::program::Program;
use crate::sharing::every_message_is_received_once;
use crate::tests;

tests! {
    [c = POSIX_C c_of_32_bits = POSIX_C32 posix_ipc = POSIX_IPC ipcqueue = IPCQUEUE_POSIXMQ]
    [
        a_sender_there_wakes_our_receiver_timed_or_not
        our_sender_wakes_a_receiver_there_timed_or_not
        a_receiver_there_makes_room_for_our_sender_timed_or_not
        our_receiver_makes_room_for_a_sender_there_timed_or_not
        senders_and_receivers_of_both_kinds_share_the_messages
    ]
}

fn a_sender_there_wakes_our_receiver_timed_or_not(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    let calls: [fn(&Queue) -> _; 3] =
        [Queue::receive_blocking, |ours| ours.receive(FOREVER), |ours| ours.receive(LONG)];
    for call in calls {
        std::thread::scope(|scope| {
            let received = asleep_in(scope, || call(&ours));

            theirs.send(3, b"wake");

            assert_eq!(received.join().unwrap().unwrap(), (b"wake".to_vec(), 3));
        });
    }
}

fn our_sender_wakes_a_receiver_there_timed_or_not(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    for wait in ["forever", "100000"] {
        theirs.say(&format!("receive 0 {wait}"));
        theirs.wait_until_asleep();

        ours.send(b"wake", 3, NOWAIT).unwrap();

        assert_eq!(got(theirs.hear()), theirs.as_told(3, b"wake"));
    }
}

fn a_receiver_there_makes_room_for_our_sender_timed_or_not(program: &'static Program) {
    let scene = scene!(program);
    scene.fill();
    let Scene { ours, mut theirs, world: _world } = scene;

    let calls: [fn(&Queue) -> _; 3] = [
        |ours| ours.send_blocking(b"later", 4),
        |ours| ours.send(b"later", 4, FOREVER),
        |ours| ours.send(b"later", 4, LONG),
    ];
    for call in calls {
        std::thread::scope(|scope| {
            let sent = asleep_in(scope, || call(&ours));

            theirs.expect(0, 5, b"before");

            sent.join().unwrap().unwrap();
        });
    }
    ours.expect(b"before", 5);
    for _ in calls {
        ours.expect(b"later", 4);
    }
}

fn our_receiver_makes_room_for_a_sender_there_timed_or_not(program: &'static Program) {
    let scene = scene!(program);
    scene.fill();
    let Scene { ours, mut theirs, world: _world } = scene;

    for wait in ["forever", "100000"] {
        theirs.say(&format!("send 4 {wait} {}", word_of(b"later")));
        theirs.wait_until_asleep();

        ours.expect(b"before", 5);

        assert_eq!(theirs.hear(), Answer::Ok(vec![]));
    }
    for _ in 0..MAXMSG - 2 {
        ours.expect(b"before", 5);
    }
    ours.expect(b"later", 4);
    ours.expect(b"later", 4);
}

/// Two senders, two receivers, one of each kind: every message is received once.
fn senders_and_receivers_of_both_kinds_share_the_messages(program: &'static Program) {
    let Scene { ours, theirs: sender, world } = scene!(program);
    let Some(mut receiver) = world.posix_peer(program) else { return };
    receiver.must(&format!("open {MAXMSG} {MSGSIZE}"));

    let send = |prio, message: &str| format!("send {prio} 100000 {message}");
    every_message_is_received_once(&ours, sender, receiver, send, "receive 0 100000");
}
