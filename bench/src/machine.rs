//! The machine: what it is, where processes run on it, and what disturbs them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{fs, hint, io, mem, thread};

/// Two processors count as near, as those that share a cache do, if a cache line goes
/// there and back in this time at most.
pub const NEAR_MOST_NS: f64 = 250.0;

/// What the results depend on.
pub struct Machine {
    /// Model of the processors.
    pub model: String,
    /// Release of the kernel.
    pub kernel: String,
    /// The processors that we may use.
    pub processors: Vec<usize>,
}

impl Machine {
    /// Look at this machine.
    pub fn look() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown", |(_, model)| model);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            model: model.trim().to_owned(),
            kernel: kernel.trim().to_owned(),
            processors: allowed(),
        }
    }

    /// The two processors of two processes; the same one twice if there is no other.
    pub fn pair(&self) -> (usize, usize) {
        let first = self.processors.first().copied().unwrap_or(0);
        (first, self.processors.get(1).copied().unwrap_or(first))
    }
}

fn allowed() -> Vec<usize> {
    // SAFETY: bits only, so all zeros are a value; the call writes its size at most.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&set), &mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// Let this thread run on one processor only.
pub fn pin(processor: usize) -> io::Result<()> {
    // SAFETY: bits only, so all zeros are a value; the number came from such a set.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A word that shares its cache line with nothing.
#[repr(align(128))]
struct Line(AtomicU32);

/// How long a cache line takes from one processor to the other and back, in ns: the floor
/// under every round trip. On virtual machines it changes while they run.
pub fn line_round_trip((here, there): (usize, usize)) -> io::Result<f64> {
    const BATCHES: u32 = 100;
    const TRIPS: u32 = 150;
    let (ping, pong) = (Line(AtomicU32::new(0)), Line(AtomicU32::new(0)));
    if here == there {
        return Ok(0.0);
    }
    thread::scope(|scope| {
        // Two threads of their own: what is forked later must not inherit a processor.
        let echo = scope.spawn(|| {
            // Answers wherever it runs, else the other side would wait for ever.
            let pinned = pin(there);
            for trip in 1..=BATCHES * TRIPS {
                await_value(&ping.0, trip);
                pong.0.store(trip, Ordering::Release);
            }
            pinned
        });
        let probe = scope.spawn(|| {
            let pinned = pin(here);
            // The shortest batch: whatever else runs here only makes them longer.
            let mut shortest = f64::INFINITY;
            for batch in 0..BATCHES {
                let began = Instant::now();
                for trip in batch * TRIPS + 1..=(batch + 1) * TRIPS {
                    ping.0.store(trip, Ordering::Release);
                    await_value(&pong.0, trip);
                }
                shortest = shortest.min(began.elapsed().as_nanos() as f64 / TRIPS as f64);
            }
            pinned.map(|()| shortest)
        });
        let failed = |_| io::Error::other("the probe's thread failed");
        echo.join().map_err(failed)??;
        probe.join().map_err(failed)?
    })
}

/// Let the kernel's queues be as large as the scenarios want them, as far as we may. Who may
/// have an IPC namespace of his own raises the limits there, without touching the machine's.
/// What is refused stays as it is, and shows in queues that cannot be made.
pub fn raise_limits() {
    // SAFETY: concerns this process's queues only, of which there is none yet.
    if unsafe { libc::unshare(libc::CLONE_NEWIPC) } == 0 {
        for (name, value) in [
            ("fs/mqueue/msg_max", 1 << 10),
            ("fs/mqueue/msgsize_max", 1 << 16),
            ("kernel/msgmax", 1 << 16),
            ("kernel/msgmnb", 1 << 27),
        ] {
            let _ = fs::write(format!("/proc/sys/{name}"), value.to_string());
        }
    }
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one struct.
    unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &limit) };
}

fn await_value(line: &AtomicU32, value: u32) {
    while line.load(Ordering::Acquire) != value {
        hint::spin_loop();
    }
}

/// Processor time spent since the machine started, in s.
#[derive(Clone, Copy)]
pub struct Usage {
    /// By everybody, interrupts and what the hypervisor took included.
    all: f64,
    /// By this process and its children that have ended.
    own: f64,
    at: Instant,
}

impl Usage {
    /// Until now.
    pub fn now() -> Usage {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<f64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        // user nice system idle iowait irq softirq steal
        let busy: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|&field| ticks.get(field)).sum();
        // SAFETY: reads a number.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let own = own(libc::RUSAGE_SELF) + own(libc::RUSAGE_CHILDREN);
        Usage { all: busy / per_second, own, at: Instant::now() }
    }

    /// Processors that others kept busy since then, 0 if none. The kernel counts in
    /// hundredths of a second, so this is rough.
    pub fn others_since(&self) -> f64 {
        let now = Usage::now();
        let others = (now.all - self.all) - (now.own - self.own);
        (others / (now.at - self.at).as_secs_f64()).max(0.0)
    }
}

fn own(who: libc::c_int) -> f64 {
    // SAFETY: numbers only, so all zeros are a value, and the call writes one struct.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
