//! What the two bare rings have in common: slots in shared pages, a power of two of them.

use super::{Spec, cannot};
use crate::shared::Pages;
use std::{io, ptr};

/// Has cache lines for itself: two, as processors fetch them in pairs.
#[repr(C, align(128))]
pub struct Line<T>(pub T);

/// Slots behind a head of type H.
pub struct Ring<H> {
    head: *mut H,
    slots: *mut u8,
    stride: usize,
    count: usize,
}

// Not derived, which would ask that H be Clone.
impl<H> Clone for Ring<H> {
    fn clone(&self) -> Ring<H> {
        *self
    }
}

impl<H> Copy for Ring<H> {}

impl<H> Ring<H> {
    /// Pages for a ring of that many slots, each of `stride` bytes; and the ring. It must
    /// not be used after the pages are gone.
    pub fn new(spec: &Spec, stride: usize) -> io::Result<(Pages, Ring<H>)> {
        if spec.levels > 1 {
            return Err(cannot());
        }
        let count = spec.depth.next_power_of_two();
        let front = size_of::<H>().next_multiple_of(128);
        let pages = Pages::new(front + count * stride)?;
        // SAFETY: within the pages.
        let slots = unsafe { pages.base().add(front) };
        let ring = Ring { head: pages.base().cast(), slots, stride, count };
        Ok((pages, ring))
    }

    /// How many slots.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// The head.
    #[inline(always)]
    pub fn head(&self) -> &H {
        // SAFETY: at the beginning of the pages, aligned as they are; zeros are a value of
        // the rings' heads, which consist of atomics.
        unsafe { &*self.head }
    }

    /// The slot of message number `number`.
    #[inline(always)]
    pub fn slot(&self, number: u64) -> *mut u8 {
        // SAFETY: the index is below the number of slots.
        unsafe { self.slots.add((number as usize & (self.count - 1)) * self.stride) }
    }
}

/// Copy a message to a place in a slot.
///
/// # Safety
///
/// The slot has room, and is this process's alone.
#[inline(always)]
pub unsafe fn write(place: *mut u8, message: &[u8]) {
    // SAFETY: granted.
    unsafe { ptr::copy_nonoverlapping(message.as_ptr(), place, message.len()) };
}

/// Copy a message from a place in a slot.
///
/// # Safety
///
/// The slot is that long, and nobody writes to it.
#[inline(always)]
pub unsafe fn read(place: *const u8, message: &mut [u8]) {
    // SAFETY: granted.
    unsafe { ptr::copy_nonoverlapping(place, message.as_mut_ptr(), message.len()) };
}
