//! One queue between senders and receivers of both kinds: a case of both transports, which
//! say only how their peers are asked (`posix/waiting.rs`, `sysv/waiting.rs`).

#![forbid(unsafe_code)]

use crate::ours::{LONG, Queue};
use crate::peer::{Peer, got, word_of};

/// Two senders, two receivers, one of each kind: every message is received once. `send` gives
/// a peer's line for a priority and a message, `receive` is its line for the next message.
pub fn every_message_is_received_once(
    ours: &Queue,
    mut sender: Peer,
    mut receiver: Peer,
    send: impl Fn(u32, &str) -> String + Send,
    receive: &str,
) {
    const EACH: u8 = 100;

    let mut received = std::thread::scope(|scope| {
        let senders = [
            scope.spawn(|| {
                for i in 0..EACH {
                    ours.send(&[b'o', i], u32::from(i % 3), LONG).unwrap();
                }
            }),
            scope.spawn(move || {
                for i in 0..EACH {
                    sender.must(&send(u32::from(i % 3), &word_of(&[b't', i])));
                }
            }),
        ];
        // An empty message of the lowest priority ends a receiver.
        let receivers = [
            scope.spawn(|| {
                let received = std::iter::from_fn(|| Some(ours.receive(LONG).unwrap().0));
                received.take_while(|message| !message.is_empty()).collect::<Vec<_>>()
            }),
            scope.spawn(move || {
                let received = std::iter::from_fn(|| Some(got(receiver.ask(receive)).bytes));
                received.take_while(|message| !message.is_empty()).collect()
            }),
        ];
        for sender in senders {
            sender.join().unwrap();
        }
        for _ in &receivers {
            ours.send(b"", 0, LONG).unwrap();
        }
        receivers.map(|receiver| receiver.join().unwrap()).concat()
    });

    received.sort();
    let sent = [b'o', b't'].map(|from| (0..EACH).map(|i| vec![from, i]).collect::<Vec<_>>());
    assert_eq!(received, sent.concat());
}
