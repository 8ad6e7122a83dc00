//! The library as Rust programs call it: `mqueue_core`.

use crate::subject::{Callback, Entry, Handle, Language, Queue, Result, Wait};
use mqueue_core::attr::{Attr, Limits, OpenOptions, Stats};
use mqueue_core::deadline;
use mqueue_core::error::Errno;
use mqueue_core::list::List;
use mqueue_core::message::{Incoming, Outgoing, Request};
use mqueue_core::queue::{self, Notification};
use mqueue_core::report::with_sentence;
use std::ffi::{CStr, CString, c_void};

pub struct Rust;

fn answer<T>(result: mqueue_core::error::Result<T>) -> Result<T> {
    result.map_err(|Errno(errno)| errno)
}

impl Language for Rust {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn open(&self, address: Option<&CStr>, oflag: i32, options: &OpenOptions) -> Result<Queue> {
        let queue = answer(queue::Queue::open(address, oflag, options))?;
        Ok(Box::new(queue))
    }

    fn open_fd(&self, fd: i32, oflag: i32, option_flags: u64) -> Result<Queue> {
        let queue = answer(queue::Queue::open_fd(fd, oflag, option_flags))?;
        Ok(Box::new(queue))
    }

    fn unlink(&self, address: &CStr) -> Result<()> {
        answer(queue::unlink(address))
    }

    fn limits(&self, transport: u32) -> Result<Limits> {
        answer(queue::limits(transport))
    }

    fn list(&self, transport: u32) -> Result<Vec<Entry>> {
        let mut list = answer(List::open(transport))?;
        let mut entries = Vec::new();
        while let Some((address, attr)) = answer(list.advance())? {
            entries.push((address.to_owned(), attr));
        }
        Ok(entries)
    }

    fn last_error(&self) -> String {
        with_sentence(str::to_owned)
    }
}

fn wait(wait: Wait) -> mqueue_core::error::Result<deadline::Wait> {
    match wait {
        Wait::Plain => Ok(deadline::Wait::Unlimited),
        Wait::For(ns) => deadline::Wait::timeout(ns),
        Wait::Until(clock, ns) => deadline::Wait::until(clock, ns),
    }
}

impl Handle for queue::Queue {
    fn name(&self) -> CString {
        queue::Queue::name(self).to_owned()
    }

    fn send(&self, message: &[u8], prio: u32, how: Wait) -> Result<()> {
        answer(wait(how).and_then(|wait| {
            // SAFETY: a slice is readable.
            unsafe { queue::Queue::send(self, message.as_ptr(), message.len(), prio, wait) }
        }))
    }

    fn receive(&self, buffer: &mut [u8], how: Wait) -> Result<(usize, u32)> {
        answer(wait(how).and_then(|wait| {
            // SAFETY: a slice is writable.
            unsafe { queue::Queue::receive(self, buffer.as_mut_ptr(), buffer.len(), wait) }
        }))
    }

    fn send_message(&self, message: &Outgoing, timeout: i64) -> Result<()> {
        answer(deadline::Wait::timeout(timeout).and_then(|wait| {
            // SAFETY: clauses give what is readable.
            unsafe { queue::Queue::send_message(self, message, wait) }
        }))
    }

    fn receive_message(&self, request: &Request, timeout: i64) -> Result<Incoming> {
        answer(deadline::Wait::timeout(timeout).and_then(|wait| {
            // SAFETY: clauses give what is writable.
            unsafe { queue::Queue::receive_message(self, request, wait) }
        }))
    }

    fn send_batch(&self, messages: &[Outgoing], timeout: i64) -> Result<usize> {
        answer(deadline::Wait::timeout(timeout).and_then(|wait| {
            self.check_messages(messages.iter().copied())?;
            // SAFETY: clauses give what is readable.
            unsafe { queue::Queue::send_batch(self, messages.len(), |i| messages[i], wait) }
        }))
    }

    fn receive_batch(&self, requests: &[Request], timeout: i64) -> Result<Vec<Incoming>> {
        let all = std::cell::RefCell::new(Vec::new());
        let count = answer(deadline::Wait::timeout(timeout).and_then(|wait| {
            self.check_requests(requests.iter().copied())?;
            let got = |i, incoming| {
                let mut all = all.borrow_mut();
                assert_eq!(i, all.len(), "one after the other");
                all.push(incoming);
            };
            // SAFETY: clauses give what is writable.
            unsafe { queue::Queue::receive_batch(self, requests.len(), |i| requests[i], got, wait) }
        }))?;
        let all = all.into_inner();
        assert_eq!(all.len(), count);
        Ok(all)
    }

    fn reserve(&self, len: usize, timeout: i64) -> Result<*mut u8> {
        let wait = deadline::Wait::timeout(timeout);
        answer(wait.and_then(|wait| queue::Queue::reserve(self, len, wait)))
    }

    fn commit(&self, slot: *mut u8, len: usize, prio: u32, timeout: i64) -> Result<()> {
        let wait = deadline::Wait::timeout(timeout);
        answer(wait.and_then(|wait| queue::Queue::commit(self, slot, len, prio, wait)))
    }

    fn abort(&self, slot: *mut u8) -> Result<()> {
        answer(queue::Queue::abort(self, slot))
    }

    fn acquire(&self, timeout: i64) -> Result<(*const u8, usize, u32)> {
        let wait = deadline::Wait::timeout(timeout);
        answer(wait.and_then(|wait| queue::Queue::acquire(self, wait)))
    }

    fn release(&self, data: *const u8) -> Result<()> {
        answer(queue::Queue::release(self, data))
    }

    fn requeue(&self, data: *const u8) -> Result<()> {
        answer(queue::Queue::requeue(self, data))
    }

    fn attr(&self) -> Result<Attr> {
        answer(queue::Queue::attr(self))
    }

    fn stats(&self) -> Result<Stats> {
        answer(queue::Queue::stats(self))
    }

    fn shutdown(&self) -> Result<()> {
        answer(queue::Queue::shutdown(self))
    }

    fn set_nonblock(&self, on: bool) -> Result<()> {
        answer(queue::Queue::set_nonblock(self, on))
    }

    fn set_maxbytes(&self, bytes: u64) -> Result<()> {
        answer(queue::Queue::set_maxbytes(self, bytes))
    }

    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        answer(queue::Queue::set_owner(self, mode, uid, gid))
    }

    fn dup_fd(&self) -> Result<i32> {
        answer(queue::Queue::dup_fd(self))
    }

    fn fd(&self) -> Result<i32> {
        answer(queue::Queue::fd(self))
    }

    fn notify_signal_as(&self, signo: i32, value: isize, flags: u64) -> Result<()> {
        answer(self.notify(Notification::Signal { signo, value }, flags))
    }

    fn notify_callback(&self, function: Callback, user: *mut c_void) -> Result<()> {
        let argument = std::ptr::null_mut();
        answer(self.notify(Notification::Callback { function, argument, user }, 0))
    }

    fn notify_cancel(&self) -> Result<()> {
        answer(queue::Queue::notify_cancel(self))
    }

    fn cancel(&self) -> Result<()> {
        answer(queue::Queue::cancel(self))
    }

    fn set_cancelled(&self, on: bool) -> Result<()> {
        answer(queue::Queue::set_cancelled(self, on))
    }

    fn wait(&self, events: u32, timeout: i64) -> Result<u32> {
        let wait = answer(deadline::Wait::timeout(timeout))?;
        // Beside nothing, too.
        let asked = |i| (i == 1).then_some((self, events));
        let ready = answer(mqueue_core::wait_many::wait(3, asked, wait))?;
        assert_eq!((ready[0], ready[2]), (0, 0));
        Ok(ready[1])
    }

    fn raw(&self) -> *mut mqueue_rs::mqrs_queue {
        std::ptr::null_mut()
    }
}
