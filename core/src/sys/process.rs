//! What this process is, and signals to it.

use super::file;
use super::poll::{self, Polled};
use super::thread::Uncancelled;
use crate::error::{Errno, Result};

/// uid << 32 | pid of this process, effective uid.
pub fn sender_id() -> u64 {
    // SAFETY: both calls always succeed and touch no memory.
    unsafe { (libc::geteuid() as u64) << 32 | libc::getpid() as u32 as u64 }
}

/// This process's number.
pub fn pid() -> i32 {
    // SAFETY: always succeeds.
    unsafe { libc::getpid() }
}

/// The processor this thread runs on, plus one; 0 if unknown.
pub fn processor() -> u32 {
    // Miri has none.
    if cfg!(miri) {
        return 0;
    }
    // SAFETY: touches no memory of ours.
    unsafe { (libc::sched_getcpu() + 1).max(0) as u32 }
}

/// Processors online, at least 1.
pub fn processors() -> u32 {
    // SAFETY: reads a number.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN).max(1) as u32 }
}

/// Processors that the calling thread may run on, at least 1.
pub fn own_processors() -> u32 {
    // SAFETY: numbers only, so all zeros are a value; the call writes at most its size. It
    // fails where there are more processors than that has bits.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        match libc::sched_getaffinity(0, size_of_val(&set), &mut set) {
            0 => (libc::CPU_COUNT(&set) as u32).max(1),
            _ => processors(),
        }
    }
}

/// Random bytes; falls back to the clock and the pid if the kernel has none yet.
pub fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    let _uncancelled = Uncancelled::begin();
    // SAFETY: writes at most 16 bytes.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 16, libc::GRND_NONBLOCK) };
    if got != 16 {
        let now = super::clock::monotonic_ns() as u64;
        bytes[..8].copy_from_slice(&now.to_ne_bytes());
        bytes[8..].copy_from_slice(&sender_id().to_ne_bytes());
    }
    bytes
}

/// Send this process a signal the plain way (tests' fault points).
pub fn signal_self(signal: i32) {
    // SAFETY: touches no memory.
    unsafe { libc::kill(libc::getpid(), signal) };
}

/// A value of the environment, unless the program runs with another's rights.
///
/// The value is copied by `read` at once: the environment may change later.
pub fn with_environment<R>(
    name: &core::ffi::CStr,
    read: impl FnOnce(&core::ffi::CStr) -> R,
) -> Option<R> {
    // SAFETY: `name` is a C string; the result is null or a C string that lives until
    // the environment is changed, which a program may not do beside other threads.
    unsafe {
        if libc::getauxval(libc::AT_SECURE) != 0 {
            return None;
        }
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| read(core::ffi::CStr::from_ptr(value)))
    }
}

/// siginfo_t as rt_sigqueueinfo takes it for a message queue's signal: the common
/// head, then pid, uid and value.
#[repr(C)]
struct QueueSignal {
    signo: i32,
    errno: i32,
    code: i32,
    #[cfg(target_pointer_width = "64")]
    pad: i32,
    pid: i32,
    uid: u32,
    value: isize,
    rest: [u8; QUEUE_SIGNAL_REST],
}

#[cfg(target_pointer_width = "64")]
const QUEUE_SIGNAL_REST: usize = 128 - 32;
#[cfg(target_pointer_width = "32")]
const QUEUE_SIGNAL_REST: usize = 128 - 24;
const _: () = assert!(core::mem::size_of::<QueueSignal>() == 128);

/// Queue `signo` to this process as the kernel's message queues do (SI_MESGQ).
pub fn queue_signal(signo: i32, pid: u32, uid: u32, value: isize) -> Result<()> {
    const SI_MESGQ: i32 = -3;
    let info = QueueSignal {
        signo,
        errno: 0,
        code: SI_MESGQ,
        #[cfg(target_pointer_width = "64")]
        pad: 0,
        pid: pid as i32,
        uid,
        value,
        rest: [0; QUEUE_SIGNAL_REST],
    };
    // SAFETY: the kernel reads 128 bytes of `info`. A process may choose si_code, si_pid
    // and si_uid freely in signals to itself.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, libc::getpid(), signo, &info) };
    if result < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Whether nothing of this process can run while its calling thread sleeps: it has no other
/// thread, and no signal handler, but for those that its own faults call. False if that is
/// not to be known.
///
/// Source: proc_pid_status(5).
pub fn is_undisturbed() -> bool {
    let mut text = [0; 4096];
    let Ok(file) = file::open_at(libc::AT_FDCWD, c"/proc/self/status", libc::O_RDONLY, 0) else {
        return false;
    };
    let Ok(len) = file::read_start(file.number(), &mut text) else { return false };
    shows_nobody_else(text.get(..len).unwrap_or(&[]))
}

/// The same, from what the kernel shows.
fn shows_nobody_else(status: &[u8]) -> bool {
    const FAULTS: u64 = bit(libc::SIGILL)
        | bit(libc::SIGTRAP)
        | bit(libc::SIGBUS)
        | bit(libc::SIGFPE)
        | bit(libc::SIGSEGV);
    const fn bit(signal: i32) -> u64 {
        1 << (signal - 1)
    }
    let value = |key: &[u8]| {
        let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))?;
        core::str::from_utf8(line).ok().map(str::trim)
    };
    let threads = value(b"Threads:").and_then(|number| number.parse().ok());
    let caught = value(b"SigCgt:").and_then(|set| u64::from_str_radix(set, 16).ok());
    threads == Some(1) && caught.is_some_and(|caught| caught & !FAULTS == 0)
}

/// The number of the namespace that this process's pid is of; 0 if that is not known.
pub fn pid_namespace() -> u32 {
    // SAFETY: all-zero bytes are a valid stat; stat writes one. The path is a C string.
    unsafe {
        let mut st: libc::stat64 = core::mem::zeroed();
        match libc::stat64(c"/proc/self/ns/pid".as_ptr(), &mut st) {
            0 => st.st_ino as u32,
            _ => 0,
        }
    }
}

/// Whether there is a process of this pid, in this namespace, that has not yet ended. When in
/// doubt there is.
pub fn is_alive(pid: i32) -> bool {
    // SAFETY: touches no memory.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
    if pidfd < 0 {
        // Linux has had the call since 5.3; before, one that has ended counts until its parent
        // has noticed.
        // SAFETY: touches no memory; signal 0 is sent to nobody.
        return unsafe { libc::kill(pid, 0) } == 0 || Errno::last() != Errno(libc::ESRCH);
    }
    let pidfd = file::Descriptor::adopt(pidfd);
    let mut asked = [Polled { fd: pidfd.number(), events: poll::READABLE, revents: 0 }];
    poll::wait(&mut asked, 0) != Ok(1)
}

/// Whether `signo` is a signal that can be sent; 0 counts, as in mq_notify.
pub fn is_signal(signo: i32) -> bool {
    (0..=64).contains(&signo)
}

/// How many descriptors this process may have (RLIMIT_NOFILE).
pub fn descriptors_limit() -> u64 {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one rlimit64. If it fails, none that we know of.
    unsafe { libc::getrlimit64(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

/// Bytes that the POSIX queues of this user may take (RLIMIT_MSGQUEUE); `None` if any.
pub fn queue_bytes_limit() -> Option<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: libc::RLIM64_INFINITY, rlim_max: 0 };
    // SAFETY: writes one rlimit64. If it fails, there is no limit that we know of.
    unsafe { libc::getrlimit64(libc::RLIMIT_MSGQUEUE, &mut limit) };
    (limit.rlim_cur != libc::RLIM64_INFINITY).then_some(limit.rlim_cur)
}

/// Whether this thread may go beyond limits of the system (CAP_SYS_RESOURCE, effective, in
/// the initial user namespace).
pub fn may_exceed_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    /// The inode of the initial user namespace, on every Linux since 3.8.
    const INITIAL: u64 = 0xEFFF_FFFD;
    // SAFETY: all-zero bytes are a valid stat; stat writes one. The path is a C string.
    let namespace = unsafe {
        let mut st: libc::stat64 = core::mem::zeroed();
        match libc::stat64(c"/proc/self/ns/user".as_ptr(), &mut st) {
            0 => st.st_ino as u64,
            // Without /proc nobody can tell; most are there.
            _ => INITIAL,
        }
    };
    namespace == INITIAL && is_capable(CAP_SYS_RESOURCE)
}

/// Whether this thread has a capability, of the first 32, in effect.
pub fn is_capable(capability: u32) -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    // Version and thread; then effective, permitted, inheritable, twice.
    let mut header = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    // SAFETY: the kernel reads the header and writes six numbers.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    result == 0 && sets[0] & 1 << capability != 0
}

/// The effective user.
pub fn effective_user() -> u32 {
    // SAFETY: always succeeds and touches no memory.
    unsafe { libc::geteuid() }
}

/// The effective group.
pub fn effective_group() -> u32 {
    // SAFETY: as above.
    unsafe { libc::getegid() }
}

/// Whether this process is in one of two groups beside its effective one.
pub fn is_in_group(one: u32, other: u32) -> bool {
    let mut groups = [0; 1024];
    // SAFETY: writes at most so many numbers; fails if there are more.
    let got = unsafe { libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr()) };
    let groups = usize::try_from(got).ok().and_then(|got| groups.get(..got)).unwrap_or(&[]);
    groups.iter().any(|&group| group == one || group == other)
}

#[cfg(test)]
mod tests {
    use super::shows_nobody_else;

    #[test]
    fn a_process_of_one_thread_without_handlers_is_alone() {
        assert!(shows_nobody_else(b"Name:\tx\nThreads:\t1\nSigCgt:\t0000000000000000\n"));
    }

    #[test]
    fn handlers_of_faults_do_not_count() {
        // Rust's own two, for a stack that overflows.
        assert!(shows_nobody_else(b"Threads:\t1\nSigCgt:\t0000000000000440\n"));
    }

    #[test]
    fn another_thread_or_a_handler_is_somebody() {
        assert!(!shows_nobody_else(b"Threads:\t2\nSigCgt:\t0000000000000000\n"));
        assert!(!shows_nobody_else(b"Threads:\t1\nSigCgt:\t0000000000000002\n"));
        assert!(!shows_nobody_else(b"Threads:\t1\nSigCgt:\t8000000000000440\n"));
    }

    #[test]
    fn what_is_not_shown_is_somebody() {
        assert!(!shows_nobody_else(b""));
        assert!(!shows_nobody_else(b"Threads:\t1\nSigCgt:\t00".strip_suffix(b"00").unwrap_or(b"")));
        assert!(!shows_nobody_else(b"Threads:\t1\n"));
        assert!(!shows_nobody_else(b"SigCgt:\t0000000000000000\n"));
    }
}
