//! Delivering notifications: one helper thread for each process that needs one.
//!
//! A registration lives in two places: with the queue, where all processes see it, and as
//! a node in the list here, which says what to do. How the helper learns of an arrival
//! differs: it sleeps on words of shared memory (`shm.rs`), and on a socket that the kernel
//! writes to (`posix.rs`); `sleep.rs` makes one sleep of the two. After each wake it looks at
//! everything and delivers: a signal to its own process, which needs no permission whoever
//! the sender is, or a callback. (The kernel's queues send signals themselves; their
//! nodes only tell who holds the registration.)
//!
//! All state is in a page that fork wipes, so a child has no registrations, no helper and
//! no lock that somebody held at the fork. A callback runs with no lock held, and the
//! helper touches nothing of its handle afterwards: it may close it.

pub mod beacon;
mod channel;
pub mod descriptor;
pub mod posix;
pub mod shm;
mod sleep;
mod tended;

use crate::error::{Errno, Result};
use crate::report::say;
use crate::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::local::{AtomicPtr, AtomicU32, AtomicU64};
use crate::sys::thread::{self, Unsignalled};
use crate::sys::{futex, map, process};
use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::null_mut;

/// What happens when a message arrives on an empty queue.
#[derive(Clone, Copy)]
pub enum Notification {
    /// A signal with a value, as `mq_notify` sends it.
    Signal {
        /// The signal's number; 0 takes the registration but sends nothing.
        signo: i32,
        /// Arrives as `si_value`.
        value: isize,
    },
    /// A call of `function(argument, user)` on the helper thread.
    Callback {
        /// What is called.
        function: unsafe extern "C" fn(*mut c_void, *mut c_void),
        /// Its first argument.
        argument: *mut c_void,
        /// Its second argument.
        user: *mut c_void,
    },
    /// What another package of this library does about it.
    Delivery(Delivery),
}

/// A delivery by another package, and what it needs for it, which the registration owns.
#[derive(Clone, Copy)]
pub struct Delivery {
    /// It takes no memory and gives none back: then it may happen in any thread that comes by,
    /// in a signal handler as well, with the lock held; else on the helper thread.
    pub is_brief: bool,
    /// Deliver a message of this process and user; false: not possible now, try again later.
    /// It must not come back here.
    pub deliver: unsafe fn(data: *mut c_void, pid: u32, uid: u32) -> bool,
    /// Called once, when the registration is no more, delivered or not; with no lock held.
    pub discard: unsafe fn(data: *mut c_void),
    /// Handed to both.
    pub data: *mut c_void,
}

/// Flags of a registration.
pub mod how {
    /// It stays until it is cancelled.
    pub const PERSISTENT: u64 = 1;
    /// It fires at once if messages are waiting.
    pub const NOW: u64 = 2;
    /// All of them.
    pub const ALL: u64 = PERSISTENT | NOW;
}

/// Which handle a registration belongs to: never 0, and no two of them alike.
pub type Holder = u64;

/// One registration of this process.
struct Node {
    next: *mut Node,
    holder: Holder,
    notification: Notification,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// A registration in shared memory.
    Shm(shm::Waiting),
    /// One in the kernel; with a signal it may be used up without our knowing.
    Posix(posix::Waiting),
    /// To be delivered by the helper; and the registration in shared memory, which may stay.
    Fired { pid: u32, uid: u32, of: Option<shm::Waiting> },
    /// Delivered; the helper is to free it.
    Spent,
    /// No registration: a descriptor for poll, of a queue in shared memory.
    Polled(tended::Tended),
    /// No registration either: a beacon that may be left to the helper.
    Lit(tended::Tended),
}

/// Everything about notification in this process. All zeros: nothing yet.
#[repr(C)]
struct Desk {
    lock: AtomicU32,
    /// The helper thread runs.
    is_staffed: AtomicU32,
    /// Changed when the helper should look.
    bell: AtomicU32,
    /// Changed when a callback has returned.
    returned: AtomicU32,
    /// First node of the list; under the lock.
    first: AtomicPtr<Node>,
    /// The holder whose callback runs now, or 0; under the lock.
    serving: AtomicU64,
    /// The helper, once it runs; under the lock.
    helper: AtomicU32,
    /// The helper sleeps on the channel, or is about to: the bell must be rung there.
    is_polling: AtomicU32,
    /// The channel is one of this process, not its parent's; under the lock.
    has_channel: AtomicU32,
    /// Registrations with a [`Delivery`].
    deliveries: AtomicU32,
    /// The last ticket given to the kernel; under the lock.
    ticket: AtomicU64,
}

const PAGE: usize = 4096;
/// The page, or null before the first registration.
static DESK: AtomicPtr<Desk> = AtomicPtr::new(null_mut());

fn desk_if_any() -> Option<&'static Desk> {
    // SAFETY: null or a page that is never unmapped; all its bytes are atomics.
    unsafe { DESK.load(Acquire).as_ref() }
}

fn desk() -> Result<&'static Desk> {
    if let Some(desk) = desk_if_any() {
        return Ok(desk);
    }
    let page = match map::map_wiped_on_fork(PAGE) {
        Ok((page, true)) => page,
        Ok((_, false)) => {
            return Err(say(libc::EAGAIN, "notification needs Linux 4.14 or later"));
        }
        Err(_) => return Err(say(libc::ENOMEM, "there is not enough memory to register")),
    };
    if DESK.compare_exchange(null_mut(), page.base().cast(), SeqCst, Acquire).is_ok() {
        page.into_base();
    }
    desk_if_any().ok_or(Errno(libc::ENOMEM))
}

/// Have the helper look at everything, if there is one.
pub fn ring() {
    if let Some(desk) = desk_if_any() {
        desk.ring();
    }
}

/// The lock of a desk, held. No handler of this thread runs meanwhile, which could come here.
struct Locked<'a>(&'a Desk, #[expect(dead_code, reason = "its end is what counts")] Unsignalled);

impl Desk {
    fn lock(&self) -> Locked<'_> {
        let unsignalled = Unsignalled::begin();
        // 0 free, 1 held, 2 held and somebody sleeps (the classic three-state futex lock).
        if self.lock.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            while self.lock.swap(2, Acquire) != 0 {
                futex::wait_local(&self.lock, 2, None);
            }
        }
        Locked(self, unsignalled)
    }

    /// Have the helper look at everything.
    fn ring(&self) {
        // SYNC: Dekker pair with sleep_on_channel, which says that it polls and then looks
        // at the bell.
        self.bell.fetch_add(1, SeqCst);
        futex::wake_local(&self.bell);
        if self.is_polling.load(SeqCst) != 0 {
            channel::ring();
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.0.lock.swap(0, Release) == 2 {
            futex::wake_local(&self.0.lock);
        }
    }
}

impl Locked<'_> {
    /// Put a node at the end, so that what fired first is delivered first.
    fn append(&self, node: *mut Node) {
        let mut link: *mut *mut Node = self.0.first.as_ptr();
        // SAFETY: as in sift.
        unsafe {
            while !(*link).is_null() {
                link = &raw mut (**link).next;
            }
            *link = node;
        }
    }

    /// Visit the nodes; those for which `keep` says no leave the list and are given back.
    fn sift(&self, mut keep: impl FnMut(&mut Node) -> bool) -> *mut Node {
        let mut removed = null_mut();
        let mut link: *mut *mut Node = self.0.first.as_ptr();
        // SAFETY: the list is only touched under the lock, which we hold; its nodes are
        // allocated by `register` and belong to it.
        unsafe {
            while !(*link).is_null() {
                let node = *link;
                if keep(&mut *node) {
                    link = &raw mut (*node).next;
                } else {
                    *link = (*node).next;
                    (*node).next = removed;
                    removed = node;
                }
            }
        }
        removed
    }
}

/// Memory for a node.
fn allocate() -> Result<*mut Node> {
    // SAFETY: the layout is not empty.
    let node: *mut Node = unsafe { std::alloc::alloc(Layout::new::<Node>()) }.cast();
    if node.is_null() {
        return Err(say(libc::ENOMEM, "there is not enough memory to register"));
    }
    Ok(node)
}

/// Give back the memory of one.
///
/// # Safety
/// It was allocated by `allocate` and is in no list.
unsafe fn deallocate(node: *mut Node) {
    // SAFETY: granted by the caller.
    unsafe { std::alloc::dealloc(node.cast(), Layout::new::<Node>()) };
}

/// Free a list of nodes that `sift` has taken out.
fn free(mut node: *mut Node) {
    while !node.is_null() {
        // SAFETY: allocated by `allocate`, and in the desk's list no more; its data is its own.
        unsafe {
            let next = (*node).next;
            if let Notification::Delivery(Delivery { discard, data, .. }) = (*node).notification {
                if let Some(desk) = desk_if_any() {
                    desk.deliveries.fetch_sub(1, SeqCst);
                }
                discard(data);
            }
            deallocate(node);
            node = next;
        }
    }
}

fn check(notification: Notification) -> Result<()> {
    match notification {
        Notification::Signal { signo, .. } if !process::is_signal(signo) => {
            Err(say(libc::EINVAL, "there is no signal of this number"))
        }
        _ => Ok(()),
    }
}

fn busy() -> Errno {
    say(libc::EBUSY, "the queue has a registration for notification already")
}

/// Drop a handle's registrations; returns when none of its callbacks runs or will run.
pub fn cancel(holder: Holder) {
    let Some(desk) = desk_if_any() else { return };
    loop {
        let locked = desk.lock();
        // What has fired already is no registration any more.
        posix::note_arrivals(&locked);
        let removed = locked.sift(|node| {
            if node.holder != holder {
                return true;
            }
            match node.state {
                State::Shm(waiting) | State::Fired { of: Some(waiting), .. } => waiting.withdraw(),
                State::Posix(waiting) => waiting.withdraw(node.notification),
                State::Fired { of: None, .. } | State::Spent => {}
                State::Polled(_) | State::Lit(_) => return true,
            }
            false
        });
        let is_served = desk.serving.load(Relaxed) == holder;
        let is_helper = desk.helper.load(Relaxed) == thread::id();
        let returned = desk.returned.load(SeqCst);
        if is_served && is_helper {
            // We are in that callback; from now on it is nobody's.
            desk.serving.store(0, Relaxed);
        }
        drop(locked);
        if !removed.is_null() {
            free(removed);
            desk.ring();
        }
        if !is_served || is_helper {
            return;
        }
        // The callback may register again before it returns: then look once more.
        futex::wait_local(&desk.returned, returned, None);
    }
}

/// Start the helper, if it does not run.
fn staff(desk: &'static Desk) -> Result<()> {
    if desk.is_staffed.load(Relaxed) == 0 {
        thread::spawn_without_signals(serve)
            .map_err(|_| say(libc::EAGAIN, "the helper thread for notification cannot start"))?;
        desk.is_staffed.store(1, Relaxed);
    }
    Ok(())
}

/// The helper thread.
extern "C" fn serve(_: *mut c_void) -> *mut c_void {
    let Some(desk) = desk_if_any() else { return null_mut() };
    desk.helper.store(thread::id(), SeqCst);
    let mut slice = sleep::SLICE;
    loop {
        let bell = desk.bell.load(SeqCst);
        while deliver_one(desk) {
            descriptor::look_at_all(desk);
        }
        let woken = sleep::sleep(desk, bell, slice);
        slice = if woken { sleep::SLICE } else { (slice * 2).min(sleep::SLICE_MOST) };
        if !woken {
            shm::watch(&desk.lock());
        }
    }
}

/// Deliver what has arrived now: what the library's own callers have registered waits for the
/// helper, but for programs that know the kernel's queues that is too late twice. Who has sent
/// to himself expects the signal before the call returns; and who goes to sleep in a call must not
/// be woken by the signal of a message that he has long received.
pub fn deliver_at_once() {
    let Some(desk) = desk_if_any() else { return };
    if desk.deliveries.load(SeqCst) == 0 {
        return;
    }
    let locked = desk.lock();
    let mut is_any = false;
    locked.sift(|node| {
        shm::settle(node);
        shm::note_arrival(node);
        if let (State::Fired { pid, uid, of }, Notification::Delivery(delivery)) =
            (node.state, node.notification)
        {
            // SAFETY: the registration's own data, which is discarded after this.
            if delivery.is_brief && unsafe { (delivery.deliver)(delivery.data, pid, uid) } {
                of.inspect(shm::Waiting::note_told);
                node.state = State::Spent;
                is_any = true;
            }
        }
        true
    });
    drop(locked);
    if is_any {
        desk.ring();
    }
}

/// Deliver one notification that has fired; false if there is none, or it cannot be delivered
/// now.
fn deliver_one(desk: &Desk) -> bool {
    let locked = desk.lock();
    posix::note_arrivals(&locked);
    let mut chosen = false;
    let node = locked.sift(|node| {
        if chosen {
            return true;
        }
        shm::note_arrival(node);
        let State::Fired { pid, uid, of } = node.state else { return true };
        if let Notification::Signal { signo, value } = node.notification {
            // Too many signals are pending (RLIMIT_SIGPENDING): again in the next slice.
            if signo != 0 && process::queue_signal(signo, pid, uid, value).is_err() {
                return true;
            }
        }
        if let Notification::Delivery(delivery) = node.notification {
            // SAFETY: the registration's own data, which is discarded after this.
            if delivery.is_brief && !unsafe { (delivery.deliver)(delivery.data, pid, uid) } {
                return true;
            }
        }
        // A thread or a callback may take long, and may send itself: nobody waits for those.
        of.inspect(shm::Waiting::note_told);
        chosen = true;
        false
    });
    if node.is_null() {
        return false;
    }
    // SAFETY: just taken out of the list, ours alone.
    let Node { notification, holder, state, .. } = unsafe { &mut *node };
    let (notification, holder, fired) = (*notification, *holder, *state);
    let mut is_over = true;
    let stays = match fired {
        State::Fired { of: Some(waiting), .. } if waiting.stays() => Some(waiting),
        _ => None,
    };
    if let Some(waiting) = stays {
        *state = State::Shm(waiting);
        // At the end: the others have their turn.
        locked.append(node);
        is_over = false;
    }
    let mut is_done = true;
    // No memory is given back with the lock held: a handler may wait for the lock in a thread
    // that it has interrupted in the midst of that.
    match (notification, fired) {
        (Notification::Callback { function, argument, user }, _) => {
            // SAFETY: the program registered this function with these arguments, and keeps
            // them valid until the registration is cancelled, which waits for us.
            let call = || unsafe { function(argument, user) };
            unlocked(desk, locked, holder, call, |_, ()| {});
        }
        (Notification::Delivery(delivery), State::Fired { pid, uid, .. }) if !delivery.is_brief => {
            // SAFETY: the registration's own data, which is discarded after this.
            let deliver = || unsafe { (delivery.deliver)(delivery.data, pid, uid) };
            unlocked(desk, locked, holder, deliver, |locked, done| {
                is_done = done;
                if !done {
                    // Later; whoever cancels it finds it here, or has waited for this.
                    locked.append(node);
                }
            });
        }
        _ => drop(locked),
    }
    if is_over && is_done {
        free(node);
    }
    is_done
}

/// Do something for a holder with no lock held; who cancels its registrations waits for that,
/// and for what is done about it afterwards, with the lock held again.
fn unlocked<R>(
    desk: &Desk,
    locked: Locked<'_>,
    holder: Holder,
    work: impl FnOnce() -> R,
    after: impl FnOnce(&Locked<'_>, R),
) {
    desk.serving.store(holder, Relaxed);
    drop(locked);
    let came = work();
    let locked = desk.lock();
    after(&locked, came);
    desk.serving.store(0, Relaxed);
    desk.returned.fetch_add(1, SeqCst);
    drop(locked);
    futex::wake_local(&desk.returned);
}
