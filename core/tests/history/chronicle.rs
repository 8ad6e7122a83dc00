//! Writes a history while it happens in a model, for [`search`](super::search).

use super::search::order;
use super::{Deed, Message, Operation, Which, story};
use loom::sync::atomic::AtomicU64;
use loom::sync::atomic::Ordering::AcqRel;
use std::sync::{Arc, Mutex};

/// Of one queue, which is empty at first. Clones write into the same one.
#[derive(Clone)]
pub struct Chronicle {
    /// The model's own word: whoever reads it later sees what was done before, as the
    /// promises are about callers that know of each other.
    clock: Arc<AtomicU64>,
    operations: Arc<Mutex<Vec<Operation>>>,
}

impl Chronicle {
    #[allow(clippy::new_without_default, reason = "an empty chronicle is not a default")]
    pub fn new() -> Chronicle {
        Chronicle { clock: Arc::new(AtomicU64::new(0)), operations: Arc::default() }
    }

    /// A send of `value`, no two of which are equal, and whether there was room.
    pub fn send(&self, value: u8, prio: u32, send: impl FnOnce() -> bool) -> bool {
        let message = Message { id: value as u64, prio };
        self.note(send, |&sent| if sent { Deed::Sent(message) } else { Deed::Full })
    }

    /// A receive, and the value and priority if there was a message.
    pub fn receive(&self, receive: impl FnOnce() -> Option<(u8, u32)>) -> Option<(u8, u32)> {
        self.note(receive, |got| match *got {
            Some((value, prio)) => {
                Deed::Received(Which::Highest, Message { id: value as u64, prio })
            }
            None => Deed::Empty(Which::Highest),
        })
    }

    fn note<T>(&self, call: impl FnOnce() -> T, deed: impl FnOnce(&T) -> Deed) -> T {
        let begin = self.clock.fetch_add(1, AcqRel);
        let answer = call();
        let end = self.clock.fetch_add(1, AcqRel);
        let operation = Operation { by: 0, begin, end, deed: deed(&answer) };
        self.operations.lock().unwrap().push(operation);
        answer
    }

    /// Panics unless the history has an order.
    pub fn judge(&self, maxmsg: usize) {
        let operations = self.operations.lock().unwrap();
        let found = order(&operations, maxmsg);
        assert!(found.is_ok(), "{found:?}\n{}", story(&operations));
    }
}
