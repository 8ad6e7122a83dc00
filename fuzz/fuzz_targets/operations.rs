//! Rows of calls through the C interface, each compared with a queue that is plain to see:
//! a list for each priority.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mqueue_fuzz::guard::Buffer;
use mqueue_rs::*;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;
use std::mem::size_of;
use std::ptr::{null, null_mut};

const NAME: &std::ffi::CStr = c"/operations";
const MSGSIZE_MAX: usize = 300;

#[derive(Arbitrary, Debug)]
enum Operation {
    Send {
        handle: u8,
        len: u16,
        prio: Priority,
        wait: Wait,
    },
    Receive {
        handle: u8,
        cap: u16,
        wait: Wait,
    },
    /// Several at once, so that queues become full and empty.
    Fill {
        handle: u8,
        prio: Priority,
    },
    Drain {
        handle: u8,
    },
    Sendall {
        handle: u8,
        len: u16,
        prio: Priority,
    },
    Look {
        handle: u8,
    },
    Register {
        handle: u8,
    },
    Cancel {
        handle: u8,
    },
    Reopen {
        handle: u8,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Priority {
    /// Mostly one, as in a lane.
    Usual,
    Few(u8),
    Any(u16),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wait {
    /// The call's own form: the handles are non-blocking.
    Plain,
    No,
    /// A deadline that has passed.
    Past,
}

impl Priority {
    fn number(self) -> u32 {
        match self {
            Priority::Usual => 3,
            Priority::Few(number) => u32::from(number % 5),
            Priority::Any(number) => u32::from(number),
        }
    }
}

#[derive(Default)]
struct Model {
    maxmsg: usize,
    msgsize: usize,
    /// The messages of each priority, oldest first.
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    /// The handle that is registered for the next arrival.
    registrant: Option<usize>,
}

impl Model {
    fn count(&self) -> usize {
        self.messages.values().map(VecDeque::len).sum()
    }

    fn bytes(&self) -> usize {
        self.messages.values().flatten().map(Vec::len).sum()
    }

    fn send(&mut self, message: &[u8], prio: u32) -> c_int {
        if prio > 32767 {
            return -libc::EINVAL;
        }
        if message.len() > self.msgsize {
            return -libc::EMSGSIZE;
        }
        if self.count() == self.maxmsg {
            return -libc::EAGAIN;
        }
        if self.count() == 0 {
            self.registrant = None;
        }
        self.messages.entry(prio).or_default().push_back(message.to_vec());
        0
    }

    fn receive(&mut self, cap: usize) -> Result<(Vec<u8>, u32), c_int> {
        let Some(mut best) = self.messages.last_entry() else { return Err(-libc::EAGAIN) };
        let prio = *best.key();
        match best.get_mut().pop_front() {
            Some(message) if message.len() <= cap => {
                if best.get().is_empty() {
                    best.remove();
                }
                Ok((message, prio))
            }
            Some(message) => {
                best.get_mut().push_front(message);
                Err(-libc::EMSGSIZE)
            }
            None => unreachable!("no list is empty"),
        }
    }
}

/// The queue itself, through three handles.
struct Subject {
    handles: [*mut mqrs_queue; 3],
    buffer: Buffer,
    sent: u64,
}

fn open(options: Option<&mqrs_options>) -> *mut mqrs_queue {
    let mut queue = null_mut();
    let oflag = libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK;
    let (at, size) = options.map_or((null(), 0), |it| (&raw const *it, size_of::<mqrs_options>()));
    // SAFETY: a C string, a struct of that size or none, and a place for the handle.
    assert_eq!(unsafe { mqrs_open(NAME.as_ptr(), oflag, at, size, &mut queue) }, 0);
    queue
}

impl Subject {
    fn new(options: &mqrs_options) -> Subject {
        let handles = [open(Some(options)), open(None), open(None)];
        Subject { handles, buffer: Buffer::new(MSGSIZE_MAX + 100), sent: 0 }
    }

    fn handle(&self, number: u8) -> *mut mqrs_queue {
        self.handles[usize::from(number) % self.handles.len()]
    }

    /// A message like no other.
    fn message(&mut self, len: usize) -> Vec<u8> {
        self.sent += 1;
        let mut message = vec![self.sent as u8; len];
        let number = self.sent.to_ne_bytes();
        let both = len.min(number.len());
        message[..both].copy_from_slice(&number[..both]);
        message
    }

    fn send(&mut self, handle: u8, message: &[u8], prio: u32, wait: Wait) -> c_int {
        let (queue, at, len) = (self.handle(handle), message.as_ptr().cast(), message.len());
        // SAFETY: a handle, and `len` readable bytes.
        unsafe {
            match wait {
                Wait::Plain => mqrs_send(queue, at, len, prio),
                Wait::No => mqrs_timedsend(queue, at, len, prio, 0),
                Wait::Past => mqrs_send_until(queue, at, len, prio, libc::CLOCK_REALTIME, 1),
            }
        }
    }

    fn receive(&mut self, handle: u8, cap: usize, wait: Wait) -> Result<(Vec<u8>, u32), c_int> {
        let queue = self.handle(handle);
        let at = self.buffer.blank(cap);
        let mut prio = u32::MAX;
        // SAFETY: a handle, `cap` writable bytes, and a place for the priority.
        let got = unsafe {
            match wait {
                Wait::Plain => mqrs_receive(queue, at.cast(), cap, &mut prio),
                Wait::No => mqrs_timedreceive(queue, at.cast(), cap, 0, &mut prio),
                Wait::Past => {
                    let clock = libc::CLOCK_MONOTONIC;
                    mqrs_receive_until(queue, at.cast(), cap, clock, 1, &mut prio)
                }
            }
        };
        self.buffer.check(cap, got.max(0) as usize);
        if got < 0 {
            assert_eq!(prio, u32::MAX, "an output was written on failure");
            return Err(got as c_int);
        }
        // SAFETY: as many bytes were written there.
        let message = unsafe { std::slice::from_raw_parts(at, got as usize) };
        Ok((message.to_vec(), prio))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        for queue in self.handles {
            // SAFETY: a handle, used no more.
            assert_eq!(unsafe { mqrs_close(queue) }, 0);
        }
        // SAFETY: a C string.
        assert_eq!(unsafe { mqrs_unlink(NAME.as_ptr()) }, 0);
    }
}

fn compare(maxmsg: u8, msgsize: u16, operations: Vec<Operation>) {
    let (maxmsg, msgsize) = (u64::from(maxmsg % 40) + 1, u64::from(msgsize) % 300 + 1);
    let options = mqrs_options { maxmsg, msgsize, ..mqrs_options::default() };
    let mut subject = Subject::new(&options);
    let mut model =
        Model { maxmsg: maxmsg as usize, msgsize: msgsize as usize, ..Model::default() };
    for operation in operations {
        match operation {
            Operation::Send { handle, len, prio, wait } => {
                let message = subject.message(usize::from(len) % (MSGSIZE_MAX + 20));
                let expected = model.send(&message, prio.number());
                assert_eq!(subject.send(handle, &message, prio.number(), wait), expected);
            }
            Operation::Receive { handle, cap, wait } => {
                let cap = usize::from(cap) % (MSGSIZE_MAX + 20);
                assert_eq!(subject.receive(handle, cap, wait), model.receive(cap));
            }
            Operation::Fill { handle, prio } => loop {
                let message = subject.message(3.min(msgsize as usize));
                let expected = model.send(&message, prio.number());
                assert_eq!(subject.send(handle, &message, prio.number(), Wait::Plain), expected);
                if expected != 0 {
                    break;
                }
            },
            Operation::Drain { handle } => loop {
                let expected = model.receive(MSGSIZE_MAX);
                assert_eq!(subject.receive(handle, MSGSIZE_MAX, Wait::Plain), expected);
                if expected.is_err() {
                    break;
                }
            },
            Operation::Sendall { handle, len, prio } => {
                let data = subject.message(usize::from(len) % 4000);
                let mut expected = 0;
                for part in data.chunks(msgsize as usize) {
                    let error = model.send(part, prio.number());
                    if error == 0 {
                        expected += part.len() as isize;
                        continue;
                    }
                    if expected == 0 {
                        expected = error as isize;
                    }
                    break;
                }
                if data.is_empty() && prio.number() > 32767 {
                    expected = -libc::EINVAL as isize;
                }
                let queue = subject.handle(handle);
                // SAFETY: a handle, and readable bytes.
                let sent =
                    unsafe { mqrs_sendall(queue, data.as_ptr().cast(), data.len(), prio.number()) };
                assert_eq!(sent, expected);
            }
            Operation::Look { handle } => {
                let mut attr = mqrs_attr::default();
                let size = size_of::<mqrs_attr>();
                // SAFETY: a handle, and a struct of that size.
                assert_eq!(unsafe { mqrs_getattr(subject.handle(handle), &mut attr, size) }, 0);
                let expected = (maxmsg, msgsize, model.count() as u64, model.bytes() as u64);
                assert_eq!((attr.maxmsg, attr.msgsize, attr.curmsgs, attr.curbytes), expected);
            }
            Operation::Register { handle } => {
                let expected = if model.registrant.is_some() { -libc::EBUSY } else { 0 };
                model.registrant.get_or_insert(usize::from(handle) % 3);
                // SAFETY: a handle; no signal is sent.
                let made = unsafe { mqrs_notify_signal(subject.handle(handle), 0, 0, 0) };
                assert_eq!(made, expected);
            }
            Operation::Cancel { handle } => {
                model.registrant = model.registrant.filter(|&it| it != usize::from(handle) % 3);
                // SAFETY: a handle.
                assert_eq!(unsafe { mqrs_notify_cancel(subject.handle(handle)) }, 0);
            }
            Operation::Reopen { handle } => {
                let number = usize::from(handle) % 3;
                model.registrant = model.registrant.filter(|&it| it != number);
                // SAFETY: a handle, replaced by another at once.
                assert_eq!(unsafe { mqrs_close(subject.handles[number]) }, 0);
                subject.handles[number] = open(None);
            }
        }
    }
}

fuzz_target!(init: mqueue_fuzz::begin(), |input: (u8, u16, Vec<Operation>)| {
    compare(input.0, input.1, input.2);
});
