//! Where a deed takes place, and what is done there: with a queue, and by another process.

use super::CANNOT;
use super::calls::Shared;
use super::processes::{Child, Fate, Numbers, pause, spawn};
use mqueue_core::attr::transport;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_rs::*;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

pub const MAXMSG: usize = 4;
pub const MSGSIZE: usize = 64;
/// More than the library has room for on the stack.
pub const BIG: usize = 10_000;
/// What outputs hold that nobody has written.
pub const UNTOUCHED: usize = 0x5A5A;
pub const PATIENCE: Duration = Duration::from_secs(100);

/// Mount a file system that shows the POSIX queues of this process, which has them for itself.
pub fn show_queues() {
    // SAFETY: C strings, or null where that is allowed.
    let is_mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null())
                == 0
            && libc::mount(c"none".as_ptr(), c"/tmp".as_ptr(), c"mqueue".as_ptr(), 0, null()) == 0
    };
    assert!(is_mounted, "{CANNOT}the right to mount a file system");
}

/// Which queues a deed is done with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Shm,
    Posix,
    Sysv,
}

impl Transport {
    /// Its MQRS_ number.
    pub fn number(self) -> u32 {
        match self {
            Transport::Shm => transport::SHM,
            Transport::Posix => transport::POSIX,
            Transport::Sysv => transport::SYSV,
        }
    }

    /// The address of a queue, from a name in shared memory; the kernel's queues have names
    /// that no other test has.
    pub fn address(self, name: &CStr) -> CString {
        let prefix = match self {
            Transport::Shm => return name.to_owned(),
            Transport::Posix => "posix:",
            Transport::Sysv => "sysv:",
        };
        // The directory has the number of this test.
        let dir = std::env::var("MQRS_DIR").expect("set by begin");
        let test = dir.rsplit('/').next().expect("a name");
        let name = name.to_str().expect("ASCII").trim_start_matches('/');
        CString::new(format!("{prefix}/{test}-{name}")).expect("no zero")
    }
}

/// Give this process the kernel's queues for itself, if it may. Its children share them.
pub fn leave_others_alone() -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::unshare(libc::CLONE_NEWIPC) == 0 }
}

/// Let the kernel take messages of more bytes than the library has room for on the stack, in
/// queues that are this process's own.
pub fn allow_big_messages(stage: &Stage) {
    // The limits are those of the namespace of who writes them.
    let raise = |limit| std::fs::write(format!("/proc/sys/{limit}"), "65536").is_ok();
    let limits = ["kernel/msgmax", "kernel/msgmnb", "fs/mqueue/msgsize_max"];
    if !stage.is_alone || !limits.into_iter().all(raise) {
        panic!("{CANNOT}the right to raise limits in an IPC namespace of its own");
    }
}

/// Where a deed takes place.
pub struct Stage {
    pub shared: &'static Shared,
    pub transport: Transport,
    /// It has the kernel's queues for itself.
    pub is_alone: bool,
    pub name: CString,
    /// The handle from before the deed, or null.
    pub queue: *mut mqrs_queue,
    /// The handle that the deed makes, or null.
    pub made: *mut mqrs_queue,
    /// The list that the deed makes, or null.
    pub list: *mut mqrs_list,
    /// The queue was found in it.
    pub is_listed: bool,
    /// A descriptor that belongs to the test, or -1.
    pub fd: c_int,
    pub peer: Option<Child>,
    pub numbers: Option<Numbers>,
    /// An output was written though the call failed.
    pub is_touched: bool,
}

impl Stage {
    pub fn new(shared: &'static Shared, transport: Transport, name: &CStr) -> Stage {
        Stage {
            shared,
            transport,
            is_alone: false,
            name: transport.address(name),
            queue: null_mut(),
            made: null_mut(),
            list: null_mut(),
            is_listed: false,
            fd: -1,
            peer: None,
            numbers: None,
            is_touched: false,
        }
    }
}

pub fn options(mode: u32, flags: u64) -> mqrs_options {
    mqrs_options {
        flags,
        maxmsg: MAXMSG as u64,
        msgsize: MSGSIZE as u64,
        mode,
        ..mqrs_options::default()
    }
}

pub fn keep(stage: &mut Stage, answer: c_int, out: *mut mqrs_queue) {
    if answer == 0 {
        stage.made = out;
    } else {
        stage.is_touched = out.addr() != UNTOUCHED;
    }
}

pub fn open(stage: &mut Stage, oflag: c_int, mode: u32, flags: u64) -> isize {
    let mut out = std::ptr::without_provenance_mut(UNTOUCHED);
    let name = stage.name.as_ptr();
    // SAFETY: every pointer is valid.
    let answer = unsafe {
        mqrs_open(name, oflag, &options(mode, flags), size_of::<mqrs_options>(), &mut out)
    };
    keep(stage, answer, out);
    answer as isize
}

pub fn make(stage: &mut Stage) {
    assert_eq!(open(stage, libc::O_CREAT | libc::O_RDWR, 0o600, 0), 0);
    stage.queue = std::mem::replace(&mut stage.made, null_mut());
    make_room(stage.transport, stage.queue);
}

/// The queue's name is what its handle says.
pub fn take_name(stage: &mut Stage, queue: *mut mqrs_queue) {
    // SAFETY: an open handle; the name lives as long.
    stage.name = unsafe { CStr::from_ptr(mqrs_name(queue)) }.to_owned();
}

/// A queue holds `MAXMSG` messages; one of System V has to be told.
pub fn make_room(transport: Transport, queue: *mut mqrs_queue) {
    if transport == Transport::Sysv {
        // SAFETY: an open handle.
        assert_eq!(unsafe { mqrs_set_maxbytes(queue, (MAXMSG * MSGSIZE) as u64) }, 0);
    }
}

/// A handle of this process alone.
pub fn open_or_panic(name: &CStr) -> *mut mqrs_queue {
    let mut out = null_mut();
    // With a number nobody can make a queue.
    let is_number = name.to_bytes().starts_with(b"sysv:id:");
    let oflag = libc::O_RDWR | if is_number { 0 } else { libc::O_CREAT };
    // SAFETY: every pointer is valid.
    let answer = unsafe {
        mqrs_open(name.as_ptr(), oflag, &options(0, 0), size_of::<mqrs_options>(), &mut out)
    };
    assert_eq!(answer, 0);
    out
}

pub fn close(queue: &mut *mut mqrs_queue) {
    // SAFETY: null or an open handle, which nobody uses any more.
    assert_eq!(unsafe { mqrs_close(*queue) }, 0);
    *queue = null_mut();
}

pub fn attributes(queue: *mut mqrs_queue) -> Result<mqrs_attr, String> {
    let mut attr = mqrs_attr::default();
    // SAFETY: an open handle, and `attr` is writable.
    match unsafe { mqrs_getattr(queue, &mut attr, size_of::<mqrs_attr>()) } {
        0 => Ok(attr),
        answer => Err(format!("getattr: {answer}")),
    }
}

/// Send one message, whose bytes are all this number.
pub fn send(queue: *mut mqrs_queue, number: u8) -> isize {
    let message = [number; MSGSIZE];
    // SAFETY: an open handle; the message is readable.
    unsafe { mqrs_send(queue, message.as_ptr().cast(), MSGSIZE, 0) as isize }
}

/// Receive into outputs whose touching is noticed; 0 for the message that is expected.
pub fn receive(
    stage: &mut Stage,
    call: fn(*mut mqrs_queue, *mut c_void, usize, *mut u32) -> isize,
) -> isize {
    let mut buffer = [0xA5u8; MSGSIZE];
    let mut prio = UNTOUCHED as u32;
    let got = call(stage.queue, buffer.as_mut_ptr().cast(), MSGSIZE, &mut prio);
    if got < 0 {
        stage.is_touched = buffer != [0xA5; MSGSIZE] || prio != UNTOUCHED as u32;
        return got;
    }
    if got == MSGSIZE as isize && buffer == [7; MSGSIZE] && prio == 0 { 0 } else { 1 }
}

/// Receive the message with this number.
pub fn received(queue: *mut mqrs_queue, number: u8) -> Result<(), String> {
    let mut buffer = [0u8; BIG];
    let timeout = PATIENCE.as_nanos() as i64;
    // SAFETY: an open handle; the buffer is writable.
    let got =
        unsafe { mqrs_timedreceive(queue, buffer.as_mut_ptr().cast(), BIG, timeout, null_mut()) };
    if got == MSGSIZE as isize && buffer[..MSGSIZE] == [number; MSGSIZE] {
        return Ok(());
    }
    Err(format!("receiving {number}: {got}, {:?}", buffer[0]))
}

/// Take what is there; the number of messages.
pub fn drain(queue: *mut mqrs_queue) -> Result<usize, String> {
    let mut buffer = [0u8; BIG];
    for count in 0.. {
        // SAFETY: an open handle; the buffer is writable.
        let got =
            unsafe { mqrs_timedreceive(queue, buffer.as_mut_ptr().cast(), BIG, 0, null_mut()) };
        if got == -libc::EAGAIN as isize {
            return Ok(count);
        }
        if got < 0 {
            return Err(format!("draining: {got}"));
        }
    }
    unreachable!()
}

/// A process that does something with the queue once this one is asleep.
pub fn with_peer_when_asleep(stage: &mut Stage, then: fn(*mut mqrs_queue)) {
    let (shared, name) = (stage.shared, stage.name.clone());
    stage.peer = Some(spawn(move || {
        let queue = open_or_panic(&name);
        wait_for("a sleeper", || shared.asleep.load(SeqCst) > 0);
        then(queue);
    }));
}

/// A process that sends when it is told to.
pub fn with_peer_at_go(stage: &mut Stage) {
    stage.shared.go.store(0, SeqCst);
    let (shared, name) = (stage.shared, stage.name.clone());
    stage.peer = Some(spawn(move || {
        let queue = open_or_panic(&name);
        wait_for("a word", || shared.go.load(SeqCst) > 0);
        assert_eq!(send(queue, 7), 0);
    }));
}

/// The peer is asleep in its call.
pub fn wait_for_sleep(stage: &Stage) {
    let pid = stage.peer.as_ref().expect("a peer").pid();
    wait_for("a sleeper", || {
        // The state stands behind the name of the program.
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its status");
        stage.shared.asleep.load(SeqCst) > 0 && status.contains(") S ")
    });
}

pub fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < until, "waited too long for {what}");
        pause(Duration::from_micros(50));
    }
}

pub fn join(mut child: Child) -> Result<(), String> {
    match child.wait(PATIENCE) {
        Fate::Exited(0) => Ok(()),
        fate => Err(format!("the other process: {fate:?}")),
    }
}

pub fn join_peer(stage: &mut Stage) -> Result<(), String> {
    stage.peer.take().map_or(Ok(()), join)
}
