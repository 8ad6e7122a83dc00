//! Registrations with the kernel's POSIX queues.
//!
//! The kernel has one registration for each queue. It belongs to the process, and goes when
//! the process closes any descriptor of the queue. A signal the kernel sends itself, and does
//! not say when; for a callback it writes the cookie of the registration to our socket,
//! before anyone else can register:
//!
//! ```text
//! cookie   0-7 ticket | 31 written by the kernel: 1 a message came, 2 removed
//! ```
//!
//! So the nodes here tell which handle holds the registration of which queue. One with a
//! callback is exact once the socket has been read; one with a signal may be used up, and
//! then the kernel is asked, where it answers (a descriptor open for receiving).
//!
//! Source: mq_notify(3), its "C library/kernel differences"; ipc/mqueue.c of Linux.

use super::{Holder, Locked, Node, Notification, State, channel};
use crate::error::{Errno, Result};
use crate::report::{explain, say};
use crate::sync::Ordering::Relaxed;
use crate::sync::local::AtomicU64;
use crate::sys::file::{self, Identity};
use crate::sys::mq;
use crate::sys::process;
use core::ptr::null_mut;

/// What the kernel writes into the last byte of a cookie.
const WOKEN: u8 = 1;

/// A handle's queue, as a registration needs to know it.
#[derive(Clone, Copy)]
pub struct Party {
    /// Whose registration it is.
    pub holder: Holder,
    /// The handle's descriptor, open as long as the handle.
    pub fd: i32,
    /// Which queue that is.
    pub identity: Identity,
}

/// A holder that nobody else is; odd, which no attachment of shared memory is.
pub fn new_holder() -> Holder {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(2, Relaxed)
}

/// A registration that is there, as far as we know.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    party: Party,
    /// Of a callback; 0 for a signal.
    ticket: u64,
}

impl Waiting {
    pub(super) fn is_told_by_the_channel(&self) -> bool {
        self.ticket != 0
    }

    /// Drop the registration, unless the program has made another of its own since.
    pub(super) fn withdraw(self, notification: Notification) {
        let Party { fd, identity, .. } = self.party;
        if file::identity(fd) != Ok(identity) {
            // The program has closed the descriptor, and with it dropped the registration.
            return;
        }
        if let (Notification::Signal { signo, .. }, Ok(state)) = (notification, mq::state(fd)) {
            let ours = (process::pid(), libc::SIGEV_SIGNAL, signo);
            if (state.registrant, state.how, state.signo) != ours {
                return;
            }
        }
        let _ = mq::notify(fd, None);
    }
}

/// Register for the next arrival on the empty queue.
pub fn register(party: Party, notification: Notification) -> Result<()> {
    super::check(notification)?;
    let desk = super::desk()?;
    let node = super::allocate()?;
    let locked = desk.lock();
    let made = prepare(desk, &locked, notification).and_then(|(ticket, event)| {
        let state = State::Posix(Waiting { party, ticket });
        // SAFETY: just allocated for a node.
        unsafe {
            node.write(Node { next: null_mut(), holder: party.holder, notification, state });
        }
        // Before the kernel has it: it may fire at once.
        locked.append(node);
        mq::notify(party.fd, Some(event)).map_err(|error| {
            locked.sift(|other| !core::ptr::eq(other, node));
            refused(error)
        })
    });
    if let Err(error) = made {
        drop(locked);
        // SAFETY: allocated above, and in no list, or not any more.
        unsafe { super::deallocate(node) };
        return Err(error);
    }
    // Whatever registration this process had with the queue before is used up.
    note_arrivals(&locked);
    let stale = locked.sift(|other| match other.state {
        State::Posix(waiting) => {
            waiting.party.identity != party.identity || core::ptr::eq(other, node)
        }
        _ => true,
    });
    drop(locked);
    super::free(stale);
    desk.ring();
    Ok(())
}

/// What to tell the kernel, and the ticket of a callback.
fn prepare(
    desk: &'static super::Desk,
    locked: &Locked<'_>,
    notification: Notification,
) -> Result<(u64, mq::Event)> {
    if let Notification::Signal { signo, value } = notification {
        return Ok((0, mq::Event::signal(signo, value)));
    }
    super::staff(desk)?;
    let (socket, most) = channel::open(locked)?;
    note_arrivals(locked);
    let mut waiting = 0;
    locked.sift(|node| {
        waiting += u32::from(matches!(node.state, State::Posix(w) if w.ticket != 0));
        true
    });
    if waiting >= most {
        return Err(explain(
            libc::EAGAIN,
            format_args!(
                "the process waits for callbacks of {waiting} POSIX queues, and net.core.rmem_max leaves no room for more"
            ),
        ));
    }
    let ticket = desk.ticket.fetch_add(1, Relaxed) + 1;
    let mut cookie = [0; 32];
    cookie[..8].copy_from_slice(&ticket.to_ne_bytes());
    Ok((ticket, mq::Event::cookie(socket, cookie)))
}

fn refused(error: Errno) -> Errno {
    match error.0 {
        libc::EBUSY => super::busy(),
        libc::EBADF => say(libc::EBADF, "the program has closed the queue's descriptor"),
        libc::ENOMEM => say(libc::ENOMEM, "the kernel has not enough memory to register"),
        errno => explain(errno, format_args!("the kernel refuses to notify (errno {errno})")),
    }
}

/// Note which registrations have fired or are gone.
pub(super) fn note_arrivals(locked: &Locked<'_>) {
    if !channel::is_open(locked) {
        return;
    }
    while let Some(cookie) = channel::take() {
        let [a, b, c, d, e, f, g, h, .., status] = cookie;
        let ticket = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        let removed = locked.sift(|node| match node.state {
            State::Posix(waiting) if waiting.ticket == ticket && ticket != 0 => {
                // The kernel's cookies tell neither process nor user of the sender.
                node.state = State::Fired { pid: 0, uid: 0, of: None };
                status == WOKEN
            }
            _ => true,
        });
        super::free(removed);
    }
}

/// The registrations of this process, which nobody changes meanwhile.
pub struct Registrations<'a>(Option<Locked<'a>>);

impl Registrations<'_> {
    /// Hold them. Where there can be none, there is nothing to hold.
    pub fn hold() -> Registrations<'static> {
        let locked = super::desk().ok().map(super::Desk::lock);
        if let Some(locked) = &locked {
            note_arrivals(locked);
        }
        Registrations(locked)
    }

    /// Whether there are any, as far as we know.
    pub fn are_any(&self) -> bool {
        let mut any = false;
        self.each(|_, _| any = true);
        any
    }

    /// A descriptor of the queue that a registration of ours is known to have been made by.
    pub fn descriptor(&self, identity: Identity) -> Option<i32> {
        let mut found = None;
        self.each(|party, _| {
            if party.identity == identity && file::identity(party.fd) == Ok(identity) {
                found = Some(party.fd);
            }
        });
        found
    }

    /// Whether this process has a registration with the queue that `fd` is open on, through
    /// us or by itself.
    pub fn is_registered(&self, fd: i32, identity: Identity) -> bool {
        let mut awaited = false;
        let mut asked = mq::state(fd).ok();
        let mut signalled = false;
        self.each(|party, is_callback| {
            if party.identity == identity {
                awaited |= is_callback;
                signalled |= !is_callback;
                if asked.is_none() && file::identity(party.fd) == Ok(identity) {
                    asked = mq::state(party.fd).ok();
                }
            }
        });
        awaited || asked.map_or(signalled, |state| state.registrant == process::pid())
    }

    fn each(&self, mut visit: impl FnMut(Party, bool)) {
        let Some(locked) = &self.0 else { return };
        locked.sift(|node| {
            if let State::Posix(Waiting { party, ticket }) = node.state {
                visit(party, ticket != 0);
            }
            true
        });
    }
}
