//! Addresses of queues: the answer is that of the rules, and a name means one file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqueue_rs::{mqrs_close, mqrs_name, mqrs_open, mqrs_queue, mqrs_unlink};
use std::ffi::{CStr, CString, c_int};
use std::ptr::null;

/// The rules, as the header has them.
fn expected(address: &[u8]) -> Result<&[u8], c_int> {
    let has = |prefix: &[u8]| address.starts_with(prefix);
    if has(b"amqp://") {
        return Err(-libc::ENOTSUP);
    }
    let local = address.strip_prefix(b"shm:").unwrap_or(address);
    match local {
        [b'/'] => Err(-libc::ENOENT),
        [b'/', name @ ..] if name.len() >= 4096 => Err(-libc::ENAMETOOLONG),
        [b'/', name @ ..] if name.contains(&b'/') => Err(-libc::EACCES),
        [b'/', b'.'] | [b'/', b'.', b'.'] => Err(-libc::EACCES),
        [b'/', name @ ..] if name.len() > 255 => Err(-libc::ENAMETOOLONG),
        [b'/', name @ ..] => Ok(name),
        _ => Err(-libc::EINVAL),
    }
}

fn open(address: &CStr, oflag: c_int) -> Result<*mut mqrs_queue, c_int> {
    let untouched = 0x5A5A as *mut mqrs_queue;
    let mut queue = untouched;
    // SAFETY: a C string, and a place for the handle.
    match unsafe { mqrs_open(address.as_ptr(), oflag, null(), 0, &mut queue) } {
        0 => Ok(queue),
        error => {
            assert_eq!(queue, untouched, "{error}");
            Err(error)
        }
    }
}

fn close(queue: *mut mqrs_queue) {
    // SAFETY: a handle, used no more.
    assert_eq!(unsafe { mqrs_close(queue) }, 0);
}

fn unlink(address: &CStr) -> c_int {
    // SAFETY: a C string.
    unsafe { mqrs_unlink(address.as_ptr()) }
}

fn files() -> usize {
    std::fs::read_dir(mqueue_fuzz::directory()).expect("it is there").count()
}

fuzz_target!(init: mqueue_fuzz::begin(), |address: &[u8]| {
    let address = CString::new(address.split(|&byte| byte == 0).next().unwrap_or_default());
    let address = address.expect("no zero byte");
    // Queues of the kernel are not ours alone: what is there may be opened, and no more.
    if address.to_bytes().starts_with(b"posix:") || address.to_bytes().starts_with(b"sysv:") {
        if let Ok(queue) = open(&address, libc::O_RDWR) {
            close(queue);
        }
        return;
    }
    let name = match expected(address.to_bytes()) {
        Ok(name) => name,
        Err(error) => {
            assert_eq!(open(&address, libc::O_RDWR), Err(error));
            assert_eq!(open(&address, libc::O_CREAT | libc::O_RDWR), Err(error));
            assert_eq!(unlink(&address), error);
            assert_eq!(files(), 0);
            return;
        }
    };
    assert_eq!(open(&address, libc::O_RDONLY), Err(-libc::ENOENT));
    assert_eq!(unlink(&address), -libc::ENOENT);
    let new = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    let queue = open(&address, new).expect("a name that is allowed");
    assert_eq!(files(), 1);
    assert_eq!(open(&address, new), Err(-libc::EEXIST));
    // SAFETY: a handle; the name lives as long.
    let full = unsafe { CStr::from_ptr(mqrs_name(queue)) }.to_owned();
    assert_eq!(full.to_bytes(), [b"shm:/", name].concat());
    close(open(&full, libc::O_WRONLY).expect("the full address is the same queue"));
    close(queue);
    assert_eq!(unlink(&full), 0);
    assert_eq!(files(), 0);
    assert_eq!(open(&full, libc::O_RDWR), Err(-libc::ENOENT));
});
