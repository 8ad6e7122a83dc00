//! MQRS_DROPIN_TRACE=1: which queues a program opens, and how often it calls what.
//!
//! ```text
//! mqueue_dropin: mq_open("/jobs", O_RDWR|O_CREAT) = 3
//! mqueue_dropin: msgget(0x2a, 0o1600) = 20031
//! mqueue_dropin: calls: mq_open 1, mq_send 100
//! ```
//!
//! One line an open, and one at exit if anything was called; a forked child counts anew.

use crate::settings::Settings;
use core::ffi::c_int;
use mqueue_core::sync::Ordering::Relaxed;
use mqueue_core::sync::local::AtomicU64;
use std::ffi::CStr;
use std::fmt::Write;

/// The functions that are counted, in the order of calls.c, then of sysv.c.
const CALLS: [&str; 14] = [
    "mq_open",
    "mq_close",
    "mq_unlink",
    "mq_send",
    "mq_timedsend",
    "mq_receive",
    "mq_timedreceive",
    "mq_getattr",
    "mq_setattr",
    "mq_notify",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
];

static COUNTS: [AtomicU64; CALLS.len()] = [const { AtomicU64::new(0) }; CALLS.len()];

/// When the library is loaded: read the settings; tells whether calls are to be counted.
pub fn begin() -> bool {
    let is_traced = Settings::get().is_traced;
    if is_traced {
        // SAFETY: a function without arguments that only stores numbers. If there is no
        // memory for it, a child's summary has its parent's calls in it.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) };
    }
    is_traced
}

unsafe extern "C" fn forget() {
    COUNTS.iter().for_each(|count| count.store(0, Relaxed));
}

/// One more call of a function, by its place in the list.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_count(call: c_int) {
    if let Some(count) = usize::try_from(call).ok().and_then(|call| COUNTS.get(call)) {
        count.fetch_add(1, Relaxed);
    }
}

/// At exit.
#[unsafe(no_mangle)]
extern "C" fn mqrs_dropin_summary() {
    let mut line = Line::new();
    let mut is_first = true;
    for (name, count) in CALLS.iter().zip(&COUNTS) {
        let count = count.load(Relaxed);
        if count > 0 {
            let before = if is_first { "calls:" } else { "," };
            let _ = write!(line, "{before} {name} {count}");
            is_first = false;
        }
    }
    if !is_first {
        line.print();
    }
}

/// A queue was opened, or not: `result` is its descriptor or the error.
pub fn opened(name: &CStr, oflag: c_int, result: Result<c_int, c_int>) {
    if !Settings::get().is_traced {
        return;
    }
    let mut line = Line::new();
    let mode = match oflag & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY",
        libc::O_WRONLY => "O_WRONLY",
        _ => "O_RDWR",
    };
    let _ = write!(line, "mq_open(\"{}\", {mode}", name.to_string_lossy());
    for (flag, text) in
        [(libc::O_CREAT, "O_CREAT"), (libc::O_EXCL, "O_EXCL"), (libc::O_NONBLOCK, "O_NONBLOCK")]
    {
        if oflag & flag != 0 {
            let _ = write!(line, "|{text}");
        }
    }
    line.end(result);
}

/// A System V queue was asked for: `result` is its number or the error.
pub fn got(key: i32, flags: c_int, result: Result<c_int, c_int>) {
    if !Settings::get().is_traced {
        return;
    }
    let mut line = Line::new();
    let _ = match key {
        libc::IPC_PRIVATE => write!(line, "msgget(IPC_PRIVATE"),
        _ => write!(line, "msgget({key:#x}"),
    };
    let _ = write!(line, ", {flags:#o}");
    line.end(result);
}

/// One line for standard error, written at once.
struct Line(String);

impl Line {
    fn new() -> Line {
        Line(String::from("mqueue_dropin: "))
    }

    /// Add what came of the call.
    fn end(mut self, result: Result<c_int, c_int>) {
        let _ = match result {
            Ok(number) => write!(self, ") = {number}"),
            Err(errno) => write!(self, "): errno {errno}"),
        };
        self.print();
    }

    fn print(mut self) {
        self.0.push('\n');
        // SAFETY: the string's bytes. Nobody is there to be told if it fails.
        unsafe { libc::write(libc::STDERR_FILENO, self.0.as_ptr().cast(), self.0.len()) };
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.push_str(text);
        Ok(())
    }
}
