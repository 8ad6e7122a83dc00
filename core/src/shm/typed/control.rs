//! msgget and msgctl: finding and making a queue, looking at it, changing it, removing it.

#![forbid(unsafe_code)]

use super::list;
use super::message::now_s;
use super::names::{self, Found};
use super::rights::{READ, file_mode, not_the_owner};
use super::table::Used;
use crate::directory::{self, explained};
use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::layout::TypedWords;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sys::file::{self, Descriptor};
use crate::sys::process;

/// Whose limits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limits {
    /// Ours: any number of queues, any msg_qbytes (but [`MESSAGES`](names::MESSAGES)).
    Own,
    /// The kernel's: kernel.msgmni queues, msg_qbytes up to kernel.msgmnb.
    Kernel,
}

/// What there is to know of a queue.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its number.
    pub id: i32,
    /// Its key; 0 if it has none.
    pub key: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Creating user.
    pub cuid: u32,
    /// Creating group.
    pub cgid: u32,
    /// Permission bits.
    pub mode: u32,
    /// When the last message was sent, in seconds since 1970; 0: none was.
    pub sent_s: i64,
    /// When the last message was received.
    pub received_s: i64,
    /// When the queue was made or changed.
    pub changed_s: i64,
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// Most bytes, and most messages.
    pub most: u64,
    /// Process of the last send, 0 if there was none.
    pub last_sender: u32,
    /// Process of the last receive, 0 if there was none.
    pub last_receiver: u32,
}

impl Status {
    pub(super) fn of(words: &TypedWords) -> Status {
        let load = words.load();
        Status {
            id: words.id.load(Relaxed) as i32,
            key: words.key.load(Relaxed),
            uid: words.uid.load(Relaxed),
            gid: words.gid.load(Relaxed),
            cuid: words.cuid.load(Relaxed),
            cgid: words.cgid.load(Relaxed),
            mode: words.mode.load(Relaxed) & 0o777,
            sent_s: words.sent_s.load(Relaxed) as i64,
            received_s: words.received_s.load(Relaxed) as i64,
            changed_s: words.changed_s.load(Relaxed) as i64,
            bytes: load.bytes,
            messages: load.messages,
            most: words.most.load(Relaxed),
            last_sender: words.last_sender.load(Relaxed),
            last_receiver: words.last_receiver.load(Relaxed),
        }
    }
}

/// What may be changed of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Most bytes, and most messages.
    pub most: u64,
}

/// The number of the queue of this key, or of a new one, as `flags` say: msgget.
pub fn get(key: u32, flags: i32, limits: Limits) -> Result<i32> {
    let dir = directory::open()?;
    let is_made = flags & libc::IPC_CREAT != 0;
    // A queue that vanishes and comes back between our looks is an argument between others;
    // nobody needs more tries than this.
    for _ in 0..1000 {
        if key != 0 {
            match names::find(&dir, &names::by_key(key)) {
                Err(Errno(libc::ENOENT)) if is_made => {}
                Err(Errno(libc::EACCES)) if is_made && flags & libc::IPC_EXCL != 0 => {
                    return Err(exists());
                }
                Err(error) => return Err(error),
                Ok(found) => match known(&dir, &found, flags)? {
                    Some(id) => return Ok(id),
                    None => continue,
                },
            }
        }
        if limits == Limits::Kernel && list::count()? >= names::kernel_limits().queues {
            return Err(say(libc::ENOSPC, "there are as many queues as kernel.msgmni allows"));
        }
        match names::make(&dir, key, flags as u32) {
            Err(Errno(libc::EEXIST)) => continue,
            Err(error) => return Err(error),
            Ok((id, found)) if key == 0 => return Ok(attached(id, found)),
            Ok((id, found)) => {
                let words = found.words()?;
                if found.give_number(&dir, &words)? {
                    if found.words()?.removed.load(Relaxed) != 0 {
                        found.lose_names(&dir, &words);
                        continue;
                    }
                    return Ok(attached(id, found));
                }
                // One of this number came in between.
                Used::attach(id, found)?.attached().engine.remove_typed();
            }
        }
    }
    Err(say(libc::ENOSPC, "the queue kept appearing and vanishing"))
}

/// The maker of a queue will use it, so it is taken into the table. If that does not succeed
/// the queue is there all the same.
fn attached(id: i32, found: Found) -> i32 {
    let _ = Used::attach(id, found);
    id
}

/// The number of a queue that was found by its key; nothing if it is gone.
fn known(dir: &Descriptor, found: &Found, flags: i32) -> Result<Option<i32>> {
    let words = found.words()?;
    if words.removed.load(Relaxed) != 0 || !found.give_number(dir, &words)? {
        found.lose_names(dir, &words);
        return Ok(None);
    }
    if flags & libc::IPC_CREAT != 0 && flags & libc::IPC_EXCL != 0 {
        return Err(exists());
    }
    words.check_rights(flags as u32 & 0o777)?;
    Ok(Some(words.id.load(Relaxed) as i32))
}

fn exists() -> Errno {
    say(libc::EEXIST, "a queue of this key exists already")
}

/// Look at a queue: IPC_STAT.
pub fn status(id: i32) -> Result<Status> {
    let used = Used::of(id)?;
    let words = used.attached().engine.segment().typed();
    words.check_rights(READ)?;
    // Somebody may have been killed in the midst of a call.
    used.attached().recount(true);
    Ok(Status::of(words))
}

/// Change a queue: IPC_SET.
pub fn set(id: i32, settings: &Settings, limits: Limits) -> Result<()> {
    let used = owned(id)?;
    let attached = used.attached();
    let words = attached.engine.segment().typed();
    let is_too_much = || settings.most > names::kernel_limits().queue;
    if limits == Limits::Kernel && is_too_much() && !process::may_exceed_limits() {
        return Err(say(
            libc::EPERM,
            "only with CAP_SYS_RESOURCE may a queue hold more bytes than kernel.msgmnb",
        ));
    }
    if settings.uid == u32::MAX || settings.gid == u32::MAX {
        return Err(say(libc::EINVAL, "there is no such user or group"));
    }
    let fd = attached.reopen()?.file;
    let status = file::status(fd.number())
        .map_err(|error| explained(error, "cannot look at the queue's file"))?;
    let or_stay = |new, old| if new == old { u32::MAX } else { new };
    file::change_access(
        fd.number(),
        or_stay(file_mode(settings.mode), status.mode & 0o7777),
        or_stay(settings.uid, status.uid),
        or_stay(settings.gid, status.gid),
    )
    .map_err(|error| explained(error, "cannot change the owner or mode of the queue's file"))?;
    words.uid.store(settings.uid, Relaxed);
    words.gid.store(settings.gid, Relaxed);
    words.mode.store(settings.mode & 0o777, Relaxed);
    words.changed_s.store(now_s(), Relaxed);
    words.most.store(settings.most, SeqCst);
    // There may be room now; and who waits may no longer be allowed to.
    attached.engine.wake_everybody();
    Ok(())
}

/// Remove a queue: IPC_RMID.
pub fn remove(id: i32) -> Result<()> {
    let used = owned(id)?;
    let attached = used.attached();
    let reopened = attached.reopen();
    let is_done = attached.engine.remove_typed();
    used.close();
    if let (Ok(found), Ok(dir)) = (reopened, directory::open()) {
        found.lose_names(&dir, attached.engine.segment().typed());
    }
    if is_done { Ok(()) } else { Err(say(libc::EINVAL, "there is no queue of this number")) }
}

/// A queue that is the caller's to change.
fn owned(id: i32) -> Result<Used> {
    let used = match Used::of(id) {
        Err(Errno(libc::EACCES)) => return Err(not_the_owner()),
        other => other?,
    };
    used.attached().engine.segment().typed().check_ownership()?;
    Ok(used)
}
