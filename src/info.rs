//! Errors in words, and the library's version.

use libc::size_t;
use mqueue_core::report::with_sentence;
use std::ffi::{CStr, c_char, c_int};

/// One line for each errno: its number, its name, and what it means for a queue. The
/// first list is what this library itself answers, the second what the system may.
macro_rules! errors {
    ($($errno:ident $text:literal)*) => {
        const ERRORS: &[Entry] = &[$(Entry {
            number: libc::$errno,
            // A name of ASCII letters, so the NUL is the last byte only.
            name: match CStr::from_bytes_with_nul(concat!(stringify!($errno), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => unreachable!(),
            },
            text: $text,
        },)*];
    };
}

struct Entry {
    number: c_int,
    name: &'static CStr,
    text: &'static CStr,
}

errors! {
    E2BIG c"a struct asks for something newer than this library"
    EACCES c"permission denied"
    EAGAIN c"the call would have to wait, or a resource is short for now"
    EBADF c"no open queue handle, or not opened in this direction"
    EBADMSG c"the queue is damaged, or no queue at all"
    EBUSY c"the queue has a notification registered already"
    EEXIST c"the queue exists already"
    EFAULT c"a pointer is NULL where something must be"
    EINTR c"interrupted by a signal handler"
    EINVAL c"invalid argument"
    EMFILE c"too many open descriptors in this process"
    EMSGSIZE c"the message is too long for the queue or for the buffer"
    ENAMETOOLONG c"the queue's name is too long"
    ENFILE c"too many open descriptors in the system"
    ENOENT c"no such queue"
    ENOMEM c"out of memory"
    ENOSPC c"no room for the queue"
    ENOTRECOVERABLE c"the library failed in an earlier call on this handle"
    ENOTSUP c"not supported by this transport or this build"
    EPERM c"operation not permitted"
    ETIMEDOUT c"the time is up"
    EUSERS c"too many processes have the queue open"

    EADDRINUSE c"the address is in use"
    ECANCELED c"the call was cancelled"
    EDQUOT c"disk quota exceeded"
    EFBIG c"the queue would be too large a file"
    EIDRM c"the queue was removed"
    EIO c"input or output error"
    EISDIR c"is a directory"
    ELOOP c"too many symbolic links"
    ENOBUFS c"no slots are left"
    ENODEV c"no such device"
    ENOLCK c"no locks are left"
    ENOSYS c"the system does not have this function"
    ENOTDIR c"not a directory"
    ENXIO c"no such device or address"
    EOVERFLOW c"a value is too large"
    EPIPE c"the queue was shut down"
    EROFS c"read-only file system"
    ESRCH c"no such process"
    ETXTBSY c"the file is being executed"
    EXDEV c"not on the same file system"
}

fn entry(err: c_int) -> Option<&'static Entry> {
    let number = err.unsigned_abs();
    ERRORS.iter().find(|entry| entry.number.unsigned_abs() == number)
}

/// Say in words what an error means.
///
/// err  what a function returned, or an errno; either sign
///
/// Returns text that is constant and lives as long as the library; never NULL, also for a
/// number that is no error.
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: strerror(3).
#[unsafe(no_mangle)]
pub extern "C" fn mqrs_strerror(err: c_int) -> *const c_char {
    let text = match entry(err) {
        Some(entry) => entry.text,
        None if err == 0 => c"success",
        None => c"an error that the system returned",
    };
    text.as_ptr()
}

/// Tell the name of an error: "EAGAIN".
///
/// err  what a function returned, or an errno; either sign
///
/// Returns text that is constant and lives as long as the library; never NULL: "0" for 0,
/// "UNKNOWN" for a number that has no name here.
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: errno(3), strerrorname_np(3).
#[unsafe(no_mangle)]
pub extern "C" fn mqrs_errname(err: c_int) -> *const c_char {
    let name = match entry(err) {
        Some(entry) => entry.name,
        None if err == 0 => c"0",
        None => c"UNKNOWN",
    };
    name.as_ptr()
}

/// Say in one sentence what went wrong in this thread's last failed call: which argument,
/// which limit, which file.
///
/// buf  receives the sentence, cut to cap - 1 bytes and NUL-terminated; NULL only to ask
///      for the length
/// cap  room in buf, in bytes; with 0 nothing is written
///
/// A call that succeeds leaves the sentence of the last failure in place. The sentence is
/// for people: its words may change in any release.
///
/// Returns the length of the whole sentence, without the NUL: what is >= cap was cut; 0 if
/// no call of this thread has failed.
///
/// Threads: any, each has its own.  Signals: not async-signal-safe.  Fork: the child's
/// first thread inherits it.  Blocks: no.
/// Source: strerror_r(3), snprintf(3) for the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_last_error(buf: *mut c_char, cap: size_t) -> size_t {
    with_sentence(|sentence| {
        if !buf.is_null() && cap > 0 {
            let len = sentence.len().min(cap - 1);
            // SAFETY: writable for `cap` bytes by the caller's promise, and len < cap.
            unsafe {
                buf.copy_from_nonoverlapping(sentence.as_ptr().cast(), len);
                buf.add(len).write(0);
            }
        }
        sentence.len()
    })
}

/// Tell the version of the library that is running: "0.1.0".
///
/// MQRS_VERSION_MAJOR, _MINOR and _PATCH are those of the header that a program was
/// compiled with.
///
/// Returns text that is constant and lives as long as the library.
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mqrs_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Tell the version of the library that is running as a number that grows with it:
/// major * 1000000 + minor * 1000 + patch, as MQRS_VERSION_NUMBER is of the header.
///
/// Returns the number.
///
/// Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mqrs_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        match u32::from_str_radix(text, 10) {
            Ok(number) => number,
            Err(_) => panic!("a part of the version is no number"),
        }
    }
    const MAJOR: u32 = number(env!("CARGO_PKG_VERSION_MAJOR"));
    const MINOR: u32 = number(env!("CARGO_PKG_VERSION_MINOR"));
    const PATCH: u32 = number(env!("CARGO_PKG_VERSION_PATCH"));
    const { assert!(MINOR < 1000 && PATCH < 1000) };
    MAJOR * 1_000_000 + MINOR * 1000 + PATCH
}
