//! Two ways to make a queue in shared memory pollable, bare: what a change costs its sender, how
//! soon epoll returns, and what becomes of a sender that is killed between change and token.
//!
//!     cargo run --release -p mqueue_core --example poll_ways
//!
//! eventfd: the sender wakes a futex; a helper thread of the poller, which sleeps there for one
//! slice at most, writes to an eventfd of its own. FIFO: the sender writes a token to a pipe in
//! packet mode that has a name, which the poller has open.

use mqueue_core::sync::AtomicU32;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU64;
use mqueue_core::sys::clock::monotonic_ns;
use mqueue_core::sys::futex;
use std::ffi::{CStr, CString, c_int};
use std::time::Duration;

const ROUNDS: usize = 2000;
/// The helper's first slice; it doubles up to a second.
const SLICE_NS: i64 = 20_000_000;
/// How long nobody noticing counts as never.
const NEVER: c_int = 3000;

/// What poller and sender share.
#[repr(C)]
struct Shared {
    bell: AtomicU32,
    sent: AtomicU32,
    seen: AtomicU32,
    sent_ns: AtomicU64,
    cost_ns: AtomicU64,
}

impl Shared {
    fn new() -> &'static Shared {
        let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping of zeros, never unmapped; all fields are atomics.
        unsafe {
            let page = libc::mmap(std::ptr::null_mut(), 4096, protection, kind, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            &*page.cast()
        }
    }
}

fn checked(result: impl Into<i64>) -> c_int {
    let result = result.into();
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result as c_int
}

/// Run `work` in a process of its own.
fn start(work: impl FnOnce()) -> libc::pid_t {
    // SAFETY: plain calls; the child ends without running what belongs to us.
    unsafe {
        let pid = checked(libc::fork());
        if pid == 0 {
            work();
            libc::_exit(0);
        }
        pid
    }
}

fn end(pid: libc::pid_t) {
    // SAFETY: a child of ours; its status is not asked for.
    checked(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) });
}

fn put(fd: c_int, bytes: &[u8]) {
    // SAFETY: a slice is readable.
    checked(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } as i64);
}

fn take(fd: c_int) {
    let mut bytes = [0u8; 8];
    // SAFETY: an array is writable.
    checked(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), 8) } as i64);
}

fn watch(fd: c_int) -> c_int {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: the kernel reads one event.
    unsafe {
        let epoll = checked(libc::epoll_create1(libc::EPOLL_CLOEXEC));
        checked(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event));
        epoll
    }
}

fn is_ready(epoll: c_int, ms: c_int) -> bool {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: room for one event.
    checked(unsafe { libc::epoll_wait(epoll, &mut event, 1, ms) }) == 1
}

#[derive(Clone, Copy)]
enum Way {
    Eventfd,
    Fifo,
}

/// The descriptor of the poller, and the means of its senders.
struct Place {
    way: Way,
    fd: c_int,
    path: CString,
}

impl Place {
    fn new(way: Way) -> Place {
        let path = format!("/dev/shm/poll-ways-{}", std::process::id());
        let path = CString::new(path).expect("no zero");
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        // SAFETY: a C string; numbers.
        let fd = unsafe {
            match way {
                Way::Eventfd => checked(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)),
                Way::Fifo => {
                    checked(libc::mkfifo(path.as_ptr(), 0o600));
                    let fd = checked(libc::open(path.as_ptr(), flags));
                    checked(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | libc::O_DIRECT));
                    checked(libc::fcntl(fd, libc::F_SETPIPE_SZ, 8192));
                    fd
                }
            }
        };
        Place { way, fd, path }
    }

    /// The helper, which only one of the two ways has.
    fn staff(&self, shared: &'static Shared) {
        let (Way::Eventfd, fd) = (self.way, self.fd) else { return };
        std::thread::spawn(move || {
            let (mut known, mut slice) = (0, SLICE_NS);
            loop {
                let bell = shared.bell.load(SeqCst);
                let sent = shared.sent.load(SeqCst);
                if sent != known {
                    known = sent;
                    slice = SLICE_NS;
                    put(fd, &1u64.to_ne_bytes());
                    continue;
                }
                futex::wait(&shared.bell, bell, monotonic_ns() + slice);
                slice = (slice * 2).min(1_000_000_000);
            }
        });
    }

    /// What a sender has open for it.
    fn token(&self) -> c_int {
        match self.way {
            Way::Eventfd => -1,
            // SAFETY: a C string.
            Way::Fifo => checked(unsafe { libc::open(self.path.as_ptr(), libc::O_WRONLY) }),
        }
    }

    fn tell(&self, shared: &Shared, token: c_int) {
        match self.way {
            Way::Eventfd => {
                shared.bell.fetch_add(1, SeqCst);
                futex::wake(&shared.bell, 1);
            }
            Way::Fifo => put(token, b"x"),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &CStr) {
    // SAFETY: a C string; only one of the ways has the file.
    unsafe { libc::unlink(path.as_ptr()) };
}

fn median(mut times: Vec<u64>) -> (f64, f64) {
    times.sort_unstable();
    (times[times.len() / 2] as f64 / 1000.0, times[times.len() * 99 / 100] as f64 / 1000.0)
}

fn rounds(place: &Place) {
    let shared = Shared::new();
    let sender = start(|| {
        let token = place.token();
        for round in 1..=ROUNDS as u32 {
            // The poller is asleep by then.
            std::thread::sleep(Duration::from_micros(300));
            let begun = monotonic_ns();
            shared.sent_ns.store(begun as u64, SeqCst);
            shared.sent.store(round, SeqCst);
            place.tell(shared, token);
            shared.cost_ns.store((monotonic_ns() - begun) as u64, SeqCst);
            while shared.seen.load(SeqCst) != round {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    });
    place.staff(shared);
    let epoll = watch(place.fd);
    let (mut latencies, mut costs) = (vec![], vec![]);
    for round in 1..=ROUNDS as u32 {
        assert!(is_ready(epoll, NEVER));
        latencies.push(monotonic_ns() as u64 - shared.sent_ns.load(SeqCst));
        take(place.fd);
        while shared.cost_ns.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        costs.push(shared.cost_ns.swap(0, SeqCst));
        shared.seen.store(round, SeqCst);
    }
    end(sender);
    let ((cost, cost_99), (latency, latency_99)) = (median(costs), median(latencies));
    println!("  the sender's cost: {cost:.1} us, 99 of 100 below {cost_99:.1}");
    println!("  until epoll returns: {latency:.1} us, 99 of 100 below {latency_99:.1}");
}

fn killed(place: &Place) {
    let shared = Shared::new();
    place.staff(shared);
    let epoll = watch(place.fd);
    let sender = start(|| {
        // The helper is asleep by then.
        std::thread::sleep(Duration::from_millis(200));
        shared.sent_ns.store(monotonic_ns() as u64, SeqCst);
        shared.sent.store(1, SeqCst);
        // SAFETY: our own end, before the token.
        unsafe { libc::raise(libc::SIGKILL) };
    });
    end(sender);
    let noticed = is_ready(epoll, NEVER);
    let after = (monotonic_ns() as u64 - shared.sent_ns.load(SeqCst)) as f64 / 1e6;
    let how = if noticed { "noticed" } else { "not noticed" };
    println!("  a sender killed before its token: {how} after {after:.0} ms");
}

fn main() {
    for (name, way) in [("eventfd and helper", Way::Eventfd), ("FIFO", Way::Fifo)] {
        println!("{name}");
        rounds(&Place::new(way));
        killed(&Place::new(way));
    }
    // The helpers sleep for ever.
    std::process::exit(0);
}
