//! One process sends and receives; nobody waits, nobody disturbs. What the queue's own work
//! costs, in ns for each message sent and received.

use super::{BATCH, Figures, Place, Priorities, Setting};
use crate::process::Crew;
use crate::transport::{Batch, End, Role, Spec, Transport, cannot};
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

/// Send several messages in one call and receive them in one.
pub fn pair_of_batches<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    if !T::BATCHES {
        return Err(cannot());
    }
    let mut batch = Batch::new(BATCH, spec.size);
    timed::<T>(spec, setting, 0, move |end, _, _| {
        let sent = end.send_batch(black_box(&mut batch), BATCH)?;
        let received = end.receive_batch(black_box(&mut batch), BATCH)?;
        if sent == received { Ok(sent as u64) } else { Err(io::Error::other("a message is lost")) }
    })
}

/// The same with a call for each message.
pub fn single_pairs<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    timed::<T>(spec, setting, 0, |end, message, _| {
        for _ in 0..BATCH {
            end.send(black_box(message), 0)?;
        }
        for _ in 0..BATCH {
            end.receive(black_box(message))?;
        }
        Ok(BATCH as u64)
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
    mut step: impl FnMut(&mut T::End, &mut [u8], &mut Priorities) -> io::Result<u64>,
) -> io::Result<Figures> {
    /// Pairs between two looks at the clock.
    const LOOK: u64 = 1000;
    let queue = T::create(spec)?;
    let mut crew = Crew::new()?;
    crew.start(setting.processor(Place::Together, true), |seat| {
        let mut end = queue.open(Role::Both)?;
        let mut priorities = Priorities::new(0, spec.levels);
        let mut message = vec![7; spec.size];
        for _ in 0..filled {
            end.send(&message, priorities.next())?;
        }
        let mut many = || -> io::Result<u64> {
            let mut pairs = 0;
            while pairs < LOOK {
                pairs += step(&mut end, &mut message, &mut priorities)?;
            }
            Ok(pairs)
        };
        let warm = Instant::now();
        while warm.elapsed() < setting.span / 10 {
            many()?;
        }
        let began = Instant::now();
        let mut pairs = 0;
        while began.elapsed() < setting.span {
            pairs += many()?;
        }
        seat.leave([began.elapsed().as_nanos() as f64 / pairs as f64]);
        Ok(())
    })?;
    let [typical] = crew.finish()?;
    Ok(Figures::typical(typical))
}
