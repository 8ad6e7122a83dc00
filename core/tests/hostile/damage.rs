//! Files of queues, and what a hostile hand makes of them.
//!
//! The sound ones are taken from processes that were killed at one step after another of
//! their work, so that every state in which a queue can be left is among them. The damage
//! is drawn from a row of bytes: random ones in the test, a fuzzer's in `fuzz/`. It knows
//! where the regions of a segment are and nothing of what the words in them mean; what is
//! plausible but wrong comes from elsewhere in the same file, or from another one.

use arbitrary::{Result, Unstructured};
use mqueue_core::attr::OpenOptions;
use mqueue_core::deadline::Wait;
use mqueue_core::fault::arm;
use mqueue_core::queue::{Notification, Queue};
use mqueue_core::shm::layout::{CONTROL_AT, Geometry, OWNER_ROW, OWNERS_AT, PROLOGUE, Prologue};
use std::ffi::CStr;
use std::path::Path;

/// What a queue file is called, and its name for the library.
pub const FILE: &str = "mqrs.hostile";
pub const NAME: &CStr = c"/hostile";

/// Most bytes in a message of any sound queue here.
pub const MSGSIZE_MAX: usize = 4096;

/// A file as it was found.
struct Image {
    bytes: Vec<u8>,
    geometry: Geometry,
}

/// Sound queue files, all of a kind together.
pub struct Images(Vec<Vec<Image>>);

/// maxmsg and msgsize of the sound queues.
fn sizes() -> Vec<(u64, u64)> {
    let mut sizes = vec![(1, 1), (2, 8), (10, 200), (3, 4096), (100, 8)];
    // And some that end where a page does: there the guard begins directly behind.
    let exact = |&(maxmsg, msgsize): &(u64, u64)| {
        Geometry::of(maxmsg, msgsize).is_some_and(|geometry| geometry.total % 4096 == 0)
    };
    for msgsize in [8, 72, 1000] {
        sizes.extend((1..1000).map(|maxmsg| (maxmsg, msgsize)).find(exact));
    }
    sizes
}

impl Images {
    /// Take them, at every step if `thorough`; in a process of one thread, whose MQRS_DIR
    /// is `dir`.
    pub fn take(dir: &Path, thorough: bool) -> Images {
        let file = dir.join(FILE);
        let kinds = sizes().into_iter().map(|(maxmsg, msgsize)| {
            let mut kind = Vec::new();
            let mut step = 1;
            loop {
                let killed = run_until_killed(|| work(maxmsg, msgsize), step);
                if let Ok(bytes) = std::fs::read(&file) {
                    let mut prologue = [0; PROLOGUE];
                    prologue.copy_from_slice(&bytes[..PROLOGUE]);
                    let prologue = Prologue::decode(&prologue, bytes.len() as u64);
                    let geometry = prologue.expect("a sound queue").geometry;
                    kind.push(Image { bytes, geometry });
                    std::fs::remove_file(&file).expect("the queue's file can be removed");
                }
                if !killed {
                    return kind;
                }
                step += 1 + step / if thorough { 16 } else { 4 };
            }
        });
        Images(kinds.collect())
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// One of them, and another of the same sizes.
    fn choose(&self, u: &mut Unstructured) -> Result<(&Image, &Image)> {
        let kind = u.choose(&self.0)?;
        Ok((u.choose(kind)?, u.choose(kind)?))
    }

    /// The bytes of two that have these sizes; nothing if none has.
    pub fn of_size(&self, u: &mut Unstructured, geometry: &Geometry) -> Result<(&[u8], &[u8])> {
        match self.0.iter().find(|kind| kind.iter().any(|image| image.geometry == *geometry)) {
            Some(kind) => Ok((&u.choose(kind)?.bytes, &u.choose(kind)?.bytes)),
            None => Ok((&[], &[])),
        }
    }
}

/// Run `work` in a new process that kills itself at its `nth` step; false if it has not
/// so many.
fn run_until_killed(work: impl FnOnce(), nth: u64) -> bool {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { libc::fork() } {
        0 => {
            arm(None, nth, libc::SIGKILL);
            work();
            // SAFETY: ends this process without running what belongs to its parent.
            unsafe { libc::_exit(0) }
        }
        child => {
            assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
            let mut status = 0;
            // SAFETY: writes one int.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            libc::WIFSIGNALED(status)
        }
    }
}

/// A process's life with a queue: all that leaves traces in its file.
fn work(maxmsg: u64, msgsize: u64) {
    let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
    let open = || Queue::open(Some(NAME), libc::O_CREAT | libc::O_RDWR, &options);
    let (queue, other) = (open().expect("creating"), open().expect("opening"));
    let message = [b'm'; MSGSIZE_MAX];
    let mut buffer = [0; MSGSIZE_MAX];
    let send = |queue: &Queue, prio| {
        let len = (prio as usize * 3 + 1).min(msgsize as usize);
        // SAFETY: `len` readable bytes.
        let _ = unsafe { queue.send(message.as_ptr(), len, prio, Wait::Never) };
    };
    let mut receive = |queue: &Queue, wait| {
        // SAFETY: the buffer is writable for its length.
        let _ = unsafe { queue.receive(buffer.as_mut_ptr(), buffer.len(), wait) };
    };
    for i in 0..4 {
        send(&queue, 0);
        send(&other, 0);
        receive(&other, Wait::Never);
        if i % 2 == 0 {
            receive(&queue, Wait::Never);
        }
    }
    for prio in [1, 0, 2, 7, 1, 32767, 0, 3] {
        send(&queue, prio);
        send(&other, prio);
        receive(&queue, Wait::Never);
    }
    while queue.attr().is_ok_and(|attr| attr.curmsgs > 0) {
        receive(&other, Wait::Never);
    }
    receive(&queue, Wait::For(1000));
    let silent = Notification::Signal { signo: 0, value: 0 };
    for _ in 0..2 {
        let _ = queue.notify(silent, 0);
        send(&other, 4);
        receive(&queue, Wait::Never);
    }
    let _ = queue.notify(silent, 0);
    let _ = queue.notify_cancel();
    for _ in 0..2 * maxmsg.min(64) {
        send(&queue, 5);
    }
    let full = message.as_ptr();
    // SAFETY: no bytes are read.
    let _ = unsafe { queue.send(full, 0, 5, Wait::For(1000)) };
    drop(other);
    receive(&queue, Wait::Never);
    send(&queue, 6);
}

/// A part of a segment.
#[derive(Clone, Copy)]
struct Region {
    at: usize,
    /// Bytes from one element to the next, and of one element.
    stride: usize,
    width: usize,
    count: usize,
}

/// The words that everybody changes, owner rows, index, heap, headers of the slots (and
/// the first bytes of their messages). Where the index ends is a guess; nothing depends on it.
fn regions(g: &Geometry) -> [Region; 5] {
    let (nslots, stride, slots) = (g.nslots as usize, g.stride as usize, g.slots as usize);
    let index = OWNERS_AT + 1024 * OWNER_ROW;
    let heap = (index + 4 * nslots).next_multiple_of(64);
    let words = |at, width, count| Region { at, stride: width, width, count };
    [
        words(CONTROL_AT, OWNERS_AT - CONTROL_AT, 1),
        words(OWNERS_AT, OWNER_ROW, 1024),
        words(index, 4, nslots),
        words(heap, 8, (slots - heap) / 8),
        Region { at: slots, stride, width: 64, count: nslots },
    ]
}

/// Where to do damage, and how many bytes are one word there: mostly where the words are
/// that decide, in the first and in the last part.
fn place(u: &mut Unstructured, g: &Geometry) -> Result<(usize, usize)> {
    let regions = regions(g);
    let which = [0, 0, 0, 4, 4, 4, 1, 2, 3][u.int_in_range(0..=8)?];
    let region = regions[which];
    // Elements in use are mostly the first.
    let elements = if u.ratio(3, 4)? { region.count.min(8) } else { region.count };
    let element = u.int_in_range(0..=elements - 1)?;
    let len = if u.ratio(1, 3)? || region.width % 8 != 0 { 4 } else { 8 };
    let word = u.int_in_range(0..=region.width / len - 1)?;
    Ok((region.at + element * region.stride + word * len, len))
}

fn read(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(found) = bytes.get(at..at + len) {
        word[..len].copy_from_slice(found);
    }
    u64::from_ne_bytes(word)
}

/// A word to be written where `now` stands: an extreme, a near miss, one from elsewhere.
fn value(
    u: &mut Unstructured,
    g: &Geometry,
    now: u64,
    bytes: &[u8],
    other: &[u8],
    (at, len): (usize, usize),
) -> Result<u64> {
    Ok(match u.int_in_range(0..=9)? {
        0 => *u.choose(&[0, !0, 1, 2, 1 << 31, 1 << 32, 1 << 40, 1 << 63, !0 >> 1, 0xFFFF])?,
        1 => u.arbitrary()?,
        2 => now ^ 1 << u.int_in_range(0..=8 * len as u32 - 1)?,
        3 => now.wrapping_add(u.int_in_range(0..=8)?).wrapping_sub(4),
        4 => {
            let sizes = [g.nslots, g.maxmsg, g.msgsize, g.stride, g.nslots * 2];
            u64::from(*u.choose(&sizes)?).wrapping_add(u.int_in_range(0..=4)?).wrapping_sub(2)
        }
        5 => read(other, at, len),
        6 => {
            let (from, _) = place(u, g)?;
            read(if u.ratio(1, 2)? { other } else { bytes }, from, len)
        }
        7 => {
            // The same field of another slot.
            let slot = u.int_in_range(0..=g.nslots.min(8) - 1)? as usize;
            read(bytes, g.slots as usize + slot * g.stride as usize + at % 64, len)
        }
        _ => {
            // One field of a word, of another one.
            let (from, _) = place(u, g)?;
            let (first, last) = (u.int_in_range(0..=63u32)?, u.int_in_range(0..=63u32)?);
            let mask = !0 << first.min(last) & !0 >> (63 - first.max(last));
            let donor = if u.ratio(1, 4)? { u.arbitrary()? } else { read(other, from, 8) };
            now & !mask | donor & mask
        }
    })
}

/// Where and what, to be written by whoever likes.
pub struct Write {
    pub at: usize,
    pub bytes: [u8; 8],
    pub len: usize,
}

/// One word to damage.
pub fn word(u: &mut Unstructured, g: &Geometry, bytes: &[u8], other: &[u8]) -> Result<Write> {
    let (at, len) = place(u, g)?;
    let value = value(u, g, read(bytes, at, len), bytes, other, (at, len))?;
    Ok(Write { at, bytes: value.to_ne_bytes(), len })
}

/// A file to be written.
pub struct Damaged {
    pub bytes: Vec<u8>,
    /// How long the file is to be: cut off, or with a hole at its end.
    pub len: u64,
}

/// Damage a sound file.
pub fn damage(u: &mut Unstructured, images: &Images) -> Result<Damaged> {
    let (image, other) = images.choose(u)?;
    let g = image.geometry;
    let mut bytes = image.bytes.clone();
    let mut len = bytes.len() as u64;
    for _ in 0..u.int_in_range(1..=6)? {
        match u.int_in_range(0..=19)? {
            0..=12 => {
                let Write { at, bytes: word, len } = word(u, &g, &bytes, &other.bytes)?;
                if let Some(to) = bytes.get_mut(at..at + len) {
                    to.copy_from_slice(&word[..len]);
                }
            }
            // A range of one value, or of another file.
            13 => {
                let (at, _) = place(u, &g)?;
                let end = (at + u.int_in_range(1..=4096)?).min(bytes.len());
                match u.int_in_range(0..=2)? {
                    0 => bytes[at..end].fill(0),
                    1 => bytes[at..end].fill(0xFF),
                    _ => bytes[at..end].copy_from_slice(&other.bytes[at..end]),
                }
            }
            // Bits flipped anywhere.
            14 => {
                for _ in 0..u.int_in_range(1..=32)? {
                    let at = u.int_in_range(PROLOGUE..=bytes.len() - 1)?;
                    bytes[at] ^= 1 << u.int_in_range(0..=7)?;
                }
            }
            // One slot twice, payload and all.
            15 | 16 => {
                let stride = g.stride as usize;
                let last = g.nslots as usize - 1;
                let from = g.slots as usize + u.int_in_range(0..=last)? * stride;
                let to = g.slots as usize + u.int_in_range(0..=last)? * stride;
                bytes.copy_within(from..from + stride, to);
            }
            // A whole region of an element's value, again and again.
            17 => {
                let region = regions(&g)[u.int_in_range(0..=4)?];
                let word: u64 = if u.ratio(1, 2)? { !0 } else { u.arbitrary()? };
                for element in 0..region.count {
                    let at = region.at + element * region.stride;
                    let len = region.width.min(8);
                    bytes[at..at + len].copy_from_slice(&word.to_ne_bytes()[..len]);
                }
            }
            // The constants; with a right checksum in half of the cases.
            18 => {
                let at = 4 * u.int_in_range(0..=PROLOGUE / 4 - 2)?;
                let word = value(u, &g, read(&bytes, at, 4), &bytes, &other.bytes, (at, 4))?;
                bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes()[..4]);
                if u.ratio(1, 2)? {
                    repair_checksum(&mut bytes);
                }
            }
            // The file's length, or sound constants of other sizes than the rest has.
            _ => {
                if u.ratio(1, 2)? {
                    len = u.int_in_range(0..=bytes.len() as u64 + 10000)?;
                } else {
                    let sizes = (u.int_in_range(1..=400)?, u.int_in_range(1..=MSGSIZE_MAX as u64)?);
                    let mut prologue = [0; PROLOGUE];
                    prologue.copy_from_slice(&image.bytes[..PROLOGUE]);
                    let mut prologue = Prologue::decode(&prologue, !0).expect("sound");
                    prologue.geometry = Geometry::of(sizes.0, sizes.1).expect("in range");
                    bytes[..PROLOGUE].copy_from_slice(&prologue.encode());
                    len = prologue.geometry.total;
                }
            }
        }
    }
    Ok(Damaged { bytes, len })
}

/// The last four bytes of the constants are the CRC-32 of all before.
fn repair_checksum(bytes: &mut [u8]) {
    let crc = crc32fast::hash(&bytes[..PROLOGUE - 4]);
    bytes[PROLOGUE - 4..PROLOGUE].copy_from_slice(&crc.to_ne_bytes());
}
