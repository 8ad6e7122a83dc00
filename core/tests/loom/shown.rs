//! What a descriptor for poll shows.
//!
//! The eventfd is two words: its state, and how many edges there were. The helper is a thread
//! that sleeps on `pollers` as `notify/sleep.rs` does, without a slice: loom reports a deadlock
//! where a wake is lost.

use super::*;
use loom::sync::atomic::{AtomicU32, AtomicU64};
use loom::thread;
use mqueue_core::shm::Shown;
use mqueue_core::shm::poll::event::{READABLE, WRITABLE};
use mqueue_core::shm::shown::LOOK;

/// A descriptor and who sees it.
struct Board {
    shown: Shown,
    /// What poll says.
    level: AtomicU32,
    /// How often "readable" was shown, in 0-31, and "writable", in 32-63.
    edges: AtomicU64,
}

impl Board {
    fn new() -> Arc<Board> {
        let level = AtomicU32::new(WRITABLE);
        Arc::new(Board { shown: Shown::new(), level, edges: AtomicU64::new(0) })
    }

    fn show(&self, from: u32, to: u32, anew: u32) {
        assert_eq!(self.level.load(SeqCst), from, "two at work at a time");
        let new = to & (!from | anew);
        let readable = u64::from(new & READABLE != 0);
        let writable = u64::from(new & WRITABLE != 0) << 32;
        self.level.store(to, SeqCst);
        self.edges.fetch_add(readable + writable, SeqCst);
    }

    /// As `Engine` and `Descriptor` have it.
    fn refused(&self, q: &Engine, side: u32) {
        self.shown.refused(q, side, |from, to, anew| self.show(from, to, anew));
    }

    fn look(&self, q: &Engine) {
        self.shown.update(q, LOOK, |from, to, anew| self.show(from, to, anew));
    }

    fn readable_edges(&self) -> u32 {
        self.edges.load(SeqCst) as u32
    }

    /// One round of the helper; gives the word to sleep on.
    fn help(&self, q: &Engine) -> u32 {
        let announced = q.segment().control().wait.0.pollers.announce();
        self.look(q);
        announced
    }

    /// The helper goes on after a round, until `is_seen`.
    fn help_on(&self, q: &Engine, mut announced: u32, is_seen: impl Fn(&Board) -> bool) {
        while !is_seen(self) {
            q.segment().control().wait.0.pollers.sleep(announced, 0);
            announced = self.help(q);
        }
    }
}

#[test]
fn a_message_is_shown_though_a_refused_call_hid_the_one_before() {
    model("descriptor, refusal beside send", 3, 10, || {
        let q = Queue::new(2, 2);
        let own = q.owner(0);
        let board = Board::new();
        assert!(send(&own, 1, 0));
        board.look(&own);
        assert_eq!(board.level.load(SeqCst), READABLE | WRITABLE);
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 2, 0)));
        // An event loop: drain, then wait for an edge.
        let got = drain(&own);
        let seen = board.readable_edges();
        board.refused(&own, READABLE);
        if got.len() == 1 {
            let announced = board.help(&own);
            board.help_on(&own, announced, |board| board.readable_edges() > seen);
            assert_eq!(board.level.load(SeqCst) & READABLE, READABLE);
        }
        sender.join().unwrap();
        assert_eq!(got.len() + drain(&own).len(), 2);
    });
}

#[test]
fn a_refusal_and_the_helper_at_once_leave_nothing_unsaid() {
    model("descriptor, helper beside refusal", 3, 15, || {
        let q = Queue::new(2, 2);
        let own = q.owner(0);
        let board = Board::new();
        assert!(send(&own, 1, 0));
        board.look(&own);
        assert_eq!(receive(&own), Some((1, 0)));
        let seen = board.readable_edges();
        let helper = {
            let (board, own) = (board.clone(), own.clone());
            thread::spawn(move || board.help(&own))
        };
        let s = q.owner(1);
        let sender = thread::spawn(move || assert!(send(&s, 2, 0)));
        // The call was refused before the message came.
        board.refused(&own, READABLE);
        let announced = helper.join().unwrap();
        board.help_on(&own, announced, |board| board.readable_edges() > seen);
        sender.join().unwrap();
        assert_eq!(board.level.load(SeqCst) & READABLE, READABLE);
        assert_eq!(drain(&own), [2]);
    });
}

#[test]
fn room_is_shown_to_who_was_refused_in_the_midst_of_a_receive() {
    model("descriptor, room", 3, 10, || {
        let q = Queue::new(1, 2);
        let own = q.owner(0);
        let board = Board::new();
        assert!(send(&own, 1, 0));
        let r = q.owner(1);
        let receiver = thread::spawn(move || assert_eq!(receive(&r), Some((1, 0))));
        let seen = board.edges.load(SeqCst) >> 32;
        if !send(&own, 2, 0) {
            board.refused(&own, WRITABLE);
            let announced = board.help(&own);
            board.help_on(&own, announced, |board| board.edges.load(SeqCst) >> 32 > seen);
            assert!(send(&own, 2, 0));
        }
        receiver.join().unwrap();
        assert_eq!(drain(&own), [2]);
    });
}
