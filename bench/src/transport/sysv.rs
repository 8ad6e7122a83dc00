//! The kernel's System V queues: sysvipc(7). Their message types stand in for priorities.

use super::{End, Role, Spec, Transport, Waiting, checked, errno, whole};
use libc::{c_int, c_long};
use std::{io, mem};

/// The type that stands before each message.
const TYPE: usize = size_of::<c_long>();

/// Removes the queue.
pub struct SysV {
    id: c_int,
    flags: c_int,
    levels: u32,
    size: usize,
}

/// The queue in use.
pub struct Id {
    id: c_int,
    flags: c_int,
    levels: u32,
    /// A type and a message, as the kernel wants them. So each message is copied once
    /// more than a program would that makes it here.
    message: Box<[u8]>,
}

impl Transport for SysV {
    type End = Id;

    fn create(spec: &Spec) -> io::Result<SysV> {
        // SAFETY: touches no memory.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, libc::IPC_CREAT | 0o600) };
        checked(id as isize, errno)?;
        let flags = if spec.waiting == Waiting::Never { libc::IPC_NOWAIT } else { 0 };
        let queue = SysV { id, flags, levels: spec.levels, size: spec.size };
        // SAFETY: numbers only, so all zeros are a value; the calls read and write one.
        unsafe {
            let mut settings: libc::msqid_ds = mem::zeroed();
            checked(libc::msgctl(id, libc::IPC_STAT, &mut settings) as isize, errno)?;
            settings.msg_qbytes = (spec.depth * spec.size) as libc::msglen_t;
            let set = checked(libc::msgctl(id, libc::IPC_SET, &mut settings) as isize, errno);
            set.map_err(|_| io::Error::other("beyond kernel.msgmnb"))?;
        }
        Ok(queue)
    }

    fn open(&self, _: Role) -> io::Result<Id> {
        let message = vec![0; TYPE + self.size].into();
        Ok(Id { id: self.id, flags: self.flags, levels: self.levels, message })
    }
}

impl Drop for SysV {
    fn drop(&mut self) {
        // SAFETY: our own queue, and no argument.
        unsafe { libc::msgctl(self.id, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

impl End for Id {
    #[inline]
    fn send(&mut self, message: &[u8], priority: u32) -> io::Result<()> {
        // The lowest type is received first, and 0 is none.
        let kind = c_long::from(self.levels - priority.min(self.levels - 1));
        self.message[..TYPE].copy_from_slice(&kind.to_ne_bytes());
        self.message[TYPE..].copy_from_slice(message);
        let (start, len) = (self.message.as_ptr().cast(), message.len());
        // SAFETY: a type, and len bytes to read.
        let result = unsafe { libc::msgsnd(self.id, start, len, self.flags) };
        checked(result as isize, errno).map(drop)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        // Any type, or the lowest of those that there are.
        let kind = if self.levels == 1 { 0 } else { -c_long::from(self.levels) };
        let (start, room) = (self.message.as_mut_ptr().cast(), message.len());
        // SAFETY: a type, and so many bytes to write.
        let len = unsafe { libc::msgrcv(self.id, start, room, kind, self.flags) };
        let would_block = |error| if error == libc::ENOMSG { libc::EAGAIN } else { error };
        whole(checked(len, || would_block(errno()))?, room)?;
        message.copy_from_slice(&self.message[TYPE..]);
        Ok(())
    }
}
