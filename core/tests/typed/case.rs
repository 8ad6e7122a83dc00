//! What the cases are made of: a directory of their own, queues, children, a few calls.

use mqueue_core::error::Result;
use mqueue_core::shm::steps::Step;
use mqueue_core::shm::typed::{self, Limits, Receiving, Sending, Settings, Want, slept_on};
use mqueue_core::sync::AtomicU32;
use mqueue_core::sync::Ordering::SeqCst;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of each message, times what `send` is told.
pub const EACH: u64 = 10;
/// Bytes that a queue holds.
pub const HOLDS: u64 = 100;
/// Seconds after which a case hangs.
pub const PATIENCE: u32 = 120;

/// A directory for the queues of this program.
pub struct Directory(PathBuf);

fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os("MQRS_DIR").expect("made by main"))
}

impl Directory {
    pub fn new() -> Directory {
        let path = PathBuf::from(format!("/dev/shm/mqrs-typed-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        // SAFETY: there is no other thread.
        unsafe { std::env::set_var("MQRS_DIR", &path) };
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The files that are there.
pub fn files() -> Vec<String> {
    let entries = std::fs::read_dir(directory()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A queue, removed at the end.
pub struct Case {
    pub id: i32,
}

impl Case {
    pub fn new(holds: u64) -> Case {
        let id = typed::get(0, 0o600, Limits::Own).unwrap();
        let typed::Status { uid, gid, mode, .. } = typed::status(id).unwrap();
        typed::set(id, &Settings { uid, gid, mode, most: holds }, Limits::Own).unwrap();
        Case { id }
    }

    pub fn of(id: i32) -> Case {
        Case { id }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = typed::remove(self.id);
    }
}

/// A key that no queue has.
pub fn new_key() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, SeqCst)
}

fn complete<T>(mut step: impl FnMut(Option<mqueue_core::shm::Slept>) -> Step<T>) -> Result<T> {
    let mut slept = None;
    loop {
        match step(slept) {
            Step::Done(came) => return came,
            Step::Sleep(bed) => slept = Some(slept_on(&bed)),
        }
    }
}

fn send_as(id: i32, kind: i64, times: u64, nowait: bool) -> Result<()> {
    let text = vec![b'x'; (EACH * times) as usize];
    let mut sending = Sending::begin(id, kind, text.len(), nowait)?;
    // SAFETY: the text has that length.
    complete(|slept| unsafe { sending.step(text.as_ptr(), slept) })
}

/// Send without waiting.
pub fn send(id: i32, kind: i64, times: u64) -> Result<()> {
    send_as(id, kind, times, true)
}

/// Send, and wait as long as it takes.
pub fn send_for_ever(id: i32, kind: i64, times: u64) -> Result<()> {
    send_as(id, kind, times, false)
}

pub fn receive(id: i32, want: Want, waits: bool) -> Result<(usize, i64)> {
    let mut text = [0u8; 100];
    let mut receiving = Receiving::begin(id, want, text.len(), false, !waits)?;
    // SAFETY: the buffer has that length.
    let (len, kind) = complete(|slept| unsafe { receiving.step(text.as_mut_ptr(), slept) })?;
    assert!(text[..len].iter().all(|&byte| byte == b'x'), "a message came garbled");
    Ok((len, kind))
}

/// Send until the queue is full; tells how many.
pub fn fill(id: i32, kind: i64) -> u64 {
    let mut sent = 0;
    while send(id, kind, 1).is_ok() {
        sent += 1;
    }
    sent
}

/// Receive all there is; tells how many.
pub fn drain(id: i32) -> u64 {
    let mut got = 0;
    while receive(id, Want::First, false).is_ok() {
        got += 1;
    }
    got
}

/// A forked process.
pub struct Child(i32);

/// Run `work` in a child, which ends well if `work` returns.
pub fn child(work: impl FnOnce()) -> Child {
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(worked.is_err())) }
        }
        pid => {
            assert!(pid > 0);
            Child(pid)
        }
    }
}

impl Child {
    fn wait(&mut self, flags: i32) -> i32 {
        let mut status = 0;
        // SAFETY: writes a number.
        let got = unsafe { libc::waitpid(self.0, &mut status, flags) };
        assert_eq!(got, self.0);
        status
    }

    pub fn await_success(&mut self) {
        let status = self.wait(0);
        self.0 = 0;
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    }

    pub fn await_death(&mut self) {
        let status = self.wait(0);
        self.0 = 0;
        assert!(libc::WIFSIGNALED(status), "the victim was not struck: {status:#x}");
    }

    pub fn await_stop(&mut self) {
        let status = self.wait(libc::WUNTRACED);
        assert!(libc::WIFSTOPPED(status), "the victim was not stopped: {status:#x}");
    }

    /// Wait until it sleeps in the kernel, which is where a call that waits ends up.
    pub fn await_sleep(&self) {
        let mut in_a_row = 0;
        while in_a_row < 20 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
            let is_asleep = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
            in_a_row = if is_asleep { in_a_row + 1 } else { 0 };
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub fn kill(&mut self) {
        if self.0 != 0 {
            // SAFETY: touches no memory.
            unsafe { libc::kill(self.0, libc::SIGKILL) };
            self.await_death();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.kill();
        }
    }
}

/// A number that children and parent share.
pub struct Stage(*mut AtomicU32);

impl Stage {
    pub fn new() -> Stage {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(at != libc::MAP_FAILED);
        Stage(at.cast())
    }

    fn number(&self) -> &AtomicU32 {
        // SAFETY: mapped, zeros at first, for as long as the program runs.
        unsafe { &*self.0 }
    }

    pub fn say(&self, more: u32) {
        self.number().fetch_add(more, SeqCst);
    }

    pub fn await_said(&self, all: u32) {
        while self.number().load(SeqCst) < all {
            std::thread::yield_now();
        }
    }
}

/// A random walk, the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}
