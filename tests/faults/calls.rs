//! The C library's functions that the library calls, put before the real ones: a test says
//! which call of which kind fails, and with which errno.
//!
//! A function that a program defines itself is the one that every part of it gets, so the
//! library's code is the one that ships, and nothing in it knows of this. Only calls between
//! [`arm`] and [`disarm`] count: those of the library, on whatever thread.

use mqueue_core::sync::Ordering::{Relaxed, SeqCst};
use mqueue_core::sync::local::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::ptr::null_mut;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $($errno:ident)*;)*) => {
        /// What a call is for.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// What its manual page says that it can fail with here: those errors that are
            /// not of an argument which the library never gives.
            pub fn errnos(self) -> &'static [i32] {
                match self { $(Kind::$name => &[$(libc::$errno,)*],)* }
            }
        }
    };
}

kinds! {
    /// openat of the queues' directory, O_PATH.
    OpenDirectory: EACCES EINTR ELOOP EMFILE ENFILE ENOENT ENOMEM ENOTDIR;
    /// openat of a queue's file.
    OpenQueue: EACCES EINTR EIO EISDIR ELOOP EMFILE ENFILE ENODEV ENOENT ENOMEM ENXIO EOVERFLOW
        EPERM EROFS;
    /// openat with O_TMPFILE.
    OpenUnnamed: EACCES EDQUOT EINTR EINVAL EISDIR EMFILE ENFILE ENOENT ENOMEM ENOSPC EOPNOTSUPP
        EPERM EROFS;
    /// openat of a new file with a random name.
    OpenTemporary: EACCES EDQUOT EEXIST EINTR EMFILE ENFILE ENOENT ENOMEM ENOSPC EPERM EROFS;
    /// openat of /proc/self/fd/N.
    OpenProc: EACCES EINTR EMFILE ENFILE ENOENT ENOMEM ENOTDIR;
    /// access of /proc/self/fd.
    LookAtProc: EACCES ENOENT ENOTDIR;
    /// fstat.
    Status: EBADF ENOMEM;
    /// fstatat of a name that is to be new.
    LookForName: EACCES ELOOP ENOMEM ENOTDIR;
    /// pread.
    Read: EINTR EIO;
    /// posix_fallocate.
    Reserve: EDQUOT EFBIG EINTR EINVAL EIO ENODEV ENOMEM ENOSPC EOPNOTSUPP;
    /// fchmod.
    ChangeMode: EIO EPERM EROFS;
    /// fchown.
    ChangeOwner: EDQUOT EIO EPERM EROFS;
    /// fcntl, F_DUPFD_CLOEXEC.
    Duplicate: EMFILE;
    /// dup3.
    Replace: EBADF EBUSY EINTR EMFILE ENOMEM;
    /// fcntl, F_GETFL.
    Flags: EBADF;
    /// fcntl, F_OFD_SETLK with F_WRLCK.
    Lock: EACCES EAGAIN EBADF EINVAL ENOLCK ENOMEM;
    /// fcntl, F_OFD_SETLK with F_RDLCK.
    ReadLock: EACCES EAGAIN EBADF ENOLCK ENOMEM;
    /// fcntl, F_OFD_SETLK with F_UNLCK.
    Unlock: EBADF ENOLCK ENOMEM;
    /// fcntl, F_OFD_GETLK.
    AskLock: EBADF EINVAL ENOLCK ENOMEM;
    /// linkat of /proc/self/fd/N.
    LinkUnnamed: EACCES EDQUOT EEXIST EIO EMLINK ENOENT ENOMEM ENOSPC EPERM EROFS EXDEV;
    /// linkat of a name.
    Link: EACCES EDQUOT EEXIST EIO EMLINK ENOENT ENOMEM ENOSPC EPERM EROFS;
    /// unlinkat.
    UnlinkTemporary: EACCES EBUSY EIO ENOENT ENOMEM EPERM EROFS;
    /// unlink.
    Unlink: EACCES EBUSY EIO EISDIR ELOOP ENAMETOOLONG ENOENT ENOMEM ENOTDIR EPERM EROFS;
    /// getrlimit.
    FileLimit: EINVAL;
    /// mmap of a file.
    MapFile: EACCES EAGAIN ENFILE ENODEV ENOMEM EOVERFLOW EPERM;
    /// mmap of memory.
    MapMemory: EAGAIN ENOMEM EPERM;
    /// madvise, MADV_DONTFORK.
    DontFork: EAGAIN EINVAL ENOMEM;
    /// madvise, MADV_WIPEONFORK.
    WipeOnFork: EAGAIN EINVAL ENOMEM;
    /// munmap.
    Unmap: ENOMEM;
    /// futex_waitv.
    WaitAny: EAGAIN EINTR EINVAL ENOMEM ENOSYS EPERM ETIMEDOUT;
    /// futex, FUTEX_WAIT_BITSET and FUTEX_WAIT.
    Wait: EAGAIN EINTR ETIMEDOUT;
    /// futex, FUTEX_WAKE on a word of a queue, where a foreign process may make any state.
    Wake: EFAULT EINVAL;
    /// rt_sigqueueinfo.
    QueueSignal: EAGAIN;
    /// getrandom.
    Random: EAGAIN EINTR ENOSYS;
    /// getcpu.
    Processor: ENOSYS;
    /// sched_getaffinity.
    OwnProcessors: EINVAL EPERM ESRCH;
    /// sysconf.
    Processors: EINVAL;
    /// pthread_create.
    Thread: EAGAIN EINVAL EPERM;
    /// pthread_setname_np.
    NameThread: EACCES ENOENT;
    /// close; the descriptor is gone all the same.
    Close: EDQUOT EINTR EIO ENOSPC;
    /// Rust's allocator.
    Allocate: ENOMEM;
}

/// Functions that the sources call and that cannot fail here, and why.
pub const INFALLIBLE: &[(&str, &str)] = &[
    ("clock_gettime", "the clock is one that exists (tests/clocks.rs has its own)"),
    ("getauxval", "reads memory"),
    ("getenv", "reads memory"),
    ("getpid", "always succeeds"),
    ("geteuid", "always succeeds"),
    ("kill", "only the fault points of other tests"),
    ("pthread_detach", "the thread is there"),
    ("pthread_sigmask", "the arguments are right"),
    ("sigfillset", "writes memory"),
];

/// What processes of a case see together.
pub struct Shared {
    /// Calls of each kind, in their order, since [`arm`].
    record: [AtomicU32; RECORD],
    recorded: AtomicU32,
    /// Sleeps that armed processes have begun.
    pub asleep: AtomicU32,
    /// The call that was to fail was made.
    pub struck: AtomicU32,
    /// Calls of that kind after it.
    pub calls_after: AtomicU32,
    /// Whoever waits for it may go on.
    pub go: AtomicU32,
    /// What a case has to say, and how long it is.
    text: [AtomicU32; TEXT],
    /// Numbers that a run leaves behind.
    pub numbers: [AtomicI32; 8],
}
const RECORD: usize = 4096;
const TEXT: usize = 1024;

impl Shared {
    pub fn new() -> &'static Shared {
        // SAFETY: anonymous memory of the right size, never unmapped; zeros are valid.
        unsafe {
            let memory = libc::mmap(
                null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(memory, libc::MAP_FAILED);
            &*memory.cast::<Shared>()
        }
    }

    pub fn clear(&self) {
        let words = [
            &self.recorded,
            &self.asleep,
            &self.struck,
            &self.calls_after,
            &self.go,
            &self.text[0],
        ];
        for word in words {
            word.store(0, SeqCst);
        }
    }

    pub fn record(&self) -> Vec<Kind> {
        let len = (self.recorded.load(SeqCst) as usize).min(RECORD);
        self.record[..len].iter().map(|kind| Kind::ALL[kind.load(SeqCst) as usize]).collect()
    }

    pub fn say(&self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(TEXT - 1)];
        for (place, byte) in self.text[1..].iter().zip(bytes) {
            place.store(u32::from(*byte), SeqCst);
        }
        self.text[0].store(bytes.len() as u32, SeqCst);
    }

    pub fn said(&self) -> String {
        let len = self.text[0].load(SeqCst) as usize;
        let bytes: Vec<u8> = self.text[1..=len].iter().map(|b| b.load(SeqCst) as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Which call of a kind fails, and whether those after it do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub kind: Kind,
    /// From 1.
    pub nth: u32,
    pub errno: i32,
    pub from_then_on: bool,
}

const KINDS: usize = Kind::ALL.len();
const NEVER: u32 = u32::MAX;

static ARMED: AtomicBool = AtomicBool::new(false);
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(null_mut());
/// The errno of a kind that is not there at all, armed or not; else 0.
static ABSENT: [AtomicI32; KINDS] = [const { AtomicI32::new(0) }; KINDS];
static COUNTS: [AtomicU32; KINDS] = [const { AtomicU32::new(0) }; KINDS];
static FAULT_KIND: AtomicU32 = AtomicU32::new(NEVER);
static FAULT_NTH: AtomicU32 = AtomicU32::new(NEVER);
static FAULT_ERRNO: AtomicI32 = AtomicI32::new(0);
static FAULT_GOES_ON: AtomicBool = AtomicBool::new(false);
/// Mappings made by direct calls of mmap, less those undone.
static MAPPINGS: AtomicI32 = AtomicI32::new(0);
/// Allocations made between `arm` and `disarm`, less those undone then.
static ALLOCATIONS: AtomicI32 = AtomicI32::new(0);

/// From now on every call of this kind fails.
pub fn take_away(kind: Kind, errno: i32) {
    ABSENT[kind as usize].store(errno, SeqCst);
}

/// Everything is there again.
pub fn give_back() {
    ABSENT.iter().for_each(|absent| absent.store(0, SeqCst));
}

/// Count this process's calls from now on, and let one fail.
pub fn arm(shared: &'static Shared, fault: Option<Fault>) {
    SHARED.store(std::ptr::from_ref(shared).cast_mut(), SeqCst);
    COUNTS.iter().for_each(|count| count.store(0, SeqCst));
    ALLOCATIONS.store(0, SeqCst);
    FAULT_KIND.store(fault.map_or(NEVER, |f| f.kind as u32), SeqCst);
    FAULT_NTH.store(fault.map_or(NEVER, |f| f.nth), SeqCst);
    FAULT_ERRNO.store(fault.map_or(0, |f| f.errno), SeqCst);
    FAULT_GOES_ON.store(fault.is_some_and(|f| f.from_then_on), SeqCst);
    ARMED.store(true, SeqCst);
}

/// Count this process's sleeps only.
pub fn watch(shared: &'static Shared) {
    SHARED.store(std::ptr::from_ref(shared).cast_mut(), SeqCst);
}

pub fn disarm() {
    ARMED.store(false, SeqCst);
}

pub fn mappings() -> i32 {
    MAPPINGS.load(SeqCst)
}

pub fn allocations() -> i32 {
    ALLOCATIONS.load(SeqCst)
}

/// The errno that a call of this kind is to fail with now.
fn fails(kind: Kind) -> Option<i32> {
    let absent = match ABSENT[kind as usize].load(Relaxed) {
        0 => None,
        errno => Some(errno),
    };
    if !ARMED.load(Relaxed) {
        return absent;
    }
    let count = COUNTS[kind as usize].fetch_add(1, SeqCst) + 1;
    // SAFETY: set before ARMED was, and never unmapped.
    let shared = unsafe { &*SHARED.load(Relaxed) };
    let at = shared.recorded.fetch_add(1, SeqCst) as usize;
    if let Some(place) = shared.record.get(at) {
        place.store(kind as u32, SeqCst);
    }
    if FAULT_KIND.load(SeqCst) == kind as u32 {
        let nth = FAULT_NTH.load(SeqCst);
        if count > nth {
            shared.calls_after.fetch_add(1, SeqCst);
        }
        if count == nth || count > nth && FAULT_GOES_ON.load(SeqCst) {
            shared.struck.store(1, SeqCst);
            return Some(FAULT_ERRNO.load(SeqCst));
        }
    }
    absent
}

/// A thread of this process is about to sleep on a word of a queue.
fn note_sleep() {
    // SAFETY: null, or never unmapped.
    if let Some(shared) = unsafe { SHARED.load(Relaxed).as_ref() } {
        shared.asleep.fetch_add(1, SeqCst);
    }
}

fn set_errno(errno: i32) {
    // SAFETY: this thread's errno.
    unsafe { *libc::__errno_location() = errno };
}

/// The real function, looked up once.
fn real(name: &CStr, place: &AtomicPtr<c_void>) -> *mut c_void {
    let known = place.load(Relaxed);
    if !known.is_null() {
        return known;
    }
    // SAFETY: a C string; finds the C library's definition behind ours.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "the C library has no {name:?}");
    place.store(found, Relaxed);
    found
}

/// How a function tells that it failed.
trait Answer {
    fn failing(errno: i32) -> Self;
    fn has_failed(&self) -> bool;
}
impl Answer for c_int {
    fn failing(errno: i32) -> c_int {
        set_errno(errno);
        -1
    }
    fn has_failed(&self) -> bool {
        *self < 0
    }
}
impl Answer for isize {
    fn failing(errno: i32) -> isize {
        set_errno(errno);
        -1
    }
    fn has_failed(&self) -> bool {
        *self < 0
    }
}
impl Answer for *mut c_void {
    fn failing(errno: i32) -> *mut c_void {
        set_errno(errno);
        libc::MAP_FAILED
    }
    fn has_failed(&self) -> bool {
        *self == libc::MAP_FAILED
    }
}
/// The errno is the result.
#[repr(transparent)]
pub struct Code(c_int);
impl Answer for Code {
    fn failing(errno: i32) -> Code {
        Code(errno)
    }
    fn has_failed(&self) -> bool {
        self.0 != 0
    }
}

/// Keep the count of mappings.
fn note(kind: Option<Kind>, answer: &impl Answer) {
    match kind {
        Some(Kind::MapFile | Kind::MapMemory) if !answer.has_failed() => {
            MAPPINGS.fetch_add(1, SeqCst);
        }
        Some(Kind::Unmap) if !answer.has_failed() => {
            MAPPINGS.fetch_sub(1, SeqCst);
        }
        _ => {}
    }
}

macro_rules! instead_of {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty, $kind:expr;)*) => {
        /// The functions that are put before the C library's.
        pub const CALLS: &[&str] = &[$(stringify!($name),)*];
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $name($($arg: $type),*) -> $result {
                let kind: Option<Kind> = $kind;
                let fails = kind.and_then(fails);
                if let Some(errno) = fails.filter(|_| kind != Some(Kind::Close)) {
                    return <$result as Answer>::failing(errno);
                }
                static REAL: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
                const NAME: &CStr = match CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => unreachable!(),
                };
                // SAFETY: the C library's function of that name has this signature (those with
                // a variable number of arguments take more than they read), and what it asks
                // of its arguments the caller has promised.
                let result = unsafe {
                    let real = std::mem::transmute::<*mut c_void,
                        unsafe extern "C" fn($($type),*) -> $result>(real(NAME, &REAL));
                    real($($arg),*)
                };
                note(kind, &result);
                match fails {
                    Some(errno) => <$result as Answer>::failing(errno),
                    None => result,
                }
            }
        )*
    };
}

// Only where the C library is a shared one can the program's functions stand before its own.
#[cfg(not(target_env = "gnu"))]
compile_error!("written for glibc");

instead_of! {
    openat(dir: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int,
        opens(path, flags);
    access(path: *const c_char, mode: c_int) -> c_int, Some(Kind::LookAtProc);
    fstat64(fd: c_int, status: *mut libc::stat64) -> c_int, Some(Kind::Status);
    fstatat64(dir: c_int, name: *const c_char, status: *mut libc::stat64, flags: c_int) -> c_int,
        Some(Kind::LookForName);
    pread(fd: c_int, to: *mut c_void, len: usize, at: libc::off_t) -> isize, Some(Kind::Read);
    posix_fallocate64(fd: c_int, at: i64, len: i64) -> Code, Some(Kind::Reserve);
    fchmod(fd: c_int, mode: c_uint) -> c_int, Some(Kind::ChangeMode);
    fchown(fd: c_int, uid: c_uint, gid: c_uint) -> c_int, Some(Kind::ChangeOwner);
    fcntl(fd: c_int, command: c_int, argument: usize) -> c_int, controls(command, argument);
    dup3(fd: c_int, onto: c_int, flags: c_int) -> c_int, Some(Kind::Replace);
    linkat(from_dir: c_int, from: *const c_char, to_dir: c_int, to: *const c_char, flags: c_int)
        -> c_int, Some(if flags == 0 { Kind::Link } else { Kind::LinkUnnamed });
    unlinkat(dir: c_int, name: *const c_char, flags: c_int) -> c_int, Some(Kind::UnlinkTemporary);
    unlink(path: *const c_char) -> c_int, Some(Kind::Unlink);
    getrlimit64(which: c_uint, limit: *mut libc::rlimit64) -> c_int, Some(Kind::FileLimit);
    mmap(at: *mut c_void, len: usize, access: c_int, flags: c_int, fd: c_int, from: libc::off_t)
        -> *mut c_void,
        Some(if flags & libc::MAP_SHARED != 0 { Kind::MapFile } else { Kind::MapMemory });
    madvise(at: *mut c_void, len: usize, advice: c_int) -> c_int, match advice {
        libc::MADV_DONTFORK => Some(Kind::DontFork),
        libc::MADV_WIPEONFORK => Some(Kind::WipeOnFork),
        _ => None,
    };
    munmap(at: *mut c_void, len: usize) -> c_int, Some(Kind::Unmap);
    getrandom(to: *mut c_void, len: usize, flags: c_uint) -> isize, Some(Kind::Random);
    sched_getcpu() -> c_int, Some(Kind::Processor);
    sysconf(name: c_int) -> c_long_, Some(Kind::Processors);
    sched_getaffinity(pid: libc::pid_t, size: usize, set: *mut libc::cpu_set_t) -> c_int,
        Some(Kind::OwnProcessors);
    pthread_create(thread: *mut libc::pthread_t, with: *const libc::pthread_attr_t,
        run: extern "C" fn(*mut c_void) -> *mut c_void, argument: *mut c_void) -> Code,
        Some(Kind::Thread);
    pthread_setname_np(thread: libc::pthread_t, name: *const c_char) -> Code,
        Some(Kind::NameThread);
    syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize)
        -> c_long_, calls(number, b);
    close(fd: c_int) -> c_int, Some(Kind::Close);
}
/// As wide as a pointer on Linux.
#[allow(non_camel_case_types)]
type c_long_ = isize;

fn opens(path: *const c_char, flags: c_int) -> Option<Kind> {
    // SAFETY: the caller of openat gave a C string.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    Some(match flags {
        _ if path.starts_with(b"/proc/self/fd/") => Kind::OpenProc,
        _ if flags & libc::O_TMPFILE == libc::O_TMPFILE => Kind::OpenUnnamed,
        _ if flags & libc::O_DIRECTORY != 0 => Kind::OpenDirectory,
        _ if flags & libc::O_CREAT != 0 => Kind::OpenTemporary,
        _ => Kind::OpenQueue,
    })
}

fn controls(command: c_int, argument: usize) -> Option<Kind> {
    Some(match command {
        libc::F_DUPFD_CLOEXEC => Kind::Duplicate,
        libc::F_GETFL => Kind::Flags,
        libc::F_OFD_GETLK => Kind::AskLock,
        libc::F_OFD_SETLK => {
            // SAFETY: the command takes a pointer to one.
            match unsafe { (*std::ptr::with_exposed_provenance::<libc::flock64>(argument)).l_type }
                as c_int
            {
                libc::F_RDLCK => Kind::ReadLock,
                libc::F_UNLCK => Kind::Unlock,
                _ => Kind::Lock,
            }
        }
        _ => return None,
    })
}

fn calls(number: c_long, second: usize) -> Option<Kind> {
    const FUTEX_WAITV: c_long = 449;
    let kind = match number {
        FUTEX_WAITV => Kind::WaitAny,
        libc::SYS_rt_sigqueueinfo => Kind::QueueSignal,
        libc::SYS_futex => match second as c_int {
            libc::FUTEX_WAKE => Kind::Wake,
            libc::FUTEX_WAIT_BITSET => Kind::Wait,
            operation if operation == libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG => Kind::Wait,
            // To wake at an address of one's own cannot fail.
            _ => return None,
        },
        _ => return None,
    };
    if matches!(kind, Kind::WaitAny | Kind::Wait) {
        note_sleep();
    }
    Some(kind)
}

/// The allocator of the whole program, the library's included.
struct Allocator;

// SAFETY: the system's, or null, which says that there is no memory.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(Kind::Allocate).is_some() {
            return null_mut();
        }
        if ARMED.load(Relaxed) {
            ALLOCATIONS.fetch_add(1, SeqCst);
        }
        // SAFETY: granted by the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if ARMED.load(Relaxed) {
            ALLOCATIONS.fetch_sub(1, SeqCst);
        }
        // SAFETY: granted by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;
