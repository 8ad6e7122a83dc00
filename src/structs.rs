//! The structs and constants of the header, and the one place where a sized struct is read
//! from C or written to it.
//!
//! A struct may be older or newer than this library: smaller or larger, never different
//! where both have a field. Reading and writing go by bytes, so that a struct of any size
//! and alignment is safe to be given.

use mqueue_core::attr::{self, capability, option, transport};
use mqueue_core::deadline;
use mqueue_core::error::Result;
use mqueue_core::report::{explain, say};
use std::mem::{offset_of, size_of};

/// Which transport carries a queue.
#[repr(C)]
pub enum mqrs_constants_transport {
    /// All of them; only for lists.
    MQRS_ANY = 0,
    /// Shared memory, the library's own: "/name" and "shm:/name".
    MQRS_SHM = 1,
    /// The kernel's POSIX queues: "posix:/name".
    MQRS_POSIX = 2,
    /// The kernel's System V queues: "sysv:KEY".
    MQRS_SYSV = 3,
    /// An external broker: "amqp://...".
    MQRS_AMQP = 4,
}

/// Timeouts that are not a number of nanoseconds.
#[repr(C)]
pub enum mqrs_constants_timeout {
    /// Wait until it is done.
    MQRS_FOREVER = -1,
    /// Do it at once or not at all.
    MQRS_NOWAIT = 0,
}

/// Priorities go from 0 to this.
#[repr(C)]
pub enum mqrs_constants_priority {
    /// The most urgent.
    MQRS_PRIO_MAX = 32767,
}

/// Option flags of mqrs_open and mqrs_open_fd.
#[repr(C)]
pub enum mqrs_constants_option {
    /// The mode is not masked by umask; mode 0 is then really 0.
    MQRS_OPT_EXACT_MODE = 1,
    /// Waits of this handle go on after any signal handler, SA_RESTART or not.
    MQRS_OPT_RESTART = 2,
}

/// What a queue can do: bits of mqrs_attr.capabilities, one for each thing that some
/// transport, or some version of this library, cannot do.
#[repr(C)]
pub enum mqrs_constants_capability {
    /// A descriptor for poll.
    MQRS_CAP_FD = 1,
    /// Notification by signal and by callback.
    MQRS_CAP_NOTIFY = 2,
    /// Message types, and receiving by type.
    MQRS_CAP_TYPES = 4,
    /// A receive buffer may be smaller than msgsize as long as the message fits.
    MQRS_CAP_SMALL_BUFFER = 8,
    /// Sending and receiving in place.
    MQRS_CAP_ZERO_COPY = 16,
    /// Looking at messages without taking them.
    MQRS_CAP_PEEK = 32,
    /// Shutdown of a whole queue.
    MQRS_CAP_SHUTDOWN = 64,
    /// Counters.
    MQRS_CAP_STATS = 128,
    /// Notification that stays registered.
    MQRS_CAP_PERSISTENT_NOTIFY = 256,
    /// A send to a full queue may drop the oldest message instead.
    MQRS_CAP_DROP_OLDEST = 512,
    /// The sender of each message.
    MQRS_CAP_SENDER = 1024,
}

/// How mqrs_open makes a queue. Zero means the default, in every field.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_options {
    /// MQRS_OPT_... flags.
    pub flags: u64,
    /// Most messages that the queue holds; 0: 64. Up to at least 1,000,000.
    pub maxmsg: u64,
    /// Most bytes in one message; 0: 8192. Up to at least 1 GiB.
    pub msgsize: u64,
    /// Permissions of a new queue (bits 0777); 0: 0600. Masked by umask, as in mq_open.
    pub mode: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// What a queue is, and what it holds at the moment.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_attr {
    /// MQRS_SHM, MQRS_POSIX, ...
    pub transport: u32,
    /// O_RDONLY, O_WRONLY or O_RDWR of this handle, and O_NONBLOCK.
    pub flags: u32,
    /// Most messages that the queue holds.
    pub maxmsg: u64,
    /// Most bytes in one message.
    pub msgsize: u64,
    /// Messages queued: exact at one instant of the call.
    pub curmsgs: u64,
    /// Bytes queued: an estimate while others send and receive.
    pub curbytes: u64,
    /// Permissions.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// 0.
    pub reserved: u32,
    /// MQRS_CAP_... bits.
    pub capabilities: u64,
}

/// What a transport allows, on this machine and now. 0 means no limit.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_limits {
    /// 0, or the errno (positive) why the transport does not work here.
    pub unavailable: i32,
    /// 0.
    pub reserved: u32,
    /// maxmsg of a queue that asks for none.
    pub maxmsg_default: u64,
    /// Largest maxmsg.
    pub maxmsg_max: u64,
    /// msgsize of a queue that asks for none.
    pub msgsize_default: u64,
    /// Largest msgsize.
    pub msgsize_max: u64,
    /// Most queues.
    pub queues_max: u64,
    /// Most bytes in all queues.
    pub bytes_max: u64,
    /// Highest priority.
    pub prio_max: u64,
}

// The header is a promise: a change here breaks programs that are compiled already.
const _: () = {
    assert!(size_of::<mqrs_options>() == 32);
    assert!(offset_of!(mqrs_options, flags) == 0);
    assert!(offset_of!(mqrs_options, maxmsg) == 8);
    assert!(offset_of!(mqrs_options, msgsize) == 16);
    assert!(offset_of!(mqrs_options, mode) == 24);
    assert!(offset_of!(mqrs_options, reserved) == 28);

    assert!(size_of::<mqrs_attr>() == 64);
    assert!(offset_of!(mqrs_attr, transport) == 0);
    assert!(offset_of!(mqrs_attr, flags) == 4);
    assert!(offset_of!(mqrs_attr, maxmsg) == 8);
    assert!(offset_of!(mqrs_attr, msgsize) == 16);
    assert!(offset_of!(mqrs_attr, curmsgs) == 24);
    assert!(offset_of!(mqrs_attr, curbytes) == 32);
    assert!(offset_of!(mqrs_attr, mode) == 40);
    assert!(offset_of!(mqrs_attr, uid) == 44);
    assert!(offset_of!(mqrs_attr, gid) == 48);
    assert!(offset_of!(mqrs_attr, reserved) == 52);
    assert!(offset_of!(mqrs_attr, capabilities) == 56);

    assert!(size_of::<mqrs_limits>() == 64);
    assert!(offset_of!(mqrs_limits, unavailable) == 0);
    assert!(offset_of!(mqrs_limits, reserved) == 4);
    assert!(offset_of!(mqrs_limits, maxmsg_default) == 8);
    assert!(offset_of!(mqrs_limits, maxmsg_max) == 16);
    assert!(offset_of!(mqrs_limits, msgsize_default) == 24);
    assert!(offset_of!(mqrs_limits, msgsize_max) == 32);
    assert!(offset_of!(mqrs_limits, queues_max) == 40);
    assert!(offset_of!(mqrs_limits, bytes_max) == 48);
    assert!(offset_of!(mqrs_limits, prio_max) == 56);
};

// The header's constants are literals; the machinery has the same values.
const _: () = {
    use mqrs_constants_capability::*;
    use mqrs_constants_option::*;
    use mqrs_constants_priority::*;
    use mqrs_constants_timeout::*;
    use mqrs_constants_transport::*;

    assert!(MQRS_ANY as u32 == transport::ANY);
    assert!(MQRS_SHM as u32 == transport::SHM);
    assert!(MQRS_POSIX as u32 == transport::POSIX);
    assert!(MQRS_SYSV as u32 == transport::SYSV);
    assert!(MQRS_AMQP as u32 == transport::AMQP);

    assert!(MQRS_FOREVER as i64 == deadline::FOREVER);
    assert!(MQRS_NOWAIT as i64 == deadline::NOWAIT);
    assert!(MQRS_PRIO_MAX as u32 == attr::PRIO_MAX);

    assert!(MQRS_OPT_EXACT_MODE as u64 == option::EXACT_MODE);
    assert!(MQRS_OPT_RESTART as u64 == option::RESTART);

    assert!(MQRS_CAP_FD as u64 == capability::FD);
    assert!(MQRS_CAP_NOTIFY as u64 == capability::NOTIFY);
    assert!(MQRS_CAP_TYPES as u64 == capability::TYPES);
    assert!(MQRS_CAP_SMALL_BUFFER as u64 == capability::SMALL_BUFFER);
    assert!(MQRS_CAP_ZERO_COPY as u64 == capability::ZERO_COPY);
    assert!(MQRS_CAP_PEEK as u64 == capability::PEEK);
    assert!(MQRS_CAP_SHUTDOWN as u64 == capability::SHUTDOWN);
    assert!(MQRS_CAP_STATS as u64 == capability::STATS);
    assert!(MQRS_CAP_PERSISTENT_NOTIFY as u64 == capability::PERSISTENT_NOTIFY);
    assert!(MQRS_CAP_DROP_OLDEST as u64 == capability::DROP_OLDEST);
    assert!(MQRS_CAP_SENDER as u64 == capability::SENDER);
};

/// A struct that crosses the boundary with its size.
///
/// # Safety
/// Integers only, without padding: any bytes are a value, and every byte belongs to one.
pub(crate) unsafe trait SizedStruct: Copy + Default {
    /// The header's name for it.
    const NAME: &str;
    /// Its size in the first release that had it.
    const FIRST_SIZE: usize;
}

// SAFETY: integers without padding, as the assertions on offsets and sizes show.
unsafe impl SizedStruct for mqrs_options {
    const NAME: &str = "mqrs_options";
    const FIRST_SIZE: usize = 32;
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_attr {
    const NAME: &str = "mqrs_attr";
    const FIRST_SIZE: usize = 64;
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_limits {
    const NAME: &str = "mqrs_limits";
    const FIRST_SIZE: usize = 64;
}

/// No struct of any version is larger; a larger size is a mistake, and not followed into
/// memory that may not be there.
const LARGEST: usize = 4096;

fn check_size<T: SizedStruct>(size: usize) -> Result<()> {
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

/// Refuse option bits that this version does not know.
pub(crate) fn check_option_flags(flags: u64) -> Result<()> {
    if flags & !(option::EXACT_MODE | option::RESTART) != 0 {
        return Err(say(
            libc::EINVAL,
            "the option flags have a bit that this library does not know",
        ));
    }
    Ok(())
}

/// Refuse flags where none are known.
pub(crate) fn check_no_flags(flags: u64) -> Result<()> {
    if flags != 0 {
        return Err(say(libc::EINVAL, "the flags have a bit that this library does not know"));
    }
    Ok(())
}

/// The options of an open call.
///
/// # Safety
/// `from` is null or readable for `size` bytes, where `size` is at most 4096.
pub(crate) unsafe fn read_options(
    from: *const mqrs_options,
    size: usize,
) -> Result<attr::OpenOptions> {
    let options = if from.is_null() && size == 0 {
        mqrs_options::default()
    } else {
        // SAFETY: the caller's promise.
        unsafe { read(from, size) }?
    };
    check_option_flags(options.flags)?;
    if options.reserved != 0 {
        return Err(say(libc::EINVAL, "the reserved field of struct mqrs_options is not 0"));
    }
    Ok(attr::OpenOptions {
        flags: options.flags,
        maxmsg: options.maxmsg,
        msgsize: options.msgsize,
        mode: options.mode,
    })
}

impl From<attr::Attr> for mqrs_attr {
    fn from(attr: attr::Attr) -> mqrs_attr {
        mqrs_attr {
            transport: attr.transport,
            flags: attr.flags,
            maxmsg: attr.maxmsg,
            msgsize: attr.msgsize,
            curmsgs: attr.curmsgs,
            curbytes: attr.curbytes,
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            reserved: 0,
            capabilities: attr.capabilities,
        }
    }
}

impl From<attr::Limits> for mqrs_limits {
    fn from(limits: attr::Limits) -> mqrs_limits {
        mqrs_limits {
            unavailable: limits.unavailable,
            reserved: 0,
            maxmsg_default: limits.maxmsg_default,
            maxmsg_max: limits.maxmsg_max,
            msgsize_default: limits.msgsize_default,
            msgsize_max: limits.msgsize_max,
            queues_max: limits.queues_max,
            bytes_max: limits.bytes_max,
            prio_max: limits.prio_max,
        }
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

    fn options(options: &mqrs_options) -> Result<attr::OpenOptions> {
        // SAFETY: a whole struct.
        unsafe { read_options(options, size_of::<mqrs_options>()) }
    }

    #[test]
    fn no_options_are_the_default_ones() {
        // SAFETY: null is allowed.
        let none = unsafe { read_options(std::ptr::null(), 0) };

        assert_eq!(none, Ok(attr::OpenOptions::default()));
        assert_eq!(options(&mqrs_options::default()), Ok(attr::OpenOptions::default()));
    }

    #[test]
    fn options_arrive_each_in_its_place() {
        let given = mqrs_options { flags: 3, maxmsg: 4, msgsize: 5, mode: 6, reserved: 0 };

        let arrived = attr::OpenOptions { flags: 3, maxmsg: 4, msgsize: 5, mode: 6 };
        assert_eq!(options(&given), Ok(arrived));
    }

    #[test]
    fn unknown_option_bits_and_reserved_fields_are_refused() {
        for bit in 2..64 {
            let given = mqrs_options { flags: 1 << bit, ..Default::default() };
            assert_eq!(options(&given), Err(Errno(libc::EINVAL)), "bit {bit}");
        }
        let given = mqrs_options { reserved: 1, ..Default::default() };
        assert_eq!(options(&given), Err(Errno(libc::EINVAL)));
    }

    #[test]
    fn options_without_a_pointer_and_without_a_size_belong_together() {
        let given = mqrs_options::default();
        // SAFETY: null, or a whole struct.
        unsafe {
            assert_eq!(read_options(std::ptr::null(), 32), Err(Errno(libc::EFAULT)));
            assert_eq!(read_options(&given, 0), Err(Errno(libc::EINVAL)));
        }
    }
}
