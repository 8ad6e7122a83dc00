//! A bare ring of one sender and one receiver: a limit of what shared memory allows. It
//! only spins, and gives up priorities, other processes and every thought of a crash.
//!
//! Each side keeps its own last look at the other's index, and looks again only when the
//! ring seems full, or empty.
//!
//! Source: Lamport, "Proving the Correctness of Multiprocess Programs" (1977), section 4;
//! Giacomoni et al., "FastForward" (2008) for why the indices are cached.

use super::ring::{self, Line, Ring};
use super::{End, Role, Spec, Transport, Waiting, cannot, would_block};
use crate::shared::Pages;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{hint, io};

struct Head {
    /// Messages sent; only the sender changes it.
    sent: Line<AtomicU64>,
    /// Messages received; only the receiver changes it.
    received: Line<AtomicU64>,
}

/// Keeps the pages.
pub struct Spsc {
    ring: Ring<Head>,
    pages: Pages,
    waits: bool,
}

/// One side, or both in one process.
pub struct Side {
    ring: Ring<Head>,
    waits: bool,
    /// The sender's own count, and what it last saw of the receiver's.
    sent: u64,
    received_seen: u64,
    /// The receiver's own count, and what it last saw of the sender's.
    received: u64,
    sent_seen: u64,
}

impl Transport for Spsc {
    type End = Side;

    fn create(spec: &Spec) -> io::Result<Spsc> {
        if spec.senders > 1 || spec.receivers > 1 || spec.waiting == Waiting::Asleep {
            return Err(cannot());
        }
        let (pages, ring) = Ring::new(spec, spec.size.next_multiple_of(8))?;
        Ok(Spsc { ring, pages, waits: spec.waiting != Waiting::Never })
    }

    fn open(&self, _: Role) -> io::Result<Side> {
        let (ring, waits) = (self.ring, self.waits);
        Ok(Side { ring, waits, sent: 0, received_seen: 0, received: 0, sent_seen: 0 })
    }

    fn memory(&self) -> Option<(u64, u64)> {
        self.pages.resident().map(|resident| (self.pages.len() as u64, resident))
    }
}

impl End for Side {
    #[inline]
    fn send(&mut self, message: &[u8], _: u32) -> io::Result<()> {
        let head = self.ring.head();
        while self.sent - self.received_seen == self.ring.count() {
            // Pairs with the store in receive(): the slot has been read.
            self.received_seen = head.received.0.load(Ordering::Acquire);
            if self.sent - self.received_seen < self.ring.count() {
                break;
            }
            if !self.waits {
                return Err(would_block());
            }
            hint::spin_loop();
        }
        // SAFETY: slots have room for the queue's messages; this one is free, and the
        // receiver looks at it only after the store below.
        unsafe { ring::write(self.ring.slot(self.sent), message) };
        self.sent += 1;
        // Pairs with the load in receive(): the slot has been written.
        head.sent.0.store(self.sent, Ordering::Release);
        Ok(())
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let head = self.ring.head();
        while self.received == self.sent_seen {
            // Pairs with the store in send().
            self.sent_seen = head.sent.0.load(Ordering::Acquire);
            if self.received != self.sent_seen {
                break;
            }
            if !self.waits {
                return Err(would_block());
            }
            hint::spin_loop();
        }
        // SAFETY: sent and not yet received, so nobody writes to it until the store below.
        unsafe { ring::read(self.ring.slot(self.received), message) };
        self.received += 1;
        // Pairs with the load in send().
        head.received.0.store(self.received, Ordering::Release);
        Ok(())
    }
}
