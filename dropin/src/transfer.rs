//! Send and receive: checked, tried, and taken up again after each sleep of the C half.
//!
//! ```text
//! begin    checks in the kernel's order, first step      -> DONE, SLEEP or KERNEL
//! go_on    the next step, told how the sleep ended       -> DONE or SLEEP
//! abandon  instead: the thread was cancelled in its sleep
//! ```
//!
//! KERNEL: the descriptor is none of ours; the C half makes the system call. Each of these
//! returns before the C half sleeps, so no frame of Rust is on the stack of a thread that is
//! cancelled, and between two steps a call holds nothing but a use of its queue.
//!
//! Source: mq_send(3), mq_receive(3), pthreads(7).

use crate::descriptor;
use crate::entry::{Entry, Use};
use crate::helper;
use crate::table;
use core::ffi::{c_int, c_long, c_uint};
use core::mem::MaybeUninit;
use mqueue_core::attr::PRIO_MAX;
use mqueue_core::deadline::{Clock, Wait};
use mqueue_core::error::{Errno, Result};
use mqueue_core::notify;
use mqueue_core::oflag::Direction;
use mqueue_core::shm::Slept;
use mqueue_core::shm::steps::{Bed, Step, Steps};
use mqueue_core::transport::Transport;

/// What the C half does next.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Return the result; below zero errno is set.
    Done = 0,
    /// Sleep, and go on.
    Sleep = 1,
    /// Make the kernel's call.
    Kernel = 2,
}

/// What a program asked for, as the C half lays it down (struct request of calls.c).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    data: *mut u8,
    len: usize,
    /// Where a receive puts the priority; may be null.
    prio_at: *mut c_uint,
    /// Absolute, on CLOCK_REALTIME; if there is any.
    seconds: i64,
    nanoseconds: i64,
    number: c_int,
    prio: c_uint,
    is_send: c_int,
    is_timed: c_int,
}

/// What a step tells the C half.
#[repr(C)]
pub struct Now {
    /// Of a call that is over.
    pub result: c_long,
    /// Where to sleep, while it is as announced, until this time on the monotonic clock.
    word: *const u32,
    announced: u32,
    until_ns: i64,
}

impl Now {
    /// Of a call that is to sleep there.
    pub fn sleep(&mut self, bed: Bed) {
        let Bed { word, announced, until_ns } = bed;
        (self.word, self.announced, self.until_ns) = (word.cast(), announced, until_ns);
    }
}

impl Default for Now {
    fn default() -> Now {
        Now { result: 0, word: core::ptr::null(), announced: 0, until_ns: 0 }
    }
}

/// A call between its steps; the C half keeps it (union call of calls.c) and reads `now`.
#[repr(C)]
pub struct Call {
    now: Now,
    request: Request,
    entry: *const Entry,
    steps: MaybeUninit<Steps>,
}

// The C half has 256 bytes for it.
const _: () = assert!(size_of::<Call>() <= 256 && align_of::<Call>() <= 8);

/// How the C half's sleep ended, from its errno; 0 if it was woken.
pub fn slept(how: c_int) -> Slept {
    match how {
        libc::EINTR => Slept::Interrupted,
        libc::ETIMEDOUT => Slept::TimedOut,
        _ => Slept::Changed,
    }
}

/// Begin a call.
///
/// # Safety
/// `call` has room for one; the request is the program's, whose buffers are what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_begin(call: *mut Call, request: *const Request) -> Next {
    // SAFETY: granted by the caller.
    unsafe {
        guarded(call, || {
            let Some((queue, steps)) = begin(&*request)? else { return Ok(Next::Kernel) };
            (*call).request = *request;
            (*call).steps.write(steps);
            next(&mut *call, queue, None)
        })
    }
}

/// Go on after a sleep; `how` is its errno, 0 if it was woken.
///
/// # Safety
/// The last step of this call said SLEEP.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_go_on(call: *mut Call, how: c_int) -> Next {
    // SAFETY: granted by the caller; the step before has kept its use of the queue.
    unsafe {
        guarded(call, || next(&mut *call, Use::from_pointer((*call).entry), Some(slept(how))))
    }
}

/// The thread was cancelled in its sleep.
///
/// # Safety
/// The last step of this call said SLEEP, and there is no other.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_abandon(call: *mut Call) {
    // SAFETY: granted by the caller; the step before has kept its use of the queue.
    let (queue, steps) = unsafe { (Use::from_pointer((*call).entry), (*call).steps.assume_init()) };
    let _ = crate::guarded(move || queue.queue().map(|queue| queue.abandon(&steps)));
}

/// Do a part of a call.
///
/// # Safety
/// `call` can be written to.
#[inline(always)]
unsafe fn guarded(call: *mut Call, work: impl FnOnce() -> Result<Next>) -> Next {
    crate::guarded(work).unwrap_or_else(|error| {
        // SAFETY: granted by the caller.
        unsafe { (*call).now.result = crate::refuse(error) as c_long };
        Next::Done
    })
}

/// Check a call in the kernel's order; `None` if the descriptor is none of ours.
fn begin(request: &Request) -> Result<Option<(Use, Steps)>> {
    let found = table::find(request.number);
    if found.is_none() && request.number >= 0 {
        return Ok(None);
    }
    let is_send = request.is_send != 0;
    let is_time = request.seconds >= 0 && (0..1_000_000_000).contains(&request.nanoseconds);
    if request.is_timed != 0 && !is_time {
        return Err(Errno(libc::EINVAL));
    }
    if is_send && request.prio > PRIO_MAX {
        return Err(Errno(libc::EINVAL));
    }
    // A number below 0 is nobody's.
    let (queue, mark) = found.ok_or(Errno(libc::EBADF))?;
    let forbidden = if is_send { Direction::Receive } else { Direction::Send };
    if mark.direction == forbidden {
        return Err(Errno(libc::EBADF));
    }
    let msgsize = queue.queue()?.msgsize()?;
    if is_send && request.len > msgsize || !is_send && request.len < msgsize {
        return Err(Errno(libc::EMSGSIZE));
    }
    if request.data.is_null() && request.len > 0 {
        return Err(Errno(libc::EFAULT));
    }
    let steps = if is_send { queue.queue()?.begin_send() } else { queue.queue()?.begin_receive() };
    Ok(Some((queue, steps)))
}

/// One step.
///
/// # Safety
/// The request's buffers are what it says, and the steps are written.
#[inline(always)]
unsafe fn next(call: &mut Call, queue: Use, slept: Option<Slept>) -> Result<Next> {
    // SAFETY: granted by the caller.
    let came = unsafe { step(&queue, call.steps.assume_init_mut(), slept, &call.request) };
    match came {
        Step::Sleep(bed) => {
            call.entry = queue.into_pointer();
            call.now.sleep(bed);
            Ok(Next::Sleep)
        }
        Step::Done(done) => {
            helper::start_if_wanted(queue.queue()?);
            if call.request.is_send != 0 {
                notify::deliver_at_once();
            }
            call.now.result = done? as c_long;
            Ok(Next::Done)
        }
    }
}

/// # Safety
/// The buffers are what the request says.
unsafe fn step(
    queue: &Use,
    steps: &mut Steps,
    slept: Option<Slept>,
    request: &Request,
) -> Step<usize> {
    let queue = match queue.queue() {
        Ok(queue) => queue,
        Err(error) => return Step::Done(Err(error)),
    };
    let Request { data, len, prio, prio_at, .. } = *request;
    let wait = || how_long(request);
    if request.is_send != 0 {
        // SAFETY: granted by the caller.
        return unsafe { queue.send_step(steps, slept, (data, len), prio, wait) }.map(|()| 0);
    }
    // SAFETY: granted by the caller.
    unsafe { queue.receive_step(steps, slept, (data, len), wait) }.map(|(len, prio)| {
        if !prio_at.is_null() {
            // SAFETY: the program's.
            unsafe { *prio_at = prio };
        }
        len
    })
}

/// How long a call may wait that would have to.
fn how_long(request: &Request) -> Result<Wait> {
    if descriptor::is_nonblocking(request.number)? {
        return Ok(Wait::Never);
    }
    notify::deliver_at_once();
    if request.is_timed == 0 {
        return Ok(Wait::Unlimited);
    }
    let ns = request.seconds.saturating_mul(1_000_000_000).saturating_add(request.nanoseconds);
    Ok(if ns == i64::MAX { Wait::Unlimited } else { Wait::Until(Clock::Realtime, ns) })
}
