//! One case: a deed that is done in a process of its own while a call of the system fails, and
//! what has to hold after it.

use super::calls::{self, Fault, Kind, Shared};
use super::deeds::Deed;
use super::header::Header;
use super::processes::{Child, Fate, spawn};
use super::stage::{
    MAXMSG, Stage, Transport, attributes, close, drain, leave_others_alone, make_room,
    open_or_panic, received, send, take_name,
};
use super::{NOT_MADE, PATIENCE, errname, report};
use mqueue_core::error::Errno;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_rs::{mqrs_last_error, mqrs_set_nonblock, mqrs_unlink};
use std::ffi::CStr;
use std::ptr::null_mut;

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
    /// System V queues and segments, where they are this process's own.
    sysv_queues: i32,
    segments: i32,
}

impl Held {
    pub fn now() -> Held {
        Held::of(false)
    }

    fn of(has_namespace: bool) -> Held {
        // Under a line of headings.
        let rows = |path: &str| {
            let table = std::fs::read_to_string(path).unwrap_or_default();
            if has_namespace { table.lines().count() as i32 - 1 } else { 0 }
        };
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
            sysv_queues: rows("/proc/sysvipc/msg"),
            segments: rows("/proc/sysvipc/shm"),
        }
    }

    fn numbers(&self) -> [i32; 7] {
        [
            self.descriptors,
            self.queues_mapped,
            self.mappings,
            self.threads,
            self.files,
            self.sysv_queues,
            self.segments,
        ]
    }

    fn from_numbers(numbers: [i32; 7]) -> Held {
        let [descriptors, queues_mapped, mappings, threads, files, sysv_queues, segments] = numbers;
        Held { descriptors, queues_mapped, mappings, threads, files, sysv_queues, segments }
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
            // The thread stays, once there, for the next time.
            expected.threads = self.threads.clamp(before.threads, before.threads + 1);
        }
        let mut more_descriptors = 0;
        if deed.has_helper && deed.transport == Transport::Posix {
            // So do the socket and the bell on which it sleeps; a child closes its parent's.
            expected.descriptors =
                self.descriptors.clamp(before.descriptors - 2, before.descriptors);
            more_descriptors = 2;
        }
        if deed.has_helper || deed.transport == Transport::Posix {
            // And the page with the registrations, which a failure may keep from being made.
            let mappings = expected.mappings;
            expected.mappings = self.mappings.clamp(mappings - 1, mappings + 1);
        }
        if deed.transport == Transport::Sysv || deed.clears_away {
            // A stale record, or a dead queue, may have been removed in vain.
            expected.files = self.files.min(before.files);
        }
        // The page of bells is made once and stays.
        expected.segments = self.segments.clamp(before.segments, before.segments.max(1));
        if matches!(kind, Some(Kind::Unmap | Kind::Detach)) {
            expected.mappings = self.mappings;
            expected.queues_mapped = self.queues_mapped;
        }
        if kind == Some(Kind::Status)
            && (matches!(deed.function, "mqrs_close" | "mqrs_list_next")
                || fault.is_some_and(|fault| fault.from_then_on))
        {
            // It stays open rather than that another file is closed in its place.
            more_descriptors += 1;
        }
        let descriptors = expected.descriptors;
        expected.descriptors = self.descriptors.clamp(descriptors, descriptors + more_descriptors);
        if kind.is_some_and(|kind| leaves_a_file(kind, deed)) {
            expected.files = self.files.clamp(expected.files, before.files + 1);
        }
        if *self == expected { Ok(()) } else { Err(format!("{self:?} instead of {expected:?}")) }
    }
}

/// Whether a file may stay, by which nobody looks for a queue: it cannot be removed, or not be
/// known to be nobody else's concern.
fn leaves_a_file(kind: Kind, deed: &Deed) -> bool {
    kind == Kind::UnlinkTemporary || deed.clears_away && kind == Kind::Lock
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
        (Kind::Unlink | Kind::RenameNew, EPERM, EACCES) => true,
        // It is there, and whether it is over cannot be seen.
        (Kind::OpenQueue, EACCES | EISDIR | ELOOP | ENODEV | ENXIO | EPERM, EEXIST) => true,
        // What has the name is no queue.
        (Kind::OpenQueue, EISDIR | ELOOP | ENXIO | ENODEV, EBADMSG) => true,
        (Kind::Unlink, EISDIR, EBADMSG) => true,
        // What has the place of a record is none, so that the key is another's.
        (Kind::OpenRecord, EACCES | ELOOP | ENXIO | EPERM, EADDRINUSE | ENOENT) => true,
        (Kind::UnlinkTemporary, EACCES | EPERM, EADDRINUSE) => true,
        // Only its owner may do that.
        (Kind::UnlinkPosix | Kind::RemoveSysv, EPERM, EACCES) => true,
        (Kind::WriteRecord, EPERM, EACCES) => true,
        (Kind::ChangeMode, EPERM, EACCES) => deed.function == "mqrs_open",
        // There is no such queue (any more).
        (Kind::RemoveSysv, EIDRM | EINVAL, ENOENT) => true,
        (kind, _, EIDRM) if says_gone(kind, fault.errno) => true,
        (Kind::LookAtSysv, EIDRM | EINVAL, ENOENT) => true,
        // It does not fit into the buffer.
        (Kind::ReceiveSysv | Kind::PeekSysv, E2BIG, EMSGSIZE) => true,
        // A process that may have no netlink socket has its reasons.
        (Kind::Socket, EACCES | EAFNOSUPPORT | EPROTONOSUPPORT, ENOTSUP) => true,
        (Kind::Socket, ENOBUFS, ENOMEM) => true,
        // No mqueue file system that can be seen.
        (Kind::OpenDirectory | Kind::OpenMounts | Kind::FileSystem | Kind::Read, _, ENOTSUP) => {
            deed.function == "mqrs_list_open" && !Errno(fault.errno).is_shortage()
        }
        // What this kernel does not have.
        (Kind::PeekSysv | Kind::LastPlace, ENOSYS, ENOTSUP) => true,
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

/// Whether an error of this kind says that a System V queue is gone, for good.
fn says_gone(kind: Kind, errno: i32) -> bool {
    match kind {
        Kind::LookAtSysv | Kind::ChangeSysv => matches!(errno, libc::EIDRM | libc::EINVAL),
        Kind::SendSysv | Kind::ReceiveSysv | Kind::PeekSysv => errno == libc::EIDRM,
        _ => false,
    }
}

/// What has met a queue that is gone says so ever after; another handle finds it.
fn open_again(stage: &mut Stage, has_succeeded: bool) -> Result<(), String> {
    for queue in [stage.queue, stage.made] {
        if queue.is_null() {
            continue;
        }
        match attributes(queue) {
            Err(why) if why == format!("getattr: {}", -libc::EIDRM) => {}
            // The other handle, or one that asked for something else.
            Ok(_) if has_succeeded => {}
            answer => return Err(format!("after EIDRM: {answer:?}")),
        }
        // One that had no name has a number.
        take_name(stage, queue);
    }
    close(&mut stage.queue);
    close(&mut stage.made);
    stage.peer = None;
    stage.queue = open_or_panic(&stage.name);
    Ok(())
}

/// Do a deed in this process, which ends after it.
pub fn case(
    deed: &'static Deed,
    fault: Option<Fault>,
    shared: &'static Shared,
    header: &Header,
    name: &CStr,
) -> Result<Verdict, String> {
    let mut stage = Stage::new(shared, deed.transport, name);
    stage.is_alone = deed.transport != Transport::Shm && leave_others_alone();
    let before = Held::of(stage.is_alone);
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
    let is_alone = stage.is_alone;
    let held = || Held::of(is_alone);
    let ready = held();
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
        held()
            .compare(&ready, deed, Some(fault))
            .and_then(|()| if errno == libc::EIDRM { Ok(()) } else { (deed.unchanged)(stage) })
            .map_err(|why| format!("{}: {why}", errname(errno)))?;
        verdict = Verdict::Failed(errno);
        if errno != libc::EIDRM {
            let again = (deed.run)(stage);
            if again != deed.expected {
                return Err(format!("{} and then {again}", errname(errno)));
            }
        }
    }
    let is_gone = match (&verdict, fault) {
        (Verdict::Failed(libc::EIDRM), _) => true,
        // The handle remembers what it need not tell.
        (Verdict::Done, Some(Fault { kind, errno, .. })) => {
            says_gone(kind, errno) && has_struck && !deed.may_overlook
        }
        _ => false,
    };
    if is_gone {
        open_again(stage, matches!(verdict, Verdict::Done))?;
    } else if let Err(why) = (deed.verify)(stage) {
        if !deed.may_overlook || fault.is_none_or(|fault| Errno(fault.errno).is_shortage()) {
            return Err(why);
        }
    }
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
    let after = held();
    let left = remove_what_is_left();
    if left > 0 && fault.is_none_or(|fault| !leaves_a_file(fault.kind, deed)) {
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
    let expected = Held::from_numbers(numbers.each_ref().map(|number| number.load(SeqCst)));
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
        libc::EINTR => !matches!(
            fault.kind,
            Kind::WaitAny
                | Kind::Wait
                | Kind::Poll
                | Kind::SendPosix
                | Kind::ReceivePosix
                | Kind::SendSysv
                | Kind::ReceiveSysv
        ),
        _ => errno == libc::ETIMEDOUT,
    };
    if is_ambiguous {
        return Err(format!("{} means something else here", errname(errno)));
    }
    if passes_on {
        documented.insert(fault.errno);
    }
    if deed.is_report {
        let is_it = errno == fault.errno;
        return if is_it { Ok(()) } else { Err(format!("{} is another", errname(errno))) };
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
        make_room(stage.transport, queue);
        // SAFETY: an open handle, as below.
        assert_eq!(unsafe { mqrs_set_nonblock(queue, 1) }, 0);
        for number in 0..=MAXMSG {
            match send(queue, 0) as i32 {
                0 if number < MAXMSG => {}
                answer if answer == -libc::EAGAIN && number == MAXMSG => {}
                answer => return Err(format!("message {number}: {answer}")),
            }
        }
        // SAFETY: as above.
        assert_eq!(unsafe { mqrs_set_nonblock(queue, 0) }, 0);
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
