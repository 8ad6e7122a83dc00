//! Slots that are lent: their holders left at some step, or racing with those who take over
//! what the dead had.

use super::*;
use loom::thread;
use mqueue_core::fault::{Step, abandon_at, interrupt_at};
use mqueue_core::shm::{Features, Lent};

/// A queue that sends again what the dead had acquired.
struct Redelivering(Queue);

impl Redelivering {
    fn new(maxmsg: u64, spare: u64) -> Arc<Redelivering> {
        Arc::new(Redelivering(Queue::new(maxmsg, spare)))
    }

    fn owner(&self, owner: u32) -> Arc<Engine> {
        let Queue { segment, owners } = &self.0;
        let engine = Engine::new(segment.clone(), owner, owners.clone(), owner as u64);
        Arc::new(engine.with(Features { redeliver: true, ..Features::default() }))
    }

    /// With one message, which owner 1 had acquired and was about to send again when it died at
    /// this step; and owner 0.
    fn left_by_the_dead(maxmsg: u64, step: Step) -> (Arc<Redelivering>, Arc<Engine>) {
        let q = Redelivering::new(maxmsg, 4);
        let s = q.owner(0);
        assert!(send(&s, 1, 3));
        let dead = q.owner(1);
        assert!(abandon_at(step, || work(&dead, true)).is_none());
        q.0.is_dead(1);
        (q, s)
    }
}

/// Reserve, write, commit; an abort if the queue is full by then.
fn commit(q: &Engine, value: u8, prio: u32) -> bool {
    let slot = match q.try_reserve(1, Look::Close) {
        Ok(slot) => slot,
        Err(Refused::WouldBlock | Refused::NoLoan | Refused::NoSlot) => return false,
        Err(other) => panic!("reserve: {other:?}"),
    };
    // SAFETY: one readable byte; a slot of ours.
    unsafe { q.segment().write_payload(slot, &value, 1) };
    let loan = q.borrow(slot, Lent::Reserved).expect("lent to us");
    match q.try_commit(loan, 1, prio, Look::Close) {
        Ok(()) => true,
        Err(Refused::WouldBlock) => {
            q.give_back(loan);
            false
        }
        Err(other) => panic!("commit: {other:?}"),
    }
}

/// Acquire and read; then send again, if that is wanted and there is room, or release. Gives
/// what was released.
fn work(q: &Engine, returns: bool) -> Option<u8> {
    let (slot, _, _) = match q.try_acquire(Look::Close) {
        Ok(acquired) => acquired,
        Err(Refused::WouldBlock | Refused::NoLoan | Refused::NoSlot) => return None,
        Err(other) => panic!("acquire: {other:?}\n{}", picture(q)),
    };
    let mut value = 0;
    // SAFETY: one writable byte; a slot of ours.
    unsafe { q.segment().read_payload(slot, &mut value, 1) };
    let mut loan = q.borrow(slot, Lent::Acquired).expect("lent to us");
    if returns {
        match q.try_requeue(loan) {
            Ok(()) => return None,
            Err(Refused::WouldBlock) => {
                q.keep(loan);
                loan = q.borrow(slot, Lent::Acquired).expect("acquired still");
            }
            Err(other) => panic!("requeue: {other:?}"),
        }
    }
    q.give_back(loan);
    Some(value)
}

/// Every permit is free, and as many messages fit as should.
fn is_as_new(q: &Engine) {
    q.reclaim();
    for permit in &q.segment().control().loans.0.0 {
        assert_eq!(permit.load(SeqCst), 0, "a permit is lost");
    }
    for _ in 0..q.segment().geometry().maxmsg {
        assert!(send(q, 1, 0), "a slot is lost\n{}", picture(q));
    }
    assert_eq!(drain(q).len() as u32, q.segment().geometry().maxmsg);
    every_slot_is_free(q);
}

#[test]
fn a_committer_left_at_any_step_blocks_nobody() {
    for step in [
        Step::LoanPermitted,
        Step::ReserveClaimed,
        Step::CommitBegun,
        Step::CommitStamped,
        Step::SendPublished,
        Step::LoanSent,
    ] {
        model(&format!("committer left at {step:?}"), 2, 2, move || {
            let q = Queue::new(2, 4);
            let dead = q.owner(1);
            let left = thread::spawn(move || abandon_at(step, || commit(&dead, 11, 5)));
            let s = q.owner(2);
            let other = thread::spawn(move || commit(&s, 12, 0));
            let r = q.owner(3);
            let mut got: Vec<u8> = receive(&r).into_iter().map(|m| m.0).collect();
            let finished = left.join().unwrap();
            let sent_other = other.join().unwrap();
            got.extend(drain(&r));
            let was_sent = finished == Some(true)
                || finished.is_none() && matches!(step, Step::SendPublished | Step::LoanSent);
            let mut sent = vec![];
            sent.extend(was_sent.then_some(11));
            sent.extend(sent_other.then_some(12));
            same(got, sent);
            q.is_dead(1);
            is_as_new(&r);
        });
    }
}

/// Where an acquirer may be left, and whether what it has acquired is then sent already, or
/// done with.
const ACQUIRER_STEPS: &[(Step, bool)] = &[
    (Step::LoanPermitted, false),
    (Step::ReceivePublished, false),
    (Step::AcquireTaken, false),
    (Step::ReturnStamped, false),
    (Step::SendPublished, true),
    (Step::LoanSent, true),
    (Step::LoanFreed, true),
];

#[test]
fn what_an_acquirer_had_that_was_left_at_any_step_comes_again() {
    for &(step, _) in ACQUIRER_STEPS {
        model(&format!("acquirer left at {step:?}"), 2, 2, move || {
            let q = Redelivering::new(2, 4);
            let s = q.owner(2);
            assert!(send(&s, 1, 3));
            let dead = q.owner(1);
            let all = q.clone();
            let left = thread::spawn(move || {
                let done = abandon_at(step, || work(&dead, step != Step::LoanFreed));
                if done.is_none() {
                    all.0.is_dead(1);
                }
                done
            });
            let heir = q.owner(3);
            let other = thread::spawn(move || {
                heir.reclaim();
                send(&heir, 2, 0)
            });
            let finished = left.join().unwrap();
            let sent_two = other.join().unwrap();
            let mut got = drain(&s);
            s.reclaim();
            got.extend(drain(&s));
            if step == Step::LoanFreed {
                got.push(1);
            } else {
                got.extend(finished.flatten());
            }
            same(got, if sent_two { vec![1, 2] } else { vec![1] });
            is_as_new(&s);
        });
    }
}

#[test]
fn without_redelivery_what_an_acquirer_had_is_gone_with_it() {
    for &(step, is_done) in ACQUIRER_STEPS {
        model(&format!("lost with an acquirer at {step:?}"), 1, 2, move || {
            let q = Queue::new(2, 4);
            let s = q.owner(2);
            assert!(send(&s, 1, 3) && send(&s, 2, 1));
            let dead = q.owner(1);
            let done = abandon_at(step, || work(&dead, step != Step::LoanFreed));
            assert!(done.is_none(), "not as arranged");
            q.is_dead(1);
            s.reclaim();
            let comes_back = is_done && step != Step::LoanFreed || step == Step::LoanPermitted;
            same(drain(&s), if comes_back { vec![1, 2] } else { vec![2] });
            is_as_new(&s);
        });
    }
}

#[test]
fn of_several_heirs_one_sends_it_again() {
    for step in [Step::AcquireTaken, Step::ReturnStamped] {
        model(&format!("heirs of one dead at {step:?}"), 3, 5, move || {
            let (q, s) = Redelivering::left_by_the_dead(2, step);
            let heirs = [2, 3].map(|owner| {
                let heir = q.owner(owner);
                thread::spawn(move || heir.reclaim())
            });
            let mut got = drain(&s);
            for heir in heirs {
                heir.join().unwrap();
            }
            got.extend(drain(&s));
            same(got, vec![1]);
            is_as_new(&s);
        });
    }
}

#[test]
fn an_heir_left_at_any_step_has_heirs() {
    for step in [Step::ReturnStamped, Step::SendPublished, Step::SendConfirmed] {
        model(&format!("heir left at {step:?}"), 2, 3, move || {
            let (q, s) = Redelivering::left_by_the_dead(2, Step::AcquireTaken);
            let heir = q.owner(2);
            let all = q.clone();
            let left = thread::spawn(move || {
                if abandon_at(step, || heir.reclaim()).is_none() {
                    all.0.is_dead(2);
                }
            });
            s.reclaim();
            left.join().unwrap();
            s.reclaim();
            same(drain(&s), vec![1]);
            is_as_new(&s);
        });
    }
}

#[test]
fn what_does_not_fit_stays_the_dead_ones() {
    // Between the look for room and the send others fill the queue.
    model("heir without room", 1, 3, || {
        let (q, s) = Redelivering::left_by_the_dead(1, Step::AcquireTaken);
        let heir = q.owner(2);
        let filler = q.owner(3);
        let fill = move || assert!(send(&filler, 2, 0));
        let (_, met) = interrupt_at(Step::ReturnStamped, fill, || heir.reclaim());
        assert!(met);
        same(drain(&s), vec![2]);
        s.reclaim();
        same(drain(&s), vec![1]);
        is_as_new(&s);
    });
}

#[test]
fn a_requeue_that_is_refused_changes_nothing() {
    model("requeue without room", 2, 5, || {
        let q = Queue::new(1, 4);
        let s = q.owner(0);
        assert!(send(&s, 1, 3));
        let r = q.owner(1);
        let worker = thread::spawn(move || work(&r, true));
        let other = thread::spawn(move || send(&s, 2, 0));
        let kept = worker.join().unwrap();
        let sent = other.join().unwrap();
        let d = q.owner(2);
        let mut got = drain(&d);
        got.extend(kept);
        same(got, if sent { vec![1, 2] } else { vec![1] });
        is_as_new(&d);
    });
}

#[test]
fn a_message_that_is_given_back_is_not_taken_for_the_send_that_it_was() {
    // I5: the tail still names the slot, from when its message was sent first.
    model("stamp of a message given back", 0, 5, || {
        let q = Queue::new(2, 4);
        let s = q.owner(0);
        assert!(send(&s, 1, 0));
        let left = q.owner(1);
        assert!(abandon_at(Step::ReturnStamped, || work(&left, true)).is_none());
        assert!(send(&s, 2, 7));
        assert_eq!(drain(&s), [2]);
        q.is_dead(1);
        is_as_new(&s);
    });
}

#[test]
fn a_message_that_was_given_back_is_completed_by_the_next_send() {
    for prio in [0, 5] {
        model(&format!("send behind a message given back, priority {prio}"), 0, 5, move || {
            let q = Queue::new(4, 4);
            let s = q.owner(0);
            assert!(send(&s, 1, 0) && send(&s, 2, 0));
            let left = q.owner(1);
            assert!(abandon_at(Step::SendPublished, || work(&left, true)).is_none());
            assert!(send(&s, 3, prio));
            assert_eq!(drain(&s), if prio == 0 { [2, 1, 3] } else { [3, 2, 1] });
            q.is_dead(1);
            is_as_new(&s);
        });
    }
}

#[test]
fn what_a_call_had_sent_that_never_came_back_stays_sent_when_its_owner_closes() {
    for (redelivers, requeues) in [(false, false), (false, true), (true, false), (true, true)] {
        let case = format!("closed in the midst, redelivery {redelivers}, requeue {requeues}");
        model(&case, 0, 5, move || {
            let all = Redelivering::new(2, 4);
            let q = |owner| if redelivers { all.owner(owner) } else { all.0.owner(owner) };
            let (s, left) = (q(0), q(1));
            assert!(!requeues || send(&s, 1, 0));
            let call = || if requeues { work(&left, true).is_some() } else { commit(&left, 1, 0) };
            assert!(abandon_at(Step::SendPublished, call).is_none());
            assert!(left.give_back_all());
            assert_eq!(drain(&s), [1]);
            is_as_new(&s);
        });
    }
}

#[test]
fn a_reservation_may_be_older_than_the_counts() {
    // With narrow counters, of which 64 are a round, it is so.
    model("old reservations", 0, 10, || {
        for age in [0, 1, 31, 32, 33, 63, 64, 65] {
            let q = Queue::new(2, 4);
            let s = q.owner(0);
            let c = q.owner(1);
            let slot = c.try_reserve(1, Look::Close).expect("room");
            for _ in 0..age {
                assert!(send(&s, 1, 0) && receive(&s) == Some((1, 0)));
            }
            // SAFETY: one readable byte; a slot of ours.
            unsafe { c.segment().write_payload(slot, &7, 1) };
            let loan = c.borrow(slot, Lent::Reserved).expect("lent to us");
            let left = abandon_at(Step::SendPublished, || c.try_commit(loan, 1, 0, Look::Close));
            assert!(left.is_none());
            // Somebody completes it.
            assert!(send(&s, 8, 0));
            assert_eq!(drain(&s), [7, 8], "{age} sends old");
            q.is_dead(1);
            is_as_new(&s);
        }
    });
}

#[test]
fn only_slots_that_are_out_count_against_the_limit() {
    model("a permit without a slot", 0, 5, || {
        let q = Queue::new(2, 2);
        let (s, left) = (q.owner(0), q.owner(1));
        assert!(send(&s, 1, 0) && send(&s, 2, 0));
        assert!(abandon_at(Step::LoanPermitted, || work(&left, false)).is_none());
        let refused = |q: &Engine| q.try_acquire(Look::Close).map(drop).unwrap_err();
        assert_eq!(refused(&s), Refused::NoSlot);
        q.is_dead(1);
        let (slot, ..) = s.try_acquire(Look::Close).expect("there is one");
        assert_eq!(refused(&s), Refused::NoLoan);
        s.give_back(s.borrow(slot, Lent::Acquired).expect("lent to us"));
        assert_eq!(drain(&s), [2]);
        is_as_new(&s);
    });
}

#[test]
fn a_slot_is_in_one_hand_at_a_time() {
    model("two calls with one slot", 3, 5, || {
        let q = Queue::new(2, 4);
        let r = q.owner(0);
        assert!(send(&r, 1, 0));
        let (slot, ..) = r.try_acquire(Look::Close).expect("there is one");
        let number = slot.number();
        let calls = [true, false].map(|returns| {
            let r = r.clone();
            thread::spawn(move || {
                let slot = r.segment().slot(number).unwrap();
                let Some(loan) = r.borrow(slot, Lent::Acquired) else { return 0 };
                match returns {
                    true => r.try_requeue(loan).expect("room"),
                    false => r.give_back(loan),
                }
                1
            })
        });
        let done: u32 = calls.into_iter().map(|call| call.join().unwrap()).sum();
        assert_eq!(done, 1);
        drain(&r);
        is_as_new(&r);
    });
}
