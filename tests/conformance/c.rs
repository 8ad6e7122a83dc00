//! The library as C programs call it: the exported functions of `mqueue_rs`.
//!
//! With every failure goes a look at the outputs: they must be as they were.

use crate::subject::{Callback, Entry, Handle, Language, Queue, Result, Wait};
use mqueue_core::attr::{Attr, Limits, OpenOptions, Stats};
use mqueue_core::message::{Incoming, Outgoing, Request};
use mqueue_rs::*;
use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::ptr::null;

pub struct C;

/// A length or an errno.
fn length(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| -result as i32)
}

/// A number or an errno.
fn number(result: i32) -> Result<i32> {
    if result < 0 { Err(-result) } else { Ok(result) }
}

fn done(result: i32) -> Result<()> {
    let result = number(result)?;
    assert_eq!(result, 0, "0 is the answer of a call that has nothing else to say");
    Ok(())
}

/// What an output holds before the call. (No call writes this.)
const BEFORE: u8 = 0xA5;

/// Call with an output of type `T`; its value, or an errno if the output is untouched.
fn output<T: Copy, R>(call: impl FnOnce(*mut T) -> Result<R>) -> Result<(T, R)> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: any bytes may be written where the value is to be.
    unsafe { value.as_mut_ptr().cast::<u8>().write_bytes(BEFORE, size_of::<T>()) };
    match call(value.as_mut_ptr()) {
        // SAFETY: all bytes are set, and every type used here is integers alone, or a pointer.
        Ok(result) => Ok((unsafe { value.assume_init() }, result)),
        Err(errno) => {
            // SAFETY: all bytes are set.
            let bytes =
                unsafe { std::slice::from_raw_parts(value.as_ptr().cast::<u8>(), size_of::<T>()) };
            assert!(bytes.iter().all(|&byte| byte == BEFORE), "a failed call wrote its output");
            Err(errno)
        }
    }
}

struct Open(*mut mqrs_queue);

// SAFETY: the library's handles may be used by all threads at once.
unsafe impl Send for Open {}
// SAFETY: as above.
unsafe impl Sync for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: an open handle, which nobody uses any more.
        unsafe { mqrs_close(self.0) };
    }
}

impl Language for C {
    fn name(&self) -> &'static str {
        "c"
    }

    fn open(&self, address: Option<&CStr>, oflag: i32, options: &OpenOptions) -> Result<Queue> {
        let OpenOptions { flags, maxmsg, msgsize, mode } = *options;
        let given = mqrs_options { flags, maxmsg, msgsize, mode, reserved: 0 };
        // Zeros mean the default, and so does no struct at all.
        let (given, size) = if *options == OpenOptions::default() {
            (null(), 0)
        } else {
            (&raw const given, size_of_val(&given))
        };
        let address = address.map_or(null(), CStr::as_ptr);
        // SAFETY: every pointer is valid, or null where it may be.
        let (queue, ()) =
            output(|out| done(unsafe { mqrs_open(address, oflag, given, size, out) }))?;
        Ok(Box::new(Open(queue)))
    }

    fn open_fd(&self, fd: i32, oflag: i32, option_flags: u64) -> Result<Queue> {
        // SAFETY: the output is writable.
        let (queue, ()) =
            output(|out| done(unsafe { mqrs_open_fd(fd, oflag, option_flags, out) }))?;
        Ok(Box::new(Open(queue)))
    }

    fn unlink(&self, address: &CStr) -> Result<()> {
        // SAFETY: a C string.
        done(unsafe { mqrs_unlink(address.as_ptr()) })
    }

    fn limits(&self, transport: u32) -> Result<Limits> {
        let (limits, ()) = output(|out| {
            // SAFETY: the output is writable for its size.
            done(unsafe { mqrs_getlimits(transport, out, size_of::<mqrs_limits>()) })
        })?;
        assert_eq!(limits.reserved, 0);
        Ok(Limits {
            unavailable: limits.unavailable,
            maxmsg_default: limits.maxmsg_default,
            maxmsg_max: limits.maxmsg_max,
            msgsize_default: limits.msgsize_default,
            msgsize_max: limits.msgsize_max,
            queues_max: limits.queues_max,
            bytes_max: limits.bytes_max,
            prio_max: limits.prio_max,
        })
    }

    fn list(&self, transport: u32) -> Result<Vec<Entry>> {
        // SAFETY: every pointer is valid in all that follows.
        let (list, ()) = output(|out| done(unsafe { mqrs_list_open(transport, out) }))?;
        let mut entries = Vec::new();
        loop {
            let mut entry = mqrs_entry::default();
            // SAFETY: as above.
            match number(unsafe { mqrs_list_next(list, &mut entry, size_of_val(&entry)) })? {
                0 => break,
                more => assert_eq!(more, 1),
            }
            // SAFETY: the library ends the name with a zero byte.
            let name = unsafe { CStr::from_ptr(entry.name.as_ptr()) };
            entries.push((name.to_owned(), attr_of(&entry.attr)));
        }
        // SAFETY: as above.
        done(unsafe { mqrs_list_close(list) })?;
        Ok(entries)
    }

    fn last_error(&self) -> String {
        let mut text = [0u8; 1024];
        // SAFETY: the buffer is writable for its length.
        let len = unsafe { mqrs_last_error(text.as_mut_ptr().cast(), text.len()) };
        String::from_utf8_lossy(&text[..len.min(text.len() - 1)]).into_owned()
    }
}

fn attr_of(attr: &mqrs_attr) -> Attr {
    assert_eq!(attr.reserved, 0);
    Attr {
        transport: attr.transport,
        flags: attr.flags,
        maxmsg: attr.maxmsg,
        msgsize: attr.msgsize,
        curmsgs: attr.curmsgs,
        curbytes: attr.curbytes,
        mode: attr.mode,
        uid: attr.uid,
        gid: attr.gid,
        capabilities: attr.capabilities,
    }
}

fn given(message: &Outgoing) -> mqrs_msg {
    mqrs_msg {
        data: message.data.cast_mut().cast(),
        len: message.len,
        prio: message.prio,
        r#type: message.kind,
        ..mqrs_msg::default()
    }
}

fn asked(request: &Request) -> mqrs_msg {
    mqrs_msg {
        data: request.data.cast(),
        cap: request.cap,
        prio: request.prio,
        r#type: request.kind,
        sequence: request.sequence,
        // Only outputs, which shows when they are written.
        len: 7_777,
        sender_pid: 7,
        state: 7,
        sent_ns: 7,
        ..mqrs_msg::default()
    }
}

/// What a struct says of the message that it was filled with.
fn told(m: &mqrs_msg, before: &mqrs_msg) -> Incoming {
    assert_eq!((m.data, m.cap), (before.data, before.cap), "the buffer is the caller's");
    Incoming {
        len: m.len,
        prio: m.prio,
        kind: m.r#type,
        sequence: m.sequence,
        sent_ns: m.sent_ns,
        sender_pid: m.sender_pid,
        sender_uid: m.sender_uid,
        state: m.state,
    }
}

fn assert_untouched(m: &mqrs_msg, before: &mqrs_msg) {
    let all = |m: &mqrs_msg| {
        let who = (m.sender_pid, m.sender_uid, m.state, m.sent_ns);
        ((m.data, m.cap), m.len, m.prio, m.r#type, m.sequence, who)
    };
    assert_eq!(all(m), all(before), "what received no message was written");
}

// The handle is open and every pointer valid in all that follows.
impl Handle for Open {
    fn name(&self) -> CString {
        // SAFETY: as above; the name is a C string as long as the handle is open.
        unsafe { CStr::from_ptr(mqrs_name(self.0)) }.to_owned()
    }

    fn send(&self, message: &[u8], prio: u32, wait: Wait) -> Result<()> {
        let (data, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: as above.
        done(unsafe {
            match wait {
                Wait::Plain => mqrs_send(self.0, data, len, prio),
                Wait::For(ns) => mqrs_timedsend(self.0, data, len, prio, ns),
                Wait::Until(clock, ns) => mqrs_send_until(self.0, data, len, prio, clock, ns),
            }
        })
    }

    fn receive(&self, buffer: &mut [u8], wait: Wait) -> Result<(usize, u32)> {
        let (data, cap) = (buffer.as_mut_ptr().cast(), buffer.len());
        let (prio, len) = output(|prio| {
            // SAFETY: as above.
            length(unsafe {
                match wait {
                    Wait::Plain => mqrs_receive(self.0, data, cap, prio),
                    Wait::For(ns) => mqrs_timedreceive(self.0, data, cap, ns, prio),
                    Wait::Until(clock, ns) => {
                        mqrs_receive_until(self.0, data, cap, clock, ns, prio)
                    }
                }
            })
        })?;
        Ok((len, prio))
    }

    fn send_message(&self, message: &Outgoing, timeout: i64) -> Result<()> {
        let m = given(message);
        // SAFETY: as above.
        done(unsafe { mqrs_sendmsg(self.0, &m, size_of_val(&m), message.flags, timeout) })
    }

    fn receive_message(&self, request: &Request, timeout: i64) -> Result<Incoming> {
        let before = asked(request);
        let mut m = before;
        // SAFETY: as above.
        let len = length(unsafe {
            mqrs_recvmsg(self.0, &mut m, size_of_val(&m), request.flags, timeout)
        });
        match len {
            Ok(len) => {
                assert_eq!(m.len, len);
                Ok(told(&m, &before))
            }
            Err(errno) => {
                assert_untouched(&m, &before);
                Err(errno)
            }
        }
    }

    fn send_batch(&self, messages: &[Outgoing], timeout: i64) -> Result<usize> {
        let v: Vec<_> = messages.iter().map(given).collect();
        let flags = messages.first().map_or(0, |message| message.flags);
        // SAFETY: as above.
        length(unsafe {
            mqrs_sendmmsg(self.0, v.as_ptr(), size_of::<mqrs_msg>(), v.len(), flags, timeout)
        })
    }

    fn receive_batch(&self, requests: &[Request], timeout: i64) -> Result<Vec<Incoming>> {
        let before: Vec<_> = requests.iter().map(asked).collect();
        let mut v = before.clone();
        let flags = requests.first().map_or(0, |request| request.flags);
        // SAFETY: as above.
        let count = length(unsafe {
            mqrs_recvmmsg(self.0, v.as_mut_ptr(), size_of::<mqrs_msg>(), v.len(), flags, timeout)
        });
        let got = count.unwrap_or(0);
        v.iter().zip(&before).skip(got).for_each(|(m, before)| assert_untouched(m, before));
        count?;
        Ok(v.iter().zip(&before).take(got).map(|(m, before)| told(m, before)).collect())
    }

    fn reserve(&self, len: usize, timeout: i64) -> Result<*mut u8> {
        // SAFETY: as above.
        let (slot, ()) = output(|out| done(unsafe { mqrs_reserve(self.0, len, timeout, out) }))?;
        Ok(slot.cast())
    }

    fn commit(&self, slot: *mut u8, len: usize, prio: u32, timeout: i64) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_timedcommit(self.0, slot.cast(), len, prio, timeout) })
    }

    fn abort(&self, slot: *mut u8) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_abort(self.0, slot.cast()) })
    }

    fn acquire(&self, timeout: i64) -> Result<(*const u8, usize, u32)> {
        let (data, (prio, len)) = output(|data| {
            // SAFETY: as above.
            output(|prio| length(unsafe { mqrs_acquire(self.0, timeout, data, prio) }))
        })?;
        Ok((data.cast(), len, prio))
    }

    fn release(&self, data: *const u8) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_release(self.0, data.cast()) })
    }

    fn requeue(&self, data: *const u8) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_requeue(self.0, data.cast()) })
    }

    fn attr(&self) -> Result<Attr> {
        // SAFETY: as above.
        let (attr, ()) =
            output(|out| done(unsafe { mqrs_getattr(self.0, out, size_of::<mqrs_attr>()) }))?;
        Ok(attr_of(&attr))
    }

    fn stats(&self) -> Result<Stats> {
        // SAFETY: as above.
        let (stats, ()) =
            output(|out| done(unsafe { mqrs_getstats(self.0, out, size_of::<mqrs_stats>()) }))?;
        assert_eq!(stats.reserved, 0);
        Ok(Stats {
            sent: stats.sent,
            received: stats.received,
            dropped: stats.dropped,
            recoveries: stats.recoveries,
            max_curmsgs: stats.max_curmsgs,
            blocked_senders: stats.blocked_senders,
            blocked_receivers: stats.blocked_receivers,
            users: stats.users,
            last_send_pid: stats.last_send_pid,
            last_receive_pid: stats.last_receive_pid,
            last_send_ns: stats.last_send_ns,
            last_receive_ns: stats.last_receive_ns,
        })
    }

    fn shutdown(&self) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_shutdown(self.0) })
    }

    fn set_nonblock(&self, on: bool) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_set_nonblock(self.0, on.into()) })
    }

    fn set_maxbytes(&self, bytes: u64) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_set_maxbytes(self.0, bytes) })
    }

    fn set_owner(&self, mode: u32, uid: u32, gid: u32) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_set_owner(self.0, mode, uid, gid) })
    }

    fn dup_fd(&self) -> Result<i32> {
        // SAFETY: as above.
        number(unsafe { mqrs_dup_fd(self.0) })
    }

    fn fd(&self) -> Result<i32> {
        // SAFETY: as above.
        number(unsafe { mqrs_fd(self.0) })
    }

    fn notify_signal_as(&self, signo: i32, value: isize, flags: u64) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_notify_signal(self.0, signo, value, flags) })
    }

    fn notify_callback(&self, function: Callback, user: *mut c_void) -> Result<()> {
        // SAFETY: as above; the two types differ in what a pointer points to, which is the
        // same to a call.
        done(unsafe {
            let function = std::mem::transmute::<
                Callback,
                unsafe extern "C" fn(*mut mqrs_queue, *mut c_void),
            >(function);
            mqrs_notify_callback(self.0, Some(function), user, 0)
        })
    }

    fn notify_cancel(&self) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_notify_cancel(self.0) })
    }

    fn cancel(&self) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_cancel(self.0) })
    }

    fn set_cancelled(&self, on: bool) -> Result<()> {
        // SAFETY: as above.
        done(unsafe { mqrs_set_cancelled(self.0, on.into()) })
    }

    fn wait(&self, events: u32, timeout: i64) -> Result<u32> {
        let mut item = mqrs_wait_item { queue: self.0, events, revents: 77 };
        // SAFETY: as above.
        let count = number(unsafe { mqrs_wait(&mut item, size_of_val(&item), 1, timeout) });
        let count = count.inspect_err(|_| {
            assert_eq!(item.revents, 77, "a failed call wrote its output");
        })?;
        assert_eq!(count, i32::from(item.revents != 0));
        Ok(item.revents)
    }

    fn raw(&self) -> *mut mqrs_queue {
        self.0
    }
}
