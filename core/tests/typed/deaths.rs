//! Their users are killed or stopped: at every step of a send, a receive, of making and of
//! removing a queue. Whatever becomes of the victim's own message, the others must find exactly
//! that room again.

use crate::case::{
    Case, EACH, HOLDS, PATIENCE, Waits, await_count, await_sleep, await_success, drain, fill,
    new_key, receive, send, send_as,
};
use crate::processes::ledger::Shared;
use crate::processes::{Child, Fate, Rng, files, spawn};
use mqueue_core::error::Errno;
use mqueue_core::fault::{self, Step};
use mqueue_core::shm::typed::{self, Limits, Want};
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::SeqCst;

cases! {
    a_killed_sender_takes_no_room_along,
    a_killed_receiver_leaves_its_room,
    a_stopped_user_is_in_nobodys_way,
    who_waits_is_served_though_his_waker_was_killed,
    who_is_killed_when_slots_get_memory_leaves_the_queue_as_it_was,
    a_key_is_whole_though_its_maker_was_killed,
    a_queue_is_gone_though_its_remover_was_killed,
    a_key_passes_to_one_new_queue_though_many_want_it,
    killed_at_any_step_they_leave_a_sound_queue,
}

const SEND_STEPS: &[Step] = &[
    Step::SendClaimed,
    Step::SendCopied,
    Step::TypedCharged,
    Step::SendPublished,
    Step::SendConfirmed,
    Step::SendHinted,
    Step::SendIndexed,
    Step::SendUnwoken,
];

/// Every step of a receive out of turn; a plain one has some of them.
const RECEIVE_STEPS: &[Step] = &[
    Step::TakeMixed,
    Step::ReceiveSnapped,
    Step::ReceiveChosen,
    Step::ReceiveStamped,
    Step::ReceivePublished,
    Step::ReceiveFinalized,
    Step::ReceiveCopied,
    Step::TypedDischarged,
    Step::ReceiveUnwoken,
];

const WANTS: &[Want] = &[Want::First, Want::Kind(2), Want::UpTo(3), Want::Except(4)];

fn is_on_the_way(step: Step, want: Want) -> bool {
    want != Want::First || !matches!(step, Step::TakeMixed | Step::ReceiveSnapped)
}

/// A victim that gets the signal when it reaches the step.
pub fn struck<T>(step: Step, signal: i32, work: impl FnOnce() -> T) -> Child {
    let mut victim = spawn(|| {
        fault::arm(Some(step), 1, signal);
        work();
        panic!("{step:?} was never reached");
    });
    let struck = if signal == libc::SIGKILL { Fate::Killed(signal) } else { Fate::Stopped };
    assert_eq!(victim.wait(PATIENCE), struck, "{step:?}");
    victim
}

fn a_killed_sender_takes_no_room_along() {
    // The dead are found by who is out of slots; or else by who is out of room.
    for (&step, has_slots) in SEND_STEPS.iter().flat_map(|step| [(step, false), (step, true)]) {
        let case = Case::new(HOLDS);
        if has_slots {
            fill(case.id, 1);
            drain(case.id);
        }
        send(case.id, 1, 1).unwrap();

        struck(step, libc::SIGKILL, || send(case.id, 2, 1));

        fill(case.id, 1);
        assert_eq!(typed::status(case.id).unwrap().bytes, HOLDS, "{step:?}");
        assert_eq!(drain(case.id), HOLDS / EACH, "{step:?}");
        assert_eq!(fill(case.id, 1), HOLDS / EACH, "{step:?}");
    }
}

fn a_killed_receiver_leaves_its_room() {
    for &want in WANTS {
        for &step in RECEIVE_STEPS.iter().filter(|&&step| is_on_the_way(step, want)) {
            let case = Case::new(HOLDS);
            for kind in [4, 1, 2, 2, 1, 3, 1, 1, 1, 1] {
                send(case.id, kind, 1).unwrap();
            }

            struck(step, libc::SIGKILL, || receive(case.id, want, Waits::Never));

            fill(case.id, 1);
            assert_eq!(typed::status(case.id).unwrap().bytes, HOLDS, "{want:?} {step:?}");
            assert_eq!(drain(case.id), HOLDS / EACH, "{want:?} {step:?}");
            assert_eq!(fill(case.id, 1), HOLDS / EACH, "{want:?} {step:?}");
        }
    }
}

fn a_stopped_user_is_in_nobodys_way() {
    let ours = |id| {
        for _ in 0..100 {
            send(id, 7, 1).unwrap();
            assert_eq!(receive(id, Want::Kind(7), Waits::Never).unwrap().1, 7);
        }
    };
    for &step in SEND_STEPS {
        let case = Case::new(HOLDS);
        let mut victim = struck(step, libc::SIGSTOP, || send(case.id, 2, 1));

        ours(case.id);

        victim.kill();
        drain(case.id);
        assert_eq!(fill(case.id, 1), HOLDS / EACH, "{step:?}");
    }
    for &step in RECEIVE_STEPS {
        let case = Case::new(HOLDS);
        for kind in [1, 1, 2] {
            send(case.id, kind, 1).unwrap();
        }
        let mut victim =
            struck(step, libc::SIGSTOP, || receive(case.id, Want::Kind(2), Waits::Never));

        ours(case.id);

        victim.kill();
        drain(case.id);
        assert_eq!(fill(case.id, 1), HOLDS / EACH, "{step:?}");
    }
}

fn who_waits_is_served_though_his_waker_was_killed() {
    for &step in &[Step::SendPublished, Step::SendIndexed, Step::SendUnwoken] {
        let case = Case::new(HOLDS);
        let (one, ready) = (case.id, Shared::<AtomicU64>::new(1));
        let mut waiters: Vec<Child> = [5, 2]
            .map(|kind| {
                spawn(|| {
                    ready[0].fetch_add(1, SeqCst);
                    assert_eq!(receive(one, Want::Kind(kind), Waits::Always).unwrap().1, kind);
                })
            })
            .into();
        await_count(&ready[0], 2);
        waiters.iter().for_each(|waiter| await_sleep(waiter.pid()));

        struck(step, libc::SIGKILL, || send(one, 2, 1));

        await_success(waiters.pop().unwrap());
        send(one, 5, 1).unwrap();
        await_success(waiters.pop().unwrap());
    }
    for &step in &[Step::TypedDischarged, Step::ReceiveUnwoken] {
        let case = Case::new(HOLDS);
        fill(case.id, 1);
        let waiter = spawn(|| send_waiting(case.id));
        await_sleep(waiter.pid());

        struck(step, libc::SIGKILL, || receive(case.id, Want::First, Waits::Never));

        await_success(waiter);
    }
}

fn send_waiting(id: i32) {
    send_as(id, 4, 1, Waits::Always).unwrap();
}

fn who_is_killed_when_slots_get_memory_leaves_the_queue_as_it_was() {
    let case = Case::new(1 << 20);
    struck(Step::TypedGrown, libc::SIGKILL, || while send(case.id, 1, 1).is_ok() {});

    fill(case.id, 1);
    assert_eq!(drain(case.id), typed::MESSAGES);
}

fn a_key_is_whole_though_its_maker_was_killed() {
    for step in [Step::TypedKeyed, Step::AttachLocked] {
        let key = new_key();
        struck(step, libc::SIGKILL, || typed::get(key, libc::IPC_CREAT | 0o600, Limits::Own));

        let id = typed::get(key, 0, Limits::Own).unwrap();
        let case = Case::of(id);
        let again = typed::get(key, libc::IPC_CREAT | 0o600, Limits::Own);

        assert_eq!(again, Ok(id), "{step:?}");
        send(case.id, 3, 1).unwrap();
        let stranger = spawn(|| assert_eq!(receive(id, Want::First, Waits::Never).unwrap().1, 3));
        await_success(stranger);
    }
}

fn a_queue_is_gone_though_its_remover_was_killed() {
    for step in
        [Step::TypedRemoved, Step::TypedUnnamed, Step::EndLooked, Step::EndAside, Step::EndAlone]
    {
        let key = new_key();
        let id = typed::get(key, libc::IPC_CREAT | 0o600, Limits::Own).unwrap();
        let waiter = spawn(|| {
            assert_eq!(receive(id, Want::Kind(1), Waits::Always), Err(Errno(libc::EIDRM)));
        });
        await_sleep(waiter.pid());

        struck(step, libc::SIGKILL, || typed::remove(id));

        await_success(waiter);
        assert_eq!(send(id, 1, 1), Err(Errno(libc::EINVAL)), "{step:?}");
        assert_eq!(typed::remove(id), Err(Errno(libc::EINVAL)), "{step:?}");
        let new = typed::get(key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600, Limits::Own).unwrap();
        assert_ne!(new, id);
        let case = Case::of(new);
        send(case.id, 1, 1).unwrap();
        drop(case);
        assert_eq!(typed::summary().unwrap().queues, 0, "{step:?}");
        assert!(files("").is_empty(), "{step:?}");
    }
}

fn a_key_passes_to_one_new_queue_though_many_want_it() {
    for _ in 0..50 {
        let key = new_key();
        let old = typed::get(key, libc::IPC_CREAT | 0o600, Limits::Own).unwrap();
        struck(Step::TypedRemoved, libc::SIGKILL, || typed::remove(old));
        let makers: Vec<Child> = (0..4)
            .map(|_| {
                spawn(|| {
                    let id = typed::get(key, libc::IPC_CREAT | 0o600, Limits::Own).unwrap();
                    send(id, 1, 1).unwrap();
                })
            })
            .collect();
        makers.into_iter().for_each(await_success);

        let id = typed::get(key, 0, Limits::Own).unwrap();
        let case = Case::of(id);
        assert_eq!(drain(case.id), 4);
    }
}

fn use_for_ever(id: i32, sends: bool, seed: u64) {
    let mut random = Rng::new(seed);
    loop {
        if sends {
            send_as(id, 1 + random.below(4) as i64, 1 + random.below(3), Waits::Always).unwrap();
        } else {
            let want = [Want::First, Want::UpTo(4), Want::Except(9)][random.below(3) as usize];
            receive(id, want, Waits::Always).unwrap();
        }
    }
}

fn killed_at_any_step_they_leave_a_sound_queue() {
    let case = Case::new(HOLDS);
    let mut users: Vec<Child> =
        (0..4).map(|i| spawn(|| use_for_ever(case.id, i % 2 == 0, 77 + i))).collect();
    let mut random = Rng::new(11);
    for round in 0..300 {
        let nth = 1 + random.below(300);
        let mut victim = spawn(|| {
            fault::arm(None, nth, libc::SIGKILL);
            use_for_ever(case.id, round % 2 == 0, nth);
        });
        assert_eq!(victim.wait(PATIENCE), Fate::Killed(libc::SIGKILL), "round {round}");
    }
    users.iter_mut().for_each(Child::kill);

    drain(case.id);
    assert_eq!(typed::status(case.id).unwrap().bytes, 0);
    assert_eq!(fill(case.id, 1), HOLDS / EACH);
}
