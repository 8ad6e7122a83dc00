//! Reading clocks, in nanoseconds.

use crate::deadline::Clock;

fn read(id: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec; the three clocks exist on every Linux that we support.
    unsafe { libc::clock_gettime(id, &mut now) };
    // Smaller on 32-bit machines.
    #[allow(clippy::unnecessary_cast)]
    let (seconds, rest) = (now.tv_sec as i64, now.tv_nsec as i64);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Now, on the monotonic clock.
pub fn monotonic_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Now, on the clock that a deadline names.
pub fn now_ns(clock: Clock) -> i64 {
    read(match clock {
        Clock::Realtime => libc::CLOCK_REALTIME,
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::Boottime => libc::CLOCK_BOOTTIME,
    })
}

/// As libc has it.
pub fn timespec(ns: i64) -> libc::timespec {
    libc::timespec { tv_sec: (ns / 1_000_000_000) as _, tv_nsec: (ns % 1_000_000_000) as _ }
}
