//! What the kernel's queues write to when they notify by callback: a netlink socket. And a
//! bell beside it, for a helper that sleeps there.
//!
//! The socket has no address, so nobody but the kernel can write to it. Each registration
//! holds a part of its room from the beginning, or mq_notify(2) would block when there is no
//! room; so there may only be so many.
//!
//! Both are opened with the first such registration. A forked child has copies, which are
//! its parent's: the page that fork wipes tells, and the child's first registration closes
//! them. The program may have closed them, too: what is not our socket is left alone.
//!
//! Source: sysdeps/unix/sysv/linux/mq_notify.c of glibc; do_mq_notify in ipc/mqueue.c and
//! netlink_attachskb in net/netlink/af_netlink.c of Linux.

#![forbid(unsafe_code)]

use super::Locked;
use crate::error::{Errno, Result};
use crate::report::{explain, say};
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sync::local::{AtomicI32, AtomicU32, AtomicU64};
use crate::sys::poll::{self, Polled};
use crate::sys::{eventfd, file, socket};

/// Bytes of room that one registration holds at most (768 on x86-64).
const CHARGE: u32 = 1280;
/// Room that we ask for; what we get is the system's to say (net.core.rmem_max).
const ROOM: i32 = 1 << 19;

/// Numbers of the two, and what tells the socket; of this process or of one it was forked
/// from. Changed under the lock.
static SOCKET: AtomicI32 = AtomicI32::new(-1);
static BELL: AtomicI32 = AtomicI32::new(-1);
static IDENTITY: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// Registrations that there is room for.
static MOST: AtomicU32 = AtomicU32::new(0);

/// The socket is still ours, and so, presumably, is the bell.
fn is_intact() -> bool {
    let identity = [IDENTITY[0].load(Relaxed), IDENTITY[1].load(Relaxed)];
    file::identity(SOCKET.load(Relaxed)).is_ok_and(|now| now.parts() == identity)
}

/// Whether this process has a channel.
pub(super) fn is_open(locked: &Locked<'_>) -> bool {
    locked.0.has_channel.load(Relaxed) != 0 && is_intact()
}

/// The socket's number and how many registrations it has room for; opened now if need be.
pub(super) fn open(locked: &Locked<'_>) -> Result<(i32, u32)> {
    if !is_open(locked) {
        if is_intact() {
            // The parent's.
            file::close(SOCKET.load(Relaxed));
            file::close(BELL.load(Relaxed));
        }
        SOCKET.store(-1, Relaxed);
        open_anew()?;
        locked.0.has_channel.store(1, Relaxed);
    }
    Ok((SOCKET.load(Relaxed), MOST.load(Relaxed)))
}

fn open_anew() -> Result<()> {
    let refused = |error: Errno| match error.0 {
        libc::EMFILE => say(
            libc::EMFILE,
            "a callback needs two descriptors, and the process has as many as RLIMIT_NOFILE (ulimit -n) allows",
        ),
        libc::ENFILE => say(
            libc::ENFILE,
            "a callback needs two descriptors, and the system has as many as /proc/sys/fs/file-max allows",
        ),
        libc::ENOMEM | libc::ENOBUFS => say(libc::ENOMEM, "there is not enough memory to register"),
        libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::EPERM | libc::EACCES => say(
            libc::ENOTSUP,
            "a callback on a POSIX queue needs a netlink socket, which this process may not have; a signal needs none",
        ),
        errno => explain(errno, format_args!("cannot open a netlink socket (errno {errno})")),
    };
    let socket = socket::netlink().map_err(refused)?;
    let room = socket::make_room(socket.number(), ROOM).map_err(refused)?;
    let identity = file::identity(socket.number()).map_err(refused)?;
    let bell = eventfd::open().map_err(refused)?;
    for (place, part) in IDENTITY.iter().zip(identity.parts()) {
        place.store(part, Relaxed);
    }
    MOST.store(room / CHARGE, Relaxed);
    BELL.store(bell.into_number(), Relaxed);
    SOCKET.store(socket.into_number(), SeqCst);
    Ok(())
}

/// Take what the kernel has written: the cookie of one registration.
pub(super) fn take() -> Option<socket::Cookie> {
    socket::take(SOCKET.load(Relaxed))
}

/// Wake the helper, which sleeps in [`sleep`].
pub(super) fn ring() {
    if is_intact() {
        eventfd::add(BELL.load(Relaxed), 1);
    }
}

/// Whether there is something to take.
pub(super) fn has_news() -> bool {
    is_intact() && is_ready(&mut [asked(&SOCKET)], 0)
}

/// Sleep until there is something to take, or the bell rings; false if only time passed.
pub(super) fn sleep(ns: i64) -> bool {
    let mut both = [asked(&SOCKET), asked(&BELL)];
    let is_ready = is_ready(&mut both, ns);
    if both[1].revents != 0 {
        eventfd::clear(both[1].fd);
    }
    is_ready
}

fn asked(number: &AtomicI32) -> Polled {
    Polled { fd: number.load(Relaxed), events: poll::READABLE, revents: 0 }
}

fn is_ready(asked: &mut [Polled], ns: i64) -> bool {
    poll::wait(asked, ns).is_ok_and(|ready| ready > 0)
}
