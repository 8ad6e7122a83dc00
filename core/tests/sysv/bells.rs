//! The bells of timed waits, as they are documented: who sleeps on them, who rings them, and
//! what becomes of waits where they are damaged or cannot be had.

use super::waiting::{LONG, full, while_asleep};
use super::world::*;
use crate::skips::skip;
use mqueue_core::deadline::Wait;
use mqueue_core::queue::{self, Queue};
use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use std::thread::scope;

/// The page of bells, as it is documented.
struct Page(&'static [AtomicU32]);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bell {
    Receivers,
    Senders,
}

const KEY: c_int = 0x6d71_7273;

impl Page {
    fn attach() -> Page {
        // SAFETY: at an address of the kernel's choice.
        let base = unsafe { libc::shmat(libc::shmget(KEY, 4096, 0o666), std::ptr::null(), 0) };
        assert_ne!(base.addr(), usize::MAX);
        // SAFETY: so long is the page, which stays attached; any bytes are a value.
        Page(unsafe { std::slice::from_raw_parts(base.cast::<AtomicU32>(), 1024) })
    }

    fn word(&self, queue: &Queue, bell: Bell) -> &AtomicU32 {
        let pair = foreign::id_of(queue.name()) as usize % 500;
        let at = 16 + 2 * pair + usize::from(bell == Bell::Senders);
        &self.0[at]
    }

    /// As `mqrs_timedreceive` does: one more sleeper.
    fn announce(&self, queue: &Queue, bell: Bell) -> u32 {
        self.word(queue, bell).fetch_add(256 + 1, SeqCst) + 257
    }
}

/// Who sleeps on a word is woken; tells how many that were.
fn ring(word: &AtomicU32) -> i64 {
    // SAFETY: only looks the address up.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) as i64 }
}

/// Sleep on a word, for ever if need be; the test's time limit is the only one.
fn sleep_on(word: &AtomicU32, announced: u32) {
    let forever = std::ptr::null::<libc::timespec>();
    while word.load(SeqCst) == announced {
        // SAFETY: reads the word.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, announced, forever)
        };
    }
}

#[test]
fn who_waits_for_a_time_sleeps_on_the_documented_bell() {
    let world = World::new();
    let empty = make(&world.key());
    let full = full(&world);
    let page = Page::attach();

    let word = page.word(&empty, Bell::Receivers);
    let came = while_asleep(
        || empty.take(1, LONG),
        |_| {
            until(|| word.load(SeqCst) & 255 == 1 && ring(word) == 1);
            empty.put(b"x", 0, Wait::Never).unwrap();
        },
    );
    assert!(came.is_ok());

    let word = page.word(&full, Bell::Senders);
    let sent = while_asleep(
        || full.put(b"x", 0, LONG),
        |_| {
            until(|| word.load(SeqCst) & 255 == 1 && ring(word) == 1);
            full.take(4, Wait::Never).unwrap();
        },
    );
    assert!(sent.is_ok());
}

#[test]
fn every_change_rings_the_bell_of_those_who_wait_for_it() {
    let world = World::new();
    let page = Page::attach_after(&world);
    let rung = |queue: &Queue, bell: Bell, change: &dyn Fn()| {
        let word = page.word(queue, bell);
        let announced = page.announce(queue, bell);
        scope(|threads| {
            let sleeper = threads.spawn(|| sleep_on(word, announced));
            change();
            let is_rung = word.load(SeqCst) != announced;
            if !is_rung {
                word.store(0, SeqCst);
                ring(word);
            }
            sleeper.join().unwrap();
            assert!(is_rung, "nobody has rung");
        });
        // The page is shared with other tests where there is no world of our own.
    };

    let queue = make(&world.key());
    rung(&queue, Bell::Receivers, &|| queue.put(b"x", 0, Wait::Never).unwrap());
    rung(&queue, Bell::Receivers, &|| queue.put(b"x", 0, LONG).unwrap());
    rung(&queue, Bell::Receivers, &|| queue.put(b"x", 0, Wait::Unlimited).unwrap());
    rung(&queue, Bell::Senders, &|| drop(queue.take(1, Wait::Never).unwrap()));
    rung(&queue, Bell::Senders, &|| drop(queue.take(1, LONG).unwrap()));
    rung(&queue, Bell::Senders, &|| drop(queue.take(1, Wait::Unlimited).unwrap()));
    rung(&queue, Bell::Senders, &|| queue.set_maxbytes(100).unwrap());
    for bell in [Bell::Receivers, Bell::Senders] {
        let queue = make(&world.key());
        rung(&queue, bell, &|| queue::unlink(queue.name()).unwrap());
    }
}

impl Page {
    /// There is a page as soon as anybody has opened a queue.
    fn attach_after(world: &World) -> Page {
        drop(make(&world.key()));
        Page::attach()
    }
}

#[test]
fn a_bell_that_nobody_listens_to_is_not_touched() {
    let world = World::of_our_own("untouched-bells").unwrap_or_else(World::new);
    if !world.is_own {
        return;
    }
    let queue = make(&world.key());
    let page = Page::attach();
    for _ in 0..100 {
        queue.put(b"x", 0, LONG).unwrap();
        queue.take(1, LONG).unwrap();
    }

    assert_eq!(page.word(&queue, Bell::Receivers).load(SeqCst), 0);
    assert_eq!(page.word(&queue, Bell::Senders).load(SeqCst), 0);
}

#[test]
fn whatever_is_written_to_the_bells_costs_time_and_nothing_else() {
    let world = World::new();
    let there = make(&world.key());
    let back = make(&world.key());
    let page = Page::attach();
    let stop = AtomicI32::new(0);
    scope(|threads| {
        threads.spawn(|| {
            let mut noise = 1u32;
            while stop.load(SeqCst) == 0 {
                for queue in [&there, &back] {
                    for bell in [Bell::Receivers, Bell::Senders] {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        page.word(queue, bell).store(noise, SeqCst);
                    }
                }
            }
        });
        threads.spawn(|| {
            for _ in 0..200 {
                let (message, _) = there.take(9, LONG).unwrap();
                back.put(&message, 0, LONG).unwrap();
            }
        });
        for round in 0..200u32 {
            there.put(&round.to_ne_bytes(), 0, LONG).unwrap();
            assert_eq!(back.take(9, LONG).unwrap().0, round.to_ne_bytes());
        }
        stop.store(1, SeqCst);
    });
}

/// Use a queue from two threads with timed waits.
fn works(world: &World) {
    let queue = make(&world.key());
    let came = while_asleep(|| queue.take(9, LONG), |_| queue.put(b"x", 0, Wait::Never).unwrap());
    assert!(came.is_ok());
    queue.set_maxbytes(4).unwrap();
    queue.put(b"full", 0, Wait::Never).unwrap();
    let sent = while_asleep(|| queue.put(b"x", 0, LONG), |_| drop(queue.take(4, Wait::Never)));
    assert!(sent.is_ok());
}

/// How often a segment is attached.
fn attachments(id: c_int) -> u64 {
    // SAFETY: numbers only; the call writes one.
    let status = unsafe {
        let mut status: libc::shmid_ds = std::mem::zeroed();
        assert_eq!(libc::shmctl(id, libc::IPC_STAT, &mut status), 0);
        status
    };
    // Narrower in 32-bit programs.
    #[allow(clippy::useless_conversion)]
    u64::from(status.shm_nattch)
}

#[test]
fn closing_leaves_nothing_attached() {
    let Some(world) = World::of_our_own("bells-detached") else { return };
    let queue = make(&world.key());
    // SAFETY: touches no memory.
    let id = unsafe { libc::shmget(KEY, 0, 0) };
    assert_eq!(attachments(id), 1);

    for _ in 0..10 {
        drop(open(queue.name(), libc::O_RDWR).unwrap());
        queue::unlink(make(&world.key()).name()).unwrap();
    }

    assert_eq!(attachments(id), 1);
}

#[test]
fn without_the_page_of_bells_waits_work_all_the_same() {
    let segment = |len: usize, mode: c_int, fill: u8| {
        // SAFETY: a new segment, written within its length.
        unsafe {
            let id = libc::shmget(KEY, len, libc::IPC_CREAT | libc::IPC_EXCL | mode);
            assert!(id >= 0);
            let base = libc::shmat(id, std::ptr::null(), 0);
            std::ptr::write_bytes(base.cast::<u8>(), fill, len);
            libc::shmdt(base);
            id
        }
    };
    for (len, fill, is_taken) in
        [(4096, 0, true), (4096, 7, false), (100, 0, false), (8192, 0, false)]
    {
        let Some(world) = World::of_our_own("bells-taken") else { return };
        let id = segment(len, 0o666, fill);

        works(&world);
        let _queue = make(&world.key());

        assert_eq!(attachments(id) > 0, is_taken, "{len} bytes of {fill}");
    }
}

#[test]
fn a_user_who_may_not_use_the_page_of_bells_waits_all_the_same() {
    let Some(world) = World::of_our_own("bells-forbidden") else { return };
    // SAFETY: plain calls; the child is the test's own.
    let fate = unsafe {
        assert!(libc::shmget(KEY, 4096, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) >= 0);
        if libc::geteuid() != 0 {
            return skip("bells-forbidden", "not root");
        }
        process(|| {
            assert_eq!(libc::setuid(65534), 0);
            // Looking into threads of this process needs it to be an open book again.
            libc::prctl(libc::PR_SET_DUMPABLE, 1);
            works(&world);
            true
        })
        .end()
    };
    assert_eq!(fate, 0);
}
