//! Every call of the system that the library makes fails, one at a time, with every errno
//! that its manual page gives.
//!
//! A deed (`deeds.rs`) is one call of the library and what goes before. It is done once to
//! see which calls of the system it leads to. Then, for each of those and each errno, a new
//! process does it with that one call failing (`calls.rs`), and once more with that one and
//! all later ones of its kind. It has to do what it is for all the same, or to return an
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
#[path = "../common/mod.rs"]
mod common;
mod deeds;
mod header;
#[path = "../../core/tests/processes/mod.rs"]
mod processes;
mod system;

use calls::{Fault, INFALLIBLE, Kind, Shared};
use deeds::{DEEDS, Deed, MAXMSG, Stage};
use header::Header;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_rs::{mqrs_errname, mqrs_last_error, mqrs_timedsend, mqrs_unlink};
use processes::{Child, Fate, begin, new_name, spawn};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
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

    println!("running {} deeds", DEEDS.iter().filter(|deed| chosen(deed.name)).count());
    for deed in DEEDS.iter().filter(|deed| chosen(deed.name)) {
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

/// What a case came to.
enum Verdict {
    /// The deed was done all the same.
    Done,
    Failed(i32),
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
                Kind::WaitAny | Kind::Wait => 1,
                _ if deed.has_helper || deed.has_one_number => 3,
                _ => count,
            };
            for nth in 1..=count.min(most) {
                for &errno in kind.errnos() {
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
            let work = || case(deed, fault, shared, header, name);
            fate = spawn(|| report(shared, work)).wait(PATIENCE);
            if fate != Fate::Exited(AGAIN) {
                break;
            }
            remove_what_is_left();
        }
        let said = self.shared.said();
        let what = match fault {
            None => format!("{}: nothing fails", deed.name),
            Some(Fault { kind, nth, errno, from_then_on }) => format!(
                "{}: {kind:?} {nth} {}{}",
                deed.name,
                errname(errno),
                if from_then_on { " from then on" } else { "" }
            ),
        };
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

    /// Every function of the system that the sources call is one that fails here, or is known
    /// not to; and every kind of call was made to.
    fn check_completeness(&mut self) {
        let mut strange = BTreeSet::new();
        for dir in ["core/src", "core/src/shm", "core/src/sys", "src"] {
            for entry in std::fs::read_dir(common::root().join(dir)).expect("the sources") {
                let path = entry.expect("an entry").path();
                if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(path).expect("a source");
                    strange.extend(functions_of_libc(&text));
                }
            }
        }
        strange.retain(|name| {
            !calls::CALLS.contains(&name.as_str())
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

/// Whether an error cannot last: what it says is over when it is told, or the call is
/// repeated until it is.
fn passes(kind: Kind, errno: i32) -> bool {
    matches!(errno, libc::EINTR | libc::EEXIST) || kind == Kind::QueueSignal
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
            shared.say(&why.unwrap_or_default());
            1
        }
    };
    // SAFETY: ends this process; a forked one runs nothing of its parent's.
    unsafe { libc::_exit(code) }
}

/// What a process has.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Held {
    descriptors: i32,
    queues_mapped: i32,
    mappings: i32,
    threads: i32,
    files: i32,
}

impl Held {
    fn now() -> Held {
        let count = |path: &str| std::fs::read_dir(path).expect(path).count() as i32;
        let dir = std::env::var("MQRS_DIR").expect("set by begin");
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps");
        Held {
            descriptors: count("/proc/self/fd"),
            queues_mapped: maps
                .lines()
                // An unnamed file's path begins otherwise, but where it is does not.
                .filter(|line| line.contains(&dir) || line.contains("/dev/shm/#"))
                .count() as i32,
            mappings: calls::mappings(),
            threads: count("/proc/self/task"),
            files: count(&dir),
        }
    }

    fn numbers(&self) -> [i32; 5] {
        [self.descriptors, self.queues_mapped, self.mappings, self.threads, self.files]
    }

    /// Whether this is no more than before.
    fn compare(&self, before: &Held, deed: &Deed, fault: Option<Fault>) -> Result<(), String> {
        let mut expected = before.clone();
        let kind = fault.map(|fault| fault.kind);
        if deed.in_child {
            // It may have attached to the queue before something else failed.
            let is_attached =
                self.queues_mapped.clamp(before.queues_mapped, before.queues_mapped + 1);
            expected.mappings += 2 * (is_attached - expected.queues_mapped);
            expected.queues_mapped = is_attached;
        }
        if deed.has_helper {
            // The thread and the page with its list stay, once there, for the next time.
            expected.threads = self.threads.clamp(before.threads, before.threads + 1);
            let mappings = expected.mappings;
            expected.mappings = self.mappings.clamp(mappings, mappings + 1);
        }
        if kind == Some(Kind::Unmap) {
            expected.mappings = self.mappings;
            expected.queues_mapped = self.queues_mapped;
        }
        if kind == Some(Kind::Status)
            && (deed.function == "mqrs_close" || fault.is_some_and(|fault| fault.from_then_on))
        {
            // It stays open rather than that another file is closed in its place.
            expected.descriptors =
                self.descriptors.clamp(before.descriptors, before.descriptors + 1);
        }
        if kind == Some(Kind::UnlinkTemporary) {
            expected.files = self.files.clamp(before.files, before.files + 1);
        }
        if *self == expected { Ok(()) } else { Err(format!("{self:?} instead of {expected:?}")) }
    }
}

/// Errors that are told by another one, and why.
fn is_told_by(deed: &Deed, fault: Fault, answer: i32) -> bool {
    use libc::*;
    // Whether another is dead cannot be told, so that its number stays its own.
    if deed.has_one_number
        && answer == EUSERS
        && matches!(fault.kind, Kind::OpenProc | Kind::Status | Kind::AskLock | Kind::ReadLock)
    {
        return true;
    }
    match (fault.kind, fault.errno, answer) {
        // Another permission that was missing.
        (Kind::OpenUnnamed | Kind::OpenTemporary | Kind::OpenQueue, EPERM, EACCES) => true,
        (Kind::Unlink, EPERM, EACCES) => true,
        // What has the name is no queue.
        (Kind::OpenQueue, EISDIR | ELOOP | ENXIO | ENODEV, EBADMSG) => true,
        (Kind::Unlink, EISDIR, EBADMSG) => true,
        // Nobody can tell whether the descriptor is one of a queue.
        (Kind::Flags, _, EBADF) => true,
        // A file that may not be longer is a file system that has no room.
        (Kind::Reserve, EFBIG, ENOSPC) => true,
        // All numbers are somebody else's.
        (Kind::Lock, EACCES | EAGAIN, EUSERS) => true,
        // No memory, of whichever kind.
        (Kind::MapMemory | Kind::Allocate, _, ENOMEM) => true,
        (Kind::MapFile | Kind::DontFork | Kind::WipeOnFork, EAGAIN, ENOMEM) => true,
        // Notification needs a page that fork wipes, and a thread.
        (Kind::WipeOnFork, EINVAL, EAGAIN) => true,
        (Kind::Thread, _, EAGAIN) => true,
        // /proc is not mounted, and there is no name to open instead.
        (Kind::OpenProc, ENOTDIR, ENOENT) => true,
        _ => fault.errno == answer,
    }
}

fn case(
    deed: &'static Deed,
    fault: Option<Fault>,
    shared: &'static Shared,
    header: &Header,
    name: CString,
) -> Result<Verdict, String> {
    let before = Held::now();
    let mut stage = Stage::new(shared, name);
    deed.without.iter().for_each(|&(kind, errno)| calls::take_away(kind, errno));
    (deed.prepare)(&mut stage);
    deed.then_without.iter().for_each(|&(kind, errno)| calls::take_away(kind, errno));
    if deed.in_child {
        let child = spawn(|| {
            report(shared, || act(deed, fault, &mut stage, header, &before));
        });
        return relay(child, shared);
    }
    act(deed, fault, &mut stage, header, &before)
}

/// End as the child did.
fn relay(mut child: Child, shared: &'static Shared) -> Result<Verdict, String> {
    match child.wait(PATIENCE) {
        // SAFETY: ends this process; what the child has said stays.
        Fate::Exited(code) => unsafe { libc::_exit(code) },
        fate => {
            shared.say("");
            Err(format!("{fate:?}"))
        }
    }
}

fn act(
    deed: &'static Deed,
    fault: Option<Fault>,
    stage: &mut Stage,
    header: &Header,
    before: &Held,
) -> Result<Verdict, String> {
    let ready = Held::now();
    calls::arm(stage.shared, fault);
    let answer = (deed.run)(stage);
    calls::disarm();

    let has_struck = stage.shared.struck.load(SeqCst) != 0;
    if fault.is_some() && !has_struck && !deed.has_helper && !deed.has_one_number {
        return Err(NOT_MADE.into());
    }
    // What the kernel does not have is not asked for in vain for ever. (The helper asks again.)
    let is_absent = |fault: Fault| {
        fault.kind == Kind::WaitAny
            && matches!(fault.errno, libc::ENOSYS | libc::EPERM | libc::EINVAL)
    };
    let calls_after = stage.shared.calls_after.load(SeqCst);
    if fault.is_some_and(is_absent) && !deed.has_helper && calls_after > 0 {
        return Err(format!("{calls_after} more of a call that the kernel does not have"));
    }
    let mut verdict = Verdict::Done;
    if answer != deed.expected {
        let fault = fault.ok_or(format!("it returned {answer}"))?;
        let errno = i32::try_from(-answer).expect("an errno");
        check_error(deed, fault, errno, header)?;
        if stage.is_touched {
            return Err(format!("{} and an output was written", errname(errno)));
        }
        if calls::allocations() != 0 {
            return Err(format!(
                "{} and {} allocations left",
                errname(errno),
                calls::allocations()
            ));
        }
        Held::now()
            .compare(&ready, deed, Some(fault))
            .and_then(|()| (deed.unchanged)(stage))
            .map_err(|why| format!("{}: {why}", errname(errno)))?;
        verdict = Verdict::Failed(errno);
        let again = (deed.run)(stage);
        if again != deed.expected {
            return Err(format!("{} and then {again}", errname(errno)));
        }
    }
    (deed.verify)(stage)?;
    calls::give_back();
    stage.numbers = None;
    be_used(stage)?;

    deeds::close(&mut stage.queue);
    deeds::close(&mut stage.made);
    stage.peer = None;
    if stage.fd >= 0 {
        // SAFETY: a descriptor of this test.
        unsafe { libc::close(stage.fd) };
    }
    // SAFETY: a C string.
    unsafe { mqrs_unlink(stage.name.as_ptr()) };
    let after = Held::now();
    let left = remove_what_is_left();
    if left > 0 && fault.is_none_or(|fault| fault.kind != Kind::UnlinkTemporary) {
        return Err(format!("{left} temporary files are left"));
    }
    // What is left without a failure is nothing, or the helper's things; or it is a child's
    // and less than it began with.
    let numbers = &stage.shared.numbers;
    if fault.is_none() {
        numbers.iter().zip(after.numbers()).for_each(|(to, number)| to.store(number, SeqCst));
        return if deed.in_child {
            Ok(verdict)
        } else {
            after.compare(before, deed, None).map(|()| verdict)
        };
    }
    let expected = Held {
        descriptors: numbers[0].load(SeqCst),
        queues_mapped: numbers[1].load(SeqCst),
        mappings: numbers[2].load(SeqCst),
        threads: numbers[3].load(SeqCst),
        files: numbers[4].load(SeqCst),
    };
    after.compare(&expected, deed, fault).map(|()| verdict).map_err(|why| format!("left: {why}"))
}

/// Whether an error is one that the header names here, tells the cause, and has a sentence.
fn check_error(deed: &Deed, fault: Fault, errno: i32, header: &Header) -> Result<(), String> {
    let mut documented = header.errors_of(deed.function);
    documented.extend(header.errors_under("CONVENTIONS").intersection(&[libc::ENOMEM].into()));
    let mut passes_on = header.passes_on(deed.function);
    if deed.in_child {
        documented.extend(header.errors_under("FORK AND EXEC"));
        passes_on |= header.passes_on_under("FORK AND EXEC");
    }
    // Never one that a program takes for something else.
    let is_ambiguous = match errno {
        libc::EAGAIN => !matches!(fault.kind, Kind::Thread | Kind::WipeOnFork),
        libc::EINTR => !matches!(fault.kind, Kind::WaitAny | Kind::Wait),
        _ => errno == libc::ETIMEDOUT,
    };
    if is_ambiguous {
        return Err(format!("{} means something else here", errname(errno)));
    }
    if passes_on {
        documented.insert(fault.errno);
    }
    // That is for errors of the library itself.
    documented.remove(&libc::ENOTRECOVERABLE);
    if !documented.contains(&errno) {
        return Err(format!("{} of {} is not in the header", errname(errno), deed.function));
    }
    if !is_told_by(deed, fault, errno) {
        return Err(format!("{} hides the cause", errname(errno)));
    }
    // SAFETY: asks for the length.
    match unsafe { mqrs_last_error(null_mut(), 0) } {
        0 => Err(format!("{} without a sentence", errname(errno))),
        _ => Ok(()),
    }
}

/// Whether the queue works: here, by every handle, and in another process.
fn be_used(stage: &mut Stage) -> Result<(), String> {
    let handles: Vec<_> =
        [stage.queue, stage.made].into_iter().filter(|queue| !queue.is_null()).collect();
    for &queue in &handles {
        deeds::drain(queue)?;
        for number in 0..=MAXMSG {
            // SAFETY: an open handle, and no bytes.
            match unsafe { mqrs_timedsend(queue, null(), 0, 0, 0) } {
                0 if number < MAXMSG => {}
                answer if answer == -libc::EAGAIN && number == MAXMSG => {}
                answer => return Err(format!("message {number}: {answer}")),
            }
        }
        if deeds::drain(queue)? != MAXMSG {
            return Err("other messages than were sent".into());
        }
    }
    let name = stage.name.clone();
    let first = handles.first().copied();
    if let Some(queue) = first {
        assert_eq!(deeds::send(queue, 1), 0);
    }
    let mut other = spawn(|| {
        let queue = deeds::open_or_panic(&name);
        if first.is_some() {
            deeds::received(queue, 1).expect("what was sent here");
        }
        assert_eq!(deeds::send(queue, 2), 0);
    });
    match other.wait(PATIENCE) {
        Fate::Exited(0) => {}
        fate => return Err(format!("another process: {fate:?}")),
    }
    first.map_or(Ok(()), |queue| deeds::received(queue, 2))
}

/// What is left in the queues' directory when every queue is gone.
fn remove_what_is_left() -> usize {
    let dir = std::env::var("MQRS_DIR").expect("set by begin");
    let entries = std::fs::read_dir(dir).expect("the directory");
    entries.filter_map(|entry| std::fs::remove_file(entry.expect("an entry").path()).ok()).count()
}
