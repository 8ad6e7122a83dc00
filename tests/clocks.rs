//! Clocks that are set, stand still and go beyond all bounds while a call waits.
//!
//! The program defines `clock_gettime` and `syscall` itself, before the C library's, so the
//! library reads a world's clocks and sleeps in a world's time: a sleep takes none of ours,
//! and time and length of every one are known exactly. The machine's clocks are left alone.
//! The kernel's POSIX queues, too, wait in that time: only whether they are full or empty is
//! asked of the real ones.
//! Only a shared C library lets a program do that; the code is the same elsewhere.
#![cfg(target_env = "gnu")]

use mqueue_core::sync::Ordering::Relaxed;
use mqueue_core::sync::local::AtomicU32 as LastNumber;
use mqueue_rs::*;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int, c_long, c_void};
use std::process::Command;
use std::ptr::{null, null_mut};

mod common;
use common::run;

/// Nanoseconds.
const MS: i64 = 1_000_000;
const S: i64 = 1000 * MS;
const HOUR: i64 = 3600 * S;
const YEAR: i64 = 365 * 24 * HOUR;
/// The longest that a deadline goes on after its clock was set, as the header has it.
const NOTICED: i64 = 100 * MS;

/// What happens at a moment of the monotonic clock.
#[derive(Clone, Copy)]
enum Event {
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
const OLD: &str = "MQRS_TEST_OLD_KERNEL";

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
        libc::CLOCK_REALTIME => world.realtime,
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

/// Which end of the queue waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Sender,
    Receiver,
}

const FULL: u64 = 2;
const SIZE: usize = 8;

/// A queue on which one side has to wait.
struct Stuck {
    queue: *mut mqrs_queue,
    side: Side,
}

impl Stuck {
    /// In shared memory.
    fn new(side: Side) -> Stuck {
        Stuck::named(None, side)
    }

    /// In the kernel.
    fn in_kernel(side: Side) -> Stuck {
        static NUMBER: LastNumber = LastNumber::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("posix:/mqrs-clocks-{}-{number}", std::process::id());
        Stuck::named(Some(&CString::new(name).expect("a name")), side)
    }

    /// In a System V queue, which is full of empty messages.
    fn in_system_v(side: Side) -> Stuck {
        let oflag = libc::O_CREAT | libc::O_RDWR;
        let mut queue = null_mut();
        // SAFETY: every pointer is valid, or null where it may be.
        unsafe {
            // Where there is one, a namespace of this thread's takes the queue along.
            libc::unshare(libc::CLONE_NEWIPC);
            assert_eq!(mqrs_open(c"sysv:private".as_ptr(), oflag, null(), 0, &mut queue), 0);
            if side == Side::Sender {
                assert_eq!(mqrs_set_maxbytes(queue, FULL), 0);
                (0..FULL).for_each(|_| assert_eq!(mqrs_send(queue, null(), 0, 0), 0));
            }
        }
        Stuck { queue, side }
    }

    fn named(name: Option<&CStr>, side: Side) -> Stuck {
        let name = name.map_or(null(), CStr::as_ptr);
        let mut queue = null_mut();
        let options =
            mqrs_options { maxmsg: FULL, msgsize: SIZE as u64, ..mqrs_options::default() };
        let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        // SAFETY: every pointer is valid, or null where it may be.
        unsafe {
            assert_eq!(mqrs_open(name, oflag, &options, size_of_val(&options), &mut queue), 0);
            assert_eq!(mqrs_unlink(mqrs_name(queue)), 0);
            if side == Side::Sender {
                (0..FULL).for_each(|_| assert_eq!(mqrs_send(queue, null(), 0, 0), 0));
            }
        }
        Stuck { queue, side }
    }

    /// For so long.
    fn wait_for(&self, timeout: i64) -> i32 {
        let mut buffer = [0u8; SIZE];
        // SAFETY: an open handle; the buffer is writable.
        unsafe {
            match self.side {
                Side::Sender => mqrs_timedsend(self.queue, null(), 0, 0, timeout),
                Side::Receiver => mqrs_timedreceive(
                    self.queue,
                    buffer.as_mut_ptr().cast(),
                    SIZE,
                    timeout,
                    null_mut(),
                ) as i32,
            }
        }
    }

    /// Until a time on a clock.
    fn wait_until(&self, clock: c_int, deadline: i64) -> i32 {
        let mut buffer = [0u8; SIZE];
        // SAFETY: as above.
        unsafe {
            match self.side {
                Side::Sender => mqrs_send_until(self.queue, null(), 0, 0, clock, deadline),
                Side::Receiver => mqrs_receive_until(
                    self.queue,
                    buffer.as_mut_ptr().cast(),
                    SIZE,
                    clock,
                    deadline,
                    null_mut(),
                ) as i32,
            }
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // SAFETY: an open handle, which nobody uses any more.
        unsafe {
            // A System V queue is nothing without its name.
            mqrs_unlink(mqrs_name(self.queue));
            assert_eq!(mqrs_close(self.queue), 0);
        }
    }
}

/// Do what the one who waits is waiting for.
fn pass(queue: *mut mqrs_queue) {
    let mut buffer = [0u8; SIZE];
    let mut attr = mqrs_attr::default();
    // SAFETY: an open handle; everything is writable.
    unsafe {
        assert_eq!(mqrs_getattr(queue, &mut attr, size_of_val(&attr)), 0);
        if attr.curmsgs == 0 {
            assert_eq!(mqrs_send(queue, null(), 0, 0), 0);
        } else {
            assert_eq!(mqrs_receive(queue, buffer.as_mut_ptr().cast(), SIZE, null_mut()), 0);
        }
    }
}

/// When every world begins: an odd time, on a machine that has been up for a while.
const BEGIN: i64 = 123 * HOUR + 456_789;
const BEGIN_REALTIME: i64 = 50 * YEAR + 987_654_321;
const BEGIN_BOOTTIME: i64 = BEGIN + 77 * HOUR;

/// How a wait in a world ended.
struct Wait {
    answer: i32,
    /// How long it took, on the monotonic clock.
    took: i64,
    /// Its longest sleep.
    longest: i64,
    /// How often it slept.
    sleeps: usize,
    /// How often it began to wait in the kernel's queues.
    kernel_waits: u32,
}

/// Wait in a world of its own; events are at times from its beginning.
fn wait_in(events: &[(i64, Event)], begin: i64, wait: impl FnOnce() -> i32) -> Wait {
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

/// Each behaviour holds for both sides.
fn on_both_sides(check: impl Fn(&Stuck)) {
    for side in [Side::Receiver, Side::Sender] {
        check(&Stuck::new(side));
    }
}

/// The same with queues of the kernel.
fn on_both_sides_in_the_kernel(check: impl Fn(&Stuck)) {
    for side in [Side::Receiver, Side::Sender] {
        check(&Stuck::in_kernel(side));
    }
}

/// Whether a wait has ended in vain at a time, or a little later where its clock was set.
#[track_caller]
fn assert_over(wait: &Wait, at: i64, late: i64) {
    assert_eq!(wait.answer, -libc::ETIMEDOUT);
    assert!(
        (at..=at + late).contains(&wait.took),
        "it took {} ms instead of {} to {}",
        wait.took / MS,
        at / MS,
        (at + late) / MS
    );
}

#[test]
fn a_relative_timeout_knows_nothing_of_clocks_that_are_set() {
    on_both_sides(|stuck| {
        let events = [
            (S, Event::Step(YEAR)),
            (2 * S, Event::Step(-3 * YEAR)),
            (3 * S, Event::Suspend(HOUR)),
            (4 * S, Event::Set(0)),
        ];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));

        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_monotonic_deadline_knows_nothing_of_clocks_that_are_set() {
    on_both_sides(|stuck| {
        let events = [
            (S, Event::Step(YEAR)),
            (2 * S, Event::Step(-3 * YEAR)),
            (3 * S, Event::Suspend(HOUR)),
        ];
        let wait =
            wait_in(&events, BEGIN, || stuck.wait_until(libc::CLOCK_MONOTONIC, BEGIN + 5 * S));

        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_wall_clock_deadline_comes_sooner_when_the_clock_is_set_forwards() {
    on_both_sides(|stuck| {
        for (by, at) in [(HOUR, 10 * S), (2 * S, HOUR - 2 * S), (30 * YEAR, 10 * S)] {
            let events = [(10 * S + 7, Event::Step(by))];
            let wait = wait_in(&events, BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + HOUR)
            });

            assert_over(&wait, at, NOTICED + 7);
        }
    });
}

#[test]
fn a_wall_clock_deadline_comes_later_when_the_clock_is_set_back() {
    on_both_sides(|stuck| {
        for back in [1, 2 * S, HOUR] {
            let events = [(5 * S, Event::Step(-back))];
            let wait = wait_in(&events, BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + 10 * S)
            });

            assert_over(&wait, 10 * S + back, 0);
        }
    });
}

#[test]
fn a_wall_clock_deadline_follows_the_clock_back_and_forth() {
    on_both_sides(|stuck| {
        let events = [
            (S, Event::Step(-20 * YEAR)),
            (2 * S, Event::Step(20 * YEAR - 4 * S)),
            (3 * S, Event::Step(S)),
        ];
        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + 10 * S)
        });

        assert_over(&wait, 13 * S, 0);
    });
}

#[test]
fn suspended_time_counts_on_the_boot_clock_alone() {
    on_both_sides(|stuck| {
        let events = [(10 * S, Event::Suspend(HOUR)), (20 * S, Event::Step(-YEAR))];
        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR + 30 * S)
        });
        assert_over(&wait, 30 * S, 0);

        let wait = wait_in(&events[..1], BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR)
        });
        assert_over(&wait, 10 * S, NOTICED);
    });
}

#[test]
fn what_comes_is_taken_whatever_the_clocks_do() {
    for side in [Side::Receiver, Side::Sender] {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let stuck = Stuck::new(side);
            let events = [
                (S, Event::Step(-YEAR)),
                (2 * S, Event::Suspend(HOUR)),
                (7 * S + 3, Event::Pass(stuck.queue)),
            ];
            let deadline = BEGIN_REALTIME + 20 * YEAR;
            let wait = wait_in(&events, BEGIN, || stuck.wait_until(clock, deadline));

            assert_eq!((wait.answer, wait.took), (0, 7 * S + 3), "{side:?} {clock}");
        }
    }
}

#[test]
fn a_sleep_towards_a_clock_that_may_be_set_is_short() {
    on_both_sides(|stuck| {
        for (clock, begin) in
            [(libc::CLOCK_REALTIME, BEGIN_REALTIME), (libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME)]
        {
            let wait = wait_in(&[], BEGIN, || stuck.wait_until(clock, begin + HOUR));
            assert_over(&wait, HOUR, 0);
            assert!(wait.longest <= NOTICED, "{} ms", wait.longest / MS);
        }

        // And one that cannot be set costs a wake-up a second, no more.
        let wait = wait_in(&[], BEGIN, || stuck.wait_for(HOUR));
        assert_over(&wait, HOUR, 0);
        assert_eq!(wait.longest, S);
    });
}

#[test]
fn a_timed_wait_of_a_system_v_queue_looks_every_few_milliseconds_and_sleeps_meanwhile() {
    for side in [Side::Receiver, Side::Sender] {
        let stuck = Stuck::in_system_v(side);
        let waits: [&dyn Fn() -> i32; 4] = [
            &|| stuck.wait_for(S),
            &|| stuck.wait_until(libc::CLOCK_MONOTONIC, BEGIN + S),
            &|| stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + S),
            &|| stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + S),
        ];
        for wait in waits {
            let wait = wait_in(&[], BEGIN, wait);
            assert_over(&wait, S, 0);
            // A program that rings no bell is noticed in time, and costs little.
            assert!(wait.longest <= 10 * MS, "{} ms", wait.longest / MS);
            assert!((100..=200).contains(&wait.sleeps), "{} sleeps", wait.sleeps);
        }

        let events = [(15 * MS, Event::Pass(stuck.queue))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(S));
        assert_eq!((wait.answer, wait.took), (0, 15 * MS));
    }
}

#[test]
fn the_ends_of_time_are_times() {
    const LAST: i64 = i64::MAX;
    on_both_sides(|stuck| {
        // Seconds that are more nanoseconds than a number holds: past every deadline.
        for second in [LAST, LAST / S + 1, LAST - 1] {
            let wait = wait_in(&[(S, Event::Set(second))], BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, LAST - 1)
            });
            assert_over(&wait, S, NOTICED);
        }
        // Before 1970, even before everything.
        for second in [0, -1, -LAST / S - 1, i64::MIN] {
            let events = [(S, Event::Set(second)), (HOUR, Event::Set(LAST))];
            let wait = wait_in(&events, BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + YEAR)
            });
            assert_over(&wait, HOUR, NOTICED);
        }
        // The last nanoseconds of the monotonic clock.
        for left in [1, S, HOUR] {
            let wait =
                wait_in(&[], LAST - left, || stuck.wait_until(libc::CLOCK_MONOTONIC, LAST - 1));
            assert_over(&wait, left - 1, 0);
            let wait = wait_in(&[], LAST - left, || stuck.wait_for(left - 1));
            assert_eq!(wait.took, left - 1);
            let wait = wait_in(&[], LAST - left, || stuck.wait_for(0));
            assert_eq!(wait.answer, -libc::EAGAIN);
        }
    });
}

#[test]
fn a_wait_in_the_kernel_goes_on_when_its_clock_is_set_forwards() {
    on_both_sides_in_the_kernel(|stuck| {
        let events =
            [(S, Event::Step(YEAR)), (2 * S, Event::Suspend(HOUR)), (3 * S, Event::Step(2 * S))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, 5 * S, 0);
        // Once more after each of them.
        assert_eq!(wait.kernel_waits, 4);

        let wait =
            wait_in(&events, BEGIN, || stuck.wait_until(libc::CLOCK_MONOTONIC, BEGIN + 5 * S));
        assert_over(&wait, 5 * S, 0);

        let wait = wait_in(&[events[0]], BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + 5 * S)
        });
        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_wait_in_the_kernel_becomes_longer_by_what_its_clock_is_set_back_and_no_more() {
    on_both_sides_in_the_kernel(|stuck| {
        let events = [(S, Event::Step(-HOUR)), (4 * S, Event::Step(-S))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, 5 * S + HOUR + S, 0);

        // Unless it is set again.
        let events = [(S, Event::Step(-HOUR)), (2 * S, Event::Step(HOUR))];
        let wait = wait_in(&events, BEGIN, || stuck.wait_for(5 * S));
        assert_over(&wait, 5 * S, 0);
    });
}

#[test]
fn a_wall_clock_deadline_in_the_kernel_follows_the_clock_at_once() {
    on_both_sides_in_the_kernel(|stuck| {
        let until = || stuck.wait_until(libc::CLOCK_REALTIME, BEGIN_REALTIME + 10 * S);
        for (events, at) in [
            (vec![(S + 7, Event::Step(HOUR))], S + 7),
            (vec![(S, Event::Step(2 * S))], 8 * S),
            (vec![(S, Event::Step(-HOUR))], 10 * S + HOUR),
            (vec![(S, Event::Step(-20 * YEAR)), (2 * S, Event::Step(20 * YEAR + S))], 9 * S),
            (vec![(S, Event::Suspend(HOUR))], S),
        ] {
            let wait = wait_in(&events, BEGIN, until);

            assert_over(&wait, at, 0);
            assert_eq!(wait.kernel_waits, 1);
        }
    });
}

#[test]
fn suspended_time_counts_in_the_kernel_on_the_boot_clock() {
    on_both_sides_in_the_kernel(|stuck| {
        let events = [(10 * S, Event::Suspend(HOUR))];
        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR + 30 * S)
        });
        assert_over(&wait, 30 * S, 0);

        let wait = wait_in(&events, BEGIN, || {
            stuck.wait_until(libc::CLOCK_BOOTTIME, BEGIN_BOOTTIME + HOUR)
        });
        assert_over(&wait, 10 * S, 0);
    });
}

#[test]
fn what_comes_is_taken_from_the_kernel_whatever_the_clocks_do() {
    for side in [Side::Receiver, Side::Sender] {
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let stuck = Stuck::in_kernel(side);
            let events = [
                (S, Event::Step(-YEAR)),
                (2 * S, Event::Suspend(HOUR)),
                (3 * S, Event::Step(YEAR)),
                (7 * S + 3, Event::Pass(stuck.queue)),
            ];
            let deadline = BEGIN_REALTIME + 20 * YEAR;
            let wait = wait_in(&events, BEGIN, || stuck.wait_until(clock, deadline));

            assert_eq!((wait.answer, wait.took), (0, 7 * S + 3), "{side:?} {clock}");
        }
    }
}

#[test]
fn the_ends_of_time_are_times_in_the_kernel() {
    const LAST: i64 = i64::MAX;
    for side in [Side::Receiver, Side::Sender] {
        // Beyond the range of the clock, or of the kernel's: for ever.
        let beyond: [&dyn Fn(&Stuck) -> i32; 4] = [
            &|stuck| stuck.wait_for(LAST),
            &|stuck| stuck.wait_for(LAST - BEGIN),
            &|stuck| stuck.wait_until(libc::CLOCK_MONOTONIC, LAST - 1),
            &|stuck| stuck.wait_until(libc::CLOCK_BOOTTIME, LAST - 1),
        ];
        for wait_beyond in beyond {
            let stuck = Stuck::in_kernel(side);
            let events = [(YEAR, Event::Pass(stuck.queue))];
            let wait = wait_in(&events, BEGIN, || wait_beyond(&stuck));
            assert_eq!((wait.answer, wait.took, wait.kernel_waits), (0, YEAR, 1));
        }

        let stuck = Stuck::in_kernel(side);
        // Seconds that are more nanoseconds than a number holds: past every deadline.
        for second in [LAST, LAST / S + 1, LAST - 1] {
            let wait = wait_in(&[(S, Event::Set(second))], BEGIN, || {
                stuck.wait_until(libc::CLOCK_REALTIME, LAST - 1)
            });
            assert_over(&wait, S, 0);
        }
        // The last nanoseconds of the monotonic clock.
        for left in [1, S, HOUR] {
            let wait =
                wait_in(&[], LAST - left, || stuck.wait_until(libc::CLOCK_MONOTONIC, LAST - 1));
            assert_over(&wait, left - 1, 0);
            let wait = wait_in(&[], LAST - left, || stuck.wait_for(0));
            assert_eq!((wait.answer, wait.took), (-libc::EAGAIN, 0));
        }
        // A deadline that was over long ago is no time that the kernel would refuse.
        for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
            let wait = wait_in(&[], BEGIN, || stuck.wait_until(clock, 0));
            assert_over(&wait, 0, 0);
        }
    }
}

#[test]
fn all_of_this_holds_without_futex_waitv() {
    if std::env::var_os(OLD).is_some() {
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    run(again.env(OLD, "1"));
}
