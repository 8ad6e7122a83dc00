//! A sender that waits until the registrant has told its program.

use super::*;
use loom::thread;
use mqueue_core::shm::{Arrival, Ticket, Waited};

/// The registrant's helper.
fn tell(owner: &Engine, ticket: Ticket) {
    let event = &owner.segment().control().wait.0.registrant;
    let look = || (owner.arrival(ticket) != Arrival::Waiting).then_some(());
    while let Waited::InVain(_) = event.wait(look, |announced| Some(event.sleep(announced, 0))) {}
    owner.note_told(ticket);
}

#[test]
fn a_sender_goes_on_when_the_registrant_has_told() {
    model("told 1S", 3, 8, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register(false).unwrap();
        let helper = {
            let owner = owner.clone();
            thread::spawn(move || tell(&owner, ticket))
        };
        let s = q.owner(1);
        assert!(send(&s, 1, 0));
        s.let_registrant_tell();
        assert!(matches!(owner.arrival(ticket), Arrival::Arrived { pid: 1, .. }));
        helper.join().unwrap();
    });
}

#[test]
fn all_senders_go_on_and_one_may_register_again() {
    model("told 2S", 2, 8, || {
        let q = Queue::new(2, 2);
        let owner = q.owner(0);
        let ticket = owner.register(false).unwrap();
        let senders: Vec<_> = (1..3u8)
            .map(|k| {
                let s = q.owner(k as u32);
                thread::spawn(move || {
                    assert!(send(&s, k, 0));
                    s.let_registrant_tell();
                })
            })
            .collect();
        tell(&owner, ticket);
        let again = owner.register(false).expect("still busy");
        senders.into_iter().for_each(|s| s.join().unwrap());
        // The second message came before it, or beside it.
        owner.deregister(again);
        same(drain(&owner), vec![1, 2]);
    });
}
