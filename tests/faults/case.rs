//! One case: a deed that is done in a process of its own while a call of the system fails, and
//! what has to hold after it.

use super::calls::{self, Fault, Kind, Shared};
use super::deeds::Deed;
use super::header::Header;
use super::processes::{Child, Fate, spawn};
use super::stage::{MAXMSG, Stage, close, drain, open_or_panic, received, send};
use super::{NOT_MADE, PATIENCE, errname, report};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_rs::{mqrs_last_error, mqrs_timedsend, mqrs_unlink};
use std::ffi::CString;
use std::ptr::{null, null_mut};

/// What a case came to.
pub enum Verdict {
    /// The deed was done all the same.
    Done,
    Failed(i32),
}

/// What a process has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    descriptors: i32,
    queues_mapped: i32,
    mappings: i32,
    threads: i32,
    files: i32,
}

impl Held {
    pub fn now() -> Held {
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

/// Do a deed in this process, which ends after it.
pub fn case(
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

    close(&mut stage.queue);
    close(&mut stage.made);
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
pub fn be_used(stage: &mut Stage) -> Result<(), String> {
    let handles: Vec<_> =
        [stage.queue, stage.made].into_iter().filter(|queue| !queue.is_null()).collect();
    for &queue in &handles {
        drain(queue)?;
        for number in 0..=MAXMSG {
            // SAFETY: an open handle, and no bytes.
            match unsafe { mqrs_timedsend(queue, null(), 0, 0, 0) } {
                0 if number < MAXMSG => {}
                answer if answer == -libc::EAGAIN && number == MAXMSG => {}
                answer => return Err(format!("message {number}: {answer}")),
            }
        }
        if drain(queue)? != MAXMSG {
            return Err("other messages than were sent".into());
        }
    }
    let name = stage.name.clone();
    let first = handles.first().copied();
    if let Some(queue) = first {
        assert_eq!(send(queue, 1), 0);
    }
    let mut other = spawn(|| {
        let queue = open_or_panic(&name);
        if first.is_some() {
            received(queue, 1).expect("what was sent here");
        }
        assert_eq!(send(queue, 2), 0);
    });
    match other.wait(PATIENCE) {
        Fate::Exited(0) => {}
        fate => return Err(format!("another process: {fate:?}")),
    }
    first.map_or(Ok(()), |queue| received(queue, 2))
}

/// What is left in the queues' directory when every queue is gone.
pub fn remove_what_is_left() -> usize {
    let dir = std::env::var("MQRS_DIR").expect("set by begin");
    let entries = std::fs::read_dir(dir).expect("the directory");
    entries.filter_map(|entry| std::fs::remove_file(entry.expect("an entry").path()).ok()).count()
}
