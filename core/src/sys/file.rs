//! Files: opening, linking, locking. Every descriptor is close-on-exec.

use super::thread::Uncancelled;
use crate::error::{Errno, Result};
use crate::sync::Ordering::Relaxed;
use crate::sync::local::AtomicI32;
use core::ffi::CStr;

/// What tells two files apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    dev: u64,
    ino: u64,
}

impl Identity {
    /// Of another file on the same device.
    pub fn beside(self, ino: u64) -> Identity {
        Identity { dev: self.dev, ino }
    }
    /// The device and the file's number there.
    pub fn parts(self) -> [u64; 2] {
        [self.dev, self.ino]
    }
}

/// What fstat tells.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Which file it is.
    pub identity: Identity,
    /// Type and permission bits.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Length in bytes.
    pub len: u64,
    /// Names that it has.
    pub links: u64,
}

impl Status {
    /// Whether it is a plain file.
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// A descriptor that is closed with its holder.
#[derive(Debug)]
pub struct Descriptor(i32);

impl Descriptor {
    /// Take charge of an open descriptor.
    pub fn adopt(fd: i32) -> Descriptor {
        Descriptor(fd)
    }
    /// The number.
    pub fn number(&self) -> i32 {
        self.0
    }
    /// Give it away.
    pub fn into_number(self) -> i32 {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Close a descriptor number.
pub fn close(fd: i32) {
    #[cfg(miri)]
    in_miri::forget(fd);
    let _uncancelled = Uncancelled::begin();
    // SAFETY: touches no memory.
    unsafe { libc::close(fd) };
}

fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// openat(2), close-on-exec, going on after a signal. A 32-bit process opens files of any
/// length (O_LARGEFILE, which is 0 elsewhere).
pub fn open_at(dir: i32, path: &CStr, flags: i32, mode: u32) -> Result<Descriptor> {
    let flags = flags | libc::O_CLOEXEC | libc::O_LARGEFILE;
    let _uncancelled = Uncancelled::begin();
    loop {
        // SAFETY: `path` is a C string.
        let fd = unsafe { libc::openat(dir, path.as_ptr(), flags, mode) };
        match checked(fd) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(|fd| Descriptor(fd).raised(flags)),
        }
    }
}

/// The lowest number for descriptors that this library keeps.
static LOWEST: AtomicI32 = AtomicI32::new(0);

/// Leave the numbers below to the program from now on, as far as there are higher ones: for
/// programs that do not know that the library has descriptors, and count on the next number
/// being free, or close one twice.
pub fn leave_numbers_below(lowest: i32) {
    LOWEST.store(lowest, Relaxed);
}

impl Descriptor {
    fn raised(self, flags: i32) -> Descriptor {
        let lowest = LOWEST.load(Relaxed);
        // Directories are closed again at once.
        if self.0 >= lowest || flags & libc::O_PATH != 0 {
            return self;
        }
        // SAFETY: touches no memory.
        let raised = checked(unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, lowest) });
        raised.map_or(self, Descriptor)
    }

    /// The same description by a number for the program: the lowest that is free.
    pub fn lowered(self) -> Result<Descriptor> {
        if self.0 < LOWEST.load(Relaxed) {
            return Ok(self);
        }
        // SAFETY: touches no memory.
        checked(unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, 0) }).map(Descriptor)
    }
}

/// A directory, to name files in.
pub fn open_directory(path: &CStr) -> Result<Descriptor> {
    open_at(libc::AT_FDCWD, path, libc::O_PATH | libc::O_DIRECTORY, 0)
}

/// `/proc/self/fd/N` in a buffer of its own: composing it allocates nothing.
pub struct ProcPath([u8; 32]);

impl ProcPath {
    /// Of this descriptor.
    pub fn of(fd: i32) -> ProcPath {
        use std::io::Write;
        let mut bytes = [0; 32];
        // 14 + 10 digits + the zero fit; a write into a slice does not fail otherwise.
        let _ = write!(&mut bytes[..31], "/proc/self/fd/{fd}");
        ProcPath(bytes)
    }
    /// The path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// A new description of the file that `fd` is open on.
pub fn reopen(fd: i32) -> Result<Descriptor> {
    // Miri has no /proc.
    if cfg!(miri) {
        return Err(Errno(libc::EACCES));
    }
    open_at(libc::AT_FDCWD, ProcPath::of(fd).as_c_str(), libc::O_RDWR | libc::O_NONBLOCK, 0)
}

/// Whether [`reopen`] and [`link_unnamed`] can work: /proc is mounted.
pub fn may_reopen() -> bool {
    // SAFETY: a C string.
    unsafe { libc::access(c"/proc/self/fd".as_ptr(), libc::F_OK) == 0 }
}

/// A new descriptor number of the same description.
pub fn duplicate(fd: i32) -> Result<Descriptor> {
    let lowest = LOWEST.load(Relaxed).max(3);
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) }).map(Descriptor)
}

/// Make the number `onto` mean what `fd` means.
pub fn replace(fd: &Descriptor, onto: i32) -> Result<()> {
    loop {
        // SAFETY: touches no memory.
        match checked(unsafe { libc::dup3(fd.0, onto, libc::O_CLOEXEC) }) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(drop),
        }
    }
}

/// Access mode and flags of a descriptor.
pub fn flags(fd: i32) -> Result<i32> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

/// Close-on-exec, for a descriptor that came from elsewhere.
pub fn close_on_exec(fd: i32) -> Result<()> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// fstat(2).
pub fn status(fd: i32) -> Result<Status> {
    // SAFETY: all-zero bytes are a valid stat; fstat writes one.
    let st = unsafe {
        let mut st: libc::stat64 = core::mem::zeroed();
        checked(libc::fstat64(fd, &mut st))?;
        st
    };
    Ok(Status {
        identity: Identity { dev: st.st_dev as u64, ino: st.st_ino as u64 },
        mode: st.st_mode,
        uid: st.st_uid,
        gid: st.st_gid,
        len: st.st_size as u64,
        links: st.st_nlink as u64,
    })
}

/// When a file, or the names in a directory, were last changed, in nanoseconds since 1970.
pub fn changed_ns(fd: i32) -> Result<i64> {
    // SAFETY: all-zero bytes are a valid stat; fstat writes one.
    let st = unsafe {
        let mut st: libc::stat64 = core::mem::zeroed();
        checked(libc::fstat64(fd, &mut st))?;
        st
    };
    // Smaller in 32-bit programs.
    #[allow(clippy::unnecessary_cast)]
    let (seconds, rest) = (st.st_mtime as i64, st.st_mtime_nsec as i64);
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(rest))
}

/// Whether there is anything of this name.
pub fn exists(dir: i32, name: &CStr) -> bool {
    // SAFETY: all-zero bytes are a valid stat; fstatat writes one. `name` is a C string.
    unsafe {
        let mut st: libc::stat64 = core::mem::zeroed();
        libc::fstatat64(dir, name.as_ptr(), &mut st, libc::AT_SYMLINK_NOFOLLOW) == 0
    }
}

/// Which file has this name in a directory.
pub fn identity_at(dir: i32, name: &CStr) -> Result<Identity> {
    // SAFETY: all-zero bytes are a valid stat; fstatat writes one. `name` is a C string.
    let st = unsafe {
        let mut st: libc::stat64 = core::mem::zeroed();
        checked(libc::fstatat64(dir, name.as_ptr(), &mut st, libc::AT_SYMLINK_NOFOLLOW))?;
        st
    };
    Ok(Identity { dev: st.st_dev as u64, ino: st.st_ino as u64 })
}

/// The kind of file system that a descriptor is of, by its magic number.
pub fn file_system(fd: i32) -> Result<u32> {
    // SAFETY: all-zero bytes are a valid statfs; fstatfs writes one.
    let fs = unsafe {
        let mut fs: libc::statfs64 = core::mem::zeroed();
        checked(libc::fstatfs64(fd, &mut fs))?;
        fs
    };
    Ok(fs.f_type as u32)
}

/// Which file a descriptor is open on.
#[cfg(not(miri))]
pub fn identity(fd: i32) -> Result<Identity> {
    status(fd).map(|status| status.identity)
}

/// Give a file room for `len` bytes now, so that writing never fails later.
pub fn allocate(fd: i32, len: u64) -> Result<()> {
    allocate_from(fd, 0, len)
}

/// The same from some byte on.
pub fn allocate_from(fd: i32, from: u64, len: u64) -> Result<()> {
    let _uncancelled = Uncancelled::begin();
    loop {
        // SAFETY: touches no memory. (posix_fallocate returns the error itself.)
        match unsafe { libc::posix_fallocate64(fd, from as i64, len as i64) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(Errno(error)),
        }
    }
}

/// Make a file so long; what is added has no room of its own yet.
pub fn set_length(fd: i32, len: u64) -> Result<()> {
    loop {
        // SAFETY: touches no memory.
        match checked(unsafe { libc::ftruncate64(fd, len as i64) }) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(drop),
        }
    }
}

/// Read `buffer` from the beginning; the number of bytes got.
pub fn read_start(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    read_at(fd, buffer, 0)
}

/// Read `buffer` from some byte on; the number of bytes got.
pub fn read_at(fd: i32, buffer: &mut [u8], at: i64) -> Result<usize> {
    let _uncancelled = Uncancelled::begin();
    loop {
        // SAFETY: writes at most `len` bytes.
        let got = unsafe { libc::pread64(fd, buffer.as_mut_ptr().cast(), buffer.len(), at) };
        if got >= 0 {
            return Ok(got as usize);
        }
        let error = Errno::last();
        if error != Errno(libc::EINTR) {
            return Err(error);
        }
    }
}

/// Write `bytes` to the beginning; the number of bytes written.
pub fn write_start(fd: i32, bytes: &[u8]) -> Result<usize> {
    let _uncancelled = Uncancelled::begin();
    loop {
        // SAFETY: reads at most `len` bytes.
        let put = unsafe { libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), 0) };
        match checked_len(put) {
            Err(Errno(libc::EINTR)) => {}
            other => return other,
        }
    }
}

fn checked_len(result: libc::ssize_t) -> Result<usize> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// Permission bits.
pub fn change_mode(fd: i32, mode: u32) -> Result<()> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fchmod(fd, mode) }).map(drop)
}

/// Owner and group; `u32::MAX` leaves one as it is.
pub fn change_owner(fd: i32, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: touches no memory.
    checked(unsafe { libc::fchown(fd, uid, gid) }).map(drop)
}

/// Permission bits, owner and group, all or nothing; `u32::MAX` leaves one as it is.
pub fn change_access(fd: i32, mode: u32, uid: u32, gid: u32) -> Result<()> {
    let before = status(fd)?.mode & 0o7777;
    if mode != u32::MAX {
        change_mode(fd, mode)?;
    }
    if uid != u32::MAX || gid != u32::MAX {
        change_owner(fd, uid, gid).inspect_err(|_| {
            let _ = change_mode(fd, before);
        })?;
    }
    Ok(())
}

/// Give the unnamed file `fd` a name, unless that exists.
pub fn link_unnamed(fd: i32, dir: i32, name: &CStr) -> Result<()> {
    let from = ProcPath::of(fd);
    // SAFETY: both are C strings.
    checked(unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_c_str().as_ptr(),
            dir,
            name.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    })
    .map(drop)
}

/// Give a file a second name, unless that exists.
pub fn link(dir: i32, from: &CStr, to: &CStr) -> Result<()> {
    // SAFETY: both are C strings.
    checked(unsafe { libc::linkat(dir, from.as_ptr(), dir, to.as_ptr(), 0) }).map(drop)
}

/// Give a file another name in the same directory, unless there is such a file. `EINVAL` or
/// `ENOSYS` where the file system or the kernel cannot (Linux 3.15).
pub fn rename_new(dir: i32, from: &CStr, to: &CStr) -> Result<()> {
    const NOREPLACE: libc::c_uint = 1;
    // SAFETY: both are C strings. (Not every libc has the function.)
    let result = unsafe {
        libc::syscall(libc::SYS_renameat2, dir, from.as_ptr(), dir, to.as_ptr(), NOREPLACE)
    };
    checked(result as libc::c_int).map(drop)
}

/// Remove a name.
pub fn unlink(dir: i32, name: &CStr) -> Result<()> {
    // SAFETY: a C string.
    checked(unsafe { libc::unlinkat(dir, name.as_ptr(), 0) }).map(drop)
}

/// Lock a whole file for the description of `fd`, which may be one that only reads; shared
/// with others or alone. `EWOULDBLOCK` if others are in the way.
pub fn try_lock_file(fd: i32, alone: bool) -> Result<()> {
    let kind = if alone { libc::LOCK_EX } else { libc::LOCK_SH };
    loop {
        // SAFETY: touches no memory.
        match checked(unsafe { libc::flock(fd, kind | libc::LOCK_NB) }) {
            Err(Errno(libc::EINTR)) => {}
            other => return other.map(drop),
        }
    }
}

/// Give a whole file free, for every process that has inherited the description, too.
pub fn unlock_file(fd: i32) {
    // SAFETY: touches no memory.
    unsafe { libc::flock(fd, libc::LOCK_UN) };
}

/// With 64-bit offsets on every machine: that is what F_OFD_* commands take.
#[cfg(not(miri))]
fn lock_of(first: i64, bytes: i64, kind: libc::c_int) -> libc::flock64 {
    // SAFETY: all-zero bytes are a valid flock64.
    let mut lock: libc::flock64 = unsafe { core::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = first;
    lock.l_len = bytes;
    lock
}

/// fcntl(2) with a lock. The 32-bit fcntl of glibc takes a `flock` of 32-bit offsets for
/// these commands and makes of it what the kernel takes, so there the kernel is called.
fn lock_command(fd: i32, command: libc::c_int, lock: &mut libc::flock64) -> Result<()> {
    // SAFETY: reads and writes one flock64.
    #[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
    let result = unsafe { libc::syscall(libc::SYS_fcntl64, fd, command, lock) };
    // SAFETY: reads and writes one flock64, which is what flock is here.
    #[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
    let result = unsafe { libc::fcntl(fd, command, lock) };
    checked(result).map(drop)
}

/// Lock one byte for the description of `fd`; `EAGAIN` if another holds it.
#[cfg(not(miri))]
pub fn try_lock(fd: i32, byte: i64) -> Result<()> {
    lock_command(fd, libc::F_OFD_SETLK, &mut lock_of(byte, 1, libc::F_WRLCK))
}

/// Lock one byte against writers' locks; `EAGAIN` if another has one.
#[cfg(not(miri))]
pub fn try_read_lock(fd: i32, byte: i64) -> Result<()> {
    lock_command(fd, libc::F_OFD_SETLK, &mut lock_of(byte, 1, libc::F_RDLCK))
}

/// Give one byte free.
#[cfg(not(miri))]
pub fn unlock(fd: i32, byte: i64) -> Result<()> {
    lock_command(fd, libc::F_OFD_SETLK, &mut lock_of(byte, 1, libc::F_UNLCK))
}

/// Whether a description other than that of `fd` holds the byte.
#[cfg(not(miri))]
pub fn is_locked_by_another(fd: i32, byte: i64) -> Result<bool> {
    let mut lock = lock_of(byte, 1, libc::F_WRLCK);
    lock_command(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// Lock bytes against writers' locks, all of them at once or none.
#[cfg(not(miri))]
pub fn try_read_lock_all(fd: i32, first: i64, bytes: i64) -> Result<()> {
    lock_command(fd, libc::F_OFD_SETLK, &mut lock_of(first, bytes, libc::F_RDLCK))
}

/// Give bytes free.
#[cfg(not(miri))]
pub fn unlock_all(fd: i32, first: i64, bytes: i64) {
    let _ = lock_command(fd, libc::F_OFD_SETLK, &mut lock_of(first, bytes, libc::F_UNLCK));
}

/// Whether a description other than that of `fd`, which may be one that only reads, has a
/// writer's lock on one of the bytes.
#[cfg(not(miri))]
pub fn is_any_locked_by_another(fd: i32, first: i64, bytes: i64) -> Result<bool> {
    let mut lock = lock_of(first, bytes, libc::F_RDLCK);
    lock_command(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// The longest file that this process may write (RLIMIT_FSIZE): writing beyond kills it.
pub fn longest_file() -> u64 {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one rlimit64.
    match unsafe { libc::getrlimit64(libc::RLIMIT_FSIZE, &mut limit) } {
        0 => limit.rlim_cur,
        _ => u64::MAX,
    }
}

/// Show `visit` the name of everything in a directory, in no order.
pub fn entries(dir: i32, visit: &mut dyn FnMut(&CStr) -> Result<()>) -> Result<()> {
    /// Of one entry of getdents64(2), what comes before its name: inode, offset, length, type.
    const BEFORE_NAME: usize = 8 + 8 + 2 + 1;
    let directory = open_at(dir, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let mut buffer = [0u64; 512];
    loop {
        let size = size_of_val(&buffer);
        // SAFETY: writes at most `size` bytes.
        let got =
            unsafe { libc::syscall(libc::SYS_getdents64, directory.0, buffer.as_mut_ptr(), size) };
        let mut rest = match usize::try_from(got) {
            Ok(0) => return Ok(()),
            // SAFETY: the kernel wrote so many of the buffer's bytes; any bytes are a u8.
            Ok(got) => unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), got) },
            Err(_) => return Err(Errno::last()),
        };
        while let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, low, high, ..] = *rest {
            let (entry, after) =
                rest.split_at(rest.len().min(u16::from_ne_bytes([low, high]) as usize));
            if let Some(Ok(name)) = entry.get(BEFORE_NAME..).map(CStr::from_bytes_until_nul) {
                visit(name)?;
            }
            rest = after;
        }
    }
}

/// Remove a name given by its path.
pub fn unlink_path(path: &CStr) -> Result<()> {
    // SAFETY: a C string.
    checked(unsafe { libc::unlink(path.as_ptr()) }).map(drop)
}

/// Miri knows neither locks of bytes nor fstat. There is one file in it, each number of a
/// descriptor is a description of its own, and the locks are a table of this process.
#[cfg(miri)]
#[allow(missing_docs)] // as their counterparts above
mod in_miri {
    use super::{Errno, Identity, Result};
    use std::sync::Mutex;

    struct Lock {
        fd: i32,
        byte: i64,
        is_shared: bool,
    }

    static LOCKS: Mutex<Vec<Lock>> = Mutex::new(Vec::new());

    fn with_locks<R>(work: impl FnOnce(&mut Vec<Lock>) -> R) -> R {
        work(&mut LOCKS.lock().unwrap())
    }

    fn set(fd: i32, byte: i64, is_shared: bool) -> Result<()> {
        with_locks(|locks| {
            let is_in_the_way = |l: &Lock| l.byte == byte && !(l.is_shared && is_shared);
            if locks.iter().any(|l| l.fd != fd && is_in_the_way(l)) {
                return Err(Errno(libc::EAGAIN));
            }
            locks.retain(|l| (l.fd, l.byte) != (fd, byte));
            locks.push(Lock { fd, byte, is_shared });
            Ok(())
        })
    }

    pub fn identity(_fd: i32) -> Result<Identity> {
        Ok(Identity { dev: 1, ino: 1 })
    }
    pub fn try_lock(fd: i32, byte: i64) -> Result<()> {
        set(fd, byte, false)
    }
    pub fn try_read_lock(fd: i32, byte: i64) -> Result<()> {
        set(fd, byte, true)
    }
    pub fn unlock(fd: i32, byte: i64) -> Result<()> {
        with_locks(|locks| locks.retain(|l| (l.fd, l.byte) != (fd, byte)));
        Ok(())
    }
    pub fn is_locked_by_another(fd: i32, byte: i64) -> Result<bool> {
        Ok(with_locks(|locks| locks.iter().any(|l| l.byte == byte && l.fd != fd)))
    }
    pub fn try_read_lock_all(_fd: i32, _first: i64, _bytes: i64) -> Result<()> {
        Err(Errno(libc::ENOLCK))
    }
    pub fn unlock_all(fd: i32, first: i64, bytes: i64) {
        let is_one = |l: &Lock| l.fd == fd && (first..first + bytes).contains(&l.byte);
        with_locks(|locks| locks.retain(|l| !is_one(l)));
    }
    pub fn is_any_locked_by_another(_fd: i32, _first: i64, _bytes: i64) -> Result<bool> {
        Err(Errno(libc::ENOLCK))
    }
    /// The descriptor is closed.
    pub fn forget(fd: i32) {
        with_locks(|locks| locks.retain(|l| l.fd != fd));
    }
}
#[cfg(miri)]
pub use in_miri::{
    identity, is_any_locked_by_another, is_locked_by_another, try_lock, try_read_lock,
    try_read_lock_all, unlock, unlock_all,
};
