//! The one place where a sized struct is read from C or written to it.
//!
//! A struct may be older or newer than this library: smaller or larger, never different
//! where both have a field. Reading and writing go by bytes, so that a struct of any size
//! and alignment is safe to be given.

use mqueue_core::error::Result;
use mqueue_core::report::explain;
use std::mem::{align_of, size_of};

/// A struct that crosses the boundary with its size.
///
/// # Safety
/// Integers and pointers only, without padding: any bytes are a value, and every byte belongs
/// to one.
pub(crate) unsafe trait SizedStruct: Copy + Default {
    /// The header's name for it.
    const NAME: &str;
    /// Its size in the first release that had it.
    const FIRST_SIZE: usize;
}

/// No struct of any version is larger; a larger size is a mistake, and not followed into
/// memory that may not be there.
const LARGEST: usize = 4096;

/// Check a struct's size alone, where other checks come before the pointer's.
pub(crate) fn check_size<T: SizedStruct>(size: usize) -> Result<()> {
    if size < T::FIRST_SIZE {
        return Err(explain(
            libc::EINVAL,
            format_args!("struct {} has at least {} bytes, not {size}", T::NAME, T::FIRST_SIZE),
        ));
    }
    if size > LARGEST {
        return Err(explain(
            libc::E2BIG,
            format_args!("struct {} has at most {LARGEST} bytes, not {size}", T::NAME),
        ));
    }
    Ok(())
}

/// The same for the stride of an array.
pub(crate) fn check_stride<T: SizedStruct>(size: usize) -> Result<()> {
    check_size::<T>(size)?;
    if size % align_of::<T>() != 0 {
        return Err(explain(
            libc::EINVAL,
            format_args!(
                "the size {size} of struct {} is no multiple of its alignment, {}",
                T::NAME,
                align_of::<T>()
            ),
        ));
    }
    Ok(())
}

fn check_pointer<T: SizedStruct>(is_null: bool) -> Result<()> {
    if is_null {
        return Err(explain(
            libc::EFAULT,
            format_args!("the pointer to struct {} is NULL", T::NAME),
        ));
    }
    Ok(())
}

/// Read a struct that the caller gives: what his version lacks is zero, what ours lacks
/// must be.
///
/// # Safety
/// `from` is null or readable for `size` bytes, where `size` is at most 4096.
pub(crate) unsafe fn read<T: SizedStruct>(from: *const T, size: usize) -> Result<T> {
    check_size::<T>(size)?;
    check_pointer::<T>(from.is_null())?;

    let ours = size_of::<T>();
    for offset in ours..size {
        // SAFETY: readable up to `size`.
        if unsafe { from.cast::<u8>().add(offset).read() } != 0 {
            return Err(explain(
                libc::E2BIG,
                format_args!("struct {} asks for something newer than this library", T::NAME),
            ));
        }
    }
    let mut value = T::default();
    // SAFETY: readable up to `size`, `value` is as long as `ours`, and any bytes make a T.
    unsafe {
        (&raw mut value).cast::<u8>().copy_from_nonoverlapping(from.cast(), size.min(ours));
    }
    Ok(value)
}

/// A struct that the caller wants filled, checked but not yet written.
pub(crate) struct Output<T> {
    at: *mut T,
    size: usize,
}

impl<T: SizedStruct> Output<T> {
    /// Check where a struct shall go.
    ///
    /// # Safety
    /// Until `write`, `at` is null or writable for `size` bytes, where `size` is at most
    /// 4096.
    pub(crate) unsafe fn new(at: *mut T, size: usize) -> Result<Output<T>> {
        check_size::<T>(size)?;
        check_pointer::<T>(at.is_null())?;
        Ok(Output { at, size })
    }

    /// Write what the caller's version has; what ours lacks becomes zero.
    pub(crate) fn write(self, value: T) {
        let ours = size_of::<T>();
        let shared = self.size.min(ours);
        let at = self.at.cast::<u8>();
        // SAFETY: writable up to `size` by the promise to `new`; every byte of `value` is
        // initialised, since it has no padding.
        unsafe {
            at.copy_from_nonoverlapping((&raw const value).cast(), shared);
            at.add(shared).write_bytes(0, self.size - shared);
        }
    }
}

/// An array of structs of the caller's version, its stride the size that he gives.
#[derive(Clone, Copy)]
pub(crate) struct Elements<T> {
    at: *mut T,
    size: usize,
}

impl<T: SizedStruct> Elements<T> {
    /// Check where an array lies.
    ///
    /// # Safety
    /// As long as it is used, `at` is null or `count` structs of `size` bytes are readable
    /// there, and writable if they are written to, where `size` is at most 4096.
    pub(crate) unsafe fn new(at: *mut T, size: usize, count: usize) -> Result<Elements<T>> {
        check_stride::<T>(size)?;
        check_pointer::<T>(at.is_null() && count > 0)?;
        if size.checked_mul(count).is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(explain(
                libc::EFAULT,
                format_args!("{count} of struct {} are more than any memory holds", T::NAME),
            ));
        }
        Ok(Elements { at, size })
    }

    fn element(&self, number: usize) -> *mut T {
        self.at.wrapping_byte_add(number * self.size)
    }

    /// One of them.
    ///
    /// # Safety
    /// `number` is below the count.
    #[inline]
    pub(crate) unsafe fn read(&self, number: usize) -> Result<T> {
        if self.size == size_of::<T>() {
            // SAFETY: the promise to `new`.
            return Ok(unsafe { self.element(number).read_unaligned() });
        }
        // SAFETY: the promise to `new`.
        unsafe { read(self.element(number), self.size) }
    }

    /// Check that one of them asks for nothing that we do not know.
    ///
    /// # Safety
    /// `number` is below the count.
    #[inline]
    pub(crate) unsafe fn check(&self, number: usize) -> Result<()> {
        if self.size == size_of::<T>() {
            return Ok(());
        }
        // SAFETY: the promise to `new`.
        unsafe { read(self.element(number), self.size) }.map(drop)
    }

    /// One of them where it lies, for its fields to be read and written singly.
    ///
    /// # Safety
    /// `number` is below the count.
    #[inline]
    pub(crate) unsafe fn in_place(&self, number: usize) -> *mut T {
        // Once a struct has grown, an older program's lacks what is new.
        const { assert!(T::FIRST_SIZE == size_of::<T>()) };
        self.element(number)
    }

    /// Fill one of them.
    ///
    /// # Safety
    /// `number` is below the count.
    #[inline]
    pub(crate) unsafe fn write(&self, number: usize, value: T) {
        if self.size == size_of::<T>() {
            // SAFETY: the promise to `new`.
            return unsafe { self.element(number).write_unaligned(value) };
        }
        Output { at: self.element(number), size: self.size }.write(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqueue_core::error::Errno;

    /// A later version of a struct: `grown` came after the first release.
    #[repr(C)]
    #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
    struct Later {
        first: u64,
        grown: u64,
    }

    // SAFETY: integers without padding.
    unsafe impl SizedStruct for Later {
        const NAME: &str = "later";
        const FIRST_SIZE: usize = 8;
    }

    const BOTH: Later = Later { first: 1, grown: 2 };

    fn read_from(bytes: &[u64], size: usize) -> Result<Later> {
        assert!(size <= size_of_val(bytes));
        // SAFETY: readable for `size` bytes.
        unsafe { read(bytes.as_ptr().cast(), size) }
    }

    fn write_to(bytes: &mut [u64], size: usize) -> Result<()> {
        assert!(size <= size_of_val(bytes));
        // SAFETY: writable for `size` bytes.
        unsafe { Output::new(bytes.as_mut_ptr().cast(), size) }.map(|output| output.write(BOTH))
    }

    #[test]
    fn a_struct_of_our_own_size_is_read_and_written_whole() {
        assert_eq!(read_from(&[1, 2], 16), Ok(BOTH));

        let mut out = [9; 3];
        assert_eq!(write_to(&mut out, 16), Ok(()));
        assert_eq!(out, [1, 2, 9]);
    }

    #[test]
    fn fields_that_an_older_caller_lacks_are_zero_and_not_written() {
        assert_eq!(read_from(&[1, 7], 8), Ok(Later { first: 1, grown: 0 }));

        let mut out = [9; 2];
        assert_eq!(write_to(&mut out, 8), Ok(()));
        assert_eq!(out, [1, 9]);
    }

    #[test]
    fn extra_bytes_of_a_newer_caller_must_be_zero_and_are_zeroed() {
        assert_eq!(read_from(&[1, 2, 0, 0], 32), Ok(BOTH));
        assert_eq!(read_from(&[1, 2, 0, 1 << 56], 32), Err(Errno(libc::E2BIG)));

        let mut out = [9; 5];
        assert_eq!(write_to(&mut out, 32), Ok(()));
        assert_eq!(out, [1, 2, 0, 0, 9]);
    }

    #[test]
    fn a_size_below_that_of_the_first_release_is_invalid() {
        for size in 0..8 {
            assert_eq!(read_from(&[1, 2], size), Err(Errno(libc::EINVAL)), "{size}");

            let mut out = [9; 2];
            assert_eq!(write_to(&mut out, size), Err(Errno(libc::EINVAL)), "{size}");
            assert_eq!(out, [9; 2]);
        }
    }

    #[test]
    fn a_size_that_no_struct_has_is_refused_before_the_memory_is_touched() {
        for size in [4097, usize::MAX] {
            let nowhere = std::ptr::without_provenance_mut::<Later>(4096);

            // SAFETY: a size above 4096 promises nothing.
            unsafe {
                assert_eq!(read(nowhere, size), Err(Errno(libc::E2BIG)));
                assert_eq!(Output::new(nowhere, size).err(), Some(Errno(libc::E2BIG)));
            }
        }
    }

    #[test]
    fn a_null_struct_is_a_fault_once_its_size_is_right() {
        // SAFETY: null is allowed.
        unsafe {
            assert_eq!(read(std::ptr::null::<Later>(), 16), Err(Errno(libc::EFAULT)));
            assert_eq!(read(std::ptr::null::<Later>(), 7), Err(Errno(libc::EINVAL)));
            let null = std::ptr::null_mut::<Later>();
            assert_eq!(Output::new(null, 16).err(), Some(Errno(libc::EFAULT)));
            assert_eq!(Output::new(null, 7).err(), Some(Errno(libc::EINVAL)));
        }
    }

    #[test]
    fn a_struct_may_lie_at_any_address() {
        let mut bytes = [0u8; 24];
        bytes[1] = 1;
        bytes[9] = 2;

        // SAFETY: 16 bytes from the second on are readable and writable.
        unsafe {
            let at = bytes.as_mut_ptr().add(1).cast::<Later>();
            assert_eq!(read(at, 16), Ok(Later { first: 1u64.to_le(), grown: 2u64.to_le() }));
            Output::new(at, 16).unwrap().write(Later { first: u64::MAX, grown: 0 });
        }

        assert_eq!(bytes[..10], [0, 255, 255, 255, 255, 255, 255, 255, 255, 0]);
    }
}
