//! Every call of the system that the library makes fails, one at a time, with every errno
//! that its manual page gives.
//!
//! A deed (`deeds.rs`) is one call of the library and what goes before. It is done once to
//! see which calls of the system it leads to. Then, for each of those and each errno, a new
//! process does it with that one call failing (`calls.rs`), and once more with that one and
//! all later ones of its kind (`case.rs`). It has to do what it is for all the same, or to return an
//! error that the header names (`header.rs`) and that tells the cause; then
//!
//! - the outputs are untouched, and a sentence says what went wrong;
//! - as many descriptors, mappings, threads, allocations and files are there as before;
//! - the same deed succeeds if nothing fails any more;
//! - the queue is of use to this process and to another, and holds `maxmsg` messages;
//! - when everything is closed, as much is left as without the failure.
//!
//! `cargo test --test faults -- WORD` does the deeds whose name contains WORD, and says
//! what each failure came to.

mod calls;
mod case;
#[path = "../common/mod.rs"]
mod common;
mod deeds;
mod header;
mod instead;
mod kinds;
#[path = "../../core/tests/processes/mod.rs"]
mod processes;
mod stage;
mod system;

use calls::{Fault, Kind, Shared};
use case::{Verdict, case, remove_what_is_left};
use deeds::Deed;
use header::Header;
use kinds::INFALLIBLE;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_rs::mqrs_errname;
use processes::{Fate, begin, new_name, spawn};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// After this time something hangs.
const PATIENCE: Duration = Duration::from_secs(200);

fn main() {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let chosen = |name: &str| filter.as_deref().is_none_or(|word| name.contains(word));
    begin(1200);
    let header = Header::read();
    let shared = Shared::new();
    let mut run = Run { is_loud: filter.is_some(), ..Run::new(header, shared) };

    println!("running {} deeds", deeds::all().filter(|deed| chosen(deed.name)).count());
    for deed in deeds::all().filter(|deed| chosen(deed.name)) {
        run.deed(deed);
    }
    if filter.is_none() {
        run.check_completeness();
    }
    for (name, test) in system::TESTS.iter().filter(|(name, _)| chosen(name)) {
        run.in_a_process(name, *test);
    }
    println!(
        "faults: {} cases passed, {} failed; {} calls failed in {} deeds, {} errors, {} made good",
        run.passed, run.failed, run.struck, run.deeds, run.errors, run.absorbed
    );
    std::process::exit(if run.failed == 0 && run.passed > 0 { 0 } else { 1 });
}

struct Run {
    header: Header,
    shared: &'static Shared,
    is_loud: bool,
    deeds: u32,
    passed: u32,
    failed: u32,
    struck: u32,
    errors: u32,
    absorbed: u32,
    /// Kinds of calls that were made to fail.
    seen: BTreeSet<Kind>,
}

impl Run {
    fn new(header: Header, shared: &'static Shared) -> Run {
        Run {
            header,
            shared,
            is_loud: false,
            deeds: 0,
            passed: 0,
            failed: 0,
            struck: 0,
            errors: 0,
            absorbed: 0,
            seen: BTreeSet::new(),
        }
    }

    fn deed(&mut self, deed: &'static Deed) {
        self.deeds += 1;
        if !self.judge(deed, None) {
            return;
        }
        let mut counts = BTreeMap::new();
        for kind in self.shared.record() {
            *counts.entry(kind).or_insert(0) += 1;
        }
        let left = self.shared.numbers.each_ref().map(|number| number.load(SeqCst));
        for (kind, count) in counts {
            if deed.without.iter().chain(deed.then_without).any(|(absent, _)| *absent == kind) {
                continue;
            }
            self.seen.insert(kind);
            // How often a wait sleeps depends on the others, the helper thread goes on for ever,
            // and how many numbers are tried depends on the first: the first stand for all.
            let most = match kind {
                Kind::WaitAny | Kind::Wait | Kind::Poll => 1,
                _ if deed.has_helper || deed.has_one_number || deed.looks_again => 3,
                _ => count,
            };
            for nth in 1..=count.min(most) {
                for &errno in kind.errnos() {
                    if deed.believes.contains(&(kind, errno)) {
                        continue;
                    }
                    let once = Fault { kind, nth, errno, from_then_on: false };
                    for (to, number) in self.shared.numbers.iter().zip(left) {
                        to.store(number, SeqCst);
                    }
                    self.judge(deed, Some(once));
                    // If no other call of that kind came after it, there is nothing more to fail.
                    let calls = self.shared.calls_after.load(SeqCst);
                    if calls > 0 && !passes(kind, errno) {
                        self.judge(deed, Some(Fault { from_then_on: true, ..once }));
                    }
                }
            }
        }
    }

    /// Run a case in a process of its own.
    fn judge(&mut self, deed: &'static Deed, fault: Option<Fault>) -> bool {
        let (shared, header) = (self.shared, &self.header);
        let mut fate = Fate::Exited(AGAIN);
        // A time that is up before the call falls asleep: once more.
        for _ in 0..20 {
            let name = new_name();
            shared.clear();
            let work = || case(deed, fault, shared, header, &name);
            fate = spawn(|| report(shared, work)).wait(PATIENCE);
            if fate != Fate::Exited(AGAIN) {
                break;
            }
            remove_what_is_left();
        }
        let said = self.shared.said();
        if fate == Fate::Exited(SKIPPED) {
            common::skip(&deed.name.replace(": ", "-").replace(' ', "-"), &said);
            return false;
        }
        let what = match fault {
            None => format!("{}: nothing fails", deed.name),
            Some(Fault { kind, nth, errno, from_then_on }) => format!(
                "{}: {kind:?} {nth} {}{}",
                deed.name,
                errname(errno),
                if from_then_on { " from then on" } else { "" }
            ),
        };
        // Whether who waited wakes another in vain depends on when it was woken itself.
        let may_not_come = fault.is_some_and(|fault| fault.kind == Kind::Wake);
        if fate == Fate::Exited(AGAIN) && may_not_come {
            return true;
        }
        if fate != Fate::Exited(0) {
            println!("FAILED {what}: {fate:?} {said}");
            self.failed += 1;
            remove_what_is_left();
            return false;
        }
        self.passed += 1;
        if let Some(fault) = fault.filter(|_| self.shared.struck.load(SeqCst) != 0) {
            self.struck += u32::from(!fault.from_then_on);
            match said.as_str() {
                "" => self.absorbed += 1,
                _ => self.errors += 1,
            }
        }
        if self.is_loud {
            let struck = fault.is_none() || self.shared.struck.load(SeqCst) != 0;
            println!("{what}: {}", if struck { &said } else { "not reached" });
        }
        true
    }

    fn in_a_process(&mut self, name: &str, test: fn(&'static Shared) -> Result<(), String>) {
        self.shared.clear();
        let shared = self.shared;
        let work = || {
            report(shared, || {
                test(shared)?;
                Ok(Verdict::Done)
            })
        };
        let fate = spawn(work).wait(PATIENCE);
        let said = self.shared.said();
        match fate {
            Fate::Exited(0) => self.passed += 1,
            Fate::Exited(SKIPPED) => common::skip(&name.replace(' ', "-"), &said),
            _ => {
                println!("FAILED {name}: {fate:?} {said}");
                self.failed += 1;
            }
        }
    }

    /// Every function of the system that the sources call, by name or by number, is one that
    /// fails here, or is known not to; and every kind of call was made to.
    fn check_completeness(&mut self) {
        let mut strange = BTreeSet::new();
        for dir in ["core/src", "src"] {
            each_source(&common::root().join(dir), &mut |text| {
                strange.extend(functions_of_libc(text));
                strange.extend(numbers_of_calls(text));
            });
        }
        strange.retain(|name| {
            !instead::CALLS.contains(&name.as_str())
                && !instead::NUMBERED.contains(&name.as_str())
                && !INFALLIBLE.iter().any(|(infallible, _)| infallible == name)
        });
        let unseen: Vec<_> = Kind::ALL.iter().filter(|kind| !self.seen.contains(kind)).collect();
        if strange.is_empty() && unseen.is_empty() {
            self.passed += 1;
        } else {
            println!("FAILED completeness: never failed: functions {strange:?}, calls {unseen:?}");
            self.failed += 1;
        }
    }
}

/// The exit code of a test that cannot be tried, and what its reason begins with.
const SKIPPED: i32 = 77;
const CANNOT: &str = "needs ";
/// The exit code of a case in which nothing was made to fail, and its reason.
const AGAIN: i32 = 75;
const NOT_MADE: &str = "the call was not made";

/// `libc::name(` in a source.
fn functions_of_libc(text: &str) -> impl Iterator<Item = String> {
    text.match_indices("libc::").filter_map(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let is_function =
            rest[end..].starts_with('(') && rest.starts_with(|c: char| c.is_ascii_lowercase());
        is_function.then(|| rest[..end].to_owned())
    })
}

/// `SYS_name` in a source, in small letters.
fn numbers_of_calls(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter_map(|word| word.strip_prefix("SYS_"))
        .map(str::to_ascii_lowercase)
}

/// Show every source under a directory.
fn each_source(dir: &Path, visit: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(dir).expect("the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each_source(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&std::fs::read_to_string(path).expect("a source"));
        }
    }
}

/// Whether an error cannot last: what it says is over when it is told, or the call is
/// repeated until it is.
fn passes(kind: Kind, errno: i32) -> bool {
    let waits = matches!(
        kind,
        Kind::SendPosix
            | Kind::ReceivePosix
            | Kind::SendSysv
            | Kind::ReceiveSysv
            | Kind::PeekSysv
            | Kind::LockFile
    );
    let is_up = matches!(errno, libc::EAGAIN | libc::ETIMEDOUT | libc::ENOMSG | libc::E2BIG);
    matches!(errno, libc::EINTR | libc::EEXIST)
        || matches!(kind, Kind::QueueSignal | Kind::TakeCookie)
        || waits && is_up
}

fn errname(errno: i32) -> &'static str {
    // SAFETY: constant text that lives as long as the library.
    unsafe { CStr::from_ptr(mqrs_errname(errno)) }.to_str().expect("ASCII")
}

/// In a process of its own: end it, with what there is to say.
fn report(shared: &'static Shared, work: impl FnOnce() -> Result<Verdict, String>) {
    std::panic::set_hook(Box::new(|_| ()));
    let done = catch_unwind(AssertUnwindSafe(work));
    calls::disarm();
    let code = match done {
        Ok(Ok(Verdict::Done)) => 0,
        Ok(Ok(Verdict::Failed(errno))) => {
            shared.say(errname(errno));
            0
        }
        Ok(Err(why)) => {
            shared.say(&why);
            match why.as_str() {
                NOT_MADE => AGAIN,
                why if why.starts_with(CANNOT) => SKIPPED,
                _ => 1,
            }
        }
        Err(panic) => {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let why = why.unwrap_or_default();
            shared.say(&why);
            match why.as_str() {
                NOT_MADE => AGAIN,
                why if why.starts_with(CANNOT) => SKIPPED,
                _ => 1,
            }
        }
    };
    // SAFETY: ends this process; a forked one runs nothing of its parent's.
    unsafe { libc::_exit(code) }
}
