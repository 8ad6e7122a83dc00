//! One hostile file, opened and used: every call answers as documented, and nothing else
//! is touched.
//!
//! What "as documented" means here: a success within the call's bounds, or one of the
//! errors that the header names for it; a queue found damaged stays so for every later
//! call; the caller's memory is as it was where nothing was returned; no callback comes
//! after its registration was cancelled. Guards around mappings and buffers see to the
//! rest.

use crate::damage::{self, Damaged, FILE, Images, MSGSIZE_MAX, NAME, Write};
use crate::guard::{Buffer, guarded};
use arbitrary::{Result, Unstructured};
use mqueue_core::attr::{OpenOptions, PRIO_MAX};
use mqueue_core::deadline::{Clock, Wait};
use mqueue_core::error::Errno;
use mqueue_core::oflag::Direction;
use mqueue_core::queue::{self, Notification, Queue};
use mqueue_core::shm::layout::{Geometry, PROLOGUE, Prologue};
use mqueue_core::sync::Ordering::{Acquire, Relaxed, Release};
use mqueue_core::sync::local::{AtomicBool, AtomicU64};
use mqueue_core::sys::clock;
use std::ffi::{CString, c_void};
use std::fs::File;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is counted, so that a test can see that it tests something.
#[derive(Clone, Copy)]
pub enum What {
    Opened,
    Refused,
    NoFileOfData,
    Sent,
    Received,
    TimedOut,
    FoundDamaged,
    Registered,
    CalledBack,
    ChangedInUse,
}

impl What {
    pub const NAMES: [&str; 10] = [
        "opened",
        "refused",
        "no file of data",
        "sent",
        "received",
        "timed out",
        "calls on damage",
        "registered",
        "called back",
        "words changed in use",
    ];
}

/// Where attacks take place; one for each process.
pub struct Ground {
    path: PathBuf,
    images: Images,
    message: Buffer,
    buffer: Buffer,
    /// How often each [`What`] happened.
    pub counts: [AtomicU64; What::NAMES.len()],
}

/// Who changes words while calls run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meanwhile {
    Nobody,
    /// A second thread, without pause.
    Scribbler,
}

impl Ground {
    /// In the directory that MQRS_DIR names.
    pub fn new(dir: &Path, images: Images) -> Ground {
        Ground {
            path: dir.join(FILE),
            images,
            message: Buffer::new(MSGSIZE_MAX + 128),
            buffer: Buffer::new(MSGSIZE_MAX + 128),
            counts: [const { AtomicU64::new(0) }; What::NAMES.len()],
        }
    }

    fn count(&self, what: What) {
        self.counts[what as usize].fetch_add(1, Relaxed);
    }

    /// Make a file as the bytes say, open it and use it.
    pub fn attack(&mut self, choices: &[u8], meanwhile: Meanwhile) {
        let mut u = Unstructured::new(choices);
        // Bytes that run out end the attack early, nothing else.
        let _ = self.attempt(&mut u, meanwhile);
        match std::fs::symlink_metadata(&self.path) {
            Ok(it) if it.is_dir() => std::fs::remove_dir(&self.path).expect("an empty directory"),
            Ok(_) => assert_eq!(queue::unlink(NAME), Ok(()), "a name can always be removed"),
            Err(_) => {}
        }
    }

    fn attempt(&mut self, u: &mut Unstructured, meanwhile: Meanwhile) -> Result<()> {
        if meanwhile == Meanwhile::Nobody && u.ratio(1, 100)? {
            return self.open_what_is_no_file_of_data(u);
        }
        let damaged = damage::damage(u, &self.images)?;
        let file = self.write(&damaged.bytes, damaged.len);
        let Some(queue) = self.open(u, &file)? else { return Ok(()) };
        let geometry = geometry(&file);
        if meanwhile == Meanwhile::Scribbler {
            self.play_beside_a_scribbler(u, &queue, &file, &geometry)?;
        } else {
            self.play(u, &queue, Some(&file))?;
        }
        drop(queue);
        check_constants_and_what_lies_behind(&file, &damaged, &geometry);
        // And once more, as one who comes later.
        if let Some(queue) = self.open(u, &file)? {
            self.play(u, &queue, Some(&file))?;
        }
        Ok(())
    }

    /// The file is as long as its last page, unless it is to have another length: what a
    /// call writes behind the queue in that page can then be read.
    fn write(&self, bytes: &[u8], len: u64) -> File {
        let mut how = File::options();
        let how = how.read(true).write(true).create(true).truncate(true);
        let file = how.open(&self.path).expect("the file can be written");
        file.write_all_at(bytes, 0).expect("room for the file");
        let whole = if len == bytes.len() as u64 { len.next_multiple_of(4096) } else { len };
        file.set_len(whole).expect("room for the file");
        file
    }

    fn open(&self, u: &mut Unstructured, file: &File) -> Result<Option<Queue>> {
        let direction = match u.int_in_range(0..=9)? {
            8 => libc::O_RDONLY,
            9 => libc::O_WRONLY,
            _ => libc::O_RDWR,
        };
        let oflag = direction | if u.ratio(7, 8)? { 0 } else { libc::O_NONBLOCK };
        let opened = if u.ratio(15, 16)? {
            let create = if u.ratio(3, 4)? { 0 } else { libc::O_CREAT };
            Queue::open(Some(NAME), oflag | create, &OpenOptions::default())
        } else {
            let fd = file.try_clone().expect("a descriptor").into_raw_fd();
            let opened = Queue::open_fd(fd, oflag, 0);
            if opened.is_err() {
                // On failure it is still ours.
                mqueue_core::sys::file::close(fd);
            }
            opened
        };
        self.count(if opened.is_ok() { What::Opened } else { What::Refused });
        assert!(opened.is_err() || guarded() > 0, "the queue is mapped without guards");
        if let Err(error) = opened {
            expect(error, &[libc::EBADMSG, libc::ENOTSUP, libc::EBADF, libc::EUSERS]);
        }
        Ok(opened.ok())
    }

    fn open_what_is_no_file_of_data(&self, u: &mut Unstructured) -> Result<()> {
        let path = CString::new(self.path.as_os_str().as_bytes()).expect("no zero byte");
        let at = path.as_ptr();
        let kind = u.int_in_range(0..=6)?;
        // SAFETY: C strings.
        let made = unsafe {
            match kind {
                0 => libc::mkdir(at, 0o700),
                1 => libc::mkfifo(at, 0o600),
                2 => libc::symlink(c"/dev/shm/nowhere".as_ptr(), at),
                3 => libc::symlink(at, at),
                4 => libc::mknod(at, libc::S_IFSOCK | 0o600, 0),
                5 => libc::mknod(at, libc::S_IFREG | 0o600, 0),
                // /dev/zero, which only root may make.
                _ => libc::mknod(at, libc::S_IFCHR | 0o600, libc::makedev(1, 5)),
            }
        };
        if made == 0 {
            self.count(What::NoFileOfData);
            let create = if u.ratio(1, 2)? { libc::O_CREAT } else { 0 };
            let opened = Queue::open(Some(NAME), libc::O_RDWR | create, &OpenOptions::default());
            // Devices may be forbidden on the file system.
            let or = if kind == 6 { libc::EACCES } else { libc::EBADMSG };
            expect(opened.err().expect("that is no queue"), &[libc::EBADMSG, or]);
        }
        Ok(())
    }

    /// Words change at any moment of the calls.
    fn play_beside_a_scribbler(
        &mut self,
        u: &mut Unstructured,
        queue: &Queue,
        file: &File,
        geometry: &Geometry,
    ) -> Result<()> {
        let mut writes = Vec::new();
        for _ in 0..u.int_in_range(1..=16)? {
            let (image, other) = self.images.of_size(u, geometry)?;
            writes.push(damage::word(u, geometry, image, other)?);
        }
        let pause = u.int_in_range(0..=300u32)?;
        let is_over = AtomicBool::new(false);
        let words = Words::map(file, geometry);
        std::thread::scope(|scope| {
            let scribbler = scope.spawn(|| words.scribble(&writes, pause, &is_over));
            let played = self.play(u, queue, None);
            is_over.store(true, Release);
            let changed = scribbler.join().expect("no panic");
            self.counts[What::ChangedInUse as usize].fetch_add(changed, Relaxed);
            played
        })
    }

    /// A row of calls on one handle; between them words change, if there is a `file`.
    fn play(&mut self, u: &mut Unstructured, queue: &Queue, file: Option<&File>) -> Result<()> {
        let is_registered = AtomicBool::new(false);
        let callbacks = AtomicU64::new(0);
        let expecting = Expecting { is_registered: &is_registered, callbacks: &callbacks };
        let registration = Registration { queue, expecting: &expecting };
        // Found damaged, and nobody has changed anything since.
        let mut is_poisoned = false;
        for _ in 0..u.int_in_range(1..=24)? {
            let kind = u.int_in_range(0..=15)?;
            let answer = match kind {
                0..=4 => self.send(u, queue)?,
                5..=9 => self.receive(u, queue)?,
                10 | 11 => queue.attr().map(|attr| {
                    assert!(
                        attr.msgsize == queue.msgsize().expect("it is in shared memory") as u64,
                        "{attr:?}"
                    );
                    assert!(attr.curmsgs <= attr.maxmsg, "{attr:?}");
                }),
                12 => {
                    let registered = registration.make(u.ratio(1, 4)?);
                    self.counts[What::Registered as usize]
                        .fetch_add(registered.is_ok() as u64, Relaxed);
                    registered
                }
                13 => registration.cancel(),
                14 => queue.dup_fd().map(mqueue_core::sys::file::close),
                _ => {
                    let on = u.ratio(1, 2)?;
                    if let (true, Some(file)) = (u.ratio(2, 3)?, file) {
                        // What another process may do between two calls.
                        is_poisoned = false;
                        self.change_a_word(u, file)?;
                    }
                    queue.set_nonblock(on)
                }
            };
            if answer == Err(DAMAGED) {
                self.count(What::FoundDamaged);
                is_poisoned |= file.is_some();
            } else if is_poisoned {
                let refused_before = answer.is_err() && kind <= 9;
                assert!(refused_before, "call {kind} on a damaged queue: {answer:?}");
            }
        }
        drop(registration);
        self.counts[What::CalledBack as usize].fetch_add(callbacks.load(Relaxed), Relaxed);
        Ok(())
    }

    fn change_a_word(&self, u: &mut Unstructured, file: &File) -> Result<()> {
        let geometry = geometry(file);
        let (image, other) = self.images.of_size(u, &geometry)?;
        let Write { at, bytes, len } = damage::word(u, &geometry, image, other)?;
        self.count(What::ChangedInUse);
        file.write_all_at(&bytes[..len], at as u64).expect("writes");
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured, queue: &Queue) -> Result<Answer> {
        let msgsize = queue.msgsize().expect("it is in shared memory");
        let len = match u.int_in_range(0..=7)? {
            0 => 0,
            1 => msgsize + 1,
            2 => msgsize,
            _ => u.int_in_range(0..=msgsize)?,
        };
        let prio = match u.int_in_range(0..=7)? {
            0 => PRIO_MAX,
            prio => prio / 2,
        };
        let wait = wait(u)?;
        let message = self.message.blank(len);
        // SAFETY: `len` readable bytes.
        let sent = unsafe { queue.send(message, len, prio, wait) };
        self.message.check(len, 0);
        match sent {
            Ok(()) => {
                assert!(len <= msgsize && queue.access().direction != Direction::Receive);
                self.count(What::Sent);
            }
            Err(Errno(libc::EMSGSIZE)) => assert!(len > msgsize),
            Err(Errno(libc::EBADF)) => assert!(queue.access().direction == Direction::Receive),
            Err(error) => self.check_wait(error, wait),
        }
        Ok(sent)
    }

    fn receive(&mut self, u: &mut Unstructured, queue: &Queue) -> Result<Answer> {
        let msgsize = queue.msgsize().expect("it is in shared memory");
        let cap = match u.int_in_range(0..=7)? {
            0 => 0,
            1 => msgsize + 7,
            2 => u.int_in_range(0..=msgsize)?,
            _ => msgsize,
        };
        let wait = wait(u)?;
        let buffer = self.buffer.blank(cap);
        // SAFETY: `cap` writable bytes.
        let received = unsafe { queue.receive(buffer, cap, wait) };
        self.buffer.check(cap, received.map_or(0, |(len, _)| len.min(cap)));
        match received {
            Ok((len, prio)) => {
                assert!(len <= cap && len <= msgsize, "{len} bytes came into {cap}");
                assert!(prio <= PRIO_MAX && queue.access().direction != Direction::Send);
                self.count(What::Received);
            }
            Err(Errno(libc::EMSGSIZE)) => assert!(cap < msgsize),
            Err(Errno(libc::EBADF)) => assert!(queue.access().direction == Direction::Send),
            Err(error) => self.check_wait(error, wait),
        }
        Ok(received.map(drop))
    }

    fn check_wait(&self, error: Errno, wait: Wait) {
        if error == Errno(libc::ETIMEDOUT) {
            assert!(wait != Wait::Never);
            self.count(What::TimedOut);
        } else {
            // A tail may say that the queue was shut down.
            expect(error, &[libc::EAGAIN, libc::EBADMSG, libc::EPIPE]);
        }
    }
}

type Answer = core::result::Result<(), Errno>;

const DAMAGED: Errno = Errno(libc::EBADMSG);

fn expect(error: Errno, expected: &[i32]) {
    assert!(expected.contains(&error.0), "{error:?} instead of one of {expected:?}");
}

/// The sizes of a file that was opened.
fn geometry(file: &File) -> Geometry {
    let mut bytes = [0; PROLOGUE];
    file.read_exact_at(&mut bytes, 0).expect("reads");
    Prologue::decode(&bytes, !0).expect("it was opened").geometry
}

/// Whatever the calls did: the constants are nobody's to write, nor what lies behind.
fn check_constants_and_what_lies_behind(file: &File, damaged: &Damaged, geometry: &Geometry) {
    let mut constants = [0; PROLOGUE];
    file.read_exact_at(&mut constants, 0).expect("reads");
    assert!(damaged.bytes.starts_with(&constants), "the constants were written");
    let len = file.metadata().expect("a length").len();
    let mut now = vec![0; (len - geometry.total) as usize];
    file.read_exact_at(&mut now, geometry.total).expect("reads");
    let before = damaged.bytes.get(geometry.total as usize..).unwrap_or_default();
    let before = before.iter().chain(std::iter::repeat(&0));
    assert!(now.iter().eq(before.take(now.len())), "bytes behind the queue were written");
}

/// Short, but in every form.
fn wait(u: &mut Unstructured) -> Result<Wait> {
    let ns = u.int_in_range(1..=40_000)?;
    Ok(match u.int_in_range(0..=7)? {
        0..=3 => Wait::Never,
        4 => Wait::Until(Clock::Realtime, 1),
        5 => Wait::Until(Clock::Monotonic, clock::monotonic_ns() + ns),
        6 => Wait::Until(Clock::Boottime, clock::now_ns(Clock::Boottime) + ns),
        _ => Wait::For(ns),
    })
}

/// What a callback is told: it may come while somebody is registered and at no other time.
struct Expecting<'a> {
    is_registered: &'a AtomicBool,
    callbacks: &'a AtomicU64,
}

extern "C" fn called(_: *mut c_void, user: *mut c_void) {
    // SAFETY: registered with this type, and alive until the registration is cancelled.
    let expecting = unsafe { &*user.cast::<Expecting>() };
    if !expecting.is_registered.load(Acquire) {
        eprintln!("a callback came although its registration was cancelled");
        std::process::abort();
    }
    expecting.callbacks.fetch_add(1, Relaxed);
}

/// A handle's registration, cancelled at the end at the latest.
struct Registration<'a> {
    queue: &'a Queue,
    expecting: &'a Expecting<'a>,
}

impl Registration<'_> {
    fn make(&self, by_signal: bool) -> Answer {
        self.expecting.is_registered.store(true, Release);
        let made = self.queue.notify(
            if by_signal {
                Notification::Signal { signo: 0, value: 0 }
            } else {
                let user = (&raw const *self.expecting).cast_mut().cast();
                Notification::Callback { function: called, argument: std::ptr::null_mut(), user }
            },
            0,
        );
        if let Err(error) = made {
            expect(error, &[libc::EBUSY, libc::EBADMSG]);
        }
        made
    }

    fn cancel(&self) -> Answer {
        let cancelled = self.queue.notify_cancel();
        if let Err(error) = cancelled {
            expect(error, &[libc::EBADMSG]);
        }
        self.expecting.is_registered.store(false, Release);
        cancelled
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let _ = self.cancel();
    }
}

/// The words of a queue's file, mapped once more.
struct Words {
    base: *mut c_void,
    len: usize,
}

// SAFETY: a mapping of its own, whose words are changed by atomics only.
unsafe impl Sync for Words {}

impl Words {
    fn map(file: &File, geometry: &Geometry) -> Words {
        use std::os::fd::AsRawFd;
        let len = geometry.total as usize;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let base = unsafe {
            let shared = libc::MAP_SHARED;
            libc::mmap(std::ptr::null_mut(), len, rights, shared, file.as_raw_fd(), 0)
        };
        assert!(base != libc::MAP_FAILED, "the file cannot be mapped");
        Words { base, len }
    }

    /// Write the words in turn, and what was there before in between, until it is over;
    /// gives how often.
    fn scribble(&self, writes: &[Write], pause: u32, is_over: &AtomicBool) -> u64 {
        let mut changed = 0;
        while !is_over.load(Acquire) {
            for write in writes {
                let at = write.at & !7;
                if at + 8 > self.len {
                    continue;
                }
                // SAFETY: eight aligned bytes inside the mapping, which lives as long as
                // we do; whoever else uses them uses atomics, or expects anything.
                let word = unsafe { &*self.base.byte_add(at).cast::<AtomicU64>() };
                let mut bytes = word.load(Relaxed).to_ne_bytes();
                bytes[write.at - at..][..write.len].copy_from_slice(&write.bytes[..write.len]);
                let before = word.swap(u64::from_ne_bytes(bytes), Relaxed);
                (0..pause).for_each(|_| std::hint::spin_loop());
                word.store(before, Relaxed);
                changed += 1;
            }
        }
        changed
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`.
        unsafe { libc::munmap(self.base, self.len) };
    }
}
