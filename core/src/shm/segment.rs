//! A segment somewhere: typed access to its words and payloads.
//!
//! Production maps a file; the models (`--cfg loom`) keep the same words on the heap,
//! since loom's atomics are not plain memory. The engine sees no difference.
//!
//! Other processes may write here at any time, and a hostile one anything at all. So
//! words are touched through atomics only, payloads by raw copies, and every index is
//! checked by [`Segment::slot`] before it becomes an address.

use super::layout::{Control, Geometry, HeapNode, OwnerRow, SlotHeader};
use crate::sync::AtomicU32;

#[cfg(not(loom))]
mod mapped {
    use super::super::layout::{CONTROL_AT, OWNER_ROW, OWNERS, OWNERS_AT, SLOT_HEADER};
    use super::*;

    /// A mapped segment. Copies of it are views of the same memory.
    #[derive(Clone, Copy)]
    pub struct Segment {
        base: *mut u8,
        geometry: Geometry,
    }

    impl Segment {
        /// View `geometry.total` bytes at `base` as a segment.
        ///
        /// # Safety
        /// They are mapped readable and writable, 4096-aligned, and stay mapped for as
        /// long as this value or a copy of it is used.
        pub const unsafe fn new(base: *mut u8, geometry: Geometry) -> Segment {
            Segment { base, geometry }
        }

        /// Where it begins.
        pub const fn base(&self) -> *mut u8 {
            self.base
        }

        /// The sizes.
        #[inline(always)]
        pub const fn geometry(&self) -> &Geometry {
            &self.geometry
        }

        /// The words that everybody changes.
        #[inline(always)]
        pub fn control(&self) -> &Control {
            // SAFETY: Control lies inside the mapping at a 128-aligned offset (layout.rs
            // asserts it) and consists of atomics only, for which any bytes are valid.
            unsafe { &*self.base.add(CONTROL_AT).cast() }
        }

        #[inline(always)]
        fn slot_base(&self, slot: u32) -> *mut u8 {
            debug_assert!(slot < self.geometry.nslots);
            let at = self.geometry.slots as usize + slot as usize * self.geometry.stride as usize;
            // SAFETY: every caller has slot < nslots, so the offset is below `total`.
            unsafe { self.base.add(at) }
        }

        /// The header of a slot, or `None` if there is no such slot.
        #[inline(always)]
        pub fn slot(&self, slot: u32) -> Option<&SlotHeader> {
            if slot >= self.geometry.nslots {
                return None;
            }
            // SAFETY: in bounds by the test above, 64-aligned since base, offset and stride
            // are, and made of atomics only.
            Some(unsafe { &*self.slot_base(slot).cast() })
        }

        /// The index entry at `home` (below nslots).
        #[inline(always)]
        pub fn entry(&self, home: u32) -> &AtomicU32 {
            debug_assert!(home < self.geometry.nslots);
            let home = home.min(self.geometry.nslots - 1) as usize;
            // SAFETY: home < nslots, so the entry lies between `entries` and `heap`; 4-aligned.
            unsafe { &*self.base.add(self.geometry.entries as usize + 4 * home).cast() }
        }

        /// Node `at` (below nslots) of the finder's heap.
        #[inline(always)]
        pub fn node(&self, at: u32) -> &HeapNode {
            debug_assert!(at < self.geometry.nslots);
            let at = at.min(self.geometry.nslots - 1) as usize;
            // SAFETY: at < nslots, so the node lies between `heap` and `slots`; 16-aligned.
            unsafe { &*self.base.add(self.geometry.heap as usize + 16 * at).cast() }
        }

        /// The row of an owner (below OWNERS).
        pub fn owner(&self, owner: u32) -> Option<&OwnerRow> {
            if owner >= OWNERS {
                return None;
            }
            // SAFETY: owner < 1024, so the row lies between `OWNERS_AT` and `entries`; 4-aligned.
            Some(unsafe { &*self.base.add(OWNERS_AT + OWNER_ROW * owner as usize).cast() })
        }

        /// Copy `len` bytes into the payload of a slot that the caller has claimed.
        ///
        /// # Safety
        /// `from` is readable for `len` bytes; slot < nslots.
        #[inline(always)]
        pub unsafe fn write_payload(&self, slot: u32, from: *const u8, len: usize) {
            let len = len.min(self.geometry.msgsize as usize);
            // SAFETY: header and `msgsize` bytes fit in a stride; the caller grants the rest.
            // Another process may race us only by breaking the protocol: the bytes are then
            // garbage, but they are bytes.
            unsafe { self.slot_base(slot).add(SLOT_HEADER).copy_from_nonoverlapping(from, len) }
        }

        /// Copy `len` bytes out of the payload of a slot that the caller has taken.
        ///
        /// # Safety
        /// `to` is writable for `len` bytes; slot < nslots.
        #[inline(always)]
        pub unsafe fn read_payload(&self, slot: u32, to: *mut u8, len: usize) {
            let len = len.min(self.geometry.msgsize as usize);
            // SAFETY: as in write_payload.
            unsafe { self.slot_base(slot).add(SLOT_HEADER).copy_to_nonoverlapping(to, len) }
        }

        /// Ask for the lines of a slot's message ahead of writing them.
        #[inline(always)]
        pub fn prefetch(&self, slot: u32) {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            {
                let base = self.slot_base(slot.min(self.geometry.nslots - 1));
                let mut at = 0;
                while at < (self.geometry.stride as usize).min(1536) {
                    // SAFETY: a prefetch touches nothing that the program can see, and
                    // processors without the instruction treat it as a no-op.
                    unsafe {
                        std::arch::asm!("prefetchw [{}]", in(reg) base.add(at),
                            options(nostack, preserves_flags, readonly));
                    }
                    at += 64;
                }
            }
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            let _ = slot;
        }
    }
}
#[cfg(not(loom))]
pub use mapped::Segment;

#[cfg(loom)]
#[allow(missing_docs)] // as its counterpart above
mod modelled {
    use super::super::event::Event;
    use super::super::layout::{
        Apart, Counters, CountersAndPoison, FinderWords, HeadWords, NotifyWords, OWNERS, TailWords,
        WaitWords,
    };
    use super::*;
    use crate::sync::AtomicU64;
    use loom::cell::UnsafeCell;

    /// A segment whose words are loom's. Payloads are one byte, and loom reports any
    /// two accesses to one of them that are not ordered.
    pub struct Segment {
        geometry: Geometry,
        control: Control,
        owners: Vec<OwnerRow>,
        entries: Vec<AtomicU32>,
        heap: Vec<HeapNode>,
        slots: Vec<(SlotHeader, UnsafeCell<u8>)>,
    }

    // SAFETY: the cells are accessed under the protocol that the models check.
    unsafe impl Sync for Segment {}
    // SAFETY: as above.
    unsafe impl Send for Segment {}

    fn w() -> AtomicU64 {
        AtomicU64::new(0)
    }
    fn h() -> AtomicU32 {
        AtomicU32::new(0)
    }

    impl Segment {
        /// The segment of an empty queue.
        pub fn new(geometry: Geometry) -> Segment {
            let n = geometry.nslots;
            let control = Control {
                tail: Apart(TailWords { word: w(), hint: w() }),
                head: Apart(HeadWords { word: w(), hint: w() }),
                wait: Apart(WaitWords {
                    receivers: Event::new(),
                    pollers: Event::new(),
                    senders: Event::new(),
                    registrant: Event::new(),
                    receiver_cpu: h(),
                    sender_cpu: h(),
                }),
                notify: Apart(NotifyWords { word: w(), sender: [w(), w()], trusted: w() }),
                finder: Apart(FinderWords {
                    lock: w(),
                    drained: w(),
                    len: h(),
                    lane: h(),
                    first_prio: h(),
                    others: h(),
                    rebuilds_asked: h(),
                    rebuilds_done: h(),
                    uniform: h(),
                    reserved: h(),
                }),
                counters: CountersAndPoison {
                    counters: Counters {
                        dropped: w(),
                        max_curmsgs: w(),
                        lost_with_receiver: w(),
                        orphans: w(),
                        reclaims: w(),
                        scans: w(),
                        emergencies: w(),
                        rebuilds: w(),
                    },
                    poison: h(),
                },
            };
            control.prepare();
            let slot = || {
                let header = SlotHeader {
                    word: w(),
                    seq: w(),
                    generation: h(),
                    len: h(),
                    prio: h(),
                    state: h(),
                    sender: w(),
                    sent_ns: w(),
                    kind: w(),
                };
                (header, UnsafeCell::new(0))
            };
            Segment {
                geometry,
                control,
                owners: (0..OWNERS).map(|_| OwnerRow { pid: h(), uid: h(), asleep: h() }).collect(),
                entries: (0..n).map(|_| h()).collect(),
                heap: (0..n).map(|_| HeapNode { key: w(), slot: w() }).collect(),
                slots: (0..n).map(|_| slot()).collect(),
            }
        }
        pub fn geometry(&self) -> &Geometry {
            &self.geometry
        }
        pub fn control(&self) -> &Control {
            &self.control
        }
        pub fn slot(&self, slot: u32) -> Option<&SlotHeader> {
            self.slots.get(slot as usize).map(|s| &s.0)
        }
        pub fn entry(&self, home: u32) -> &AtomicU32 {
            &self.entries[home as usize]
        }
        pub fn node(&self, at: u32) -> &HeapNode {
            &self.heap[at as usize]
        }
        pub fn owner(&self, owner: u32) -> Option<&OwnerRow> {
            self.owners.get(owner as usize)
        }
        /// # Safety
        /// `from` is readable for one byte.
        pub unsafe fn write_payload(&self, slot: u32, from: *const u8, _len: usize) {
            // SAFETY: loom checks the exclusiveness, the caller grants `from`.
            self.slots[slot as usize].1.with_mut(|cell| unsafe { *cell = *from });
        }
        /// # Safety
        /// `to` is writable for one byte.
        pub unsafe fn read_payload(&self, slot: u32, to: *mut u8, _len: usize) {
            // SAFETY: as above.
            self.slots[slot as usize].1.with(|cell| unsafe { *to = *cell });
        }
        pub fn prefetch(&self, _slot: u32) {}
    }
}
#[cfg(loom)]
pub use modelled::Segment;
