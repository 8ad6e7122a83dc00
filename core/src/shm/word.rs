//! The three kinds of 64-bit words that carry a queue, as plain values.
//!
//! ```text
//! Tail  (the last send)     0-38 count | 39 SETTLED | 40 SHUT | 41-60 slot
//!                           61 FIRE | 62 ARMED | 63 MIX
//! Head  (the last receive)  0-31 count | 32-41 epoch | 42 SNAP | 43-62 slot | 63 MIX
//! Word  (a slot)           61-63 tag, then
//!        FREE      0-31 generation
//!        CLAIMED   45-56 owner | 44 CHAINED | 0-38 stamp
//!        QUEUED    45-59 priority | 44 CHAINED | 0-38 seq
//!        TAKING    57-60 messages taken, less one | 45-56 owner | 32-41 epoch | 0-31 take
//!        TAKEN     as TAKING
//!        RETURNING as CLAIMED
//! ```
//!
//! Counts are modular: `Tail::count` counts sends, `Head::count` receives, and the
//! number of queued messages is their difference. `seq` of a message is the tail's
//! count before its send. The build flag `--cfg narrow` shrinks the counters to a
//! few bits, so that tests meet every wrap within moments.

#![forbid(unsafe_code)]

/// Bits of a send count.
pub const SEQ_BITS: u32 = if cfg!(narrow) { 6 } else { 39 };
/// Bits of a receive count.
pub const TAKE_BITS: u32 = if cfg!(narrow) { 5 } else { 32 };
/// Bits of the head's epoch.
pub const EPOCH_BITS: u32 = if cfg!(narrow) { 2 } else { 10 };

/// All send counts.
pub const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;
/// All receive counts.
pub const TAKE_MASK: u32 = ((1u64 << TAKE_BITS) - 1) as u32;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
const SLOT_MASK: u64 = (1 << 20) - 1;
const OWNER_MASK: u64 = (1 << 12) - 1;
const PRIO_MASK: u64 = (1 << 15) - 1;

/// "No slot": what head and tail of a new queue name.
pub const NO_SLOT: u32 = SLOT_MASK as u32;

/// More than one priority is queued (head and tail).
pub const MIX: u64 = 1 << 63;
/// Tail: somebody waits for a notification.
pub const ARMED: u64 = 1 << 62;
/// Tail: the send that it names found the queue empty and armed.
pub const FIRE: u64 = 1 << 61;
/// Tail: as long as this is set, the head has MIX; sends need not look.
pub const SETTLED: u64 = 1 << 39;
/// Tail: no more sends. Kept through every change.
pub const SHUT: u64 = 1 << 40;
/// Head: a receiver is looking for the best message of this epoch.
pub const SNAP: u64 = 1 << 42;

/// Most messages in one exchange of the tail or the head: what four bits can say.
pub const BATCH: usize = if cfg!(loom) { 2 } else { 16 };
/// Word, CLAIMED or QUEUED: the message before it in the order was sent together with it, and
/// the slot's link says where it is.
const CHAINED: u64 = 1 << 44;
const TAKEN_TOGETHER: u32 = 57;

const TAIL_SLOT: u32 = 41;
const HEAD_SLOT: u32 = 43;
const HEAD_EPOCH: u32 = 32;
const TAG: u32 = 61;
const OWNER: u32 = 45;

const FREE: u64 = 0;
const CLAIMED: u64 = 1;
const QUEUED: u64 = 2;
const TAKING: u64 = 3;
const TAKEN: u64 = 4;
const RETURNING: u64 = 5;

/// How far `later` is ahead of `earlier`, as send counts.
#[inline(always)]
pub const fn seq_distance(later: u64, earlier: u64) -> u64 {
    later.wrapping_sub(earlier) & SEQ_MASK
}

/// How far `later` is ahead of `earlier`, as receive counts.
#[inline(always)]
pub const fn take_distance(later: u32, earlier: u32) -> u32 {
    later.wrapping_sub(earlier) & TAKE_MASK
}

/// The tail word: which send was the last, and the queue's mode for senders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tail(pub u64);

impl Tail {
    const FLAGS: u64 = MIX | ARMED | FIRE | SHUT | SETTLED;

    /// A tail word from its parts.
    #[inline(always)]
    pub const fn new(count: u64, slot: u32, flags: u64) -> Tail {
        Tail((count & SEQ_MASK) | ((slot as u64 & SLOT_MASK) << TAIL_SLOT) | flags)
    }
    /// Number of sends so far.
    #[inline(always)]
    pub const fn count(self) -> u64 {
        self.0 & SEQ_MASK
    }
    /// The same, as a receive count.
    #[inline(always)]
    pub const fn take_count(self) -> u32 {
        self.0 as u32 & TAKE_MASK
    }
    /// Slot of the last send.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        (self.0 >> TAIL_SLOT & SLOT_MASK) as u32
    }
    /// The mode bits.
    #[inline(always)]
    pub const fn flags(self) -> u64 {
        self.0 & Self::FLAGS
    }
    /// Whether more than one priority may be queued.
    #[inline(always)]
    pub const fn is_mixed(self) -> bool {
        self.0 & MIX != 0
    }
    /// Whether the head is sure to have MIX, and keeps it until this flag is cleared.
    #[inline(always)]
    pub const fn is_settled(self) -> bool {
        self.0 & SETTLED != 0
    }
    /// Whether a registration waits for an arrival.
    #[inline(always)]
    pub const fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }
    /// Whether the send that it names must be announced to the registration.
    #[inline(always)]
    pub const fn is_firing(self) -> bool {
        self.0 & FIRE != 0
    }
    /// Whether the queue was shut down.
    #[inline(always)]
    pub const fn is_shut(self) -> bool {
        self.0 & SHUT != 0
    }
    /// The same send with other flags.
    #[inline(always)]
    pub const fn with(self, set: u64, clear: u64) -> Tail {
        Tail(self.0 & !clear | set)
    }
    /// Messages queued if `head` is the head.
    #[inline(always)]
    pub const fn queued(self, head: Head) -> u32 {
        take_distance(self.take_count(), head.count())
    }
}

/// The head word: which receive was the last, and the queue's mode for receivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head(pub u64);

impl Head {
    /// A head word from its parts.
    #[inline(always)]
    pub const fn new(count: u32, epoch: u32, slot: u32, flags: u64) -> Head {
        Head(
            (count & TAKE_MASK) as u64
                | ((epoch as u64 & EPOCH_MASK) << HEAD_EPOCH)
                | ((slot as u64 & SLOT_MASK) << HEAD_SLOT)
                | flags,
        )
    }
    /// Number of receives so far.
    #[inline(always)]
    pub const fn count(self) -> u32 {
        self.0 as u32 & TAKE_MASK
    }
    /// Moves on whenever a look for the best message becomes out of date.
    #[inline(always)]
    pub const fn epoch(self) -> u32 {
        (self.0 >> HEAD_EPOCH & EPOCH_MASK) as u32
    }
    /// Slot of the last receive.
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        (self.0 >> HEAD_SLOT & SLOT_MASK) as u32
    }
    /// Whether receivers must look for the best message.
    #[inline(always)]
    pub const fn is_mixed(self) -> bool {
        self.0 & MIX != 0
    }
    /// Whether a receiver is looking in this epoch.
    #[inline(always)]
    pub const fn is_snapped(self) -> bool {
        self.0 & SNAP != 0
    }
    /// The same receive in the next epoch: whoever looked must look again.
    #[inline(always)]
    pub const fn next_epoch(self, mix: u64) -> Head {
        Head::new(self.count(), self.epoch().wrapping_add(1), self.slot(), mix)
    }
    /// The receive after this one, which takes `slot`. SNAP stays: the next receiver
    /// will look too.
    #[inline(always)]
    pub const fn advanced(self, slot: u32) -> Head {
        self.advanced_by(1, slot)
    }
    /// The receive after this one, which takes so many messages, the last one of them in `slot`.
    #[inline(always)]
    pub const fn advanced_by(self, messages: u32, slot: u32) -> Head {
        Head::new(self.count().wrapping_add(messages), self.epoch(), slot, self.0 & (MIX | SNAP))
    }
}

/// The word of a slot: its state, the truth about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word(pub u64);

impl Word {
    #[inline(always)]
    const fn tagged(tag: u64, upper: u64, lower: u64) -> Word {
        Word(tag << TAG | upper << OWNER | lower)
    }
    /// Free for the n-th time.
    #[inline(always)]
    pub const fn free(generation: u32) -> Word {
        Word::tagged(FREE, 0, generation as u64)
    }
    /// A sender fills it; `stamp` is the tail's count at the claim.
    #[inline(always)]
    pub const fn claimed(owner: u32, stamp: u64) -> Word {
        Word::tagged(CLAIMED, owner as u64 & OWNER_MASK, stamp & SEQ_MASK)
    }
    /// It holds a message.
    #[inline(always)]
    pub const fn queued(prio: u32, seq: u64) -> Word {
        Word::tagged(QUEUED, prio as u64 & PRIO_MASK, seq & SEQ_MASK)
    }
    /// A receiver wants it as the receive number `take` of `epoch`.
    #[inline(always)]
    pub const fn taking(owner: u32, epoch: u32, take: u32) -> Word {
        let lower = (take & TAKE_MASK) as u64 | (epoch as u64 & EPOCH_MASK) << HEAD_EPOCH;
        Word::tagged(TAKING, owner as u64 & OWNER_MASK, lower)
    }
    /// The same for a receive that takes so many messages (up to 16) and ends with `take`.
    #[inline(always)]
    pub const fn taking_several(owner: u32, epoch: u32, take: u32, messages: u32) -> Word {
        Word(Word::taking(owner, epoch, take).0 | (messages as u64 - 1) << TAKEN_TOGETHER)
    }
    /// The same, sent together with the message before it (CLAIMED, QUEUED).
    #[inline(always)]
    pub const fn chained(self, is_chained: bool) -> Word {
        Word(if is_chained { self.0 | CHAINED } else { self.0 & !CHAINED })
    }
    /// Whether the message before it was sent together with it (CLAIMED, QUEUED).
    #[inline(always)]
    pub const fn is_chained(self) -> bool {
        self.0 & CHAINED != 0
    }
    /// The receiver of a TAKING word has it.
    #[inline(always)]
    pub const fn taken(self) -> Word {
        Word(self.0 & ((1 << TAG) - 1) | TAKEN << TAG)
    }

    /// A message that was received is sent again; `stamp` as in CLAIMED.
    #[inline(always)]
    pub const fn returning(owner: u32, stamp: u64) -> Word {
        Word::tagged(RETURNING, owner as u64 & OWNER_MASK, stamp & SEQ_MASK)
    }

    #[inline(always)]
    const fn tag(self) -> u64 {
        self.0 >> TAG
    }
    /// Whether it is FREE.
    #[inline(always)]
    pub const fn is_free(self) -> bool {
        self.tag() == FREE
    }
    /// Whether it is CLAIMED.
    #[inline(always)]
    pub const fn is_claimed(self) -> bool {
        self.tag() == CLAIMED
    }
    /// Whether it is QUEUED.
    #[inline(always)]
    pub const fn is_queued(self) -> bool {
        self.tag() == QUEUED
    }
    /// Whether it is TAKING.
    #[inline(always)]
    pub const fn is_taking(self) -> bool {
        self.tag() == TAKING
    }
    /// Whether it is TAKEN.
    #[inline(always)]
    pub const fn is_taken(self) -> bool {
        self.tag() == TAKEN
    }
    /// Whether it is RETURNING.
    #[inline(always)]
    pub const fn is_returning(self) -> bool {
        self.tag() == RETURNING
    }
    /// Whether a send that the tail names may have it so: CLAIMED or RETURNING.
    #[inline(always)]
    pub const fn is_being_sent(self) -> bool {
        self.is_claimed() || self.is_returning()
    }
    /// Whether it is in somebody's hands, who may be dead.
    #[inline(always)]
    pub const fn is_held(self) -> bool {
        self.is_claimed() || self.is_taking() || self.is_taken() || self.is_returning()
    }
    /// Whether no state has this tag: the segment is damaged.
    #[inline(always)]
    pub const fn is_impossible(self) -> bool {
        self.tag() > RETURNING
    }
    /// Who did it (CLAIMED, TAKING, TAKEN, RETURNING).
    #[inline(always)]
    pub const fn owner(self) -> u32 {
        (self.0 >> OWNER & OWNER_MASK) as u32
    }
    /// Priority (QUEUED).
    #[inline(always)]
    pub const fn prio(self) -> u32 {
        (self.0 >> OWNER & PRIO_MASK) as u32
    }
    /// Number of the message (QUEUED) or stamp of the claim (CLAIMED, RETURNING).
    #[inline(always)]
    pub const fn seq(self) -> u64 {
        self.0 & SEQ_MASK
    }
    /// Number of the receive (TAKING, TAKEN).
    #[inline(always)]
    pub const fn take(self) -> u32 {
        self.0 as u32 & TAKE_MASK
    }
    /// How many messages the receive takes (TAKING, TAKEN); this is the last one of them.
    #[inline(always)]
    pub const fn messages(self) -> u32 {
        (self.0 >> TAKEN_TOGETHER & 15) as u32 + 1
    }
    /// Epoch of the receive (TAKING, TAKEN).
    #[inline(always)]
    pub const fn epoch(self) -> u32 {
        (self.0 >> HEAD_EPOCH & EPOCH_MASK) as u32
    }
    /// Whether it is QUEUED as the message that a lane's head must take next.
    #[inline(always)]
    pub const fn is_queued_next(self, head: Head) -> bool {
        self.is_queued() && self.take() == head.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_went_in() {
        let t = Tail::new(SEQ_MASK, NO_SLOT, MIX | FIRE);
        assert_eq!((t.count(), t.slot(), t.flags()), (SEQ_MASK, NO_SLOT, MIX | FIRE));
        assert!(!t.is_settled() && t.with(SETTLED, 0).is_settled());
        assert_eq!(Tail::new(SEQ_MASK + 1, 3, SHUT | SETTLED), Tail::new(0, 3, SHUT | SETTLED));

        let h = Head::new(TAKE_MASK, 1, 77, SNAP);
        assert_eq!((h.count(), h.epoch(), h.slot()), (TAKE_MASK, 1, 77));
        assert!(h.is_snapped() && !h.is_mixed());

        let q = Word::queued(32767, SEQ_MASK);
        assert_eq!((q.prio(), q.seq()), (32767, SEQ_MASK));
        let w = Word::taking(4095, 2, TAKE_MASK);
        assert_eq!((w.owner(), w.epoch(), w.take(), w.messages()), (4095, 2, TAKE_MASK, 1));
        assert_eq!(w.taken().owner(), 4095);
        let w = Word::taking_several(4095, 2, TAKE_MASK, 16).taken();
        assert_eq!((w.owner(), w.epoch(), w.take(), w.messages()), (4095, 2, TAKE_MASK, 16));
        assert!(w.is_taken());
        for word in [Word::claimed(4095, SEQ_MASK), q] {
            assert_eq!(word.chained(true).seq(), SEQ_MASK);
            assert_eq!(word.chained(true).prio() & 4095, 4095);
            assert!(word.chained(true).is_chained() && !word.is_chained());
            assert_eq!(word.chained(true).chained(false), word);
        }
        assert!(w.taken().is_taken() && Word::claimed(9, 8).is_claimed());
        let r = Word::returning(4095, SEQ_MASK);
        assert_eq!((r.owner(), r.seq()), (4095, SEQ_MASK));
        assert!(r.is_returning() && r.is_being_sent() && r.is_held() && !w.is_being_sent());
        assert!(Word(6 << TAG).is_impossible() && !r.is_impossible());
    }

    #[test]
    fn an_advanced_head_keeps_the_mode_and_the_look() {
        let h = Head::new(TAKE_MASK, 1, 5, SNAP | MIX).advanced(9);
        assert_eq!(h, Head::new(0, 1, 9, SNAP | MIX));
    }

    #[test]
    fn distances_are_modular() {
        assert_eq!(seq_distance(1, SEQ_MASK), 2);
        assert_eq!(take_distance(0, TAKE_MASK), 1);
        assert_eq!(Tail::new(2, 0, 0).queued(Head::new(TAKE_MASK, 0, 0, 0)), 3);
    }
}
