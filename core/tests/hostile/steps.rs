//! A word that changes at every step of a call: by a signal handler that runs there, so
//! that no chance and no second processor is needed. The call must end all the same.

use crate::damage::MSGSIZE_MAX;
use crate::processes::{Fate, Rng, Stage, open_inside, pause, spawn};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Errno;
use mqueue_core::fault::{Step, arm};
use mqueue_core::shm::ShmQueue;
use mqueue_core::shm::layout::{CONTROL_AT, OWNERS_AT};
use mqueue_core::sync::Ordering::{Relaxed, SeqCst};
use mqueue_core::sync::local::{AtomicPtr, AtomicU32, AtomicU64};
use mqueue_core::transport::Transport as _;
use std::time::{Duration, Instant};

/// What the handler does, and where.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
static HOW: AtomicU32 = AtomicU32::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);
static CHANGES: AtomicU64 = AtomicU64::new(0);
const WAYS: u32 = 4;
/// A number behind those of the steps.
const EVERY_STEP: u32 = Step::ALL.len() as u32;

/// Processor time for all calls under one word. Steps are slow here: each is a signal.
const PATIENCE: Duration = Duration::from_secs(60);

fn step() -> Option<Step> {
    Step::ALL.get(STEP.load(Relaxed) as usize).copied()
}

extern "C" fn change(_: i32) {
    // SAFETY: null, or a word of the mapping that the interrupted call uses.
    let Some(word) = (unsafe { WORD.load(Relaxed).as_ref() }) else { return };
    let changes = CHANGES.fetch_add(1, Relaxed);
    match HOW.load(Relaxed) {
        0 => word.store(word.load(Relaxed).wrapping_add(1), Relaxed),
        1 => word.store(word.load(Relaxed).wrapping_sub(1 << 32), Relaxed),
        2 => word.store(!word.load(Relaxed), Relaxed),
        // Something else each time; the upper half alone in half of the cases.
        _ => {
            let other = changes.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            word.store(word.load(Relaxed) ^ other << (32 * (changes & 1)), Relaxed);
        }
    }
    arm(step(), 1, libc::SIGUSR1);
}

/// First the words that a queue in use has, changed at every step of the calls; then, up
/// to `most`, any word at any step.
pub fn every_call_ends_whatever_changes_under_it(rng: &mut Rng, most: usize) {
    let begun = Instant::now();
    let any: Vec<_> = (CONTROL_AT..OWNERS_AT).step_by(8).collect();
    let used = words_in_use();
    assert!(used.len() >= 4, "a queue has more than {used:x?}");
    for &at in &used {
        try_word(EVERY_STEP, at);
    }
    for _ in used.len()..most {
        let step = rng.below(Step::ALL.len() as u64 + 1) as u32;
        try_word(step, any[rng.below(any.len() as u64) as usize]);
    }
    println!(
        "hostile: {} words changed at steps of calls, {:.1} s, every call ended",
        used.len().max(most),
        begun.elapsed().as_secs_f64()
    );
}

/// The words of the queue's own part that are not zero in a mixed queue.
fn words_in_use() -> Vec<usize> {
    let stage = Stage::new(4, 64);
    for prio in [1, 2, 1, 2] {
        // SAFETY: one byte of its own.
        unsafe { stage.queue.send(&1, 1, prio, Wait::Never) }.expect("there is room");
    }
    // SAFETY: a byte of its own.
    unsafe { stage.queue.receive(&mut 0, 1, Wait::Never) }.expect("one is there");
    stage.queue.acquire(Wait::Never).expect("another");
    stage.queue.reserve(1, Wait::Never).expect("there is room");
    let base = stage.engine().segment().base();
    // SAFETY: aligned words inside the mapping.
    let word = |at: &usize| unsafe { &*base.wrapping_add(*at).cast::<AtomicU64>() };
    (CONTROL_AT..OWNERS_AT).step_by(8).filter(|at| word(at).load(SeqCst) != 0).collect()
}

fn try_word(step: u32, at: usize) {
    let stage = Stage::new(4, 64);
    let mut child = spawn(|| {
        for how in 0..WAYS {
            for mixed in [false, true] {
                let queue = open_inside(&stage.name, libc::O_RDWR, &stage.options);
                use_while_changing(&queue, step, at, how, mixed);
                let segment = queue.attachment().expect("attached").engine().segment();
                segment.control().counters.0.poison.store(0, SeqCst);
            }
        }
    });
    let what = format!("word {at:#x} changed at {:?}", Step::ALL.get(step as usize));
    while child.look() == Fate::Running {
        assert!(child.processor_time() < PATIENCE, "a call does not end: {what}");
        pause(Duration::from_micros(100));
    }
    assert_eq!(child.look(), Fate::Exited(0), "{what}");
}

fn send_in_place(queue: &ShmQueue, prio: u32) -> Result<(), Errno> {
    let slot = queue.reserve(8, Wait::For(1000))?;
    // SAFETY: room for 8 bytes, inside the mapping whatever the words say.
    unsafe { slot.cast::<u64>().write(1) };
    queue.commit(slot, 8, prio, Wait::For(1000)).or_else(|_| queue.abort(slot))
}

fn receive_in_place(queue: &ShmQueue) -> Result<(), Errno> {
    let (data, len, _) = queue.acquire(Wait::For(1000))?;
    assert!(len <= 64, "more than a slot holds");
    queue.requeue(data).or_else(|_| queue.release(data))
}

fn use_while_changing(queue: &ShmQueue, step: u32, at: usize, how: u32, mixed: bool) {
    // SAFETY: the handler is a function as sigaction wants it.
    unsafe {
        let handler: extern "C" fn(i32) = change;
        libc::signal(libc::SIGUSR1, handler as libc::sighandler_t);
    }
    let message = [0; MSGSIZE_MAX];
    let mut buffer = [0; MSGSIZE_MAX];
    let base = queue.attachment().expect("attached").engine().segment().base();
    HOW.store(how, Relaxed);
    STEP.store(step, Relaxed);
    for round in 0..6 {
        let prio = if mixed { round % 3 } else { 0 };
        for call in 0..6 {
            WORD.store(base.wrapping_add(at).cast(), SeqCst);
            arm(self::step(), 1, libc::SIGUSR1);
            // SAFETY: bytes of these buffers.
            let answer = unsafe {
                match call {
                    0 | 1 => queue.send(message.as_ptr(), 8, prio, Wait::For(1000)),
                    2 => queue.receive(buffer.as_mut_ptr(), 64, Wait::For(1000)).map(drop),
                    3 => send_in_place(queue, prio),
                    4 => receive_in_place(queue),
                    _ => queue.attr().map(drop),
                }
            };
            arm(None, u64::MAX, 0);
            WORD.store(std::ptr::null_mut(), SeqCst);
            let expected = [
                libc::EAGAIN,
                libc::ETIMEDOUT,
                libc::EINTR,
                libc::EBADMSG,
                libc::EMSGSIZE,
                // The permit is not what it was, or somebody else's.
                libc::EINVAL,
                libc::ENOBUFS,
                // A tail that was changed may say that the queue was shut down.
                libc::EPIPE,
            ];
            if let Err(Errno(error)) = answer {
                assert!(expected.contains(&error), "errno {error}");
            }
        }
    }
}
