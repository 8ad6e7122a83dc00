//! What the processes do: send and receive messages that can be checked.

use super::ledger::{Ledger, PILL, id};
use super::{Rng, now};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::queue::Queue;
use std::time::{Duration, Instant};

/// Most bytes of a message here.
pub const MSGSIZE: usize = 104;

/// Which priorities a sender uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Lane,
    Four,
    All,
}

/// How a process waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Block,
    Timed,
    Try,
}

impl How {
    pub const ALL: [How; 3] = [How::Block, How::Timed, How::Try];

    pub fn wait(self, rng: &mut Rng) -> Wait {
        match self {
            How::Block => Wait::Unlimited,
            How::Timed => Wait::For(50_000 + rng.below(3_000_000) as i64),
            How::Try => Wait::Never,
        }
    }
}

fn word(id: u64, k: usize) -> u64 {
    id.wrapping_mul(2 * k as u64 + 1).rotate_left(k as u32)
}

/// Fill `buffer` with the message `id`.
pub fn compose(buffer: &mut [u8], id: u64) {
    for (k, bytes) in buffer.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&word(id, k).to_ne_bytes());
    }
}

/// The id of a message, if it is whole.
pub fn read(message: &[u8], prio: u32) -> Option<u64> {
    let first = message.first_chunk::<8>()?;
    let id = u64::from_ne_bytes(*first);
    let is_whole = message.len() % 8 == 0
        && message.chunks_exact(8).enumerate().all(|(k, bytes)| bytes == word(id, k).to_ne_bytes());
    (is_whole && (id >> 32) as u32 & 0xFFFF == prio).then_some(id)
}

pub fn send(queue: &Queue, message: &[u8], prio: u32, wait: Wait) -> Result<()> {
    // SAFETY: readable for its length.
    unsafe { queue.send(message.as_ptr(), message.len(), prio, wait) }
}

pub fn receive(queue: &Queue, buffer: &mut [u8], wait: Wait) -> Result<(usize, u32)> {
    // SAFETY: writable for its length.
    unsafe { queue.receive(buffer.as_mut_ptr(), buffer.len(), wait) }
}

/// One sending process.
pub struct Sender<'a> {
    pub ledger: &'a Ledger,
    pub queue: &'a Queue,
    /// From 1 on, and used once in a ledger.
    pub number: u64,
    pub how: How,
    pub shape: Shape,
    pub rng: Rng,
    next: u64,
    uniform: u64,
    buffer: [u8; MSGSIZE],
}

impl<'a> Sender<'a> {
    pub fn new(
        ledger: &'a Ledger,
        queue: &'a Queue,
        number: u64,
        how: How,
        shape: Shape,
        seed: u64,
    ) -> Sender<'a> {
        let rng = Rng::new(seed);
        Sender { ledger, queue, number, how, shape, rng, next: 0, uniform: 0, buffer: [0; MSGSIZE] }
    }

    /// Runs of one priority let the queue become a lane again.
    fn priority(&mut self) -> u32 {
        if self.uniform > 0 {
            self.uniform -= 1;
            return 1;
        }
        match self.shape {
            Shape::Lane => 0,
            _ if self.rng.one_in(100) => {
                self.uniform = self.rng.below(150);
                1
            }
            Shape::Four => self.rng.below(4) as u32,
            Shape::All => self.rng.below(32768) as u32,
        }
    }

    /// Send one message, however often it is refused, unless it is time to stop.
    pub fn send_one(&mut self, stop: impl Fn() -> bool) {
        let prio = self.priority();
        let id = id(self.number, prio, self.next);
        let len = 8 * (1 + self.rng.below(MSGSIZE as u64 / 8) as usize);
        compose(&mut self.buffer[..len], id);
        let record = self.ledger.begin_send(id);
        loop {
            let begin = now();
            match send(self.queue, &self.buffer[..len], prio, self.how.wait(&mut self.rng)) {
                Ok(()) => break,
                Err(error) if [libc::EAGAIN, libc::ETIMEDOUT, libc::EINTR].contains(&error.0) => {
                    if error.0 != libc::EINTR {
                        self.ledger.note_full(begin, now());
                    }
                    if stop() {
                        return self.ledger.drop_send(record);
                    }
                    if self.rng.one_in(4) {
                        std::thread::yield_now();
                    }
                    self.ledger.begin_again(record);
                }
                Err(error) => panic!("send: {error:?}"),
            }
        }
        self.ledger.end_send(record);
        self.next += 1;
    }
}

/// One receiving process.
pub struct Receiver<'a> {
    pub ledger: &'a Ledger,
    pub queue: &'a Queue,
    pub number: u64,
    pub how: How,
    pub rng: Rng,
    buffer: [u8; MSGSIZE],
}

impl<'a> Receiver<'a> {
    pub fn new(
        ledger: &'a Ledger,
        queue: &'a Queue,
        number: u64,
        how: How,
        seed: u64,
    ) -> Receiver<'a> {
        Receiver { ledger, queue, number, how, rng: Rng::new(seed), buffer: [0; MSGSIZE] }
    }

    /// Receive one message, however often there is none; false: it was the last.
    pub fn receive_one(&mut self) -> bool {
        loop {
            let begin = now();
            match receive(self.queue, &mut self.buffer, self.how.wait(&mut self.rng)) {
                Ok((len, prio)) => {
                    return note(self.ledger, &self.buffer[..len], prio, begin, self.number);
                }
                Err(error) if [libc::EAGAIN, libc::ETIMEDOUT, libc::EINTR].contains(&error.0) => {
                    if error.0 != libc::EINTR {
                        self.ledger.note_empty(begin, now());
                    }
                    if self.rng.one_in(4) {
                        std::thread::yield_now();
                    }
                }
                Err(error) => panic!("receive: {error:?}"),
            }
        }
    }
}

/// Write down a message just received; false: it was a pill.
pub fn note(ledger: &Ledger, message: &[u8], prio: u32, begin: u64, receiver: u64) -> bool {
    let end = now();
    match read(message, prio) {
        Some(PILL) => return false,
        Some(id) => ledger.note_receive(id, begin, end, receiver),
        None => ledger.note_corrupt(),
    }
    true
}

/// Tell one receiver to leave; false if nobody makes room for the message.
pub fn send_pill(queue: &Queue, patience: Duration) -> bool {
    let mut message = [0; 8];
    compose(&mut message, PILL);
    let until = Instant::now() + patience;
    while Instant::now() < until {
        match send(queue, &message, 0, Wait::For(100_000_000)) {
            Ok(()) => return true,
            Err(error) if error.0 == libc::ETIMEDOUT => {}
            Err(error) => panic!("pill: {error:?}"),
        }
    }
    false
}

/// Take what is left, without waiting.
pub fn drain(ledger: &Ledger, queue: &Queue, receiver: u64) {
    let mut buffer = [0; MSGSIZE];
    loop {
        let begin = now();
        match receive(queue, &mut buffer, Wait::Never) {
            Ok((len, prio)) => {
                note(ledger, &buffer[..len], prio, begin, receiver);
            }
            Err(error) if error.0 == libc::EAGAIN => return,
            Err(error) => panic!("drain: {error:?}"),
        }
    }
}
