//! Waiting for several queues.

use super::messages::SHORT_NS;
use super::{DEED, Deed, NO_FUTEX_WAITV};
use crate::calls;
use crate::kinds::Kind;
use crate::stage::{Stage, Transport, make, send};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicPtr;
use mqueue_rs::*;
use std::ptr::{null, null_mut};

pub const DEEDS: &[Deed] = &[
    IN_VAIN,
    Deed { name: "wait for several without futex_waitv", without: NO_FUTEX_WAITV, ..IN_VAIN },
    Deed {
        name: "sysv: wait for several",
        transport: Transport::Sysv,
        believes: GONE,
        looks_again: true,
        ..IN_VAIN
    },
    Deed {
        name: "posix: wait for several",
        transport: Transport::Posix,
        // It was closed behind the library's back: then it is ready.
        believes: &[(Kind::Status, libc::EBADF)],
        ..IN_VAIN
    },
    Deed { name: "wait for one that is ready", ..READY },
    Deed { name: "wait for one that is ready in a child", in_child: true, ..READY },
    Deed { name: "posix: wait for one that is ready", transport: Transport::Posix, ..READY },
    Deed { name: "sysv: wait for one that is ready", transport: Transport::Sysv, ..READY },
];

/// Then it is ready.
const GONE: &[(Kind, i32)] = &[(Kind::LookAtSysv, libc::EIDRM), (Kind::LookAtSysv, libc::EINVAL)];

/// A queue in shared memory beside that of the stage; it ends with the process.
static BESIDE: AtomicPtr<mqrs_queue> = AtomicPtr::new(null_mut());

fn make_two(stage: &mut Stage) {
    make(stage);
    let mut out = null_mut();
    let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    // SAFETY: no name and no options, and the output is writable; then an open handle.
    unsafe {
        assert_eq!(mqrs_open(null(), oflag, null(), 0, &mut out), 0);
        assert_eq!(mqrs_unlink(mqrs_name(out)), 0);
    }
    BESIDE.store(out, SeqCst);
}

fn wait(stage: &mut Stage) -> isize {
    let item = |queue| mqrs_wait_item { queue, events: 1, revents: 77 };
    let mut items = [item(stage.queue), item(BESIDE.load(SeqCst))];
    // SAFETY: open handles, and the array is writable.
    let answer = unsafe { mqrs_wait(items.as_mut_ptr(), size_of_val(&items[0]), 2, SHORT_NS) };
    // The rest is ours. After an error everything must be as it was before.
    calls::disarm();
    forget_the_kept();
    if answer >= 0 {
        close_the_other();
    }
    stage.is_touched = answer < 0 && items.iter().any(|item| item.revents != 77);
    answer as isize
}

fn close_the_other() {
    // SAFETY: null or an open handle, which nobody uses any more.
    assert_eq!(unsafe { mqrs_close(BESIDE.swap(null_mut(), SeqCst)) }, 0);
}

/// What a wait keeps for the next one is no leak.
fn forget_the_kept() {
    for fd in 3..64 {
        let path = format!("/proc/self/fd/{fd}\0");
        let mut target = [0u8; 64];
        // SAFETY: a C string, and room for so many bytes; then a number, which the library
        // looks at before it uses it.
        unsafe {
            libc::readlink(path.as_ptr().cast(), target.as_mut_ptr().cast(), target.len());
            if target.starts_with(b"anon_inode:inotify") {
                libc::syscall(libc::SYS_close, fd);
            }
        }
    }
}

const IN_VAIN: Deed =
    Deed { name: "wait for several", function: "mqrs_wait", prepare: make_two, run: wait, ..DEED };

const READY: Deed = Deed {
    prepare: |stage| {
        make_two(stage);
        assert_eq!(send(stage.queue, 7), 0);
    },
    expected: 1,
    ..IN_VAIN
};
