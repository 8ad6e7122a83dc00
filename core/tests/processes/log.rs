//! Callers whose every call is written down, each in a place of its own, so that writing
//! does not make them wait for each other.

use super::history::{Deed, Message, Operation, Which};
use super::ledger::{Shared, Zeroed};
use super::now;
use super::work::{MSGSIZE, compose, read};
use mqueue_core::deadline::Wait;
use mqueue_core::error::{Errno, Result};
use mqueue_core::shm::{Refused, ShmQueue};
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::{Acquire, Relaxed, Release};
use mqueue_core::transport::Transport as _;

/// One call.
#[repr(C)]
pub struct Record {
    begin: AtomicU64,
    end: AtomicU64,
    id: AtomicU64,
    /// What was done, written last; 0: nothing yet.
    deed: AtomicU64,
}
// SAFETY: atomics only.
unsafe impl Zeroed for Record {}

const SENT: u64 = 1;
const FULL: u64 = 2;
const RECEIVED: u64 = 3;
const EMPTY: u64 = 4;

/// The records of several callers.
pub struct Log {
    records: Shared<Record>,
    each: usize,
}

impl Log {
    /// Room for `callers`, `each` with so many calls.
    pub fn new(callers: usize, each: usize) -> Log {
        Log { records: Shared::new(callers * each), each }
    }

    fn of(&self, caller: usize) -> &[Record] {
        &self.records[caller * self.each..][..self.each]
    }

    /// What one caller has written.
    pub fn operations(&self, caller: usize) -> impl Iterator<Item = Operation> {
        self.of(caller).iter().map_while(move |record| {
            let deed = record.deed.load(Acquire);
            let id = record.id.load(Relaxed);
            let message = Message { id, prio: (id >> 32) as u32 & 0xFFFF };
            let which = match deed >> 8 {
                0 => Which::Highest,
                1 => Which::Lowest,
                prio => Which::Of(prio as u32 - 2),
            };
            let deed = match deed & 0xFF {
                SENT => Deed::Sent(message),
                FULL => Deed::Full,
                RECEIVED => Deed::Received(which, message),
                EMPTY => Deed::Empty(which),
                _ => return None,
            };
            let (begin, end) = (record.begin.load(Relaxed), record.end.load(Relaxed));
            Some(Operation { by: caller as u64, begin, end, deed })
        })
    }
}

/// One who calls.
pub struct Caller<'a> {
    queue: &'a ShmQueue,
    records: &'a [Record],
    written: usize,
    /// So many more answers "full" and "empty" are written down.
    pub answers: usize,
    buffer: [u8; MSGSIZE],
}

impl<'a> Caller<'a> {
    pub fn new(queue: &'a ShmQueue, log: &'a Log, caller: usize, answers: usize) -> Caller<'a> {
        Caller { queue, records: log.of(caller), written: 0, answers, buffer: [0; MSGSIZE] }
    }

    /// Send the message `id` of `words` words; whether there was room.
    pub fn send(&mut self, id: u64, words: usize, wait: Wait) -> bool {
        let len = 8 * words;
        compose(&mut self.buffer[..len], id);
        let prio = (id >> 32) as u32 & 0xFFFF;
        let begin = now();
        // SAFETY: readable for `len` bytes.
        let sent = unsafe { self.queue.send(self.buffer.as_ptr(), len, prio, wait) };
        let end = now();
        match sent {
            Ok(()) => self.note(begin, end, SENT, id),
            Err(error) => self.note_answer(begin, end, FULL, error),
        }
        sent.is_ok()
    }

    /// Receive the next message; its id, if there was one.
    pub fn receive(&mut self, wait: Wait) -> Option<u64> {
        let begin = now();
        // SAFETY: writable for its length.
        let got = unsafe { self.queue.receive(self.buffer.as_mut_ptr(), MSGSIZE, wait) };
        self.note_receive(begin, now(), Which::Highest, got)
    }

    /// Take a message out of turn; its id, if there was one.
    pub fn take(&mut self, which: Which) -> Option<u64> {
        let engine = self.queue.attachment().expect("attached").engine();
        let rank = |prio| match which {
            Which::Highest => Some(prio),
            Which::Lowest => Some(u32::MAX - prio),
            Which::Of(wanted) => (prio == wanted).then_some(0),
        };
        let begin = now();
        // SAFETY: writable for its length.
        let got =
            unsafe { engine.try_take(self.buffer.as_mut_ptr(), MSGSIZE, |prio, _| rank(prio)) };
        let got = got.map_err(|refused| match refused {
            Refused::WouldBlock => Errno(libc::EAGAIN),
            other => panic!("take: {other:?}"),
        });
        self.note_receive(begin, now(), which, got)
    }

    fn note_receive(
        &mut self,
        begin: u64,
        end: u64,
        which: Which,
        got: Result<(usize, u32)>,
    ) -> Option<u64> {
        let which = match which {
            Which::Highest => 0,
            Which::Lowest => 1,
            Which::Of(prio) => prio as u64 + 2,
        };
        match got {
            Ok((len, prio)) => {
                let id = read(&self.buffer[..len], prio).expect("a message as it was sent");
                self.note(begin, end, which << 8 | RECEIVED, id);
                Some(id)
            }
            Err(error) => {
                self.note_answer(begin, end, which << 8 | EMPTY, error);
                None
            }
        }
    }

    fn note_answer(&mut self, begin: u64, end: u64, deed: u64, error: Errno) {
        match error.0 {
            // Says nothing about the queue.
            libc::EINTR => {}
            libc::EAGAIN | libc::ETIMEDOUT if self.answers > 0 => {
                self.answers -= 1;
                self.note(begin, end, deed, 0);
            }
            libc::EAGAIN | libc::ETIMEDOUT => {}
            _ => panic!("{error:?}"),
        }
    }

    fn note(&mut self, begin: u64, end: u64, deed: u64, id: u64) {
        let record = &self.records[self.written];
        self.written += 1;
        record.begin.store(begin, Relaxed);
        record.end.store(end, Relaxed);
        record.id.store(id, Relaxed);
        record.deed.store(deed, Release);
    }
}
