//! System V queues, shared with programs that use them directly.
//!
//! Our priorities are types there: type = 32768 - priority.

use crate::ours::{FOREVER, LONG, NOWAIT, Queue, asleep_in, unlink};
use crate::peer::{Answer, Peer, got, word_of};
use crate::program::{self, Program};
use crate::tests_with;
use crate::world::World;

mod selection;

/// The lowest priority's type.
const LOWEST: i64 = 32768;

fn type_of(priority: u32) -> i64 {
    LOWEST - i64::from(priority)
}

macro_rules! tests_with_all {
    ($($module:ident = $program:ident)*) => { $(
        mod $module {
            use super::*;

            tests_with! { $program:
                messages_of_all_lengths_arrive_unchanged_both_ways
                our_priorities_are_types_there
                a_queue_that_was_filled_there_is_drained_here_in_the_right_order
                types_beyond_the_priorities_are_the_lowest_priority
                a_type_below_one_is_refused_on_both_sides
                our_types_are_what_they_select_by
                their_types_are_what_we_select_by
                a_sender_there_wakes_our_receiver_timed_or_not
                a_sender_there_wakes_our_receiver_of_its_type_alone
                our_sender_wakes_a_receiver_there
                a_receiver_there_makes_room_for_our_sender_timed_or_not
                our_receiver_makes_room_for_a_sender_there
                full_and_empty_are_the_same_to_both
                counts_and_sizes_are_the_same_on_both_sides
                our_size_is_their_limit
                a_removal_there_ends_our_waits_and_our_later_calls
                our_unlink_ends_their_waits
                our_close_leaves_the_queue_to_the_others
                the_list_has_their_queue
                senders_and_receivers_of_both_kinds_share_the_messages
            }
        }
    )* };
}

tests_with_all! {
    c = SYSV_C
    c_of_32_bits = SYSV_C32
    sysv_ipc = SYSV_IPC
    ipcqueue = IPCQUEUE_SYSVMQ
}

/// Cases for peers that tell who used the queue last.
macro_rules! tests_with_last_users {
    ($($module:ident = $program:ident)*) => { $(
        mod $module {
            use super::*;

            tests_with! { $program:
                both_sides_know_who_sent_and_received_last
                the_mode_is_the_same_on_both_sides
                a_queue_that_is_there_is_not_created_again
            }
        }
    )* };
}

mod last_users {
    use super::*;

    tests_with_last_users! { c = SYSV_C c_of_32_bits = SYSV_C32 sysv_ipc = SYSV_IPC }
}

/// A case for peers that put Python's objects into messages.
mod objects {
    use super::*;

    tests_with! { IPCQUEUE_SYSVMQ: a_pickled_object_passes_through_us }
}

/// A queue of ours and a peer that has it open.
struct Scene {
    world: World,
    ours: Queue,
    theirs: Peer,
}

impl Scene {
    fn new(program: &'static Program) -> Option<Scene> {
        let world = World::new();
        let mut theirs = world.sysv_peer(program)?;
        let ours = Queue::create(&world.sysv(), 0, 0);
        theirs.must("open");
        Some(Scene { world, ours, theirs })
    }

    /// A queue with room for four messages of 16 bytes, and those in it.
    fn full(program: &'static Program) -> Option<Scene> {
        let mut scene = Scene::new(program)?;
        scene.ours.set_most_bytes(4 * 16);
        // Some look at the size when they open the queue.
        scene.theirs.must("open");
        for _ in 0..4 {
            scene.ours.send(&[b'b'; 16], 5, NOWAIT).unwrap();
        }
        Some(scene)
    }
}

/// The scene of a test, or its end if that peer cannot run here.
macro_rules! scene {
    ($scene:expr) => {
        match $scene {
            Some(scene) => scene,
            None => return,
        }
    };
}
use scene;

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

    let listed = crate::ours::listed(3).unwrap();

    let address = format!("sysv:{:#x}", world.key());
    let (_, attributes) = listed.iter().find(|(name, _)| *name == address).expect("it is there");
    assert_eq!((attributes.curmsgs, attributes.curbytes), (1, 3));
}

/// Two senders, two receivers, one of each kind: every message is received once.
fn senders_and_receivers_of_both_kinds_share_the_messages(program: &'static Program) {
    const EACH: u8 = 100;
    let Scene { ours, theirs: mut sender, world } = scene!(Scene::new(program));
    ours.set_most_bytes(64);
    let Some(mut receiver) = world.sysv_peer(program) else { return };
    receiver.must("open");

    let mut received = std::thread::scope(|scope| {
        let senders = [
            scope.spawn(|| {
                for i in 0..EACH {
                    ours.send(&[b'o', i], u32::from(i % 3), LONG).unwrap();
                }
            }),
            scope.spawn(|| {
                for i in 0..EACH {
                    let kind = type_of(u32::from(i % 3));
                    sender.must(&format!("send {kind} forever {}", word_of(&[b't', i])));
                }
            }),
        ];
        // An empty message of the lowest priority ends a receiver.
        let receivers = [
            scope.spawn(|| {
                let received = std::iter::from_fn(|| Some(ours.receive(LONG).unwrap().0));
                received.take_while(|message| !message.is_empty()).collect::<Vec<_>>()
            }),
            scope.spawn(|| {
                let ask = format!("receive -{LOWEST} forever");
                let received = std::iter::from_fn(|| Some(got(receiver.ask(&ask)).bytes));
                received.take_while(|message| !message.is_empty()).collect()
            }),
        ];
        for sender in senders {
            sender.join().unwrap();
        }
        for _ in &receivers {
            ours.send(b"", 0, LONG).unwrap();
        }
        receivers.map(|receiver| receiver.join().unwrap()).concat()
    });

    received.sort();
    let sent = [b'o', b't'].map(|from| (0..EACH).map(|i| vec![from, i]).collect::<Vec<_>>());
    assert_eq!(received, sent.concat());
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

fn the_mode_is_the_same_on_both_sides(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(program) else { return };
    theirs.must("create");

    let ours = Queue::open(&world.sysv());

    assert_eq!(ours.attributes().mode, 0o640);
    assert_eq!(theirs.must("attributes")[4], "640");
}

fn a_queue_that_is_there_is_not_created_again(program: &'static Program) {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(program) else { return };
    theirs.must("create");

    let oflag = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let again = Queue::open_with(&world.sysv(), oflag, 0, 0);

    assert_eq!(again.err().unwrap().errno, libc::EEXIST);
}
