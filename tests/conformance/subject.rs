//! What a clause is tried on: a queue of some transport, by way of some language.
//!
//! A transport is an address and nothing more; a language hides how a function is called and
//! how it says what went wrong. Whatever else differs between two subjects is for the clause
//! to find out, and for `exceptions.rs` to allow.

use mqueue_core::attr::{Attr, Limits, OpenOptions, Stats, transport};
use mqueue_core::message::{Incoming, Outgoing, Request};
use mqueue_rs::mqrs_errname;
use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};

use crate::process::{as_user, spawn};
use crate::world;

/// Ordinary users.
pub const NOBODY: u32 = 65534;
pub const SOMEBODY: u32 = 65533;

/// The transports that keep the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Shm,
    Posix,
    Sysv,
}

impl Transport {
    pub const ALL: [Transport; 3] = [Transport::Shm, Transport::Posix, Transport::Sysv];

    /// Its name, which is also the prefix of its addresses.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Shm => "shm",
            Transport::Posix => "posix",
            Transport::Sysv => "sysv",
        }
    }

    /// Its number in the contract.
    pub fn number(self) -> u32 {
        match self {
            Transport::Shm => transport::SHM,
            Transport::Posix => transport::POSIX,
            Transport::Sysv => transport::SYSV,
        }
    }
}

/// How long a call may wait: the three forms that each of send and receive has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// `mqrs_send`, `mqrs_receive`.
    Plain,
    /// `mqrs_timedsend`, `mqrs_timedreceive`: nanoseconds.
    For(i64),
    /// `mqrs_send_until`, `mqrs_receive_until`: a clock and nanoseconds.
    Until(i32, i64),
}

/// Not at all.
pub const NOWAIT: Wait = Wait::For(0);

/// The forms of waiting that end in an hour at the earliest.
pub fn long_waits() -> [Wait; 5] {
    let in_an_hour = |clock| Wait::Until(clock, now(clock) + HOUR);
    [
        Wait::Plain,
        Wait::For(HOUR),
        in_an_hour(libc::CLOCK_REALTIME),
        in_an_hour(libc::CLOCK_MONOTONIC),
        in_an_hour(libc::CLOCK_BOOTTIME),
    ]
}

/// Nanoseconds.
pub const MS: i64 = 1_000_000;
pub const HOUR: i64 = 3_600_000 * MS;

/// The clocks that a deadline may be on.
pub const CLOCKS: [i32; 3] = [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME];

/// The time on a clock, in nanoseconds.
pub fn now(clock: i32) -> i64 {
    // SAFETY: integers; the call writes them.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0);
    // Smaller on 32-bit machines.
    #[allow(clippy::unnecessary_cast)]
    let (seconds, nanoseconds) = (time.tv_sec as i64, time.tv_nsec as i64);
    seconds * 1000 * MS + nanoseconds
}

/// A callback; its second argument is the one that it was registered with.
pub type Callback = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// Errors are errno values.
pub type Result<T> = std::result::Result<T, i32>;

/// A queue in the list of all.
pub type Entry = (CString, Attr);

/// One way to call the library.
pub trait Language: Sync {
    fn name(&self) -> &'static str;
    fn open(&self, address: Option<&CStr>, oflag: i32, options: &OpenOptions) -> Result<Queue>;
    fn open_fd(&self, fd: i32, oflag: i32, option_flags: u64) -> Result<Queue>;
    fn unlink(&self, address: &CStr) -> Result<()>;
    fn limits(&self, transport: u32) -> Result<Limits>;
    fn list(&self, transport: u32) -> Result<Vec<Entry>>;
    /// The sentence of this thread's last failure.
    fn last_error(&self) -> String;
}

/// An open queue; closed when dropped.
pub type Queue = Box<dyn Handle>;

/// The functions that take a handle.
pub trait Handle: Send + Sync {
    fn name(&self) -> CString;
    fn send(&self, message: &[u8], prio: u32, wait: Wait) -> Result<()>;
    fn receive(&self, buffer: &mut [u8], wait: Wait) -> Result<(usize, u32)>;
    fn send_message(&self, message: &Outgoing, timeout: i64) -> Result<()>;
    fn receive_message(&self, request: &Request, timeout: i64) -> Result<Incoming>;
    /// How many were sent. The flags are those of the first message.
    fn send_batch(&self, messages: &[Outgoing], timeout: i64) -> Result<usize>;
    /// What was received. The flags are those of the first request.
    fn receive_batch(&self, requests: &[Request], timeout: i64) -> Result<Vec<Incoming>>;
    fn reserve(&self, len: usize, timeout: i64) -> Result<*mut u8>;
    fn commit(&self, slot: *mut u8, len: usize, prio: u32, timeout: i64) -> Result<()>;
    fn abort(&self, slot: *mut u8) -> Result<()>;
    fn acquire(&self, timeout: i64) -> Result<(*const u8, usize, u32)>;
    fn release(&self, data: *const u8) -> Result<()>;
    fn requeue(&self, data: *const u8) -> Result<()>;
    fn attr(&self) -> Result<Attr>;
    fn stats(&self) -> Result<Stats>;
    fn shutdown(&self) -> Result<()>;
    fn set_nonblock(&self, on: bool) -> Result<()>;
    fn set_maxbytes(&self, bytes: u64) -> Result<()>;
    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()>;
    fn dup_fd(&self) -> Result<i32>;
    fn fd(&self) -> Result<i32>;
    /// Flags are bits of `notify::how`.
    fn notify_signal_as(&self, signo: i32, value: isize, flags: u64) -> Result<()>;
    fn notify_callback(&self, function: Callback, user: *mut c_void) -> Result<()>;
    fn notify_cancel(&self) -> Result<()>;
    fn cancel(&self) -> Result<()>;
    fn set_cancelled(&self, on: bool) -> Result<()>;
    /// Wait for this queue as for one of several; gives what is ready of the events.
    fn wait(&self, events: u32, timeout: i64) -> Result<u32>;
    /// What the C functions take; null in other languages.
    fn raw(&self) -> *mut mqueue_rs::mqrs_queue;
}

/// What every clause wants to do in one line.
impl dyn Handle {
    pub fn notify_signal(&self, signo: i32, value: isize) -> Result<()> {
        self.notify_signal_as(signo, value, 0)
    }

    /// Send without waiting; there is room.
    #[track_caller]
    pub fn put(&self, message: impl AsRef<[u8]>, prio: u32) {
        if let Err(errno) = self.send(message.as_ref(), prio, NOWAIT) {
            panic!("a send failed: {}", errname(errno));
        }
    }

    /// Send several of one priority.
    #[track_caller]
    pub fn put_all<const N: usize>(&self, messages: [&str; N], prio: u32) {
        for message in messages {
            self.put(message, prio);
        }
    }

    /// The next message, which is there already.
    #[track_caller]
    pub fn take(&self) -> (Vec<u8>, u32) {
        self.take_by(NOWAIT).unwrap_or_else(|errno| panic!("a receive failed: {}", errname(errno)))
    }

    /// The next message, with a buffer that is long enough for any.
    pub fn take_by(&self, wait: Wait) -> Result<(Vec<u8>, u32)> {
        let mut buffer = vec![0; self.attr()?.msgsize as usize];
        let (len, prio) = self.receive(&mut buffer, wait)?;
        buffer.truncate(len);
        Ok((buffer, prio))
    }

    /// The next message, which is one of up to 64 bytes; asks for no attributes before.
    pub fn take_short(&self, wait: Wait) -> Result<(Vec<u8>, u32)> {
        let mut buffer = vec![0; 64];
        let (len, prio) = self.receive(&mut buffer, wait)?;
        buffer.truncate(len);
        Ok((buffer, prio))
    }

    /// Send messages of `len` bytes until the queue is full; how many went in.
    #[track_caller]
    pub fn fill(&self, len: usize) -> usize {
        let message = vec![b'x'; len];
        let mut count = 0;
        loop {
            match self.send(&message, 0, NOWAIT) {
                Ok(()) => count += 1,
                Err(libc::EAGAIN) => return count,
                Err(errno) => panic!("message {count}: {}", errname(errno)),
            }
        }
    }

    /// Take everything; how many messages there were.
    #[track_caller]
    pub fn drain(&self) -> usize {
        self.drain_until(libc::EAGAIN)
    }

    /// Take messages until there is this error instead; how many messages there were.
    #[track_caller]
    pub fn drain_until(&self, end: i32) -> usize {
        let mut count = 0;
        loop {
            match self.take_by(NOWAIT) {
                Ok(_) => count += 1,
                Err(errno) if errno == end => return count,
                Err(errno) => panic!("message {count}: {}", errname(errno)),
            }
        }
    }

    pub fn curmsgs(&self) -> u64 {
        self.attr().expect("attributes").curmsgs
    }
}

/// A transport in a language.
pub struct Subject {
    pub transport: Transport,
    pub language: &'static dyn Language,
    addresses: Cell<u32>,
}

impl Subject {
    pub fn new(transport: Transport, language: &'static dyn Language) -> Subject {
        Subject { transport, language, addresses: Cell::new(0) }
    }

    /// An address that nobody else has.
    pub fn address(&self) -> CString {
        self.addresses.set(self.addresses.get() + 1);
        world::address(self.transport, self.addresses.get())
    }

    /// The same name with something else after the prefix.
    pub fn address_of(&self, rest: &str) -> CString {
        CString::new(format!("{}:{rest}", self.transport.name())).expect("no zero byte")
    }

    pub fn open(&self, address: &CStr, oflag: i32) -> Result<Queue> {
        self.open_with(address, oflag, &OpenOptions::default())
    }

    pub fn open_with(&self, address: &CStr, oflag: i32, options: &OpenOptions) -> Result<Queue> {
        self.language.open(Some(address), oflag, options)
    }

    /// A new queue for `maxmsg` messages of `msgsize` bytes, and its address.
    #[track_caller]
    pub fn create(&self, maxmsg: u64, msgsize: u64) -> (CString, Queue) {
        self.create_with(&OpenOptions { maxmsg, msgsize, ..OpenOptions::default() })
    }

    /// The same, with options.
    #[track_caller]
    pub fn create_with(&self, options: &OpenOptions) -> (CString, Queue) {
        let address = self.address();
        let oflag = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        let queue = self
            .open_with(&address, oflag, options)
            .unwrap_or_else(|errno| panic!("creating {address:?}: {}", self.because(errno)));
        // Where a queue is so many bytes and not so many messages of so many bytes.
        if self.transport == Transport::Sysv && options.maxmsg * options.msgsize > 0 {
            queue.set_maxbytes(options.maxmsg * options.msgsize).expect("a size");
        }
        (address, queue)
    }

    /// A queue of eight short messages.
    #[track_caller]
    pub fn queue(&self) -> Queue {
        self.create(8, 64).1
    }

    /// Another handle of the queue at an address.
    #[track_caller]
    pub fn another(&self, address: &CStr, oflag: i32) -> Queue {
        self.open(address, oflag)
            .unwrap_or_else(|errno| panic!("opening {address:?}: {}", self.because(errno)))
    }

    /// Do `work` in a process that has no rights beyond those of any user.
    #[track_caller]
    pub fn as_ordinary_user(&self, work: impl FnOnce()) {
        // SAFETY: always succeeds.
        if unsafe { libc::geteuid() } == 0 {
            as_user(NOBODY, work).join();
        } else {
            spawn(work).join();
        }
    }

    /// A call fails with this errno, and says why.
    #[track_caller]
    pub fn fails<T>(&self, errno: i32, result: Result<T>) {
        match result {
            Ok(_) => panic!("success instead of {}", errname(errno)),
            Err(actual) if actual != errno => {
                panic!("{} instead of {}", self.because(actual), errname(errno))
            }
            Err(_) => assert!(!self.language.last_error().is_empty(), "no sentence says why"),
        }
    }

    fn because(&self, errno: i32) -> String {
        format!("{} ({})", errname(errno), self.language.last_error())
    }
}

/// An errno's name.
pub fn errname(errno: i32) -> &'static str {
    // SAFETY: the answer is a C string of the library's own.
    unsafe { CStr::from_ptr(mqrs_errname(errno)) }.to_str().expect("ASCII")
}
