//! How soon a wait for several queues ends, beside ppoll on as many POSIX queues, and what a
//! look at them costs.
//!
//!     cargo run --release -p mqueue_core --example wait_many

use mqueue_core::attr::OpenOptions;
use mqueue_core::deadline::Wait;
use mqueue_core::queue::{Queue, unlink};
use mqueue_core::sys::clock::monotonic_ns;
use mqueue_core::sys::poll::{self, Polled};
use mqueue_core::wait_many::{self, event};
use std::ffi::CString;

const ROUNDS: usize = 1000;
const LOOKS: i64 = 2000;

/// Queues that are gone with the program.
struct Queues(Vec<Queue>);

impl Queues {
    fn new(shm: usize, posix: usize, sysv: usize) -> Queues {
        let of = |prefix: &'static str, count: usize| {
            (0..count).map(move |i| {
                let name = format!("{prefix}:/wait-many-{}-{i}", std::process::id());
                let name = CString::new(name).expect("a name");
                let oflag = libc::O_CREAT | libc::O_RDWR;
                let options = OpenOptions { maxmsg: 4, msgsize: 8, ..OpenOptions::default() };
                Queue::open(Some(&name), oflag, &options).expect("a queue")
            })
        };
        let all = of("shm", shm).chain(of("posix", posix)).chain(of("sysv", sysv));
        Queues(all.collect())
    }

    /// The library's wait; gives which is ready.
    fn wait(&self, wait: Wait) -> Option<usize> {
        let asked = |i: usize| self.0.get(i).map(|queue| (queue, event::READABLE));
        let ready = wait_many::wait(self.0.len(), asked, wait).expect("waited");
        ready.iter().position(|&ready| ready != 0)
    }

    /// The kernel's.
    fn ppoll(&self, ns: i64) -> Option<usize> {
        let polled = |queue: &Queue| {
            let fd = queue.fd().expect("a descriptor");
            Polled { fd, events: poll::READABLE, revents: 0 }
        };
        let mut polled: Vec<_> = self.0.iter().map(polled).collect();
        poll::wait(&mut polled, ns).expect("polled");
        polled.iter().position(|polled| polled.revents != 0)
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        for queue in &self.0 {
            let _ = unlink(queue.name());
        }
    }
}

fn take(queue: &Queue) -> i64 {
    let mut sent = [0; 8];
    // SAFETY: an array is writable.
    unsafe { queue.receive(sent.as_mut_ptr(), 8, Wait::Never) }.expect("received");
    i64::from_ne_bytes(sent)
}

/// Send now and then, to one after the other, from a process of its own.
fn start_sender(queues: &Queues) -> libc::pid_t {
    // SAFETY: plain calls; the child ends without running what belongs to us.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            for round in 0..ROUNDS {
                std::thread::sleep(std::time::Duration::from_micros(2000));
                let queue = &queues.0[round * 7 % queues.0.len()];
                let now = monotonic_ns().to_ne_bytes();
                queue.send(now.as_ptr(), 8, 0, Wait::Unlimited).expect("sent");
            }
            libc::_exit(0);
        }
        pid
    }
}

fn report(what: &str, queues: &Queues, wait: impl Fn() -> Option<usize>, look: impl Fn()) {
    let begun = monotonic_ns();
    (0..LOOKS).for_each(|_| look());
    let cost = (monotonic_ns() - begun) as f64 / LOOKS as f64 / 1000.0;

    let sender = start_sender(queues);
    let mut times: Vec<i64> = (0..ROUNDS)
        .map(|_| {
            let which = wait().expect("one is ready");
            monotonic_ns() - take(&queues.0[which])
        })
        .collect();
    // SAFETY: touches no memory.
    unsafe { libc::waitpid(sender, std::ptr::null_mut(), 0) };
    times.sort_unstable();
    let us = |part: usize| times[ROUNDS * part / 100] as f64 / 1000.0;
    println!("{what:<44} {:>7.0} {:>7.0} {:>9.1}", us(50), us(99), cost);
}

fn main() {
    println!("{:<44} {:>7} {:>7} {:>9}", "in microseconds", "median", "99 %", "one look");
    for count in [1, 100] {
        let queues = Queues::new(0, count, 0);
        let ppoll = |ns| queues.ppoll(ns);
        let look = || assert_eq!(ppoll(0), None);
        report(&format!("ppoll on {count} POSIX"), &queues, || ppoll(i64::MAX), look);
    }
    for (shm, posix, sysv) in [
        (1, 0, 0),
        (100, 0, 0),
        (1000, 0, 0),
        (0, 1, 0),
        (0, 100, 0),
        (1, 1, 0),
        (10, 10, 0),
        (50, 50, 0),
        (1, 0, 1),
        (1, 1, 1),
    ] {
        let queues = Queues::new(shm, posix, sysv);
        let what = format!("mqrs_wait on {shm} shm, {posix} POSIX, {sysv} System V");
        let look = || assert_eq!(queues.wait(Wait::Never), None);
        report(&what, &queues, || queues.wait(Wait::Unlimited), look);
    }
}
