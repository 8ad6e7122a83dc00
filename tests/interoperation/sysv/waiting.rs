//! Each side ends the waits of the other.

use super::{LOWEST, Scene, scene, type_of};
use crate::ours::{FOREVER, LONG, NOWAIT, Queue, asleep_in, unlink};
use crate::peer::{Answer, got, word_of};
use crate::program::Program;
use crate::sharing::every_message_is_received_once;
use crate::tests;

tests! {
    [c = SYSV_C c_of_32_bits = SYSV_C32 sysv_ipc = SYSV_IPC ipcqueue = IPCQUEUE_SYSVMQ]
    [
        a_sender_there_wakes_our_receiver_timed_or_not
        a_sender_there_wakes_our_receiver_of_its_type_alone
        our_sender_wakes_a_receiver_there
        a_receiver_there_makes_room_for_our_sender_timed_or_not
        our_receiver_makes_room_for_a_sender_there
        a_removal_there_ends_our_waits_and_our_later_calls
        our_unlink_ends_their_waits
        senders_and_receivers_of_both_kinds_share_the_messages
    ]
}

fn a_sender_there_wakes_our_receiver_timed_or_not(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));

    let calls: [fn(&Queue) -> _; 3] =
        [Queue::receive_blocking, |ours| ours.receive(FOREVER), |ours| ours.receive(LONG)];
    for call in calls {
        std::thread::scope(|scope| {
            let received = asleep_in(scope, || call(&ours));

            theirs.send(type_of(3), b"wake");

            assert_eq!(received.join().unwrap().unwrap(), (b"wake".to_vec(), 3));
        });
    }
}

fn a_sender_there_wakes_our_receiver_of_its_type_alone(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    let by_type = mqueue_rs::mqrs_constants_receive::MQRS_RECV_TYPE as u64;

    for timeout in [FOREVER, LONG] {
        std::thread::scope(|scope| {
            let received = asleep_in(scope, || ours.take(8, 64, 0, by_type, timeout));

            theirs.send(7, b"for others");
            theirs.send(8, b"for us");

            assert_eq!(received.join().unwrap().unwrap().bytes, b"for us");
            theirs.expect(7, 7, b"for others");
        });
    }
}

fn our_sender_wakes_a_receiver_there(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(program));
    theirs.say("receive 0 forever");
    theirs.wait_until_asleep();

    ours.send(b"wake", 3, NOWAIT).unwrap();

    assert_eq!(got(theirs.hear()), theirs.as_told(type_of(3), b"wake"));
}

fn a_receiver_there_makes_room_for_our_sender_timed_or_not(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::full(program));

    let calls: [fn(&Queue) -> _; 3] = [
        |ours| ours.send_blocking(&[b'l'; 16], 4),
        |ours| ours.send(&[b'l'; 16], 4, FOREVER),
        |ours| ours.send(&[b'l'; 16], 4, LONG),
    ];
    for call in calls {
        std::thread::scope(|scope| {
            let sent = asleep_in(scope, || call(&ours));

            theirs.expect(0, type_of(5), &[b'b'; 16]);

            sent.join().unwrap().unwrap();
        });
    }
    ours.expect(&[b'b'; 16], 5);
    for _ in calls {
        ours.expect(&[b'l'; 16], 4);
    }
}

fn our_receiver_makes_room_for_a_sender_there(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::full(program));
    theirs.say(&format!("send {} forever {}", type_of(4), word_of(&[b'l'; 16])));
    theirs.wait_until_asleep();

    ours.expect(&[b'b'; 16], 5);

    assert_eq!(theirs.hear(), Answer::Ok(vec![]));
    for _ in 0..3 {
        ours.expect(&[b'b'; 16], 5);
    }
    ours.expect(&[b'l'; 16], 4);
}

fn a_removal_there_ends_our_waits_and_our_later_calls(program: &'static Program) {
    for timeout in [FOREVER, LONG] {
        for receives in [true, false] {
            let Scene { ours, mut theirs, world: _world } = scene!(Scene::full(program));
            if receives {
                for _ in 0..4 {
                    ours.expect(&[b'b'; 16], 5);
                }
            }
            std::thread::scope(|scope| {
                let call = asleep_in(scope, || {
                    if receives {
                        ours.receive(timeout).map(drop)
                    } else {
                        ours.send(b"more", 0, timeout)
                    }
                });

                theirs.must("remove");

                assert_eq!(call.join().unwrap().unwrap_err().errno, libc::EIDRM);
            });
            assert_eq!(ours.receive(NOWAIT).unwrap_err().errno, libc::EIDRM);
            assert_eq!(ours.send(b"", 0, NOWAIT).unwrap_err().errno, libc::EIDRM);
            assert_eq!(ours.try_attributes().unwrap_err().errno, libc::EIDRM);
        }
    }
}

fn our_unlink_ends_their_waits(program: &'static Program) {
    let Scene { ours: _ours, mut theirs, world } = scene!(Scene::new(program));
    theirs.say("receive 0 forever");
    theirs.wait_until_asleep();

    unlink(&world.sysv()).unwrap();

    assert_eq!(theirs.hear(), Answer::Gone);
}

/// Two senders, two receivers, one of each kind: every message is received once.
fn senders_and_receivers_of_both_kinds_share_the_messages(program: &'static Program) {
    let Scene { ours, theirs: sender, world } = scene!(Scene::new(program));
    ours.set_most_bytes(64);
    let Some(mut receiver) = world.sysv_peer(program) else { return };
    receiver.must("open");

    let send = |prio, message: &str| format!("send {} forever {message}", type_of(prio));
    let receive = format!("receive -{LOWEST} forever");
    every_message_is_received_once(&ours, sender, receiver, send, &receive);
}
