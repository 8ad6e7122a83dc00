//! System V's four calls on our queues: what sysv.c hands on.
//!
//! msgsnd and msgrcv go in steps, since the C half sleeps (as in `transfer.rs`):
//!
//! ```text
//! begin    checks in the kernel's order, first step      -> DONE or SLEEP
//! go_on    the next step, told how the sleep ended       -> DONE or SLEEP
//! abandon  instead: the thread was cancelled in its sleep
//! ```
//!
//! Source: msgget(2), msgop(2), msgctl(2).

use crate::settings::Settings;
use crate::transfer::{Next, Now, slept};
use crate::{guarded, trace};
use core::ffi::{c_int, c_long};
use core::mem::ManuallyDrop;
use mqueue_core::error::{Errno, Result};
use mqueue_core::shm::Slept;
use mqueue_core::shm::steps::Step;
use mqueue_core::shm::typed::{self, Limits, Receiving, Sending, Settings as Changes, Want};

/// Bits of what [`mqrs_dropin_sysv_load`] says (sysv.c has them, too).
const IS_OURS: c_int = 1;
const IS_COUNTED: c_int = 2;

/// When the library is loaded: whose these calls are, and whether they are counted.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_sysv_load() -> c_int {
    let settings = Settings::get();
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    bit(settings.has_sysv, IS_OURS) | bit(settings.is_traced, IS_COUNTED)
}

fn limits() -> Limits {
    if Settings::get().has_kernel_limits { Limits::Kernel } else { Limits::Own }
}

/// What a program asked for (struct request of sysv.c).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    text: *mut u8,
    len: usize,
    kind: i64,
    id: c_int,
    flags: c_int,
    is_send: c_int,
}

enum Transfer {
    Send(Sending),
    Receive(Receiving),
}

/// A call between its steps; the C half keeps it (union call of sysv.c) and reads the first two.
#[repr(C)]
pub struct Call {
    now: Now,
    kind: i64,
    text: *mut u8,
    transfer: ManuallyDrop<Transfer>,
}

// The C half has 256 bytes for it (sysv.c).
const _: () = assert!(size_of::<Call>() <= 256 && align_of::<Call>() <= 8);

/// Begin a call.
///
/// # Safety
/// `call` has room for one; the request is the program's, whose buffer is what it says.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_begin(call: *mut Call, request: *const Request) -> Next {
    // SAFETY: granted by the caller.
    let request = unsafe { *request };
    match guarded(|| begin(&request)) {
        // SAFETY: granted by the caller; written whole.
        Ok(transfer) => unsafe {
            call.write(Call {
                now: Now::default(),
                kind: 0,
                text: request.text,
                transfer: ManuallyDrop::new(transfer),
            });
            next(&mut *call, None)
        },
        Err(error) => {
            // SAFETY: granted by the caller.
            unsafe { (*call).now.result = crate::refuse(error) as c_long };
            Next::Done
        }
    }
}

/// Go on after a sleep; `how` is its errno, 0 if it was woken.
///
/// # Safety
/// The last step of this call said SLEEP.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_go_on(call: *mut Call, how: c_int) -> Next {
    // SAFETY: granted by the caller.
    unsafe { next(&mut *call, Some(slept(how))) }
}

/// The thread was cancelled in its sleep.
///
/// # Safety
/// The last step of this call said SLEEP, and there is no other.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_abandon(call: *mut Call) {
    let _ = guarded(|| {
        // SAFETY: granted by the caller; dropped nowhere else then.
        unsafe { ManuallyDrop::drop(&mut (*call).transfer) };
        Ok(())
    });
}

fn begin(request: &Request) -> Result<Transfer> {
    let Request { len, kind, id, flags, .. } = *request;
    let nowait = flags & libc::IPC_NOWAIT != 0;
    if request.is_send != 0 {
        return Sending::begin(id, kind, len, nowait).map(Transfer::Send);
    }
    let cut = flags & libc::MSG_NOERROR != 0;
    let want = wanted(kind, flags)?;
    Receiving::begin(id, want, len, cut, nowait).map(Transfer::Receive)
}

/// Which message msgrcv means.
fn wanted(kind: i64, flags: c_int) -> Result<Want> {
    let except = flags & libc::MSG_EXCEPT != 0;
    if flags & libc::MSG_COPY != 0 {
        return if except { Err(Errno(libc::EINVAL)) } else { Ok(Want::Copy(kind)) };
    }
    Ok(match kind {
        0 => Want::First,
        // The lowest has no counterpart.
        ..0 => Want::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        _ if except => Want::Except(kind),
        _ => Want::Kind(kind),
    })
}

/// One step.
///
/// # Safety
/// The call has been begun and is not over.
unsafe fn next(call: &mut Call, slept: Option<Slept>) -> Next {
    let text = call.text;
    let came = guarded(|| {
        // SAFETY: the program's buffer, as it says.
        Ok(unsafe {
            match &mut *call.transfer {
                Transfer::Send(sending) => sending.step(text, slept).map(|()| (0, 0)),
                Transfer::Receive(receiving) => receiving.step(text, slept),
            }
        })
    });
    let came = match came {
        Ok(Step::Sleep(bed)) => {
            call.now.sleep(bed);
            return Next::Sleep;
        }
        Ok(Step::Done(came)) => came,
        Err(error) => Err(error),
    };
    // SAFETY: the call is over, and nobody touches this any more.
    let _ = guarded(|| unsafe {
        ManuallyDrop::drop(&mut call.transfer);
        Ok(())
    });
    call.now.result = match came {
        Ok((len, kind)) => {
            call.kind = kind;
            len as c_long
        }
        Err(error) => crate::refuse(error) as c_long,
    };
    Next::Done
}

/// msgget.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_msg_get(key: i32, flags: c_int) -> c_int {
    crate::answer(|| {
        let got = typed::get(key as u32, flags, limits());
        trace::got(key, flags, got.map_err(|error| error.0));
        got
    })
}

/// IPC_RMID.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_msg_remove(id: c_int) -> c_int {
    crate::answer(|| typed::remove(id).map(|()| 0))
}

/// What msgctl tells of a queue (struct status of sysv.c).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Status {
    sent: i64,
    received: i64,
    changed: i64,
    bytes: u64,
    messages: u64,
    most: u64,
    key: u32,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    mode: u32,
    last_sender: c_int,
    last_receiver: c_int,
    id: c_int,
}

impl From<typed::Status> for Status {
    fn from(status: typed::Status) -> Status {
        Status {
            sent: status.sent_s,
            received: status.received_s,
            changed: status.changed_s,
            bytes: status.bytes,
            messages: status.messages,
            most: status.most,
            key: status.key,
            uid: status.uid,
            gid: status.gid,
            cuid: status.cuid,
            cgid: status.cgid,
            mode: status.mode,
            last_sender: status.last_sender as c_int,
            last_receiver: status.last_receiver as c_int,
            id: status.id,
        }
    }
}

/// IPC_STAT.
///
/// # Safety
/// `to` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_status(id: c_int, to: *mut Status) -> c_int {
    crate::answer(|| {
        let status = typed::status(id)?;
        // SAFETY: granted by the caller.
        unsafe { to.write(status.into()) };
        Ok(0)
    })
}

/// MSG_STAT; MSG_STAT_ANY, which needs no permission.
///
/// # Safety
/// `to` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_status_at(place: c_int, any: c_int, to: *mut Status) -> c_int {
    crate::answer(|| {
        let status = typed::status_at(place, any != 0)?;
        // SAFETY: granted by the caller.
        unsafe { to.write(status.into()) };
        Ok(0)
    })
}

/// IPC_SET.
///
/// # Safety
/// `from` is readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_set(id: c_int, from: *const Status) -> c_int {
    crate::answer(|| {
        // SAFETY: granted by the caller.
        let Status { uid, gid, mode, most, .. } = unsafe { *from };
        typed::set(id, &Changes { uid, gid, mode, most }, limits()).map(|()| 0)
    })
}

/// What IPC_INFO and MSG_INFO tell (struct summary of sysv.c).
#[repr(C)]
pub struct Summary {
    queues: u64,
    messages: u64,
    bytes: u64,
    message_max: u64,
    queue_max: u64,
    queues_max: u64,
}

/// IPC_INFO; MSG_INFO, which tells what is in the queues.
///
/// # Safety
/// `to` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_msg_summary(is_whole: c_int, to: *mut Summary) -> c_int {
    crate::answer(|| {
        let all = match is_whole {
            0 => typed::Summary { queues: typed::count()?, ..typed::Summary::default() },
            _ => typed::summary()?,
        };
        let kernel = typed::kernel_limits();
        // SAFETY: granted by the caller.
        unsafe {
            to.write(Summary {
                queues: all.queues,
                messages: all.messages,
                bytes: all.bytes,
                message_max: kernel.message,
                queue_max: kernel.queue,
                queues_max: kernel.queues,
            });
        }
        Ok(0)
    })
}
