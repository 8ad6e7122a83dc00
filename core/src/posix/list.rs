//! Which POSIX queues there are, as a mounted mqueue file system tells.
//!
//! The kernel lists its queues nowhere else. There may be several mounts, and each belongs
//! to an IPC namespace, maybe not to ours, which only shows when one of its queues is
//! opened by name: then it is the same file as that of the mount, or not. A mount without
//! queues, or with none that may be opened, is believed if no other is known to be ours.
//!
//! Source: mq_overview(7), "Mounting the message queue filesystem"; proc_pid_mounts(5).

#![forbid(unsafe_code)]

use super::{PosixQueue, registry};
use crate::address::{Address, PosixName};
use crate::attr::{Attr, OpenOptions};
use crate::error::{Errno, Result};
use crate::list::Found;
use crate::oflag::OpenFlags;
use crate::report::say;
use crate::sys::file::{self, Descriptor};
use crate::sys::mq;
use crate::transport::{Access, Transport};
use core::ffi::CStr;

/// MQUEUE_MAGIC of linux/magic.h.
const MQUEUE_MAGIC: u32 = 0x1980_0202;

/// What one knows of a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// It shows the queues that we open by name.
    Ours,
    /// It shows others.
    Foreign,
    /// It shows none that we may open.
    Unknown,
}

/// Show `found` the address of every queue.
pub fn list(found: &mut Found<'_>) -> Result<()> {
    let Some(dir) = our_mount()? else {
        return Err(say(
            libc::ENOTSUP,
            "POSIX queues can only be listed where a mqueue file system of this IPC namespace is mounted: mount -t mqueue none /dev/mqueue",
        ));
    };
    each_name(&dir, &mut |name| found(name.full()))
}

/// What a listed queue is.
pub fn look(address: &CStr) -> Result<Attr> {
    let flags = OpenFlags::parse(libc::O_RDONLY | libc::O_NONBLOCK)?;
    let Address::Posix(name) = Address::parse(address)? else {
        return Err(say(libc::EINVAL, "the address is not one of a POSIX queue"));
    };
    match look_without_opening(&name)? {
        Some(attr) => Ok(Attr { flags: Access::new(flags, 0).flags(), ..attr }),
        None => PosixQueue::open(name, flags, &OpenOptions::default())?.attr(),
    }
}

/// The same by a descriptor that a registration keeps: a walk over the list, repeated for
/// ever, must not leave more and more of them.
fn look_without_opening(name: &PosixName) -> Result<Option<Attr>> {
    if !registry::is_in_use() {
        return Ok(None);
    }
    let Some(dir) = our_mount()? else { return Ok(None) };
    let Ok(identity) = file::identity_at(dir.number(), name.bare()) else { return Ok(None) };
    registry::with_descriptor(identity, super::attr_of).transpose()
}

/// The directory that shows our queues.
fn our_mount() -> Result<Option<Descriptor>> {
    let mut believed = None;
    let mut look = |path: &CStr| -> Result<Option<Descriptor>> {
        let opened = file::open_directory(path)
            .and_then(|dir| file::file_system(dir.number()).map(|kind| (dir, kind)));
        let dir = match opened {
            Ok((dir, MQUEUE_MAGIC)) => dir,
            Err(error) if error.is_shortage() => return Err(looking_for_mounts(error)),
            // A path that we may not walk, or one that another mount hides, is none.
            _ => return Ok(None),
        };
        match whose(&dir)? {
            Whose::Ours => Ok(Some(dir)),
            Whose::Foreign => Ok(None),
            Whose::Unknown => {
                believed.get_or_insert(dir);
                Ok(None)
            }
        }
    };
    if let Some(dir) = look(c"/dev/mqueue")? {
        return Ok(Some(dir));
    }
    let known = each_mount(&mut look)?;
    Ok(known.or(believed))
}

fn whose(dir: &Descriptor) -> Result<Whose> {
    let mut whose = Whose::Unknown;
    each_name(dir, &mut |name| {
        if whose == Whose::Unknown {
            whose = whose_queue(dir, name);
        }
        Ok(())
    })?;
    Ok(whose)
}

fn whose_queue(dir: &Descriptor, name: &PosixName) -> Whose {
    let shown = file::identity_at(dir.number(), name.bare());
    let Ok(shown) = shown else { return Whose::Unknown };
    if registry::knows(shown) {
        return Whose::Ours;
    }
    match mq::open(name.bare(), libc::O_RDONLY, 0, None) {
        Ok(queue) => {
            let Ok(opened) = file::identity(queue.number()) else { return Whose::Unknown };
            registry::close(queue.into_number(), opened);
            if opened == shown { Whose::Ours } else { still_shown(dir, name) }
        }
        Err(Errno(libc::ENOENT)) => still_shown(dir, name),
        Err(_) => Whose::Unknown,
    }
}

/// What is shown is not what we open: it belongs to others, unless it has just gone.
fn still_shown(dir: &Descriptor, name: &PosixName) -> Whose {
    match file::identity_at(dir.number(), name.bare()) {
        Ok(_) => Whose::Foreign,
        Err(_) => Whose::Unknown,
    }
}

fn each_name(dir: &Descriptor, visit: &mut dyn FnMut(&PosixName) -> Result<()>) -> Result<()> {
    file::entries(dir.number(), &mut |name| match PosixName::new(name.to_bytes()) {
        Ok(name) => visit(&name),
        // The directory itself and its parent.
        Err(_) => Ok(()),
    })
    .map_err(|error| super::explained(error, "cannot list the mqueue file system"))
}

fn looking_for_mounts(error: Errno) -> Errno {
    super::explained(error, "cannot look for the mqueue file system")
}

/// Try the place of each mqueue file system in turn, until one will do.
fn each_mount<T>(look: &mut dyn FnMut(&CStr) -> Result<Option<T>>) -> Result<Option<T>> {
    let mounts = match file::open_at(libc::AT_FDCWD, c"/proc/self/mounts", libc::O_RDONLY, 0) {
        Ok(mounts) => mounts,
        Err(error) if error.is_shortage() => return Err(looking_for_mounts(error)),
        Err(_) => return Ok(None),
    };
    let mut buffer = [0; 8192];
    let (mut at, mut kept) = (0, 0);
    loop {
        let got = match file::read_at(mounts.number(), &mut buffer[kept..], at) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(got) => got,
        };
        at += got as i64;
        let mut rest = &buffer[..kept + got];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut room = [0; 4096];
            let will_do = mqueue_mount(&rest[..end], &mut room).map(&mut *look).transpose()?;
            if let Some(will_do) = will_do.flatten() {
                return Ok(Some(will_do));
            }
            rest = &rest[end + 1..];
        }
        // A line that fills the buffer alone is of another kind of file system, or beyond us.
        let begun = if rest.len() == buffer.len() { 0 } else { rest.len() };
        let from = kept + got - begun;
        buffer.copy_within(from..from + begun, 0);
        kept = begun;
    }
}

/// The place of a mount, from its line `source place type options`, if the type is mqueue.
fn mqueue_mount<'a>(line: &[u8], room: &'a mut [u8; 4096]) -> Option<&'a CStr> {
    let mut words = line.split(|byte| *byte == b' ');
    let place = words.nth(1)?;
    if words.next()? != b"mqueue" {
        return None;
    }
    let mut len = 0;
    let mut bytes = place.iter().copied();
    while let Some(byte) = bytes.next() {
        // Blanks and the like are written as a backslash and three octal digits.
        let byte = match byte {
            b'\\' => (0..3).try_fold(0u8, |value, _| {
                let digit = bytes.next()?.checked_sub(b'0').filter(|digit| *digit < 8)?;
                value.checked_mul(8)?.checked_add(digit)
            })?,
            byte => byte,
        };
        *room.get_mut(len)? = byte;
        len += 1;
    }
    *room.get_mut(len)? = 0;
    CStr::from_bytes_until_nul(room).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &str) -> Option<String> {
        let mut room = [0; 4096];
        mqueue_mount(line.as_bytes(), &mut room).map(|path| path.to_string_lossy().into_owned())
    }

    #[test]
    fn a_mount_is_known_by_its_type_and_its_place_may_have_blanks() {
        assert_eq!(place("mqueue /dev/mqueue mqueue rw 0 0").unwrap(), "/dev/mqueue");
        assert_eq!(place(r"none /a\040b\134c mqueue rw 0 0").unwrap(), r"/a b\c");
        assert_eq!(place("mqueue /dev/mqueue tmpfs rw 0 0"), None);
    }

    #[test]
    fn a_line_that_is_not_as_expected_is_passed_over() {
        for line in ["", "mqueue", "none ", r"none /a\0 mqueue rw", r"none /a\999 mqueue rw"] {
            assert_eq!(place(line), None, "{line}");
        }
        assert_eq!(place(&format!("none /{} mqueue rw", "x".repeat(5000))), None);
    }
}
