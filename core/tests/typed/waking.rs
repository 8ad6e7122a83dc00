//! Who waits is woken: by a message, by room, by a larger bound, by removal. Calls sleep in
//! slices, so that a waker who was killed is not missed for long; those of these cases sleep
//! until they are woken.

use crate::case::{Case, EACH, HOLDS, Waits, await_sleep, await_success, fill, receive, send};
use crate::case::{send_as, set_bound};
use crate::processes::{Child, spawn};
use mqueue_core::error::Errno;
use mqueue_core::shm::typed::{self, Want};

cases! {
    a_message_wakes_all_receivers_and_its_own_takes_it,
    room_wakes_all_senders_and_he_sends_whom_it_is_enough_for,
    a_larger_bound_wakes_a_sender,
    removal_wakes_all,
}

fn receiver(id: i32, kind: i64) -> Child {
    let waiter = spawn(|| {
        assert_eq!(receive(id, Want::Kind(kind), Waits::UntilWoken).unwrap().1, kind);
    });
    await_sleep(waiter.pid());
    waiter
}

fn sender(id: i32, times: u64) -> Child {
    let waiter = spawn(|| send_as(id, 1, times, Waits::UntilWoken).unwrap());
    await_sleep(waiter.pid());
    waiter
}

fn a_message_wakes_all_receivers_and_its_own_takes_it() {
    let case = Case::new(HOLDS);
    // One is woken as in any queue.
    let others = [receiver(case.id, 5), receiver(case.id, 5)];
    let its_own = receiver(case.id, 2);

    send(case.id, 2, 1).unwrap();
    await_success(its_own);
    for _ in 0..2 {
        send(case.id, 5, 1).unwrap();
    }
    others.into_iter().for_each(await_success);
}

fn room_wakes_all_senders_and_he_sends_whom_it_is_enough_for() {
    let case = Case::new(HOLDS);
    fill(case.id, 1);
    let large = [sender(case.id, 2), sender(case.id, 2)];
    let small = sender(case.id, 1);

    receive(case.id, Want::First, Waits::Never).unwrap();
    await_success(small);
    for _ in 0..4 {
        receive(case.id, Want::First, Waits::Never).unwrap();
    }
    large.into_iter().for_each(await_success);
}

fn a_larger_bound_wakes_a_sender() {
    let case = Case::new(HOLDS);
    fill(case.id, 1);
    let waiter = sender(case.id, 1);

    set_bound(case.id, HOLDS + EACH);

    await_success(waiter);
}

fn removal_wakes_all() {
    let (full, empty) = (Case::new(HOLDS), Case::new(HOLDS));
    fill(full.id, 1);
    let removed = Errno(libc::EIDRM);
    let waiters = [
        spawn(|| assert_eq!(send_as(full.id, 1, 1, Waits::UntilWoken), Err(removed))),
        spawn(|| assert_eq!(send_as(full.id, 1, 2, Waits::UntilWoken), Err(removed))),
        spawn(|| assert_eq!(receive(empty.id, Want::First, Waits::UntilWoken), Err(removed))),
        spawn(|| assert_eq!(receive(empty.id, Want::Kind(3), Waits::UntilWoken), Err(removed))),
    ];
    waiters.iter().for_each(|waiter| await_sleep(waiter.pid()));

    typed::remove(full.id).unwrap();
    typed::remove(empty.id).unwrap();

    waiters.into_iter().for_each(await_success);
}
