//! Many threads over one segment in plain memory, for the checkers of memory accesses:
//! Miri and ThreadSanitizer see every access here, and who ordered it. (Between processes,
//! or two mappings of one file, they would see different addresses.)
//!
//! Each thread is an owner of its own, with the real locks on a file in memory, so an owner
//! dies when its description is closed. `make miri`, `make tsan`; `cargo test` runs the same.

#![cfg(not(loom))]

use mqueue_core::shm::layout::{CONTROL_AT, Geometry, OWNERS_AT};
use mqueue_core::shm::{
    Arrival, Engine, Locks, Look, Owners, Refused, Segment, Sight, Slept, Waited, settle,
};
use mqueue_core::sync::Ordering::{Relaxed, SeqCst};
use mqueue_core::sync::local::{AtomicBool, AtomicU32};
use mqueue_core::sys::{clock, file};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::thread::{scope, yield_now};

const MSGSIZE: usize = 48;

/// Fewer rounds where each takes long.
const fn rounds(many: u32) -> u32 {
    if cfg!(miri) { many / 1000 + 5 } else { many }
}

/// A number that differs from run to run; in Miri it follows from the run's seed.
fn any_number() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// The memory of a queue and the file on which its owners hold their locks.
struct Queue {
    base: *mut u8,
    geometry: Geometry,
    file: i32,
}

// SAFETY: the pointer leads to a segment, which is made of atomics and of payloads that
// belong to one thread at a time: what these tests are about.
unsafe impl Sync for Queue {}

impl Queue {
    fn new(maxmsg: u64, spare: u64) -> Queue {
        let geometry = Geometry::with_spare(maxmsg, MSGSIZE as u64, spare);
        // SAFETY: the size is not zero.
        let base = unsafe { alloc_zeroed(Queue::layout(&geometry)) };
        assert!(!base.is_null());
        let queue = Queue { base, geometry, file: a_file() };
        queue.segment().prepare();
        queue
    }

    fn layout(geometry: &Geometry) -> Layout {
        Layout::from_size_align(geometry.total as usize, 4096).unwrap()
    }

    fn segment(&self) -> Segment {
        // SAFETY: `total` bytes, 4096-aligned, which outlive the engines: those borrow us.
        unsafe { Segment::new(self.base, self.geometry) }
    }

    /// A new description of the file.
    fn describe(&self) -> i32 {
        // In Miri each number stands for one (sys/file.rs).
        let new = if cfg!(miri) { file::duplicate(self.file) } else { file::reopen(self.file) };
        new.unwrap().into_number()
    }

    /// Become one more owner, as a process does that opens the queue.
    fn attach(&self) -> Owner<'_> {
        let identity = file::identity(self.file).unwrap();
        let (life, probe) = (self.describe(), self.describe());
        let number = settle(life, &self.segment(), Locks::Own, |dead| {
            let owners = Owners::new(life, identity, Sight::Own);
            Engine::new(self.segment(), dead, owners, 0).clear_up_after_the_dead(None);
        });
        let number = number.unwrap();
        let owners = Owners::new(probe, identity, Sight::Own);
        let engine = Engine::new(self.segment(), number, owners, number as u64);
        Owner { engine, life, probe, queue: self }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        file::close(self.file);
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.base, Queue::layout(&self.geometry)) };
    }
}

/// An open descriptor of any file.
fn a_file() -> i32 {
    let mut ends = [-1; 2];
    // SAFETY: one writes two numbers, the other reads a string.
    let file = unsafe {
        if cfg!(miri) {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            libc::close(ends[1]);
            ends[0]
        } else {
            libc::memfd_create(c"threads".as_ptr(), libc::MFD_CLOEXEC)
        }
    };
    assert!(file >= 0);
    file
}

/// One that uses the queue; it is dead when this is gone, for nobody says goodbye.
struct Owner<'a> {
    engine: Engine,
    life: i32,
    probe: i32,
    #[allow(dead_code)] // for its life
    queue: &'a Queue,
}

// SAFETY: as for Queue.
unsafe impl Send for Owner<'_> {}
// SAFETY: as for Queue; an engine is made for several threads.
unsafe impl Sync for Owner<'_> {}

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        file::close(self.life);
        file::close(self.probe);
    }
}

/// What a message says: who sent it as which, in as many bytes as its number tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Message {
    sender: u32,
    number: u32,
}

impl Message {
    fn len(self) -> usize {
        8 + self.number as usize % (MSGSIZE - 7)
    }

    fn bytes(self) -> [u8; MSGSIZE] {
        let mut bytes = [(self.sender ^ self.number) as u8; MSGSIZE];
        bytes[..4].copy_from_slice(&self.sender.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.number.to_ne_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Message {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let message = Message { sender: word(0), number: word(4) };
        assert_eq!(bytes, &message.bytes()[..message.len()], "garbled");
        message
    }
}

impl Owner<'_> {
    fn send(&self, message: Message, prio: u32) -> bool {
        // SAFETY: `len` is at most the array's length.
        let sent = unsafe {
            self.engine.try_send(message.bytes().as_ptr(), message.len(), prio, Look::Close)
        };
        match sent {
            Ok(()) => true,
            Err(Refused::WouldBlock | Refused::NoSlot) => false,
            Err(other) => panic!("send: {other:?}"),
        }
    }

    fn receive(&self) -> Option<(Message, u32)> {
        let mut bytes = [0; MSGSIZE];
        // SAFETY: as many writable bytes.
        received(
            unsafe { self.engine.try_receive(bytes.as_mut_ptr(), MSGSIZE, Look::Close) },
            &bytes,
        )
    }

    /// Take the oldest of the lowest priority.
    fn take_lowest(&self) -> Option<(Message, u32)> {
        let mut bytes = [0; MSGSIZE];
        let lowest = |prio, _: &_| Some(40_000 - prio);
        // SAFETY: as many writable bytes.
        received(unsafe { self.engine.try_take(bytes.as_mut_ptr(), MSGSIZE, lowest) }, &bytes)
    }
}

fn received(got: Result<(usize, u32), Refused>, bytes: &[u8]) -> Option<(Message, u32)> {
    match got {
        Ok((len, prio)) => Some((Message::read(&bytes[..len]), prio)),
        Err(Refused::WouldBlock) => None,
        Err(other) => panic!("receive: {other:?}"),
    }
}

/// A small generator of numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32 % limit
    }
}

/// Send `each` messages from every sender to the receivers; each comes once, as it was
/// sent, and each receiver sees those of one sender and priority in their order.
fn traffic(queue: &Queue, senders: u32, receivers: u32, each: u32, prio: fn(u32) -> u32) {
    let left = AtomicU32::new(senders * each);
    let mut all = scope(|threads| {
        for sender in 0..senders {
            threads.spawn(move || {
                let owner = queue.attach();
                for number in 0..each {
                    while !owner.send(Message { sender, number }, prio(number)) {
                        yield_now();
                    }
                }
            });
        }
        let receive = || {
            let owner = queue.attach();
            let mut got: Vec<Message> = vec![];
            while left.load(Relaxed) > 0 {
                let Some((message, priority)) = owner.receive() else {
                    yield_now();
                    continue;
                };
                left.fetch_sub(1, Relaxed);
                assert_eq!(priority, prio(message.number));
                let alike = |m: &&Message| m.sender == message.sender && prio(m.number) == priority;
                assert!(got.iter().rev().find(alike).is_none_or(|m| m.number < message.number));
                got.push(message);
            }
            got
        };
        let receivers: Vec<_> = (0..receivers).map(|_| threads.spawn(receive)).collect();
        receivers.into_iter().flat_map(|r| r.join().unwrap()).collect::<Vec<_>>()
    });
    all.sort_unstable();
    let sent =
        (0..senders).flat_map(|sender| (0..each).map(move |number| Message { sender, number }));
    assert!(all.into_iter().eq(sent), "lost or doubled");
}

#[test]
fn a_lane_carries_every_message_whole() {
    traffic(&Queue::new(8, 6), 2, 2, rounds(20_000), |_| 7);
}

#[test]
fn a_queue_of_one_message_does_too() {
    traffic(&Queue::new(1, 4), 2, 2, rounds(5000), |_| 0);
}

#[test]
fn mixed_priorities_carry_every_message_whole() {
    traffic(&Queue::new(8, 6), 2, 2, rounds(10_000), |number| number * 7 % 5);
}

#[test]
fn changes_between_lane_and_mixed_lose_nothing() {
    traffic(&Queue::new(6, 6), 2, 2, rounds(10_000), |number| (number / 8 % 2) * (number % 3));
}

#[test]
fn takes_out_of_turn_beside_receives_lose_nothing() {
    let queue = Queue::new(6, 6);
    let each = rounds(4000);
    let left = AtomicU32::new(2 * each);
    let (queue, left) = (&queue, &left);
    let mut all: Vec<Message> = scope(|threads| {
        for sender in 0..2 {
            threads.spawn(move || {
                let owner = queue.attach();
                for number in 0..each {
                    while !owner.send(Message { sender, number }, number % 4) {
                        yield_now();
                    }
                }
            });
        }
        let takers = [Owner::receive, Owner::take_lowest].map(|take| {
            threads.spawn(move || {
                let owner = queue.attach();
                let mut got = vec![];
                while left.load(Relaxed) > 0 {
                    match take(&owner) {
                        Some((message, _)) => {
                            left.fetch_sub(1, Relaxed);
                            got.push(message);
                        }
                        None => yield_now(),
                    }
                }
                got
            })
        });
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len() as u32, 2 * each);
}

#[test]
fn one_owner_may_be_used_by_many_threads() {
    let queue = Queue::new(4, 8);
    let owner = &queue.attach();
    scope(|threads| {
        for sender in 0..3 {
            threads.spawn(move || {
                for number in 0..rounds(8000) {
                    while !owner.send(Message { sender, number }, number % 3) {
                        owner.receive();
                    }
                }
            });
        }
    });
    while owner.receive().is_some() {}
    assert_eq!(owner.engine.queued(), 0);
}

#[test]
fn one_thread_sees_what_a_plain_list_would_do() {
    let queue = Queue::new(9, 4);
    let owners = [queue.attach(), queue.attach()];
    let mut random = Random(5);
    let mut list: Vec<(u32, Message)> = vec![];
    for number in 0..rounds(200_000) {
        let owner = &owners[random.below(2) as usize];
        let what = random.below(16);
        // First few priorities, so that the queue changes between lane and mixed.
        let prio = random.below(1 + number / 64 % 4);
        if what < 8 {
            let message = Message { sender: 0, number };
            assert_eq!(owner.send(message, prio), list.len() < 9);
            if list.len() < 9 {
                list.push((prio, message));
            }
            continue;
        }
        let next = if what == 15 {
            list.iter().map(|m| m.0).min()
        } else {
            list.iter().map(|m| m.0).max()
        };
        let expected = next.map(|prio| {
            let (_, message) = list.remove(list.iter().position(|m| m.0 == prio).unwrap());
            (message, prio)
        });
        assert_eq!(if what == 15 { owner.take_lowest() } else { owner.receive() }, expected);
    }
}

#[test]
fn sleepers_are_woken() {
    let queue = &Queue::new(1, 4);
    let number_of = rounds(4000);
    /// As the waiting layer does: try, announce, look again, sleep.
    fn until<T>(event: &mqueue_core::shm::Event, mut look: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(done) = look() {
                return done;
            }
            let sleep = |word| Some(event.sleep(word, clock::monotonic_ns() + 20_000_000));
            match event.wait(&mut look, sleep) {
                Waited::Done(done) => return done,
                Waited::InVain(Slept::Changed | Slept::TimedOut | Slept::Interrupted) => {}
                Waited::TimeUp => unreachable!(),
            }
        }
    }
    scope(|threads| {
        threads.spawn(move || {
            let owner = queue.attach();
            let senders = &owner.engine.segment().control().wait.0.senders;
            for number in 0..number_of {
                until(senders, || owner.send(Message { sender: 0, number }, 0).then_some(()));
            }
        });
        let owner = queue.attach();
        let receivers = &owner.engine.segment().control().wait.0.receivers;
        for number in 0..number_of {
            assert_eq!(until(receivers, || owner.receive()), (Message { sender: 0, number }, 0));
        }
    });
}

#[test]
fn each_registration_fires_or_is_dropped() {
    let queue = &Queue::new(2, 4);
    let done = &AtomicBool::new(false);
    scope(|threads| {
        let sender = threads.spawn(move || {
            let owner = queue.attach();
            let mut number = 0;
            while !done.load(Relaxed) {
                number += owner.send(Message { sender: 1, number }, number % 2) as u32;
                owner.receive();
            }
            owner.engine.owner()
        });
        let owner = queue.attach();
        let engine = &owner.engine;
        let mut fired = vec![];
        let mut dropped = 0;
        for round in 0..rounds(2000) {
            let ticket = engine.register(false).expect("the registration before is done with");
            if round % 2 == 1 && engine.deregister(ticket) {
                dropped += 1;
                continue;
            }
            let mut trusted = 0;
            loop {
                if let Arrival::Arrived { pid, .. } = engine.arrival(ticket) {
                    fired.push(pid);
                    break;
                }
                trusted = engine.watch_arrival(ticket, trusted);
                yield_now();
            }
        }
        done.store(true, SeqCst);
        let sender = sender.join().unwrap();
        assert!(fired.iter().all(|&pid| pid == sender), "fired by {fired:?}, not by {sender}");
        assert_eq!(fired.len() as u32 + dropped, rounds(2000));
    });
}

#[test]
fn owners_come_and_go() {
    let queue = &Queue::new(4, 6);
    scope(|threads| {
        for sender in 0..3 {
            threads.spawn(move || {
                for number in 0..rounds(600) {
                    let owner = queue.attach();
                    owner.send(Message { sender, number }, number % 2);
                    owner.receive();
                }
            });
        }
    });
    let owner = queue.attach();
    while owner.receive().is_some() {}
    for number in 0..4 {
        assert!(owner.send(Message { sender: 9, number }, 0));
    }
}

#[test]
fn garbage_in_the_segment_gives_errors_at_worst() {
    let begin = any_number() >> 1;
    for seed in begin..begin + if cfg!(miri) { 1 } else { 600 } {
        println!("seed {seed}");
        let mut random = Random(seed);
        let queue = Queue::new(3, 2);
        let owner = queue.attach();
        for number in 0..3 {
            owner.send(Message { sender: 0, number }, number);
        }
        // One word of the segment, or of all that lies behind the owners' rows a quarter.
        let words = queue.geometry.total as u32 / 8;
        let first = CONTROL_AT as u32 / 8;
        let hits = if seed % 3 == 0 { words / 4 } else { 1 };
        for _ in 0..hits {
            let at = match random.below(3) {
                // The rows are many and matter little here.
                0 => {
                    queue.geometry.index as u32 / 8
                        + random.below(words - queue.geometry.index as u32 / 8)
                }
                _ => first + random.below((OWNERS_AT - CONTROL_AT) as u32 / 8),
            };
            let value = (random.below(u32::MAX) as u64) << 32 | random.below(u32::MAX) as u64;
            // SAFETY: inside the segment, aligned; no other thread is there.
            unsafe { queue.base.cast::<u64>().add(at as usize).write(value) };
        }
        let mut bytes = [0; MSGSIZE];
        for _ in 0..4 {
            // SAFETY: as many bytes, readable and writable.
            unsafe {
                let _ = owner.engine.try_receive(bytes.as_mut_ptr(), MSGSIZE, Look::Close);
                let _ = owner.engine.try_send(bytes.as_ptr(), MSGSIZE, 3, Look::Close);
                let _ = owner.engine.try_take(bytes.as_mut_ptr(), MSGSIZE, |prio, _| Some(prio));
            }
            if let Ok(ticket) = owner.engine.register(false) {
                owner.engine.watch_arrival(ticket, 0);
                owner.engine.deregister(ticket);
            }
            owner.engine.reclaim();
        }
        drop(queue.attach());
    }
}

/// Owners that stop for ever at a named step.
#[cfg(feature = "faults")]
mod deaths {
    use super::*;
    use mqueue_core::fault::{Step, abandon_at};

    /// One dies at `step` in `work`, beside one that lives; nothing but what it had in its
    /// hands is lost, and all room comes back.
    fn die(step: Step, priorities: u32, work: impl Fn(&Owner<'_>) + Sync) -> bool {
        let queue = &Queue::new(3, 3);
        let witness = queue.attach();
        let sent = |number: u32| witness.send(Message { sender: 0, number }, number % priorities);
        let before = (0..2).filter(|&number| sent(number)).count();
        assert_eq!(before, 2);
        let died = scope(|threads| {
            let dying = threads.spawn(|| {
                let owner = queue.attach();
                abandon_at(step, || work(&owner)).is_none()
            });
            for number in 2..6 {
                sent(number);
                witness.receive();
            }
            dying.join().unwrap()
        });
        let mut last = u32::MAX;
        while let Some((_, prio)) = witness.receive() {
            assert!(prio <= last, "a lower priority first");
            last = prio;
        }
        for _ in 0..2 {
            for number in 0..3 {
                assert!(
                    witness.send(Message { sender: 2, number }, number % priorities),
                    "{step:?}"
                );
            }
            assert!(!witness.send(Message { sender: 2, number: 3 }, 0), "more than fits");
            assert_eq!(std::iter::from_fn(|| witness.receive()).count(), 3);
        }
        // The next owner clears up what is left of the dead one.
        let next = queue.attach();
        assert!(next.engine.register(false).is_ok(), "the dead one is registered for ever");
        died
    }

    #[test]
    fn the_dead_hold_up_nobody() {
        let mut met = vec![];
        // Some of them where each takes long, others in another run.
        let stride = if cfg!(miri) { 6 } else { 1 };
        for &step in Step::ALL.iter().skip(any_number() as usize % stride).step_by(stride) {
            for priorities in [1, 3] {
                let died = die(step, priorities, |owner| {
                    let ticket = owner.engine.register(false);
                    for number in 0..4 {
                        owner.send(Message { sender: 1, number }, number % priorities);
                        owner.receive();
                        owner.take_lowest();
                    }
                    owner.engine.reclaim();
                    if let Ok(ticket) = ticket {
                        owner.engine.deregister(ticket);
                    }
                });
                if died {
                    met.push(step);
                }
            }
        }
        met.dedup();
        assert!(met.len() >= if cfg!(miri) { 1 } else { 15 }, "only {met:?} were met");
    }
}
