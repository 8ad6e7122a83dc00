//! The C library's functions that the library calls, put before the real ones.
//!
//! A function that a program defines itself is the one that every part of it gets, so the
//! library's code is the one that ships, and nothing in it knows of this.

use super::calls::{ALLOCATIONS, ARMED, MAPPINGS, fails, note_sleep};
use super::kinds::Kind;
use mqueue_core::sync::Ordering::{Relaxed, SeqCst};
use mqueue_core::sync::local::AtomicPtr;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::ptr::null_mut;

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
        Some(Kind::MapFile | Kind::MapMemory | Kind::Attach) if !answer.has_failed() => {
            MAPPINGS.fetch_add(1, SeqCst);
        }
        Some(Kind::Unmap | Kind::Detach) if !answer.has_failed() => {
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
    stat64(path: *const c_char, status: *mut libc::stat64) -> c_int, Some(Kind::Namespace);
    fstatat64(dir: c_int, name: *const c_char, status: *mut libc::stat64, flags: c_int) -> c_int,
        Some(Kind::LookForName);
    pread64(fd: c_int, to: *mut c_void, len: usize, at: i64) -> isize, Some(Kind::Read);
    fstatfs64(fd: c_int, status: *mut c_void) -> c_int, Some(Kind::FileSystem);
    socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int, Some(Kind::Socket);
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: c_uint) -> c_int,
        Some(Kind::MakeRoom);
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut c_uint)
        -> c_int, Some(Kind::AskRoom);
    inotify_init1(flags: c_int) -> c_int, Some(Kind::MakeWatcher);
    inotify_add_watch(fd: c_int, path: *const c_char, mask: c_uint) -> c_int, Some(Kind::Watch);
    eventfd(count: c_uint, flags: c_int) -> c_int, Some(Kind::MakeBell);
    pwrite(fd: c_int, from: *const c_void, len: usize, at: libc::off_t) -> isize,
        Some(Kind::WriteRecord);
    posix_fallocate64(fd: c_int, at: i64, len: i64) -> Code, Some(Kind::Reserve);
    fchmod(fd: c_int, mode: c_uint) -> c_int, Some(Kind::ChangeMode);
    fchown(fd: c_int, uid: c_uint, gid: c_uint) -> c_int, Some(Kind::ChangeOwner);
    fcntl(fd: c_int, command: c_int, argument: usize) -> c_int, controls(command, argument);
    flock(fd: c_int, operation: c_int) -> c_int,
        Some(if operation == libc::LOCK_UN { Kind::UnlockFile } else { Kind::LockFile });
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
        libc::MADV_DONTDUMP => Some(Kind::DontDump),
        _ => None,
    };
    munmap(at: *mut c_void, len: usize) -> c_int, Some(Kind::Unmap);
    shmget(key: libc::key_t, len: usize, flags: c_int) -> c_int, Some(Kind::FindSegment);
    shmctl(id: c_int, command: c_int, status: *mut c_void) -> c_int, Some(Kind::LookAtSegment);
    shmat(id: c_int, at: *const c_void, flags: c_int) -> *mut c_void, Some(Kind::Attach);
    shmdt(at: *const c_void) -> c_int, Some(Kind::Detach);
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
        -> c_long_, calls(number, [a, b, c, d, e, f]);
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
        _ if path.starts_with(b"/proc/sys/") => Kind::OpenLimit,
        _ if path == b"/proc/self/mounts" => Kind::OpenMounts,
        _ if path == b"/" => Kind::OpenAny,
        _ if flags & libc::O_TMPFILE == libc::O_TMPFILE => Kind::OpenUnnamed,
        _ if flags & libc::O_DIRECTORY != 0 && flags & libc::O_PATH == 0 => Kind::OpenToList,
        _ if flags & libc::O_DIRECTORY != 0 => Kind::OpenDirectory,
        _ if flags & libc::O_CREAT != 0 => Kind::OpenTemporary,
        _ if path.starts_with(b"mqrs.sysv.") => Kind::OpenRecord,
        _ => Kind::OpenQueue,
    })
}

fn controls(command: c_int, argument: usize) -> Option<Kind> {
    Some(match command {
        libc::F_DUPFD_CLOEXEC => Kind::Duplicate,
        libc::F_GETFL => Kind::Flags,
        libc::F_SETFD => Kind::SetFlags,
        // F_SETSIG
        10 => Kind::Mark,
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

macro_rules! by_number {
    ($($name:ident $number:expr, |$arguments:pat_param| $kind:expr;)*) => {
        /// System calls that are made by their numbers.
        pub const NUMBERED: &[&str] = &[$(stringify!($name),)*];

        /// What a system call is for, if it can fail.
        fn kind_of(number: c_long, arguments: [usize; 6]) -> Option<Kind> {
            $(
                if number == $number as c_long {
                    let $arguments = arguments;
                    return $kind;
                }
            )*
            None
        }
    };
}

/// Numbers that libc has not, or not everywhere.
mod number {
    use std::ffi::c_long;

    pub const FUTEX_WAITV: c_long = 449;
    #[cfg(target_arch = "x86")]
    pub const MSG: [c_long; 4] = [399, 400, 401, 402];
    #[cfg(not(target_arch = "x86"))]
    pub const MSG: [c_long; 4] =
        [libc::SYS_msgget, libc::SYS_msgsnd, libc::SYS_msgrcv, libc::SYS_msgctl];
    #[cfg(target_pointer_width = "32")]
    pub const MQ_TIMED: [c_long; 2] = [418, 419];
    #[cfg(target_pointer_width = "64")]
    pub const MQ_TIMED: [c_long; 2] = [libc::SYS_mq_timedsend, libc::SYS_mq_timedreceive];
}

by_number! {
    futex_waitv number::FUTEX_WAITV, |_| Some(Kind::WaitAny);
    futex libc::SYS_futex, |[_, operation, ..]| match operation as c_int {
        libc::FUTEX_WAKE => Some(Kind::Wake),
        libc::FUTEX_WAIT_BITSET => Some(Kind::Wait),
        operation if operation == libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG => Some(Kind::Wait),
        // To wake at an address of one's own cannot fail.
        _ => None,
    };
    rt_sigqueueinfo libc::SYS_rt_sigqueueinfo, |_| Some(Kind::QueueSignal);
    capget libc::SYS_capget, |_| Some(Kind::Capabilities);
    renameat2 libc::SYS_renameat2, |_| Some(Kind::RenameNew);
    getdents64 libc::SYS_getdents64, |_| Some(Kind::ReadDirectory);
    ppoll libc::SYS_ppoll, |_| Some(Kind::Poll);
    mq_open libc::SYS_mq_open, |[_, flags, ..]| {
        Some(if flags as c_int & libc::O_CREAT != 0 { Kind::MakePosix } else { Kind::FindPosix })
    };
    mq_unlink libc::SYS_mq_unlink, |_| Some(Kind::UnlinkPosix);
    mq_getsetattr libc::SYS_mq_getsetattr, |_| Some(Kind::LookAtPosix);
    mq_timedsend number::MQ_TIMED[0], |_| Some(Kind::SendPosix);
    mq_timedreceive number::MQ_TIMED[1], |_| Some(Kind::ReceivePosix);
    mq_notify libc::SYS_mq_notify, |[_, event, ..]| {
        Some(if event == 0 { Kind::ForgetPosix } else { Kind::NotifyPosix })
    };
    recvfrom libc::SYS_recvfrom, |_| Some(Kind::TakeCookie);
    write libc::SYS_write, |_| Some(Kind::RingBell);
    read libc::SYS_read, |_| Some(Kind::SilenceBell);
    msgget number::MSG[0], |[_, flags, ..]| {
        Some(if flags as c_int & libc::IPC_CREAT != 0 { Kind::MakeSysv } else { Kind::FindSysv })
    };
    msgsnd number::MSG[1], |_| Some(Kind::SendSysv);
    msgrcv number::MSG[2], |[_, _, _, _, flags, _]| {
        let leaves = flags as c_int & mqueue_core::sys::msg::MSG_COPY != 0;
        Some(if leaves { Kind::PeekSysv } else { Kind::ReceiveSysv })
    };
    msgctl number::MSG[3], |[_, command, ..]| {
        // Without IPC_64, which some architectures add.
        match command as c_int & 0xFF {
            libc::IPC_RMID => Some(Kind::RemoveSysv),
            libc::IPC_SET => Some(Kind::ChangeSysv),
            libc::IPC_STAT => Some(Kind::LookAtSysv),
            3 => Some(Kind::SysvLimits),
            12 => Some(Kind::LastPlace),
            _ => Some(Kind::LookAtPlace),
        }
    };
}

fn calls(number: c_long, arguments: [usize; 6]) -> Option<Kind> {
    let kind = kind_of(number, arguments)?;
    let [_, _, _, fourth, fifth, _] = arguments;
    let may_sleep = match kind {
        Kind::WaitAny | Kind::Wait | Kind::Poll => true,
        Kind::SendSysv => fourth as c_int & libc::IPC_NOWAIT == 0,
        Kind::ReceiveSysv => fifth as c_int & libc::IPC_NOWAIT == 0,
        Kind::SendPosix | Kind::ReceivePosix => waits(fifth),
        _ => false,
    };
    if may_sleep {
        note_sleep(kind == Kind::Poll);
    }
    Some(kind)
}

/// Whether a call of the kernel's POSIX queues with this time may sleep: not until a time
/// long past.
fn waits(until: usize) -> bool {
    let until = std::ptr::with_exposed_provenance::<mqueue_core::sys::mq::Moment>(until);
    // SAFETY: null, or where the caller has a time.
    unsafe { until.as_ref() }.is_none_or(|until| *until != mqueue_core::sys::mq::PAST)
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
