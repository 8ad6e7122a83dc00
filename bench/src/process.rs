//! The processes of a measurement, and what they tell while they work.
//!
//! Every measurement runs in forked processes; the program itself only starts them, sleeps,
//! reads their counts and ends them. So nothing of one measurement is left in the next, and
//! a transport that hangs or dies takes no other with it.

use crate::calls;
use crate::machine::pin;
use crate::shared::Shared;
use perf_event::Counter;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, mem, process, ptr, thread};

/// Processes of one measurement at most.
const SEATS: usize = 8;

/// Numbers that a process may leave behind.
const RESULTS: usize = 8;

/// No measurement takes so long, in s.
const PATIENCE_S: u32 = 120;

/// What one process tells the others. Has its cache lines for itself.
#[repr(C, align(128))]
pub struct Seat {
    /// Messages sent or received so far; only its process changes it.
    done: AtomicU64,
    /// 1 when it may begin; only the program itself changes it.
    may_begin: AtomicU32,
    /// The result, as the bits of an f64 each; valid when the process has ended.
    results: [AtomicU64; RESULTS],
}

impl Seat {
    /// So many messages have passed.
    #[inline(always)]
    pub fn count(&self, done: u64) {
        // Relaxed: it is read now and then as a count, and orders nothing.
        self.done.store(done, Ordering::Relaxed);
    }

    /// Leave the result behind.
    pub fn leave<const N: usize>(&self, values: [f64; N]) {
        for (place, value) in self.results.iter().zip(values) {
            // Relaxed: it is read after the process has ended.
            place.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    fn result(&self, index: usize) -> f64 {
        f64::from_bits(self.results[index].load(Ordering::Relaxed))
    }
}

/// The processes, which do not outlive this.
pub struct Crew {
    seats: Shared<[Seat; SEATS]>,
    members: Vec<Child>,
    /// Of each, if they are counted.
    calls: Option<Vec<Counter>>,
}

/// Counts at one time.
pub struct Counts {
    at: Instant,
    /// Messages, of each process.
    done: Vec<u64>,
    /// How often they slept, all together.
    pub sleeps: u64,
    /// System calls of all together, if they are counted.
    pub calls: Option<u64>,
}

impl Counts {
    /// Seconds from then to now.
    pub fn seconds_since(&self, then: &Counts) -> f64 {
        (self.at - then.at).as_secs_f64()
    }

    /// Messages from then to now, of each process.
    pub fn done_since(&self, then: &Counts) -> Vec<f64> {
        self.done.iter().zip(&then.done).map(|(now, then)| (now - then) as f64).collect()
    }
}

impl Crew {
    /// Nobody yet.
    pub fn new() -> io::Result<Crew> {
        Ok(Crew { seats: Shared::new()?, members: Vec::new(), calls: None })
    }

    /// Nobody yet; count the system calls of those to come.
    pub fn counting_calls() -> io::Result<Crew> {
        Ok(Crew { calls: Some(Vec::new()), ..Crew::new()? })
    }

    /// Start a process that does this work, on one processor if told.
    pub fn start(
        &mut self,
        processor: Option<usize>,
        work: impl FnOnce(&Seat) -> io::Result<()>,
    ) -> io::Result<()> {
        let index = self.members.len();
        let child = Child::start(|| {
            let seat = &self.seats[index];
            while seat.may_begin.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            if let Some(processor) = processor {
                pin(processor)?;
            }
            work(seat)
        })?;
        if let Some(calls) = &mut self.calls {
            calls.push(calls::count(child.0)?);
        }
        self.seats[index].may_begin.store(1, Ordering::Relaxed);
        self.members.push(child);
        Ok(())
    }

    /// Return when every process has had a message pass, and all together so many.
    pub fn await_messages(&mut self, wanted: u64) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let done = self.counts()?.done;
            if done.iter().all(|&done| done > 0) && done.iter().sum::<u64>() >= wanted {
                return Ok(());
            }
            if began.elapsed().as_secs() > PATIENCE_S.into() {
                return Err(io::Error::other("no message passes"));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How far everybody is now.
    pub fn counts(&mut self) -> io::Result<Counts> {
        if self.members.iter().any(Child::has_ended) {
            return Err(io::Error::other("a process ended early"));
        }
        let seats = &self.seats[..self.members.len()];
        let done = seats.iter().map(|seat| seat.done.load(Ordering::Relaxed)).collect();
        let at = Instant::now();
        let sleeps = self.members.iter().map(Child::sleeps).sum();
        let calls = match &mut self.calls {
            None => None,
            Some(counters) => {
                let each = counters.iter_mut().map(Counter::read);
                Some(each.sum::<io::Result<u64>>()?)
            }
        };
        Ok(Counts { at, done, sleeps, calls })
    }

    /// Wait for the first process to end, and take what it left behind.
    pub fn finish<const N: usize>(mut self) -> io::Result<[f64; N]> {
        self.members.swap_remove(0).finish()?;
        Ok(std::array::from_fn(|index| self.seats[0].result(index)))
    }
}

/// A forked process.
struct Child(libc::pid_t);

impl Child {
    fn start(work: impl FnOnce() -> io::Result<()>) -> io::Result<Child> {
        let parent = process::id() as libc::pid_t;
        // SAFETY: no other thread runs in this process, so the child is as good as new.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: touch no memory. A measurement that hangs ends by the alarm.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::alarm(PATIENCE_S);
                    if libc::getppid() != parent {
                        libc::_exit(1);
                    }
                }
                let result = work();
                if let Err(error) = &result {
                    eprintln!("mqueue_bench: a process of a measurement: {error}");
                }
                // SAFETY: ends this process without touching what it shares with its parent.
                unsafe { libc::_exit(result.is_err() as i32) }
            }
            child => Ok(Child(child)),
        }
    }

    /// How often its threads gave up their processor to wait.
    fn sleeps(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.0)) else { return 0 };
        let of_task = |task: fs::DirEntry| -> Option<u64> {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let line =
                |line: &str| line.strip_prefix("voluntary_ctxt_switches:").map(str::to_owned);
            status.lines().find_map(line)?.trim().parse().ok()
        };
        tasks.flatten().filter_map(of_task).sum()
    }

    fn has_ended(&self) -> bool {
        // SAFETY: numbers only, so all zeros are a value, and the call writes one struct.
        let pid = unsafe {
            let mut info: libc::siginfo_t = mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, self.0 as libc::id_t, &mut info, flags);
            info.si_pid()
        };
        pid != 0
    }

    fn finish(self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: writes one number.
        let ended = unsafe { libc::waitpid(self.0, &mut status, 0) };
        mem::forget(self);
        if ended > 0 && status == 0 { Ok(()) } else { Err(io::Error::other("a process failed")) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: our own child, which nobody has waited for.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, ptr::null_mut(), 0);
        }
    }
}
