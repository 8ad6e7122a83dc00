//! mq_notify, for queues of ours.
//!
//! Signals go to this process from the library's helper thread, which needs no permission
//! whoever sent the message; SIGEV_THREAD starts a thread from there, as libc does. Before it
//! delivers, the helper asks whether the program has closed one of the queue's descriptors by
//! close(2) meanwhile: that has ended the registration. Whose message it was goes on when it has
//! been delivered (`told.rs` of the core).
//!
//! Source: mq_notify(3), sigevent(7).

use crate::answer;
use crate::entry::Entry;
use crate::table;
use core::ffi::{c_int, c_void};
use mqueue_core::error::{Errno, Result};
use mqueue_core::notify::{Delivery, Notification};
use mqueue_core::sys::process;
use mqueue_core::transport::Transport;

/// What a program asked for (struct notice of calls.c).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Notice {
    /// SIGEV_NONE, SIGEV_SIGNAL or SIGEV_THREAD.
    how: c_int,
    /// SIGEV_SIGNAL: the signal.
    signo: c_int,
    /// The program's value.
    value: *mut c_void,
    /// SIGEV_THREAD: what to start, made by the C half.
    thread: *mut c_void,
}

unsafe extern "C" {
    /// Start the thread that was asked for; false if there are too many now.
    fn mqrs_dropin_start_thread(thread: *mut c_void) -> c_int;
    /// Free what the C half made for it.
    fn mqrs_dropin_free_thread(thread: *mut c_void);
}

struct Registration {
    notice: Notice,
    entry: *const Entry,
}

/// mq_notify(3) of a queue of ours; null ends the registration of this process. 0, -1 with
/// errno, or 1: the descriptor is none of ours. On failure the thread stays the caller's.
///
/// # Safety
/// `notice` is null or a notice.
#[unsafe(no_mangle)]
unsafe extern "C" fn mqrs_dropin_notify(number: c_int, notice: *const Notice) -> c_int {
    answer(|| {
        let Some((queue, _)) = table::find(number) else { return Ok(1) };
        // SAFETY: granted by the caller.
        let Some(notice) = (unsafe { notice.as_ref() }) else {
            // What has fired by now is told.
            mqueue_core::notify::deliver_at_once();
            queue.queue()?.notify_cancel()?;
            return Ok(0);
        };
        // What was closed ends an earlier registration, not this one.
        table::sweep(&queue);
        let registration = Registration { notice: *notice, entry: queue.as_pointer() };
        let data = allocate(registration)?;
        let is_brief = notice.how != libc::SIGEV_THREAD;
        let delivery = Delivery { is_brief, deliver, discard, data: data.cast() };
        queue.note_registrant(notice.how, notice.signo);
        let registered = queue.queue()?.notify(Notification::Delivery(delivery), 0);
        if registered.is_ok() {
            // Whoever closed a descriptor meanwhile has taken the note for an older one's.
            queue.note_registrant(notice.how, notice.signo);
        } else {
            // SAFETY: allocated above, and nobody has it.
            unsafe { deallocate(data) };
        }
        registered.map(|()| 0)
    })
}

fn allocate(registration: Registration) -> Result<*mut Registration> {
    // SAFETY: the layout is not empty.
    let data: *mut Registration =
        unsafe { std::alloc::alloc(core::alloc::Layout::new::<Registration>()) }.cast();
    if data.is_null() {
        return Err(Errno(libc::ENOMEM));
    }
    // SAFETY: just allocated for one.
    unsafe { data.write(registration) };
    Ok(data)
}

/// # Safety
/// `allocate` gave it, and nobody uses it any more.
unsafe fn deallocate(data: *mut Registration) {
    // SAFETY: granted by the caller.
    unsafe { std::alloc::dealloc(data.cast(), core::alloc::Layout::new::<Registration>()) };
}

/// Tell of a message; `pid` and `uid` are its sender's.
unsafe fn deliver(data: *mut c_void, pid: u32, uid: u32) -> bool {
    // SAFETY: the registration's own data.
    let Registration { notice, entry } = unsafe { &*data.cast::<Registration>() };
    // SAFETY: entries are never freed, and this one is not taken down before the registration.
    if !unsafe { table::has_all_its_numbers(*entry) } {
        return true;
    }
    match notice.how {
        libc::SIGEV_SIGNAL if notice.signo != 0 => {
            process::queue_signal(notice.signo, pid, uid, notice.value as isize).is_ok()
        }
        // SAFETY: made by the C half for this notice.
        libc::SIGEV_THREAD => unsafe { mqrs_dropin_start_thread(notice.thread) != 0 },
        _ => true,
    }
}

unsafe fn discard(data: *mut c_void) {
    let data = data.cast::<Registration>();
    // SAFETY: the registration's own data, which is no more needed.
    unsafe {
        if (*data).notice.how == libc::SIGEV_THREAD {
            mqrs_dropin_free_thread((*data).notice.thread);
        }
        deallocate(data);
    }
}
