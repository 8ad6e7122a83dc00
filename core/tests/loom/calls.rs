//! What a call finds, and says, beside others.

use super::*;
use loom::thread;

#[test]
fn two_senders_of_one_priority_and_a_receiver() {
    model("2S 1R lane", 3, 5, || {
        let q = Queue::new(2, 2);
        let senders: Vec<_> = (0..2u8)
            .map(|k| {
                let s = q.owner(k as u32);
                thread::spawn(move || send(&s, 10 + k, 0))
            })
            .collect();
        let r = q.owner(2);
        let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        let sent = senders
            .into_iter()
            .enumerate()
            .filter_map(|(k, s)| s.join().unwrap().then_some(10 + k as u8));
        let sent: Vec<u8> = sent.collect();
        got.extend(drain(&r));
        same(got, sent);
    });
}

#[test]
fn a_later_high_message_overtakes_and_a_later_low_one_does_not() {
    model("S: 9 then 0 over a queued 0", 3, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(2);
        assert!(send(&r, 1, 0));
        let s = q.owner(1);
        let sender = thread::spawn(move || (send(&s, 2, 9), send(&s, 3, 0)));
        let mut got: Vec<u8> = (0..2).filter_map(|_| receive(&r).map(|m| m.0)).collect();
        assert_eq!(sender.join().unwrap(), (true, true));
        got.extend(drain(&r));
        let place = |v| got.iter().position(|&x| x == v).expect("lost");
        assert!(place(2) < place(3), "9 sent before 0 but received after it");
        assert!(place(1) < place(3), "first in, not first out");
        same(got.clone(), vec![1, 2, 3]);
    });
}

#[test]
fn two_receivers_of_mixed_messages_and_a_sender() {
    model("1S 2R mixed", 2, 7, || {
        let q = Queue::new(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 1, 0) && send(&s, 2, 5));
        let receivers: Vec<_> = (1..3)
            .map(|k| {
                let r = q.owner(k);
                thread::spawn(move || receive(&r).map(|m| m.0))
            })
            .collect();
        let sent = send(&s, 3, 9);
        let mut got: Vec<u8> = receivers
            .into_iter()
            .map(|r| r.join().unwrap().expect("empty, yet two queued"))
            .collect();
        got.extend(drain(&s));
        same(got, if sent { vec![1, 2, 3] } else { vec![1, 2] });
    });
}

#[test]
fn a_completed_high_message_is_received_first() {
    use loom::sync::atomic::Ordering::Acquire;
    model("9 completed, then a receive", 3, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(1);
        assert!(send(&r, 1, 0));
        let s = q.owner(2);
        let (sender, done) = sending(s, 2, 9);
        let seen = done.load(Acquire) == 1;
        let got = receive(&r).expect("empty, yet one queued");
        assert!(!seen || got == (2, 9), "a lower priority after a higher send had returned");
        sender.join().unwrap();
    });
}

#[test]
fn full_is_said_only_when_it_is_full() {
    model("full answer", 3, 5, || {
        let q = Queue::new(3, 2);
        let r = q.owner(1);
        assert!(send(&r, 1, 0) && send(&r, 2, 5));
        let s = q.owner(2);
        let sender = thread::spawn(move || {
            assert!(send(&s, 3, 9));
            send(&s, 4, 0)
        });
        let got = receive(&r).expect("empty, yet two queued").0;
        let fitted = sender.join().unwrap();
        assert!(fitted || got == 3, "full although the receive came before the 9");
    });
}

#[test]
fn a_refused_send_holds_no_slot() {
    model("refused send", 2, 5, || {
        use loom::sync::atomic::Ordering::SeqCst;
        let q = Queue::new(1, 2);
        let a = q.owner(1);
        let other = thread::spawn(move || send(&a, 1, 0));
        let s = q.owner(2);
        let mine = send(&s, 2, 0);
        let others = other.join().unwrap();
        assert!(mine != others, "one message has room");
        assert_eq!(drain(&s).len(), 1);
        for index in 0..3 {
            let word = q.segment.slot(index).unwrap().word.load(SeqCst);
            assert!(mqueue_core::shm::word::Word(word).is_free(), "slot {index}");
        }
    });
}

#[test]
fn a_settled_send_is_seen_by_every_receive_that_begins_after_it() {
    use loom::sync::atomic::Ordering::Acquire;
    model("settled 9 completed, then a receive", 3, 5, || {
        let q = settled(3, 2);
        let s = q.owner(2);
        let (sender, done) = sending(s, 2, 9);
        let r = q.owner(1);
        let seen = done.load(Acquire) == 1;
        let got = receive(&r).expect("empty, yet one queued");
        assert!(!seen || got == (2, 9), "a lower priority after a higher send had returned");
        sender.join().unwrap();
        assert_eq!(drain(&r), if got.0 == 2 { [1] } else { [2] });
    });
}

#[test]
fn full_is_not_said_while_a_receive_that_counts_is_under_way() {
    // The look that the head announces may be one of before, or is announced meanwhile.
    for announced in [true, false] {
        model(&format!("full answer, settled, announced: {announced}"), 3, 5, move || {
            let q = settled(2, 2);
            let s = q.owner(2);
            if !announced {
                s.queued_exactly();
            }
            assert_eq!(head(&s).is_snapped(), announced);
            let sender = thread::spawn(move || {
                assert!(send(&s, 2, 9));
                send(&s, 3, 0)
            });
            let r = q.owner(1);
            let got = receive(&r).expect("empty, yet one queued").0;
            let fitted = sender.join().unwrap();
            assert!(fitted || got == 2, "full although the receive came before the 9");
            drain(&r);
        });
    }
}

#[test]
fn a_message_is_not_counted_once_its_receive_counts() {
    model("count of messages, settled", 3, 5, || {
        let q = settled(3, 2);
        let s = q.owner(2);
        let sender = thread::spawn(move || {
            assert!(send(&s, 2, 9));
            s.queued_exactly()
        });
        let r = q.owner(1);
        let got = receive(&r).expect("empty, yet one queued").0;
        let count = sender.join().unwrap();
        assert!(count == 1 || count == 2 && got == 2, "{count} queued, then {got} received");
    });
}

#[test]
fn a_message_that_does_not_fit_is_the_best_there_is() {
    use loom::sync::atomic::Ordering::Acquire;
    model("EMSGSIZE, settled", 3, 5, || {
        let q = settled(3, 2);
        let r = q.owner(1);
        let nothing = 0u8;
        // SAFETY: no byte is to be read, one is readable.
        unsafe { r.try_send(&nothing, 0, 5, Look::Close) }.unwrap();
        let s = q.owner(2);
        let (sender, done) = sending(s, 2, 9);
        let seen = done.load(Acquire) == 1;
        let mut value = 0;
        // SAFETY: no byte is to be written, one is writable.
        match unsafe { r.try_receive(&mut value, 0, Look::Close) } {
            Ok((0, 5)) => assert!(!seen, "the 9 was sent before, and would not have fitted"),
            Err(Refused::TooBig(1)) => assert_eq!(receive(&r), Some((2, 9))),
            other => panic!("{other:?}"),
        }
        sender.join().unwrap();
    });
}

#[test]
fn two_receivers_of_settled_messages_and_a_sender() {
    model("1S 2R settled", 2, 5, || {
        let q = settled(3, 3);
        let s = q.owner(0);
        assert!(send(&s, 2, 5));
        let receivers: Vec<_> = (1..3)
            .map(|k| {
                let r = q.owner(k);
                thread::spawn(move || receive(&r).expect("empty, yet two queued").0)
            })
            .collect();
        assert!(send(&s, 3, 9));
        let mut got: Vec<u8> = receivers.into_iter().map(|r| r.join().unwrap()).collect();
        assert!(!got.contains(&1) || got.contains(&2), "0 before 5: {got:?}");
        got.extend(drain(&s));
        same(got, vec![1, 2, 3]);
    });
}
