//! Delivering notifications: one helper thread for each process that registers any.
//!
//! A registration lives in two places: the word in the segment (`shm/arrival.rs`), which
//! all processes see, and a node in the list here, which says what to do. The helper
//! sleeps on the words of all waiting registrations and on one of its own, looks at
//! everything after each wake, and delivers: a signal to its own process, which needs no
//! permission whoever the sender is, or a callback.
//!
//! All state is in a page that fork wipes, so a child has no registrations, no helper and
//! no lock that somebody held at the fork. A callback runs with no lock held, and the
//! helper touches nothing of its handle afterwards: it may close it.

use crate::error::{Errno, Result};
use crate::report::say;
use crate::shm::handle::Attachment;
use crate::shm::{Arrival, Engine, NotRegistered, Slept, Ticket};
use crate::sync::Ordering::{Acquire, Relaxed, Release, SeqCst};
use crate::sync::local::{AtomicPtr, AtomicU32};
use crate::sys::futex::{self, WaitOn};
use crate::sys::{clock, map, process, thread};
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
}

/// One registration of this process.
struct Node {
    next: *mut Node,
    /// Tells the handle; alive as long as the node is in the list.
    attachment: *const Attachment,
    notification: Notification,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Waiting { ticket: Ticket, trusted: u64 },
    Fired { pid: u32, uid: u32 },
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
    /// The attachment whose callback runs now; under the lock.
    serving: AtomicPtr<Attachment>,
    /// The helper, once it runs; under the lock.
    helper: AtomicU32,
}

const PAGE: usize = 4096;
/// How long the helper sleeps without looking round.
const SLICE: i64 = 20_000_000;
const SLICE_MOST: i64 = 1_000_000_000;
/// How often it looks where it cannot sleep on all words.
const SLICE_POLLING: i64 = 5_000_000;
/// Words in one sleep: the kernel's limit is 128.
const WORDS: usize = 128;

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

/// The lock of a desk, held.
struct Locked<'a>(&'a Desk);

impl Desk {
    fn lock(&self) -> Locked<'_> {
        // 0 free, 1 held, 2 held and somebody sleeps (the classic three-state futex lock).
        if self.lock.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            while self.lock.swap(2, Acquire) != 0 {
                futex::wait_local(&self.lock, 2, None);
            }
        }
        Locked(self)
    }

    fn ring(&self) {
        self.bell.fetch_add(1, SeqCst);
        futex::wake_local(&self.bell);
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

/// Free a list of nodes.
fn free(mut node: *mut Node) {
    while !node.is_null() {
        // SAFETY: allocated by `register` with this layout, and out of the list.
        unsafe {
            let next = (*node).next;
            std::alloc::dealloc(node.cast(), core::alloc::Layout::new::<Node>());
            node = next;
        }
    }
}

/// Register a handle for the next arrival on its empty queue.
pub fn register(attachment: &Attachment, notification: Notification) -> Result<()> {
    if let Notification::Signal { signo, .. } = notification
        && !process::is_signal(signo)
    {
        return Err(say(libc::EINVAL, "there is no signal of this number"));
    }
    if attachment.engine().is_poisoned() {
        return Err(damaged());
    }
    let desk = desk()?;
    // SAFETY: the layout is not empty.
    let node: *mut Node = unsafe { std::alloc::alloc(core::alloc::Layout::new::<Node>()) }.cast();
    if node.is_null() {
        return Err(say(libc::ENOMEM, "there is not enough memory to register"));
    }
    let locked = desk.lock();
    let made = staff(desk).and_then(|()| {
        // An earlier registration may have fired without having been delivered yet.
        locked.sift(|node| {
            note_arrival(node);
            true
        });
        match attachment.engine().register() {
            Ok(ticket) => Ok(ticket),
            Err(NotRegistered::Busy) => {
                Err(say(libc::EBUSY, "the queue has a registration for notification already"))
            }
            Err(NotRegistered::Damaged) => Err(damaged()),
        }
    });
    match made {
        Ok(ticket) => {
            let state = State::Waiting { ticket, trusted: 0 };
            // SAFETY: allocated above for this type.
            unsafe { node.write(Node { next: null_mut(), attachment, notification, state }) };
            locked.append(node);
            drop(locked);
            desk.ring();
            Ok(())
        }
        Err(error) => {
            drop(locked);
            // SAFETY: allocated above with this layout.
            unsafe { std::alloc::dealloc(node.cast(), core::alloc::Layout::new::<Node>()) };
            Err(error)
        }
    }
}

fn damaged() -> Errno {
    say(libc::EBADMSG, "the queue's shared state is damaged; it can only be removed")
}

/// Drop a handle's registrations; returns when none of its callbacks runs or will run.
pub fn cancel(attachment: &Attachment) {
    let Some(desk) = desk_if_any() else { return };
    loop {
        let locked = desk.lock();
        let removed = locked.sift(|node| {
            if !core::ptr::eq(node.attachment, attachment) {
                return true;
            }
            if let State::Waiting { ticket, .. } = node.state {
                attachment.engine().deregister(ticket);
            }
            false
        });
        let is_served = core::ptr::eq(desk.serving.load(Relaxed), attachment);
        let is_helper = desk.helper.load(Relaxed) == thread::id();
        let returned = desk.returned.load(SeqCst);
        if is_served && is_helper {
            // We are in that callback; from now on it is nobody's.
            desk.serving.store(null_mut(), Relaxed);
        }
        drop(locked);
        free(removed);
        desk.ring();
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

/// Note it if a waiting registration has fired.
fn note_arrival(node: &mut Node) {
    let State::Waiting { ticket, .. } = node.state else { return };
    if let Arrival::Arrived { pid, uid } = engine_of(node).arrival(ticket) {
        node.state = State::Fired { pid, uid };
    }
}

fn engine_of(node: &Node) -> &Engine {
    // SAFETY: an attachment outlives its nodes: closing a handle removes them first.
    unsafe { (*node.attachment).engine() }
}

/// The helper thread.
extern "C" fn serve(_: *mut c_void) -> *mut c_void {
    let Some(desk) = desk_if_any() else { return null_mut() };
    desk.helper.store(thread::id(), SeqCst);
    let mut slice = SLICE;
    loop {
        let bell = desk.bell.load(SeqCst);
        while deliver_one(desk) {}
        let woken = sleep(desk, bell, slice);
        slice = if woken { SLICE } else { (slice * 2).min(SLICE_MOST) };
        if !woken {
            watch(desk);
        }
    }
}

/// Deliver one notification that has fired; false if there is none.
fn deliver_one(desk: &Desk) -> bool {
    let locked = desk.lock();
    let mut chosen = false;
    let node = locked.sift(|node| {
        note_arrival(node);
        let State::Fired { pid, uid } = node.state else { return true };
        if chosen {
            return true;
        }
        if let Notification::Signal { signo, value } = node.notification {
            // Too many signals are pending (RLIMIT_SIGPENDING): again in the next slice.
            if signo != 0 && process::queue_signal(signo, pid, uid, value).is_err() {
                return true;
            }
        }
        chosen = true;
        false
    });
    if node.is_null() {
        return false;
    }
    // SAFETY: just taken out of the list, ours alone.
    let (notification, attachment) = unsafe { ((*node).notification, (*node).attachment) };
    free(node);
    if let Notification::Callback { function, argument, user } = notification {
        desk.serving.store(attachment.cast_mut(), Relaxed);
        drop(locked);
        // SAFETY: the program registered this function with these arguments, and keeps
        // them valid until the registration is cancelled, which waits for us.
        unsafe { function(argument, user) };
        let locked = desk.lock();
        desk.serving.store(null_mut(), Relaxed);
        desk.returned.fetch_add(1, SeqCst);
        drop(locked);
        futex::wake_local(&desk.returned);
    }
    true
}

/// Sleep until something may have fired or the bell rang; false if only time passed.
fn sleep(desk: &Desk, bell: u32, slice: i64) -> bool {
    let mut words = [WaitOn::default(); WORDS];
    words[0] = WaitOn::new_local(&desk.bell, bell);
    let mut count = 1;
    let mut is_complete = true;
    let mut has_fired = false;
    let locked = desk.lock();
    locked.sift(|node| {
        if let State::Waiting { ticket, .. } = node.state {
            if count == WORDS {
                is_complete = false;
                return true;
            }
            let engine = engine_of(node);
            let event = &engine.segment().control().wait.0.registrant;
            words[count] = WaitOn::new(event.word(), event.announce());
            count += 1;
            has_fired |= engine.arrival(ticket) != Arrival::Waiting;
        }
        true
    });
    drop(locked);
    if has_fired {
        return true;
    }
    let slice = if is_complete { slice } else { SLICE_POLLING };
    let until = clock::monotonic_ns().saturating_add(slice);
    match futex::wait_any(&words[..count], until) {
        Some(slept) => slept == Slept::Changed,
        // No futex_waitv: look often. (A changed bell ends this sleep, too.)
        None => {
            let slice = if count > 1 { SLICE_POLLING } else { SLICE_MOST };
            futex::wait_local(&desk.bell, bell, Some(slice)) == Slept::Changed
        }
    }
}

/// Look after waiting registrations whose sender or receiver may have died.
fn watch(desk: &Desk) {
    let locked = desk.lock();
    locked.sift(|node| {
        if let State::Waiting { ticket, trusted } = node.state {
            let trusted = engine_of(node).watch_arrival(ticket, trusted);
            node.state = State::Waiting { ticket, trusted };
        }
        true
    });
}
