//! mq_open, mq_close, mq_unlink, mq_getattr and mq_setattr.
//!
//! Source: mq_open(3), mq_close(3), mq_unlink(3), mq_getattr(3), mq_setattr(3), and what Linux
//! does where they do not say (prepare_open in ipc/mqueue.c).

use crate::descriptor::{self, Mark};
use crate::entry::{self, Use};
use crate::settings::Settings;
use crate::table;
use crate::{answer, helper, limits, trace};
use core::ffi::{c_char, c_int, c_long};
use mqueue_core::address::ShmName;
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::error::{Errno, Result};
use mqueue_core::oflag::{Direction, OpenFlags};
use mqueue_core::queue;
use mqueue_core::shm::ShmQueue;
use mqueue_core::sys::file;
use mqueue_core::sys::mq::{self, Attr};
use mqueue_core::transport::Transport;
use std::ffi::CStr;

/// How often a queue may vanish between two looks before a call gives up: that is an argument
/// between others.
const TRIES: usize = 1000;

/// mq_open(3); `mode` and `attr` count with O_CREAT only.
///
/// # Safety
/// `name` is null or a C string; `attr` is null or what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_open(
    name: *const c_char,
    oflag: c_int,
    mode: u32,
    attr: *const Attr,
) -> c_int {
    answer(|| {
        if name.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: granted by the caller.
        let (name, attr) = unsafe { (CStr::from_ptr(name), attr.as_ref()) };
        let attr = attr.filter(|_| oflag & libc::O_CREAT != 0);
        let opened = match Settings::get().is_ours(name) {
            true => open(name, oflag, mode, attr),
            false => mq::open(in_kernel(name)?, oflag, mode, attr).map(|fd| fd.into_number()),
        };
        trace::opened(name, oflag, opened.map_err(|error| error.0));
        opened
    })
}

/// A name as the kernel's own call has it.
fn in_kernel(name: &CStr) -> Result<&CStr> {
    match name.to_bytes_with_nul() {
        [b'/', rest @ ..] => CStr::from_bytes_with_nul(rest).map_err(|_| Errno(libc::EINVAL)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

fn our_name(name: &CStr) -> Result<ShmName> {
    ShmName::new(in_kernel(name)?.to_bytes())
}

fn open(name: &CStr, oflag: c_int, mode: u32, attr: Option<&Attr>) -> Result<c_int> {
    let name = our_name(name)?;
    let direction = match oflag & libc::O_ACCMODE {
        libc::O_RDONLY => Some(Direction::Receive),
        libc::O_WRONLY => Some(Direction::Send),
        libc::O_RDWR => Some(Direction::Both),
        _ => None,
    };
    let is_made = oflag & libc::O_CREAT != 0;
    let is_exclusive = is_made && oflag & libc::O_EXCL != 0;
    for _ in 0..TRIES {
        let found = match ShmQueue::open(Some(name.clone()), flags(false), &OpenOptions::default())
        {
            Err(Errno(libc::ENOENT)) if is_made => None,
            Err(Errno(libc::ENOENT)) => return Err(Errno(libc::ENOENT)),
            Ok(_) | Err(Errno(libc::EACCES)) if is_exclusive => return Err(Errno(libc::EEXIST)),
            Ok(_) | Err(Errno(libc::EACCES)) if direction.is_none() => {
                return Err(Errno(libc::EINVAL));
            }
            other => Some(other?),
        };
        let special = if found.is_none() { mode & 0o7000 } else { 0 };
        let queue = match found {
            Some(queue) => queue,
            None => {
                let (maxmsg, msgsize) = limits::sizes(attr)?;
                direction.ok_or(Errno(libc::EINVAL))?;
                let exact = if mode & 0o777 == 0 { option::EXACT_MODE } else { 0 };
                let options = OpenOptions { flags: exact, maxmsg, msgsize, mode: mode & 0o777 };
                match ShmQueue::open(Some(name.clone()), flags(true), &options) {
                    Err(Errno(libc::EEXIST)) if is_exclusive => return Err(Errno(libc::EEXIST)),
                    Err(Errno(libc::EEXIST)) => continue,
                    other => other?,
                }
            }
        };
        let direction = direction.ok_or(Errno(libc::EINVAL))?;
        match hand_out(queue, direction, oflag & libc::O_NONBLOCK != 0, special) {
            // Its name went while we opened it: it is the next one that the program asks for.
            Err(Errno(libc::ENOENT)) => {}
            other => return other,
        }
    }
    Err(Errno(libc::ENOENT))
}

/// To open a queue, or to make one that is not there. For both directions, whatever the
/// descriptor says: its mark has the one that counts.
fn flags(is_made: bool) -> OpenFlags {
    OpenFlags { direction: Direction::Both, create: is_made, exclusive: is_made, nonblock: false }
}

/// Give the program a descriptor of a queue.
fn hand_out(
    queue: ShmQueue,
    direction: Direction,
    nonblocking: bool,
    special: u32,
) -> Result<c_int> {
    helper::note_opening();
    let number = queue.beacon(nonblocking)?;
    let given = entry::register(queue).and_then(|queue| {
        descriptor::set_mark(number, Mark { key: queue.key(), direction })?;
        if special != 0 {
            let status = file::status(number)?;
            file::change_mode(number, status.mode & 0o777 | special)?;
        }
        table::insert(number, queue)
    });
    if given.is_err() {
        let _ = descriptor::close(number);
    }
    given.map(|()| number)
}

/// mq_close(3); as libc's it closes whatever the descriptor is of.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_close(number: c_int) -> c_int {
    answer(|| table::close(number).map(|()| 0))
}

/// mq_unlink(3).
///
/// # Safety
/// `name` is null or a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_unlink(name: *const c_char) -> c_int {
    answer(|| {
        if name.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: granted by the caller.
        let name = unsafe { CStr::from_ptr(name) };
        let removed = match Settings::get().is_ours(name) {
            true => our_name(name).and_then(|name| queue::unlink(name.full())),
            false => mq::unlink(in_kernel(name)?),
        };
        match removed {
            Ok(()) => Ok(0),
            // As libc has it.
            Err(Errno(libc::EPERM)) => Err(Errno(libc::EACCES)),
            Err(error) => Err(error),
        }
    })
}

/// mq_getattr(3) and mq_setattr(3): change the flags to those of `new`, and give what was
/// before. Both may be null.
///
/// # Safety
/// The two are what they say.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_attr(number: c_int, new: *const Attr, old: *mut Attr) -> c_int {
    answer(|| {
        let Some((queue, _)) = table::find(number) else {
            // SAFETY: the program's arguments.
            let result = unsafe { libc::syscall(libc::SYS_mq_getsetattr, number, new, old) };
            return match result {
                0.. => Ok(0),
                // A kernel that has no queues.
                _ => Err(Errno::last()).map_err(|error| match error.0 {
                    libc::ENOSYS => Errno(libc::EBADF),
                    _ => error,
                }),
            };
        };
        // SAFETY: granted by the caller.
        let wanted = unsafe { new.as_ref() }.map(|new| new.flags);
        let known = c_long::from(libc::O_NONBLOCK);
        if wanted.is_some_and(|flags| flags & !known != 0) {
            return Err(Errno(libc::EINVAL));
        }
        let was = attributes(&queue, number)?;
        if let Some(flags) = wanted {
            descriptor::set_nonblocking(number, flags & known != 0)?;
        }
        if !old.is_null() {
            // SAFETY: granted by the caller; what is reserved there stays.
            unsafe {
                (*old).flags = was.flags;
                (*old).maxmsg = was.maxmsg;
                (*old).msgsize = was.msgsize;
                (*old).curmsgs = was.curmsgs;
            }
        }
        Ok(0)
    })
}

fn attributes(queue: &Use, number: c_int) -> Result<Attr> {
    let is_nonblocking = descriptor::is_nonblocking(number)?;
    let queue = queue.queue()?;
    let (maxmsg, curmsgs) = queue.maxmsg_and_queued()?;
    let long = |n| c_long::try_from(n).unwrap_or(c_long::MAX);
    Ok(Attr {
        flags: if is_nonblocking { c_long::from(libc::O_NONBLOCK) } else { 0 },
        maxmsg: long(u64::from(maxmsg)),
        msgsize: long(queue.msgsize()? as u64),
        curmsgs: long(u64::from(curmsgs)),
        ..Attr::default()
    })
}
