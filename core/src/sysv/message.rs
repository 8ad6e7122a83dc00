//! A message's way into the kernel and out of it.
//!
//! msgsnd and msgrcv want the type and the bytes in one piece, so every message goes through
//! a bounce buffer: on the stack up to 8 KiB, above in pages mapped for the call. Nothing is
//! allocated from the heap.
//!
//! Source: msgop(2).

use super::SysvQueue;
use super::limits;
use super::wait::{Patience, Try};
use crate::attr::PRIO_MAX;
use crate::deadline::Wait;
use crate::error::{Errno, Result};
use crate::report::{explain, say};
use crate::sync::Ordering::Relaxed;
use crate::sys::map;
use crate::sys::msg::{self, TYPE_SIZE};
use crate::transport::{Entered, not_here};
use crate::waiting::{Side, interrupted};
use core::ffi::c_long;
use core::mem::MaybeUninit;

/// Longest message for which the stack has room.
const SMALL: usize = 8192;

/// Receive: any message, those of the highest priority first.
pub(super) const BY_PRIORITY: c_long = -c_long::MAX;

/// The type that stands for priority 0.
const LOWEST: c_long = PRIO_MAX as c_long + 1;

/// The type that stands for a priority: the more urgent the lower, and never 0.
pub(super) fn kind_of(prio: u32) -> c_long {
    LOWEST - prio.min(PRIO_MAX) as c_long
}

/// The priority for which a type stands; 0 for types of other programs beyond.
pub(super) fn prio_of(kind: c_long) -> u32 {
    if (1..=LOWEST).contains(&kind) { (LOWEST - kind) as u32 } else { 0 }
}

/// Which message is wanted, and how.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    /// As msgrcv has it; with MSG_COPY a position.
    pub kind: c_long,
    /// MSG_EXCEPT, MSG_COPY.
    pub flags: i32,
    /// A message that is too long is cut.
    pub cut: bool,
}

impl Ask {
    /// The next message in the order of priorities.
    pub(super) const NEXT: Ask = Ask { kind: BY_PRIORITY, flags: 0, cut: false };

    fn leaves(self) -> bool {
        self.flags & msg::MSG_COPY != 0
    }
}

/// What msgrcv gave.
enum Got {
    /// A message of so many bytes and this type.
    Message(usize, c_long),
    /// It is longer than the room, and stays.
    TooLong,
}

#[repr(C)]
struct Small {
    kind: c_long,
    bytes: [MaybeUninit<u8>; SMALL],
}

/// Do `work` with room for a type and `len` bytes.
fn with_room<R>(len: usize, work: impl FnOnce(*mut c_long) -> Result<R>) -> Result<R> {
    if len <= SMALL {
        let mut small = MaybeUninit::<Small>::uninit();
        return work(small.as_mut_ptr().cast());
    }
    let mapping = map::map_zeros(TYPE_SIZE.saturating_add(len)).map_err(|_| {
        say(libc::ENOMEM, "there is not enough memory to pass so long a message on")
    })?;
    work(mapping.base().cast())
}

/// The bytes behind the type.
fn bytes(room: *mut c_long) -> *mut u8 {
    room.wrapping_add(1).cast()
}

impl SysvQueue {
    /// Send one message; the arguments but for the length are checked.
    ///
    /// # Safety
    /// `message` is null or readable for `len` bytes; null only if `len` is 0.
    pub(super) unsafe fn put(
        &self,
        entered: Entered,
        message: *const u8,
        len: usize,
        kind: c_long,
        wait: Wait,
    ) -> Result<()> {
        self.check_length(len)?;
        self.check_alive()?;
        let mut patience = Patience::of(entered, self.access.wait_for(wait));
        with_room(len, |room| {
            // SAFETY: there is room for both.
            unsafe {
                room.write(kind);
                if len > 0 {
                    bytes(room).copy_from_nonoverlapping(message, len);
                }
            }
            self.wait_for(Side::Sender, true, &mut patience, |how| {
                // SAFETY: the room holds a type and `len` bytes.
                unsafe { self.try_put(room, len, how) }
            })
        })
    }

    /// # Safety
    /// `room` is readable for a type and `len` bytes.
    unsafe fn try_put(&self, room: *const c_long, len: usize, how: Try) -> Result<Option<()>> {
        // SAFETY: granted by the caller.
        match unsafe { msg::send(self.id, room, len, how.flag()) } {
            Ok(()) => {
                self.bells.of(self.id).receivers.wake_all();
                Ok(Some(()))
            }
            Err(Errno(libc::EAGAIN)) => self.check_room(len).map(|()| None),
            Err(Errno(libc::EINVAL)) => {
                self.ask_length(len)?;
                Err(say(libc::EINVAL, "the kernel refuses the message"))
            }
            Err(error) => Err(self.explained(error)),
        }
    }

    /// Receive one message; gives its length and type.
    ///
    /// # Safety
    /// `buf` is null or writable for `cap` bytes; null only if `cap` is 0.
    pub(super) unsafe fn take(
        &self,
        entered: Entered,
        ask: Ask,
        buf: *mut u8,
        cap: usize,
        wait: Wait,
    ) -> Result<(usize, c_long)> {
        self.check_alive()?;
        let mut patience = Patience::of(entered, self.access.wait_for(wait));
        let most = if ask.cut { isize::MAX as usize } else { cap };
        let mut space = most.min(SMALL);
        loop {
            let got = with_room(space, |room| {
                let got = self.wait_for(Side::Receiver, !ask.leaves(), &mut patience, |how| {
                    // SAFETY: there is room for a type and `space` bytes.
                    unsafe { self.try_take(ask, room, space, how) }
                })?;
                if let Got::Message(len @ 1.., _) = got {
                    // SAFETY: the kernel has written `len` bytes there; the caller granted
                    // `cap` bytes.
                    unsafe { buf.copy_from_nonoverlapping(bytes(room), len.min(cap)) };
                }
                Ok(got)
            })?;
            match got {
                Got::Message(len, kind) => return Ok((len, kind)),
                Got::TooLong if space >= most => return Err(too_big(cap)),
                // As many bytes as there are in all are enough, if nobody sends meanwhile.
                Got::TooLong => {
                    let queued = self.status().map_or(0, |status| status.bytes);
                    let queued = usize::try_from(queued).unwrap_or(most);
                    space = queued.max(space.saturating_mul(2)).min(most);
                }
            }
        }
    }

    /// # Safety
    /// `room` is writable for a type and `space` bytes.
    unsafe fn try_take(
        &self,
        ask: Ask,
        room: *mut c_long,
        space: usize,
        how: Try,
    ) -> Result<Option<Got>> {
        // SAFETY: granted by the caller.
        match unsafe { msg::receive(self.id, room, space, ask.kind, ask.flags | how.flag()) } {
            Ok(len) => {
                if !ask.leaves() {
                    self.bells.of(self.id).senders.wake_all();
                }
                // SAFETY: the kernel has written the type.
                Ok(Some(Got::Message(len.min(space), unsafe { room.read() })))
            }
            Err(Errno(libc::E2BIG)) => Ok(Some(Got::TooLong)),
            Err(Errno(libc::ENOMSG | libc::EAGAIN)) => Ok(None),
            Err(Errno(libc::ENOSYS)) if ask.leaves() => Err(not_here(
                "this kernel cannot show messages (it is built without CONFIG_CHECKPOINT_RESTORE)",
            )),
            Err(Errno(libc::EINVAL)) => {
                self.status()?;
                Err(say(libc::EINVAL, "the kernel refuses the receive"))
            }
            Err(error) => Err(self.explained(error)),
        }
    }

    /// What other errors of msgsnd and msgrcv mean.
    fn explained(&self, error: Errno) -> Errno {
        match error.0 {
            libc::EIDRM => self.gone(),
            libc::EINTR => interrupted(),
            libc::EACCES => say(libc::EACCES, "the queue's mode does not allow this direction"),
            libc::ENOMEM => say(libc::ENOMEM, "the kernel has not enough memory for the message"),
            _ => explain(error.0, format_args!("the system call failed (errno {})", error.0)),
        }
    }

    /// Check a message's length; the kernel is asked only if it is longer than any might be.
    pub(super) fn check_length(&self, len: usize) -> Result<()> {
        if len as u64 > self.longest.load(Relaxed) {
            return self.ask_length(len);
        }
        Ok(())
    }

    /// Ask the kernel whether a message may be so long.
    fn ask_length(&self, len: usize) -> Result<()> {
        let (message, queue) = self.learn_longest()?;
        if len as u64 > message.min(queue) {
            return Err(limits::too_long(len, message, queue));
        }
        Ok(())
    }

    /// The queue has no room now: make sure that it can have.
    fn check_room(&self, len: usize) -> Result<()> {
        match self.status() {
            Ok(status) if len as u64 > status.most_bytes => {
                Err(limits::too_long(len, u64::MAX, status.most_bytes))
            }
            // Without permission to look, in an older kernel, there is nothing to know.
            Ok(_) | Err(Errno(libc::EACCES)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn too_big(cap: usize) -> Errno {
    explain(
        libc::EMSGSIZE,
        format_args!("the message is longer than the buffer of {cap} bytes; it stays queued"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_urgent_a_message_the_lower_its_type() {
        assert_eq!(kind_of(0), 32768);
        assert_eq!(kind_of(PRIO_MAX), 1);
        for prio in [0, 1, 77, PRIO_MAX - 1, PRIO_MAX] {
            assert_eq!(prio_of(kind_of(prio)), prio);
        }
    }

    #[test]
    fn types_that_stand_for_no_priority_are_of_the_lowest() {
        for kind in [32769, c_long::MAX, 0, -1, c_long::MIN] {
            assert_eq!(prio_of(kind), 0);
        }
    }
}
