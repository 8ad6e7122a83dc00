//! One process sends and receives; nobody waits, nobody disturbs. What the queue's own work
//! costs, in ns for each message sent and received.

use super::{Figures, Place, Priorities, Setting};
use crate::process::Crew;
use crate::transport::{End, Role, Spec, Transport};
use std::hint::black_box;
use std::io;
use std::time::Instant;

/// Send a message and receive it.
pub fn pair<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    timed::<T>(spec, setting, 0, |end, message, _| {
        end.send(black_box(message), 0)?;
        end.receive(black_box(message))?;
        Ok(1)
    })
}

/// A queue stays half full: send with some priority, receive the best.
pub fn hold<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    timed::<T>(spec, setting, spec.depth / 2, |end, message, priorities| {
        end.send(black_box(message), priorities.next())?;
        end.receive(black_box(message))?;
        Ok(1)
    })
}

/// A queue goes from a quarter to three quarters full and back.
pub fn bursts<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    timed::<T>(spec, setting, spec.depth / 4, |end, message, priorities| {
        for _ in 0..spec.depth / 2 {
            end.send(black_box(message), priorities.next())?;
        }
        for _ in 0..spec.depth / 2 {
            end.receive(black_box(message))?;
        }
        Ok(spec.depth as u64 / 2)
    })
}

/// Fill a queue with some messages, then repeat a step that tells how many pairs it is.
fn timed<T: Transport>(
    spec: &Spec,
    setting: &Setting,
    filled: usize,
    step: impl Fn(&mut T::End, &mut [u8], &mut Priorities) -> io::Result<u64>,
) -> io::Result<Figures> {
    /// Pairs between two looks at the clock.
    const BATCH: u64 = 1000;
    let queue = T::create(spec)?;
    let mut crew = Crew::new()?;
    crew.start(setting.processor(Place::Together, true), |seat| {
        let mut end = queue.open(Role::Both)?;
        let mut priorities = Priorities::new(0, spec.levels);
        let mut message = vec![7; spec.size];
        for _ in 0..filled {
            end.send(&message, priorities.next())?;
        }
        let mut batch = || -> io::Result<u64> {
            let mut pairs = 0;
            while pairs < BATCH {
                pairs += step(&mut end, &mut message, &mut priorities)?;
            }
            Ok(pairs)
        };
        let warm = Instant::now();
        while warm.elapsed() < setting.span / 10 {
            batch()?;
        }
        let began = Instant::now();
        let mut pairs = 0;
        while began.elapsed() < setting.span {
            pairs += batch()?;
        }
        seat.leave([began.elapsed().as_nanos() as f64 / pairs as f64]);
        Ok(())
    })?;
    let [typical] = crew.finish()?;
    Ok(Figures::typical(typical))
}
