//! The algorithms' common ground: one attached process's view of a segment.
//!
//! An operation is done by one compare-and-swap on the tail (a send) or on the head (a
//! receive). What is left of it then, the change of one slot word, is fully described by
//! that word, so whoever comes next completes it (`helping.rs`). Nobody waits for anybody. The
//! invariants, which ARCHITECTURE.md explains:
//!
//! - I1 Before the tail's count changes, the send that it names is confirmed.
//! - I2 Before the head's count changes, the receive that it names is finalized.
//! - I3 Tail not MIX: the queued messages are exactly `head.count..tail.count`, all of
//!   one priority (the queue is a lane).
//! - I4 A send that finds or sets MIX in the tail, and does not find SETTLED, returns only
//!   after the head has had MIX and no SNAP, or after changing the head itself, later than
//!   its confirmation. The tail has SETTLED only while the head has MIX.
//! - I5 The stamp of a claim is the tail's count read after the slot was seen FREE and
//!   before the claim. So the CLAIMED word of the send that tail (c, i) names has a
//!   stamp below c, and any later claim of that slot has one from c on. A slot that was lent
//!   is stamped anew before it is sent, since counts come round; and RETURNING, for which
//!   TAKEN is what FREE is for a claim.
//! - I6 A slot's seq and priority are written by its claimer before the tail names it.
//! - I7 Between reading a slot's word and stamping it TAKING, the receiver sees the head
//!   unchanged.
//! - I8 In mixed mode a receiver reads the tail, and then slots, only after it has seen
//!   SNAP in the head, with a barrier in between. Its receive counts from that look at
//!   the tail on, so whoever says "full" meanwhile must first make it look again.
//! - I9 Messages up to the number `gone` are received, also where a slot says QUEUED: a lane's
//!   receiver that takes several stamps the last one alone. Whoever takes a head on that names
//!   such a receive, or from lane to mixed mode, has noted it there before.
//!
//! Source: the design follows lock-free locks (Turek, Shasha, Prakash 1992; Barnes
//! 1993): an operation is published in one word and helped by whoever meets it.

#[cfg(not(loom))]
use super::beacon_file::FifoOf;
#[cfg(not(loom))]
use super::descriptor::Descriptor;
use super::hints::{ReceiverHints, SenderHints};
use super::layout::{Apart, Control};
use super::lazy::Lazy;
use super::owner::Owners;
use super::progress::Progress;
use super::segment::Segment;
use super::word::{Head, Tail, take_distance};
use crate::sync::local;
use crate::sync::{AtomicU64, Ordering};

/// How the engine holds its segment: the models share one between threads.
#[cfg(not(loom))]
pub type SegmentRef = Segment;
/// How the engine holds its segment: the models share one between threads.
#[cfg(loom)]
pub type SegmentRef = std::sync::Arc<Segment>;

/// How closely to look before refusing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// At the notes that the other side leaves (`confirmed`, `finalized`), which may be behind:
    /// for those who will look again. It leaves the lines alone that the others write.
    Glance,
    /// At the queue itself: a refusal is exact.
    Close,
}

/// What a non-blocking operation says when it did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Send: full. Receive: empty.
    WouldBlock,
    /// Send: not full, but every spare slot is held by somebody stopped or dead in mid-call.
    /// Reserve, acquire: so many slots are lent or about to be, by calls that may come back
    /// without one.
    NoSlot,
    /// Receive: the message, of this length, does not fit the buffer; it stays queued.
    TooBig(usize),
    /// So many slots are lent that there is none left for this.
    NoLoan,
    /// The shared state is impossible; the queue is poisoned.
    Damaged,
    /// The queue was shut down. Receive: and it is empty.
    Shut,
}

/// One attached process's view of a queue: everything that never waits.
///
/// Shared by all threads of the process. The fields beside the segment are hints of
/// this process: a stale one costs time, never correctness.
pub struct Engine {
    pub(super) segment: SegmentRef,
    /// Who we are: the number whose byte of the file we hold locked.
    pub(super) owner: u32,
    pub(super) owners: Owners,
    /// uid << 32 | pid, for the messages that we send.
    sender: local::AtomicU64,
    /// ceil(2^64 / nslots): turns a modulo into two multiplications.
    pub(super) place_factor: u64,
    pub(super) features: Features,
    /// How many slots ahead both sides fetch.
    pub(super) prefetch: u32,
    /// Whether a thread of this process reclaims right now.
    pub(super) reclaiming: local::AtomicBool,
    pub(super) sending: Apart<SenderHints>,
    pub(super) receiving: Apart<ReceiverHints>,
    #[cfg(not(loom))]
    descriptor: Descriptor,
    /// How this process reaches the queue's beacon.
    #[cfg(not(loom))]
    pub(super) fifo: Option<FifoOf>,
    /// How this process leaves it to its helper.
    pub(super) lazy: Lazy,
}

/// What the queue was made to do beyond passing messages on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Features {
    /// Each message says who sent it and when.
    pub stamp: bool,
    /// What the dead had received, and not released, is sent again.
    pub redeliver: bool,
    /// Slots get their memory when they are first wanted (`typed/`).
    pub grows: bool,
}

impl Features {
    /// From the option flags of the creation.
    #[cfg(not(loom))]
    pub fn of(options: u64) -> Features {
        use crate::attr::option::{REDELIVER, STAMP};
        Features {
            stamp: options & STAMP != 0,
            redeliver: options & REDELIVER != 0,
            grows: options & super::layout::TYPED != 0,
        }
    }
}

impl Engine {
    /// The view of `owner`, whose byte is locked by the caller's file description.
    pub fn new(segment: SegmentRef, owner: u32, owners: Owners, sender: u64) -> Engine {
        let geometry = segment.geometry();
        let lines = geometry.stride / 64;
        // Far enough that a line arrives in time, near enough that it is still there then.
        let prefetch = (64 / lines.max(1)).min(geometry.nslots / 32).max(2);
        let place_factor = u64::MAX / geometry.nslots as u64 + 1;
        // As a limit of sends the tail's own count says: look at the head first.
        let sent = Tail(segment.control().tail.0.load(Ordering::Relaxed)).count();
        Engine {
            segment,
            owner,
            owners,
            sender: local::AtomicU64::new(sender),
            features: Features::default(),
            place_factor,
            prefetch,
            reclaiming: local::AtomicBool::new(false),
            sending: Apart(SenderHints {
                room_until: local::AtomicU64::new(sent),
                cursor: local::AtomicU32::new(owner),
            }),
            receiving: Apart(ReceiverHints {
                tail_seen: local::AtomicU32::new(0),
                finder_lock: local::AtomicU64::new(0),
            }),
            #[cfg(not(loom))]
            descriptor: Descriptor::new(),
            #[cfg(not(loom))]
            fifo: None,
            lazy: Lazy::new(),
        }
    }

    /// The same view of a queue that has these features.
    pub fn with(mut self, features: Features) -> Engine {
        self.features = features;
        self
    }

    /// The same view, of a handle that keeps its description of the beacon there.
    #[cfg(not(loom))]
    pub(super) fn with_fifo(mut self, fifo: FifoOf) -> Engine {
        self.fifo = Some(fifo);
        self
    }

    /// uid << 32 | pid, for the messages that we send.
    #[inline(always)]
    pub(super) fn sender(&self) -> u64 {
        self.sender.load(Ordering::Relaxed)
    }

    /// From now on they say this sender.
    #[cfg(not(loom))]
    pub(super) fn set_sender(&self, sender: u64) {
        self.sender.store(sender, Ordering::Relaxed);
    }

    /// Ask about owners through another descriptor from now on.
    #[cfg(not(loom))]
    pub(super) fn ask_through(&mut self, probe: i32) {
        self.owners.ask_through(probe);
    }

    /// A descriptor of the queue whose description is this process's alone, if there is one.
    #[cfg(not(loom))]
    pub(super) fn own_probe(&self) -> Option<i32> {
        self.owners.own_probe()
    }

    /// The segment that it works on.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The descriptor for poll of this view's handle.
    #[cfg(not(loom))]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Our owner number.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Whether an owner's process lives; when in doubt it does.
    pub(super) fn is_alive(&self, owner: u32) -> bool {
        self.owners.is_alive(owner, self.segment.owner(owner))
    }

    #[inline(always)]
    pub(super) fn control(&self) -> &Control {
        self.segment.control()
    }

    #[inline(always)]
    pub(super) fn tail_word(&self) -> &AtomicU64 {
        &self.control().tail.0
    }

    #[inline(always)]
    pub(super) fn head_word(&self) -> &AtomicU64 {
        &self.control().head.0
    }

    #[inline(always)]
    pub(super) fn nslots(&self) -> u32 {
        self.segment.geometry().nslots
    }

    /// How many slots there are to look at, from the first: of a queue that grows, those that
    /// have memory by now. No other is ever claimed, or named anywhere.
    pub(super) fn slots_there(&self) -> u32 {
        #[cfg(not(loom))]
        if self.features.grows {
            // SYNC: pairs with whoever gave them memory.
            return self.segment.typed().slots.load(Ordering::Acquire).min(self.nslots());
        }
        self.nslots()
    }

    /// Messages queued at one instant of this call, those included whose receive counts
    /// already and is not yet complete: for whoever may wake a waiter too many.
    pub fn queued(&self) -> u32 {
        self.count_messages(|_| Head(self.head_word().load(Ordering::SeqCst)).count())
    }

    /// Messages queued at one instant of this call.
    pub fn queued_exactly(&self) -> u32 {
        self.await_look(Head(self.head_word().load(Ordering::Relaxed)));
        self.count_messages(|t| match t.is_mixed() {
            true => self.linearize(),
            false => Head(self.head_word().load(Ordering::SeqCst)).count(),
        })
    }

    fn count_messages(&self, received: impl Fn(Tail) -> u32) -> u32 {
        let mut progress = Progress::new();
        loop {
            let t = Tail(self.tail_word().load(Ordering::SeqCst));
            let queued = take_distance(t.take_count(), received(t));
            let is_instant = self.tail_word().load(Ordering::SeqCst) == t.0;
            if is_instant || progress.is_overtaken_again() {
                return queued.min(self.segment.geometry().maxmsg);
            }
        }
    }

    /// A view of the segment that a loop can keep in registers.
    #[inline(always)]
    pub(super) fn view(&self) -> SegmentRef {
        #[cfg(not(loom))]
        return self.segment;
        #[cfg(loom)]
        self.segment.clone()
    }

    /// Mark the queue as damaged, for everybody and for good.
    #[cold]
    pub(super) fn poison(&self) -> Refused {
        self.control().counters.0.poison.store(libc::EBADMSG as u32, Ordering::SeqCst);
        self.wake_everybody();
        Refused::Damaged
    }

    /// Whether the queue was found damaged.
    #[inline(always)]
    pub fn is_poisoned(&self) -> bool {
        // Relaxed: a flag on its own; a late reader meets the damage itself.
        self.control().counters.0.poison.load(Ordering::Relaxed) != 0
    }

    /// Wake a receiver if one sleeps: a message is there.
    #[inline(always)]
    pub fn wake_receiver(&self) -> bool {
        let wait = &self.control().wait.0;
        let woke = wait
            .receivers
            .wake_one_and(|| self.wake_pollers(), |woke| self.show_what_was_sent(woke));
        if woke {
            note_processor(&wait.sender_cpu);
        }
        woke
    }

    /// Wake a sender if one sleeps: there is room.
    #[inline(always)]
    pub fn wake_sender(&self) -> bool {
        let wait = &self.control().wait.0;
        let woke = wait
            .senders
            .wake_one_and(|| self.wake_pollers(), |woke| self.show_what_was_received(woke));
        if woke {
            note_processor(&wait.receiver_cpu);
        }
        woke
    }

    /// Change the head, from exactly `h`.
    #[inline(always)]
    pub(super) fn change_head(&self, h: Head, next: Head) -> bool {
        self.head_word().compare_exchange(h.0, next.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Change only the flags of the tail, from exactly `t`.
    pub(super) fn change_tail(&self, t: Tail, next: Tail) -> bool {
        debug_assert!(t.count() == next.count());
        self.tail_word().compare_exchange(t.0, next.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }
}

/// Tell the one that was woken where its waker runs.
#[cold]
fn note_processor(word: &crate::sync::AtomicU32) {
    #[cfg(not(loom))]
    word.store(crate::sys::process::processor(), Ordering::Relaxed);
    #[cfg(loom)]
    let _ = word;
}

/// One more of something, for diagnosis only; the models do without.
#[inline(always)]
pub(super) fn count(counter: &AtomicU64) {
    // Relaxed: nothing depends on it.
    #[cfg(not(loom))]
    counter.fetch_add(1, Ordering::Relaxed);
    #[cfg(loom)]
    let _ = counter;
}
