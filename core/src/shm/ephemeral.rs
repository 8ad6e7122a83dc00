//! Ephemeral queues: gone when the last user has gone.
//!
//! A user is an owner: a process that is attached (`owner.rs`). The queue is over when there is
//! none, whether the last one closed its handle or died. Whoever notices ends it: the last one
//! to close, or whoever opens, unlinks or lists a queue that the dead have left. Several may be
//! at it at once, and each may be killed or stopped between any two steps without being in
//! anybody's way, since nobody ever waits for another.
//!
//! The queue ends:
//!
//! ```text
//! 1  read-lock the first bytes of all owners   fails if there is one; keeps out newcomers
//! 2  mark the queue: `ended`                   from here on it is over for good
//! 3  unlock
//! 4  take its name from it                     below
//! ```
//!
//! Who opens by name tries 1 to 4 first. If there was an owner, it attaches, and then looks at
//! the mark: that comes before or after the attachment as a whole, so nobody keeps a queue that
//! somebody else has ended.
//!
//! A name can only be taken away by its bytes, and the file behind it may be another one by
//! then: a new queue. So the old file is renamed rather than unlinked, to a name aside that is
//! made of its random number, and only if there is no such name:
//!
//! ```text
//! 1  read-lock the byte of the name            shared by all that are at it
//! 2  see that the name is this file's
//! 3  rename it aside, unless that name exists
//! 4  unlock
//! 5  write-lock the byte of the name           fails if others are at it; they come here too
//!                                              (not who may not rename: the name is still there)
//! 6  remove the name aside; unlock
//! ```
//!
//! While anybody is between 1 and 4, the name aside stays if it is there. So of those who have
//! seen the name to be this file's, one renames, and the rest, however late, are stopped by
//! the name aside: none of them can hit a new queue. mqrs_unlink goes this way as well. Against
//! a name that was removed past this library there is a second look after the renaming, and
//! the way back.
//!
//! Who is killed between 3 and 6, or at 5 meets one who may not rename, leaves the file aside;
//! the next list of queues removes it.
//!
//! Handles that came otherwise, by fork or as a descriptor, attach to a queue that is over as
//! to one that was unlinked: it lives on without a name. Only while somebody stands still between
//! 1 and 3 they find no free number, and get EUSERS.
//!
//! Source: fcntl(2), open file description locks; rename(2), RENAME_NOREPLACE.

use super::beacon_file;
use super::create::{self, FoundFile, OPEN_FLAGS};
use super::layout::{ENDED_AT, Geometry, Prologue};
use super::owner::{self, BYTE_OF_THE_NAME};
use super::segment::Segment;
use crate::attr::option;
use crate::directory::{self, explained};
use crate::error::{Errno, Result};
use crate::fault::step;
use crate::report::say;
use crate::sync::Ordering::SeqCst;
use crate::sys::file::{self, Descriptor};
use crate::text::Text;
use core::ffi::CStr;

const ASIDE: &[u8] = b".mqrs-gone-";

impl Prologue {
    /// Whether the queue goes with its last user.
    pub fn is_ephemeral(&self) -> bool {
        self.options & option::EPHEMERAL != 0
    }
}

/// Whether a queue that was found by its name is over.
pub fn is_over(found: &FoundFile) -> Result<bool> {
    let fd = found.probe.number();
    let prologue = &found.prologue;
    Ok(prologue.is_ephemeral() && (is_marked(fd)? || end(fd, &prologue.geometry, false)?))
}

/// Take its name from a queue that is over.
pub fn clear_away(dir: &Descriptor, name: &CStr, found: &FoundFile) -> Result<()> {
    take_name(dir, name, found.probe.number(), &found.prologue.uuid).map(drop)
}

/// Whether one of which no more is known than that it may be read is over.
pub fn seems_over(prologue: &Prologue, fd: i32) -> Result<bool> {
    Ok(prologue.is_ephemeral() && (is_marked(fd)? || !owner::is_anybody_there(fd)?))
}

/// Whether a queue that we are attached to was ended before we were.
pub fn was_ended(segment: &Segment) -> bool {
    // SYNC: whoever marked it had locked all bytes against us until then; the kernel's lock
    // orders the mark before our lock.
    segment.control().counters.0.ended.load(SeqCst) != 0
}

/// A user has gone. No owner's lock is held through `fd`, unless it may be `shared` with those
/// whose rows say so.
pub fn user_has_gone(fd: i32, geometry: &Geometry, shared: bool) {
    // What fails here is left to those who come by.
    if !end(fd, geometry, shared).unwrap_or(false) {
        return;
    }
    let (Ok(dir), Ok((prologue, _))) = (directory::open(), create::read_prologue(fd)) else {
        return;
    };
    if let Some(name) = create::file_name(&prologue) {
        let _ = take_name(&dir, name.file_name(), fd, &prologue.uuid);
    }
}

/// Remove the name of an ephemeral queue; `ENOENT` if it is over, or others were faster.
pub fn unlink(dir: &Descriptor, name: &CStr, found: &FoundFile) -> Result<()> {
    let is_over = is_over(found)?;
    let taken = take_name(dir, name, found.probe.number(), &found.prologue.uuid);
    if is_over || taken == Ok(false) {
        return Err(say(libc::ENOENT, "there is no queue of this name"));
    }
    taken.map(drop)
}

/// Remove a file of this name if it is one that a process left aside when it was killed.
pub fn sweep(dir: &Descriptor, file_name: &CStr) {
    if !file_name.to_bytes().starts_with(ASIDE) {
        return;
    }
    let Ok(file) = file::open_at(dir.number(), file_name, OPEN_FLAGS, 0) else { return };
    let Ok((prologue, _)) = create::read_prologue(file.number()) else { return };
    let aside = name_aside(&prologue.uuid);
    if aside.as_c_str() == file_name {
        remove_aside(dir, file.number(), &aside);
    }
}

fn is_marked(fd: i32) -> Result<bool> {
    let mut mark = [0; 4];
    file::read_at(fd, &mut mark, ENDED_AT)
        .map_err(|error| explained(error, "cannot read the queue's file"))?;
    Ok(mark != [0; 4])
}

/// Mark the queue if nobody is attached to it.
fn end(fd: i32, geometry: &Geometry, shared: bool) -> Result<bool> {
    if owner::is_anybody_there(fd)? {
        return Ok(false);
    }
    // Before the lock, under which nothing shall fail.
    let mapping = create::map(fd, geometry)?;
    // SAFETY: `total` bytes are mapped there as long as `mapping` lives.
    let segment = unsafe { Segment::new(mapping.base(), *geometry) };
    if shared && segment.has_shared_locks() {
        return Ok(false);
    }
    if !owner::keep_all_out(fd)? {
        return Ok(false);
    }
    step!(EndLocked);
    segment.control().counters.0.ended.store(1, SeqCst);
    owner::let_all_in(fd);
    step!(EndMarked);
    Ok(true)
}

/// The name of a file that is set aside.
pub(super) type Aside = Text<{ ASIDE.len() + 32 + 1 }>;

/// Where a file with this random number is set aside.
pub(super) fn name_aside(uuid: &[u8; 16]) -> Aside {
    let mut aside = Text::new();
    aside.push(ASIDE);
    for byte in uuid {
        let digit = |nibble: u8| b"0123456789abcdef"[nibble as usize & 15];
        aside.push(&[digit(byte >> 4), digit(*byte)]);
    }
    aside
}

/// Take the name from the file that `fd` is open on; false if it had it no more.
pub(super) fn take_name(dir: &Descriptor, name: &CStr, fd: i32, uuid: &[u8; 16]) -> Result<bool> {
    match file::try_read_lock(fd, BYTE_OF_THE_NAME) {
        Ok(()) => {}
        // Somebody removes the name aside, and only who has found this one gone does that.
        Err(Errno(libc::EAGAIN | libc::EACCES)) => return Ok(false),
        Err(error) => return Err(explained(error, "cannot remove the queue's name")),
    }
    let aside = name_aside(uuid);
    let taken = rename_aside(dir, name, fd, &aside);
    let _ = file::unlock(fd, BYTE_OF_THE_NAME);
    if taken.is_ok() {
        remove_aside(dir, fd, &aside);
    }
    taken.map_err(|error| match error.0 {
        libc::EACCES | libc::EPERM => say(
            libc::EACCES,
            "the directory's permissions (or its sticky bit, for another user's queue) forbid it",
        ),
        _ => explained(error, "cannot remove the queue's name"),
    })
}

fn rename_aside(dir: &Descriptor, name: &CStr, fd: i32, aside: &Aside) -> Result<bool> {
    let dir = dir.number();
    let is_ours = |name| match file::identity_at(dir, name) {
        Err(Errno(libc::ENOENT)) => Ok(false),
        identity => Ok(identity? == file::identity(fd)?),
    };
    if !is_ours(name)? {
        return Ok(false);
    }
    step!(EndLooked);
    match file::rename_new(dir, name, aside.as_c_str()) {
        Ok(()) => {}
        Err(Errno(libc::EEXIST | libc::ENOENT)) => return Ok(false),
        // A file system that cannot: there is a moment in which it may be another's.
        Err(Errno(libc::EINVAL | libc::ENOSYS)) => {
            return file::unlink(dir, name).map(|()| true);
        }
        Err(error) => return Err(error),
    }
    step!(EndAside);
    if is_ours(aside.as_c_str()) == Ok(false) {
        file::rename_new(dir, aside.as_c_str(), name)?;
        return Ok(false);
    }
    Ok(true)
}

/// Remove the name aside, unless somebody may still need it.
pub(super) fn remove_aside(dir: &Descriptor, fd: i32, aside: &Aside) {
    if file::try_lock(fd, BYTE_OF_THE_NAME).is_ok() {
        step!(EndAlone);
        let _ = file::unlink(dir.number(), aside.as_c_str());
        // Its beacon's, if it has one.
        if let Ok(queue) = file::identity(fd) {
            beacon_file::unlink(dir, queue);
        }
        let _ = file::unlock(fd, BYTE_OF_THE_NAME);
    }
}
