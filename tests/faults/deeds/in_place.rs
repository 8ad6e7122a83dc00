//! Messages that are written and read in place.

use super::messages::{RECEIVE, RECEIVE_WAITS, SEND, SEND_WAITS};
use super::{Deed, NO_FUTEX_WAITV};
use crate::stage::{MAXMSG, MSGSIZE, Stage, UNTOUCHED, attributes, make, received, send};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicPtr;
use mqueue_rs::*;
use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};

pub const DEEDS: &[Deed] = &[
    RESERVE,
    Deed { name: "reserve in a child", in_child: true, ..RESERVE },
    RESERVE_WAITS,
    Deed { name: "reserve waits without futex_waitv", without: NO_FUTEX_WAITV, ..RESERVE_WAITS },
    COMMIT,
    Deed { name: "reserve and commit in a child", in_child: true, ..COMMIT },
    COMMIT_WAITS,
    Deed { name: "commit waits without futex_waitv", without: NO_FUTEX_WAITV, ..COMMIT_WAITS },
    ACQUIRE,
    Deed { name: "acquire in a child", in_child: true, ..ACQUIRE },
    ACQUIRE_WAITS,
    Deed { name: "acquire waits without futex_waitv", without: NO_FUTEX_WAITV, ..ACQUIRE_WAITS },
    REQUEUE,
    Deed { name: "acquire and requeue in a child", in_child: true, ..REQUEUE },
];

/// Reserve a slot and fill it with 7.
fn reserve(stage: &mut Stage) -> Result<*mut c_void, isize> {
    let mut slot = without_provenance_mut::<c_void>(UNTOUCHED);
    // SAFETY: an open handle, and the output is writable.
    match unsafe { mqrs_reserve(stage.queue, MSGSIZE, -1, &mut slot) } {
        0 => {
            // SAFETY: as many bytes were reserved.
            unsafe { slot.cast::<u8>().write_bytes(7, MSGSIZE) };
            Ok(slot)
        }
        answer => {
            stage.is_touched = slot.addr() != UNTOUCHED;
            Err(answer as isize)
        }
    }
}

/// Acquire the message whose bytes are all 7.
fn acquire(stage: &mut Stage) -> Result<*const c_void, isize> {
    let mut data = without_provenance_mut::<c_void>(UNTOUCHED).cast_const();
    let mut prio = UNTOUCHED as u32;
    // SAFETY: an open handle, and the outputs are writable.
    let len = unsafe { mqrs_acquire(stage.queue, -1, &mut data, &mut prio) };
    if len < 0 {
        stage.is_touched = data.addr() != UNTOUCHED || prio != UNTOUCHED as u32;
        return Err(len);
    }
    assert_eq!((len, prio), (MSGSIZE as isize, 0));
    // SAFETY: the message is there until it is released.
    assert_eq!(unsafe { data.cast::<[u8; MSGSIZE]>().read() }, [7; MSGSIZE]);
    Ok(data)
}

const RESERVE: Deed = Deed {
    name: "reserve",
    function: "mqrs_reserve",
    run: |stage| match reserve(stage) {
        // SAFETY: an open handle, and its slot.
        Ok(slot) => unsafe { mqrs_abort(stage.queue, slot) as isize },
        Err(answer) => answer,
    },
    verify: |stage| match attributes(stage.queue)?.curmsgs {
        0 => Ok(()),
        count => Err(format!("{count} messages are queued")),
    },
    ..SEND
};

const RESERVE_WAITS: Deed = Deed {
    name: "reserve waits for room",
    function: "mqrs_reserve",
    run: COMMIT.run,
    ..SEND_WAITS
};

const COMMIT: Deed = Deed {
    name: "reserve and commit",
    function: "mqrs_commit",
    run: |stage| {
        let slot = match reserve(stage) {
            Ok(slot) => slot,
            Err(answer) => return answer,
        };
        // SAFETY: an open handle, and its slot.
        unsafe {
            let answer = mqrs_commit(stage.queue, slot, MSGSIZE, 0);
            if answer != 0 {
                assert_eq!(mqrs_abort(stage.queue, slot), 0);
            }
            answer as isize
        }
    },
    ..SEND
};

/// The slot that was reserved before the queue was filled.
static RESERVED: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

const COMMIT_WAITS: Deed = Deed {
    name: "commit waits for room",
    function: "mqrs_commit",
    prepare: |stage| {
        use crate::stage::with_peer_when_asleep;
        make(stage);
        RESERVED.store(reserve(stage).expect("room"), SeqCst);
        (0..MAXMSG).for_each(|_| assert_eq!(send(stage.queue, 1), 0));
        with_peer_when_asleep(stage, |queue| received(queue, 1).expect("a message"));
    },
    // After an error it is still reserved.
    // SAFETY: an open handle, and its slot.
    run: |stage| unsafe { mqrs_commit(stage.queue, RESERVED.load(SeqCst), MSGSIZE, 0) as isize },
    ..SEND_WAITS
};

const ACQUIRE: Deed = Deed {
    name: "acquire and release",
    function: "mqrs_acquire",
    run: |stage| match acquire(stage) {
        // SAFETY: an open handle, and its message.
        Ok(data) => unsafe { mqrs_release(stage.queue, data) as isize },
        Err(answer) => answer,
    },
    ..RECEIVE
};

const ACQUIRE_WAITS: Deed = Deed {
    name: "acquire waits for a message",
    function: "mqrs_acquire",
    run: ACQUIRE.run,
    ..RECEIVE_WAITS
};

const REQUEUE: Deed = Deed {
    name: "acquire and requeue",
    function: "mqrs_acquire",
    run: |stage| match acquire(stage) {
        // SAFETY: an open handle, and its message.
        Ok(data) => unsafe { mqrs_requeue(stage.queue, data) as isize },
        Err(answer) => answer,
    },
    verify: |stage| received(stage.queue, 7),
    ..RECEIVE
};
