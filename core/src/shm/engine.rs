//! The algorithms' common ground: one attached process's view of a segment, and the
//! steps by which anybody completes what another began.
//!
//! An operation is done by one compare-and-swap on the tail (a send) or on the head (a
//! receive). What is left of it then, the change of one slot word, is fully described by
//! that word, so whoever comes next completes it. Nobody waits for anybody. The
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
//! - I9 Messages up to the number `gone` are received, also where a slot says QUEUED: a lane's
//!   receiver that takes several stamps the last one alone. Whoever takes a head on that names
//!   such a receive, or from lane to mixed mode, has noted it there before.
//! - I8 In mixed mode a receiver reads the tail, and then slots, only after it has seen
//!   SNAP in the head, with a barrier in between. Its receive counts from that look at
//!   the tail on, so whoever says "full" meanwhile must first make it look again.
//!
//! Source: the design follows lock-free locks (Turek, Shasha, Prakash 1992; Barnes
//! 1993): an operation is published in one word and helped by whoever meets it.

#[cfg(not(loom))]
use super::beacon_file::FifoOf;
#[cfg(not(loom))]
use super::descriptor::Descriptor;
use super::layout::{Apart, Control, SlotHeader};
use super::lazy::Lazy;
use super::owner::Owners;
use super::segment::{Segment, Slot};
use super::word::{
    BATCH, Head, MIX, SEQ_BITS, SEQ_MASK, TAKE_MASK, Tail, Word, seq_distance, take_distance,
};
use crate::sync::local;
use crate::sync::{AtomicU32, AtomicU64, Ordering, dekker_barrier, fence, overwrite, pause};

/// How many places are tried before the search for a free slot begins.
const NEIGHBOURS: u32 = if cfg!(loom) { 2 } else { 16 };
/// How long whoever counts the messages waits for a receiver that looks: pauses, two
/// microseconds or so, far more than a look takes.
const LOOKING: u32 = if cfg!(loom) { 0 } else { 80 };

/// How the engine holds its segment: the models share one between threads.
#[cfg(not(loom))]
pub type SegmentRef = Segment;
/// How the engine holds its segment: the models share one between threads.
#[cfg(loom)]
pub type SegmentRef = std::sync::Arc<Segment>;

/// A place in the index, below nslots.
#[derive(Clone, Copy)]
pub(super) struct Place(u32);

impl Place {
    /// The entries of the index from there on, up to `most`; fewer at its end.
    #[inline(always)]
    pub(super) fn entries(self, segment: &SegmentRef, most: usize) -> &[AtomicU32] {
        segment.entries(self.0, most)
    }

    /// The slot that the index has there.
    #[inline(always)]
    pub(super) fn slot(self, segment: &SegmentRef) -> u32 {
        segment.entry(self.0).load(Ordering::Acquire)
    }

    /// Note in the index which slot belongs there.
    #[inline(always)]
    pub(super) fn set_slot(self, segment: &SegmentRef, slot: u32) {
        let entry = segment.entry(self.0);
        if entry.load(Ordering::Relaxed) != slot {
            entry.store(slot, Ordering::Release);
        }
    }
}

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
    place_factor: u64,
    pub(super) features: Features,
    /// How many slots ahead both sides fetch.
    pub(super) prefetch: u32,
    /// Whether a thread of this process reclaims right now.
    pub(super) reclaiming: local::AtomicBool,
    sending: Apart<SenderHints>,
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

/// What senders of this process remember.
struct SenderHints {
    /// Sends with a number below this one have room, as of some past head.
    room_until: local::AtomicU64,
    /// Where the last search for a free slot ended.
    cursor: local::AtomicU32,
}

/// What receivers of this process remember.
pub(super) struct ReceiverHints {
    /// Count of the last confirmed send, as last seen.
    pub tail_seen: local::AtomicU32,
    /// The finder's lock for which a receiver has waited in vain.
    pub finder_lock: local::AtomicU64,
}

/// Notices that a loop goes round without anybody making progress, which the
/// algorithms exclude: the segment must be damaged.
pub(super) struct Progress {
    rounds: u32,
    seen: (u64, u64),
    overtaken: u32,
    overtaken_most: u32,
}

/// Rounds of one call that others may make fruitless. Honest ones never come near: each of
/// these rounds would have to lose against another's success. More than a queue that does
/// not move at all is given.
pub(super) const ROUNDS_MOST: u32 = 1 << 15;
/// Looks at slots that a queue is given that does not move: a round may look at each.
const LOOKS_MOST: u32 = 50_000_000;

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { rounds: 0, seen: (0, 0), overtaken: 0, overtaken_most: ROUNDS_MOST }
    }

    /// For who only looks: he does not hinder the others as they hinder him, so that he may be
    /// overtaken nearly always. About a second.
    pub(super) fn of_a_look() -> Progress {
        Progress { overtaken_most: 64 * ROUNDS_MOST, ..Progress::new() }
    }

    /// Count one more round that another made fruitless; true when it cannot be chance.
    pub(super) fn is_overtaken_again(&mut self) -> bool {
        self.overtaken += 1;
        self.overtaken > self.overtaken_most
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

    /// They are another user's from now on.
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

    /// The place of a message in the index: its number modulo the number of slots.
    ///
    /// The entry says which slot the message is in; before that, which slot it should be put
    /// in: the one that is free since the receive whose place it was. So in a lane every
    /// message follows the one a round before it, and in mixed mode no sender has to search.
    /// A hint all the same: whoever follows it looks at the slot's word.
    #[inline(always)]
    pub(super) fn place(&self, seq: u32) -> Place {
        let fraction = self.place_factor.wrapping_mul(seq as u64);
        Place(((fraction as u128 * self.nslots() as u128) >> 64) as u32)
    }

    /// A view of the segment that a loop can keep in registers.
    #[inline(always)]
    pub(super) fn view(&self) -> SegmentRef {
        #[cfg(not(loom))]
        return self.segment;
        #[cfg(loom)]
        self.segment.clone()
    }

    /// The place `ahead` (below nslots) places after another.
    #[inline(always)]
    pub(super) fn place_after(&self, place: Place, ahead: u32) -> Place {
        let sum = place.0 + ahead;
        Place(if sum < self.nslots() { sum } else { sum - self.nslots() })
    }

    /// The slot that the index has at a place.
    #[inline(always)]
    pub(super) fn slot_at(&self, place: Place) -> u32 {
        place.slot(&self.segment)
    }

    /// Note in the index which slot belongs to a place.
    #[inline(always)]
    pub(super) fn set_slot_at(&self, place: Place, slot: u32) {
        place.set_slot(&self.segment, slot);
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

    /// Count one more fruitless round; true when the call must end: [`Engine::give_up`].
    pub(super) fn is_stuck(&self, progress: &mut Progress) -> bool {
        let now =
            (self.tail_word().load(Ordering::Relaxed), self.head_word().load(Ordering::Relaxed));
        if now != progress.seen {
            progress.seen = now;
            progress.rounds = 0;
        }
        progress.rounds += 1;
        if progress.rounds > 8 {
            crate::sync::pause();
        }
        // The slots of the stopped and dead, of which there are never a thousand, may each
        // cost a round.
        let most = (LOOKS_MOST / self.nslots()).clamp(1000, 20_000);
        progress.is_overtaken_again() || progress.rounds > most.min(4 * self.nslots() + 1000)
    }

    /// The answer of a call that is stuck. If nothing moves, the segment is damaged. If
    /// somebody moves it without end, the call has come to nothing for now: it may wait, so
    /// that its time can be up.
    #[cold]
    pub(super) fn give_up(&self, progress: &Progress) -> Refused {
        if progress.overtaken > progress.overtaken_most {
            Refused::WouldBlock
        } else {
            self.poison()
        }
    }

    /// Complete the slot change of the send that `t` names; if several messages were sent
    /// together, of all of them, from the last to the first.
    #[inline]
    pub(super) fn confirm(&self, t: Tail) {
        let Some(slot) = self.segment.slot(t.slot()) else { return };
        let w = Word(slot.word.load(Ordering::Acquire));
        // As a rule it is done.
        if w.is_being_sent() || w.is_queued() && w.is_chained() {
            self.confirm_all(t);
        }
    }

    #[cold]
    fn confirm_all(&self, t: Tail) {
        let mut index = t.slot();
        let mut seq = t.count().wrapping_sub(1) & SEQ_MASK;
        for _ in 0..BATCH {
            match self.confirm_one(index, seq) {
                Some(link) => index = link,
                None => return,
            }
            seq = seq.wrapping_sub(1) & SEQ_MASK;
        }
    }

    /// Make a slot QUEUED as message `seq` if it is that one's claim; gives the slot of the
    /// message before it if that was sent together with it and may still be unconfirmed. (Once
    /// any of them is received, all are confirmed: all who confirm go the same way.)
    fn confirm_one(&self, index: u32, seq: u64) -> Option<u32> {
        let slot = self.segment.slot(index)?;
        let w = Word(slot.word.load(Ordering::Acquire));
        // Belongs to `w` if the word is found unchanged afterwards.
        let link = slot.link.load(Ordering::Relaxed);
        let is_queued = |w: Word| w.is_queued() && w.seq() == seq;
        // I5: a stamp from seq + 1 on belongs to a later claim of the slot.
        if w.is_being_sent() && seq_distance(seq, w.seq()) < 1 << (SEQ_BITS - 1) {
            let queued = Word::queued(slot.prio.load(Ordering::Relaxed), seq);
            let queued = queued.chained(w.is_chained());
            let confirmed =
                slot.word.compare_exchange(w.0, queued.0, Ordering::AcqRel, Ordering::Acquire);
            if confirmed.is_err_and(|now| !is_queued(Word(now))) {
                return None;
            }
        } else {
            fence(Ordering::Acquire);
            if !is_queued(w) || slot.word.load(Ordering::Relaxed) != w.0 {
                return None;
            }
        }
        w.is_chained().then_some(link)
    }

    /// Complete the slot change of the receive that `h` names.
    #[inline(always)]
    pub(super) fn finalize(&self, h: Head) {
        if self.control().finalized.0.count.load(Ordering::Acquire) as u32 & TAKE_MASK != h.count()
        {
            self.finalize_slot(h);
        }
    }

    pub(super) fn finalize_slot(&self, h: Head) {
        let Some(slot) = self.segment.slot(h.slot()) else { return };
        let w = Word(slot.word.load(Ordering::Acquire));
        if !(w.is_taking() || w.is_taken()) || w.take() != h.count() {
            return;
        }
        if w.messages() > 1 {
            let last = slot.seq.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            // Who frees the slot has noted it himself before.
            if Word(slot.word.load(Ordering::Relaxed)).taken() == w.taken() {
                self.note_gone(last);
            }
        }
        if w.is_taking() {
            let _ =
                slot.word.compare_exchange(w.0, w.taken().0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Deal with a slot seen as TAKING: help the receive if it can still win, complete
    /// it if it has won, roll the slot back if it has lost.
    pub(super) fn resolve(&self, slot: Slot<'_>, w: Word) {
        let index = slot.number();
        let h = Head(self.head_word().load(Ordering::Acquire));
        if take_distance(w.take(), h.count()) == w.messages() && w.epoch() == h.epoch() {
            self.finalize(h);
            let _ = self.head_word().compare_exchange(
                h.0,
                h.advanced_by(w.messages(), index).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        } else if w.take() == h.count() && index == h.slot() {
            self.finalize_slot(h);
        } else {
            self.roll_back(&slot, w);
        }
    }

    /// Make a slot whose receive has lost QUEUED again; false if somebody else did.
    pub(super) fn roll_back(&self, slot: &SlotHeader, w: Word) -> bool {
        // I6: header and word belong to the same message as long as the word is `w`.
        let queued =
            Word::queued(slot.prio.load(Ordering::Relaxed), slot.seq.load(Ordering::Relaxed));
        slot.word.compare_exchange(w.0, queued.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Make every receiver that is looking for the best message look again (I4), and every
    /// one that takes from a lane; gives the head's count at that moment.
    pub(super) fn linearize(&self) -> u32 {
        // SYNC: Dekker pair with the SNAP of a mixed receive: the slot was changed, now
        // the head is read.
        dekker_barrier();
        let mut progress = Progress::new();
        loop {
            let h = Head(self.head_word().load(Ordering::SeqCst));
            if h.is_mixed() && !h.is_snapped() {
                return h.count();
            }
            if !h.is_mixed() {
                // A lane needs no word to tell which messages are gone; a mixed queue does.
                self.finalize(h);
            }
            if self.change_head(h, h.next_epoch(MIX)) || progress.is_overtaken_again() {
                return h.count();
            }
        }
    }

    /// How many messages are queued behind `h`, as far as senders' notes were read.
    #[inline(always)]
    pub(super) fn known_messages(&self, h: Head) -> u32 {
        let known = take_distance(self.receiving.0.tail_seen.load(Ordering::Relaxed), h.count());
        if known <= self.segment.geometry().maxmsg { known } else { 0 }
    }

    /// Read the senders' notes anew; whether there are messages behind `h`, as far as they say.
    #[inline]
    pub(super) fn was_told_of_message(&self, h: Head) -> bool {
        let known = self.told_messages(h);
        if known > 1 {
            self.fetch_messages(h, known);
        }
        known > 0
    }

    /// How many messages are behind `h`, as the senders' notes say now.
    #[inline(always)]
    pub(super) fn told_messages(&self, h: Head) -> u32 {
        let sent = self.control().confirmed.0.load(Ordering::Relaxed) as u32 & TAKE_MASK;
        self.receiving.0.tail_seen.store(sent, Ordering::Relaxed);
        let known = self.known_messages(h);
        self.note_queued(known);
        known
    }

    /// For receivers that wait: as soon as the notes tell of a message, fetch it, even if it
    /// is the only one.
    #[cfg(not(loom))]
    pub(super) fn fetch_first(&self) {
        let h = Head(self.head_word().load(Ordering::Relaxed));
        if self.known_messages(h) == 0 && self.was_told_of_message(h) && self.known_messages(h) == 1
        {
            self.fetch_messages(h, 1);
        }
    }

    /// Fetch the slots of the next messages of a lane.
    fn fetch_messages(&self, h: Head, known: u32) {
        let mut place = self.place(h.count());
        for _ in 0..known.min(self.prefetch) {
            self.segment.prefetch(self.slot_at(place));
            place = self.place_after(place, 1);
        }
    }

    /// How much room there is behind `t`, as far as receivers' notes were read.
    #[inline(always)]
    pub(super) fn known_room(&self, t: Tail) -> u32 {
        let left = seq_distance(self.sending.0.room_until.load(Ordering::Relaxed), t.count());
        if left <= self.segment.geometry().maxmsg as u64 { left as u32 } else { 0 }
    }

    /// What receivers noted was true at some time, and room that there was there still is.
    pub(super) fn was_told_of_room(&self, t: Tail) -> bool {
        let finalized = self.control().finalized.0.count.load(Ordering::Acquire) & SEQ_MASK;
        let maxmsg = self.segment.geometry().maxmsg as u64;
        let told = seq_distance(t.count(), finalized) < maxmsg;
        if told {
            let until = (finalized + maxmsg) & SEQ_MASK;
            self.sending.0.room_until.store(until, Ordering::Relaxed);
        }
        told
    }

    /// Whether there is room behind the send that `t` names: `Some(false)` only if the queue
    /// was full at one instant (or, at a glance, seemed so), `None` if `t` is out of date.
    #[cold]
    pub(super) fn look_for_room(&self, t: Tail, look: Look) -> Option<bool> {
        if self.was_told_of_room(t) {
            return Some(true);
        }
        if look == Look::Glance {
            return Some(false);
        }
        self.note_queued(self.queued());
        let h = Head(self.head_word().load(Ordering::Acquire));
        let known = self.room_from(t, h.count());
        if known != Some(false) || !t.is_mixed() {
            return known;
        }
        // Mixed: sends that have not yet taken effect must not make the queue look full, nor
        // a receive that has. Whoever looks now is about to make room.
        let now = self.await_look(h);
        if now.count() != h.count() {
            return self.room_from(t, now.count());
        }
        self.room_from(t, self.linearize())
    }

    /// If somebody looks for the best message, give him a moment to receive it: those who
    /// count messages again and again would keep him looking.
    fn await_look(&self, h: Head) -> Head {
        let mut now = h;
        for _ in 0..LOOKING {
            if !now.is_snapped() || now.count() != h.count() {
                break;
            }
            pause();
            now = Head(self.head_word().load(Ordering::Acquire));
        }
        now
    }

    fn room_from(&self, t: Tail, received: u32) -> Option<bool> {
        let maxmsg = self.segment.geometry().maxmsg;
        let queued = take_distance(t.take_count(), received);
        if queued > maxmsg {
            return None;
        }
        let until = (t.count() + (maxmsg - queued) as u64) & SEQ_MASK;
        self.sending.0.room_until.store(until, Ordering::Relaxed);
        Some(queued < maxmsg)
    }

    /// Claim a free slot: the one that the index has at this place if that is free, else any.
    #[inline(always)]
    pub(super) fn claim(&self, place: Place) -> Option<(Slot<'_>, Word)> {
        match self.try_claim(&self.segment, self.slot_at(place)) {
            None => self.search_free(place),
            claimed => claimed,
        }
    }

    #[cold]
    pub(super) fn search_free(&self, place: Place) -> Option<(Slot<'_>, Word)> {
        // Another sender has this slot. The slots of the next messages are free as a rule,
        // and the two then only exchange them.
        for ahead in 1..NEIGHBOURS.min(self.nslots()) {
            let slot = self.slot_at(self.place_after(place, ahead));
            let claimed = self.try_claim(&self.segment, slot);
            if claimed.is_some() {
                return claimed;
            }
        }
        let n = self.slots_there();
        let mut index = self.sending.0.cursor.load(Ordering::Relaxed);
        for _ in 0..n {
            index += 1;
            if index >= n {
                index = 0;
            }
            if let Some(claimed) = self.try_claim(&self.segment, index) {
                self.sending.0.cursor.store(index, Ordering::Relaxed);
                return Some(claimed);
            }
        }
        None
    }

    #[inline(always)]
    pub(super) fn try_claim<'a>(
        &self,
        segment: &'a SegmentRef,
        index: u32,
    ) -> Option<(Slot<'a>, Word)> {
        let slot = segment.slot(index)?;
        let seen = Word(slot.word.load(Ordering::Acquire));
        if !seen.is_free() {
            return None;
        }
        // I5: the stamp is read here, between seeing the slot free and claiming it.
        let t = Tail(self.tail_word().load(Ordering::Acquire));
        let claimed = Word::claimed(self.owner, t.count());
        slot.word
            .compare_exchange(seen.0, claimed.0, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| (slot, claimed))
    }

    /// Free a slot that is ours alone (CLAIMED or TAKEN).
    #[inline(always)]
    pub(super) fn release(&self, slot: &SlotHeader) {
        // Relaxed: the word orders it. A reclaimer that comes too late may add to it
        // meanwhile; whether that is lost or not, no FREE word comes back.
        let generation = slot.generation.load(Ordering::Relaxed).wrapping_add(1);
        slot.generation.store(generation, Ordering::Relaxed);
        // One of several, QUEUED still, may be stamped by a receiver that comes too late.
        overwrite(&slot.word, Word::free(generation).0);
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
