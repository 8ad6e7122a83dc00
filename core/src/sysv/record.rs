//! Records: which name has the key of a System V queue.
//!
//! Two names may make one key. So the name of each named queue is recorded, in a file of the
//! directory of queues that everybody may read, whatever the umask:
//!
//! ```text
//! mqrs.sysv.5d9a17cb:    The name of the System V queue with key 0x5d9a17cb, after sysv:/
//!                        jobs
//! ```
//!
//! It comes to be whole (`directory.rs`) and never changes. It is there before its queue is
//! and, but for moments, as long; a creator or remover may be killed anywhere, so a record
//! without a queue is no surprise: the same name uses it again, another name replaces it.
//! What is no record is left alone, whoever wrote it, and takes the key from all names.
//!
//! Between "there is no such queue" and what is done about it, others must not do something
//! else. So the record is locked (flock, which needs no permission to write, and ends with its
//! holder), and is then looked at again: is it still the file of this name?
//!
//! ```text
//! making a queue     shared: others of the same name may, the kernel finds a winner
//! replacing it       alone; whoever finds it locked looks again, and soon finds the queue
//! removing it        alone, from before the queue is removed; whoever finds it locked leaves
//!                    it there, stale or with the queue that is being made
//! ```
//!
//! A queue exists only while its record says the same: who opens one looks at the queue, at
//! the record, and at the queue again (`open.rs`), and needs no lock.
//!
//! Source: flock(2).

#![forbid(unsafe_code)]

use crate::address::{NAME_MAX, SysvName, record_of};
use crate::directory::{Unnamed, cannot_create, explained};
use crate::error::{Errno, Result};
use crate::report::explain;
use crate::sys::file::{self, Descriptor};
use core::ffi::CStr;
use std::io::Write;

/// The first line of a record, with the key in 8 digits.
const BEFORE_KEY: &str = "The name of the System V queue with key 0x";
const AFTER_KEY: &str = ", after sysv:/\n";
const LEN_MAX: usize = BEFORE_KEY.len() + 8 + AFTER_KEY.len() + NAME_MAX + 1;

/// What is found in the place of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// This name.
    Same,
    /// Another name, or something that is no record, or that may not be read.
    Other,
}

/// A record's bytes.
struct Text {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl Text {
    fn of(key: u32, name: &[u8]) -> Text {
        let mut bytes = [0; LEN_MAX];
        let mut rest = &mut bytes[..];
        // It fits, and writing into a slice cannot fail otherwise.
        let _ = write!(rest, "{BEFORE_KEY}{key:08x}{AFTER_KEY}")
            .and_then(|()| rest.write_all(name))
            .and_then(|()| rest.write_all(b"\n"));
        let left = rest.len();
        Text { bytes, len: LEN_MAX - left }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What a file holds, `None` if that is no record.
    fn read(file: &Descriptor) -> Result<Option<Text>> {
        let reading = |error| explained(error, "cannot read the name's record");
        if !file::status(file.number()).map_err(reading)?.is_regular() {
            return Ok(None);
        }
        // One byte more than the longest record has.
        let mut more = [0; LEN_MAX + 1];
        let len = file::read_start(file.number(), &mut more).map_err(reading)?;
        let mut bytes = [0; LEN_MAX];
        let Some(room) = bytes.get_mut(..len) else { return Ok(None) };
        room.copy_from_slice(&more[..len]);
        Ok(Some(Text { bytes, len }))
    }

    /// The name, if it is a record of this key.
    fn name(&self, key: u32) -> Option<SysvName> {
        let before = Text::of(key, b"");
        // Without the end of the line that has no name.
        let before = before.as_bytes().strip_suffix(b"\n")?;
        let name = self.as_bytes().strip_prefix(before)?.strip_suffix(b"\n")?;
        SysvName::new(name).ok().filter(|name| name.key() == key)
    }
}

/// What is in the place of a record.
enum Place {
    Empty,
    /// A file, which may be read.
    File(Descriptor),
    /// Something else.
    Taken,
}

fn find(dir: &Descriptor, key: u32) -> Result<Place> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    match file::open_at(dir.number(), record_of(key).as_c_str(), flags, 0) {
        Ok(file) => Ok(Place::File(file)),
        Err(Errno(libc::ENOENT)) => Ok(Place::Empty),
        // No permission, a link, a socket, a device that is not there.
        Err(Errno(libc::EACCES | libc::EPERM | libc::ELOOP | libc::ENXIO | libc::ENODEV)) => {
            Ok(Place::Taken)
        }
        // A shortage of ours, or of the file system: nothing is known of the file.
        Err(error) => Err(explained(error, "cannot open the name's record")),
    }
}

/// Whether the key of a name is recorded for it.
pub fn look(dir: &Descriptor, name: &SysvName) -> Result<Found> {
    match find(dir, name.key())? {
        Place::Empty => Ok(Found::Nothing),
        Place::File(file) => says(&file, name),
        Place::Taken => Ok(Found::Other),
    }
}

fn says(file: &Descriptor, name: &SysvName) -> Result<Found> {
    let expected = Text::of(name.key(), name.name_bytes());
    Ok(match Text::read(file)? {
        Some(text) if text.as_bytes() == expected.as_bytes() => Found::Same,
        _ => Found::Other,
    })
}

/// The name that has a key.
pub fn name_of(dir: &Descriptor, key: u32) -> Result<Option<SysvName>> {
    let Place::File(file) = find(dir, key)? else { return Ok(None) };
    Ok(Text::read(&file)?.and_then(|text| text.name(key)))
}

/// A record's file, locked, and in its place.
pub struct Locked {
    file: Descriptor,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A child that was forked meanwhile has the description, too.
        file::unlock_file(self.file.number());
    }
}

impl Locked {
    /// `None` if somebody is in the way, or it is no longer the file of that name.
    fn take(dir: &Descriptor, key: u32, file: Descriptor, alone: bool) -> Result<Option<Locked>> {
        let locking = |error| explained(error, "cannot lock the name's record");
        match file::try_lock_file(file.number(), alone) {
            Err(Errno(libc::EWOULDBLOCK)) => return Ok(None),
            other => other.map_err(locking)?,
        }
        let locked = Locked { file };
        let in_place = match file::identity_at(dir.number(), record_of(key).as_c_str()) {
            Err(Errno(libc::ENOENT)) => return Ok(None),
            other => other.map_err(locking)?,
        };
        let ours = file::identity(locked.file.number()).map_err(locking)?;
        Ok((ours == in_place).then_some(locked))
    }
}

/// What came of recording a name.
pub enum Recorded {
    /// It is recorded and stays so while this is held.
    Now(Locked),
    /// Something was changed there, or is about to be: look again.
    Unsteady,
}

/// Record a name, for who is about to make its queue; `is_free` says whether there is no
/// queue of the key. `EADDRINUSE` if the key is another name's.
pub fn claim(
    dir: &Descriptor,
    name: &SysvName,
    is_free: impl Fn() -> Result<bool>,
) -> Result<Recorded> {
    let file = match find(dir, name.key())? {
        Place::Empty => return write(dir, name),
        Place::File(file) => file,
        Place::Taken => return Err(taken(name)),
    };
    if says(&file, name)? == Found::Same {
        let locked = Locked::take(dir, name.key(), file, false)?;
        return Ok(locked.map_or(Recorded::Unsteady, Recorded::Now));
    }
    // Replace what is certainly a record, and certainly stale.
    if Text::read(&file)?.and_then(|text| text.name(name.key())).is_none() {
        return Err(taken(name));
    }
    let Some(locked) = Locked::take(dir, name.key(), file, true)? else {
        return Ok(Recorded::Unsteady);
    };
    if is_free()? {
        match file::unlink(dir.number(), record_of(name.key()).as_c_str()) {
            // Gone already.
            Err(Errno(libc::ENOENT)) => {}
            other => other.map_err(|error| cannot_replace(error, name))?,
        }
    }
    drop(locked);
    Ok(Recorded::Unsteady)
}

/// Write the record where there is none.
fn write(dir: &Descriptor, name: &SysvName) -> Result<Recorded> {
    let text = Text::of(name.key(), name.name_bytes());
    let longest = file::longest_file();
    if (text.as_bytes().len() as u64) > longest {
        return Err(explain(
            libc::EFBIG,
            format_args!(
                "the record of the name needs {} bytes, and RLIMIT_FSIZE (ulimit -f) allows files of {longest}",
                text.as_bytes().len()
            ),
        ));
    }
    let file = Unnamed::make(dir, 0o644)?;
    let fd = file.descriptor().number();
    file::change_mode(fd, 0o644).map_err(cannot_create)?;
    match file::write_start(fd, text.as_bytes()).map_err(cannot_create)? {
        put if put == text.as_bytes().len() => {}
        _ => return Err(cannot_create(Errno(libc::ENOSPC))),
    }
    // A description that can be locked here can be locked later, by others.
    let locked = Locked { file: file::duplicate(fd).map_err(cannot_create)? };
    file::try_lock_file(fd, false).map_err(cannot_create)?;
    match file.link(record_of(name.key()).as_c_str()) {
        Ok(()) => Ok(Recorded::Now(locked)),
        Err(Errno(libc::EEXIST)) => Ok(Recorded::Unsteady),
        Err(error) => Err(error),
    }
}

/// Do `remove`, which removes the queue of this name (or says `ENOENT`), and remove the
/// record with it, if nobody is making the queue at this moment and the directory permits.
pub fn remove_with(
    dir: &Descriptor,
    name: &SysvName,
    remove: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // What cannot be looked at or locked stays: a stale record.
    let locked = match find(dir, name.key()) {
        Ok(Place::File(file)) if says(&file, name) == Ok(Found::Same) => {
            Locked::take(dir, name.key(), file, true).ok().flatten()
        }
        _ => None,
    };
    let removed = remove();
    // Where there was no queue the record is stale.
    let is_gone = matches!(removed, Ok(()) | Err(Errno(libc::ENOENT)));
    if let (Some(_), true) = (&locked, is_gone) {
        let _ = file::unlink(dir.number(), record_of(name.key()).as_c_str());
    }
    removed
}

/// The key belongs to something else.
pub fn taken(name: &SysvName) -> Errno {
    let record = record_of(name.key());
    explain(
        libc::EADDRINUSE,
        format_args!(
            "the key {:#x} that the name makes belongs to another queue (see {} in MQRS_DIR, by default /dev/shm)",
            name.key(),
            displayed(record.as_c_str()),
        ),
    )
}

/// The key is in use by a queue that has no name.
pub fn unrecorded(name: &SysvName) -> Errno {
    explain(
        libc::EADDRINUSE,
        format_args!(
            "the key {:#x} that the name makes is in use by a queue without a name",
            name.key()
        ),
    )
}

fn cannot_replace(error: Errno, name: &SysvName) -> Errno {
    match error.0 {
        libc::EACCES | libc::EPERM => taken(name),
        _ => explained(error, "cannot replace the stale record of another name"),
    }
}

fn displayed(name: &CStr) -> &str {
    name.to_str().unwrap_or("")
}
