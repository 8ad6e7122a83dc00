//! A segment somewhere: typed access to its words and payloads.
//!
//! Production maps a file; the models (`--cfg loom`) keep the same words on the heap,
//! since loom's atomics are not plain memory. The engine sees no difference.
//!
//! Other processes may write here at any time, and a hostile one anything at all. So
//! words are touched through atomics only, payloads by raw copies, and every index is
//! checked by [`Segment::slot`] before it becomes an address.

use super::layout::{Control, Geometry, OwnerRow, SlotHeader};
use crate::sync::{AtomicU32, AtomicU64};

#[cfg(not(loom))]
mod mapped {
    use super::super::layout::{
        CONTROL_AT, HEAP_KEYS_BEFORE, OWNER_ROW, OWNERS, OWNERS_AT, SLOT_HEADER, TYPED_AT,
        TypedWords,
    };
    use super::*;
    use crate::sync::Ordering;
    use core::marker::PhantomData;
    use core::ops::Deref;

    /// In which order the slots of a block of sixteen are used at first. Not one after the
    /// other: a receiver's processor, seeing that, would fetch the slots that follow, and
    /// so take them from the sender that is filling them.
    const ORDER: [u32; 16] = [0, 11, 5, 14, 2, 9, 7, 12, 4, 15, 1, 10, 6, 13, 3, 8];

    /// A mapped segment. Copies of it are views of the same memory.
    #[derive(Clone, Copy)]
    pub struct Segment {
        base: *mut u8,
        /// Where the parts begin that every call needs.
        index: *mut u8,
        slots: *mut u8,
        geometry: Geometry,
    }

    /// One slot of a segment; its header is what it dereferences to.
    #[derive(Clone, Copy)]
    pub struct Slot<'a> {
        at: *mut u8,
        number: u32,
        of: PhantomData<&'a Segment>,
    }

    impl Deref for Slot<'_> {
        type Target = SlotHeader;

        #[inline(always)]
        fn deref(&self) -> &SlotHeader {
            // SAFETY: Segment::slot made it: in bounds, 64-aligned since base, offset and
            // stride are; made of atomics only, for which any bytes are valid.
            unsafe { &*self.at.cast() }
        }
    }

    impl Slot<'_> {
        /// Its number, below nslots.
        #[inline(always)]
        pub fn number(&self) -> u32 {
            self.number
        }
    }

    /// Copy; a message that is one number is as common as it is quickly copied.
    ///
    /// # Safety
    /// As `copy_from_nonoverlapping`.
    #[inline(always)]
    unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: granted by the caller.
        unsafe {
            match len {
                8 => to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned()),
                _ => to.copy_from_nonoverlapping(from, len),
            }
        }
    }

    impl Segment {
        /// View `geometry.total` bytes at `base` as a segment.
        ///
        /// # Safety
        /// They are mapped readable and writable, 4096-aligned, and stay mapped for as
        /// long as this value or a copy of it is used.
        pub const unsafe fn new(base: *mut u8, geometry: Geometry) -> Segment {
            // SAFETY: both offsets are below `total`.
            let (index, slots) =
                unsafe { (base.add(geometry.index as usize), base.add(geometry.slots as usize)) };
            Segment { base, index, slots, geometry }
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

        /// Make zeros an empty queue.
        pub fn prepare(&self) {
            self.prepare_with(self.geometry.nslots);
        }

        /// The same, of which only so many slots are to be used at first, from the first.
        pub fn prepare_with(&self, slots: u32) {
            self.control().prepare();
            for place in 0..self.geometry.nslots {
                let number = place % slots.max(1);
                let block = number - number % 16;
                let whole = block + 16 <= slots;
                let slot = if whole { block + ORDER[(number % 16) as usize] } else { number };
                // Relaxed: nobody else sees it yet.
                self.entry(place).store(slot, Ordering::Relaxed);
            }
        }

        /// The words that everybody changes.
        #[inline(always)]
        pub fn control(&self) -> &Control {
            // SAFETY: Control lies inside the mapping at a 128-aligned offset (layout.rs
            // asserts it) and consists of atomics only, for which any bytes are valid.
            unsafe { &*self.base.add(CONTROL_AT).cast() }
        }

        /// The words of a queue of typed messages; zeros elsewhere.
        pub fn typed(&self) -> &TypedWords {
            // SAFETY: they lie between prologue and Control (layout.rs asserts it) at an
            // 8-aligned offset and are atomics, for which any bytes are valid.
            unsafe { &*self.base.add(TYPED_AT).cast() }
        }

        /// A slot, or `None` if there is none of this number.
        #[inline(always)]
        pub fn slot(&self, number: u32) -> Option<Slot<'_>> {
            if number >= self.geometry.nslots {
                return None;
            }
            // SAFETY: number < nslots, so the offset is below `total`.
            let at = unsafe { self.slots.add(number as usize * self.geometry.stride as usize) };
            Some(Slot { at, number, of: PhantomData })
        }

        /// Entry `place` of the index; the first instead of one that there is not.
        #[inline(always)]
        pub fn entry(&self, place: u32) -> &AtomicU32 {
            let place = if place < self.geometry.nslots { place } else { 0 } as usize;
            // SAFETY: place < nslots, so it lies between `index` and `heap_keys`; 4-aligned.
            unsafe { &*self.index.add(4 * place).cast() }
        }

        /// Up to `most` entries of the index from `place` on; fewer at its end.
        #[inline(always)]
        pub fn entries(&self, place: u32, most: usize) -> &[AtomicU32] {
            let nslots = self.geometry.nslots;
            let place = place.min(nslots);
            let number = most.min((nslots - place) as usize);
            // SAFETY: place + number <= nslots, so they lie between `index` and `heap_keys`;
            // 4-aligned, and atomics, for which any bytes do.
            unsafe {
                let first = self.index.add(4 * place as usize);
                core::slice::from_raw_parts(first.cast(), number)
            }
        }

        /// The finder's heap: keys, and the slots that belong to them.
        #[inline(always)]
        pub fn heap(&self) -> (&[AtomicU64], &[AtomicU32]) {
            let g = &self.geometry;
            let keys = g.heap_keys as usize + 8 * HEAP_KEYS_BEFORE as usize;
            // SAFETY: 7 + nslots keys lie between `heap_keys` and `heap_slots`, nslots slots
            // between that and `slots`; 8- and 4-aligned, and atomics, for which any bytes do.
            unsafe {
                (
                    core::slice::from_raw_parts(self.base.add(keys).cast(), g.nslots as usize),
                    core::slice::from_raw_parts(
                        self.base.add(g.heap_slots as usize).cast(),
                        g.nslots as usize,
                    ),
                )
            }
        }

        /// The row of an owner (below OWNERS).
        pub fn owner(&self, owner: u32) -> Option<&OwnerRow> {
            if owner >= OWNERS {
                return None;
            }
            // SAFETY: owner < 1024, so the row lies between `OWNERS_AT` and `index`; 4-aligned.
            Some(unsafe { &*self.base.add(OWNERS_AT + OWNER_ROW * owner as usize).cast() })
        }

        /// Copy `len` bytes (at most msgsize are) into the payload of a slot that the
        /// caller has claimed.
        ///
        /// # Safety
        /// `from` is readable for `len` bytes; the slot is one of this segment.
        #[inline(always)]
        pub unsafe fn write_payload(&self, slot: Slot<'_>, from: *const u8, len: usize) {
            let len = len.min(self.geometry.msgsize as usize);
            // SAFETY: header and `msgsize` bytes fit in a stride; the caller grants the rest.
            // Another process may race us only by breaking the protocol: the bytes are then
            // garbage, but they are bytes.
            unsafe { copy(slot.at.add(SLOT_HEADER), from, len) }
        }

        /// Copy `len` bytes (at most msgsize are) out of the payload of a slot that the
        /// caller has taken.
        ///
        /// # Safety
        /// `to` is writable for `len` bytes; the slot is one of this segment.
        #[inline(always)]
        pub unsafe fn read_payload(&self, slot: Slot<'_>, to: *mut u8, len: usize) {
            let len = len.min(self.geometry.msgsize as usize);
            // SAFETY: as in write_payload.
            unsafe { copy(to, slot.at.add(SLOT_HEADER), len) }
        }

        /// Copy `len` bytes (at most msgsize are) out of the payload of a slot that may be
        /// given away and written to meanwhile: who calls finds out afterwards.
        ///
        /// # Safety
        /// `to` is writable for `len` bytes; the slot is one of this segment.
        pub unsafe fn look_at_payload(&self, slot: Slot<'_>, to: *mut u8, len: usize) {
            let len = len.min(self.geometry.msgsize as usize);
            let (words, rest) = (len / 8, len % 8);
            // SAFETY: as in write_payload. Header and stride are whole words, so the last word
            // lies in the slot, too; and atomics may be read while they are written.
            unsafe {
                let from: *const AtomicU64 = slot.at.add(SLOT_HEADER).cast();
                for i in 0..words {
                    let word = (*from.add(i)).load(Ordering::Relaxed);
                    to.add(8 * i).cast::<u64>().write_unaligned(word);
                }
                if rest > 0 {
                    let word = (*from.add(words)).load(Ordering::Relaxed).to_ne_bytes();
                    to.add(8 * words).copy_from_nonoverlapping(word.as_ptr(), rest);
                }
            }
        }

        /// Where a slot's payload begins: msgsize bytes, aligned to 8.
        pub fn payload(&self, slot: Slot<'_>) -> *mut u8 {
            // SAFETY: header and `msgsize` bytes fit in a stride.
            unsafe { slot.at.add(SLOT_HEADER) }
        }

        /// The slot whose payload begins there, if there is one.
        pub fn slot_with_payload(&self, payload: *const u8) -> Option<Slot<'_>> {
            let first = self.slots as usize + SLOT_HEADER;
            let offset = (payload as usize).checked_sub(first)?;
            let stride = self.geometry.stride as usize;
            let number = u32::try_from(offset / stride).ok()?;
            if offset % stride == 0 { self.slot(number) } else { None }
        }

        /// Ask for the lines of a slot's message ahead of writing them.
        #[inline(always)]
        pub fn prefetch(&self, number: u32) {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            if let Some(slot) = self.slot(number) {
                let mut ahead = self.geometry.stride.min(1536) as usize;
                while ahead > 0 {
                    ahead -= 64;
                    // SAFETY: a prefetch touches nothing that the program can see, and
                    // processors without the instruction treat it as a no-op.
                    unsafe {
                        std::arch::asm!("prefetchw [{}]", in(reg) slot.at.add(ahead),
                            options(nostack, preserves_flags, readonly));
                    }
                }
            }
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            let _ = number;
        }
    }
}
#[cfg(not(loom))]
pub use mapped::{Segment, Slot};

#[cfg(loom)]
#[allow(missing_docs)] // as its counterpart above
mod modelled {
    use super::super::event::Event;
    use super::super::layout::{
        Apart, Counters, CountersAndPoison, Finalized, FinderWords, LOANS, LastUse, Loans,
        NotifyWords, OWNERS, WaitWords,
    };
    use super::*;
    use loom::cell::UnsafeCell;

    /// A segment whose words are loom's. Payloads are one byte, and loom reports any
    /// two accesses to one of them that are not ordered.
    pub struct Segment {
        geometry: Geometry,
        control: Control,
        owners: Vec<OwnerRow>,
        index: Vec<AtomicU32>,
        heap: (Vec<AtomicU64>, Vec<AtomicU32>),
        slots: Vec<(SlotHeader, UnsafeCell<u8>)>,
        /// The beacon's FIFO: how many packets are in it.
        pub fifo: AtomicU32,
    }

    /// One slot of a segment; its header is what it dereferences to.
    #[derive(Clone, Copy)]
    pub struct Slot<'a> {
        header: &'a SlotHeader,
        payload: &'a UnsafeCell<u8>,
        number: u32,
    }

    impl core::ops::Deref for Slot<'_> {
        type Target = SlotHeader;

        fn deref(&self) -> &SlotHeader {
            self.header
        }
    }

    impl Slot<'_> {
        pub fn number(&self) -> u32 {
            self.number
        }
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
                tail: Apart(w()),
                confirmed: Apart(w()),
                head: Apart(w()),
                finalized: Apart(Finalized { count: w(), gone: w() }),
                wait: Apart(WaitWords {
                    receivers: Event::new(),
                    pollers: Event::new(),
                    senders: Event::new(),
                    registrant: Event::new(),
                    receiver_cpu: h(),
                    sender_cpu: h(),
                    watchers: h(),
                    beacon: h(),
                    beacon_inode: w(),
                    lazy_until_ms: h(),
                    never_lazy: h(),
                }),
                notify: Apart(NotifyWords {
                    word: w(),
                    sender: [w(), w()],
                    trusted: w(),
                    fired: w(),
                    reserved: [w(), w(), w()],
                    last: [(); 2].map(|()| LastUse { user: w(), at_ns: w() }),
                }),
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
                    base: w(),
                }),
                counters: Apart(CountersAndPoison {
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
                    looked_ms: h(),
                    sent: w(),
                    ended: h(),
                }),
                loans: Apart(Loans([(); LOANS].map(|()| h()))),
            };
            control.prepare();
            let slot = || {
                let header = SlotHeader {
                    word: w(),
                    seq: w(),
                    generation: h(),
                    len: h(),
                    prio: h(),
                    link: h(),
                    sender: w(),
                    sent_ns: w(),
                    kind: w(),
                };
                (header, UnsafeCell::new(0))
            };
            Segment {
                geometry,
                control,
                owners: (0..OWNERS)
                    .map(|_| OwnerRow { pid: h(), uid_or_namespace: h(), asleep: h() })
                    .collect(),
                index: (0..n).map(AtomicU32::new).collect(),
                heap: ((0..n).map(|_| w()).collect(), (0..n).map(|_| h()).collect()),
                slots: (0..n).map(|_| slot()).collect(),
                fifo: h(),
            }
        }
        pub fn geometry(&self) -> &Geometry {
            &self.geometry
        }
        pub fn control(&self) -> &Control {
            &self.control
        }
        pub fn slot(&self, number: u32) -> Option<Slot<'_>> {
            let (header, payload) = self.slots.get(number as usize)?;
            Some(Slot { header, payload, number })
        }
        pub fn entry(&self, place: u32) -> &AtomicU32 {
            &self.index[place as usize]
        }
        pub fn entries(&self, place: u32, most: usize) -> &[AtomicU32] {
            let from_there = &self.index[place as usize..];
            &from_there[..most.min(from_there.len())]
        }
        pub fn heap(&self) -> (&[AtomicU64], &[AtomicU32]) {
            (&self.heap.0, &self.heap.1)
        }
        pub fn owner(&self, owner: u32) -> Option<&OwnerRow> {
            self.owners.get(owner as usize)
        }
        /// # Safety
        /// `from` is readable for one byte.
        pub unsafe fn write_payload(&self, slot: Slot<'_>, from: *const u8, _len: usize) {
            // SAFETY: loom checks the exclusiveness, the caller grants `from`.
            slot.payload.with_mut(|cell| unsafe { *cell = *from });
        }
        /// # Safety
        /// `to` is writable for one byte.
        pub unsafe fn read_payload(&self, slot: Slot<'_>, to: *mut u8, _len: usize) {
            // SAFETY: as above.
            slot.payload.with(|cell| unsafe { *to = *cell });
        }
        /// Words only: loom would report the payload, which is read beside its writer.
        ///
        /// # Safety
        /// None needed.
        pub unsafe fn look_at_payload(&self, _slot: Slot<'_>, _to: *mut u8, _len: usize) {}
        pub fn prefetch(&self, _number: u32) {}
    }
}
#[cfg(loom)]
pub use modelled::{Segment, Slot};
