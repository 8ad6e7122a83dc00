//! Queues that go with their last user: whoever ends one.

use super::open::{CLOSE, OPEN_FINDS, UNLINK, nothing_is_there};
use super::{Deed, Stage};
use crate::kinds::Kind;
use crate::processes::spawn;
use crate::stage::{join, open};
use libc::{O_CREAT, O_EXCL, O_RDWR};
use mqueue_core::attr::option::EPHEMERAL;
use std::ptr::null_mut;

pub const DEEDS: &[Deed] = &[
    Deed { name: "open finds an ephemeral queue", prepare: make, ..OPEN_FINDS },
    OPEN_CLEARS_AWAY,
    Deed {
        name: "open makes a queue alone where the dead left one",
        run: |stage| open(stage, O_CREAT | O_EXCL | O_RDWR, 0o600, 0),
        ..OPEN_CLEARS_AWAY
    },
    Deed {
        name: "open finds nothing where the dead left a queue",
        run: |stage| open(stage, O_RDWR, 0, 0),
        expected: -(libc::ENOENT as isize),
        ..OPEN_CLEARS_AWAY
    },
    Deed {
        name: "close ends an ephemeral queue",
        prepare: make,
        verify: nothing_is_there,
        clears_away: true,
        // What cannot be unmapped keeps its lock.
        believes: &[(Kind::Unmap, libc::ENOMEM)],
        ..CLOSE
    },
    Deed {
        name: "unlink of an ephemeral queue",
        prepare: make,
        clears_away: true,
        believes: OTHERS_ARE_FASTER,
        ..UNLINK
    },
];

const OPEN_CLEARS_AWAY: Deed = Deed {
    name: "open makes a queue where the dead left one",
    prepare: abandon,
    run: |stage| open(stage, O_CREAT | O_RDWR, 0o600, 0),
    unchanged: nothing_is_there,
    clears_away: true,
    believes: OTHERS_ARE_FASTER,
    ..OPEN_FINDS
};

/// Errors by which the queue, or its name, is gone, or others are at it.
const OTHERS_ARE_FASTER: &[(Kind, i32)] = &[
    (Kind::OpenQueue, libc::ENOENT),
    (Kind::LookForName, libc::ENOENT),
    (Kind::ReadLock, libc::EACCES),
    (Kind::ReadLock, libc::EAGAIN),
    (Kind::RenameNew, libc::EEXIST),
    (Kind::RenameNew, libc::ENOENT),
];

fn make(stage: &mut Stage) {
    assert_eq!(open(stage, O_CREAT | O_RDWR, 0o600, EPHEMERAL), 0);
    stage.queue = std::mem::replace(&mut stage.made, null_mut());
}

/// A queue whose last user has ended without closing.
fn abandon(stage: &mut Stage) {
    let user = spawn(|| {
        assert_eq!(open(stage, O_CREAT | O_RDWR, 0o600, EPHEMERAL), 0);
    });
    join(user).expect("it makes the queue");
}
