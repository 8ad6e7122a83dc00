//! ZeroMQ over ipc: sockets of type PUSH and PULL. Every receiver has an address of its own,
//! and senders deal their messages out to all of them in turn. So the bound is soft (each
//! pair of processes has its own, half on either side), and the order holds for each such
//! pair only.
//!
//! Source: zmq_setsockopt(3), zmq_ipc(7).

use super::{End, Role, Spec, Transport, Waiting, cannot, checked, errno, new_name, whole};
use libc::{c_char, c_int, c_void, size_t};
use std::ffi::CString;
use std::{io, ptr};

// The declarations of zmq.h.
#[link(name = "zmq")]
unsafe extern "C" {
    fn zmq_ctx_new() -> *mut c_void;
    fn zmq_socket(context: *mut c_void, kind: c_int) -> *mut c_void;
    fn zmq_setsockopt(
        socket: *mut c_void,
        option: c_int,
        value: *const c_void,
        len: size_t,
    ) -> c_int;
    fn zmq_bind(socket: *mut c_void, address: *const c_char) -> c_int;
    fn zmq_connect(socket: *mut c_void, address: *const c_char) -> c_int;
    fn zmq_send(socket: *mut c_void, message: *const c_void, len: size_t, flags: c_int) -> c_int;
    fn zmq_recv(socket: *mut c_void, message: *mut c_void, room: size_t, flags: c_int) -> c_int;
}

const PULL: c_int = 7;
const PUSH: c_int = 8;
const RECONNECT_IVL: c_int = 18;
const SNDHWM: c_int = 23;
const RCVHWM: c_int = 24;
const IMMEDIATE: c_int = 39;
const DONTWAIT: c_int = 1;

/// Only a name: whoever uses the queue makes it.
pub struct ZeroMq {
    name: CString,
    spec: Spec,
}

/// The sockets that the role needs; the others are null.
pub struct Sockets {
    push: *mut c_void,
    pull: *mut c_void,
    flags: c_int,
}

impl Transport for ZeroMq {
    type End = Sockets;

    fn create(spec: &Spec) -> io::Result<ZeroMq> {
        if spec.levels > 1 {
            return Err(cannot());
        }
        Ok(ZeroMq { name: new_name(), spec: *spec })
    }

    fn open(&self, role: Role) -> io::Result<Sockets> {
        let flags = if self.spec.waiting == Waiting::Never { DONTWAIT } else { 0 };
        let mut sockets = Sockets { push: ptr::null_mut(), pull: ptr::null_mut(), flags };
        // SAFETY: no argument.
        let context = unsafe { zmq_ctx_new() };
        if let Role::Receiver(number) = role {
            sockets.pull = self.socket(context, PULL)?;
            self.bind(sockets.pull, number)?;
        }
        if role == Role::Both {
            sockets.pull = self.socket(context, PULL)?;
            self.bind(sockets.pull, 0)?;
        }
        if !matches!(role, Role::Receiver(_)) {
            sockets.push = self.socket(context, PUSH)?;
            for number in 0..self.spec.receivers {
                let address = self.address(number)?;
                // SAFETY: an open socket and a C string.
                let result = unsafe { zmq_connect(sockets.push, address.as_ptr()) };
                checked(result as isize, errno)?;
            }
        }
        Ok(sockets)
    }
}

impl ZeroMq {
    /// In the abstract name space, so that nothing has to be removed.
    fn address(&self, receiver: usize) -> io::Result<CString> {
        Ok(CString::new(format!("ipc://@{}-{receiver}", self.name.to_string_lossy()))?)
    }

    fn bind(&self, pull: *mut c_void, receiver: usize) -> io::Result<()> {
        let address = self.address(receiver)?;
        // SAFETY: an open socket and a C string.
        checked(unsafe { zmq_bind(pull, address.as_ptr()) } as isize, errno).map(drop)
    }

    fn socket(&self, context: *mut c_void, kind: c_int) -> io::Result<*mut c_void> {
        // SAFETY: a context that lives as long as the process.
        let socket = unsafe { zmq_socket(context, kind) };
        if socket.is_null() {
            return Err(io::Error::last_os_error());
        }
        let half = self.spec.depth.div_ceil(2) as c_int;
        // A receiver that is not there yet is looked for every millisecond, and nothing is
        // sent to it before.
        for (option, value) in [(SNDHWM, half), (RCVHWM, half), (RECONNECT_IVL, 1), (IMMEDIATE, 1)]
        {
            let (value, len) = ((&raw const value).cast(), size_of::<c_int>());
            // SAFETY: an open socket, and a number of that length.
            let result = unsafe { zmq_setsockopt(socket, option, value, len) };
            checked(result as isize, errno)?;
        }
        Ok(socket)
    }
}

impl End for Sockets {
    #[inline]
    fn send(&mut self, message: &[u8], _: u32) -> io::Result<()> {
        let (start, len) = (message.as_ptr().cast(), message.len());
        // SAFETY: an open socket, or null, which is an error; len bytes to read.
        let sent = unsafe { zmq_send(self.push, start, len, self.flags) };
        whole(checked(sent as isize, errno)?, len)
    }

    #[inline]
    fn receive(&mut self, message: &mut [u8]) -> io::Result<()> {
        let (start, room) = (message.as_mut_ptr().cast(), message.len());
        // SAFETY: an open socket, or null, which is an error; so many bytes to write.
        let len = unsafe { zmq_recv(self.pull, start, room, self.flags) };
        whole(checked(len as isize, errno)?, room)
    }
}
