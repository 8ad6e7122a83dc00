//! Finding out which queues there are.

use crate::boundary::{self, Room, answer, mqrs_list, on_list};
use crate::sized::Output;
use crate::structs::mqrs_entry;
use libc::size_t;
use mqueue_core::list::List;
use mqueue_core::report::say;
use std::ffi::{c_char, c_int};

/// Begin to list the queues that there are.
///
/// transport  MQRS_SHM, MQRS_POSIX or MQRS_SYSV; MQRS_ANY: all that can be listed here
/// out        receives the list, which is the caller's until mqrs_list_close
///
/// Queues in shared memory are those of the directory MQRS_DIR, those of the kernel the ones
/// of the process's IPC namespace. A list is no snapshot: what comes or goes meanwhile is in
/// it or not.
///
/// Returns 0, or, having begun nothing,
///   -EINVAL   there is no such transport
///   -EFAULT   out is NULL
///   -ENOTSUP  this transport cannot be listed here: POSIX queues only where a file system
///             of type mqueue is mounted (mount -t mqueue none /dev/mqueue)
///   -EACCES   the directory's permissions forbid it; -ENOENT: there is none
///   -ENOMEM   no memory for the list
///   -EMFILE   the process has too many descriptors; -ENFILE: the system has
/// and what else the file system answers.
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: mq_overview(7), "Mounting the message queue filesystem"; msgctl(2), MSG_STAT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_list_open(transport: u32, out: *mut *mut mqrs_list) -> c_int {
    answer(|| {
        List::check(transport)?;
        if out.is_null() {
            return Err(say(libc::EFAULT, "the pointer for the new list is NULL"));
        }
        let room = Room::new()?;
        let list = List::open(transport)?;
        // SAFETY: not null, and writable by the caller's promise.
        unsafe { out.write_unaligned(room.fill(list)) };
        Ok(())
    })
}

/// Get the next queue of a list.
///
/// l     the list
/// out   receives the queue's address and attributes; of a queue that the caller may not
///       open to receive, only address and transport, the rest is 0
/// size  sizeof (struct mqrs_entry)
///
/// Queues that have gone since, and files that are no queues, are passed over. A System V
/// queue has the address that this library's names recorded, else that of its key, else that
/// of its number.
///
/// Returns 1; 0 at the end, with nothing written; or, having written nothing and moved
/// nowhere,
///   -EBADF           l is NULL or no list
///   -EINVAL          size is below the struct's size in the first release
///   -E2BIG           size is above 4096, which no struct of any version is
///   -EFAULT          out is NULL
///   -ENOMEM          no memory to look at the queue
///   -EMFILE          the process has too many descriptors; -ENFILE: the system has
///   -ENOTRECOVERABLE the library failed in an earlier call on l
///
/// Threads: one at a time.  Signals: not async-signal-safe.  Fork: usable in the child.
/// Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_list_next(
    l: *mut mqrs_list,
    out: *mut mqrs_entry,
    size: size_t,
) -> c_int {
    // SAFETY: the caller's promise, for both.
    unsafe {
        on_list(l, |list| {
            let out = Output::new(out, size)?;
            let Some((address, attr)) = list.advance()? else { return Ok(0) };
            let mut entry = mqrs_entry { attr: attr.into(), ..mqrs_entry::default() };
            // The longest is "posix:/" with 255 bytes and a NUL: 263.
            for (to, &byte) in entry.name.iter_mut().zip(address.to_bytes_with_nul()) {
                *to = byte as c_char;
            }
            out.write(entry);
            Ok(1)
        })
    }
}

/// Free a list.
///
/// l  the list
///
/// Returns 0, or
///   -EBADF           l is NULL or no list; it was closed already, as far as that can be
///                    noticed
///   -ENOTRECOVERABLE the library failed in a call on l; it is closed all the same
///
/// Threads: no other call on l may be running or follow.  Signals: not async-signal-safe.
/// Fork: parent and child each close their own.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_list_close(l: *mut mqrs_list) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { boundary::free_list(l) })
}
