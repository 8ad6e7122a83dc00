//! Processes that a clause starts, memory that they share with it, and signals.
//!
//! A test's process has one thread when it forks, unless it started others itself, so a child
//! may do anything. It ends with its parent, however that ends.

use crate::keeper::skip;
use std::ffi::c_int;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The exit code of a process in which a panic was caught, as Rust has it.
pub const PANICKED: c_int = 101;

/// A forked process; killed when dropped.
pub struct Child {
    pid: i32,
    is_running: bool,
}

/// Run `work` in a new process.
#[track_caller]
pub fn spawn(work: impl FnOnce()) -> Child {
    // SAFETY: see above.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Child { pid, is_running: true };
    }
    // SAFETY: touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let code = if catch_unwind(AssertUnwindSafe(work)).is_ok() { 0 } else { PANICKED };
    // SAFETY: ends the process without running what belongs to its parent.
    unsafe { libc::_exit(code) }
}

impl Child {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    fn reap(&mut self) -> c_int {
        let mut status = 0;
        // SAFETY: writes the status.
        while unsafe { libc::waitpid(self.pid, &mut status, 0) } != self.pid {}
        self.is_running = false;
        status
    }

    /// Wait until it has done its work.
    #[track_caller]
    pub fn join(mut self) {
        let status = self.reap();
        assert_eq!(status, 0, "a child failed: wait status {status:#x}");
    }

    /// Kill it with a signal that cannot be caught.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.signal(libc::SIGKILL);
        self.reap();
    }

    pub fn signal(&self, signo: c_int) {
        // SAFETY: touches no memory; the child is not reaped yet.
        assert_eq!(unsafe { libc::kill(self.pid, signo) }, 0);
    }

    /// Look again and again until it has done something, and not ended instead.
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        wait_until(|| condition() || state(self.pid) == 'Z');
    }

    /// Look until it sleeps: in a call that waits, if that is what it has to do next.
    pub fn wait_until_asleep(&self) {
        wait_until_asleep(self.pid);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_running {
            self.end();
        }
    }
}

/// Look until a thread sleeps.
pub fn wait_until_asleep(thread: i32) {
    // A call may sleep for a moment before the one that is meant (a lock, a page); one that
    // sleeps each time somebody looks is the one.
    let mut asleep = 0;
    while asleep < 3 {
        asleep = if state(thread) == 'S' { asleep + 1 } else { 0 };
        pause();
    }
}

/// What a thread does, as proc(5) has it; it has not ended.
fn state(thread: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).expect("a thread");
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state");
    assert!(!matches!(state, 'Z' | 'X'), "it has ended instead of waiting");
    state
}

/// Look again and again, until it is so.
pub fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        pause();
    }
}

fn pause() {
    std::thread::sleep(Duration::from_micros(200));
}

/// Leave the clause where this process cannot become another user.
pub fn need_root() {
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        skip("another user is needed, which only root can become");
    }
}

pub fn set_umask(mask: u32) {
    // SAFETY: always succeeds.
    unsafe { libc::umask(mask) };
}

/// Run `work` as an ordinary user.
pub fn as_user(uid: u32, work: impl FnOnce()) -> Child {
    spawn(|| {
        // SAFETY: touches no memory.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(uid, uid, uid), 0);
            assert_eq!(libc::setresuid(uid, uid, uid), 0);
        }
        work();
    })
}

/// Zeroed memory that forked processes share; for types of atomics.
pub struct Shared<T>(*mut T);

impl<T> Shared<T> {
    pub fn new() -> Shared<T> {
        // SAFETY: a new mapping.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED);
        Shared(memory.cast())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: mapped until the process ends; zeros are a value of atomics.
        unsafe { &*self.0 }
    }
}

/// Take a signal by a handler.
pub fn handle(signo: c_int, flags: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: a whole struct; the handlers of these tests touch atomics only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(c_int) as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signo, &action, std::ptr::null_mut()), 0);
    }
}

/// Signals of this thread, and of those that it starts, wait until they are taken.
pub fn block_signal(signo: c_int) {
    let set = set_of(signo);
    // SAFETY: a whole set.
    assert_eq!(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) }, 0);
}

/// Wait for a blocked signal, and take it.
pub fn take_signal(signo: c_int) -> libc::siginfo_t {
    loop {
        if let Some(info) = take_signal_within(signo, 3600) {
            return info;
        }
    }
}

/// Take a blocked signal if it has come already.
pub fn pending_signal(signo: c_int) -> Option<libc::siginfo_t> {
    take_signal_within(signo, 0)
}

fn take_signal_within(signo: c_int, seconds: i64) -> Option<libc::siginfo_t> {
    let set = set_of(signo);
    // SAFETY: integers and pointers only, for which zeros are a value.
    let (mut time, mut info): (libc::timespec, libc::siginfo_t) = unsafe { std::mem::zeroed() };
    time.tv_sec = seconds as _;
    // SAFETY: a whole set, a place for what came, and a time.
    let taken = unsafe { libc::sigtimedwait(&set, &mut info, &time) };
    (taken == signo).then_some(info)
}

fn set_of(signo: c_int) -> libc::sigset_t {
    // SAFETY: initialised before it is used.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signo);
        set
    }
}
