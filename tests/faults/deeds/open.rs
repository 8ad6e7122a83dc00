//! Opening and making, handing over, closing and removing queues.

use super::{DEED, Deed, NO_OPENING_AGAIN, NO_PROC, NO_UNNAMED_FILES, NO_WIPING, Stage};
use crate::kinds::Kind;
use crate::processes::{Numbers, spawn};
use crate::stage::{
    UNTOUCHED, attributes, close, join, keep, make, open, open_or_panic, options, take_name,
};
use mqueue_core::attr::option;
use mqueue_rs::*;
use std::ptr::{null, null_mut};

const NO_RANDOM: &[(Kind, i32)] =
    &[(Kind::Random, libc::ENOSYS), (Kind::OpenUnnamed, libc::EOPNOTSUPP)];

pub const DEEDS: &[Deed] = &[
    OPEN_MAKES,
    Deed {
        name: "open makes a queue where files have names",
        without: NO_UNNAMED_FILES,
        ..OPEN_MAKES
    },
    Deed { name: "open makes a queue where pages survive fork", without: NO_WIPING, ..OPEN_MAKES },
    OPEN_MAKES_HIDDEN,
    Deed {
        name: "open makes a queue that may not be opened, where files have names",
        without: NO_UNNAMED_FILES,
        ..OPEN_MAKES_HIDDEN
    },
    Deed { name: "open makes a queue without /proc", without: NO_PROC, ..OPEN_MAKES },
    Deed {
        name: "open makes a queue that may not be opened, without /proc",
        without: NO_PROC,
        ..OPEN_MAKES_HIDDEN
    },
    OPEN_MAKES_ANY,
    Deed {
        name: "open makes a queue with a name from the clock",
        without: NO_RANDOM,
        ..OPEN_MAKES_ANY
    },
    OPEN_FINDS,
    Deed { name: "open finds a queue in a child", in_child: true, ..OPEN_FINDS },
    Deed { name: "open finds a queue without /proc", without: NO_PROC, ..OPEN_FINDS },
    OPEN_CLEARS_UP,
    OPEN_FD,
    Deed { name: "open_fd adopts without /proc", without: NO_PROC, ..OPEN_FD },
    Deed {
        name: "open_fd adopts what may not be opened",
        then_without: NO_OPENING_AGAIN,
        ..OPEN_FD
    },
    DUP_FD,
    Deed { name: "dup_fd in a child", in_child: true, ..DUP_FD },
    Deed { name: "dup_fd of what may not be opened", then_without: NO_OPENING_AGAIN, ..DUP_FD },
    CLOSE,
    Deed { name: "close in a child", in_child: true, ..CLOSE },
    UNLINK,
];

pub const OPEN_MAKES: Deed = Deed {
    name: "open makes a queue",
    function: "mqrs_open",
    run: |stage| open(stage, libc::O_CREAT | libc::O_RDWR, 0o600, 0),
    unchanged: nothing_is_there,
    ..DEED
};

pub const OPEN_MAKES_HIDDEN: Deed = Deed {
    name: "open makes a queue that may not be opened",
    run: |stage| {
        open(stage, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o200, option::EXACT_MODE)
    },
    verify: |stage| match attributes(stage.made)?.mode {
        0o200 => Ok(()),
        mode => Err(format!("its mode is {mode:o}")),
    },
    ..OPEN_MAKES
};

pub const OPEN_MAKES_ANY: Deed = Deed {
    name: "open makes a queue with a random name",
    run: |stage| {
        let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
        // SAFETY: every pointer is valid or null where it may be.
        let answer = unsafe {
            mqrs_open(null(), oflag, &options(0, 0), size_of::<mqrs_options>(), &mut out)
        };
        keep(stage, answer, out);
        answer as isize
    },
    verify: |stage| {
        take_name(stage, stage.made);
        Ok(())
    },
    ..OPEN_MAKES
};

pub const OPEN_FINDS: Deed = Deed {
    name: "open finds a queue",
    function: "mqrs_open",
    prepare: make,
    run: |stage| open(stage, libc::O_RDWR, 0, 0),
    ..DEED
};

pub const OPEN_CLEARS_UP: Deed = Deed {
    name: "open clears up after the dead",
    prepare: |stage| {
        make(stage);
        // SAFETY: an open handle.
        let fd = unsafe { mqrs_dup_fd(stage.queue) };
        stage.numbers = Some(Numbers::leave(fd, 1));
        let name = stage.name.clone();
        let dead = spawn(|| {
            open_or_panic(&name);
            // It ends without closing.
        });
        join(dead).expect("it opens the queue");
    },
    verify: |stage| {
        stage.numbers = None;
        Ok(())
    },
    has_one_number: true,
    ..OPEN_FINDS
};

pub const OPEN_FD: Deed = Deed {
    name: "open_fd adopts",
    function: "mqrs_open_fd",
    prepare: |stage| {
        make(stage);
        // SAFETY: an open handle.
        stage.fd = unsafe { mqrs_dup_fd(stage.queue) };
        assert!(stage.fd >= 0);
    },
    run: |stage| {
        let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
        // SAFETY: `out` is writable.
        let answer = unsafe { mqrs_open_fd(stage.fd, libc::O_RDWR, 0, &mut out) };
        keep(stage, answer, out);
        if answer == 0 {
            // It is the handle's now.
            stage.fd = -1;
        }
        answer as isize
    },
    unchanged: |stage| {
        // SAFETY: touches no memory.
        match unsafe { libc::fcntl(stage.fd, libc::F_GETFD) } {
            0.. => Ok(()),
            _ => Err("the descriptor is not the caller's any more".into()),
        }
    },
    ..DEED
};

pub const DUP_FD: Deed = Deed {
    name: "dup_fd",
    function: "mqrs_dup_fd",
    prepare: make,
    run: |stage| {
        // SAFETY: an open handle.
        let fd = unsafe { mqrs_dup_fd(stage.queue) };
        stage.fd = fd.max(-1);
        fd.min(0) as isize
    },
    verify: |stage| {
        (OPEN_FD.run)(stage);
        if stage.made.is_null() { Err("it is not one of a queue".into()) } else { Ok(()) }
    },
    ..DEED
};

pub const CLOSE: Deed = Deed {
    name: "close",
    function: "mqrs_close",
    prepare: make,
    run: |stage| {
        let queue = std::mem::replace(&mut stage.queue, null_mut());
        // SAFETY: an open handle, which nobody uses any more.
        unsafe { mqrs_close(queue) as isize }
    },
    ..DEED
};

pub const UNLINK: Deed = Deed {
    name: "unlink",
    function: "mqrs_unlink",
    prepare: make,
    // SAFETY: a C string.
    run: |stage| unsafe { mqrs_unlink(stage.name.as_ptr()) as isize },
    verify: |stage| match open(stage, libc::O_RDWR, 0, 0) as i32 {
        answer if answer == -libc::ENOENT => {
            // The old queue is nobody else's now.
            close(&mut stage.queue);
            Ok(())
        }
        answer => Err(format!("opening it: {answer}")),
    },
    ..DEED
};

pub fn nothing_is_there(stage: &mut Stage) -> Result<(), String> {
    match open(stage, libc::O_RDWR, 0, 0) as i32 {
        answer if answer == -libc::ENOENT => Ok(()),
        answer => Err(format!("there is a queue: {answer}")),
    }
}
