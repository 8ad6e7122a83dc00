//! The directory of queues, MQRS_DIR or /dev/shm, and how files come to be there: whole, or
//! not at all.
//!
//! A new file is an unnamed one (O_TMPFILE) until it is complete. Then it gets its name,
//! which fails if there is one already: of many creators exactly one wins, and one that is
//! killed leaves nothing behind. Where a file system knows no unnamed files, or /proc is not
//! mounted, by which such a file gets its name, a file with a random name takes that part; a
//! creator killed at that moment leaves it there.
//!
//! Here are the segments of shared-memory queues and the records of System V queues' names.
//!
//! Source: open(2), linkat(2).

#![forbid(unsafe_code)]

use crate::error::{Errno, Result};
use crate::report::{explain, failed};
use crate::sys::file::{self, Descriptor};
use crate::sys::process;
use core::ffi::CStr;

/// Where queues are if MQRS_DIR does not say.
pub const DEFAULT: &CStr = c"/dev/shm";

/// The directory of all queues: MQRS_DIR, or /dev/shm.
pub fn open() -> Result<Descriptor> {
    let opened = process::with_environment(c"MQRS_DIR", |dir| {
        file::open_directory(if dir.is_empty() { DEFAULT } else { dir })
    });
    opened.unwrap_or_else(|| file::open_directory(DEFAULT)).map_err(|error| {
        explained(error, "cannot open the directory of queues (MQRS_DIR, by default /dev/shm)")
    })
}

/// Add the sentence to an error of a system call on a file.
pub fn explained(error: Errno, doing: &str) -> Errno {
    let why = match error.0 {
        libc::ENOENT => "it does not exist",
        libc::ENOSPC => "there is no room left in the file system of MQRS_DIR (/dev/shm)",
        libc::EDQUOT => "the disk quota is used up",
        libc::EROFS => "the file system is read-only",
        libc::ENOTDIR => "a part of the path is not a directory",
        libc::ENOLCK => "the file system cannot lock bytes of files",
        _ => return failed(error, doing),
    };
    explain(error.0, format_args!("{doing}: {why}"))
}

/// Why a file could not be made.
pub fn cannot_create(error: Errno) -> Errno {
    match error.0 {
        libc::EPERM => explained(Errno(libc::EACCES), "cannot create the queue's file"),
        _ => explained(error, "cannot create the queue's file"),
    }
}

/// A file that has no name yet, or one by which nobody looks for it.
pub struct Unnamed<'a> {
    dir: &'a Descriptor,
    file: Descriptor,
    temporary: Option<Temporary>,
}

impl<'a> Unnamed<'a> {
    /// An empty file, to read and write; the mode is masked by umask.
    pub fn make(dir: &'a Descriptor, mode: u32) -> Result<Unnamed<'a>> {
        if file::may_reopen() {
            let flags = libc::O_TMPFILE | libc::O_RDWR;
            match file::open_at(dir.number(), c".", flags, mode) {
                Ok(file) => return Ok(Unnamed { dir, file, temporary: None }),
                // EISDIR: a kernel that does not know O_TMPFILE.
                Err(Errno(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {}
                Err(error) => return Err(cannot_create(error)),
            }
        }
        loop {
            let temporary = Temporary::new();
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
            match file::open_at(dir.number(), temporary.as_c_str(), flags, mode) {
                // Not random enough: the next name is another one.
                Err(Errno(libc::EEXIST)) => {}
                Ok(file) => return Ok(Unnamed { dir, file, temporary: Some(temporary) }),
                Err(error) => return Err(cannot_create(error)),
            }
        }
    }

    /// The file.
    pub fn descriptor(&self) -> &Descriptor {
        &self.file
    }

    /// The name by which nobody looks for it, "" if it has none.
    pub fn at(&self) -> &CStr {
        self.temporary.as_ref().map_or(c"", Temporary::as_c_str)
    }

    /// Give it its name; `EEXIST`, the only error without a sentence, if there is such a file.
    pub fn link(&self, name: &CStr) -> Result<()> {
        let dir = self.dir.number();
        match &self.temporary {
            None => file::link_unnamed(self.file.number(), dir, name),
            Some(temporary) => file::link(dir, temporary.as_c_str(), name),
        }
        .map_err(|error| match error {
            Errno(libc::EEXIST) => error,
            error => explained(error, "cannot give the queue's file its name"),
        })
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = file::unlink(self.dir.number(), temporary.as_c_str());
        }
    }
}

/// A name by which nobody looks for a file: a random one in the queues' directory, for file systems without unnamed files.
pub struct Temporary([u8; 48]);

impl Temporary {
    /// Another one each time.
    pub fn new() -> Temporary {
        use std::io::Write;
        let mut bytes = [0; 48];
        let random = u128::from_ne_bytes(process::random());
        // 10 + 32 bytes fit.
        let _ = write!(&mut bytes[..47], ".mqrs-new-{random:032x}");
        Temporary(bytes)
    }
    /// The name.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}
