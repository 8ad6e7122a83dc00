//! What is measured: one function for each scenario, the same for every transport.

use crate::machine::pin;
use crate::transport::{MESSAGE, Message, Transport, Waiting};
use hdrhistogram::Histogram;
use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{hint, io, mem, process, thread};

/// The longest time in a histogram, in ns; longer ones count as this.
const TIME_MOST: u64 = 10_000_000_000;

/// How long the other process is left alone before each round trip that is to find it
/// asleep: many times as long as anybody polls before he sleeps.
const REST: Duration = Duration::from_millis(2);

/// What one measurement gave.
#[derive(Clone, Copy)]
pub struct Figures {
    /// The mean for pairs, the median for round trips; ns.
    pub typical: f64,
    /// 99 of 100 were faster; ns. Not for pairs, which are too short to be timed singly.
    pub p99: Option<f64>,
    /// How often the other process slept, for each round trip.
    pub sleeps: Option<f64>,
}

/// What both queues of a comparison have in common.
#[derive(Clone, Copy)]
pub struct Setting {
    /// Messages in a queue.
    pub depth: u32,
    /// How long to measure.
    pub span: Duration,
    /// Where the two processes run.
    pub processors: (usize, usize),
}

/// How the two processes of a round trip wait for each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// In calls that block, one round trip after the other: nobody is away for long.
    Blocking,
    /// In calls that block, with a rest before each round trip, so that the other sleeps.
    AfterSleep,
    /// In calls that do not block, again and again.
    Polling,
}

impl Manner {
    fn waiting(self) -> Waiting {
        if self == Manner::Polling { Waiting::Nonblocking } else { Waiting::Blocking }
    }
}

/// One process sends a message and receives it.
pub fn pair<T: Transport>(setting: Setting) -> io::Result<Figures> {
    const BATCH: u32 = 1000;
    pin(setting.processors.0)?;
    let (queue, _name) = new_queue::<T>(setting.depth, Waiting::Blocking)?;
    let mut message = [7; MESSAGE];
    let mut batch = || -> io::Result<()> {
        for _ in 0..BATCH {
            queue.send(hint::black_box(&message))?;
            queue.receive(hint::black_box(&mut message))?;
        }
        Ok(())
    };
    batch()?;
    let began = Instant::now();
    let mut pairs = 0;
    while began.elapsed() < setting.span {
        batch()?;
        pairs += BATCH;
    }
    let typical = began.elapsed().as_nanos() as f64 / pairs as f64;
    Ok(Figures { typical, p99: None, sleeps: None })
}

/// A message goes to another process and comes back. Every time includes one reading of
/// the clock, some 20 ns.
pub fn round_trip<T: Transport>(setting: Setting, manner: Manner) -> io::Result<Figures> {
    pin(setting.processors.0)?;
    let (there, there_name) = new_queue::<T>(setting.depth, manner.waiting())?;
    let (back, back_name) = new_queue::<T>(setting.depth, manner.waiting())?;
    let partner = Partner::start(|| {
        pin(setting.processors.1)?;
        // As any process would: by name.
        let there = T::open(&there_name.0, manner.waiting())?;
        let back = T::open(&back_name.0, manner.waiting())?;
        echo(&there, &back, manner)
    })?;

    let mut times = Histogram::<u64>::new_with_bounds(1, TIME_MOST, 3)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let mut message = [0; MESSAGE];
    let trip = |message: &mut Message| -> io::Result<u64> {
        let began = Instant::now();
        repeat(manner, || there.send(message))?;
        repeat(manner, || back.receive(message))?;
        Ok(began.elapsed().as_nanos() as u64)
    };
    // The first trip shows that both queues are open; from here on a killed benchmark
    // leaves nothing behind.
    trip(&mut message)?;
    drop((there_name, back_name));

    let began = Instant::now();
    let warm = began + setting.span / 10;
    let mut trips = 1;
    loop {
        if manner == Manner::AfterSleep {
            thread::sleep(REST);
        }
        let time = trip(&mut message)?;
        trips += 1;
        let now = Instant::now();
        if now > warm {
            times.saturating_record(time);
        }
        if now > began + setting.span && !times.is_empty() {
            break;
        }
    }
    message[0] = LAST;
    trip(&mut message)?;
    let sleeps = u64::from_ne_bytes(message[8..16].try_into().unwrap_or_default());
    partner.finish()?;
    Ok(Figures {
        typical: times.value_at_quantile(0.5) as f64,
        p99: Some(times.value_at_quantile(0.99) as f64),
        sleeps: Some(sleeps as f64 / trips as f64),
    })
}

/// First byte of the message that ends the partner's work.
const LAST: u8 = 1;

/// The other process: send back what comes, and at last how often it slept.
fn echo<T: Transport>(there: &T, back: &T, manner: Manner) -> io::Result<()> {
    let mut message = [0; MESSAGE];
    loop {
        repeat(manner, || there.receive(&mut message))?;
        let is_last = message[0] == LAST;
        if is_last {
            message[8..16].copy_from_slice(&sleeps().to_ne_bytes());
        }
        repeat(manner, || back.send(&message))?;
        if is_last {
            return Ok(());
        }
    }
}

/// Call once, or if it polls until it is done.
#[inline(always)]
fn repeat(manner: Manner, mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error)
                if manner == Manner::Polling && error.raw_os_error() == Some(libc::EAGAIN) =>
            {
                hint::spin_loop();
            }
            done => return done,
        }
    }
}

/// How often this process gave up its processor to wait.
fn sleeps() -> u64 {
    // SAFETY: numbers only, so all zeros are a value, and the call writes one struct.
    unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage.ru_nvcsw as u64
    }
}

/// The name of a queue, which goes away with this.
struct Name<T: Transport>(CString, std::marker::PhantomData<T>);

impl<T: Transport> Drop for Name<T> {
    fn drop(&mut self) {
        let _ = T::unlink(&self.0);
    }
}

fn new_queue<T: Transport>(depth: u32, waiting: Waiting) -> io::Result<(T, Name<T>)> {
    static QUEUES: AtomicU32 = AtomicU32::new(0);
    let number = QUEUES.fetch_add(1, Ordering::Relaxed);
    let name = CString::new(format!("/mqrs-bench-{}-{number}", process::id()))?;
    let queue = T::create(&name, depth, waiting)?;
    Ok((queue, Name(name, std::marker::PhantomData)))
}

/// Whether there are such queues here: nothing, or why not.
pub fn availability<T: Transport>(depth: u32) -> io::Result<()> {
    new_queue::<T>(depth, Waiting::Blocking).map(drop)
}

/// A forked process, which does not outlive this one.
struct Partner(libc::pid_t);

impl Partner {
    fn start(work: impl FnOnce() -> io::Result<()>) -> io::Result<Partner> {
        let parent = process::id() as libc::pid_t;
        // SAFETY: no other thread runs in this process, so the child is as good as new.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: touch no memory. The alarm is one of our own: those of the
                // parent are not inherited.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::alarm(PATIENCE_S);
                    if libc::getppid() != parent {
                        libc::_exit(1);
                    }
                }
                let result = work();
                if let Err(error) = &result {
                    eprintln!("bench: the other process: {error}");
                }
                // SAFETY: ends this process without touching what it shares with its parent.
                unsafe { libc::_exit(result.is_err() as i32) }
            }
            child => Ok(Partner(child)),
        }
    }

    fn finish(self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: writes one number.
        let ended = unsafe { libc::waitpid(self.0, &mut status, 0) };
        mem::forget(self);
        if ended > 0 && status == 0 {
            Ok(())
        } else {
            Err(io::Error::other("the other process failed"))
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        // SAFETY: our own child, which nobody has waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// No measurement takes so long, in s.
const PATIENCE_S: u32 = 60;

/// End this process if a measurement hangs, as it would if the other process died. Called
/// before each.
pub fn be_patient() {
    // SAFETY: touches no memory.
    unsafe { libc::alarm(PATIENCE_S) };
}
