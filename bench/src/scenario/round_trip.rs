//! A message goes to another process and comes back.

use super::{Figures, Place, Setting};
use crate::process::Crew;
use crate::transport::{End, Role, Spec, Transport};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};
use std::{hint, io, mem, thread};

/// The longest time in a histogram, in ns; longer ones count as this.
const TIME_MOST: u64 = 10_000_000_000;

/// How long the other process is left alone before each round trip that is to find it
/// asleep: many times as long as anybody polls before he sleeps.
const REST: Duration = Duration::from_millis(2);

/// How the two processes wait for each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// In calls that do not wait, again and again.
    Polling,
    /// In calls that wait, one round trip after the other: nobody is away for long.
    Blocking,
    /// In calls that wait, with a rest before each round trip, so that the other sleeps.
    AfterSleep,
    /// In calls that wait: a single round trip when nothing has happened for a long time,
    /// as the first message of many a program finds the machine.
    AfterSilence,
}

/// Every time includes one reading of the clock, some 20 ns.
pub fn round_trip<T: Transport>(
    spec: &Spec,
    setting: &Setting,
    manner: Manner,
    place: Place,
) -> io::Result<Figures> {
    let (there, back) = (T::create(spec)?, T::create(spec)?);
    let mut crew = Crew::new()?;
    crew.start(setting.processor(place, true), |seat| {
        let (mut there, mut back) = (there.open(Role::Sender)?, back.open(Role::Receiver(0))?);
        let mut message = vec![0; spec.size];
        let mut number = 0u64;
        let mut trip = || -> io::Result<Trip> {
            number += 1;
            message[..8].copy_from_slice(&number.to_ne_bytes());
            let began = Instant::now();
            repeat(manner, || there.send(&message, 0))?;
            repeat(manner, || back.receive(&mut message))?;
            let ended = Instant::now();
            if message[..8] != number.to_ne_bytes() {
                return Err(io::Error::other("another message came back"));
            }
            Ok(Trip { began, ended })
        };
        let (times, trips, sleeps) = measure(setting, manner, &mut trip)?;
        let quantile = |part| times.value_at_quantile(part) as f64;
        seat.leave([quantile(0.5), quantile(0.99), quantile(0.999), sleeps as f64 / trips as f64]);
        Ok(())
    })?;
    crew.start(setting.processor(place, false), |_| {
        let (mut there, mut back) = (there.open(Role::Receiver(0))?, back.open(Role::Sender)?);
        let mut message = vec![0; spec.size];
        loop {
            repeat(manner, || there.receive(&mut message))?;
            repeat(manner, || back.send(&message, 0))?;
        }
    })?;
    let [typical, p99, p999, sleeps] = crew.finish()?;
    Ok(Figures {
        tail: (manner != Manner::AfterSilence).then_some((p99, p999)),
        sleeps: (manner != Manner::AfterSilence).then_some(sleeps),
        ..Figures::typical(typical)
    })
}

/// A message went there and back.
struct Trip {
    began: Instant,
    ended: Instant,
}

impl Trip {
    fn ns(&self) -> u64 {
        (self.ended - self.began).as_nanos() as u64
    }
}

/// The times, how many they are, and how often this process slept in them.
fn measure(
    setting: &Setting,
    manner: Manner,
    trip: &mut impl FnMut() -> io::Result<Trip>,
) -> io::Result<(Histogram<u64>, u64, u64)> {
    let mut times = Histogram::<u64>::new_with_bounds(1, TIME_MOST, 3)
        .map_err(|error| io::Error::other(error.to_string()))?;
    // The first trips find everything cold, and the other process still at its beginning.
    for _ in 0..3 {
        trip()?;
    }
    if manner == Manner::AfterSilence {
        thread::sleep(setting.silence);
        times.saturating_record(trip()?.ns());
        return Ok((times, 1, 0));
    }
    let began = Instant::now();
    let (mut trips, mut rests) = (0, 0);
    let before = sleeps();
    loop {
        if manner == Manner::AfterSleep {
            let awake = sleeps();
            thread::sleep(REST);
            rests += sleeps() - awake;
        }
        let trip = trip()?;
        let now = trip.ended - began;
        if now > setting.span / 10 {
            times.saturating_record(trip.ns());
        }
        trips += 1;
        if now > setting.span && !times.is_empty() {
            return Ok((times, trips, sleeps() - before - rests));
        }
    }
}

/// Call once, or if it polls until it is done.
#[inline(always)]
fn repeat(manner: Manner, mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(error)
                if manner == Manner::Polling && error.raw_os_error() == Some(libc::EAGAIN) =>
            {
                hint::spin_loop();
            }
            done => return done,
        }
    }
}

/// How often this thread gave up its processor to wait.
fn sleeps() -> u64 {
    // SAFETY: numbers only, so all zeros are a value, and the call writes one struct.
    unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nvcsw as u64
    }
}
