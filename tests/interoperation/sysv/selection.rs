//! What msgrcv can select, cut and look at, ours beside theirs.
//!
//! Every combination of selector, room and flags is put to the kernel by the C peer, and to a
//! queue with the same messages by mqrs_recvmsg: answers and what is left must be the same.

use super::{Scene, scene};
use crate::ours::{NOWAIT, Queue};
use crate::peer::{Answer, Got, Peer, got};
use crate::program::SYSV_C;
use mqueue_rs::mqrs_constants_receive::{
    MQRS_RECV_EXCEPT, MQRS_RECV_PEEK, MQRS_RECV_TRUNCATE, MQRS_RECV_TYPE,
};

const MESSAGES: [(i64, &[u8]); 6] =
    [(5, b"five"), (2, b"two"), (9, b""), (2, b"two again"), (32768, b"lowest"), (70000, b"far")];

fn put(theirs: &mut Peer) {
    for (kind, message) in MESSAGES {
        theirs.send(kind, message);
    }
}

/// Take all that is left, in the order of arrival.
fn drain(theirs: &mut Peer) -> Vec<Got> {
    let mut left = Vec::new();
    loop {
        match theirs.ask("receive 0 now") {
            Answer::Busy => return left,
            other => left.push(got(other)),
        }
    }
}

/// The kernel's answer to msgrcv: the type and the bytes, or the errno.
fn kernel(theirs: &mut Peer, selector: i64, room: usize, flags: &str) -> Result<Got, i32> {
    match theirs.ask(&format!("take {selector} {room} {flags}")) {
        Answer::Busy => Err(libc::EAGAIN),
        Answer::Error(libc::E2BIG) => Err(libc::EMSGSIZE),
        Answer::Error(errno) => Err(errno),
        other => Ok(got(other)),
    }
}

/// Ours.
fn library(ours: &Queue, selector: i64, room: usize, flags: u64) -> Result<Got, i32> {
    let taken = ours.take(selector, room, 0, flags | MQRS_RECV_TYPE as u64, NOWAIT);
    let message = taken.map_err(|refused| refused.errno)?;
    Ok(Got { label: Some(message.kind), bytes: message.bytes })
}

#[test]
fn every_selection_gives_what_msgrcv_gives() {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(&SYSV_C));

    for selector in [0, 1, 2, 5, 9, 32768, 70000, -1, -2, -4, -9, -32768, -i64::from(i32::MAX)] {
        for room in [0, 3, 64] {
            for (letters, flags) in [
                ("", 0),
                ("n", MQRS_RECV_TRUNCATE as u64),
                ("x", MQRS_RECV_EXCEPT as u64),
                ("nx", MQRS_RECV_TRUNCATE as u64 | MQRS_RECV_EXCEPT as u64),
            ] {
                // The kernel knows EXCEPT with types above 0 only, and ignores it else; ours
                // says so.
                if flags & MQRS_RECV_EXCEPT as u64 != 0 && selector <= 0 {
                    continue;
                }
                let case = format!("type {selector}, room {room}, flags '{letters}'");
                put(&mut theirs);
                let expected = kernel(&mut theirs, selector, room, letters);
                let expected_left = drain(&mut theirs);

                put(&mut theirs);
                let given = library(&ours, selector, room, flags);
                let left = drain(&mut theirs);

                assert_eq!(given, expected, "{case}");
                assert_eq!(left, expected_left, "{case}: what is left");
            }
        }
    }
}

#[test]
fn a_message_that_is_cut_tells_its_full_length_and_is_gone() {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(&SYSV_C));
    theirs.send(1, b"longer than its room");

    let cut = ours.take(0, 6, 0, MQRS_RECV_TRUNCATE as u64, NOWAIT).unwrap();

    assert_eq!((&cut.bytes[..], cut.length), (&b"longer"[..], 20));
    assert_eq!(theirs.ask("receive 0 now"), Answer::Busy);
}

#[test]
fn looking_at_each_place_gives_what_msg_copy_gives() {
    let Scene { ours, mut theirs, world: _world } = scene!(Scene::new(&SYSV_C));
    put(&mut theirs);
    if kernel(&mut theirs, 0, 64, "c") == Err(libc::ENOSYS) {
        let refused = ours.take(0, 64, 0, MQRS_RECV_PEEK as u64, NOWAIT).unwrap_err();
        assert_eq!(refused.errno, libc::ENOTSUP);
        return crate::common::skip("MSG_COPY", "the kernel was built without it");
    }

    let look = |place: usize, room, flags| {
        let looked = ours.take(0, room, place as u64, flags | MQRS_RECV_PEEK as u64, NOWAIT);
        let looked = looked.map_err(|refused| refused.errno);
        looked.map(|seen| {
            assert_eq!(seen.sequence, place as u64 + 1);
            (Got { label: Some(seen.kind), bytes: seen.bytes }, seen.length)
        })
    };
    for place in 0..=MESSAGES.len() {
        for room in [0, 3, 64] {
            let case = format!("place {place}, room {room}");
            let expected = kernel(&mut theirs, place as i64, room, "c");
            let looked = look(place, room, 0);
            assert_eq!(looked.map(|(seen, _)| seen), expected, "{case}");

            // The kernel itself cannot cut a copy.
            let expected = kernel(&mut theirs, place as i64, 64, "c").map(|whole| {
                let cut = whole.bytes[..room.min(whole.bytes.len())].to_vec();
                (Got { label: whole.label, bytes: cut }, whole.bytes.len())
            });
            assert_eq!(look(place, room, MQRS_RECV_TRUNCATE as u64), expected, "{case}, cut");
        }
    }
    assert_eq!(drain(&mut theirs).len(), MESSAGES.len());
}
