//! What timed waits on System V queues cost, those that can be cancelled, and how soon they
//! end.
//!
//!     cargo run --release -p mqueue_core --example timed_waits

use mqueue_core::attr::OpenOptions;
use mqueue_core::deadline::Wait;
use mqueue_core::queue::{Queue, unlink};
use mqueue_core::sys::clock::monotonic_ns;
use std::ffi::{c_int, c_long};

/// How long the one who waits is watched.
const WATCHED_S: i64 = 10;
const ROUNDS: usize = 500;
const CALLS: i64 = 100_000;

fn put(queue: &Queue, message: &[u8]) {
    // SAFETY: a slice is readable.
    unsafe { queue.send(message.as_ptr(), message.len(), 0, Wait::Unlimited) }.expect("sent");
}

fn take(queue: &Queue, wait: Wait) -> i64 {
    let mut sent = [0; 8];
    // SAFETY: an array is writable.
    unsafe { queue.receive(sent.as_mut_ptr(), sent.len(), wait) }.expect("received");
    i64::from_ne_bytes(sent)
}

/// Send as a program does that does not use the library.
fn raw_put(id: c_int, message: &[u8; 8]) {
    let whole = (c_long::from(32_767i16) + 1, *message);
    // SAFETY: a type and 8 bytes, without padding between.
    assert_eq!(unsafe { libc::msgsnd(id, (&raw const whole).cast(), 8, 0) }, 0);
}

fn raw_take(id: c_int) {
    let mut whole = (0 as c_long, [0u8; 8]);
    // SAFETY: a type and 8 bytes, without padding between.
    assert_eq!(unsafe { libc::msgrcv(id, (&raw mut whole).cast(), 8, -c_long::MAX, 0) }, 8);
}

/// Run `work` in a process of its own, and give what it used: processor time, and how often
/// it slept.
fn used(work: impl FnOnce()) -> (i64, i64) {
    // SAFETY: plain calls; the child ends without running what belongs to us.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            work();
            libc::_exit(0);
        }
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::wait4(pid, std::ptr::null_mut(), 0, &mut usage), pid);
        // Narrower in 32-bit programs.
        #[allow(clippy::unnecessary_cast)]
        let us = |time: libc::timeval| time.tv_sec as i64 * 1_000_000 + time.tv_usec as i64;
        #[allow(clippy::unnecessary_cast)]
        let sleeps = usage.ru_nvcsw as i64;
        (us(usage.ru_utime) + us(usage.ru_stime), sleeps)
    }
}

/// The median and the longest time from a send to its receive, in microseconds. The sender is
/// a process of its own, so that this one has one thread.
fn latency(there: &Queue, wait: Wait, send: impl Fn(&[u8; 8])) -> (f64, f64) {
    // SAFETY: plain calls; the child ends without running what belongs to us.
    let sender = unsafe { libc::fork() };
    assert!(sender >= 0);
    if sender == 0 {
        for round in 0..ROUNDS {
            // Each time in another part of the slice.
            std::thread::sleep(std::time::Duration::from_micros(3000 + round as u64 * 17));
            send(&monotonic_ns().to_ne_bytes());
        }
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
    let mut times: Vec<i64> = (0..ROUNDS)
        .map(|_| {
            let sent = take(there, wait);
            monotonic_ns() - sent
        })
        .collect();
    // SAFETY: touches no memory of ours.
    unsafe { libc::waitpid(sender, std::ptr::null_mut(), 0) };
    times.sort_unstable();
    (times[ROUNDS / 2] as f64 / 1000.0, times[ROUNDS - 1] as f64 / 1000.0)
}

extern "C" fn nothing(_: c_int) {}

/// Nanoseconds of one call of each kind, the best of twenty rows, taken in turns.
fn costs(calls: [&dyn Fn(); 2]) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    for _ in 0..20 {
        for (call, best) in calls.iter().zip(&mut best) {
            let begun = monotonic_ns();
            (0..CALLS).for_each(|_| call());
            *best = best.min((monotonic_ns() - begun) as f64 / CALLS as f64);
        }
    }
    best
}

fn main() {
    let oflag = libc::O_CREAT | libc::O_RDWR;
    let queue =
        Queue::open(Some(c"sysv:private"), oflag, &OpenOptions::default()).expect("a queue");
    let name = queue.name().to_str().expect("ASCII").to_owned();
    let id: c_int = name.strip_prefix("sysv:id:").and_then(|id| id.parse().ok()).expect("a number");
    let long = Wait::For(3_600_000_000_000);

    let (processor_us, sleeps) = used(|| {
        let mut byte = 0u8;
        // SAFETY: room for one byte.
        let _ = unsafe { queue.receive(&mut byte, 1, Wait::For(WATCHED_S * 1_000_000_000)) };
    });
    println!(
        "a timed receive that waits: {:.0} wakeups a second, {:.3} % of a processor",
        sleeps as f64 / WATCHED_S as f64,
        processor_us as f64 / (WATCHED_S * 10_000) as f64
    );

    println!("from send to receive, in microseconds: median, longest of {ROUNDS}");
    let report = |who: &str, wait: Wait| {
        let (median, longest) = latency(&queue, wait, |message| put(&queue, message));
        println!("  a message of this library, waited for {who}: {median:.0}, {longest:.0}");
        let (median, longest) = latency(&queue, wait, |message| raw_put(id, message));
        println!("  a message of another program, waited for {who}: {median:.0}, {longest:.0}");
    };
    report("for ever", Wait::Unlimited);
    report("for a time", long);
    // From now on a call may be cancelled.
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(libc::SIGUSR1, nothing as extern "C" fn(c_int) as usize) };
    report("for ever, with a signal handler", Wait::Unlimited);

    let message = [0; 8];
    let [raw, ours] = costs([
        &|| {
            raw_put(id, &message);
            raw_take(id);
        },
        &|| {
            put(&queue, &message);
            take(&queue, Wait::Unlimited);
        },
    ]);
    println!("send and receive of 8 bytes, nobody waiting: {raw:.0} ns raw, {ours:.0} ns by us");
    unlink(queue.name()).expect("removed");
}
