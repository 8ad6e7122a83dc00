//! The kernel's POSIX queues, shared with programs that use them directly.

use crate::ours::{FOREVER, LONG, NOWAIT, Queue, asleep_in, unlink};
use crate::peer::{Answer, Peer, got, word_of};
use crate::program::{self, Program};
use crate::tests_with;
use crate::world::World;

mod notification;

const MAXMSG: u64 = 4;
const MSGSIZE: u64 = 64;

/// Cases that every kind of peer can do.
macro_rules! tests_with_all {
    ($($module:ident = $program:ident)*) => { $(
        mod $module {
            use super::*;

            tests_with! { $program:
                messages_of_all_lengths_arrive_unchanged_both_ways
                our_messages_arrive_there_in_the_order_of_priority
                a_queue_that_was_filled_there_is_drained_here_in_the_right_order
                a_sender_there_wakes_our_receiver_timed_or_not
                our_sender_wakes_a_receiver_there_timed_or_not
                a_receiver_there_makes_room_for_our_sender_timed_or_not
                our_receiver_makes_room_for_a_sender_there_timed_or_not
                full_and_empty_are_the_same_to_both
                attributes_are_the_same_on_both_sides
                the_sizes_are_those_of_whoever_creates_the_queue
                a_name_removed_there_is_gone_here_and_the_queue_lives_on
                a_name_removed_here_is_gone_there_and_the_queue_lives_on
                our_close_leaves_the_queue_to_the_others
                their_close_leaves_the_queue_to_us
                senders_and_receivers_of_both_kinds_share_the_messages
            }
        }
    )* };
}

tests_with_all! {
    c = POSIX_C
    c_of_32_bits = POSIX_C32
    posix_ipc = POSIX_IPC
    ipcqueue = IPCQUEUE_POSIXMQ
}

/// Cases for peers that show the queue's descriptor or switch waiting off.
macro_rules! tests_with_descriptors {
    ($($module:ident = $program:ident)*) => { $(
        mod $module {
            use super::*;

            tests_with! { $program:
                our_descriptor_is_readable_when_they_have_sent
                their_descriptor_is_readable_when_we_have_sent
                waiting_is_switched_off_for_one_side_alone
                priorities_have_the_same_limits_on_both_sides
            }
        }
    )* };
}

mod descriptors {
    use super::*;

    tests_with_descriptors! { c = POSIX_C c_of_32_bits = POSIX_C32 posix_ipc = POSIX_IPC }
}

/// Cases for peers that can use a descriptor which they inherit.
mod inherited {
    use super::*;

    tests_with! { POSIX_C:
        a_program_uses_a_descriptor_that_we_hand_down
        waiting_switched_off_on_our_handle_leaves_a_handed_down_descriptor_alone
        waiting_switched_off_on_a_handed_down_descriptor_leaves_our_handle_alone
    }
}

/// A case for peers that put Python's objects into messages.
mod objects {
    use super::*;

    tests_with! { IPCQUEUE_POSIXMQ: a_pickled_object_passes_through_us }
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
        let mut theirs = world.posix_peer(program)?;
        let ours = Queue::create(&world.posix(), MAXMSG, MSGSIZE);
        theirs.must(&format!("open {MAXMSG} {MSGSIZE}"));
        Some(Scene { world, ours, theirs })
    }

    fn fill(&self) {
        for _ in 0..MAXMSG {
            self.ours.send(b"before", 5, NOWAIT).unwrap();
        }
    }
}

/// The scene of a test, or its end if that peer cannot run here.
macro_rules! scene {
    ($program:expr) => {
        match Scene::new($program) {
            Some(scene) => scene,
            None => return,
        }
    };
}
use scene;

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

/// Two senders, two receivers, one of each kind: every message is received once.
fn senders_and_receivers_of_both_kinds_share_the_messages(program: &'static Program) {
    const EACH: u8 = 100;
    let Scene { ours, theirs: mut sender, world } = scene!(program);
    let Some(mut receiver) = world.posix_peer(program) else { return };
    receiver.must(&format!("open {MAXMSG} {MSGSIZE}"));

    let mut received = std::thread::scope(|scope| {
        let senders = [
            scope.spawn(|| {
                for i in 0..EACH {
                    ours.send(&[b'o', i], u32::from(i % 3), LONG).unwrap();
                }
            }),
            scope.spawn(|| {
                for i in 0..EACH {
                    let message = word_of(&[b't', i]);
                    sender.must(&format!("send {} 100000 {message}", i % 3));
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
                let received = std::iter::from_fn(|| Some(got(receiver.ask("receive 0 100000"))));
                let received = received.map(|got| got.bytes);
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

fn is_readable(queue: &Queue) -> bool {
    let mut item = libc::pollfd { fd: queue.fd().unwrap(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one item.
    assert_ne!(unsafe { libc::poll(&mut item, 1, 0) }, -1);
    item.revents & libc::POLLIN != 0
}

fn our_descriptor_is_readable_when_they_have_sent(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    assert!(!is_readable(&ours));

    theirs.send(0, b"here");

    assert!(is_readable(&ours));
    theirs.expect(0, 0, b"here");
    assert!(!is_readable(&ours));
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

fn priorities_have_the_same_limits_on_both_sides(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    assert_eq!(ours.send(b"", 32768, NOWAIT).unwrap_err().errno, libc::EINVAL);
    assert_eq!(theirs.ask("send 32768 now -"), Answer::Error(libc::EINVAL));

    assert_eq!(ours.attributes().curmsgs, 0);
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

/// An object as Python's pickle writes it is bytes to us.
fn a_pickled_object_passes_through_us(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);

    theirs.must("put_object");
    let (pickled, priority) = ours.receive(NOWAIT).unwrap();
    ours.send(&pickled, priority, NOWAIT).unwrap();

    assert_eq!(theirs.must("get_object"), ["[1,'A']"]);
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
