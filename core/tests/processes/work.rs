//! What the processes do: send and receive messages that can be checked.

use super::ledger::{Ledger, PILL, id};
use super::{Rng, now};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Result;
use mqueue_core::message::{Incoming, Outgoing, Request, state};
use mqueue_core::queue::Queue;
use mqueue_core::shm::ShmQueue;
use mqueue_core::shm::layout::REDELIVERED;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::transport::Transport as _;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Most bytes of a message here.
pub const MSGSIZE: usize = 104;

/// Most messages of a batch here: what a receiver that is killed may take with it.
pub const BATCH: usize = 16;

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

/// Receive, and learn whether the message comes again.
fn receive_known(queue: &Queue, buffer: &mut [u8], wait: Wait) -> Result<(usize, u32, bool)> {
    let request = Request {
        data: buffer.as_mut_ptr(),
        cap: buffer.len(),
        kind: 0,
        prio: 0,
        sequence: 0,
        flags: 0,
    };
    // SAFETY: writable for its length.
    let Incoming { len, prio, state, .. } = unsafe { queue.receive_message(&request, wait) }?;
    Ok((len, prio, state & state::REDELIVERED != 0))
}

/// Whether a refusal is none of the queue's damage: try again.
fn may_try_again(error: i32) -> bool {
    [libc::EAGAIN, libc::ETIMEDOUT, libc::EINTR, libc::ENOBUFS].contains(&error)
}

/// Whether it says something of the number of messages.
fn is_answer(error: i32) -> bool {
    [libc::EAGAIN, libc::ETIMEDOUT].contains(&error)
}

/// One sending process.
pub struct Sender<'a> {
    pub ledger: &'a Ledger,
    pub queue: &'a Queue,
    /// From 1 on, and used once in a ledger.
    pub number: u64,
    pub how: How,
    pub shape: Shape,
    /// By reserve and commit, with an abort now and then.
    pub in_place: bool,
    /// Up to [`BATCH`] in a call.
    pub in_batches: bool,
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
        Sender {
            ledger,
            queue,
            number,
            how,
            shape,
            in_place: false,
            in_batches: false,
            rng,
            next: 0,
            uniform: 0,
            buffer: [0; MSGSIZE],
        }
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

    fn try_send(&mut self, len: usize, prio: u32) -> Result<()> {
        let (queue, wait) = (self.queue, self.how.wait(&mut self.rng));
        if !self.in_place {
            return send(queue, &self.buffer[..len], prio, wait);
        }
        if self.rng.one_in(4) {
            queue.abort(queue.reserve(MSGSIZE, wait)?).expect("abort");
        }
        let slot = queue.reserve(len, wait)?;
        // SAFETY: room for so many bytes, ours alone.
        unsafe { slot.copy_from_nonoverlapping(self.buffer.as_ptr(), len) };
        let sent = queue.commit(slot, len, prio, wait);
        if sent.is_err() {
            queue.abort(slot).expect("still reserved");
        }
        sent
    }

    /// Send some messages in one call, however often it is refused, unless it is time to stop.
    fn send_several(&mut self, stop: impl Fn() -> bool) {
        let count = 1 + self.rng.below(BATCH as u64) as usize;
        let mut buffers = [[0u8; MSGSIZE]; BATCH];
        let mut messages = Vec::with_capacity(count);
        for (number, buffer) in (self.next..).zip(buffers.iter_mut().take(count)) {
            let prio = self.priority();
            let id = id(self.number, prio, number);
            let len = 8 * (1 + self.rng.below(MSGSIZE as u64 / 8) as usize);
            compose(&mut buffer[..len], id);
            let message = Outgoing { data: buffer.as_ptr(), len, prio, kind: 0, flags: 0 };
            messages.push((message, self.ledger.begin_send(id)));
        }
        let sent = loop {
            let begin = now();
            let wait = self.how.wait(&mut self.rng);
            let message = |i: usize| messages[i].0;
            // SAFETY: readable for their lengths.
            match unsafe { self.queue.send_batch(count, message, wait) } {
                Ok(sent) => break sent,
                Err(error) if may_try_again(error.0) => {
                    if is_answer(error.0) {
                        self.ledger.note_full(begin, now());
                    }
                    if stop() {
                        break 0;
                    }
                    for (_, record) in &messages {
                        self.ledger.begin_again(record);
                    }
                }
                Err(error) => panic!("send several: {error:?}"),
            }
        };
        for (i, (_, record)) in messages.iter().enumerate() {
            if i < sent { self.ledger.end_send(record) } else { self.ledger.drop_send(record) }
        }
        self.next += sent as u64;
    }

    /// Send one message, or a batch, however often it is refused, unless it is time to stop.
    pub fn send_one(&mut self, stop: impl Fn() -> bool) {
        if self.in_batches {
            return self.send_several(stop);
        }
        let prio = self.priority();
        let id = id(self.number, prio, self.next);
        let len = 8 * (1 + self.rng.below(MSGSIZE as u64 / 8) as usize);
        compose(&mut self.buffer[..len], id);
        let record = self.ledger.begin_send(id);
        loop {
            let begin = now();
            match self.try_send(len, prio) {
                Ok(()) => break,
                Err(error) if may_try_again(error.0) => {
                    if is_answer(error.0) {
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
    /// Messages may come again.
    pub in_place: bool,
    /// Up to [`BATCH`] in a call.
    pub in_batches: bool,
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
        Receiver {
            ledger,
            queue,
            number,
            how,
            in_place: false,
            in_batches: false,
            rng: Rng::new(seed),
            buffer: [0; MSGSIZE],
        }
    }

    fn try_receive(&mut self) -> Result<(usize, u32, bool)> {
        let wait = self.how.wait(&mut self.rng);
        if self.in_place {
            return receive_known(self.queue, &mut self.buffer, wait);
        }
        receive(self.queue, &mut self.buffer, wait).map(|(len, prio)| (len, prio, false))
    }

    /// Receive some messages in one call; false: the last was among them.
    fn receive_several(&mut self) -> Result<bool> {
        let count = 1 + self.rng.below(BATCH as u64) as usize;
        let mut buffers = [[0u8; MSGSIZE]; BATCH];
        let first = buffers.as_mut_ptr();
        let request = |i| Request {
            data: first.wrapping_add(i).cast(),
            cap: MSGSIZE,
            kind: 0,
            prio: 0,
            sequence: 0,
            flags: 0,
        };
        let got = [const { Cell::new(None) }; BATCH];
        let known = &got;
        let begin = now();
        let wait = self.how.wait(&mut self.rng);
        // SAFETY: `count` buffers that are writable.
        let received = unsafe {
            self.queue.receive_batch(count, request, |i, m| known[i].set(Some(m)), wait)
        }?;
        let mut pills = 0;
        for (buffer, known) in buffers.iter().zip(got.iter().take(received)) {
            let Incoming { len, prio, state, .. } = known.get().expect("told of each message");
            let again = state & state::REDELIVERED != 0;
            let message = &buffer[..len];
            pills += i32::from(!note_as(self.ledger, message, prio, begin, self.number, again));
        }
        for _ in 1..pills {
            // Meant for the others.
            assert!(send_pill(self.queue, Duration::from_secs(10)));
        }
        Ok(pills == 0)
    }

    /// Receive one message, or a batch, however often there is none; false: it was the last.
    pub fn receive_one(&mut self) -> bool {
        loop {
            let begin = now();
            let received = match self.in_batches {
                true => self.receive_several().map(Err),
                false => self.try_receive().map(Ok),
            };
            match received {
                Ok(Err(go_on)) => return go_on,
                Ok(Ok((len, prio, again))) => {
                    let message = &self.buffer[..len];
                    return note_as(self.ledger, message, prio, begin, self.number, again);
                }
                Err(error) if may_try_again(error.0) => {
                    if is_answer(error.0) {
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

/// One process that receives in place: it writes down what it has acquired before it gives
/// it back, and gives some back unread, to come again.
pub struct Worker<'a> {
    pub ledger: &'a Ledger,
    pub inside: &'a ShmQueue,
    pub number: u64,
    pub how: How,
    pub rng: Rng,
}

impl Worker<'_> {
    /// Acquire one message, however often there is none; false: it was the last.
    pub fn receive_one(&mut self) -> bool {
        loop {
            let begin = now();
            match self.inside.acquire(self.how.wait(&mut self.rng)) {
                Ok((data, len, prio)) => {
                    if let Some(go_on) = self.work_at(data, len, prio, begin) {
                        return go_on;
                    }
                }
                Err(error) if may_try_again(error.0) => {
                    if is_answer(error.0) {
                        self.ledger.note_empty(begin, now());
                    }
                    if self.rng.one_in(4) {
                        std::thread::yield_now();
                    }
                }
                Err(error) => panic!("acquire: {error:?}"),
            }
        }
    }

    fn work_at(&mut self, data: *const u8, len: usize, prio: u32, begin: u64) -> Option<bool> {
        if self.rng.one_in(4) {
            match self.inside.requeue(data) {
                Ok(()) => return None,
                Err(error) if error.0 == libc::EAGAIN => {}
                Err(error) => panic!("requeue: {error:?}"),
            }
        }
        let segment = self.inside.attachment().expect("attached").engine().segment();
        let slot = segment.slot_with_payload(data).expect("a slot's payload");
        let again = slot.prio.load(SeqCst) & REDELIVERED != 0;
        // SAFETY: an acquired message, which stays as it is.
        let message = unsafe { std::slice::from_raw_parts(data, len) };
        let go_on = note_as(self.ledger, message, prio, begin, self.number, again);
        self.inside.release(data).expect("release");
        Some(go_on)
    }
}

/// Write down a message just received; false: it was a pill.
pub fn note(ledger: &Ledger, message: &[u8], prio: u32, begin: u64, receiver: u64) -> bool {
    note_as(ledger, message, prio, begin, receiver, false)
}

/// The same for one that may have come again.
fn note_as(
    ledger: &Ledger,
    message: &[u8],
    prio: u32,
    begin: u64,
    receiver: u64,
    again: bool,
) -> bool {
    let end = now();
    match read(message, prio) {
        Some(PILL) => return false,
        Some(id) if again => ledger.note_again(id),
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
        match receive_known(queue, &mut buffer, Wait::Never) {
            Ok((len, prio, again)) => {
                note_as(ledger, &buffer[..len], prio, begin, receiver, again);
            }
            Err(error) if error.0 == libc::EAGAIN => return,
            Err(error) => panic!("drain: {error:?}"),
        }
    }
}
