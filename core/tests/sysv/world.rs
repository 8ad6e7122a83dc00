//! What the tests of System V queues share: a world of their own, processes, programs that
//! do not use the library, and looking into sleepers.

use crate::skips::skip;
use mqueue_core::attr::OpenOptions;
use mqueue_core::deadline::Wait;
use mqueue_core::error::{Errno, Result};
use mqueue_core::queue::{self, Queue};
use mqueue_core::report::with_sentence;
use std::ffi::{CStr, CString, c_int, c_long};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A test that hangs longer ends everything.
const WATCHDOG: u32 = 120;

/// The directory of queues for this process; it disappears with the process, however that
/// ends.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PathBuf::from(format!("/dev/shm/mqrs-sysv-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for records");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    std::fs::set_permissions(&dir, all).expect("a directory for all");
    // SAFETY: every test waits here before it asks for the environment.
    unsafe { std::env::set_var("MQRS_DIR", &dir) };
    let mut ends = [0; 2];
    // SAFETY: plain calls; the child does nothing but wait, remove and end.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        if libc::fork() == 0 {
            libc::setsid();
            // Nobody may wait for us by an inherited descriptor.
            for fd in 0..1024 {
                if fd != ends[0] {
                    libc::close(fd);
                }
            }
            let mut byte = 0u8;
            while libc::read(ends[0], (&raw mut byte).cast(), 1) < 0 {}
            let _ = std::fs::remove_dir_all(&dir);
            libc::_exit(0);
        }
        libc::close(ends[0]);
    }
    dir
});

/// The world of one test: an IPC namespace of its own where that may be had, so that the
/// queues vanish with the test and limits may be changed.
pub struct World {
    pub is_own: bool,
}

impl World {
    pub fn new() -> World {
        LazyLock::force(&DIRECTORY);
        // SAFETY: touches no memory; the alarm's only effect is to end the program, and what
        // this thread starts is in the new namespace, too.
        let is_own = unsafe {
            libc::alarm(WATCHDOG);
            libc::unshare(libc::CLONE_NEWIPC) == 0
        };
        World { is_own }
    }

    /// A world in which limits may be changed, or the reason why there is none.
    pub fn of_our_own(test: &str) -> Option<World> {
        let world = World::new();
        if !world.is_own {
            skip(test, "no permission for an IPC namespace");
            return None;
        }
        Some(world)
    }

    /// The address of a key that no other test has.
    pub fn key(&self) -> CString {
        CString::new(format!("sysv:{:#x}", key_number())).unwrap()
    }

    /// The address of a name that no other test has.
    pub fn name(&self) -> CString {
        CString::new(format!("sysv:/test-{:x}", key_number())).unwrap()
    }
}

/// A key that no other test has.
pub fn key_number() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    0x5100_0000 | (std::process::id() & 0xfff) << 12 | number
}

/// The directory of queues.
pub fn directory() -> &'static Path {
    &DIRECTORY
}

/// A queue that is removed with its holder.
pub struct Removed(pub Queue);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = queue::unlink(self.0.name());
    }
}

impl std::ops::Deref for Removed {
    type Target = Queue;
    fn deref(&self) -> &Queue {
        &self.0
    }
}

pub fn options() -> OpenOptions {
    OpenOptions::default()
}

pub fn open(name: &CStr, oflag: c_int) -> Result<Queue> {
    Queue::open(Some(name), oflag, &options())
}

/// A new queue.
pub fn make(name: &CStr) -> Removed {
    Removed(open(name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR).expect("a new queue"))
}

/// The error of a call, and its sentence.
pub fn refused<T>(result: Result<T>) -> (i32, String) {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(Errno(errno)) => (errno, with_sentence(str::to_owned)),
    }
}

pub fn errno<T>(result: Result<T>) -> i32 {
    refused(result).0
}

pub trait Calls {
    fn put(&self, message: &[u8], prio: u32, wait: Wait) -> Result<()>;
    fn take(&self, cap: usize, wait: Wait) -> Result<(Vec<u8>, u32)>;
}

impl Calls for Queue {
    fn put(&self, message: &[u8], prio: u32, wait: Wait) -> Result<()> {
        // SAFETY: a slice is readable.
        unsafe { self.send(message.as_ptr(), message.len(), prio, wait) }
    }
    fn take(&self, cap: usize, wait: Wait) -> Result<(Vec<u8>, u32)> {
        let mut buffer = vec![0xee; cap];
        // SAFETY: a vector is writable.
        let (len, prio) = unsafe { self.receive(buffer.as_mut_ptr(), cap, wait) }?;
        assert!(buffer[len..].iter().all(|&byte| byte == 0xee), "nothing beyond the message");
        buffer.truncate(len);
        Ok((buffer, prio))
    }
}

/// What a program does that does not use the library.
pub mod foreign {
    use super::*;

    pub fn get(key: u32, flags: c_int) -> c_int {
        // SAFETY: touches no memory.
        unsafe { libc::msgget(key as libc::key_t, flags) }
    }

    pub fn id_of(name: &CStr) -> c_int {
        let text = name.to_str().unwrap();
        if let Some(id) = text.strip_prefix("sysv:id:") {
            return id.parse().unwrap();
        }
        let key = text.strip_prefix("sysv:0x").expect("a key");
        get(u32::from_str_radix(key, 16).unwrap(), 0)
    }

    pub fn send(id: c_int, kind: c_long, message: &[u8]) -> c_int {
        let mut whole = kind.to_ne_bytes().to_vec();
        whole.extend_from_slice(message);
        // SAFETY: a type and so many bytes.
        unsafe { libc::msgsnd(id, whole.as_ptr().cast(), message.len(), libc::IPC_NOWAIT) }
    }

    pub fn receive(id: c_int, kind: c_long) -> Option<(c_long, Vec<u8>)> {
        const KIND: usize = size_of::<c_long>();
        let mut whole = vec![0; KIND + 8192];
        // SAFETY: room for a type and 8192 bytes.
        let got =
            unsafe { libc::msgrcv(id, whole.as_mut_ptr().cast(), 8192, kind, libc::IPC_NOWAIT) };
        let got = usize::try_from(got).ok()?;
        let kind = c_long::from_ne_bytes(whole[..KIND].try_into().unwrap());
        Some((kind, whole[KIND..KIND + got].to_vec()))
    }

    pub fn remove(id: c_int) {
        // SAFETY: this command takes no struct.
        assert_eq!(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }, 0);
    }

    pub fn set_bytes(id: c_int, bytes: u64) {
        // SAFETY: numbers only; the calls write and read one.
        unsafe {
            let mut status: libc::msqid_ds = std::mem::zeroed();
            assert_eq!(libc::msgctl(id, libc::IPC_STAT, &mut status), 0);
            status.msg_qbytes = bytes as _;
            assert_eq!(libc::msgctl(id, libc::IPC_SET, &mut status), 0);
        }
    }
}

/// A process of the test's; killed with its holder.
pub struct Child(c_int);

impl Child {
    pub fn pid(&self) -> c_int {
        self.0
    }

    pub fn kill(&self) {
        // SAFETY: touches no memory; the process is ours until it is waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }

    /// Its exit code; 128 and a signal's number if it was killed.
    pub fn end(mut self) -> i32 {
        self.wait()
    }

    fn wait(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: writes one int.
        while unsafe { libc::waitpid(self.0, &mut status, 0) } < 0 {}
        self.0 = 0;
        if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            128 + libc::WTERMSIG(status)
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.0 != 0 {
            self.kill();
            self.wait();
        }
    }
}

/// Run `work` in a process of its own; it says whether all was well.
pub fn process(work: impl FnOnce() -> bool) -> Child {
    // SAFETY: the child does what these tests are about and ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: ends with the test, and without running what belongs to it.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // What a test prints is kept by the process that it began in.
            std::panic::set_hook(Box::new(|why| {
                let _ = std::io::Write::write_all(
                    &mut std::io::stderr(),
                    format!("in a process of the test: {why}\n").as_bytes(),
                );
            }));
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            libc::_exit(if worked.unwrap_or(false) { 0 } else { 1 });
        }
    }
    Child(pid)
}

/// Look until something is so; the test's own time limit is the only one.
pub fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        std::thread::yield_now();
    }
}

/// Until a thread (or process) sleeps in the kernel, or has ended; it does nothing else that
/// sleeps.
pub fn until_asleep(thread: c_int) {
    until(|| {
        let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['S', 'Z']))
    });
}
