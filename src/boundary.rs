//! The one way into the library from C.
//!
//! Every exported function that can fail does its work inside [`on_queue`] or [`answer`]:
//! they check the handle, catch a panic, and turn a `Result` into a negative errno. The
//! machinery below never sees a dead handle, and C never sees an unwinding stack.

use mqueue_core::error::{Errno, Result};
use mqueue_core::list::List;
use mqueue_core::queue::Queue;
use mqueue_core::report::say;
use std::alloc::Layout;
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
#[expect(clippy::disallowed_types, reason = "state of this process alone, never modelled")]
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// A handle of an open queue. Only pointers to it exist outside the library.
///
///   made by     mqrs_open, mqrs_open_fd
///   freed by    mqrs_close
///   sends       mqrs_send, mqrs_timedsend, mqrs_send_until, mqrs_sendall
///   receives    mqrs_receive, mqrs_timedreceive, mqrs_receive_until
///   general     mqrs_sendmsg, mqrs_recvmsg
///   batches     mqrs_sendmmsg, mqrs_recvmmsg
///   in place    mqrs_reserve, mqrs_commit, mqrs_timedcommit, mqrs_abort; mqrs_acquire,
///               mqrs_release, mqrs_requeue
///   waits by    mqrs_wait, mqrs_fd
///   ends by     mqrs_cancel, mqrs_set_cancelled, mqrs_shutdown
///   is told by  mqrs_notify_signal, mqrs_notify_callback; mqrs_notify_cancel
///   looks by    mqrs_name, mqrs_getattr, mqrs_getstats
///   changes by  mqrs_set_nonblock, mqrs_set_owner, mqrs_set_maxbytes
///   travels by  mqrs_dup_fd
pub struct mqrs_queue(Handle<Queue>);

/// A walk over the queues that there are. Only pointers to it exist outside the library.
///
///   made by   mqrs_list_open
///   walks by  mqrs_list_next
///   freed by  mqrs_list_close
pub struct mqrs_list(Handle<List>);

/// What a pointer that C holds leads to.
struct Handle<T> {
    health: Health,
    inner: T,
}

/// What C holds pointers to, and how it is called.
trait Held {
    /// What its health says while it works.
    const WORKS: u32;
    const IS_NULL: &str;
    const IS_CLOSED: &str;
    const IS_NONE: &str;
}

impl Held for Queue {
    const WORKS: u32 = u32::from_be_bytes(*b"mqrs");
    const IS_NULL: &str = "the queue handle is NULL";
    const IS_CLOSED: &str = "the queue handle is closed";
    const IS_NONE: &str = "the pointer is not a queue handle";
}

impl Held for List {
    const WORKS: u32 = u32::from_be_bytes(*b"list");
    const IS_NULL: &str = "the list is NULL";
    const IS_CLOSED: &str = "the list is closed";
    const IS_NONE: &str = "the pointer is not a list of queues";
}

/// No object lies below this address on Linux; small integers are not handles.
const LOWEST_ADDRESS: usize = 4096;

/// What a call gives on success, and how C sees it: never negative, unlike an error.
pub(crate) trait Answer {
    /// `int` or `ssize_t`.
    type C;
    fn to_c(self) -> Self::C;
    fn error_to_c(error: Errno) -> Self::C;
}

/// Done.
impl Answer for () {
    type C = c_int;

    #[inline]
    fn to_c(self) -> c_int {
        0
    }

    #[inline]
    fn error_to_c(error: Errno) -> c_int {
        -error.0
    }
}

/// A descriptor.
impl Answer for c_int {
    type C = c_int;

    #[inline]
    fn to_c(self) -> c_int {
        self
    }

    #[inline]
    fn error_to_c(error: Errno) -> c_int {
        -error.0
    }
}

/// A length; no object is longer than `isize::MAX` bytes.
impl Answer for usize {
    type C = isize;

    #[inline]
    fn to_c(self) -> isize {
        self as isize
    }

    #[inline]
    fn error_to_c(error: Errno) -> isize {
        -(error.0 as isize)
    }
}

/// Run one call on a handle that came from C.
///
/// # Safety
/// `q` is a handle that nobody closes during this call; or it is null, below the first
/// page, misaligned, or points to readable memory that is no handle, which is noticed.
#[inline]
pub(crate) unsafe fn on_queue<A: Answer>(
    q: *const mqrs_queue,
    call: impl FnOnce(&Queue) -> Result<A>,
) -> A::C {
    // SAFETY: the caller's promise.
    match unsafe { handle(&raw const (*q).0) }.and_then(|h| h.health.guard(|| call(&h.inner))) {
        Ok(value) => value.to_c(),
        Err(error) => A::error_to_c(error),
    }
}

/// A queue that came from C, beside others.
///
/// # Safety
/// As [`on_queue`], for as long as the reference is used.
pub(crate) unsafe fn queue<'a>(q: *const mqrs_queue) -> Result<&'a Queue> {
    // SAFETY: the caller's promise.
    Ok(&unsafe { handle(&raw const (*q).0) }?.inner)
}

/// Run one call on a list that came from C.
///
/// # Safety
/// As [`on_queue`]; and no other call on the list is running.
pub(crate) unsafe fn on_list<A: Answer>(
    l: *mut mqrs_list,
    call: impl FnOnce(&mut List) -> Result<A>,
) -> A::C {
    // SAFETY: the caller's promise, for both: the second needs a whole handle, which the
    // first has found, and that nobody else uses it.
    let result = unsafe {
        handle(&raw const (*l).0).and_then(|h| h.health.guard(|| call(&mut (*l).0.inner)))
    };
    match result {
        Ok(value) => value.to_c(),
        Err(error) => A::error_to_c(error),
    }
}

/// Run one call that has no handle.
#[inline]
pub(crate) fn answer<A: Answer>(call: impl FnOnce() -> Result<A>) -> A::C {
    match catch(call) {
        Some(Ok(value)) => value.to_c(),
        Some(Err(error)) => A::error_to_c(error),
        None => A::error_to_c(say(libc::ENOTRECOVERABLE, "the library met an error of its own")),
    }
}

/// The full address of a handle's queue; it lives as long as the handle.
///
/// # Safety
/// As [`on_queue`].
pub(crate) unsafe fn name<'a>(q: *const mqrs_queue) -> Result<&'a CStr> {
    // SAFETY: the caller's promise.
    let handle: &'a Handle<Queue> = unsafe { handle(&raw const (*q).0) }?;
    handle.health.guard(|| Ok(handle.inner.name()))
}

/// Free a queue's handle, broken or not. Unless the result is `EBADF`, it is gone.
///
/// # Safety
/// As [`on_queue`], and no other call on the handle is running or will be made, except by
/// a callback of it that is running now.
pub(crate) unsafe fn free(q: *mut mqrs_queue) -> Result<()> {
    // Waits for a running callback, which may go on using the handle until it returns.
    // SAFETY: the caller's promise; made by `Room::fill` if it is a handle.
    unsafe { free_handle(q, &raw mut (*q).0, Queue::notify_cancel) }
}

/// Free a list.
///
/// # Safety
/// As [`on_queue`], and no other call on the list is running or will be made.
pub(crate) unsafe fn free_list(l: *mut mqrs_list) -> Result<()> {
    // SAFETY: the caller's promise; made by `Room::fill` if it is a list.
    unsafe { free_handle(l, &raw mut (*l).0, |_| Ok(())) }
}

/// # Safety
/// `at` lies in `whole`, which is what `Room::fill` made, or no handle as in [`on_queue`].
unsafe fn free_handle<C, T: Held>(
    whole: *mut C,
    at: *mut Handle<T>,
    before: impl FnOnce(&T) -> Result<()>,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let result = match unsafe { handle(at) } {
        Ok(handle) => handle.health.guard(|| before(&handle.inner)),
        Err(Errno(libc::ENOTRECOVERABLE)) => Err(broken()),
        Err(error) => return Err(error),
    };

    // SAFETY: `handle` found a handle that is not closed.
    unsafe { (*at).health.close() };
    // SAFETY: written by `Room::fill`; nobody uses it any more, and it is dropped once.
    let dropped = catch(|| unsafe { (&raw mut (*at).inner).drop_in_place() });
    // SAFETY: allocated by `Room::new` with this layout; the last use of `whole`.
    unsafe { std::alloc::dealloc(whole.cast(), Layout::new::<C>()) };

    if dropped.is_some() { result } else { Err(broken()) }
}

/// The handle behind a pointer, if it is one and works.
///
/// # Safety
/// As [`on_queue`].
#[inline]
unsafe fn handle<'a, T: Held>(at: *const Handle<T>) -> Result<&'a Handle<T>> {
    if at.addr() < LOWEST_ADDRESS || !at.is_aligned() {
        return Err(say(libc::EBADF, if at.is_null() { T::IS_NULL } else { T::IS_NONE }));
    }
    // SAFETY: aligned, and readable by the caller's promise; any bits make a `Health`.
    unsafe { &(*at).health }.check::<T>()?;
    // SAFETY: only `Room::fill` makes what passes the check: a whole handle.
    Ok(unsafe { &*at })
}

/// Memory for what C is to hold, allocated before the rest is done, so that a lack of memory
/// leaves nothing behind.
pub(crate) struct Room<C>(NonNull<C>);

impl<C> Room<C> {
    pub(crate) fn new() -> Result<Room<C>> {
        // SAFETY: the layout is not empty, a handle has at least its health.
        let memory = unsafe { std::alloc::alloc(Layout::new::<C>()) };
        match NonNull::new(memory.cast()) {
            Some(place) => Ok(Room(place)),
            None => Err(say(libc::ENOMEM, "there is no memory for the handle")),
        }
    }

    pub(crate) fn fill<T>(self, inner: T) -> *mut C
    where
        C: From<T>,
    {
        let place = self.0.as_ptr();
        // SAFETY: allocated for this type by `new`, and nobody else's.
        unsafe { place.write(inner.into()) };
        std::mem::forget(self);
        place
    }
}

impl From<Queue> for mqrs_queue {
    fn from(queue: Queue) -> mqrs_queue {
        mqrs_queue(Handle { health: Health::new::<Queue>(), inner: queue })
    }
}

impl From<List> for mqrs_list {
    fn from(list: List) -> mqrs_list {
        mqrs_list(Handle { health: Health::new::<List>(), inner: list })
    }
}

impl<C> Drop for Room<C> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, and not filled.
        unsafe { std::alloc::dealloc(self.0.as_ptr().cast(), Layout::new::<C>()) };
    }
}

/// Whether a handle is one, and whether it still works: one of the three values below.
/// Relaxed throughout, since it guards no other memory: it only tells handles from what
/// is none.
#[expect(clippy::disallowed_types, reason = "state of this process alone, never modelled")]
struct Health(AtomicU32);

impl Health {
    /// A panic came out of a call.
    const BROKEN: u32 = u32::from_be_bytes(*b"brkn");
    /// Seen until the memory is used for something else.
    const CLOSED: u32 = u32::from_be_bytes(*b"gone");

    #[expect(clippy::disallowed_types, reason = "state of this process alone, never modelled")]
    fn new<T: Held>() -> Health {
        Health(AtomicU32::new(T::WORKS))
    }

    #[inline]
    fn check<T: Held>(&self) -> Result<()> {
        match self.0.load(Relaxed) {
            works if works == T::WORKS => Ok(()),
            Health::BROKEN => Err(broken()),
            Health::CLOSED => Err(say(libc::EBADF, T::IS_CLOSED)),
            _ => Err(say(libc::EBADF, T::IS_NONE)),
        }
    }

    /// Run a call; if it panics, the handle never works again.
    #[inline]
    fn guard<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        catch(call).unwrap_or_else(|| {
            self.0.store(Health::BROKEN, Relaxed);
            Err(broken())
        })
    }

    fn close(&self) {
        self.0.store(Health::CLOSED, Relaxed);
    }
}

#[inline]
fn catch<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(panic) => {
            // To drop what a panic carries may run code that panics again.
            std::mem::forget(panic);
            None
        }
    }
}

#[cold]
fn broken() -> Errno {
    say(
        libc::ENOTRECOVERABLE,
        "the library met an error of its own in a call on this handle; all it can do now is close",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqueue_core::report::with_sentence;

    #[test]
    fn a_panic_breaks_the_handle_for_this_and_later_calls() {
        let health = Health::new::<Queue>();
        assert_eq!(health.guard(|| Ok(1)), Ok(1));
        assert_eq!(health.guard(|| Err::<(), _>(Errno(libc::EAGAIN))), Err(Errno(libc::EAGAIN)));
        assert_eq!(health.check::<Queue>(), Ok(()));

        let result: Result<()> = health.guard(|| panic!("expected by this test"));

        assert_eq!(result, Err(Errno(libc::ENOTRECOVERABLE)));
        assert_eq!(health.check::<Queue>(), Err(Errno(libc::ENOTRECOVERABLE)));
        with_sentence(|s| assert!(s.contains("an error of its own"), "{s}"));
    }

    #[test]
    fn a_panic_without_a_handle_is_an_error_too() {
        assert_eq!(
            answer(|| -> Result<()> { panic!("expected by this test") }),
            -libc::ENOTRECOVERABLE
        );
    }

    #[test]
    fn a_panic_that_panics_again_when_dropped_is_caught() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }

        let result: isize = answer(|| -> Result<usize> { std::panic::panic_any(Bomb) });

        assert_eq!(result, -(libc::ENOTRECOVERABLE as isize));
    }

    #[test]
    fn answers_are_a_count_or_a_negative_errno() {
        assert_eq!(answer(|| Ok(())), 0);
        assert_eq!(answer(|| Ok(7 as c_int)), 7);
        assert_eq!(answer(|| Ok(7usize)), 7isize);
        assert_eq!(answer(|| Err::<usize, _>(Errno(libc::EBADMSG))), -(libc::EBADMSG as isize));
    }

    #[test]
    fn a_closed_handle_is_bad_and_says_so() {
        let health = Health::new::<Queue>();
        health.close();

        assert_eq!(health.check::<Queue>(), Err(Errno(libc::EBADF)));

        with_sentence(|s| assert_eq!(s, "the queue handle is closed"));
    }

    #[test]
    fn a_list_is_no_queue() {
        let health = Health::new::<List>();

        assert_eq!(health.check::<Queue>(), Err(Errno(libc::EBADF)));

        with_sentence(|s| assert_eq!(s, "the pointer is not a queue handle"));
        assert_eq!(health.check::<List>(), Ok(()));
    }

    #[test]
    fn pointers_that_are_no_handle_are_bad() {
        // Room for a handle, filled with what no handle begins with.
        let memory = vec![0xa5a5_a5a5_a5a5_a5a5u64; 1024];
        let misaligned = memory.as_ptr().cast::<u8>().wrapping_add(1);
        let numbers = [0, 1, 4095, usize::MAX].map(std::ptr::without_provenance);

        for q in numbers.into_iter().chain([misaligned.cast(), memory.as_ptr().cast()]) {
            // SAFETY: null, small, misaligned, or readable.
            let result = unsafe { on_queue(q, |_| -> Result<()> { unreachable!() }) };

            assert_eq!(result, -libc::EBADF, "{q:?}");
        }
    }
}
