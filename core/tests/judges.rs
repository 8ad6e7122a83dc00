//! The judges of histories judged: each kind of wrong history is refused, none that is
//! right, and whatever the fast judge refuses has no order.

mod history;

use history::intervals::{Verdict, judge};
use history::search::{Plain, order};
use history::{Deed, Message, Operation, Which, story};
use std::collections::HashSet;

const HIGHEST: Which = Which::Highest;

fn message(id: u64, prio: u32) -> Message {
    Message { id, prio }
}

fn call(begin: u64, end: u64, deed: Deed) -> Operation {
    Operation { by: 0, begin, end, deed }
}

/// Message `id`, sent with priority `prio` from `begin` to `end`.
fn sent(begin: u64, end: u64, id: u64, prio: u32) -> Operation {
    call(begin, end, Deed::Sent(message(id, prio)))
}

fn received(begin: u64, end: u64, id: u64, prio: u32) -> Operation {
    call(begin, end, Deed::Received(HIGHEST, message(id, prio)))
}

fn taken(begin: u64, end: u64, which: Which, id: u64, prio: u32) -> Operation {
    call(begin, end, Deed::Received(which, message(id, prio)))
}

fn empty(begin: u64, end: u64) -> Operation {
    call(begin, end, Deed::Empty(HIGHEST))
}

fn full(begin: u64, end: u64) -> Operation {
    call(begin, end, Deed::Full)
}

fn both_accept(maxmsg: usize, operations: &[Operation]) {
    let verdict = judge(operations, maxmsg);
    assert!(verdict.is_right(), "{verdict:?}\n{}", story(operations));
    let found = order(operations, maxmsg);
    assert!(found.is_ok(), "{found:?}\n{}", story(operations));
}

/// Both judges refuse it, the fast one for one reason only.
fn both_refuse(maxmsg: usize, reason: fn(&mut Verdict) -> &mut usize, operations: &[Operation]) {
    let mut verdict = judge(operations, maxmsg);
    let found = std::mem::take(reason(&mut verdict));
    assert_eq!(found, 1, "{verdict:?}\n{}", story(operations));
    assert!(verdict.is_right(), "for another reason, too: {verdict:?}\n{}", story(operations));
    only_the_search_refuses(maxmsg, operations);
}

/// Beyond the rules of the fast judge.
fn only_the_search_refuses(maxmsg: usize, operations: &[Operation]) {
    let found = order(operations, maxmsg);
    assert!(found.is_err(), "{found:?}\n{}", story(operations));
}

#[test]
fn one_after_the_other_as_promised() {
    both_accept(
        3,
        &[
            empty(0, 1),
            sent(2, 3, 1, 0),
            sent(4, 5, 2, 7),
            sent(6, 7, 3, 7),
            full(8, 9),
            received(10, 11, 2, 7),
            received(12, 13, 3, 7),
            received(14, 15, 1, 0),
            empty(16, 17),
        ],
    );
}

#[test]
fn operations_at_the_same_time_may_come_in_either_order() {
    both_accept(
        2,
        &[sent(0, 9, 1, 0), sent(1, 8, 2, 7), received(2, 7, 1, 0), received(10, 11, 2, 7)],
    );
    // Full and empty at the same time, around one message in a queue of one.
    both_accept(1, &[sent(0, 9, 1, 0), full(1, 8), empty(2, 7), received(3, 9, 1, 0)]);
    // At one reading of the clock.
    both_accept(1, &[sent(0, 5, 1, 0), empty(5, 5), received(5, 9, 1, 0)]);
}

#[test]
fn a_lower_priority_first() {
    both_refuse(
        2,
        |v| &mut v.priority_inversions,
        &[sent(0, 1, 1, 0), sent(2, 3, 2, 7), received(4, 5, 1, 0), received(6, 7, 2, 7)],
    );
}

#[test]
fn a_lower_priority_while_first_one_then_another_higher_is_there() {
    both_refuse(
        3,
        |v| &mut v.priority_inversions,
        &[
            sent(0, 1, 1, 0),
            sent(2, 3, 2, 7),
            received(10, 20, 1, 0),
            sent(11, 12, 3, 7),
            received(14, 15, 2, 7),
            received(22, 23, 3, 7),
        ],
    );
}

#[test]
fn a_higher_priority_where_the_lowest_was_asked_for() {
    let history = |which| {
        [
            sent(0, 1, 1, 0),
            sent(2, 3, 2, 7),
            taken(4, 5, which, 2, 7),
            taken(6, 7, Which::Of(0), 1, 0),
        ]
    };
    both_accept(2, &history(Which::Highest));
    both_accept(2, &history(Which::Of(7)));
    both_refuse(2, |v| &mut v.priority_inversions, &history(Which::Lowest));
}

#[test]
fn the_younger_of_two_first() {
    for which in [Which::Highest, Which::Lowest, Which::Of(5)] {
        both_refuse(
            2,
            |v| &mut v.fifo_inversions,
            &[sent(0, 1, 1, 5), sent(2, 3, 2, 5), taken(4, 5, which, 2, 5), received(6, 7, 1, 5)],
        );
    }
}

#[test]
fn empty_although_a_message_is_there() {
    both_refuse(1, |v| &mut v.wrong_empty, &[sent(0, 1, 1, 0), empty(2, 3), received(4, 5, 1, 0)]);
    let none_of = |prio| call(2, 3, Deed::Empty(Which::Of(prio)));
    both_refuse(1, |v| &mut v.wrong_empty, &[sent(0, 1, 1, 4), none_of(4), received(4, 5, 1, 4)]);
    both_accept(1, &[sent(0, 1, 1, 4), none_of(3), none_of(5), received(4, 5, 1, 4)]);
}

#[test]
fn empty_although_there_was_always_one_message_or_another() {
    let history = |second_sent| {
        [
            sent(0, 1, 1, 0),
            // It timed out: long, but at no instant of it was the queue empty.
            empty(2, 30),
            sent(second_sent, second_sent + 1, 2, 0),
            received(20, 21, 1, 0),
            received(40, 41, 2, 0),
        ]
    };
    both_refuse(2, |v| &mut v.wrong_empty, &history(10));
    both_accept(2, &history(20));
}

#[test]
fn full_although_there_is_room() {
    both_refuse(2, |v| &mut v.wrong_full, &[sent(0, 1, 1, 0), full(2, 3), received(4, 5, 1, 0)]);
}

#[test]
fn full_although_there_was_always_room_for_one_reason_or_another() {
    let history = |second_sent| {
        [
            sent(0, 1, 1, 0),
            sent(2, 3, 2, 0),
            received(4, 5, 1, 0),
            full(6, 30),
            received(10, 12, 2, 0),
            sent(second_sent, second_sent + 5, 3, 0),
            received(40, 41, 3, 0),
        ]
    };
    both_refuse(2, |v| &mut v.wrong_full, &history(13));
    both_accept(2, &history(11));
}

#[test]
fn sent_into_a_full_queue() {
    both_refuse(
        1,
        |v| &mut v.overfilled,
        // The receive of the second one began during its send: not surely two at any time.
        &[sent(0, 1, 1, 0), sent(2, 5, 2, 7), received(10, 12, 1, 0), received(4, 14, 2, 7)],
    );
    // Nobody knows which of the two came second.
    both_refuse(
        1,
        |v| &mut v.overfilled,
        &[sent(0, 5, 1, 0), sent(0, 5, 2, 0), received(7, 8, 1, 0), received(9, 10, 2, 0)],
    );
}

#[test]
fn lost() {
    let lost = [sent(0, 1, 1, 0), empty(2, 3)];
    assert_eq!(judge(&lost, 1).missing, 1);
    only_the_search_refuses(1, &lost);
}

#[test]
fn received_twice() {
    both_refuse(
        1,
        |v| &mut v.duplicates,
        &[sent(0, 1, 1, 0), received(2, 3, 1, 0), received(4, 5, 1, 0)],
    );
}

#[test]
fn received_but_never_sent_or_not_yet_or_changed() {
    both_refuse(1, |v| &mut v.corrupt, &[received(0, 1, 1, 0)]);
    for wrong in
        [[received(0, 1, 1, 0), sent(2, 3, 1, 0)], [sent(0, 1, 1, 0), received(2, 3, 1, 1)]]
    {
        let verdict = judge(&wrong, 1);
        assert_eq!((verdict.corrupt, verdict.missing), (1, 1), "{verdict:?}");
        only_the_search_refuses(1, &wrong);
    }
}

#[test]
fn what_only_the_search_finds() {
    // One message, two answers "empty" of which one came after it: each alone may be so.
    let operations = [sent(0, 9, 1, 0), full(1, 2), empty(3, 4), received(5, 20, 1, 0)];
    assert!(judge(&operations, 1).is_right());
    only_the_search_refuses(1, &operations);
}

/// Random enough, and always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }
}

/// A history with an order: at instants 10 apart a plain queue is asked, by callers that
/// called up to `wide` before and returned up to `wide` after.
fn right_history(random: &mut Random, maxmsg: usize, wide: u64) -> Vec<Operation> {
    let mut queue = Plain::default();
    let mut operations = vec![];
    for k in 0..12 + random.below(8) {
        let at = 1000 + 10 * k;
        let prio = random.below(3) as u32;
        let which = [HIGHEST, HIGHEST, Which::Lowest, Which::Of(prio)][random.below(4) as usize];
        let wish =
            if random.below(2) == 0 { Deed::Sent(message(k, prio)) } else { Deed::Empty(which) };
        let (deed, after) = queue.asked(wish, maxmsg);
        queue = after;
        operations.push(call(at - random.below(wide), at + random.below(wide), deed));
    }
    operations
}

#[test]
fn no_right_history_is_refused() {
    let mut random = Random(1);
    for k in 0..20_000 {
        let maxmsg = 1 + k % 3;
        let operations = right_history(&mut random, maxmsg, [2, 20, 60][k / 3 % 3]);
        let mut verdict = judge(&operations, maxmsg);
        // What is still queued at the end.
        verdict.missing = 0;
        assert!(verdict.is_right(), "{verdict:?}\n{}", story(&operations));
        let found = order(&operations, maxmsg);
        let found = found.unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", story(&operations)));
        let mut queue = Some(Plain::default());
        for (k, &next) in found.iter().enumerate() {
            queue = queue.and_then(|queue| queue.after(operations[next].deed, maxmsg));
            let late = found[k..].iter().any(|&o| operations[o].end < operations[next].begin);
            assert!(queue.is_some() && !late, "no order: {found:?}\n{}", story(&operations));
        }
    }
}

#[test]
fn what_the_fast_judge_refuses_has_no_order() {
    let mut random = Random(2);
    let (mut refused, mut found) = (0, 0);
    let mut seen = HashSet::new();
    for k in 0..60_000 {
        let maxmsg = 1 + k % 3;
        let mut operations = right_history(&mut random, maxmsg, [2, 20, 60][k / 3 % 3]);
        // One or two answers are exchanged, or moved in time.
        for _ in 0..1 + random.below(2) {
            let a = random.below(operations.len() as u64) as usize;
            let b = random.below(operations.len() as u64) as usize;
            let (x, y) = (operations[a].deed, operations[b].deed);
            match (x, y) {
                (Deed::Sent(_), Deed::Sent(_)) | (Deed::Received(..), Deed::Received(..)) => {
                    (operations[a].deed, operations[b].deed) = (y, x);
                }
                (Deed::Empty(_) | Deed::Full, _) => {
                    (operations[a].begin, operations[a].end) =
                        (operations[b].begin, operations[b].end);
                }
                _ => {}
            }
        }
        let mut verdict = judge(&operations, maxmsg);
        verdict.missing = 0;
        let has_order = order(&operations, maxmsg).is_ok();
        refused += usize::from(!has_order);
        found += usize::from(!verdict.is_right());
        assert!(verdict.is_right() || !has_order, "{verdict:?}\n{}", story(&operations));
        seen.extend([
            (verdict.priority_inversions > 0).then_some("priority"),
            (verdict.fifo_inversions > 0).then_some("fifo"),
            (verdict.wrong_empty > 0).then_some("empty"),
            (verdict.wrong_full > 0).then_some("full"),
            (verdict.overfilled > 0).then_some("overfilled"),
            (verdict.corrupt > 0).then_some("not yet sent"),
        ]);
    }
    println!("{refused} histories without an order, {found} of them refused by the fast judge");
    assert_eq!(seen.into_iter().flatten().count(), 6, "every rule has refused something");
    assert!(found * 5 > refused * 4, "the fast judge is blunt: {found} of {refused}");
}
