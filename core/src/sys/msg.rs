//! System V message queues: msgget, msgsnd, msgrcv, msgctl.
//!
//! The system calls themselves, never libc's functions of these names: a program may have
//! put functions of its own in their place. So the kernel's structs are written down here,
//! too. Errors are the kernel's; what they mean for a queue of ours, `sysv` knows.
//!
//! Source: msgget(2), msgop(2), msgctl(2); asm-generic/msgbuf.h and ipcbuf.h, which x86,
//! Arm, RISC-V and LoongArch share; linux/msg.h.

// Words of the machine have 32 bits in some programs and 64 in others.
#![allow(clippy::unnecessary_cast, clippy::useless_conversion)]

use crate::error::{Errno, Result};
use core::ffi::{c_int, c_long, c_ulong, c_void};

/// In front of each message, for the kernel: its type.
pub const TYPE_SIZE: usize = size_of::<c_long>();

/// Receive: look and leave; the type is a position, from 0 (Linux 3.8).
pub const MSG_COPY: c_int = 0o40000;
/// Receive: the first message of another type.
pub const MSG_EXCEPT: c_int = 0o20000;

const IPC_RMID: c_int = 0;
const IPC_SET: c_int = 1;
const IPC_STAT: c_int = 2;
const IPC_INFO: c_int = 3;
const MSG_STAT: c_int = 11;
const MSG_INFO: c_int = 12;
/// As MSG_STAT, without permission to read (Linux 4.17).
const MSG_STAT_ANY: c_int = 13;

/// struct ipc64_perm.
#[repr(C)]
#[derive(Clone, Copy)]
struct Permission {
    key: i32,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    #[cfg(target_pointer_width = "64")]
    mode: u32,
    /// 16 bits and padding.
    #[cfg(target_pointer_width = "32")]
    mode: [u16; 2],
    seq: u16,
    pad: u16,
    unused: [c_ulong; 2],
}

/// A time: in 32-bit programs the upper half, which older kernels leave 0, comes after.
#[cfg(target_pointer_width = "64")]
type Seconds = [c_ulong; 1];
#[cfg(target_pointer_width = "32")]
type Seconds = [c_ulong; 2];

/// struct msqid64_ds.
#[repr(C)]
#[derive(Clone, Copy)]
struct Record {
    permission: Permission,
    sent: Seconds,
    received: Seconds,
    changed: Seconds,
    bytes: c_ulong,
    count: c_ulong,
    most_bytes: c_ulong,
    last_sender: i32,
    last_receiver: i32,
    unused: [c_ulong; 2],
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Permission>() == 48 && size_of::<Record>() == 120);
#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<Permission>() == 36 && size_of::<Record>() == 88);

/// struct msginfo.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Info {
    pool: i32,
    map: i32,
    max: i32,
    mnb: i32,
    mni: i32,
    ssz: i32,
    tql: i32,
    seg: u16,
}

/// What the kernel knows of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The key; 0 if it has none.
    pub key: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Bytes in it.
    pub bytes: u64,
    /// Messages in it.
    pub count: u64,
    /// Most bytes (and most messages) that it holds.
    pub most_bytes: u64,
    /// Process of the last send, 0 if there was none.
    pub last_sender: u32,
    /// Process of the last receive, 0 if there was none.
    pub last_receiver: u32,
    /// Time of the last send, in seconds since 1970; 0 if there was none.
    pub sent_s: i64,
    /// Time of the last receive.
    pub received_s: i64,
}

/// The kernel's limits, as they are now.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// msgmax: most bytes in a message.
    pub message: u64,
    /// msgmnb: most bytes in a new queue.
    pub queue: u64,
    /// msgmni: most queues.
    pub queues: u64,
}

/// What may be changed of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Most bytes.
    pub most_bytes: usize,
}

/// The number of the queue with a key, or of a new one: as `flags` say.
pub fn get(key: u32, flags: c_int) -> Result<i32> {
    // SAFETY: touches no memory.
    checked(unsafe { raw::get(key as i32, flags) }).map(|id| id as i32)
}

/// Send what `message` points to: a type, then `len` bytes.
///
/// # Safety
/// `message` is readable for [`TYPE_SIZE`]` + len` bytes.
pub unsafe fn send(id: i32, message: *const c_long, len: usize, flags: c_int) -> Result<()> {
    // SAFETY: granted by the caller.
    checked(unsafe { raw::send(id, message.cast(), len, flags) }).map(drop)
}

/// Receive into `message`: a type, then at most `cap` bytes; tells how many.
///
/// # Safety
/// `message` is writable for [`TYPE_SIZE`]` + cap` bytes.
pub unsafe fn receive(
    id: i32,
    message: *mut c_long,
    cap: usize,
    kind: c_long,
    flags: c_int,
) -> Result<usize> {
    // SAFETY: granted by the caller.
    checked(unsafe { raw::receive(id, message.cast(), cap, kind, flags) }).map(|got| got as usize)
}

/// Remove a queue and its messages.
pub fn remove(id: i32) -> Result<()> {
    // SAFETY: this command takes no struct.
    checked(unsafe { raw::control(id, IPC_RMID, core::ptr::null_mut()) }).map(drop)
}

/// Look at a queue; needs permission to read.
pub fn status(id: i32) -> Result<Status> {
    ask(id, IPC_STAT).map(|(_, status)| status)
}

/// Look at the queue in a place of the kernel's table; gives its number, too. Needs no
/// permission, unless the kernel is older than 4.17.
pub fn status_at(place: i32) -> Result<(i32, Status)> {
    match ask(place, MSG_STAT_ANY) {
        Err(Errno(libc::EINVAL)) => ask(place, MSG_STAT),
        other => other,
    }
}

fn ask(which: i32, command: c_int) -> Result<(i32, Status)> {
    // SAFETY: numbers only, so all zeros are a value; the kernel writes one Record.
    let (id, record) = unsafe {
        let mut record: Record = core::mem::zeroed();
        (checked(raw::control(which, command, (&raw mut record).cast()))?, record)
    };
    let wide = |word: c_ulong| u64::from(word);
    let status = Status {
        key: record.permission.key as u32,
        uid: record.permission.uid,
        gid: record.permission.gid,
        #[cfg(target_pointer_width = "64")]
        mode: record.permission.mode & 0o777,
        #[cfg(target_pointer_width = "32")]
        mode: u32::from(record.permission.mode[0]) & 0o777,
        bytes: wide(record.bytes),
        count: wide(record.count),
        most_bytes: wide(record.most_bytes),
        last_sender: record.last_sender as u32,
        last_receiver: record.last_receiver as u32,
        sent_s: seconds(record.sent),
        received_s: seconds(record.received),
    };
    Ok((id as i32, status))
}

#[cfg(target_pointer_width = "64")]
fn seconds([all]: Seconds) -> i64 {
    all as i64
}

#[cfg(target_pointer_width = "32")]
fn seconds([low, high]: Seconds) -> i64 {
    (u64::from(high) << 32 | u64::from(low)) as i64
}

/// Change a queue; for its owner and its creator.
pub fn set(id: i32, settings: &Settings) -> Result<()> {
    // SAFETY: numbers only, so all zeros are a value; the kernel reads one Record.
    unsafe {
        let mut record: Record = core::mem::zeroed();
        record.permission.uid = settings.uid;
        record.permission.gid = settings.gid;
        #[cfg(target_pointer_width = "64")]
        let mode = settings.mode;
        #[cfg(target_pointer_width = "32")]
        let mode = [settings.mode as u16, 0];
        record.permission.mode = mode;
        record.most_bytes = settings.most_bytes as c_ulong;
        checked(raw::control(id, IPC_SET, (&raw mut record).cast())).map(drop)
    }
}

/// The kernel's limits.
pub fn limits() -> Result<Limits> {
    let (_, info) = info(IPC_INFO)?;
    let wide = |limit: i32| u64::try_from(limit).unwrap_or(0);
    Ok(Limits { message: wide(info.max), queue: wide(info.mnb), queues: wide(info.mni) })
}

/// The last place of the kernel's table that is in use.
pub fn last_place() -> Result<i32> {
    info(MSG_INFO).map(|(last, _)| last)
}

fn info(command: c_int) -> Result<(i32, Info)> {
    let mut info = Info::default();
    // SAFETY: the kernel writes one Info.
    let last = checked(unsafe { raw::control(0, command, (&raw mut info).cast()) })?;
    Ok((last as i32, info))
}

fn checked(result: c_long) -> Result<c_long> {
    if result < 0 { Err(Errno::last()) } else { Ok(result) }
}

/// The calls, by numbers of their own.
#[cfg(not(target_arch = "x86"))]
mod raw {
    use super::{c_int, c_long, c_void};

    /// Said with a command where the kernel has older structs as well.
    const IPC_64: c_int = if cfg!(target_arch = "arm") { 0x100 } else { 0 };

    pub unsafe fn get(key: c_int, flags: c_int) -> c_long {
        // SAFETY: granted by the caller, as below.
        unsafe { libc::syscall(libc::SYS_msgget as c_long, key, flags) as c_long }
    }
    pub unsafe fn send(id: c_int, message: *const c_void, len: usize, flags: c_int) -> c_long {
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_msgsnd as c_long, id, message, len, flags) as c_long }
    }
    pub unsafe fn receive(
        id: c_int,
        message: *mut c_void,
        cap: usize,
        kind: c_long,
        flags: c_int,
    ) -> c_long {
        let call = libc::SYS_msgrcv as c_long;
        // SAFETY: as above.
        unsafe { libc::syscall(call, id, message, cap, kind, flags) as c_long }
    }
    pub unsafe fn control(id: c_int, command: c_int, record: *mut c_void) -> c_long {
        let call = libc::SYS_msgctl as c_long;
        // SAFETY: as above.
        unsafe { libc::syscall(call, id, command | IPC_64, record) as c_long }
    }
}

/// 32-bit x86 has numbers for them since Linux 5.1; before, one call was for all.
#[cfg(target_arch = "x86")]
mod raw {
    use super::{c_int, c_long, c_void};

    const SYS_MSGGET: c_long = 399;
    const SYS_MSGSND: c_long = 400;
    const SYS_MSGRCV: c_long = 401;
    const SYS_MSGCTL: c_long = 402;
    const IPC_64: c_int = 0x100;

    fn is_missing(result: c_long) -> bool {
        result < 0 && crate::error::Errno::last() == crate::error::Errno(libc::ENOSYS)
    }

    unsafe fn ipc(
        call: c_int,
        first: c_int,
        second: c_long,
        third: c_int,
        pointer: *const c_void,
        fifth: c_long,
    ) -> c_long {
        // SAFETY: granted by the caller, as below.
        unsafe { libc::syscall(libc::SYS_ipc, call, first, second, third, pointer, fifth) }
    }

    pub unsafe fn get(key: c_int, flags: c_int) -> c_long {
        // SAFETY: as above.
        unsafe {
            let result = libc::syscall(SYS_MSGGET, key, flags);
            if !is_missing(result) {
                return result;
            }
            ipc(13, key, flags as c_long, 0, core::ptr::null(), 0)
        }
    }
    pub unsafe fn send(id: c_int, message: *const c_void, len: usize, flags: c_int) -> c_long {
        // SAFETY: as above.
        unsafe {
            let result = libc::syscall(SYS_MSGSND, id, message, len, flags);
            if !is_missing(result) {
                return result;
            }
            ipc(11, id, len as c_long, flags, message, 0)
        }
    }
    pub unsafe fn receive(
        id: c_int,
        message: *mut c_void,
        cap: usize,
        kind: c_long,
        flags: c_int,
    ) -> c_long {
        // SAFETY: as above.
        unsafe {
            let result = libc::syscall(SYS_MSGRCV, id, message, cap, kind, flags);
            // Looking without taking may be missing, too, and says so again.
            if !is_missing(result) {
                return result;
            }
            // Version 1 of the call takes pointer and type as they are.
            ipc(12 | 1 << 16, id, cap as c_long, flags, message, kind)
        }
    }
    pub unsafe fn control(id: c_int, command: c_int, record: *mut c_void) -> c_long {
        // SAFETY: as above.
        unsafe {
            let result = libc::syscall(SYS_MSGCTL, id, command, record);
            if !is_missing(result) {
                return result;
            }
            ipc(14, id, (command | IPC_64) as c_long, 0, record, 0)
        }
    }
}
