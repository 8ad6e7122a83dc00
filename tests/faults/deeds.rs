//! What programs do with the library, one function each, so that every call of the system
//! that it leads to can be made to fail; a file for each page of the manual, and one for what
//! is more or other with each kind of the kernel's queues.

mod attr;
mod ephemeral;
mod general;
mod in_place;
mod list;
mod messages;
mod notify;
mod open;
mod posix;
mod sysv;
mod wait;

use super::kinds::Kind;
use super::stage::{Stage, Transport};
pub use messages::{RECEIVE_TIMES_OUT, RECEIVE_WAITS, SEND};
pub use notify::SIGNAL_COMES;
pub use open::{OPEN_FD, OPEN_MAKES};

/// Every deed.
pub fn all() -> impl Iterator<Item = &'static Deed> {
    [
        open::DEEDS,
        ephemeral::DEEDS,
        attr::DEEDS,
        messages::DEEDS,
        general::DEEDS,
        in_place::DEEDS,
        notify::DEEDS,
        list::DEEDS,
        posix::DEEDS,
        sysv::DEEDS,
        wait::DEEDS,
    ]
    .into_iter()
    .flatten()
}

pub struct Deed {
    pub name: &'static str,
    /// Whose comment in the header tells the errors.
    pub function: &'static str,
    pub transport: Transport,
    pub prepare: fn(&mut Stage),
    pub run: fn(&mut Stage) -> isize,
    /// What it returns when nothing fails.
    pub expected: isize,
    /// Whether it did what it is for.
    pub verify: fn(&mut Stage) -> Result<(), String>,
    /// Whether it did nothing, after an error.
    pub unchanged: fn(&mut Stage) -> Result<(), String>,
    /// What the system lacks from the beginning.
    pub without: &'static [(Kind, i32)],
    /// What it lacks from the deed on.
    pub then_without: &'static [(Kind, i32)],
    /// Errors that say what is not so, and on which it rightly acts: that something is gone.
    pub believes: &'static [(Kind, i32)],
    /// It may have removed a file that nobody needs any more, even in vain.
    pub clears_away: bool,
    /// What cannot be looked at it passes over, unless resources are short.
    pub may_overlook: bool,
    /// What it returns is not its own failure but what it tells of another's.
    pub is_report: bool,
    /// There is one owner number left, that of a dead process.
    pub has_one_number: bool,
    /// It is the first thing that a forked child does with the handle.
    pub in_child: bool,
    /// It waits by looking again and again: how often depends on others.
    pub looks_again: bool,
    /// It lets the helper thread start, which stays, and whose calls come when they come.
    pub has_helper: bool,
}

const DEED: Deed = Deed {
    name: "",
    function: "",
    transport: Transport::Shm,
    prepare: |_| (),
    run: |_| 0,
    expected: 0,
    verify: |_| Ok(()),
    unchanged: |_| Ok(()),
    without: &[],
    then_without: &[],
    believes: &[],
    clears_away: false,
    may_overlook: false,
    is_report: false,
    has_one_number: false,
    in_child: false,
    looks_again: false,
    has_helper: false,
};

const NO_UNNAMED_FILES: &[(Kind, i32)] = &[(Kind::OpenUnnamed, libc::EOPNOTSUPP)];
const NO_FUTEX_WAITV: &[(Kind, i32)] = &[(Kind::WaitAny, libc::ENOSYS)];
const NO_WIPING: &[(Kind, i32)] = &[(Kind::WipeOnFork, libc::EINVAL)];
const NO_OPENING_AGAIN: &[(Kind, i32)] = &[(Kind::OpenProc, libc::EACCES)];
const NO_PROC: &[(Kind, i32)] = &[
    (Kind::LookAtProc, libc::ENOENT),
    (Kind::OpenProc, libc::ENOENT),
    (Kind::LinkUnnamed, libc::ENOENT),
];
