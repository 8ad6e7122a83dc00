//! All queues: how many there are, what is in them, and which is in which place.
//!
//! They are the files of their directory. To read it takes a tenth of a millisecond for a
//! thousand queues, and there are programs that ask very often, so a process keeps the numbers
//! that it has found as long as the directory is what it was: its time of change is the same,
//! and that is so long ago that a later change would have another. What is in queues that it
//! does not use itself it looks up at most once in that time.

use super::control::Status;
use super::names;
use super::rights::READ;
use super::table::Used;
use crate::deadline::Clock;
use crate::directory::{self, explained};
use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::layout::TypedWords;
use crate::sync::Ordering::Relaxed;
use crate::sys::clock;
use crate::sys::file::{self, Descriptor, Identity};
use std::sync::Mutex;

/// All queues together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Summary {
    /// How many there are.
    pub queues: u64,
    /// Messages in all that may be looked at.
    pub messages: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Look at the queue in this place, from 0, of all put in order; `EINVAL` if there are not so
/// many. MSG_STAT; with `any` MSG_STAT_ANY, for which the queue's mode does not count.
pub fn status_at(place: i32, any: bool) -> Result<Status> {
    let none = || say(libc::EINVAL, "there is no queue in this place");
    let place = usize::try_from(place).map_err(|_| none())?;
    let look = |words: &TypedWords| {
        if !any {
            words.check_rights(READ)?;
        }
        Ok(Status::of(words))
    };
    with_numbers(|dir, numbers| {
        let id = numbers.ids.get(place).copied().ok_or_else(none)?;
        if let Some(used) = Used::if_open(id)? {
            return look(used.attached().engine.segment().typed());
        }
        match names::peek(dir, id) {
            // Gone since it was counted.
            Err(Errno(libc::ENOENT)) => Err(none()),
            Ok(words) if words.removed.load(Relaxed) != 0 => Err(none()),
            words => look(&words?),
        }
    })
}

/// How many queues there are; those count, too, that somebody is about to remove.
pub fn count() -> Result<u64> {
    with_numbers(|_, numbers| Ok(numbers.ids.len() as u64))
}

/// How many queues there are, and what is in them, as far as that may be read. Of those that
/// this process has never used, as of some milliseconds ago.
pub fn summary() -> Result<Summary> {
    with_numbers(|dir, numbers| {
        let (mut all, mut own) = (Summary::default(), 0);
        for &id in &numbers.ids {
            if let Ok(Some(used)) = Used::if_open(id) {
                own += 1;
                all.add(Some(used.attached().engine.segment().typed()));
            }
        }
        let others = numbers.others(dir, own)?;
        all.queues += others.queues;
        all.messages += others.messages;
        all.bytes += others.bytes;
        Ok(all)
    })
}

impl Summary {
    fn add(&mut self, words: Option<&TypedWords>) {
        let load = words.map(TypedWords::load);
        self.queues += 1;
        self.messages += load.map_or(0, |load| load.messages);
        self.bytes += load.map_or(0, |load| load.bytes);
    }
}

/// The numbers of a directory's queues, in order.
struct Numbers {
    /// Which directory, and when it was last changed.
    as_of: Option<(Identity, i64)>,
    ids: Vec<i32>,
    /// Those that this process has not open; how many it had, and when that was.
    others: Option<(Summary, u64, i64)>,
}

/// How old a change must be for a later one to have another time: more than a tick of any
/// kernel.
const TICK_NS: i64 = 20_000_000;

impl Numbers {
    const NONE: Numbers = Numbers { as_of: None, ids: Vec::new(), others: None };

    fn read(&mut self, dir: &Descriptor) -> Result<()> {
        let looking = |error| explained(error, "cannot list the directory of queues (MQRS_DIR)");
        let changed = |dir: &Descriptor| -> Result<(Identity, i64)> {
            Ok((file::identity(dir.number())?, file::changed_ns(dir.number())?))
        };
        let as_of = changed(dir).map_err(looking)?;
        if self.as_of == Some(as_of) {
            return Ok(());
        }
        let is_old = clock::now_ns(Clock::Realtime).saturating_sub(as_of.1) > TICK_NS;
        self.as_of = None;
        self.others = None;
        self.ids.clear();
        file::entries(dir.number(), &mut |name| {
            let Some(id) = names::number_of(name) else { return Ok(()) };
            self.ids
                .try_reserve(1)
                .map_err(|_| say(libc::ENOMEM, "there is not enough memory for the list"))?;
            self.ids.push(id);
            Ok(())
        })
        .map_err(looking)?;
        self.ids.sort_unstable();
        self.as_of = is_old.then_some(as_of);
        Ok(())
    }

    /// The queues that this process has not open; it has `own`.
    fn others(&mut self, dir: &Descriptor, own: u64) -> Result<Summary> {
        let now = clock::monotonic_ns();
        if let Some((others, then, at)) = self.others {
            if then == own && now - at < TICK_NS {
                return Ok(others);
            }
        }
        let mut others = Summary::default();
        for &id in &self.ids {
            if !matches!(Used::if_open(id), Ok(None)) {
                continue;
            }
            match names::peek(dir, id) {
                Ok(words) if words.removed.load(Relaxed) != 0 => {
                    if let Ok(found) = names::find(dir, &names::by_number(id)) {
                        found.lose_names(dir, &words);
                    }
                }
                Ok(words) => others.add(Some(&words)),
                Err(Errno(libc::EACCES)) => others.add(None),
                Err(error) if error.is_shortage() => return Err(error),
                Err(_) => {}
            }
        }
        self.others = Some((others, own, now));
        Ok(others)
    }
}

fn with_numbers<T>(work: impl FnOnce(&Descriptor, &mut Numbers) -> Result<T>) -> Result<T> {
    static KEPT: Mutex<Numbers> = Mutex::new(Numbers::NONE);
    let dir = directory::open()?;
    // Who meets another thread here, or the call that his signal handler has interrupted, reads
    // for himself.
    let (mut kept, mut own) = (KEPT.try_lock().ok(), Numbers::NONE);
    let numbers = kept.as_deref_mut().unwrap_or(&mut own);
    numbers.read(&dir)?;
    work(&dir, numbers)
}
