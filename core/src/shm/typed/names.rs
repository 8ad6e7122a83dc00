//! The files of queues of typed messages, in the directory of queues.
//!
//! ```text
//! mqrs-msg.123456789    the queue with this number
//! mqrs-key.0000002a     the same file, by its key, if it has one
//! ```
//!
//! A queue is born whole, as every queue is (`directory.rs`), and is there when it has its key
//! (without one: its number). Of several that make a queue of one key at a time, the first to
//! link it wins. Its number comes after its key; if the maker is killed in between, whoever
//! finds it by its key gives it its number.
//!
//! A queue is gone when it is marked as removed, whatever its names say. Then its names go. Who
//! finds one of a queue that is removed takes it away himself, in a way that cannot hit another
//! queue that has got it meanwhile (`ephemeral.rs`).

use super::message::now_s;
use super::rights;
use crate::attr::OpenOptions;
use crate::deadline::Clock;
use crate::directory::{Unnamed, cannot_create, explained};
use crate::error::{Errno, Result};
use crate::fault::step;
use crate::report::say;
use crate::shm::create::{self, OPEN_FLAGS};
use crate::shm::ephemeral::{self, Aside};
use crate::shm::layout::{Geometry, Prologue, TYPED, TYPED_AT, TypedWords};
use crate::shm::segment::Segment;
use crate::sync::Ordering::Relaxed;
use crate::sys::file::{self, Descriptor, Identity};
use crate::sys::{clock, msg, process};
use crate::text::Text;
use core::ffi::CStr;
use core::fmt::Write;

/// Messages that a queue holds, at most.
pub const MESSAGES: u64 = 1024;
/// Longest message, whatever kernel.msgmax says.
const LONGEST: u64 = 1 << 20;
/// Bytes of slots that have memory from the beginning.
const AT_FIRST: u64 = 64 << 10;

const BY_NUMBER: &str = "mqrs-msg.";
const BY_KEY: &str = "mqrs-key.";

/// A file's name.
pub(super) type Name = Text<32>;

pub(super) fn by_number(id: i32) -> Name {
    let mut name = Name::new();
    // It fits.
    let _ = write!(name, "{BY_NUMBER}{id}");
    name
}

pub(super) fn by_key(key: u32) -> Name {
    let mut name = Name::new();
    // It fits.
    let _ = write!(name, "{BY_KEY}{key:08x}");
    name
}

/// The number of the queue of such a name.
pub(super) fn number_of(name: &CStr) -> Option<i32> {
    let digits = name.to_bytes().strip_prefix(BY_NUMBER.as_bytes())?;
    let id: i32 = core::str::from_utf8(digits).ok()?.parse().ok()?;
    (id >= 0 && by_number(id).as_c_str() == name).then_some(id)
}

/// The kernel's limits; what they are as a rule if there is no System V in this kernel.
pub fn kernel_limits() -> msg::Limits {
    msg::limits().unwrap_or(msg::Limits { message: 8192, queue: 16384, queues: 32000 })
}

/// The longest message of a queue that is made now.
pub(super) fn longest(limits: &msg::Limits) -> u64 {
    limits.message.clamp(1, LONGEST)
}

/// A queue's file, opened and checked.
pub(super) struct Found {
    pub prologue: Prologue,
    pub identity: Identity,
    pub file: Descriptor,
}

/// Open a file; `ENOENT` and `EACCES` as they are.
pub(super) fn find(dir: &Descriptor, name: &Name) -> Result<Found> {
    let not_one = || say(libc::EBADMSG, "the file of this name is not a queue of typed messages");
    let file =
        file::open_at(dir.number(), name.as_c_str(), OPEN_FLAGS, 0).map_err(
            |error| match error.0 {
                libc::ENOENT => say(libc::ENOENT, "there is no such queue"),
                libc::EACCES | libc::EPERM => {
                    say(libc::EACCES, "the queue's mode does not allow this")
                }
                libc::EISDIR | libc::ELOOP | libc::ENXIO | libc::ENODEV => not_one(),
                _ => explained(error, "cannot open the queue's file"),
            },
        )?;
    let (prologue, identity) = create::read_prologue_with(file.number(), TYPED)?;
    if prologue.options != TYPED {
        return Err(not_one());
    }
    Ok(Found { prologue, identity, file })
}

/// The words of the queue with this number, for who wants to know no more than what they say:
/// without a look at the rest of the file.
pub(super) fn peek(dir: &Descriptor, id: i32) -> Result<TypedWords> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let words = file::open_at(dir.number(), by_number(id).as_c_str(), flags, 0)
        .and_then(|file| words_of(file.number()));
    match words {
        // No other file has its number there.
        Ok(words) if words.id.load(Relaxed) != id as u32 => Err(Errno(libc::ENOENT)),
        Err(Errno(libc::EISDIR | libc::ELOOP | libc::ENXIO | libc::ENODEV)) => {
            Err(Errno(libc::ENOENT))
        }
        words => words,
    }
}

fn words_of(fd: i32) -> Result<TypedWords> {
    // SAFETY: integers and atomics of integers, so all zeros are a value.
    let mut words: TypedWords = unsafe { core::mem::zeroed() };
    let len = size_of::<TypedWords>();
    // SAFETY: the bytes of `words`, in which every byte is part of an integer.
    let bytes = unsafe { core::slice::from_raw_parts_mut((&raw mut words).cast::<u8>(), len) };
    file::read_at(fd, bytes, TYPED_AT as i64)
        .map_err(|error| explained(error, "cannot read the queue's file"))?;
    Ok(words)
}

impl Found {
    /// The words of the queue, as they are now.
    pub(super) fn words(&self) -> Result<TypedWords> {
        words_of(self.file.number())
    }

    /// Take a name away if it is this file's.
    pub(super) fn lose(&self, dir: &Descriptor, name: &Name) {
        let fd = self.file.number();
        let is_ours = || file::identity_at(dir.number(), name.as_c_str()) == Ok(self.identity);
        // A name aside that somebody was killed with keeps others from taking theirs; so does
        // one who is about to remove his.
        for _ in 0..8 {
            if !is_ours()
                || ephemeral::take_name(dir, name.as_c_str(), fd, &self.prologue.uuid).is_err()
            {
                return;
            }
            let aside: Aside = ephemeral::name_aside(&self.prologue.uuid);
            ephemeral::remove_aside(dir, fd, &aside);
        }
    }

    /// Take both its names from a queue that was removed.
    pub(super) fn lose_names(&self, dir: &Descriptor, words: &TypedWords) {
        let key = words.key.load(Relaxed);
        if key != 0 {
            self.lose(dir, &by_key(key));
        }
        step!(TypedUnnamed);
        self.lose(dir, &by_number(words.id.load(Relaxed) as i32));
    }

    /// Give a queue that has its key its number, if it has not got it yet; false if another
    /// queue has that number.
    pub(super) fn give_number(&self, dir: &Descriptor, words: &TypedWords) -> Result<bool> {
        let name = by_number(words.id.load(Relaxed) as i32);
        let (dir, fd) = (dir.number(), self.file.number());
        for _ in 0..2 {
            match file::identity_at(dir, name.as_c_str()) {
                Ok(identity) => return Ok(identity == self.identity),
                Err(Errno(libc::ENOENT)) => {}
                Err(error) => return Err(explained(error, "cannot look at the queue's file")),
            }
            let linked = if file::may_reopen() {
                file::link_unnamed(fd, dir, name.as_c_str())
            } else {
                file::link(dir, by_key(words.key.load(Relaxed)).as_c_str(), name.as_c_str())
            };
            match linked {
                Ok(()) => return Ok(true),
                Err(Errno(libc::EEXIST)) => {}
                // It has lost its key meanwhile: it was removed.
                Err(Errno(libc::ENOENT)) => return Ok(true),
                Err(error) => return Err(explained(error, "cannot give the queue its number")),
            }
        }
        Ok(false)
    }
}

/// Make a queue with this key, 0 for none; `EEXIST` if there is one.
pub(super) fn make(dir: &Descriptor, key: u32, mode: u32) -> Result<(i32, Found)> {
    let limits = kernel_limits();
    let Some(geometry) = Geometry::of(MESSAGES, longest(&limits)) else {
        return Err(say(libc::ENOSPC, "kernel.msgmax is no length of a message"));
    };
    let options = OpenOptions { mode: 0o600, ..OpenOptions::default() };
    let unnamed = Unnamed::make(dir, options.permissions()).map_err(no_space)?;
    let fd = unnamed.descriptor().number();
    let slots = (AT_FIRST / geometry.stride as u64).clamp(4, 32) as u32;
    let prologue = complete(fd, geometry, slots, mode)?;
    let identity = file::identity(fd).map_err(cannot_create)?;
    let mapping = create::map(fd, &geometry)?;
    // SAFETY: `total` bytes are mapped there as long as `mapping` lives.
    let segment = unsafe { Segment::new(mapping.base(), geometry) };
    segment.prepare_with(slots);
    let words = segment.typed();
    let (user, group) = (process::effective_user(), process::effective_group());
    for (word, value) in [
        (&words.slots, slots),
        (&words.key, key),
        (&words.uid, user),
        (&words.gid, group),
        (&words.cuid, user),
        (&words.cgid, group),
        (&words.mode, mode & 0o777),
    ] {
        word.store(value, Relaxed);
    }
    words.most.store(limits.queue, Relaxed);
    words.changed_s.store(now_s(), Relaxed);
    loop {
        let id = random_number();
        let name = by_number(id);
        if file::exists(dir.number(), name.as_c_str()) {
            continue;
        }
        words.id.store(id as u32, Relaxed);
        let given = if key == 0 { name } else { by_key(key) };
        match unnamed.link(given.as_c_str()) {
            Err(Errno(libc::EEXIST)) if key == 0 => continue,
            other => other?,
        }
        step!(TypedKeyed);
        let file = create::reopen(fd, unnamed.at())?;
        return Ok((id, Found { prologue, identity, file }));
    }
}

/// The file's length, its first memory, its rights and its prologue.
fn complete(fd: i32, geometry: Geometry, slots: u32, mode: u32) -> Result<Prologue> {
    create::check_length(&geometry, libc::ENOSPC)?;
    let at_first = geometry.slots + slots as u64 * geometry.stride as u64;
    file::allocate(fd, at_first)
        .and_then(|()| file::set_length(fd, geometry.total))
        .map_err(|error| no_space(explained(error, "cannot reserve the queue's memory")))?;
    // Not masked by umask: System V's modes are not.
    file::change_mode(fd, rights::file_mode(mode))
        .map_err(|error| explained(error, "cannot set the queue's mode"))?;
    let prologue = Prologue {
        geometry,
        uuid: process::random(),
        created_ns: clock::now_ns(Clock::Realtime) as u64,
        options: TYPED,
        name: [0; 256],
        name_len: 0,
    };
    file::write_start(fd, &prologue.encode())
        .map_err(|error| explained(error, "cannot write the queue's file"))?;
    Ok(prologue)
}

/// System V's word for what is used up.
fn no_space(error: Errno) -> Errno {
    match error.0 {
        libc::EMFILE | libc::ENFILE | libc::EDQUOT | libc::EFBIG => Errno(libc::ENOSPC),
        _ => error,
    }
}

fn random_number() -> i32 {
    loop {
        let [a, b, c, d, ..] = process::random();
        let id = (u32::from_ne_bytes([a, b, c, d]) & i32::MAX as u32) as i32;
        if id != 0 {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_name_tell_each_other() {
        for id in [1, 42, i32::MAX] {
            assert_eq!(number_of(by_number(id).as_c_str()), Some(id));
        }
        assert_eq!(by_number(7).as_c_str(), c"mqrs-msg.7");
        assert_eq!(by_key(0x2a).as_c_str(), c"mqrs-key.0000002a");
    }

    #[test]
    fn what_only_looks_like_a_number_is_none() {
        for name in [c"mqrs-msg.007", c"mqrs-msg.", c"mqrs-msg.-1", c"mqrs-msg.1x", c"mqrs.1"] {
            assert_eq!(number_of(name), None);
        }
    }

    #[test]
    fn what_is_no_file_is_no_queue() {
        let path = std::env::temp_dir().join(format!("mqrs-names-{}", process::pid()));
        std::fs::create_dir_all(path.join("mqrs-msg.7")).expect("a directory in a directory");
        std::os::unix::fs::symlink("mqrs-msg.7", path.join("mqrs-msg.8")).expect("a link");
        let at = std::ffi::CString::new(path.to_str().expect("text")).expect("a path");
        let dir = file::open_directory(&at).expect("the directory");
        for id in [7, 8] {
            assert_eq!(find(&dir, &by_number(id)).err(), Some(Errno(libc::EBADMSG)));
            assert_eq!(peek(&dir, id).err(), Some(Errno(libc::ENOENT)));
        }
        std::fs::remove_dir_all(path).expect("removed");
    }
}
