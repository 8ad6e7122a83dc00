//! The same from the system itself, where it can be had: filters, limits, no /proc. Full
//! and read-only file systems, and as good as no descriptors or address space, are in
//! `ctests/` (full_directory.c, descriptor_limit.c, out_of_memory.c).

use super::CANNOT;
use super::calls::{self, Shared};
use super::case::{Held, be_used};
use super::deeds::{self, Deed};
use super::processes::{Child, Fate, new_name, pause, spawn};
use super::stage::{Stage, Transport, close, options};
use mqueue_rs::{mqrs_open, mqrs_options};
use std::ffi::CStr;
use std::io::Error;
use std::ptr::{null, null_mut};
use std::time::Duration;

type Test = fn(&'static Shared) -> Result<(), String>;

pub const TESTS: &[(&str, Test)] = &[
    ("a filter forbids futex_waitv", |shared| {
        forbid(libc::SYS_futex_waitv, None, libc::ENOSYS)?;
        in_turn(shared, &[deeds::RECEIVE_WAITS, deeds::RECEIVE_TIMES_OUT, deeds::SIGNAL_COMES])
    }),
    ("a filter forbids futex_waitv with EPERM", |shared| {
        forbid(libc::SYS_futex_waitv, None, libc::EPERM)?;
        in_turn(shared, &[deeds::RECEIVE_WAITS, deeds::RECEIVE_TIMES_OUT, deeds::SIGNAL_COMES])
    }),
    ("a filter forbids unnamed files", |shared| {
        forbid(libc::SYS_openat, Some((2, libc::O_TMPFILE)), libc::EOPNOTSUPP)?;
        in_turn(shared, &[deeds::OPEN_MAKES])
    }),
    ("a filter forbids random numbers", |shared| {
        forbid(libc::SYS_getrandom, None, libc::ENOSYS)?;
        in_turn(shared, &[deeds::OPEN_MAKES])
    }),
    ("proc is not mounted", |shared| {
        hide_proc()?;
        in_turn(shared, &[deeds::OPEN_MAKES, deeds::OPEN_FD, deeds::SEND])?;
        a_child_sends(shared)
    }),
    ("a file may not be that long", |_| {
        limit(libc::RLIMIT_FSIZE, 4096);
        // SAFETY: touches no memory. Writing beyond would kill this process.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
        refuses(libc::EFBIG)
    }),
    ("no more memory may be locked", |_| {
        become_nobody()?;
        // SAFETY: touches no memory that Rust knows of.
        if unsafe { libc::mlockall(libc::MCL_FUTURE) } < 0 {
            return Err(format!("{CANNOT}the right to lock memory: {}", Error::last_os_error()));
        }
        limit(libc::RLIMIT_MEMLOCK, 0);
        refuses(libc::ENOMEM)
    }),
];

/// Do deeds as they are to be done.
fn in_turn(shared: &'static Shared, deeds: &[Deed]) -> Result<(), String> {
    for deed in deeds {
        shared.clear();
        let mut stage = Stage::new(shared, Transport::Shm, &new_name());
        (deed.prepare)(&mut stage);
        calls::watch(shared);
        let answer = (deed.run)(&mut stage);
        if answer != deed.expected {
            return Err(format!("{}: {answer}", deed.name));
        }
        (deed.verify)(&mut stage).and_then(|()| be_used(&mut stage))?;
        end(&mut stage);
    }
    Ok(())
}

fn end(stage: &mut Stage) {
    close(&mut stage.queue);
    close(&mut stage.made);
    // SAFETY: a C string.
    unsafe { mqueue_rs::mqrs_unlink(stage.name.as_ptr()) };
}

fn a_child_sends(shared: &'static Shared) -> Result<(), String> {
    let mut stage = Stage::new(shared, Transport::Shm, &new_name());
    (deeds::SEND.prepare)(&mut stage);
    let mut child: Child = spawn(|| assert_eq!((deeds::SEND.run)(&mut stage), 0));
    while child.look() == Fate::Running {
        pause(Duration::from_micros(50));
    }
    if child.look() != Fate::Exited(0) {
        return Err(format!("a child that sends: {:?}", child.look()));
    }
    (deeds::SEND.verify)(&mut stage)?;
    end(&mut stage);
    Ok(())
}

/// Making a queue fails with this, and leaves nothing.
fn refuses(expected: i32) -> Result<(), String> {
    let before = Held::now();
    let mut out = null_mut();
    let oflag = libc::O_CREAT | libc::O_RDWR;
    let name: &CStr = &new_name();
    // SAFETY: every pointer is valid.
    let answer = unsafe {
        let options = options(0, 0);
        mqrs_open(name.as_ptr(), oflag, &options, size_of::<mqrs_options>(), &mut out)
    };
    if answer != -expected || !out.is_null() {
        return Err(format!("making a queue: {answer}"));
    }
    let after = Held::now();
    if after == before { Ok(()) } else { Err(format!("{after:?} instead of {before:?}")) }
}

fn limit(which: libc::__rlimit_resource_t, at: u64) {
    let limit = libc::rlimit64 { rlim_cur: at, rlim_max: at };
    // SAFETY: reads one struct.
    assert_eq!(unsafe { libc::setrlimit64(which, &limit) }, 0);
}

/// Other users may not lock as much as they like.
fn become_nobody() -> Result<(), String> {
    const NOBODY: u32 = 65534;
    // SAFETY: touches no memory.
    if unsafe { libc::geteuid() == 0 && libc::setuid(NOBODY) < 0 } {
        return Err(format!("{CANNOT}the right to become another user"));
    }
    Ok(())
}

/// This process sees a /proc without anything in it.
fn hide_proc() -> Result<(), String> {
    // SAFETY: C strings, or null where that is allowed.
    let is_hidden = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null())
                == 0
            && libc::mount(
                c"tmpfs".as_ptr(),
                c"/proc".as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                c"size=64k".as_ptr().cast(),
            ) == 0
    };
    if is_hidden { Ok(()) } else { Err(format!("{CANNOT}the right to mount a file system")) }
}

/// From now on this call fails in this process: always, or with these bits in an argument.
fn forbid(call: libc::c_long, with: Option<(usize, i32)>, errno: i32) -> Result<(), String> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let of = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let unless_equal = |k, skip| libc::sock_filter { code: IF_EQUAL, jt: 0, jf: skip, k };
    let (at, bits) = with.map_or((0, 0), |(argument, bits)| {
        // seccomp_data: number, architecture, address, then six arguments of 64 bits.
        let low = if cfg!(target_endian = "big") { 4 } else { 0 };
        (16 + 8 * argument as u32 + low, bits as u32)
    });
    let mut filter = [
        of(LOAD, 0),
        unless_equal(call as u32, 4),
        of(LOAD, at),
        of(AND, bits),
        unless_equal(bits, 1),
        of(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32),
        of(RETURN, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and what it points to are alive in the call.
    let is_set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    if !is_set {
        return Err(format!("{CANNOT}seccomp filters"));
    }
    // SAFETY: the kernel refuses it before it looks at an argument.
    let answer = unsafe { libc::syscall(call, -1, null::<u8>(), bits, 0, 0, 0) };
    let told = Error::last_os_error().raw_os_error();
    assert_eq!((answer, told), (-1, Some(errno)), "the filter does not work");
    Ok(())
}
