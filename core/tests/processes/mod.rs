//! Processes that are killed and stopped: what the crash, torture and order tests share.
//!
//! A test is one process with one thread. It forks the others, which share with it the
//! anonymous memory of a [`Ledger`](ledger::Ledger) and a queue in a directory of the
//! test's own, which disappears even if the test is killed.

#![allow(dead_code, reason = "each of the tests uses a part")]

#[path = "../history/mod.rs"]
pub mod history;
pub mod lamp;
pub mod ledger;
pub mod log;
#[path = "../skips/mod.rs"]
pub mod skips;
pub mod work;

use mqueue_core::shm::layout::OWNERS;
use mqueue_core::shm::word::{Head, Tail, Word};
use mqueue_core::shm::{Engine, ShmQueue};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::{AtomicU64, fence};
use mqueue_core::transport::Transport as _;
use mqueue_core::{address::Address, attr::OpenOptions, oflag::OpenFlags, queue::Queue};
use std::ffi::{CStr, CString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Random enough, and the same again from the same seed.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A number from the environment.
pub fn number(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value.parse().expect(name),
        _ => otherwise,
    }
}

/// Nanoseconds on the monotonic clock, the same for all processors: what this thread did
/// before can be seen by all by then, and nothing that follows has begun.
pub fn now() -> u64 {
    fence(SeqCst);
    let now = mqueue_core::sys::clock::monotonic_ns() as u64;
    // The processor may read its time stamp counter later than memory that follows.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has it.
    unsafe {
        core::arch::x86_64::_mm_lfence();
    }
    #[cfg(not(target_arch = "x86_64"))]
    fence(SeqCst);
    now
}

/// Histories are judged by the clock, so it must never run backwards from one process to
/// another.
pub fn check_clock() {
    let latest: ledger::Shared<AtomicU64> = ledger::Shared::new(1);
    let compare = || {
        for _ in 0..200_000 {
            let seen = latest[0].load(SeqCst);
            let now = now();
            assert!(now >= seen, "the clock runs backwards between processors");
            latest[0].fetch_max(now, SeqCst);
        }
    };
    let mut other = spawn(compare);
    compare();
    assert_eq!(other.wait(Duration::from_secs(60)), Fate::Exited(0), "a look at the clock");
}

pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What became of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Running,
    Stopped,
    Killed(i32),
    Exited(i32),
}

/// A forked process; killed when dropped.
pub struct Child {
    pid: i32,
    fate: Fate,
}

/// The write end of a pipe whose closing tells the sweeper that the test is over.
static mut ALIVE: i32 = -1;

/// Run `work` in a new process; a panic there is exit code 101.
pub fn spawn(work: impl FnOnce()) -> Child {
    // SAFETY: this process has one thread, so the child may do anything.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Child { pid, fate: Fate::Running };
    }
    // SAFETY: one thread, and nothing refers to ALIVE.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::close(ALIVE);
        ALIVE = -1;
    }
    or_end(work);
    // SAFETY: ends this process without running what belongs to its parent.
    unsafe { libc::_exit(0) }
}

/// Do `work`; a panic is the end of the process, whichever thread it is in.
pub fn or_end(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        // SAFETY: as in `spawn`.
        unsafe { libc::_exit(101) }
    }
}

impl Child {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn signal(&self, signal: i32) {
        if self.is_alive() {
            // SAFETY: touches no memory; the pid is ours until it is waited for.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// The latest news; `Stopped` may be out of date once it was continued.
    pub fn look(&mut self) -> Fate {
        if self.is_alive() {
            let mut status = 0;
            // SAFETY: writes one int.
            let got =
                unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG | libc::WUNTRACED) };
            if got == self.pid {
                self.fate = if libc::WIFSTOPPED(status) {
                    Fate::Stopped
                } else if libc::WIFSIGNALED(status) {
                    Fate::Killed(libc::WTERMSIG(status))
                } else {
                    Fate::Exited(libc::WEXITSTATUS(status))
                };
            }
        }
        self.fate
    }

    /// What it has used so far; zero if it is gone.
    pub fn processor_time(&self) -> Duration {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: write one clock number and one time.
        let known = unsafe {
            libc::clock_getcpuclockid(self.pid, &mut clock) == 0
                && libc::clock_gettime(clock, &mut time) == 0
        };
        if known { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
    }

    pub fn is_alive(&self) -> bool {
        matches!(self.fate, Fate::Running | Fate::Stopped)
    }

    pub fn go_on(&mut self) {
        if self.fate == Fate::Stopped {
            self.fate = Fate::Running;
        }
        self.signal(libc::SIGCONT);
    }

    /// Look until it has stopped or ended, at most for `patience`.
    pub fn wait(&mut self, patience: Duration) -> Fate {
        let until = Instant::now() + patience;
        while self.look() == Fate::Running && Instant::now() < until {
            pause(Duration::from_micros(50));
        }
        self.fate
    }

    /// Kill it, and wait until it is gone.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        while self.is_alive() {
            self.look();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Prepare this process: a directory of queues that vanishes with it, a last watchdog.
pub fn begin(seconds: u32) {
    // SAFETY: one thread; every pointer below is to a local that outlives the call.
    unsafe {
        libc::alarm(seconds);
        let mut ends = [0; 2];
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        let dir = format!("/dev/shm/mqrs-test-{}", libc::getpid());
        std::fs::create_dir_all(&dir).expect("a directory for queues");
        // Some children become other users.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&dir, mode).expect("a directory for all");
        std::env::set_var("MQRS_DIR", &dir);
        if libc::fork() == 0 {
            libc::setsid();
            libc::close(ends[1]);
            let mut byte = 0u8;
            while libc::read(ends[0], (&raw mut byte).cast(), 1) < 0 {}
            let _ = std::fs::remove_dir_all(&dir);
            libc::_exit(0);
        }
        libc::close(ends[0]);
        ALIVE = ends[1];
    }
}

/// The files of the directory of queues whose names begin so.
pub fn files(prefix: &str) -> Vec<PathBuf> {
    let dir = std::env::var_os("MQRS_DIR").expect("a directory of our own");
    let entries = std::fs::read_dir(dir).expect("it can be read");
    entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()))
        .map(|entry| entry.path())
        .collect()
}

/// Give a queue's name to nobody else in this test.
pub fn new_name() -> CString {
    static mut NUMBER: u32 = 0;
    // SAFETY: one thread.
    let number = unsafe {
        NUMBER += 1;
        NUMBER
    };
    CString::new(format!("/q{number}")).expect("no zero")
}

/// A queue, seen by its creator.
pub struct Stage {
    pub name: CString,
    pub options: OpenOptions,
    /// For children that use an inherited handle, and for the test itself.
    pub queue: Queue,
    /// The same with its inside open.
    pub inside: ShmQueue,
}

pub fn options(maxmsg: u64, msgsize: u64) -> OpenOptions {
    OpenOptions { maxmsg, msgsize, ..OpenOptions::default() }
}

pub fn open_inside(name: &CStr, oflag: i32, options: &OpenOptions) -> ShmQueue {
    try_open_inside(name, oflag, options).expect("open")
}

fn try_open_inside(
    name: &CStr,
    oflag: i32,
    options: &OpenOptions,
) -> mqueue_core::error::Result<ShmQueue> {
    let Ok(Address::Shm(name)) = Address::parse(name) else { panic!("a name in shared memory") };
    ShmQueue::open(Some(name), OpenFlags::parse(oflag)?, options)
}

/// Where numbers are few, the dead must be gone first.
fn patiently<Q>(open: impl Fn() -> mqueue_core::error::Result<Q>) -> Q {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match open() {
            Ok(queue) => return queue,
            Err(error) if error.0 == libc::EUSERS && Instant::now() < until => {
                pause(Duration::from_micros(200));
            }
            Err(error) => panic!("opening: {error:?}"),
        }
    }
}

impl Stage {
    pub fn new(maxmsg: u64, msgsize: u64) -> Stage {
        Stage::of(new_name(), options(maxmsg, msgsize))
    }

    pub fn of(name: CString, options: OpenOptions) -> Stage {
        let queue = Queue::open(Some(&name), libc::O_CREAT | libc::O_RDWR, &options)
            .expect("creating a queue");
        let inside = open_inside(&name, libc::O_RDWR, &options);
        Stage { name, options, queue, inside }
    }

    pub fn engine(&self) -> &Engine {
        self.inside.attachment().expect("attached").engine()
    }

    /// Open the queue by its name, as a program that knows no more.
    pub fn open(&self) -> Queue {
        patiently(|| Queue::open(Some(&self.name), libc::O_CREAT | libc::O_RDWR, &self.options))
    }

    /// The same with its inside open.
    pub fn open_inside(&self) -> ShmQueue {
        patiently(|| try_open_inside(&self.name, libc::O_RDWR, &self.options))
    }

    /// Let only `few` more processes attach, until the result is dropped, so that owner
    /// numbers are used again at once.
    pub fn leave_numbers(&self, few: u32) -> Numbers {
        Numbers::leave(self.queue.dup_fd().expect("a descriptor"), few)
    }

    /// Slots by state: free, claimed, queued, taking, taken, returning.
    pub fn census(&self) -> [u32; 6] {
        let mut census = [0; 6];
        let engine = self.engine();
        for index in 0..engine.segment().geometry().nslots {
            let word = Word(engine.segment().slot(index).expect("in range").word.load(SeqCst));
            let state = [
                word.is_free(),
                word.is_claimed(),
                word.is_queued(),
                word.is_taking(),
                word.is_taken(),
                word.is_returning(),
            ];
            match state.iter().position(|&it| it) {
                Some(at) => census[at] += 1,
                None => panic!("slot {index} has an impossible word {:#x}", word.0),
            }
        }
        census
    }

    /// Everything that a hang can be explained from.
    pub fn dump(&self) {
        let engine = self.engine();
        let control = engine.segment().control();
        let t = Tail(control.tail.0.load(SeqCst));
        let h = Head(control.head.0.load(SeqCst));
        eprintln!(
            "tail: count {} slot {} flags {:#x} | head: count {} epoch {} slot {} mix {} snap {}",
            t.count(),
            t.slot(),
            t.flags(),
            h.count(),
            h.epoch(),
            h.slot(),
            h.is_mixed(),
            h.is_snapped()
        );
        eprintln!(
            "receivers {:#x} senders {:#x} registrant {:#x} | notify {:#x} trusted {:#x} | finder lock {:#x} len {} lane {} rebuilds asked {} done {} | poison {}",
            control.wait.0.receivers.word().load(SeqCst),
            control.wait.0.senders.word().load(SeqCst),
            control.wait.0.registrant.word().load(SeqCst),
            control.notify.0.word.load(SeqCst),
            control.notify.0.trusted.load(SeqCst),
            control.finder.0.lock.load(SeqCst),
            control.finder.0.len.load(SeqCst),
            control.finder.0.lane.load(SeqCst),
            control.finder.0.rebuilds_asked.load(SeqCst),
            control.finder.0.rebuilds_done.load(SeqCst),
            control.counters.0.poison.load(SeqCst),
        );
        for index in 0..engine.segment().geometry().nslots {
            let slot = engine.segment().slot(index).expect("in range");
            let word = Word(slot.word.load(SeqCst));
            if !word.is_free() {
                eprintln!(
                    "slot {index}: word {:#018x} state {} owner {} | seq {} prio {}",
                    word.0,
                    word.0 >> 61,
                    word.owner(),
                    slot.seq.load(SeqCst),
                    slot.prio.load(SeqCst)
                );
            }
        }
    }

    /// Take what is left without waiting, and what the dead have left.
    pub fn drain(&self, ledger: &ledger::Ledger, receiver: u64) {
        loop {
            work::drain(ledger, &self.queue, receiver);
            self.engine().reclaim();
            if self.engine().queued() == 0 {
                return;
            }
        }
    }

    /// Whether a drained queue is as good as new: nothing queued, every slot free once
    /// the dead are cleared away, exactly `maxmsg` messages fit.
    pub fn check_as_new(&self) -> Result<(), String> {
        let engine = self.engine();
        if engine.is_poisoned() {
            return Err("the queue is poisoned".into());
        }
        engine.reclaim();
        let census = self.census();
        if engine.queued() != 0 || census[0] != engine.segment().geometry().nslots {
            return Err(format!("{} queued, slots by state {census:?}", engine.queued()));
        }
        let permits = &engine.segment().control().loans.0.0;
        let lent = permits.iter().filter(|permit| permit.load(SeqCst) != 0).count();
        if lent != 0 {
            return Err(format!("{lent} permits for slots that are lent to nobody"));
        }
        let message = [0u8; 8];
        let mut fitted = 0;
        loop {
            // SAFETY: 8 readable bytes; msgsize is no less in any of these tests.
            let sent = unsafe {
                self.inside.send(
                    message.as_ptr(),
                    8,
                    fitted % 3,
                    mqueue_core::deadline::Wait::Never,
                )
            };
            match sent {
                Ok(()) => fitted += 1,
                Err(error) if error.0 == libc::EAGAIN => break,
                Err(error) => return Err(format!("filling: {error:?}")),
            }
        }
        if fitted as u64 != self.options.maxmsg {
            return Err(format!("{fitted} messages fit instead of {}", self.options.maxmsg));
        }
        let mut buffer = vec![0u8; self.options.msgsize as usize];
        for _ in 0..fitted {
            // SAFETY: the buffer is writable for its length.
            let got = unsafe {
                self.inside.receive(
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    mqueue_core::deadline::Wait::Never,
                )
            };
            got.map_err(|error| format!("emptying: {error:?}"))?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = mqueue_core::queue::unlink(&self.name);
    }
}

/// Holds the owner numbers that nobody may get.
pub struct Numbers(i32);

impl Numbers {
    /// Lock all numbers but `few` of a queue, through a descriptor that is given away.
    pub fn leave(fd: i32, few: u32) -> Numbers {
        let mut left = few;
        for owner in 0..OWNERS as i64 {
            let byte = (1 << 40) + owner;
            let locked = mqueue_core::sys::file::try_lock(fd, byte).is_ok();
            if locked && left > 0 {
                left -= 1;
                mqueue_core::sys::file::unlock(fd, byte).expect("unlock");
            }
        }
        Numbers(fd)
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        // Children forked meanwhile have the description too.
        for owner in 0..OWNERS as i64 {
            let _ = mqueue_core::sys::file::unlock(self.0, (1 << 40) + owner);
        }
        mqueue_core::sys::file::close(self.0);
    }
}
