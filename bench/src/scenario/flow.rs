//! As many messages as possible, from some processes to others.

use super::{BATCH, Figures, Place, Priorities, Setting};
use crate::process::{Counts, Crew};
use crate::transport::{Batch, End, Role, Spec, Transport, cannot};
use std::hint::black_box;
use std::time::Duration;
use std::{io, thread};

/// From senders to receivers. Alone, a receiver checks that the messages come in order.
pub fn flow<T: Transport>(spec: &Spec, setting: &Setting, place: Place) -> io::Result<Figures> {
    let queue = T::create(spec)?;
    let mut crew = Crew::new()?;
    start(&queue, &mut crew, spec, setting, place)?;
    // Who shares processors gets them for some milliseconds at a time: it takes many such
    // turns until chance evens out.
    let turns = if place == Place::Anywhere { 4 } else { 1 };
    let (before, after) = watch(&mut crew, spec, setting.span * turns)?;
    let done = after.done_since(&before);
    let (sent, received) = done.split_at(spec.senders);
    let messages: f64 = received.iter().sum();
    Ok(Figures {
        fairness: (done.len() > 2).then(|| (fairness(sent), fairness(received))),
        sleeps: Some((after.sleeps - before.sleeps) as f64 / messages.max(1.0)),
        ..Figures::typical(messages / after.seconds_since(&before) / 1e6)
    })
}

/// From one sender to one receiver, not timed: what they ask of the kernel.
pub fn calls<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    let queue = T::create(spec)?;
    let mut crew = Crew::counting_calls()?;
    start(&queue, &mut crew, spec, setting, Place::Apart)?;
    let (before, after) = watch(&mut crew, spec, setting.span)?;
    let calls = after.calls.zip(before.calls).map_or(0, |(after, before)| after - before) as f64;
    let messages = after.done_since(&before)[1];
    Ok(Figures::typical(calls / messages.max(1.0)))
}

/// From one sender to one receiver where they lie: of each message only the number is touched,
/// so that what is measured is the queue. The receiver checks the order.
pub fn in_place<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    if !T::IN_PLACE {
        return Err(cannot());
    }
    let queue = T::create(spec)?;
    let mut crew = Crew::new()?;
    crew.start(setting.processor(Place::Apart, true), |seat| {
        let mut end = queue.open(Role::Sender)?;
        for number in 0u64.. {
            end.send_in_place(spec.size, number)?;
            seat.count(number + 1);
        }
        Ok(())
    })?;
    crew.start(setting.processor(Place::Apart, false), |seat| {
        let mut end = queue.open(Role::Receiver(0))?;
        for number in 0u64.. {
            if end.receive_in_place(spec.size)? != number {
                return Err(io::Error::other("a message is lost or out of order"));
            }
            seat.count(number + 1);
        }
        Ok(())
    })?;
    let (before, after) = watch(&mut crew, spec, setting.span)?;
    let messages = after.done_since(&before)[1];
    Ok(Figures {
        sleeps: Some((after.sleeps - before.sleeps) as f64 / messages.max(1.0)),
        ..Figures::typical(messages / after.seconds_since(&before) / 1e6)
    })
}

/// Start the senders, then the receivers.
fn start<T: Transport>(
    queue: &T,
    crew: &mut Crew,
    spec: &Spec,
    setting: &Setting,
    place: Place,
) -> io::Result<()> {
    for sender in 0..spec.senders {
        crew.start(setting.processor(place, true), |seat| {
            let mut end = queue.open(Role::Sender)?;
            let mut priorities = Priorities::new(sender, spec.levels);
            let mut message = vec![0; spec.size];
            for number in 0u64.. {
                message[..8].copy_from_slice(&number.to_ne_bytes());
                end.send(black_box(&message), priorities.next())?;
                seat.count(number + 1);
            }
            Ok(())
        })?;
    }
    for receiver in 0..spec.receivers {
        crew.start(setting.processor(place, false), |seat| {
            let mut end = queue.open(Role::Receiver(receiver))?;
            let mut message = vec![0; spec.size];
            let is_ordered = spec.levels == 1 && spec.senders == 1 && spec.receivers == 1;
            for number in 0u64.. {
                end.receive(black_box(&mut message))?;
                if is_ordered && message[..8] != number.to_ne_bytes() {
                    return Err(io::Error::other("a message is lost or out of order"));
                }
                seat.count(number + 1);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// From one sender to one receiver, several in each call. The receiver checks the order.
pub fn batches<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    if !T::BATCHES {
        return Err(cannot());
    }
    let queue = T::create(spec)?;
    let mut crew = Crew::new()?;
    crew.start(setting.processor(Place::Apart, true), |seat| {
        let mut end = queue.open(Role::Sender)?;
        let mut batch = Batch::new(BATCH, spec.size);
        let mut number = 0u64;
        loop {
            for i in 0..BATCH {
                batch.message(i)[..8].copy_from_slice(&(number + i as u64).to_ne_bytes());
            }
            // What there was no room for is made anew.
            number += end.send_batch(black_box(&mut batch), BATCH)? as u64;
            seat.count(number);
        }
    })?;
    crew.start(setting.processor(Place::Apart, false), |seat| {
        let mut end = queue.open(Role::Receiver(0))?;
        let mut batch = Batch::new(BATCH, spec.size);
        let mut number = 0u64;
        loop {
            let received = end.receive_batch(black_box(&mut batch), BATCH)?;
            for i in 0..received {
                if batch.message(i)[..8] != number.to_ne_bytes() {
                    return Err(io::Error::other("a message is lost or out of order"));
                }
                number += 1;
            }
            seat.count(number);
        }
    })?;
    let (before, after) = watch(&mut crew, spec, setting.span)?;
    let messages = after.done_since(&before)[1];
    Ok(Figures {
        sleeps: Some((after.sleeps - before.sleeps) as f64 / messages.max(1.0)),
        ..Figures::typical(messages / after.seconds_since(&before) / 1e6)
    })
}

/// Two processes, both sending and receiving on one queue that stays half full.
pub fn both_ways<T: Transport>(spec: &Spec, setting: &Setting) -> io::Result<Figures> {
    let queue = T::create(spec)?;
    let mut crew = Crew::new()?;
    for process in 0..2 {
        crew.start(setting.processor(Place::Apart, process == 0), |seat| {
            let mut end = queue.open(Role::Both)?;
            let mut priorities = Priorities::new(process, spec.levels);
            let mut message = vec![0; spec.size];
            for _ in 0..spec.depth / 4 {
                end.send(&message, priorities.next())?;
            }
            for number in 1u64.. {
                end.send(black_box(&message), priorities.next())?;
                end.receive(black_box(&mut message))?;
                seat.count(number);
            }
            Ok(())
        })?;
    }
    let (before, after) = watch(&mut crew, spec, setting.span)?;
    let done = after.done_since(&before);
    let pairs: f64 = done.iter().sum();
    Ok(Figures {
        sleeps: Some((after.sleeps - before.sleeps) as f64 / pairs.max(1.0)),
        ..Figures::typical(pairs / after.seconds_since(&before) / 1e6)
    })
}

/// Look at the counts when every page has been touched and everybody is warm, and a span
/// later.
fn watch(crew: &mut Crew, spec: &Spec, span: Duration) -> io::Result<(Counts, Counts)> {
    crew.await_messages(4 * spec.depth as u64)?;
    thread::sleep(span / 4);
    let before = crew.counts()?;
    thread::sleep(span);
    Ok((before, crew.counts()?))
}

/// The least over the most.
fn fairness(done: &[f64]) -> f64 {
    let least = done.iter().copied().fold(f64::INFINITY, f64::min);
    let most = done.iter().copied().fold(0.0, f64::max);
    if most > 0.0 { least / most } else { 0.0 }
}
