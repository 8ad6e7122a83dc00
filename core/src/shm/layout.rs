//! The bytes of a segment: what is where, and whether a file is one of ours.
//!
//! ```text
//! 0x0000  Prologue: constants, written once before the file has a name   (388 bytes)
//! 0x0188  words of a queue of typed messages, else zeros                (120 bytes)
//! 0x0200  Control: the words that everybody changes                     (1152 bytes)
//! 0x0680  owner rows            12 bytes x 1024
//! 0x3680  index                  4 bytes x nslots   (64-aligned from here on)
//!         heap                  12 bytes x nslots   (keys, then slots)
//!         slots             stride bytes x nslots   stride = 56 + msgsize, rounded up to 64
//! ```
//!
//! Fixed-width integers in the machine's byte order, no pointers: 32-bit and 64-bit
//! programs share one segment. Everything after the prologue begins as zeros except
//! head, tail and a few words that [`Control::prepare`] sets.

#![forbid(unsafe_code)]

use super::event::Event;
use super::word::{Head, NO_SLOT, Tail};
use crate::attr::option;
use crate::error::Result;
use crate::report::{explain, say};
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// First bytes of every segment.
pub const MAGIC: [u8; 8] = *b"mqrsQ\0\r\n";
/// What this library writes: a change that old readers would misread moves MAJOR.
pub const LAYOUT_MAJOR: u16 = 3;
/// Compatible additions move MINOR.
pub const LAYOUT_MINOR: u16 = 0;
const BYTE_ORDER: u32 = 0x0102_0304;

/// Owners (attached processes) of one segment.
pub const OWNERS: u32 = if cfg!(loom) { 4 } else { 1024 };
/// Largest maxmsg: a slot number has 20 bits, and some slots are spare.
pub const MAXMSG_MAX: u64 = 1_000_000;
/// Largest msgsize.
pub const MSGSIZE_MAX: u64 = 1 << 30;
/// maxmsg of a queue that asks for none.
pub const MAXMSG_DEFAULT: u64 = 64;
/// msgsize of a queue that asks for none.
pub const MSGSIZE_DEFAULT: u64 = 8192;

/// Bytes of the slot header; 8 bytes of payload share its cache line.
pub const SLOT_HEADER: usize = 56;
/// Unused keys before the heap's first: so that brothers, of whom there are eight, share
/// a cache line.
pub const HEAP_KEYS_BEFORE: u64 = 7;
/// Where Control begins.
pub const CONTROL_AT: usize = 0x200;
/// Where [`CountersAndPoison::ended`] is, for those who have not mapped the file.
pub const ENDED_AT: i64 = 0x5D0;
/// Where the owner rows begin.
pub const OWNERS_AT: usize = 0x680;
/// Bytes of an owner row.
pub const OWNER_ROW: usize = 12;
const INDEX_AT: u64 = (OWNERS_AT + OWNER_ROW * 1024) as u64;

/// How many messages may be in flight (being copied, or left behind by the dead) on
/// top of `maxmsg` queued ones.
pub const fn spare_slots(maxmsg: u64) -> u64 {
    let quarter = maxmsg / 4;
    if quarter < 32 {
        32
    } else if quarter > 64 {
        64
    } else {
        quarter
    }
}

/// The sizes of a segment; computed once, checked once, then never re-read from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Most messages queued.
    pub maxmsg: u32,
    /// Most bytes in a message.
    pub msgsize: u32,
    /// maxmsg and the spare slots.
    pub nslots: u32,
    /// Bytes from one slot to the next.
    pub stride: u32,
    /// Offset of the index.
    pub index: u64,
    /// Offset of the heap's keys.
    pub heap_keys: u64,
    /// Offset of the heap's slots.
    pub heap_slots: u64,
    /// Offset of the slots.
    pub slots: u64,
    /// Bytes in all.
    pub total: u64,
}

const fn align64(n: u64) -> u64 {
    (n + 63) & !63
}

impl Geometry {
    /// The geometry of a queue of this size, or `None` if it is out of range.
    pub const fn of(maxmsg: u64, msgsize: u64) -> Option<Geometry> {
        if maxmsg == 0 || maxmsg > MAXMSG_MAX || msgsize == 0 || msgsize > MSGSIZE_MAX {
            return None;
        }
        Some(Geometry::with_spare(maxmsg, msgsize, spare_slots(maxmsg)))
    }

    /// The same with a number of spare slots of the caller's choice (the models).
    pub const fn with_spare(maxmsg: u64, msgsize: u64, spare: u64) -> Geometry {
        let nslots = maxmsg + spare;
        let stride = align64(SLOT_HEADER as u64 + msgsize);
        let index = INDEX_AT;
        let heap_keys = align64(index + 4 * nslots);
        let heap_slots = align64(heap_keys + 8 * (nslots + HEAP_KEYS_BEFORE));
        let slots = align64(heap_slots + 4 * nslots);
        Geometry {
            maxmsg: maxmsg as u32,
            msgsize: msgsize as u32,
            nslots: nslots as u32,
            stride: stride as u32,
            index,
            heap_keys,
            heap_slots,
            slots,
            total: slots + stride * nslots,
        }
    }
}

/// What is written once, before the segment has a name.
#[derive(Clone, Copy, Debug)]
pub struct Prologue {
    /// The sizes.
    pub geometry: Geometry,
    /// 128 random bits, to tell two queues of one name apart.
    pub uuid: [u8; 16],
    /// CLOCK_REALTIME at creation, nanoseconds.
    pub created_ns: u64,
    /// Option flags of the creation.
    pub options: u64,
    /// The queue's name after the slash; at most 255 bytes.
    pub name: [u8; 256],
    /// Its length.
    pub name_len: u32,
}

/// In the prologue's options: messages have types, and slots get their memory when they are
/// wanted. Only `typed/` opens such a queue.
pub const TYPED: u64 = 1 << 32;

/// Bytes of the encoded prologue.
pub const PROLOGUE: usize = 0x184;
const CRC_AT: usize = 0x180;

/// CRC-32 (IEEE 802.3, reflected) of a few hundred bytes: a table would cost more than it saves.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= byte as u32;
        for _ in 0..8 {
            crc = crc >> 1 ^ 0xEDB8_8320 & (crc & 1).wrapping_neg();
        }
    }
    !crc
}

/// Writes and reads the prologue's fields at their places.
struct Fields<'a>(&'a mut [u8; PROLOGUE]);

impl Fields<'_> {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn u32_at(bytes: &[u8; PROLOGUE], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; PROLOGUE], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(word)
}

impl Prologue {
    /// The bytes to write at offset 0.
    pub fn encode(&self) -> [u8; PROLOGUE] {
        let g = &self.geometry;
        let mut bytes = [0; PROLOGUE];
        let mut f = Fields(&mut bytes);
        f.put(0x00, &MAGIC);
        f.put(0x08, &((LAYOUT_MAJOR as u32) << 16 | LAYOUT_MINOR as u32).to_ne_bytes());
        f.put(0x0C, &(PROLOGUE as u32).to_ne_bytes());
        // 0x10 incompatible and 0x14 compatible feature bits: none yet.
        f.put(0x18, &BYTE_ORDER.to_ne_bytes());
        f.put(0x20, &g.maxmsg.to_ne_bytes());
        f.put(0x24, &g.msgsize.to_ne_bytes());
        f.put(0x28, &g.nslots.to_ne_bytes());
        f.put(0x2C, &g.stride.to_ne_bytes());
        f.put(0x30, &g.index.to_ne_bytes());
        f.put(0x38, &g.heap_keys.to_ne_bytes());
        f.put(0x40, &g.slots.to_ne_bytes());
        f.put(0x48, &g.total.to_ne_bytes());
        f.put(0x50, &self.uuid);
        f.put(0x60, &self.created_ns.to_ne_bytes());
        f.put(0x70, &g.heap_slots.to_ne_bytes());
        f.put(0x68, &self.options.to_ne_bytes());
        f.put(0x78, &self.name_len.to_ne_bytes());
        f.put(0x80, &self.name);
        let crc = crc32(&f.0[..CRC_AT]);
        f.put(CRC_AT, &crc.to_ne_bytes());
        bytes
    }

    /// Check the first bytes of a file of `file_len` bytes.
    ///
    /// `EBADMSG`: not a queue, damaged or cut off. `ENOTSUP`: a queue, but of a layout
    /// that this library does not know.
    pub fn decode(bytes: &[u8; PROLOGUE], file_len: u64) -> Result<Prologue> {
        Prologue::decode_known(bytes, file_len, option::KEPT)
    }

    /// The same for who knows these options.
    pub fn decode_known(bytes: &[u8; PROLOGUE], file_len: u64, known: u64) -> Result<Prologue> {
        if bytes[..8] != MAGIC {
            return Err(say(libc::EBADMSG, "the file is not a queue of this library"));
        }
        if u32_at(bytes, 0x18) != BYTE_ORDER {
            return Err(say(
                libc::ENOTSUP,
                "the queue was made on a machine of another byte order",
            ));
        }
        let version = u32_at(bytes, 0x08);
        if version >> 16 != LAYOUT_MAJOR as u32 {
            return Err(explain(
                libc::ENOTSUP,
                format_args!(
                    "the queue has layout version {}; this library knows version {LAYOUT_MAJOR}",
                    version >> 16
                ),
            ));
        }
        if u32_at(bytes, 0x10) != 0 {
            return Err(say(
                libc::ENOTSUP,
                "the queue uses features that this version of the library does not know",
            ));
        }
        if u32_at(bytes, CRC_AT) != crc32(&bytes[..CRC_AT]) {
            return Err(say(libc::EBADMSG, "the queue's header is damaged (checksum)"));
        }
        if u64_at(bytes, 0x68) & !known != 0 {
            return Err(say(
                libc::ENOTSUP,
                "the queue was made with options that this version of the library does not know",
            ));
        }
        let geometry = Geometry {
            maxmsg: u32_at(bytes, 0x20),
            msgsize: u32_at(bytes, 0x24),
            nslots: u32_at(bytes, 0x28),
            stride: u32_at(bytes, 0x2C),
            index: u64_at(bytes, 0x30),
            heap_keys: u64_at(bytes, 0x38),
            heap_slots: u64_at(bytes, 0x70),
            slots: u64_at(bytes, 0x40),
            total: u64_at(bytes, 0x48),
        };
        let expected = Geometry::of(geometry.maxmsg as u64, geometry.msgsize as u64);
        if expected != Some(geometry) || u32_at(bytes, 0x0C) != PROLOGUE as u32 {
            return Err(say(libc::EBADMSG, "the queue's header contradicts itself"));
        }
        if file_len < geometry.total {
            return Err(explain(
                libc::EBADMSG,
                format_args!(
                    "the queue's file is cut off: {file_len} bytes instead of {}",
                    geometry.total
                ),
            ));
        }
        let mut prologue = Prologue {
            geometry,
            uuid: [0; 16],
            created_ns: u64_at(bytes, 0x60),
            options: u64_at(bytes, 0x68),
            name: [0; 256],
            name_len: u32_at(bytes, 0x78),
        };
        prologue.uuid.copy_from_slice(&bytes[0x50..0x60]);
        prologue.name.copy_from_slice(&bytes[0x80..0x180]);
        if prologue.name_len > 255 {
            return Err(say(libc::EBADMSG, "the queue's header contradicts itself"));
        }
        Ok(prologue)
    }

    /// The name after the slash.
    pub fn name(&self) -> &[u8] {
        &self.name[..(self.name_len as usize).min(255)]
    }
}

/// Two adjacent lines for one hot pair of words: processors prefetch lines in pairs.
#[repr(C, align(128))]
pub struct Apart<T>(pub T);

/// Notes of receivers.
#[repr(C)]
pub struct Finalized {
    /// Count of some finalized receive, the last as a rule, with as many bits as a send count.
    pub count: AtomicU64,
    /// Messages up to this number are received, whatever their slots' words say.
    pub gone: AtomicU64,
}

/// Where processes sleep. Written only when somebody goes to sleep or wakes another.
#[repr(C)]
pub struct WaitWords {
    /// Receivers sleep here until a message arrives.
    pub receivers: Event,
    /// Who waits for this queue beside others sleeps here; the marks of the two other words
    /// say for what.
    pub pollers: Event,
    /// Senders sleep here until there is room.
    pub senders: Event,
    /// The registrant's helper thread sleeps here until the registration fires.
    pub registrant: Event,
    /// Processor, plus one, on which a receiver last woke a sender; a hint.
    pub receiver_cpu: AtomicU32,
    /// Processor, plus one, on which a sender last woke a receiver; a hint.
    pub sender_cpu: AtomicU32,
    /// Not 0: some pollers cannot sleep on a word, and want the file itself to be touched.
    pub watchers: AtomicU32,
    /// What the beacon shows, and who is changing that, see `beacon.rs`.
    pub beacon: AtomicU32,
    /// Number of the beacon's file, 0 as long as there is none. Written once.
    pub beacon_inode: AtomicU64,
    /// Until when somebody's helper shows on the beacon what is missing there, see `lazy.rs`:
    /// milliseconds on CLOCK_MONOTONIC_COARSE, modulo 2^32; 0: nobody's.
    pub lazy_until_ms: AtomicU32,
    /// Not 0: never again; somebody who uses the queue can have no helper.
    pub never_lazy: AtomicU32,
}

/// The one registration for notification.
#[repr(C)]
pub struct NotifyWords {
    /// State, owner and generation, see `arrival.rs`.
    pub word: AtomicU64,
    /// uid << 32 | pid of the sender whose message fired, by parity of the generation.
    pub sender: [AtomicU64; 2],
    /// 1 << 63 | head count when a woken receiver was trusted with an arrival; with 1 << 62 when
    /// one is being woken for it.
    pub trusted: AtomicU64,
    /// What has fired of a registration that stays: in 0-39 the send count of the last
    /// arrival, in 40-63 how many there were.
    pub fired: AtomicU64,
    /// Nothing yet.
    pub reserved: [AtomicU64; 3],
    /// The last send and the last receive, in queues that keep stamps.
    pub last: [LastUse; 2],
}

/// Who used the queue last, and when.
#[repr(C)]
pub struct LastUse {
    /// uid << 32 | pid.
    pub user: AtomicU64,
    /// CLOCK_MONOTONIC_COARSE, in nanoseconds.
    pub at_ns: AtomicU64,
}

/// The finder of mixed mode; all but `lock` and `rebuilds_asked` under its lock.
#[repr(C)]
pub struct FinderWords {
    /// Holder in 0-31: 0, or its owner number + 1; in 32-63 how often it was taken.
    pub lock: AtomicU64,
    /// Send count up to which messages are drained into the heap.
    pub drained: AtomicU64,
    /// Entries in the heap.
    pub len: AtomicU32,
    /// Heap and `drained` mean nothing: the queue was a lane.
    pub lane: AtomicU32,
    /// Priority of the first entry.
    pub first_prio: AtomicU32,
    /// Entries of another priority.
    pub others: AtomicU32,
    /// Rebuilds asked for.
    pub rebuilds_asked: AtomicU32,
    /// `rebuilds_asked` when the last complete rebuild began.
    pub rebuilds_done: AtomicU32,
    /// Receives in a row that found one priority only.
    pub uniform: AtomicU32,
    /// Nothing yet.
    pub reserved: AtomicU32,
    /// Send count from which the keys are reckoned, so that they can be compared as numbers.
    pub base: AtomicU64,
}

/// Counters for diagnosis; nothing depends on them.
#[repr(C)]
pub struct Counters {
    /// Messages dropped to make room for others.
    pub dropped: AtomicU64,
    /// Most messages that anybody has seen queued.
    pub max_curmsgs: AtomicU64,
    /// Messages that died with their receiver.
    pub lost_with_receiver: AtomicU64,
    /// Slots that came back from dead senders.
    pub orphans: AtomicU64,
    /// Runs of reclaim.
    pub reclaims: AtomicU64,
    /// Scans for a message whose index entry was missing.
    pub scans: AtomicU64,
    /// Emergency scans.
    pub emergencies: AtomicU64,
    /// Rebuilds of the finder's heap.
    pub rebuilds: AtomicU64,
}

/// The words that everybody changes, each hot pair on lines of its own.
#[repr(C)]
pub struct Control {
    /// [`Tail`]: the last send. Senders advance it. At 0x200.
    pub tail: Apart<AtomicU64>,
    /// Count of the last confirmed send in 0-39, its priority in 40-54: a hint, written
    /// after each send; receivers who wait look here and leave senders the tail. At 0x280.
    pub confirmed: Apart<AtomicU64>,
    /// [`Head`]: the last receive. Receivers advance it, senders of another priority
    /// move its epoch. At 0x300.
    pub head: Apart<AtomicU64>,
    /// What receivers have done. Written after each receive; senders look here for room and
    /// leave receivers the head. At 0x380.
    pub finalized: Apart<Finalized>,
    /// At 0x400.
    pub wait: Apart<WaitWords>,
    /// At 0x480.
    pub notify: Apart<NotifyWords>,
    /// At 0x500.
    pub finder: Apart<FinderWords>,
    /// At 0x580.
    pub counters: Apart<CountersAndPoison>,
    /// Slots that somebody has been lent. At 0x600.
    pub loans: Apart<Loans>,
}

/// Most slots of one queue that can be lent at a time.
pub const LOANS: usize = if cfg!(loom) { 2 } else { 32 };

/// Permits for slots lent out (reserved or acquired), see `loan.rs`: 0, or whose it is.
#[repr(C)]
pub struct Loans(pub [AtomicU32; LOANS]);

/// Shares lines that are cold in a healthy queue.
#[repr(C)]
pub struct CountersAndPoison {
    /// The counters.
    pub counters: Counters,
    /// 0, or the errno that every call returns: the state was found impossible.
    pub poison: AtomicU32,
    /// When somebody last looked for the dead, in a queue with redelivery: milliseconds on
    /// CLOCK_MONOTONIC, modulo 2^32. Whoever moves it looks.
    pub looked_ms: AtomicU32,
    /// All sends up to some not too distant one, with more bits than the tail has.
    pub sent: AtomicU64,
    /// Not 0: an ephemeral queue whose last user has gone. Nobody opens it by its name any
    /// more, see `ephemeral.rs`.
    pub ended: AtomicU32,
}

/// Where [`TypedWords`] begin.
pub const TYPED_AT: usize = 0x188;

/// What a queue of typed messages has beside: the record of a System V queue, see `typed/`.
#[repr(C)]
pub struct TypedWords {
    /// Bytes in 0-31, messages in 32-42, changes so far in 43-63 (`charge.rs`).
    pub charge: AtomicU64,
    /// Most bytes, and most messages: msg_qbytes.
    pub most: AtomicU64,
    /// Slots that have memory, from the first; never fewer. Whoever has given more of them
    /// memory raises it.
    pub slots: AtomicU32,
    /// Not 0: removed, for good. Whoever changes it has removed the queue.
    pub removed: AtomicU32,
    /// The queue's number; constant.
    pub id: AtomicU32,
    /// Its key, 0 if it has none; constant.
    pub key: AtomicU32,
    /// Owning user and group; changed by its owners.
    pub uid: AtomicU32,
    /// As above.
    pub gid: AtomicU32,
    /// Creating user and group; constant.
    pub cuid: AtomicU32,
    /// As above.
    pub cgid: AtomicU32,
    /// Permission bits; changed by its owners.
    pub mode: AtomicU32,
    /// Nothing yet.
    pub reserved: AtomicU32,
    /// When the last message was sent, in seconds since 1970; 0: none was.
    pub sent_s: AtomicU64,
    /// When the last message was received.
    pub received_s: AtomicU64,
    /// When the queue was made, or an owner changed it.
    pub changed_s: AtomicU64,
    /// Process of the last send.
    pub last_sender: AtomicU32,
    /// Process of the last receive.
    pub last_receiver: AtomicU32,
}

/// In the pid of an owner: others have the description through which it holds its lock.
pub const SHARES_ITS_LOCK: u32 = 1 << 31;

/// One attached process.
#[repr(C)]
pub struct OwnerRow {
    /// Its pid, 0 when it left in good order or what it left is cleared up; only then the
    /// number is used again. Information, never proof of life. [`SHARES_ITS_LOCK`].
    pub pid: AtomicU32,
    /// Its effective uid; of one that shares its lock, which pid namespace its pid is of.
    pub uid_or_namespace: AtomicU32,
    /// Its threads asleep: senders in the low 16 bits, receivers in the high 16.
    pub asleep: AtomicU32,
}

/// With the priority in a slot's header: the message was received before. Every sender writes
/// the whole word, so nobody has to take it away.
pub const REDELIVERED: u32 = 1 << 31;

/// What a slot carries besides the payload.
#[repr(C)]
pub struct SlotHeader {
    /// [`super::word::Word`]: its state, the truth about it.
    pub word: AtomicU64,
    /// Number of its message; written by the claimer before the tail names it.
    pub seq: AtomicU64,
    /// How often it was freed, at least.
    pub generation: AtomicU32,
    /// Bytes of payload.
    pub len: AtomicU32,
    /// Priority of its message in the low 15 bits, and [`REDELIVERED`]; written before the
    /// tail names it.
    pub prio: AtomicU32,
    /// Slot of the message before it, where the word says that they were sent together.
    pub link: AtomicU32,
    /// uid << 32 | pid of the sender.
    pub sender: AtomicU64,
    /// Time of the send, in queues that keep stamps: CLOCK_MONOTONIC_COARSE.
    pub sent_ns: AtomicU64,
    /// Type of its message, in queues of typed messages; written before the tail names it.
    pub kind: AtomicU64,
}

impl Control {
    /// Make zeroed words the words of an empty queue.
    pub fn prepare(&self) {
        self.tail.0.store(Tail::new(0, NO_SLOT, 0).0, Relaxed);
        // No count has 40 bits: the hint matches nothing until the first send.
        self.confirmed.0.store(!0, Relaxed);
        self.head.0.store(Head::new(0, 0, NO_SLOT, 0).0, Relaxed);
        self.finder.0.lane.store(1, Relaxed);
    }
}

#[cfg(not(loom))]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(CONTROL_AT + offset_of!(Control, tail) == 0x200);
    assert!(CONTROL_AT + offset_of!(Control, confirmed) == 0x280);
    assert!(CONTROL_AT + offset_of!(Control, head) == 0x300);
    assert!(CONTROL_AT + offset_of!(Control, finalized) == 0x380);
    assert!(CONTROL_AT + offset_of!(Control, wait) == 0x400);
    assert!(offset_of!(WaitWords, beacon) == 28 && offset_of!(WaitWords, beacon_inode) == 32);
    assert!(CONTROL_AT + offset_of!(Control, notify) == 0x480);
    assert!(CONTROL_AT + offset_of!(Control, finder) == 0x500);
    assert!(CONTROL_AT + offset_of!(Control, counters) == 0x580);
    assert!(0x580 + offset_of!(CountersAndPoison, ended) == ENDED_AT as usize);
    assert!(CONTROL_AT + offset_of!(Control, loans) == 0x600);
    // The stamps have a line of their own.
    assert!(offset_of!(NotifyWords, last) == 64);
    assert!(CONTROL_AT + size_of::<Control>() <= OWNERS_AT);
    assert!(size_of::<OwnerRow>() == OWNER_ROW);
    assert!(size_of::<SlotHeader>() == SLOT_HEADER);
    assert!(MAXMSG_MAX + spare_slots(MAXMSG_MAX) < NO_SLOT as u64);
    assert!(PROLOGUE <= TYPED_AT && TYPED_AT + size_of::<TypedWords>() <= CONTROL_AT);
    assert!(INDEX_AT == 0x3680);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Errno;

    fn sample() -> Prologue {
        let mut name = [0; 256];
        name[..4].copy_from_slice(b"jobs");
        Prologue {
            geometry: Geometry::of(64, 8192).unwrap(),
            uuid: [7; 16],
            created_ns: 1,
            options: 0,
            name,
            name_len: 4,
        }
    }

    #[test]
    fn a_prologue_comes_back_as_it_was_written() {
        let p = sample();
        let q = Prologue::decode(&p.encode(), p.geometry.total).unwrap();
        assert_eq!((q.geometry, q.uuid, q.name()), (p.geometry, p.uuid, &b"jobs"[..]));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let p = sample();
        for at in 0..PROLOGUE {
            let mut bytes = p.encode();
            bytes[at] ^= 0x10;
            assert!(Prologue::decode(&bytes, p.geometry.total).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_newer_layout_is_refused_as_unknown_and_a_short_file_as_damaged() {
        let p = sample();
        let mut newer = p.encode();
        newer[8..12].copy_from_slice(&((LAYOUT_MAJOR as u32 + 1) << 16).to_ne_bytes());
        assert_eq!(Prologue::decode(&newer, p.geometry.total).unwrap_err(), Errno(libc::ENOTSUP));
        assert_eq!(
            Prologue::decode(&p.encode(), p.geometry.total - 1).unwrap_err(),
            Errno(libc::EBADMSG)
        );
    }

    #[test]
    fn options_that_are_not_known_are_refused_as_unknown() {
        let mut p = sample();
        p.options = option::KEPT;
        assert_eq!(Prologue::decode(&p.encode(), p.geometry.total).unwrap().options, option::KEPT);
        for unknown in [option::ALL + 1, 1 << 63] {
            p.options = option::KEPT | unknown;
            let refused = Prologue::decode(&p.encode(), p.geometry.total);
            assert_eq!(refused.unwrap_err(), Errno(libc::ENOTSUP));
        }
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused_even_with_a_right_checksum() {
        let mut p = sample();
        p.geometry.slots += 64;
        assert_eq!(
            Prologue::decode(&p.encode(), p.geometry.total + 64).unwrap_err(),
            Errno(libc::EBADMSG)
        );
    }

    #[test]
    fn sizes_out_of_range_have_no_geometry() {
        assert!(Geometry::of(0, 1).is_none() && Geometry::of(1, 0).is_none());
        assert!(Geometry::of(MAXMSG_MAX + 1, 1).is_none());
        assert!(Geometry::of(1, MSGSIZE_MAX + 1).is_none());
        assert!(Geometry::of(MAXMSG_MAX, MSGSIZE_MAX).is_some());
    }

    #[test]
    fn a_thousand_messages_of_256_bytes_fit_in_380_kib() {
        assert!(Geometry::of(1024, 256).unwrap().total <= 380 * 1024);
    }
}
