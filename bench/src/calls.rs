//! Counts the system calls of other processes, by the kernel's tracepoint for them. Only for
//! who may trace: root.
//!
//! While somebody counts, every system call of the machine is a little slower; so it is done
//! in scenarios of its own, which time nothing.

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use std::ffi::CStr;
use std::{fs, io, process, ptr};

/// Where the kernel tells the numbers of its tracepoints.
const TRACING: &CStr = c"/sys/kernel/tracing";
const NUMBER: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";

/// Whether they can be counted. If nobody has mounted the directory of the tracepoints, we
/// do, in a mount namespace of our own.
pub fn prepare() -> bool {
    let (kind, root) = (c"tracefs".as_ptr(), c"/".as_ptr());
    // SAFETY: C strings, and no data. Should one fail, so does count().
    unsafe {
        if !fs::exists(NUMBER).unwrap_or(false) && libc::unshare(libc::CLONE_NEWNS) == 0 {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            libc::mount(ptr::null(), root, ptr::null(), private, ptr::null());
            libc::mount(kind, TRACING.as_ptr(), kind, libc::MS_RDONLY, ptr::null());
        }
    }
    count(process::id() as libc::pid_t).is_ok()
}

/// Count those of a process and of the threads that it starts from now on.
pub fn count(process: libc::pid_t) -> io::Result<Counter> {
    let number = fs::read_to_string(NUMBER)?;
    let number = number.trim().parse().map_err(io::Error::other)?;
    Builder::new(Tracepoint::with_id(number))
        .observe_pid(process)
        .any_cpu()
        .inherit(true)
        .include_kernel()
        .enabled(true)
        .build()
}
