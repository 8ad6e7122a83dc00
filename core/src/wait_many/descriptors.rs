//! Sleeping in ppoll: on the descriptors of POSIX queues, and on a watch over the files of
//! queues in shared memory.
//!
//! ```text
//! poller:  watch the file, say in `watchers` that somebody does, mark, look, ppoll
//! other:   change the queue, find the mark, wake the pollers; if `watchers`: read a byte of
//!          the file, which changes nothing, and which inotify tells the poller
//! ```
//!
//! Source: mq_overview(7), "Polling message queue descriptors"; ppoll(2), inotify(7).

#![forbid(unsafe_code)]

use super::{Item, Many, Next, UNTOLD, event, reserved};
use crate::error::{Errno, Result};
use crate::report::failed;
use crate::shm::Slept;
use crate::sys::poll::{self, Polled};
use crate::sys::watch::Watcher;
use crate::transport::Sign;
use crate::waiting::Limit;

/// Fill in the descriptors that are asked about, and ask what is ready now.
pub fn look(many: &mut Many) -> Result<()> {
    let Many { items, polled, .. } = many;
    polled.clear();
    // Within what is reserved.
    polled.extend(items.iter().flatten().filter_map(asked));
    if polled.is_empty() {
        return Ok(());
    }
    match wait(polled, 0) {
        // More at a time than RLIMIT_NOFILE allows.
        Err(Errno(libc::EINVAL)) => polled.chunks_mut(1).try_for_each(|one| wait(one, 0).map(drop)),
        other => other.map(drop),
    }
}

fn asked(item: &Item) -> Option<Polled> {
    let Some(Sign::Descriptor(fd)) = item.sign else { return None };
    let readable = if item.events & event::READABLE != 0 { poll::READABLE } else { 0 };
    let writable = if item.events & event::WRITABLE != 0 { poll::WRITABLE } else { 0 };
    Some(Polled { fd, events: readable | writable, revents: 0 })
}

/// What is ready, as the kernel says.
pub fn ready(polled: &Polled) -> u32 {
    let has = |bits: i16| polled.revents & bits != 0;
    if has(!(poll::READABLE | poll::WRITABLE)) {
        // Closed: no call will wait.
        return event::ALL;
    }
    let readable = if has(poll::READABLE) { event::READABLE } else { 0 };
    let writable = if has(poll::WRITABLE) { event::WRITABLE } else { 0 };
    readable | writable
}

/// ppoll, going on after a signal if it is not to sleep.
fn wait(polled: &mut [Polled], ns: i64) -> Result<usize> {
    loop {
        match poll::wait(polled, ns) {
            Err(Errno(libc::EINTR)) if ns == 0 => {}
            Err(error @ Errno(libc::EINTR | libc::EINVAL)) => return Err(error),
            other => return other.map_err(|error| failed(error, "cannot wait for the queues")),
        }
    }
}

/// What is slept on.
pub struct Descriptors {
    /// Who watches files, if somebody does.
    watcher: Option<Watcher>,
    /// Its watches.
    watches: Vec<i32>,
}

impl Descriptors {
    /// Where there are descriptors, or nothing.
    pub fn of(many: &Many) -> Result<Option<Descriptors>> {
        if many.polled.is_empty() {
            return Ok(None);
        }
        let files = || many.items().filter_map(file);
        let mut watches = reserved(files().count())?;
        let watcher = files().next().and_then(|_| Watcher::new().ok());
        if let Some(watcher) = &watcher {
            // Within what is reserved.
            watches.extend(files().map_while(|file| watcher.add(file).ok()));
        }
        Ok(Some(Descriptors { watcher, watches }))
    }

    /// Whether whatever changes is told by a descriptor.
    pub fn are_told(&self, many: &Many) -> bool {
        let is_told = |item: &Item| !matches!(item.sign, Some(Sign::Bells(..)));
        many.items().all(is_told) && self.watches.len() == many.items().filter_map(file).count()
    }

    /// Say that we wait, look, sleep; `None` if something is ready or the time is up.
    pub fn round(&mut self, many: &mut Many, limit: Limit, slice: i64) -> Result<Option<Slept>> {
        if let Some(watcher) = &self.watcher {
            watcher.clear();
        }
        for item in many.items() {
            if let Some(Sign::Word(engine, _)) = item.sign {
                engine.want_touch();
                engine.mark(item.events);
            }
        }
        match many.next(limit, slice)? {
            Next::Done => Ok(None),
            Next::Sleep(ns) => self.sleep(many, ns).map(Some),
        }
    }

    fn sleep(&self, many: &mut Many, ns: i64) -> Result<Slept> {
        let Many { polled, .. } = many;
        // Room for this one is reserved, too.
        polled.extend(self.watcher.as_ref().map(|watcher| Polled {
            fd: watcher.number(),
            events: poll::READABLE,
            revents: 0,
        }));
        let woken = match wait(polled, ns) {
            // More at a time than RLIMIT_NOFILE allows.
            Err(Errno(libc::EINVAL)) => wait(&mut [], ns.min(UNTOLD.1)),
            other => other,
        };
        match woken {
            Ok(0) => Ok(Slept::TimedOut),
            Ok(_) => Ok(Slept::Changed),
            Err(Errno(libc::EINTR)) => Ok(Slept::Interrupted),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            self.watches.iter().for_each(|&watch| watcher.remove(watch));
            watcher.keep();
        }
    }
}

fn file(item: &Item) -> Option<i32> {
    match item.sign {
        Some(Sign::Word(_, file)) => Some(file),
        _ => None,
    }
}
