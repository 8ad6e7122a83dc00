//! Opening, naming, handing on, closing and removing queues.

use crate::boundary::{self, Room, answer, mqrs_queue, on_queue};
use crate::structs::{check_option_flags, mqrs_options, read_options};
use libc::size_t;
use mqueue_core::error::Result;
use mqueue_core::oflag::OpenFlags;
use mqueue_core::queue::{self, Queue};
use mqueue_core::report::say;
use std::ffi::{CStr, c_char, c_int};

/// Open a queue, or make it.
///
/// name      the queue's address (see ADDRESSES above). NULL with O_CREAT | O_EXCL: a new
///           queue in shared memory with a random name, which mqrs_name tells
/// oflag     flags of <fcntl.h>: exactly one of
///             O_RDONLY    to receive
///             O_WRONLY    to send
///             O_RDWR      to do both
///           and any of
///             O_CREAT     make the queue if there is none
///             O_EXCL      with O_CREAT: fail if there is one
///             O_NONBLOCK  calls without a timeout of their own never wait
///             O_CLOEXEC   allowed, and always on
/// opt       how to make it; NULL, with opt_size 0, for the defaults: mode 0600, in shared
///           memory 64 messages of 8192 bytes, else what the kernel says. For a queue that
///           exists, only MQRS_OPT_RESTART counts; mqrs_getattr tells what it really is
/// opt_size  sizeof (struct mqrs_options)
/// out       receives the handle, which is the caller's until mqrs_close
///
/// A queue is made whole: nobody ever opens half of one, its memory is reserved now, and
/// of many that make the same queue at once exactly one does. The maker gets the access
/// that it asks for whatever the mode (System V: as the mode says); anybody else needs, in
/// shared memory, both read and write permission for either direction, and for the
/// kernel's queues the one of the direction.
///
/// Returns 0, or, having made and opened nothing,
///   -EINVAL        oflag: not exactly one direction, O_EXCL without O_CREAT, or another
///                  flag; opt: an unknown flag, a reserved field that is not 0, maxmsg or
///                  msgsize beyond mqrs_getlimits; opt_size below the struct's size in
///                  the first release, or 0 with an opt; name: empty, no leading slash,
///                  or an unknown prefix; sysv: no key, the key 0, "private" without
///                  O_CREAT, or "id:" with it
///   -E2BIG         opt_size is above ours, and what lies beyond is not 0
///   -EFAULT        out is NULL, opt is NULL with an opt_size, or name is NULL without
///                  O_CREAT | O_EXCL
///   -ENOENT        no such queue, and no O_CREAT; no such directory; or name is "/"
///   -EEXIST        there is such a queue, and O_CREAT | O_EXCL says that there must not
///   -EACCES        the queue's or the directory's permissions forbid it, or to remove what
///                  the last user of an ephemeral queue left; or name has a second slash, or
///                  is "/." or "/.."
///   -ENAMETOOLONG  more than 255 bytes after the slash
///   -EADDRINUSE    sysv:/name with O_CREAT: its key is that of another name, or of a queue
///                  that no name was recorded for
///   -ENOTSUP       that transport is not part of this build; the queue was made by a newer
///                  version that this one does not understand; POSIX and System V, with
///                  O_CREAT: MQRS_OPT_EPHEMERAL, MQRS_OPT_STAMP or MQRS_OPT_REDELIVER
///   -ENOSYS        the kernel has no queues of this kind
///   -EBADMSG       the file of that name is no queue, or a damaged one
///   -EUSERS        the queue is open 1024 times: every handle of every process counts
///   -ENOSPC        no room for the queue where it is to live; POSIX: fs.mqueue.queues_max;
///                  System V: kernel.msgmni
///   -EFBIG         the queue would be longer than RLIMIT_FSIZE lets a file be
///   -ENOMEM        no memory for the queue or its handle
///   -EMFILE        the process has too many descriptors; POSIX: or the user's queues are
///                  as large as RLIMIT_MSGQUEUE allows
///   -ENFILE        the system has too many descriptors
///   -EAGAIN        the name kept appearing and vanishing while the call tried
///   -ENOLCK        the file system cannot lock files
/// and what else the file system answers. mqrs_last_error names the limit that was met.
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: a child inherits the handle.
/// Blocks: no.
/// Source: POSIX.1-2024 mq_open; mq_open(3); msgget(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_open(
    name: *const c_char,
    oflag: c_int,
    opt: *const mqrs_options,
    opt_size: size_t,
    out: *mut *mut mqrs_queue,
) -> c_int {
    answer(|| {
        let flags = OpenFlags::parse(oflag)?;
        // SAFETY: the caller's promise.
        let options = unsafe { read_options(opt, opt_size) }?;
        check_out(out)?;
        if name.is_null() && !flags.exclusive {
            return Err(say(
                libc::EFAULT,
                "the queue's name is NULL, which only O_CREAT | O_EXCL allows",
            ));
        }
        // SAFETY: not null, and NUL-terminated by the caller's promise.
        let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) });
        let room = Room::new()?;
        let queue = Queue::open(name, oflag, &options)?;
        // SAFETY: not null, and writable by the caller's promise.
        unsafe { out.write_unaligned(room.fill(queue)) };
        Ok(())
    })
}

/// Adopt a descriptor of a queue in shared memory or of a POSIX queue: one that mqrs_dup_fd
/// or mq_open(3) gave, and that came by inheritance over exec, by SCM_RIGHTS or by socket
/// activation (ListenMessageQueue= of systemd.socket(5)).
///
/// fd         a descriptor of a queue
/// oflag      exactly one of O_RDONLY, O_WRONLY, O_RDWR, within what the descriptor
///            allows, with O_NONBLOCK and O_CLOEXEC as in mqrs_open
/// opt_flags  MQRS_OPT_RESTART, or 0; what else mqrs_open knows is for making a queue
/// out        receives the handle, which is the caller's until mqrs_close
///
/// The descriptor is the permission: the queue's mode is not asked again. Only in shared memory,
/// where every use both reads and writes, a descriptor that is open for one of the two, or with
/// O_PATH, is not enough by itself; the mode must let the caller open the file for both, and
/// the handle is for the descriptor's direction (O_PATH: any). The queue may have been unlinked
/// meanwhile, and may live in a directory or mount namespace that the caller does not see:
/// mqrs_name is the name that it was made with. Of a POSIX queue the name is not known ("").
/// If a POSIX queue's descriptor has O_NONBLOCK itself, as socket activation's have, calls
/// wait by poll(2): they do not count as receivers that wait, and end with -EINTR under
/// SA_RESTART, too.
///
/// Returns 0, and fd then belongs to the handle: do not use or close it. Or, fd being the
/// caller's as before,
///   -EINVAL   oflag or opt_flags, as in mqrs_open; O_CREAT and O_EXCL are refused too
///   -EFAULT   out is NULL
///   -EBADF    fd is no descriptor, or not one of a queue
///   -EACCES   the descriptor does not allow this direction; shared memory: it is not for
///             reading and writing both, and the mode does not allow it either
///   -ENOTSUP  the queue was made by a newer version that this one does not understand
///   -EBADMSG  the queue is damaged
///   -EUSERS   the queue is open 1024 times
///   -ENOENT   /proc is not mounted, and the queue was unlinked or fd cannot be read
///   -ENOMEM, -EMFILE, -ENFILE, -ENOLCK  as in mqrs_open
/// and what else the file system answers.
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: a child inherits the handle.
/// Blocks: no.
/// Source: sd_listen_fds(3), unix(7) for the ways that a descriptor travels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_open_fd(
    fd: c_int,
    oflag: c_int,
    opt_flags: u64,
    out: *mut *mut mqrs_queue,
) -> c_int {
    answer(|| {
        OpenFlags::parse_adopting(oflag)?;
        check_option_flags(opt_flags)?;
        check_out(out)?;
        let room = Room::new()?;
        let queue = Queue::open_fd(fd, oflag, opt_flags)?;
        // SAFETY: not null, and writable by the caller's promise.
        unsafe { out.write_unaligned(room.fill(queue)) };
        Ok(())
    })
}

fn check_out(out: *mut *mut mqrs_queue) -> Result<()> {
    if out.is_null() {
        return Err(say(libc::EFAULT, "the pointer for the new handle is NULL"));
    }
    Ok(())
}

/// Get a descriptor of the queue itself, to hand on to another process.
///
/// q  the queue
///
/// The descriptor is new, the caller's to close, and close-on-exec. It is for mqrs_open_fd
/// and for fstat(2); it is not for poll, read or write. POSIX: the kernel drops the process's
/// registration for notification on the queue when it is closed.
///
/// Returns the descriptor, >= 0, or
///   -EBADF           q is NULL or no open handle
///   -ENOTSUP         System V queues have no descriptors
///   -EMFILE          the process has too many descriptors; -ENFILE: the system has
///   -ENOENT          /proc is not mounted, and the queue was unlinked
///   -EBADMSG         the queue is damaged
///   -ENOTRECOVERABLE the library failed in an earlier call on q
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: dup(2), F_DUPFD_CLOEXEC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_dup_fd(q: *const mqrs_queue) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, Queue::dup_fd) }
}

/// Change a queue's permissions and owner.
///
/// q     the queue
/// mode  the new permissions (bits 0777), not masked by umask
/// uid   the new owning user
/// gid   the new owning group
///
/// UINT32_MAX leaves a value as it is. Handles that are open stay usable.
///
/// Returns 0, or, having changed nothing,
///   -EBADF           q is NULL or no open handle
///   -EINVAL          mode has other bits
///   -EPERM           the caller is not allowed to, by the rules of chmod(2) and chown(2)
///   -EBADMSG         the queue is damaged
///   -EACCES          System V: the queue's permissions do not let the caller read
///   -EIDRM           System V: the queue was removed
///   -ENOTRECOVERABLE the library failed in an earlier call on q
/// and what else the file system answers to chmod(2) and chown(2), -EROFS for one.
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
/// Source: chmod(2), chown(2); msgctl(2), IPC_SET.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_set_owner(
    q: *mut mqrs_queue,
    mode: u32,
    uid: u32,
    gid: u32,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { on_queue(q, |queue| queue.set_owner(mode, uid, gid)) }
}

/// Close a handle.
///
/// q  the queue; NULL is allowed and does nothing
///
/// Frees the handle and nothing else: the queue, its name and its messages stay, also for
/// this process's other handles. A queue made with MQRS_OPT_EPHEMERAL goes with its last user:
/// as if it was unlinked when that one closes; and where the last one died, or ended without
/// closing, its file may stay until somebody opens, unlinks or lists it, but to them it is not
/// there. Users are open handles: those of mqrs_open and mqrs_open_fd, and in a forked child the
/// inherited ones, each from its first call on. A descriptor of mqrs_dup_fd is none, but with
/// it or an inherited handle a queue that has gone can be used on, as one that was unlinked.
/// A notification that was registered through this handle is
/// dropped, and its callback has returned and will not run again; inside that callback
/// itself, mqrs_close returns at once.
///
/// Returns 0, or
///   -EBADF           q is no open handle; it was closed already, as far as that can be
///                    noticed
///   -EBADMSG         the queue is damaged; the handle is closed all the same
///   -ENOTRECOVERABLE the library failed in a call on q; the handle is closed all the same
///
/// Threads: no other call on q may be running or follow.  Signals: not async-signal-safe.
/// Fork: parent and child each close their own.  Blocks: while a callback of q is running;
/// hold no lock that the callback needs.
/// Source: POSIX.1-2024 mq_close; mq_close(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_close(q: *mut mqrs_queue) -> c_int {
    if q.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise.
    answer(|| unsafe { boundary::free(q) })
}

/// Remove a queue's name.
///
/// name  the queue's address, as for mqrs_open
///
/// The name is gone at once, and free for a new queue. Who has the queue open goes on
/// using it; it vanishes with the last of them. A System V queue is gone at once itself, with
/// its messages, and calls on it that wait or come later return -EIDRM.
///
/// Returns 0, or
///   -EFAULT        name is NULL
///   -EINVAL        name is empty, has no leading slash or an unknown prefix, or is
///                  "sysv:private"
///   -ENOENT        no such queue, or name is "/"
///   -EACCES        the directory's permissions forbid it: in a sticky directory, as
///                  /dev/shm is, only the queue's owner may, as of the kernel's queues; or
///                  name has a second slash, or is "/." or "/.."
///   -ENAMETOOLONG  more than 255 bytes after the slash
///   -ENOTSUP       that transport is not part of this build
///   -EBADMSG       what has the name is a directory
/// and what else the file system answers to unlink(2), -EROFS for one.
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: nothing to say.  Blocks: no.
/// Source: POSIX.1-2024 mq_unlink; mq_unlink(3); msgctl(2), IPC_RMID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_unlink(name: *const c_char) -> c_int {
    answer(|| {
        if name.is_null() {
            return Err(say(libc::EFAULT, "the queue's name is NULL"));
        }
        // SAFETY: not null, and NUL-terminated by the caller's promise.
        queue::unlink(unsafe { CStr::from_ptr(name) })
    })
}

/// Tell a queue's full address.
///
/// q  the queue
///
/// Returns the address, as "shm:/name", "posix:/name", "sysv:/name", "sysv:0x4d2" or
/// "sysv:id:7": good for mqrs_open and mqrs_unlink, and valid until mqrs_close. It is "" where
/// the name is not known. NULL if q is NULL or no open handle, or the library failed in an
/// earlier call on it.
///
/// Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mqrs_name(q: *const mqrs_queue) -> *const c_char {
    // SAFETY: the caller's promise.
    match unsafe { boundary::name(q) } {
        Ok(name) => name.as_ptr(),
        Err(_) => std::ptr::null(),
    }
}
