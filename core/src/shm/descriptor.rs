//! A handle's descriptor for poll: an eventfd of this process.
//!
//! ```text
//! counter    0          1      2^64 - 2
//! poll says  writable   both   readable
//! ```
//!
//! `shown.rs` says what it shows and when; the helper thread of `notify/` keeps it up to date.
//! The number is the handle's, which knows it in a forked child, too, and closes it; the rest
//! is the process's own.
//!
//! Source: eventfd(2), its rules for poll.

#![forbid(unsafe_code)]

use super::engine::Engine;
use super::poll::event;
use super::shown::{EXACTLY, LOOK, Shown};
use crate::error::{Errno, Result};
use crate::report::{explain, say};
use crate::sync::Ordering::SeqCst;
use crate::sync::local::AtomicU64;
use crate::sys::eventfd::{self, Marked};
use crate::waiting::Side;

/// The counter at which an eventfd is readable only.
const READABLE_ONLY: u64 = u64::MAX - 1;

/// What one process has of a handle's descriptor.
pub struct Descriptor {
    /// [`Marked`] as bits; 0 while nobody has asked for it.
    eventfd: AtomicU64,
    shown: Shown,
}

impl Descriptor {
    pub(super) fn new() -> Descriptor {
        Descriptor { eventfd: AtomicU64::new(0), shown: Shown::new() }
    }

    /// Whether this process has asked for it.
    pub fn is_open(&self) -> bool {
        self.eventfd.load(SeqCst) != 0
    }

    /// Make it, or find it there; gives its number. It shows exactly what is then.
    ///
    /// `kept` is where the handle keeps it. What is there may be the parent's, from which this
    /// process was forked, or have been closed by the program. One thread at a time.
    pub fn open(&self, engine: &Engine, kept: &AtomicU64) -> Result<i32> {
        if let Some(number) = self.eventfd().and_then(Marked::number) {
            self.shown.update(engine, EXACTLY, |from, to, anew| self.show(from, to, anew));
            return Ok(number);
        }
        close(kept);
        let made = Marked::open().map_err(refused)?;
        kept.store(made.to_bits(), SeqCst);
        let had_one = self.eventfd.swap(made.to_bits(), SeqCst) != 0;
        // Whatever the one before has shown.
        let request = if had_one { EXACTLY | event::ALL } else { EXACTLY };
        self.shown.update(engine, request, |from, to, anew| self.show(from, to, anew));
        made.number().ok_or_else(closed)
    }

    /// Show what is ready and was not, and have the pollers woken for the rest. For the helper,
    /// which is announced there.
    pub fn look(&self, engine: &Engine) {
        self.shown.update(engine, LOOK, |from, to, anew| self.show(from, to, anew));
    }

    /// A call of this handle was refused.
    pub(super) fn refused(&self, engine: &Engine, side: Side) {
        if !self.is_open() {
            return;
        }
        let refused = match side {
            Side::Sender => event::WRITABLE,
            Side::Receiver => event::READABLE,
        };
        self.shown.refused(engine, refused, |from, to, anew| self.show(from, to, anew));
    }

    fn eventfd(&self) -> Option<Marked> {
        Marked::from_bits(self.eventfd.load(SeqCst))
    }

    /// Change what the eventfd shows; `anew` are events for which those must be woken, too, who
    /// have seen them before: what writes to it wakes readers, what clears it wakes writers.
    ///
    /// From "readable" to "both" there is no way but through 0: who looks at that very moment
    /// sees "writable", and who sleeps is woken right afterwards.
    fn show(&self, from: u32, to: u32, anew: u32) {
        let Some(number) = self.eventfd().and_then(Marked::number) else { return };
        let (is, wanted) = (counter(from), counter(to));
        if anew == 0 && is < wanted {
            eventfd::add(number, wanted - is);
            return;
        }
        if is == 0 {
            eventfd::add(number, 1);
        }
        eventfd::clear(number);
        if wanted > 0 {
            eventfd::add(number, wanted);
        }
    }
}

/// Close what a handle keeps.
pub fn close(kept: &AtomicU64) {
    if let Some(eventfd) = Marked::from_bits(kept.swap(0, SeqCst)) {
        eventfd.close();
    }
}

fn counter(events: u32) -> u64 {
    match events {
        event::WRITABLE => 0,
        event::READABLE => READABLE_ONLY,
        _ => 1,
    }
}

fn closed() -> Errno {
    say(libc::EBADF, "the program has closed the queue's descriptor for poll")
}

fn refused(error: Errno) -> Errno {
    match error.0 {
        libc::EMFILE => say(
            libc::EMFILE,
            "the queue needs a descriptor for poll, and the process has as many as RLIMIT_NOFILE (ulimit -n) allows",
        ),
        libc::ENFILE => say(
            libc::ENFILE,
            "the queue needs a descriptor for poll, and the system has as many as /proc/sys/fs/file-max allows",
        ),
        libc::ENOMEM => say(libc::ENOMEM, "there is not enough memory for a descriptor"),
        errno => explain(errno, format_args!("cannot make an eventfd (errno {errno})")),
    }
}
