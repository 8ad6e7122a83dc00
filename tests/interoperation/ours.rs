//! Our side: the functions of the header, as calls that a test can read.
//!
//! What goes wrong is an errno with the library's sentence, so that a test that fails says why.

use crate::peer::wait_until_asleep;
use mqueue_rs::*;
use std::ffi::{CStr, CString, c_int, c_void};
use std::fmt;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::null_mut;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

pub const FOREVER: i64 = -1;
pub const NOWAIT: i64 = 0;
/// Far beyond what a test takes; a wait that ends by it has failed.
pub const LONG: i64 = 100_000_000_000;

/// No message of these tests is longer.
const LONGEST: usize = 8192;

/// Why a call failed.
pub struct Refused {
    pub errno: i32,
    sentence: String,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: it gives a text that stays.
        let name = unsafe { CStr::from_ptr(mqrs_errname(self.errno)) };
        write!(f, "{} ({})", name.to_string_lossy(), self.sentence)
    }
}

type Result<T> = std::result::Result<T, Refused>;

/// A message in the general form.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Message {
    pub bytes: Vec<u8>,
    /// More than there are bytes, where it was cut.
    pub length: usize,
    pub priority: u32,
    pub kind: i64,
    pub sequence: u64,
}

/// An open queue; dropping it closes it.
pub struct Queue(*mut mqrs_queue);

// SAFETY: every function but mqrs_close may run on any thread, and drop runs once.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

fn result(value: isize) -> Result<usize> {
    if value >= 0 {
        return Ok(value as usize);
    }
    let mut sentence = [0u8; 512];
    // SAFETY: it is writable for its length.
    unsafe { mqrs_last_error(sentence.as_mut_ptr().cast(), sentence.len()) };
    let sentence = CStr::from_bytes_until_nul(&sentence).expect("it ends with a zero byte");
    Err(Refused { errno: -value as i32, sentence: sentence.to_string_lossy().into_owned() })
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("no zero byte")
}

pub fn unlink(address: &str) -> Result<()> {
    // SAFETY: a C string.
    result(unsafe { mqrs_unlink(c_string(address).as_ptr()) } as isize).map(drop)
}

/// Run a call in a thread of its own, and go on when it sleeps (or has ended).
pub fn asleep_in<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    call: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    let (tell, told) = channel();
    let thread = scope.spawn(move || {
        // SAFETY: it gives a number.
        tell.send(unsafe { libc::gettid() }).expect("it is waited for");
        call()
    });
    let tid = told.recv().expect("it is sent first");
    wait_until_asleep(&format!("/proc/self/task/{tid}"), |_| true);
    thread
}

impl Queue {
    pub fn create(address: &str, maxmsg: u64, msgsize: u64) -> Queue {
        let oflag = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        Queue::open_with(address, oflag, maxmsg, msgsize).expect("a new queue")
    }

    pub fn open(address: &str) -> Queue {
        Queue::open_with(address, libc::O_RDWR, 0, 0).expect("the queue is there")
    }

    pub fn open_with(address: &str, oflag: c_int, maxmsg: u64, msgsize: u64) -> Result<Queue> {
        let options = mqrs_options { maxmsg, msgsize, ..Default::default() };
        let mut queue = null_mut();
        // SAFETY: a C string, whole options and a place for the handle.
        let opened = unsafe {
            let size = size_of::<mqrs_options>();
            mqrs_open(c_string(address).as_ptr(), oflag, &options, size, &mut queue)
        };
        result(opened as isize).map(|_| Queue(queue))
    }

    /// Adopt a descriptor.
    pub fn adopt(fd: c_int) -> Result<Queue> {
        let mut queue = null_mut();
        // SAFETY: a place for the handle.
        result(unsafe { mqrs_open_fd(fd, libc::O_RDWR, 0, &mut queue) } as isize)
            .map(|_| Queue(queue))
    }

    pub fn duplicate(&self) -> OwnedFd {
        // SAFETY: an open handle; the descriptor is ours.
        unsafe { OwnedFd::from_raw_fd(result(mqrs_dup_fd(self.0) as isize).unwrap() as c_int) }
    }

    pub fn fd(&self) -> Result<c_int> {
        // SAFETY: an open handle.
        result(unsafe { mqrs_fd(self.0) } as isize).map(|fd| fd as c_int)
    }

    pub fn name(&self) -> String {
        // SAFETY: an open handle; the text lives as long.
        unsafe { CStr::from_ptr(mqrs_name(self.0)) }.to_string_lossy().into_owned()
    }

    pub fn send(&self, message: &[u8], priority: u32, timeout: i64) -> Result<()> {
        let (at, length) = (message.as_ptr().cast(), message.len());
        // SAFETY: readable for its length.
        result(unsafe { mqrs_timedsend(self.0, at, length, priority, timeout) } as isize).map(drop)
    }

    /// By the call that has no timeout.
    pub fn send_blocking(&self, message: &[u8], priority: u32) -> Result<()> {
        let (at, length) = (message.as_ptr().cast(), message.len());
        // SAFETY: readable for its length.
        result(unsafe { mqrs_send(self.0, at, length, priority) } as isize).map(drop)
    }

    pub fn receive(&self, timeout: i64) -> Result<(Vec<u8>, u32)> {
        let mut bytes = vec![0; LONGEST];
        let (at, mut priority) = (bytes.as_mut_ptr().cast(), 0);
        // SAFETY: writable for its length.
        let length =
            result(unsafe { mqrs_timedreceive(self.0, at, bytes.len(), timeout, &mut priority) })?;
        bytes.truncate(length);
        Ok((bytes, priority))
    }

    /// By the call that has no timeout.
    pub fn receive_blocking(&self) -> Result<(Vec<u8>, u32)> {
        let mut bytes = vec![0; LONGEST];
        let (at, mut priority) = (bytes.as_mut_ptr().cast(), 0);
        // SAFETY: writable for its length.
        let length = result(unsafe { mqrs_receive(self.0, at, bytes.len(), &mut priority) })?;
        bytes.truncate(length);
        Ok((bytes, priority))
    }

    /// Receive without waiting, and compare.
    #[track_caller]
    pub fn expect(&self, message: &[u8], priority: u32) {
        assert_eq!(self.receive(NOWAIT).expect("a message"), (message.to_vec(), priority));
    }

    /// Send with a type of one's own.
    pub fn send_typed(&self, message: &[u8], kind: i64) -> Result<()> {
        let message = mqrs_msg {
            data: message.as_ptr().cast_mut().cast(),
            len: message.len(),
            r#type: kind,
            ..Default::default()
        };
        let flags = mqrs_constants_send::MQRS_SEND_TYPE as u64;
        // SAFETY: its data are readable for its length.
        let sent = unsafe { mqrs_sendmsg(self.0, &message, size_of::<mqrs_msg>(), flags, NOWAIT) };
        result(sent as isize).map(drop)
    }

    /// Receive in the general form; `sequence` is for peeking.
    pub fn take(
        &self,
        kind: i64,
        capacity: usize,
        sequence: u64,
        flags: u64,
        timeout: i64,
    ) -> Result<Message> {
        let mut bytes = vec![0u8; capacity];
        let mut message = mqrs_msg {
            data: bytes.as_mut_ptr().cast(),
            cap: capacity,
            r#type: kind,
            sequence,
            ..Default::default()
        };
        // SAFETY: its data are writable for cap bytes.
        let length = result(unsafe {
            mqrs_recvmsg(self.0, &mut message, size_of::<mqrs_msg>(), flags, timeout)
        })?;
        bytes.truncate(length);
        Ok(Message {
            bytes,
            length,
            priority: message.prio,
            kind: message.r#type,
            sequence: message.sequence,
        })
    }

    pub fn attributes(&self) -> mqrs_attr {
        self.try_attributes().expect("attributes")
    }

    pub fn try_attributes(&self) -> Result<mqrs_attr> {
        let mut attributes = mqrs_attr::default();
        // SAFETY: a whole struct.
        let got = unsafe { mqrs_getattr(self.0, &mut attributes, size_of::<mqrs_attr>()) };
        result(got as isize).map(|_| attributes)
    }

    pub fn statistics(&self) -> mqrs_stats {
        let mut statistics = mqrs_stats::default();
        // SAFETY: a whole struct.
        let got = unsafe { mqrs_getstats(self.0, &mut statistics, size_of::<mqrs_stats>()) };
        result(got as isize).map(|_| statistics).expect("statistics")
    }

    pub fn set_nonblock(&self, on: bool) {
        // SAFETY: an open handle.
        result(unsafe { mqrs_set_nonblock(self.0, on.into()) } as isize).unwrap();
    }

    pub fn set_most_bytes(&self, bytes: u64) {
        // SAFETY: an open handle.
        result(unsafe { mqrs_set_maxbytes(self.0, bytes) } as isize).unwrap();
    }

    pub fn set_mode(&self, mode: u32) {
        // SAFETY: an open handle.
        result(unsafe { mqrs_set_owner(self.0, mode, u32::MAX, u32::MAX) } as isize).unwrap();
    }

    pub fn notify_signal(&self, signal: c_int, value: isize) -> Result<()> {
        // SAFETY: an open handle.
        result(unsafe { mqrs_notify_signal(self.0, signal, value, 0) } as isize).map(drop)
    }

    /// Have a word sent when a message arrives. The sender must live until the callback has run
    /// or cannot run any more.
    pub fn notify_callback(&self, tell: &Sender<()>) -> Result<()> {
        unsafe extern "C" fn arrived(_: *mut mqrs_queue, user: *mut c_void) {
            // SAFETY: the sender that was given, alive by the promise of the caller.
            let tell = unsafe { &*user.cast::<Sender<()>>() };
            // Nobody may listen any more.
            let _ = tell.send(());
        }
        let user = std::ptr::from_ref(tell).cast_mut().cast();
        // SAFETY: an open handle, and `user` is what the callback takes it for.
        result(unsafe { mqrs_notify_callback(self.0, Some(arrived), user, 0) } as isize).map(drop)
    }

    pub fn notify_cancel(&self) {
        // SAFETY: an open handle.
        result(unsafe { mqrs_notify_cancel(self.0) } as isize).unwrap();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: an open handle that nobody uses any more.
        unsafe { mqrs_close(self.0) };
    }
}

/// The addresses of all queues of a transport, with what they are.
pub fn listed(transport: u32) -> Result<Vec<(String, mqrs_attr)>> {
    let mut list = null_mut();
    // SAFETY: a place for the handle.
    result(unsafe { mqrs_list_open(transport, &mut list) } as isize)?;
    let mut found = Vec::new();
    loop {
        let mut entry = mqrs_entry::default();
        // SAFETY: an open list and a whole struct.
        let more =
            result(unsafe { mqrs_list_next(list, &mut entry, size_of::<mqrs_entry>()) } as isize);
        match more {
            Ok(1) => {
                // SAFETY: the name ends with a zero byte.
                let name = unsafe { CStr::from_ptr(entry.name.as_ptr()) };
                found.push((name.to_string_lossy().into_owned(), entry.attr));
            }
            end => {
                // SAFETY: an open list.
                unsafe { mqrs_list_close(list) };
                return end.map(|_| found);
            }
        }
    }
}
