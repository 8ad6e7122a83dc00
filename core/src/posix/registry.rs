//! Closing descriptors without dropping a registration.
//!
//! The kernel drops a process's registration with a queue when the process closes *any*
//! descriptor of that queue. So while there is one, descriptors are not closed but parked
//! here, and closed when the next call comes by after it has fired or was cancelled: each
//! call that opens, closes, registers, cancels or lists. Registrations that the program has made by
//! itself (mq_notify) are spared as well, where the kernel tells of them: by descriptors
//! that are open for receiving.
//!
//! A forked child inherits what is parked, and closes it as it comes by: it has no
//! registration, so its closing drops none.
//!
//! Source: mq_close(3); mqueue_flush_file in ipc/mqueue.c of Linux.

#![forbid(unsafe_code)]

use crate::notify::posix::Registrations;
use crate::sync::Ordering::Relaxed;
use crate::sync::local::{AtomicI32, AtomicU64};
use crate::sys::file::{self, Identity};

/// Descriptors that can be parked; what does not find a place stays open for good.
const PLACES: usize = 128;

/// A parked descriptor. Changed while registrations are held; the number last when it is
/// parked and first when it is taken, so that a fork in between loses a number at most.
struct Place {
    /// One more than the number; 0: free.
    fd: AtomicI32,
    identity: [AtomicU64; 2],
}

static PARKED: [Place; PLACES] =
    [const { Place { fd: AtomicI32::new(0), identity: [AtomicU64::new(0), AtomicU64::new(0)] } };
        PLACES];
/// Places that are not free.
static COUNT: AtomicI32 = AtomicI32::new(0);

impl Place {
    /// The parked number, if the program has not closed it.
    fn queue(&self) -> Option<(i32, Identity)> {
        let fd = self.fd.load(Relaxed) - 1;
        let identity = file::identity(fd).ok()?;
        let [dev, ino] = identity.parts();
        let is_ours =
            dev == self.identity[0].load(Relaxed) && ino == self.identity[1].load(Relaxed);
        (fd >= 0 && is_ours).then_some((fd, identity))
    }

    fn is_free(&self) -> bool {
        self.fd.load(Relaxed) == 0
    }
}

/// Close what is parked and need not be any more.
pub fn sweep() {
    // Relaxed: who parked it in another thread will come by again.
    if COUNT.load(Relaxed) != 0 {
        sweep_held(&Registrations::hold());
    }
}

fn sweep_held(registrations: &Registrations<'_>) {
    if COUNT.load(Relaxed) == 0 {
        return;
    }
    let mut kept = 0;
    for place in PARKED.iter().filter(|place| !place.is_free()) {
        let queue = place.queue();
        if queue.is_some_and(|(fd, identity)| registrations.is_registered(fd, identity)) {
            kept += 1;
            continue;
        }
        // Without a page for registrations nothing is held: of two threads one closes it.
        let taken = place.fd.swap(0, Relaxed) - 1;
        if queue.is_some_and(|(fd, _)| fd == taken) {
            file::close(taken);
        }
    }
    COUNT.store(kept, Relaxed);
}

/// Close a queue's descriptor as soon as no registration of this process can be lost by it.
pub fn close(fd: i32, identity: Identity) {
    let registrations = Registrations::hold();
    sweep_held(&registrations);
    if registrations.is_registered(fd, identity) {
        park(fd, identity);
    } else {
        file::close(fd);
    }
}

fn park(fd: i32, identity: Identity) {
    let Some(place) = PARKED.iter().find(|place| place.is_free()) else { return };
    for (stored, part) in place.identity.iter().zip(identity.parts()) {
        stored.store(part, Relaxed);
    }
    COUNT.fetch_add(1, Relaxed);
    place.fd.store(fd + 1, Relaxed);
}

/// Whether there is any registration of a handle, or anything parked.
pub fn is_in_use() -> bool {
    COUNT.load(Relaxed) != 0 || Registrations::hold().are_any()
}

/// Whether a registration or a parked descriptor is of this queue.
pub fn knows(identity: Identity) -> bool {
    with_descriptor(identity, |_| ()).is_some()
}

/// Look at a queue by a descriptor that is there because of a registration, if one is: each
/// further one would have to be parked.
pub fn with_descriptor<R>(identity: Identity, look: impl FnOnce(i32) -> R) -> Option<R> {
    let registrations = Registrations::hold();
    let parked = || PARKED.iter().filter_map(Place::queue).find(|(_, found)| *found == identity);
    let fd = registrations.descriptor(identity).or_else(|| parked().map(|(fd, _)| fd))?;
    Some(look(fd))
}
