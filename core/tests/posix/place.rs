//! Where a test happens: its namespace, its queues, its processes and threads.

#![allow(dead_code, reason = "each of the tests uses a part")]

use crate::skips::skip;
use mqueue_core::attr::OpenOptions;
use mqueue_core::deadline::Wait;
use mqueue_core::error::{Errno, Result};
use mqueue_core::queue::{self, Queue};
use mqueue_core::report::with_sentence;
use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A test that hangs longer ends everything.
const WATCHDOG: u32 = 120;

/// A queue's name, which is removed at the end, and a namespace for it.
pub struct Place {
    /// The address of the test's first queue.
    pub address: CString,
    /// Nobody else's queues are seen here, and nobody else sees ours.
    pub is_own: bool,
}

impl Place {
    /// A namespace of this thread alone, if it may be.
    pub fn new(test: &str) -> Place {
        // SAFETY: the alarm's only effect is to end the program; unshare concerns this
        // thread alone.
        let is_own = unsafe {
            libc::alarm(WATCHDOG);
            libc::unshare(libc::CLONE_NEWIPC) == 0
        };
        let address = format!("posix:/mqrs-test-{}-{test}", std::process::id());
        Place { address: CString::new(address).expect("a name"), is_own }
    }

    /// The same, or `None` and a line in the log if the test needs a namespace of its own.
    pub fn of_its_own(test: &str) -> Option<Place> {
        let place = Place::new(test);
        if !place.is_own {
            skip(test, "it may not have an IPC namespace of its own");
        }
        place.is_own.then_some(place)
    }

    /// Open it.
    pub fn open(&self, oflag: i32) -> Result<Queue> {
        Queue::open(Some(&self.address), oflag, &OpenOptions::default())
    }

    /// Make it, of so many messages of so many bytes.
    pub fn make(&self, maxmsg: u64, msgsize: u64) -> Queue {
        let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
        let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        Queue::open(Some(&self.address), oflag, &options).expect("a new queue")
    }

    /// The name as the kernel has it.
    pub fn bare(&self) -> CString {
        CString::new(&self.address.to_bytes()["posix:/".len()..]).expect("a name")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = queue::unlink(&self.address);
    }
}

pub fn send(queue: &Queue, text: &str, prio: u32) -> Result<()> {
    send_for(queue, text, prio, Wait::Unlimited)
}

pub fn send_for(queue: &Queue, text: &str, prio: u32, wait: Wait) -> Result<()> {
    // SAFETY: a readable text.
    unsafe { queue.send(text.as_ptr(), text.len(), prio, wait) }
}

pub fn receive(queue: &Queue) -> Result<(String, u32)> {
    receive_for(queue, Wait::Unlimited)
}

pub fn receive_for(queue: &Queue, wait: Wait) -> Result<(String, u32)> {
    let mut buffer = [0u8; 8192];
    // SAFETY: a writable buffer.
    let (len, prio) = unsafe { queue.receive(buffer.as_mut_ptr(), buffer.len(), wait) }?;
    Ok((String::from_utf8_lossy(&buffer[..len]).into_owned(), prio))
}

/// The error of something that must not work.
#[track_caller]
pub fn errno<T>(result: Result<T>) -> i32 {
    match result {
        Ok(_) => panic!("it worked"),
        Err(Errno(errno)) => errno,
    }
}

/// The sentence of this thread's last failure.
pub fn sentence() -> String {
    with_sentence(str::to_owned)
}

/// What is in a small file; "" if it cannot be read.
pub fn text_of(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// A child of this thread, in its namespace; killed with it.
pub struct Child(pub libc::pid_t);

/// Run something in a child; if it panics, the child ends with 1.
pub fn in_child(run: impl FnOnce()) -> Child {
    // SAFETY: the child goes on in this thread alone, and only with what needs no lock that
    // another may have held: queues, and panics, which end it.
    unsafe {
        match libc::fork() {
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(WATCHDOG);
                let ran = catch_unwind(AssertUnwindSafe(run));
                libc::_exit(i32::from(ran.is_err()));
            }
            child => {
                assert!(child > 0, "fork");
                Child(child)
            }
        }
    }
}

impl Child {
    /// Wait until it has ended well.
    #[track_caller]
    pub fn join(self) {
        assert_eq!(self.end(), 0, "the child failed");
    }

    /// Wait until it has ended, however.
    pub fn end(self) -> i32 {
        let mut status = 0;
        // SAFETY: writes one number.
        let got = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!(got, self.0);
        status
    }

    /// kill -9.
    pub fn kill(self) {
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        self.end();
    }

    /// Wait until it sleeps in a system call.
    pub fn until_in(&self, number: libc::c_long) {
        until_in_call(self.0, number);
    }
}

/// This thread's number.
pub fn thread_id() -> libc::pid_t {
    mqueue_core::sys::thread::id() as libc::pid_t
}

/// Wait until a thread sleeps in a system call.
pub fn until_in_call(thread: libc::pid_t, number: libc::c_long) {
    let mut path = String::new();
    write!(path, "/proc/{thread}/syscall").expect("room");
    // A thread that runs has no number here.
    let wanted = format!("{number} ");
    while !std::fs::read_to_string(&path).expect(&path).starts_with(&wanted) {
        std::thread::yield_now();
    }
}

/// Have a handler that does nothing.
pub fn handle(signal: i32, flags: i32) {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: an all-zero sigaction is a valid one; the handler touches nothing.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, core::ptr::null_mut()), 0);
    }
}

/// Send a thread of this process a signal.
pub fn interrupt(thread: libc::pid_t, signal: i32) {
    // SAFETY: touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
    assert_eq!(result, 0);
}

/// Set O_NONBLOCK of a description.
pub fn make_description_nonblocking(fd: i32) {
    // SAFETY: touches no memory.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        assert_eq!(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK), 0);
    }
}

/// How many descriptors this process has open.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// The number of the call in which one waits for a message on this machine.
pub const RECEIVING: libc::c_long =
    if cfg!(target_pointer_width = "32") { 419 } else { libc::SYS_mq_timedreceive };
/// The same for room.
pub const SENDING: libc::c_long =
    if cfg!(target_pointer_width = "32") { 418 } else { libc::SYS_mq_timedsend };

/// Whether a descriptor is open.
pub fn is_open(fd: i32) -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// A queue as any program opens it, with nothing of ours.
pub fn raw_open(bare: &CStr, oflag: i32) -> i32 {
    // SAFETY: a C string.
    let fd = unsafe {
        libc::syscall(libc::SYS_mq_open, bare.as_ptr(), oflag, 0o600, core::ptr::null::<u8>())
    };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    fd as i32
}

pub fn close(fd: i32) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::close(fd) }, 0);
}
