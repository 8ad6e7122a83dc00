//! Queues on which one side has to wait, and what ends that.

use mqueue_core::sync::Ordering::Relaxed;
use mqueue_core::sync::local::AtomicU32 as LastNumber;
use mqueue_rs::*;
use std::ffi::{CStr, CString, c_int};
use std::ptr::{null, null_mut};

/// Which end of the queue waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Sender,
    Receiver,
}

const FULL: u64 = 2;
const SIZE: usize = 8;

/// A queue on which one side has to wait.
pub struct Stuck {
    pub queue: *mut mqrs_queue,
    side: Side,
}

impl Stuck {
    /// In shared memory.
    pub fn new(side: Side) -> Stuck {
        Stuck::named(None, side)
    }

    /// In the kernel.
    pub fn in_kernel(side: Side) -> Stuck {
        static NUMBER: LastNumber = LastNumber::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("posix:/mqrs-clocks-{}-{number}", std::process::id());
        Stuck::named(Some(&CString::new(name).expect("a name")), side)
    }

    /// In a System V queue, which is full of empty messages.
    pub fn in_system_v(side: Side) -> Stuck {
        let oflag = libc::O_CREAT | libc::O_RDWR;
        let mut queue = null_mut();
        // SAFETY: every pointer is valid, or null where it may be.
        unsafe {
            // Where there is one, a namespace of this thread's takes the queue along.
            libc::unshare(libc::CLONE_NEWIPC);
            assert_eq!(mqrs_open(c"sysv:private".as_ptr(), oflag, null(), 0, &mut queue), 0);
            if side == Side::Sender {
                assert_eq!(mqrs_set_maxbytes(queue, FULL), 0);
                (0..FULL).for_each(|_| assert_eq!(mqrs_send(queue, null(), 0, 0), 0));
            }
        }
        Stuck { queue, side }
    }

    fn named(name: Option<&CStr>, side: Side) -> Stuck {
        let name = name.map_or(null(), CStr::as_ptr);
        let mut queue = null_mut();
        let options =
            mqrs_options { maxmsg: FULL, msgsize: SIZE as u64, ..mqrs_options::default() };
        let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        // SAFETY: every pointer is valid, or null where it may be.
        unsafe {
            assert_eq!(mqrs_open(name, oflag, &options, size_of_val(&options), &mut queue), 0);
            assert_eq!(mqrs_unlink(mqrs_name(queue)), 0);
            if side == Side::Sender {
                (0..FULL).for_each(|_| assert_eq!(mqrs_send(queue, null(), 0, 0), 0));
            }
        }
        Stuck { queue, side }
    }

    /// For so long.
    pub fn wait_for(&self, timeout: i64) -> i32 {
        let mut buffer = [0u8; SIZE];
        // SAFETY: an open handle; the buffer is writable.
        unsafe {
            match self.side {
                Side::Sender => mqrs_timedsend(self.queue, null(), 0, 0, timeout),
                Side::Receiver => mqrs_timedreceive(
                    self.queue,
                    buffer.as_mut_ptr().cast(),
                    SIZE,
                    timeout,
                    null_mut(),
                ) as i32,
            }
        }
    }

    /// Until a time on a clock.
    pub fn wait_until(&self, clock: c_int, deadline: i64) -> i32 {
        let mut buffer = [0u8; SIZE];
        // SAFETY: as above.
        unsafe {
            match self.side {
                Side::Sender => mqrs_send_until(self.queue, null(), 0, 0, clock, deadline),
                Side::Receiver => mqrs_receive_until(
                    self.queue,
                    buffer.as_mut_ptr().cast(),
                    SIZE,
                    clock,
                    deadline,
                    null_mut(),
                ) as i32,
            }
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // SAFETY: an open handle, which nobody uses any more.
        unsafe {
            // A System V queue is nothing without its name.
            mqrs_unlink(mqrs_name(self.queue));
            assert_eq!(mqrs_close(self.queue), 0);
        }
    }
}

/// Do what the one who waits is waiting for.
pub fn pass(queue: *mut mqrs_queue) {
    let mut buffer = [0u8; SIZE];
    let mut attr = mqrs_attr::default();
    // SAFETY: an open handle; everything is writable.
    unsafe {
        assert_eq!(mqrs_getattr(queue, &mut attr, size_of_val(&attr)), 0);
        if attr.curmsgs == 0 {
            assert_eq!(mqrs_send(queue, null(), 0, 0), 0);
        } else {
            assert_eq!(mqrs_receive(queue, buffer.as_mut_ptr().cast(), SIZE, null_mut()), 0);
        }
    }
}
