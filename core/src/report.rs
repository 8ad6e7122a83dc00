//! The sentence behind the last failure of this thread (`mqrs_last_error`).
//!
//! Recording allocates nothing and takes no lock: a fixed sentence is kept by
//! reference, a composed one in a fixed buffer of the thread. A failed call
//! records exactly once, at the place that knows the cause.

use crate::error::Errno;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::sync::atomic::{Ordering::SeqCst, compiler_fence};

/// Longest composed sentence, in bytes; what is longer is cut.
const COMPOSED_MAX: usize = 480;

struct Composed {
    bytes: [u8; COMPOSED_MAX],
    len: usize,
}

impl Write for Composed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = COMPOSED_MAX - self.len;
        let mut take = text.len().min(room);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += take;
        Ok(())
    }
}

/// A sentence kept by reference, in a form that a signal handler may change at any
/// moment: address and length are two words, so both sides make sure that they match.
struct Fixed {
    start: Cell<*const u8>,
    len: Cell<usize>,
}

impl Fixed {
    fn set(&self, sentence: &'static str) {
        loop {
            self.start.set(sentence.as_ptr());
            compiler_fence(SeqCst);
            self.len.set(sentence.len());
            compiler_fence(SeqCst);
            // A handler that came in between wrote a pair of its own: write ours again.
            if self.start.get() == sentence.as_ptr() && self.len.get() == sentence.len() {
                return;
            }
        }
    }

    fn get(&self) -> &'static str {
        loop {
            let start = self.start.get();
            compiler_fence(SeqCst);
            let len = self.len.get();
            compiler_fence(SeqCst);
            if self.start.get() == start && self.len.get() == len {
                // SAFETY: a matching pair was written by `set`, from a `&'static str`.
                return unsafe {
                    std::str::from_utf8_unchecked(std::slice::from_raw_parts(start, len))
                };
            }
        }
    }
}

thread_local! {
    static FIXED: Fixed = const { Fixed { start: Cell::new("".as_ptr()), len: Cell::new(0) } };
    static COMPOSED: RefCell<Composed> =
        const { RefCell::new(Composed { bytes: [0; COMPOSED_MAX], len: 0 }) };
}

/// Record a fixed sentence and return the error that it explains.
pub fn say(errno: i32, sentence: &'static str) -> Errno {
    let _ = FIXED.try_with(|fixed| fixed.set(sentence));
    Errno(errno)
}

/// Record a composed sentence and return the error that it explains.
pub fn explain(errno: i32, sentence: fmt::Arguments<'_>) -> Errno {
    let _ = COMPOSED.try_with(|composed| {
        // A signal handler that interrupts the writing below finds it borrowed: its own
        // sentence is then dropped, the interrupted one stays whole.
        if let Ok(mut composed) = composed.try_borrow_mut() {
            composed.len = 0;
            let _ = composed.write_fmt(sentence);
        }
    });
    let _ = FIXED.try_with(|fixed| fixed.set(""));
    Errno(errno)
}

/// Record that a system call failed, what it was for, and why; give the error on. For errors
/// that mean the same wherever they come from.
pub fn failed(error: Errno, doing: &str) -> Errno {
    let why = match error.0 {
        libc::EACCES | libc::EPERM => "permission denied",
        libc::EMFILE => "the process has as many open files as RLIMIT_NOFILE (ulimit -n) allows",
        libc::ENFILE => "the system has as many open files as /proc/sys/fs/file-max allows",
        libc::ENOMEM => "there is not enough memory",
        _ => return explain(error.0, format_args!("{doing} (errno {})", error.0)),
    };
    explain(error.0, format_args!("{doing}: {why}"))
}

/// Hand the sentence of this thread's last failure to `read` ("" if there was none).
pub fn with_sentence<R>(read: impl FnOnce(&str) -> R) -> R {
    let fixed = FIXED.try_with(Fixed::get).unwrap_or("");
    if !fixed.is_empty() {
        return read(fixed);
    }
    let mut copy = [0; COMPOSED_MAX];
    let len = COMPOSED
        .try_with(|composed| match composed.try_borrow() {
            Ok(composed) => {
                copy[..composed.len].copy_from_slice(&composed.bytes[..composed.len]);
                composed.len
            }
            Err(_) => 0,
        })
        .unwrap_or(0);
    read(std::str::from_utf8(&copy[..len]).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_sentence_wins_whichever_form_it_has() {
        assert_eq!(say(libc::EAGAIN, "fixed"), Errno(libc::EAGAIN));
        with_sentence(|s| assert_eq!(s, "fixed"));

        explain(libc::EINVAL, format_args!("composed {}", 1));
        with_sentence(|s| assert_eq!(s, "composed 1"));

        say(libc::EAGAIN, "fixed again");
        with_sentence(|s| assert_eq!(s, "fixed again"));
    }

    #[test]
    fn a_sentence_that_is_too_long_is_cut_at_a_character() {
        explain(libc::EINVAL, format_args!("{}", "é".repeat(COMPOSED_MAX)));
        with_sentence(|s| assert_eq!(s, "é".repeat(COMPOSED_MAX / 2)));
    }
}
