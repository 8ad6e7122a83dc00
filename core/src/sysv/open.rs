//! Opening, making and removing System V queues.
//!
//! By key: look for the queue, asking for the permissions that the direction needs; make it
//! if there is none. A race between creators has one winner, since the kernel makes a queue
//! for a key at most once.
//!
//! By name: the queue of the key that the name makes, if the name is recorded for it. While a
//! queue exists its record does not change, so a record that was read between two looks at
//! one queue, known by its number, is that queue's. The record is written before the queue is
//! made, and locked until then (`record.rs`).
//!
//! Source: msgget(2), msgctl(2).

#![forbid(unsafe_code)]

use super::Name;
use super::bell::Bells;
use super::limits::cannot_get;
use super::record::{self, Found, Recorded};
use crate::address::{SysvAddress, SysvName};
use crate::attr::OpenOptions;
use crate::directory;
use crate::error::{Errno, Result};
use crate::oflag::{Direction, OpenFlags};
use crate::report::{explain, say};
use crate::sys::file::Descriptor;
use crate::sys::msg::{self, Status};
use crate::sys::thread;

/// How often a queue may vanish and come back between two looks: an argument between others,
/// for which nobody needs more tries than this.
const TRIES: u32 = 1000;

/// Open or make a queue: its number, and its full address.
pub fn open(address: &SysvAddress, flags: OpenFlags, options: &OpenOptions) -> Result<(i32, Name)> {
    match address {
        SysvAddress::Key(key) => Ok((by_key(*key, flags, options)?, name_of(*key, 0))),
        SysvAddress::Private => {
            if !flags.create {
                return Err(say(libc::EINVAL, "a private queue is opened as sysv:id:N"));
            }
            let id = make(libc::IPC_PRIVATE as u32, options).map_err(cannot_get)?;
            Ok((id, name_of(0, id)))
        }
        SysvAddress::Id(id) => {
            if flags.create {
                return Err(say(libc::EINVAL, "no queue can be made with a number that is given"));
            }
            by_id(*id, flags)
        }
        SysvAddress::Named(name) => {
            let id = by_name(name, flags, options)?;
            let mut full = Name::new();
            full.push(name.full().to_bytes());
            Ok((id, full))
        }
    }
}

/// The permissions that a direction needs.
fn permissions(direction: Direction) -> i32 {
    match direction {
        Direction::Receive => 0o400,
        Direction::Send => 0o200,
        Direction::Both => 0o600,
    }
}

fn by_key(key: u32, flags: OpenFlags, options: &OpenOptions) -> Result<i32> {
    for _ in 0..TRIES {
        if !flags.exclusive {
            match msg::get(key, permissions(flags.direction)) {
                Err(Errno(libc::ENOENT)) if flags.create => {}
                other => return other.map_err(cannot_get),
            }
        }
        match make(key, options) {
            Err(Errno(libc::EEXIST)) if !flags.exclusive => {}
            other => return other.map_err(cannot_get),
        }
    }
    Err(unsteady())
}

/// What there is of a name's key.
enum There {
    /// The queue of this number, and it has the name.
    Named(i32),
    /// Another queue, and what its record is.
    Another(Found),
    /// No queue.
    Nothing,
    /// It changes while we look.
    Unsteady,
}

fn find(dir: &Descriptor, name: &SysvName) -> Result<There> {
    // Without asking for permissions: who may not use the queue may know that it is there.
    let look = || match msg::get(name.key(), 0) {
        Ok(id) => Ok(Some(id)),
        Err(Errno(libc::ENOENT)) => Ok(None),
        Err(error) => Err(cannot_get(error)),
    };
    let Some(id) = look()? else { return Ok(There::Nothing) };
    let recorded = record::look(dir, name)?;
    Ok(match (look()? == Some(id), recorded) {
        (false, _) => There::Unsteady,
        (true, Found::Same) => There::Named(id),
        (true, other) => There::Another(other),
    })
}

fn by_name(name: &SysvName, flags: OpenFlags, options: &OpenOptions) -> Result<i32> {
    let dir = directory::open()?;
    for tries in 0..TRIES {
        match find(&dir, name)? {
            There::Named(_) if flags.exclusive => {
                return Err(say(libc::EEXIST, "a queue of this name exists already"));
            }
            There::Named(id) => match msg::get(name.key(), permissions(flags.direction)) {
                Ok(again) if again == id => return Ok(id),
                Ok(_) | Err(Errno(libc::ENOENT)) => {}
                Err(error) => return Err(cannot_get(error)),
            },
            There::Another(Found::Nothing) if flags.create => return Err(record::unrecorded(name)),
            There::Another(_) if flags.create => return Err(record::taken(name)),
            There::Another(_) => return Err(another(name)),
            There::Nothing if !flags.create => return Err(no_such_name()),
            There::Nothing => {
                if let Some(id) = make_named(&dir, name, options)? {
                    return Ok(id);
                }
                wait_a_moment(tries);
            }
            There::Unsteady => {}
        }
    }
    // Whoever has locked the record of another name is about to make its queue.
    Err(match record::look(&dir, name)? {
        Found::Other => record::taken(name),
        _ => unsteady(),
    })
}

/// Record the name and make its queue; `None` if others were faster, or are about to be.
fn make_named(dir: &Descriptor, name: &SysvName, options: &OpenOptions) -> Result<Option<i32>> {
    let is_free = || match msg::get(name.key(), 0) {
        Err(Errno(libc::ENOENT)) => Ok(true),
        Ok(_) => Ok(false),
        Err(error) => Err(cannot_get(error)),
    };
    let Recorded::Now(locked) = record::claim(dir, name, is_free)? else { return Ok(None) };
    match make(name.key(), options) {
        Ok(id) => Ok(Some(id)),
        Err(Errno(libc::EEXIST)) => Ok(None),
        Err(error) => {
            drop(locked);
            // Unless another has made it meanwhile, nobody needs the record.
            let none = |free| Err(Errno(if free { libc::ENOENT } else { libc::EEXIST }));
            let _ = record::remove_with(dir, name, || is_free().and_then(none));
            Err(cannot_get(error))
        }
    }
}

/// The record is locked, for as long as it takes to make or remove a queue: microseconds, but
/// for a process that was stopped just then.
fn wait_a_moment(tries: u32) {
    if tries > 10 {
        thread::sleep(1_000_000);
    }
}

fn no_such_name() -> Errno {
    say(libc::ENOENT, "there is no queue of this name")
}

fn another(name: &SysvName) -> Errno {
    explain(
        libc::ENOENT,
        format_args!(
            "there is no queue of this name; the key {:#x} that it makes is another queue's",
            name.key()
        ),
    )
}

/// Others make and remove the queue all the time, or one has stopped in the middle of it.
fn unsteady() -> Errno {
    say(libc::EAGAIN, "the queue kept appearing and vanishing, or its record was locked")
}

/// Make a queue; `EEXIST` if there is one of that key.
fn make(key: u32, options: &OpenOptions) -> Result<i32> {
    let mode = options.permissions();
    msg::get(key, libc::IPC_CREAT | libc::IPC_EXCL | mode as i32)
}

/// The queue of a number; the kernel tells whether we may use it only where it has a key.
fn by_id(id: i32, flags: OpenFlags) -> Result<(i32, Name)> {
    let none = || say(libc::ENOENT, "there is no queue of this number");
    let status = match msg::status(id) {
        Err(Errno(libc::EACCES)) if flags.direction == Direction::Send => look(id),
        other => other,
    }
    .map_err(|error| match error.0 {
        libc::EINVAL | libc::EIDRM => none(),
        _ => cannot_get(error),
    })?;
    if status.key != 0 {
        match msg::get(status.key, permissions(flags.direction)) {
            Ok(found) if found == id => {}
            // Removed meanwhile, and perhaps made again.
            Ok(_) | Err(Errno(libc::ENOENT)) => return Err(none()),
            Err(error) => return Err(cannot_get(error)),
        }
    }
    Ok((id, name_of(status.key, id)))
}

/// The full address of a queue that has no name.
pub fn name_of(key: u32, id: i32) -> Name {
    let address = match key {
        0 => SysvAddress::of_id(id),
        key => SysvAddress::of_key(key),
    };
    let mut name = Name::new();
    name.push(address.as_bytes());
    name
}

/// Look at a queue, with permission to read it or (Linux 4.17) without: there by its place in
/// the kernel's table, which is the lower part of its number.
pub fn look(id: i32) -> Result<Status> {
    match msg::status(id) {
        Err(Errno(libc::EACCES)) => {}
        other => return other,
    }
    // 15 bits, or 24 in a kernel that was booted with ipcmni_extend.
    for places in [0x7fff, 0xff_ffff] {
        match msg::status_at(id & places) {
            Ok((found, status)) if found == id => return Ok(status),
            _ => {}
        }
    }
    Err(Errno(libc::EACCES))
}

/// Remove a queue and its messages.
pub fn unlink(address: &SysvAddress) -> Result<()> {
    match address {
        SysvAddress::Key(key) => remove(msg::get(*key, 0).map_err(cannot_get)?),
        SysvAddress::Id(id) => remove(*id),
        SysvAddress::Private => Err(say(libc::EINVAL, "a private queue is removed as sysv:id:N")),
        SysvAddress::Named(name) => {
            let dir = directory::open()?;
            record::remove_with(&dir, name, || remove_named(&dir, name))
        }
    }
}

fn remove_named(dir: &Descriptor, name: &SysvName) -> Result<()> {
    for _ in 0..TRIES {
        match find(dir, name)? {
            There::Named(id) => return remove(id),
            There::Nothing => return Err(no_such_name()),
            There::Another(_) => return Err(another(name)),
            There::Unsteady => {}
        }
    }
    Err(unsteady())
}

/// Remove the queue of a number, and tell those who wait.
fn remove(id: i32) -> Result<()> {
    msg::remove(id).map_err(|error| match error.0 {
        libc::EINVAL | libc::EIDRM => say(libc::ENOENT, "there is no such queue"),
        libc::EPERM => {
            say(libc::EACCES, "only the queue's owner, its creator and root may remove it")
        }
        _ => explain(error.0, format_args!("cannot remove the queue (errno {})", error.0)),
    })?;
    Bells::attach_existing().of(id).ring_both();
    Ok(())
}
