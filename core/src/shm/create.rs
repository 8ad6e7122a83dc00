//! Files of queues: making one that nobody ever sees half-made, finding one, removing one.
//!
//! A new queue is an unnamed file until it is complete: its pages reserved, its words set,
//! its creator's owner number locked. Then it gets its name (`directory.rs`).

use super::beacon_file::{self, KeptFifo};
use super::ephemeral;
use super::layout::{
    CONTROL_AT, Geometry, MAXMSG_DEFAULT, MAXMSG_MAX, MSGSIZE_DEFAULT, MSGSIZE_MAX, PROLOGUE,
    Prologue,
};
use super::owner::{self, Locks};
use super::segment::Segment;
use crate::address::ShmName;
use crate::attr::{OpenOptions, option};
use crate::deadline::Clock;
use crate::directory::{self, Unnamed, cannot_create, explained};
use crate::error::{Errno, Result};
use crate::fault::step;
use crate::list::Found;
use crate::report::{explain, say};
use crate::sys::file::{self, Descriptor, Identity};
use crate::sys::map::{self, Mapping};
use crate::sys::{clock, process};
use core::ffi::CStr;

/// A queue's file, opened and checked, not yet attached to.
pub struct FoundFile {
    /// Prologue as the file has it; valid.
    pub prologue: Prologue,
    /// Which file it is.
    pub identity: Identity,
    /// A description of ours alone.
    pub probe: Descriptor,
}

/// A queue just made: attached by construction.
pub struct Made {
    /// What was written.
    pub prologue: Prologue,
    /// Which file it is.
    pub identity: Identity,
    /// A description that holds no lock.
    pub probe: Descriptor,
    /// One more for forked children, where the mode would not let them open the file.
    pub spare: Option<Descriptor>,
    /// The queue, mapped; holds the owner's lock.
    pub mapping: Mapping,
    /// The owner number.
    pub owner: u32,
    /// For the attachment: nothing may be lacking once the queue has its name.
    pub page: (Mapping, bool),
    /// For the handle, likewise.
    pub fifo: KeptFifo,
}

/// Memory for an attachment.
pub fn page() -> Result<(Mapping, bool)> {
    map::map_wiped_on_fork(PAGE)
        .map_err(|_| say(libc::ENOMEM, "there is not enough memory for the handle"))
}

/// Bytes of an attachment's memory.
pub const PAGE: usize = 4096;

/// Copy as much as fits; gives where it ends.
fn copy_into(buffer: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = buffer.len().min(at + bytes.len());
    buffer[at..end].copy_from_slice(&bytes[..end - at]);
    end
}

/// The sizes that the options ask for, checked.
pub fn geometry(options: &OpenOptions) -> Result<Geometry> {
    let or = |asked, default| if asked == 0 { default } else { asked };
    let maxmsg = or(options.maxmsg, MAXMSG_DEFAULT);
    let msgsize = or(options.msgsize, MSGSIZE_DEFAULT);
    Geometry::of(maxmsg, msgsize).ok_or_else(|| {
        explain(
            libc::EINVAL,
            format_args!(
                "maxmsg {maxmsg} or msgsize {msgsize} is beyond this transport's limits, {MAXMSG_MAX} messages and {MSGSIZE_MAX} bytes"
            ),
        )
    })
}

/// Never without O_NONBLOCK: a FIFO of a queue's name must not block us.
pub const OPEN_FLAGS: i32 = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Open a queue's file; `ENOENT` if there is none.
pub fn find(dir: &Descriptor, name: &ShmName) -> Result<FoundFile> {
    let probe = file::open_at(dir.number(), name.file_name(), OPEN_FLAGS, 0).map_err(|error| {
        match error.0 {
            libc::ENOENT => say(libc::ENOENT, "there is no queue of this name"),
            libc::EACCES | libc::EPERM => say(
                libc::EACCES,
                "opening the queue needs both read and write permission, whatever the direction",
            ),
            libc::EISDIR | libc::ELOOP | libc::ENXIO | libc::ENODEV => not_a_queue(),
            _ => explained(error, "cannot open the queue's file"),
        }
    })?;
    let (prologue, identity) = read_prologue(probe.number())?;
    // Only a shortened file name could be another queue's.
    if name.name_bytes().len() > 250 && !name.matches(prologue.name()) {
        return Err(say(libc::EBADMSG, "the file of this name belongs to a queue of another name"));
    }
    Ok(FoundFile { prologue, identity, probe })
}

/// The name that a queue was made with, as far as it is one.
pub fn file_name(prologue: &Prologue) -> Option<ShmName> {
    ShmName::new(prologue.name()).ok()
}

/// Show `found` the address of every queue of the directory. A queue whose file may not be
/// read is known by the name of the file, unless that is shortened.
pub fn list(found: &mut Found<'_>) -> Result<()> {
    let dir = directory::open()?;
    file::entries(dir.number(), &mut |file_name| match name_of(&dir, file_name)? {
        Some(name) => found(name.full()),
        None => Ok(()),
    })
    .map_err(|error| explained(error, "cannot list the directory of queues (MQRS_DIR)"))
}

/// The name of the queue that a file of the directory is, if it is one.
fn name_of(dir: &Descriptor, file_name: &CStr) -> Result<Option<ShmName>> {
    let stored = ShmName::of_file(file_name);
    if stored.is_none() && !ShmName::is_shortened(file_name) {
        ephemeral::sweep(dir, file_name);
        return Ok(None);
    }
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = file::open_at(dir.number(), file_name, flags, 0);
    let looked = file.and_then(|file| {
        let (prologue, _) = read_prologue(file.number())?;
        Ok((self::file_name(&prologue), ephemeral::seems_over(&prologue, file.number())?))
    });
    match looked {
        Ok((name, is_over)) => {
            // A copy of a queue's file under another name is none.
            let Some(name) = name.filter(|name| name.file_name() == file_name) else {
                return Ok(None);
            };
            // If it cannot be cleared away, it is not there all the same.
            Ok(if is_over && was_cleared_away(dir, &name) != Ok(false) { None } else { Some(name) })
        }
        Err(Errno(libc::EACCES)) => Ok(stored),
        // A shortage of ours: it may be a queue all the same.
        Err(error) if error.is_shortage() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether the queue of this name is over; then its name is free.
pub fn was_cleared_away(dir: &Descriptor, name: &ShmName) -> Result<bool> {
    let found = match find(dir, name) {
        // What we may not open, or is none of ours, is there.
        Err(Errno(libc::EACCES | libc::EBADMSG | libc::ENOTSUP)) => return Ok(false),
        // Gone before we looked.
        Err(Errno(libc::ENOENT)) => return Ok(true),
        found => found?,
    };
    let is_over = ephemeral::is_over(&found)?;
    if is_over {
        ephemeral::clear_away(dir, name.file_name(), &found)?;
    }
    Ok(is_over)
}

fn not_a_queue() -> Errno {
    say(libc::EBADMSG, "the file of this name is not a queue of this library")
}

fn looking(error: Errno) -> Errno {
    explained(error, "cannot read the queue's file")
}

/// Whether a descriptor, which can be read, is one of a file that begins as a queue does.
fn begins_as_a_queue(fd: i32) -> Result<bool> {
    let mut magic = [0; 8];
    let got = file::read_start(fd, &mut magic).map_err(looking)?;
    Ok(got == magic.len() && magic == super::layout::MAGIC)
}

/// A queue that a descriptor of somebody else's leads to.
pub struct HandedOn {
    /// The queue, with a description of our own, or the giver's where there is no other way.
    pub found: FoundFile,
    /// Whether the descriptor lets us send, and receive.
    pub may: [bool; 2],
}

/// Look what queue a descriptor is of; `EBADF` if of none. A description of our own is wanted,
/// since locks through the giver's would be the giver's as well.
pub fn look_at(fd: i32) -> Result<HandedOn> {
    let not_one = || say(libc::EBADF, "the descriptor is not one of a queue");
    let flags = file::flags(fd).map_err(|_| not_one())?;
    if !file::status(fd).map_err(looking)?.is_regular() {
        return Err(not_one());
    }
    let may = match flags & (libc::O_ACCMODE | libc::O_PATH) {
        libc::O_RDONLY => [false, true],
        libc::O_WRONLY => [true, false],
        // O_PATH is no more than the name: what the mode allows.
        _ => [true, true],
    };
    let can_be_read = may[1] && flags & libc::O_PATH == 0;
    if can_be_read && !begins_as_a_queue(fd)? {
        return Err(not_one());
    }
    let known = if can_be_read { Some(read_prologue(fd)?) } else { None };
    let name = known.as_ref().and_then(|(prologue, _)| file_name(prologue));
    let probe = match reopen(fd, name.as_ref().map_or(c"", ShmName::file_name)) {
        // It is permission enough, if it is for both.
        Err(Errno(libc::EACCES)) if flags & libc::O_ACCMODE == libc::O_RDWR => file::duplicate(fd)
            .map_err(|error| explained(error, "cannot duplicate the descriptor"))?,
        Err(Errno(libc::EACCES)) => {
            return Err(say(
                libc::EACCES,
                "the descriptor is not for reading and writing both, which shared memory takes, and the queue's mode does not let us open it so",
            ));
        }
        // What no queue's file answers.
        Err(Errno(libc::ETXTBSY | libc::EROFS | libc::EPERM)) if !can_be_read => {
            return Err(not_one());
        }
        other => other?,
    };
    let (prologue, identity) = match known {
        Some(known) => known,
        None if begins_as_a_queue(probe.number())? => read_prologue(probe.number())?,
        None => return Err(not_one()),
    };
    Ok(HandedOn { found: FoundFile { prologue, identity, probe }, may })
}

/// Read and check the beginning of a queue's file.
pub fn read_prologue(fd: i32) -> Result<(Prologue, Identity)> {
    read_prologue_with(fd, option::KEPT)
}

/// The same of a queue that may have these options.
pub fn read_prologue_with(fd: i32, known: u64) -> Result<(Prologue, Identity)> {
    let status = file::status(fd).map_err(looking)?;
    if !status.is_regular() {
        return Err(not_a_queue());
    }
    let mut bytes = [0; PROLOGUE];
    if file::read_start(fd, &mut bytes).map_err(looking)? < PROLOGUE {
        return Err(not_a_queue());
    }
    Ok((Prologue::decode_known(&bytes, status.len, known)?, status.identity))
}

/// Make a queue; `EEXIST` if there is one of that name.
pub fn make(
    dir: &Descriptor,
    name: &ShmName,
    geometry: Geometry,
    options: &OpenOptions,
) -> Result<Made> {
    // Told first, as by the kernel: who may not make files here, or has no room, learns it.
    if file::exists(dir.number(), name.file_name()) {
        return Err(exists_already());
    }
    mappable(&geometry)?;
    let file = Unnamed::make(dir, options.permissions())?;
    let made = complete(file.descriptor(), file.at(), name, geometry, options)?;
    step!(CreateUnnamed);
    file.link(name.file_name()).map_err(|error| match error {
        Errno(libc::EEXIST) => exists_already(),
        error => error,
    })?;
    drop(file);
    step!(CreateNamed);
    Ok(made)
}

/// The answer to O_EXCL.
pub fn exists_already() -> Errno {
    say(libc::EEXIST, "a queue of this name exists already")
}

/// Refuse a queue whose file may not be that long.
pub fn check_length(geometry: &Geometry, errno: i32) -> Result<()> {
    let longest = file::longest_file();
    if geometry.total > longest {
        return Err(explain(
            errno,
            format_args!(
                "the queue needs {} bytes, and RLIMIT_FSIZE (ulimit -f) allows files of {longest}",
                geometry.total
            ),
        ));
    }
    Ok(())
}

/// Turn an empty file, which may have the name `at`, into a queue that we are attached to.
fn complete(
    file: &Descriptor,
    at: &CStr,
    name: &ShmName,
    geometry: Geometry,
    options: &OpenOptions,
) -> Result<Made> {
    let fd = file.number();
    let exact = options.is_exact();
    // The kernel has masked the mode; umask(2) itself could only be read by changing it.
    let status = file::status(fd).map_err(cannot_create)?;
    let mode = if exact { options.permissions() } else { status.mode & 0o777 };
    check_length(&geometry, libc::EFBIG)?;
    file::allocate(fd, geometry.total).map_err(|error| match error.0 {
        libc::ENOSPC | libc::EFBIG => explain(
            libc::ENOSPC,
            format_args!(
                "the queue needs {} bytes, which the file system of MQRS_DIR (/dev/shm) does not have left",
                geometry.total
            ),
        ),
        _ => explained(error, "cannot reserve the queue's memory"),
    })?;
    let mut prologue = Prologue {
        geometry,
        uuid: process::random(),
        created_ns: clock::now_ns(Clock::Realtime) as u64,
        options: options.flags & option::KEPT,
        name: [0; 256],
        name_len: name.name_bytes().len() as u32,
    };
    prologue.name[..name.name_bytes().len()].copy_from_slice(name.name_bytes());

    // Descriptions beside this one can be had only while the mode lets us.
    let hidden = mode & 0o600 != 0o600;
    if hidden {
        file::change_mode(fd, 0o600).map_err(|e| explained(e, "cannot set the queue's mode"))?;
    }
    let probe = reopen(fd, at)?;
    let spare = if hidden { Some(reopen(fd, at)?) } else { None };
    if hidden || exact {
        file::change_mode(fd, mode).map_err(|e| explained(e, "cannot set the queue's mode"))?;
    }
    let mapping = map(fd, &geometry)?;
    let base = mapping.base();
    // SAFETY: the mapping just made has `total` bytes, of which the prologue is the first;
    // nobody else can have it open yet.
    let segment = unsafe {
        core::ptr::copy_nonoverlapping(prologue.encode().as_ptr(), base, PROLOGUE);
        Segment::new(base, geometry)
    };
    const { assert!(PROLOGUE <= CONTROL_AT) };
    segment.prepare();
    let owner = owner::settle(fd, &segment, Locks::Own, |_| ())?;
    let identity = status.identity;
    let (page, fifo) = (page()?, KeptFifo::new(identity)?);
    Ok(Made { prologue, identity, probe, spare, mapping, owner, page, fifo })
}

/// A new description of a queue's file, which may have the name `at` in the directory of
/// queues.
pub fn reopen(fd: i32, at: &CStr) -> Result<Descriptor> {
    let doing = "cannot open the queue's file again";
    match file::reopen(fd) {
        // /proc is not mounted.
        Err(Errno(libc::ENOENT | libc::ENOTDIR)) => {}
        other => return other.map_err(|error| explained(error, doing)),
    }
    let gone = || say(libc::ENOENT, "/proc is not mounted, and the queue has another name or none");
    let again = match file::open_at(directory::open()?.number(), at, OPEN_FLAGS, 0) {
        Err(Errno(libc::ENOENT)) => return Err(gone()),
        other => other.map_err(|error| explained(error, doing))?,
    };
    let identity = |fd| file::identity(fd).map_err(looking);
    if identity(again.number())? == identity(fd)? { Ok(again) } else { Err(gone()) }
}

/// The length of a queue as an object of this process: at most half of what there is of
/// addresses, so that distances within it are numbers.
fn mappable(geometry: &Geometry) -> Result<usize> {
    isize::try_from(geometry.total)
        .map(|len| len as usize)
        .map_err(|_| say(libc::ENOMEM, "the queue is too large for this process's address space"))
}

/// Map a queue's file.
pub fn map(fd: i32, geometry: &Geometry) -> Result<Mapping> {
    let len = mappable(geometry)?;
    map::map_file(fd, len).map_err(|error| match error.0 {
        // After mlockall(2). As EAGAIN, a program would take it for a full or empty queue.
        libc::EAGAIN => say(
            libc::ENOMEM,
            "cannot map the queue: as much memory is locked as RLIMIT_MEMLOCK (ulimit -l) allows",
        ),
        _ => explained(error, "cannot map the queue"),
    })
}

/// The queue of this name, if it is ephemeral and we may open it.
fn ephemeral_of(name: &ShmName) -> Option<(Descriptor, FoundFile)> {
    let dir = directory::open().ok()?;
    let found = find(&dir, name).ok()?;
    found.prologue.is_ephemeral().then_some((dir, found))
}

/// Remove a queue's name.
pub fn unlink(name: &ShmName) -> Result<()> {
    // By a composed path rather than in an open directory: a process that is out of
    // descriptors can still clean up.
    let mut path = PathOf([0; 4096 + 256]);
    let dir = path.of_directory();
    if let Some((dir, found)) = ephemeral_of(name) {
        return ephemeral::unlink(&dir, name.file_name(), &found);
    }
    let path_of_queue = path.of(dir, name.file_name())?;
    let identity = file::identity_at(libc::AT_FDCWD, path_of_queue);
    file::unlink_path(path_of_queue).map_err(|error| match error.0 {
        libc::ENOENT => say(libc::ENOENT, "there is no queue of this name"),
        libc::EACCES | libc::EPERM => say(
            libc::EACCES,
            "the directory's permissions (or its sticky bit, for another user's queue) forbid it",
        ),
        libc::EISDIR => not_a_queue(),
        _ => explained(error, "cannot remove the queue's name"),
    })?;
    step!(UnlinkHalfway);
    // If it has one.
    if let Ok(identity) = identity {
        let beacon = beacon_file::name(identity);
        let _ = file::unlink_path(path.of(dir, beacon.as_c_str())?);
    }
    Ok(())
}

/// Room for a path.
struct PathOf([u8; 4096 + 256]);

impl PathOf {
    /// Begin it with the directory of queues; gives its length.
    fn of_directory(&mut self) -> usize {
        let default = copy_into(&mut self.0, 0, directory::DEFAULT.to_bytes());
        let set = process::with_environment(c"MQRS_DIR", |dir| match dir.to_bytes() {
            b"" => None,
            dir => Some(copy_into(&mut self.0, 0, dir)),
        });
        set.flatten().unwrap_or(default)
    }

    /// The path of a file in that directory.
    fn of(&mut self, dir: usize, file_name: &CStr) -> Result<&CStr> {
        let slash = copy_into(&mut self.0, dir, b"/");
        copy_into(&mut self.0, slash, file_name.to_bytes_with_nul());
        CStr::from_bytes_until_nul(&self.0)
            .map_err(|_| say(libc::ENAMETOOLONG, "MQRS_DIR is longer than a path may be"))
    }
}
