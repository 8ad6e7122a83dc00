//! Reading clocks, in nanoseconds.

use crate::deadline::Clock;

/// clock_gettime with 64-bit times: of this number on every 32-bit architecture (Linux 5.1).
const SYS_CLOCK_GETTIME64: libc::c_long = 403;

fn read(id: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec; the three clocks exist on every Linux that we support.
    let result = unsafe { libc::clock_gettime(id, &mut now) };
    // Smaller in 32-bit programs.
    #[allow(clippy::unnecessary_cast)]
    let (mut seconds, mut rest) = (now.tv_sec as i64, now.tv_nsec as i64);
    if cfg!(target_pointer_width = "32") && result != 0 {
        // Too small for the time that it is (from 2038 on).
        let mut now = [0i64; 2];
        // SAFETY: writes two 64-bit numbers.
        unsafe { libc::syscall(SYS_CLOCK_GETTIME64, id, now.as_mut_ptr()) };
        [seconds, rest] = now;
    }
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Now, on the monotonic clock.
pub fn monotonic_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Now, on the monotonic clock, as of its last tick: some milliseconds old, and cheap.
pub fn coarse_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// The same in milliseconds, of which only differences count.
pub fn coarse_ms() -> u32 {
    (coarse_ns() / 1_000_000) as u32
}

/// Now on the wall clock, or a tick of the system ago; without a system call on any machine.
pub fn coarse_realtime_ns() -> i64 {
    read(libc::CLOCK_REALTIME_COARSE)
}

/// Now, on the clock that a deadline names.
pub fn now_ns(clock: Clock) -> i64 {
    read(match clock {
        Clock::Realtime => libc::CLOCK_REALTIME,
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::Boottime => libc::CLOCK_BOOTTIME,
    })
}

/// As the system call futex has it: seconds and the rest in words of the machine, whatever
/// the size of libc's `time_t`.
pub fn timespec(ns: i64) -> [libc::c_long; 2] {
    let seconds = libc::c_long::try_from(ns / 1_000_000_000).unwrap_or(libc::c_long::MAX);
    [seconds, (ns % 1_000_000_000) as libc::c_long]
}
