//! Queues of the library, through the functions that C programs call: of the build that the
//! Makefile links, and of another one beside it.

use super::{End, Role, Spec, Transport, Waiting, checked, new_name, whole};
use libc::{c_char, c_int, c_void, size_t, ssize_t};
use libloading::os::unix::Library;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::{io, mem};

/// `struct mqrs_options` of mqueue_rs.h.
#[repr(C)]
#[derive(Default)]
struct Options {
    flags: u64,
    maxmsg: u64,
    msgsize: u64,
    mode: u32,
    reserved: u32,
}

/// `struct mqrs_msg` of mqueue_rs.h, on 64 bits.
#[repr(C)]
#[derive(Clone, Copy)]
struct Message {
    data: *mut u8,
    len: usize,
    cap: usize,
    prio: u32,
    sender: [u32; 2],
    state: u32,
    kind: i64,
    sequence: u64,
    sent_ns: i64,
}

/// Messages of one length, to be sent or received together.
pub struct Batch {
    messages: Vec<Message>,
    bytes: Vec<u8>,
    size: usize,
}

impl Batch {
    pub fn new(count: usize, size: usize) -> Batch {
        let mut bytes = vec![7; count * size];
        let message = |bytes: &mut [u8]| Message {
            data: bytes.as_mut_ptr(),
            len: size,
            cap: size,
            prio: 0,
            sender: [0; 2],
            state: 0,
            kind: 0,
            sequence: 0,
            sent_ns: 0,
        };
        Batch { messages: bytes.chunks_exact_mut(size).map(message).collect(), bytes, size }
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The bytes of one of them.
    pub fn message(&mut self, number: usize) -> &mut [u8] {
        &mut self.bytes[number * self.size..][..self.size]
    }
}

// The declarations of mqueue_rs.h.
#[link(name = "mqueue_rs", kind = "dylib")]
unsafe extern "C" {
    fn mqrs_open(
        name: *const c_char,
        oflag: c_int,
        opt: *const Options,
        opt_size: size_t,
        out: *mut *mut c_void,
    ) -> c_int;
    fn mqrs_dup_fd(q: *const c_void) -> c_int;
    fn mqrs_close(q: *mut c_void) -> c_int;
    fn mqrs_unlink(name: *const c_char) -> c_int;
    fn mqrs_send(q: *mut c_void, msg: *const c_void, len: size_t, prio: u32) -> c_int;
    fn mqrs_receive(q: *mut c_void, buf: *mut c_void, cap: size_t, prio: *mut u32) -> ssize_t;
    fn mqrs_reserve(q: *mut c_void, len: size_t, timeout: i64, slot: *mut *mut c_void) -> c_int;
    fn mqrs_commit(q: *mut c_void, slot: *mut c_void, len: size_t, prio: u32) -> c_int;
    fn mqrs_acquire(
        q: *mut c_void,
        timeout: i64,
        data: *mut *const c_void,
        prio: *mut u32,
    ) -> ssize_t;
    fn mqrs_release(q: *mut c_void, data: *const c_void) -> c_int;
    fn mqrs_sendmmsg(
        q: *mut c_void,
        v: *const Message,
        size: size_t,
        count: size_t,
        flags: u64,
        timeout: i64,
    ) -> ssize_t;
    fn mqrs_recvmmsg(
        q: *mut c_void,
        v: *mut Message,
        size: size_t,
        count: size_t,
        flags: u64,
        timeout: i64,
    ) -> ssize_t;
}

/// The same of one build. Both builds are called through these, so that neither is nearer.
#[derive(Clone, Copy)]
pub struct Functions {
    open: unsafe extern "C" fn(
        *const c_char,
        c_int,
        *const Options,
        size_t,
        *mut *mut c_void,
    ) -> c_int,
    dup_fd: unsafe extern "C" fn(*const c_void) -> c_int,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    send: unsafe extern "C" fn(*mut c_void, *const c_void, size_t, u32) -> c_int,
    receive: unsafe extern "C" fn(*mut c_void, *mut c_void, size_t, *mut u32) -> ssize_t,
}

/// A build of the library.
pub trait Build {
    /// Whether it is the linked one, whose functions for batches and messages in place are used.
    const IS_LINKED: bool;
    fn functions() -> Functions;
}

/// Wait as long as it takes.
const FOREVER: i64 = -1;

/// The one that this program is linked with.
pub struct Linked;

impl Build for Linked {
    const IS_LINKED: bool = true;
    fn functions() -> Functions {
        Functions {
            open: mqrs_open,
            dup_fd: mqrs_dup_fd,
            close: mqrs_close,
            send: mqrs_send,
            receive: mqrs_receive,
        }
    }
}

/// The one that [`load_other`] has loaded.
pub struct Other;

static OTHER: OnceLock<Functions> = OnceLock::new();

impl Build for Other {
    const IS_LINKED: bool = false;
    fn functions() -> Functions {
        *OTHER.get().expect("loaded before it is measured")
    }
}

/// Load a shared library of another build, to be measured beside the linked one.
pub fn load_other(file: &Path) -> Result<(), libloading::Error> {
    // The functions that it calls itself shall be its own, too.
    let flags = libc::RTLD_NOW | libc::RTLD_DEEPBIND;
    // SAFETY: a build of the library, whose initialisers do nothing, and whose functions have
    // these types by these names. It stays loaded for good.
    unsafe {
        let library = mem::ManuallyDrop::new(Library::open(Some(file), flags)?);
        let functions = Functions {
            open: *library.get(b"mqrs_open\0")?,
            dup_fd: *library.get(b"mqrs_dup_fd\0")?,
            close: *library.get(b"mqrs_close\0")?,
            send: *library.get(b"mqrs_send\0")?,
            receive: *library.get(b"mqrs_receive\0")?,
        };
        // Loaded once, before anything is measured.
        let _ = OTHER.set(functions);
    }
    Ok(())
}

/// Removes the name.
pub struct Shm<B> {
    name: CString,
    flags: c_int,
    build: PhantomData<B>,
}

/// A handle.
pub struct Handle {
    queue: *mut c_void,
    functions: Functions,
}

fn open<B: Build>(name: &CStr, oflag: c_int, options: Option<&Options>) -> io::Result<Handle> {
    let functions = B::functions();
    let mut queue = null_mut();
    let (options, size) = match options {
        Some(options) => (&raw const *options, size_of::<Options>()),
        None => (null(), 0),
    };
    // SAFETY: a C string, a struct of the size that is told, and a place for the handle.
    let err = unsafe { (functions.open)(name.as_ptr(), oflag, options, size, &mut queue) };
    checked(err as isize, || -err).map(|_| Handle { queue, functions })
}

impl<B: Build> Transport for Shm<B> {
    type End = Handle;
    const IN_PLACE: bool = B::IS_LINKED;
    const BATCHES: bool = B::IS_LINKED;

    fn create(spec: &Spec) -> io::Result<Shm<B>> {
        let flags =
            libc::O_RDWR | if spec.waiting == Waiting::Never { libc::O_NONBLOCK } else { 0 };
        let queue = Shm { name: new_name(), flags, build: PhantomData };
        let options =
            Options { maxmsg: spec.depth as u64, msgsize: spec.size as u64, ..Default::default() };
        open::<B>(&queue.name, flags | libc::O_CREAT | libc::O_EXCL, Some(&options))?;
        Ok(queue)
    }

    fn open(&self, _: Role) -> io::Result<Handle> {
        open::<B>(&self.name, self.flags, None)
    }

    fn memory(&self) -> Option<(u64, u64)> {
        let handle = open::<B>(&self.name, self.flags, None).ok()?;
        // SAFETY: an open handle; the descriptor is nobody else's.
        let file = unsafe {
            let descriptor = (handle.functions.dup_fd)(handle.queue);
            (descriptor >= 0).then(|| OwnedFd::from_raw_fd(descriptor))?
        };
        let file = File::from(file).metadata().ok()?;
        Some((file.size(), file.blocks() * 512))
    }
}

impl<B> Drop for Shm<B> {
    fn drop(&mut self) {
        // SAFETY: a C string. Whichever build made the queue, it is a file.
        unsafe { mqrs_unlink(self.name.as_ptr()) };
    }
}

impl End for Handle {
    #[inline]
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: an open handle, and len bytes to read.
        let err = unsafe { (self.functions.send)(self.queue, start, len, priority) };
        checked(err as isize, || -err).map(drop)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let mut priority = 0;
        let (start, room) = (message.as_mut_ptr().cast(), message.len());
        // SAFETY: an open handle, so many bytes to write, and a place for the priority.
        let len = unsafe { (self.functions.receive)(self.queue, start, room, &mut priority) };
        checked(len, || -len as i32).and_then(|len| whole(len, room))
    }

    #[inline]
    fn send_in_place(&mut self, size: usize, number: u64) -> io::Result<()> {
        let mut slot = null_mut();
        // SAFETY: an open handle of the linked build, and a place for the address.
        let err = unsafe { mqrs_reserve(self.queue, size, FOREVER, &mut slot) };
        checked(err as isize, || -err)?;
        // SAFETY: room for more than a number, reserved by this handle.
        let err = unsafe {
            slot.cast::<u64>().write_unaligned(number);
            mqrs_commit(self.queue, slot, size, 0)
        };
        checked(err as isize, || -err).map(drop)
    }

    #[inline]
    fn receive_in_place(&mut self, size: usize) -> io::Result<u64> {
        let mut data = null();
        // SAFETY: as above.
        let len = unsafe { mqrs_acquire(self.queue, FOREVER, &mut data, null_mut()) };
        checked(len, || -len as i32).and_then(|len| whole(len, size))?;
        // SAFETY: a message of a number and more, acquired by this handle.
        let (number, err) =
            unsafe { (data.cast::<u64>().read_unaligned(), mqrs_release(self.queue, data)) };
        checked(err as isize, || -err).map(|_| number)
    }

    #[inline]
    fn send_batch(&mut self, batch: &mut Batch, most: usize) -> io::Result<usize> {
        let (first, count) = (batch.messages.as_ptr(), most.min(batch.len()));
        // SAFETY: an open handle of the linked build, so many structs of this size, and in each
        // the place of a message.
        let sent =
            unsafe { mqrs_sendmmsg(self.queue, first, size_of::<Message>(), count, 0, FOREVER) };
        checked(sent, || -sent as i32)
    }

    #[inline]
    fn receive_batch(&mut self, batch: &mut Batch, most: usize) -> io::Result<usize> {
        let (first, count) = (batch.messages.as_mut_ptr(), most.min(batch.len()));
        // SAFETY: as above.
        let received =
            unsafe { mqrs_recvmmsg(self.queue, first, size_of::<Message>(), count, 0, FOREVER) };
        checked(received, || -received as i32)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: open until now, and nobody uses it any more.
        unsafe { (self.functions.close)(self.queue) };
    }
}
