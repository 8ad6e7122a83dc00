//! A world for one thread: its clocks, what happens in it, and how it sleeps.

use crate::stuck::pass;
use mqueue_rs::mqrs_queue;
use std::cell::RefCell;
use std::ffi::{c_int, c_long, c_void};

/// Nanoseconds.
pub const MS: i64 = 1_000_000;
pub const S: i64 = 1000 * MS;
pub const HOUR: i64 = 3600 * S;
pub const YEAR: i64 = 365 * 24 * HOUR;
/// The longest that a deadline goes on after its clock was set, as the header has it.
pub const NOTICED: i64 = 100 * MS;

/// What happens at a moment of the monotonic clock.
#[derive(Clone, Copy)]
pub enum Event {
    /// The wall clock is set, by so much forwards.
    Step(i64),
    /// The wall clock is set to this, in seconds.
    Set(i64),
    /// The machine sleeps for so long.
    Suspend(i64),
    /// A message is sent, or one is received.
    Pass(*mut mqrs_queue),
}

/// The clocks of one thread.
struct World {
    monotonic: i64,
    /// Seconds and nanoseconds, as far as they go.
    realtime: i128,
    boottime: i128,
    /// Moments and events, the next one last.
    events: Vec<(i64, Event)>,
    /// How long each sleep was asked to be.
    sleeps: Vec<i64>,
    /// How often a call began to wait in the kernel's queues.
    kernel_waits: u32,
    /// The kernel has no futex_waitv.
    is_old: bool,
}

/// Set where the tests run once more as on a kernel without futex_waitv. (Once the library
/// has met one, it does not try again.)
pub const OLD: &str = "MQRS_TEST_OLD_KERNEL";

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

fn with_world<R>(f: impl FnOnce(&mut World) -> R) -> Option<R> {
    WORLD.try_with(|world| world.try_borrow_mut().ok()?.as_mut().map(f)).ok().flatten()
}

/// The C library's function behind ours.
fn real(name: &'static std::ffi::CStr) -> *mut c_void {
    // SAFETY: a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null());
    found
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, to: *mut libc::timespec) -> c_int {
    let now = with_world(|world| match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => world.realtime,
        libc::CLOCK_BOOTTIME => world.boottime,
        _ => world.monotonic.into(),
    });
    let Some(now) = now else {
        // SAFETY: the C library's function has this type.
        let real = unsafe {
            std::mem::transmute::<
                *mut c_void,
                unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int,
            >(real(c"clock_gettime"))
        };
        // SAFETY: granted by the caller.
        return unsafe { real(clock, to) };
    };
    let second = i128::from(S);
    let time = libc::timespec {
        tv_sec: now.div_euclid(second) as libc::time_t,
        tv_nsec: now.rem_euclid(second) as _,
    };
    // SAFETY: the caller gave a place for it.
    unsafe { to.write(time) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let is_old = with_world(|world| world.is_old);
    // SAFETY: the C library's function has this type.
    let real = || unsafe {
        std::mem::transmute::<
            *mut c_void,
            unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long,
        >(real(c"syscall"))
    };
    // SAFETY: the time of these calls is a pointer to one of these forms.
    let answer = unsafe {
        match (number, is_old) {
            (libc::SYS_futex_waitv, Some(false)) => {
                assert_eq!(e as c_int, libc::CLOCK_MONOTONIC);
                sleep_until(*(d as *const [i64; 2]))
            }
            (libc::SYS_futex_waitv, Some(true)) => Some(libc::ENOSYS),
            (libc::SYS_futex, Some(_)) if b as c_int == libc::FUTEX_WAIT_BITSET => {
                let until = &*(d as *const libc::timespec);
                // Smaller on 32-bit machines.
                #[allow(clippy::unnecessary_cast)]
                sleep_until([until.tv_sec as i64, until.tv_nsec as i64])
            }
            (TIMEDSEND | TIMEDRECEIVE, Some(_)) => {
                let until = (e as *const [i64; 2]).as_ref().copied();
                let past = [0i64; 2];
                loop {
                    let done = real()(number, a, b, c, d, past.as_ptr() as usize, f);
                    if done >= 0 || *libc::__errno_location() != libc::ETIMEDOUT {
                        return done;
                    }
                    match wait_in_kernel(until) {
                        None => {}
                        over => break over,
                    }
                }
            }
            _ => return real()(number, a, b, c, d, e, f),
        }
    };
    match answer {
        None => 0,
        Some(errno) => {
            // SAFETY: this thread's errno.
            unsafe { *libc::__errno_location() = errno };
            -1
        }
    }
}

/// The calls in which a POSIX queue waits, with 64-bit times on every machine.
#[cfg(target_pointer_width = "64")]
const TIMEDSEND: c_long = libc::SYS_mq_timedsend;
#[cfg(target_pointer_width = "64")]
const TIMEDRECEIVE: c_long = libc::SYS_mq_timedreceive;
#[cfg(target_pointer_width = "32")]
const TIMEDSEND: c_long = 418;
#[cfg(target_pointer_width = "32")]
const TIMEDRECEIVE: c_long = 419;

/// Wait as the kernel does: until its wall clock has come there, wherever it is set.
fn wait_in_kernel(until: Option<[i64; 2]>) -> Option<c_int> {
    let until = until.map(|[seconds, nanoseconds]| {
        let is_valid = seconds >= 0 && (0..S).contains(&nanoseconds);
        assert!(is_valid, "an invalid time: {seconds}, {nanoseconds}");
        i128::from(seconds) * i128::from(S) + i128::from(nanoseconds)
    });
    with_world(|world| world.kernel_waits += 1);
    loop {
        let left = with_world(|world| until.map(|until| until - world.realtime)).expect("a world");
        if left.is_some_and(|left| left <= 0) {
            return Some(libc::ETIMEDOUT);
        }
        let left = left.and_then(|left| i64::try_from(left).ok());
        let at = left.and_then(|left| with_world(|world| world.monotonic.checked_add(left))?);
        match let_pass(at) {
            Some(Event::Pass(queue)) => {
                pass(queue);
                return None;
            }
            Some(_) => {}
            None => assert!(at.is_some(), "nothing will ever end this wait"),
        }
    }
}

/// Let time pass until a moment of the monotonic clock, or until something happens.
fn let_pass(until: Option<i64>) -> Option<Event> {
    with_world(|world| {
        let is_due = |at: i64| until.is_none_or(|until| at <= until);
        let next = world.events.last().copied().filter(|(at, _)| is_due(*at));
        if next.is_some() {
            world.events.pop();
        }
        let now = next.map_or(until, |(at, _)| Some(at)).unwrap_or(i64::MAX).max(world.monotonic);
        let passed = i128::from(now - world.monotonic);
        world.monotonic = now;
        world.realtime += passed;
        world.boottime += passed;
        match next?.1 {
            Event::Step(by) => world.realtime += i128::from(by),
            Event::Set(to) => world.realtime = i128::from(to) * i128::from(S),
            Event::Suspend(by) => {
                world.realtime += i128::from(by);
                world.boottime += i128::from(by);
            }
            Event::Pass(_) => {}
        }
        next.map(|(_, event)| event)
    })
    .expect("a world")
}

/// Let time pass; `None` if something was changed that the sleeper waits for.
fn sleep_until([seconds, nanoseconds]: [i64; 2]) -> Option<c_int> {
    assert!((0..S).contains(&nanoseconds), "an invalid time: {seconds}, {nanoseconds}");
    let until = seconds.checked_mul(S).and_then(|s| s.checked_add(nanoseconds)).expect("a time");
    with_world(|world| world.sleeps.push(until - world.monotonic));
    loop {
        match let_pass(Some(until)) {
            None => return Some(libc::ETIMEDOUT),
            Some(Event::Pass(queue)) => {
                pass(queue);
                return None;
            }
            Some(_) => {}
        }
    }
}
/// When every world begins: an odd time, on a machine that has been up for a while.
pub const BEGIN: i64 = 123 * HOUR + 456_789;
pub const BEGIN_REALTIME: i64 = 50 * YEAR + 987_654_321;
pub const BEGIN_BOOTTIME: i64 = BEGIN + 77 * HOUR;

/// How a wait in a world ended.
pub struct Wait {
    pub answer: i32,
    /// How long it took, on the monotonic clock.
    pub took: i64,
    /// Its longest sleep.
    pub longest: i64,
    /// How often it slept.
    pub sleeps: usize,
    /// How often it began to wait in the kernel's queues.
    pub kernel_waits: u32,
}

/// Wait in a world of its own; events are at times from its beginning.
pub fn wait_in(events: &[(i64, Event)], begin: i64, wait: impl FnOnce() -> i32) -> Wait {
    let mut events: Vec<_> = events.iter().map(|(at, event)| (begin + at, *event)).collect();
    events.sort_by_key(|(at, _)| -at);
    let world = World {
        monotonic: begin,
        realtime: BEGIN_REALTIME.into(),
        boottime: BEGIN_BOOTTIME.into(),
        events,
        sleeps: Vec::new(),
        kernel_waits: 0,
        is_old: std::env::var_os(OLD).is_some(),
    };
    WORLD.with(|place| *place.borrow_mut() = Some(world));
    let answer = wait();
    let world = WORLD.with(|place| place.borrow_mut().take()).expect("this world");
    assert!(world.events.is_empty(), "{} events did not come", world.events.len());
    let longest = world.sleeps.iter().copied().max().unwrap_or(0);
    let World { monotonic, sleeps, kernel_waits, .. } = world;
    Wait { answer, took: monotonic - begin, longest, sleeps: sleeps.len(), kernel_waits }
}
/// Whether a wait has ended in vain at a time, or a little later where its clock was set.
#[track_caller]
pub fn assert_over(wait: &Wait, at: i64, late: i64) {
    assert_eq!(wait.answer, -libc::ETIMEDOUT);
    assert!(
        (at..=at + late).contains(&wait.took),
        "it took {} ms instead of {} to {}",
        wait.took / MS,
        at / MS,
        (at + late) / MS
    );
}
