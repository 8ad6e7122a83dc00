//! Every C function with arguments of any value, structs of any size and content: an
//! answer, never a crash; outputs written on success only, and not a byte beyond them.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use mqueue_fuzz::guard::Buffer;
use mqueue_rs::*;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

/// Room for anything that is read or written.
const ROOM: usize = 8192;
const MSGSIZE: usize = 100;

struct Scene {
    queue: *mut mqrs_queue,
    /// Whether calls on it may wait.
    blocks: bool,
    input: Buffer,
    output: Buffer,
    /// Readable, but no handle.
    other: [u64; 64],
}

thread_local! {
    static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

/// What may be passed for a number of any kind: the edges, and anything.
fn number(u: &mut Unstructured) -> Result<u64> {
    if u.ratio(1, 3)? {
        return u.arbitrary();
    }
    let edge = 1u64.checked_shl(u.int_in_range(0..=64)?).unwrap_or(0);
    Ok(edge.wrapping_add(u.int_in_range(0..=4)?).wrapping_sub(2))
}

/// A length or a size, and as much memory of a buffer as it claims, if that can be.
fn size(u: &mut Unstructured) -> Result<(usize, usize)> {
    let size = match u.int_in_range(0..=3)? {
        0 => number(u)? as usize,
        1 => u.int_in_range(0..=MSGSIZE + 2)?,
        _ => u.int_in_range(0..=4200)?,
    };
    Ok((size, size.min(ROOM)))
}

/// Options as they may come: mostly zeros, with fields of any value.
fn fill_options(u: &mut Unstructured, at: *mut u8, room: usize) -> Result<()> {
    // SAFETY: `room` writable bytes, here and below.
    unsafe { at.write_bytes(0, room) };
    for _ in 0..u.int_in_range(0..=3)? {
        let offset = 8 * u.int_in_range(0..=6)?;
        let value = match u.int_in_range(0..=3)? {
            0 => number(u)?,
            _ => u.int_in_range(0..=300)?,
        };
        for (i, byte) in value.to_ne_bytes().into_iter().enumerate() {
            if offset + i < room {
                // SAFETY: as above.
                unsafe { at.add(offset + i).write(byte) };
            }
        }
    }
    if room > 0 && u.ratio(1, 8)? {
        // SAFETY: as above.
        unsafe { at.add(u.int_in_range(0..=room - 1)?).write(u.arbitrary()?) };
    }
    // A file of this size can be made; larger ones would only use up the memory.
    for (offset, most) in [(8, 2000), (16, 5000)] {
        if room >= offset + 8 {
            // SAFETY: as above.
            unsafe {
                let field = at.add(offset).cast::<u64>();
                let asked = field.read_unaligned();
                if (most + 1..=1 << 30).contains(&asked) {
                    field.write_unaligned(asked % most);
                }
            }
        }
    }
    Ok(())
}

fn name(u: &mut Unstructured) -> Result<*const c_char> {
    let names = [c"/calls", c"/other", c"shm:/calls", c"/a/b", c"", c"/", c"amqp://x", c"x"];
    Ok(if u.ratio(1, 16)? { null() } else { u.choose(&names)?.as_ptr() })
}

fn text(at: *const c_char) -> usize {
    assert!(!at.is_null());
    // SAFETY: a C string, as the header says.
    unsafe { CStr::from_ptr(at) }.to_bytes().len()
}

/// 0 or more is a success; an error is one that the system has, and not our own failure.
fn check(result: isize) -> bool {
    assert!(result >= -133, "{result} is no errno");
    assert!(result != -libc::ENOTRECOVERABLE as isize, "a panic was caught");
    result >= 0
}

extern "C" fn called(_: *mut mqrs_queue, _: *mut c_void) {}

impl Scene {
    fn new() -> Scene {
        Scene {
            queue: null_mut(),
            blocks: false,
            input: Buffer::new(ROOM),
            output: Buffer::new(ROOM),
            other: [0x5A5A_5A5A_5A5A_5A5A; 64],
        }
    }

    fn open(&mut self) -> *mut mqrs_queue {
        self.blocks = false;
        let oflag = libc::O_CREAT | libc::O_RDWR | libc::O_NONBLOCK;
        let size = size_of::<mqrs_options>();
        let options = mqrs_options { maxmsg: 4, msgsize: MSGSIZE as u64, ..Default::default() };
        let mut queue = null_mut();
        // SAFETY: a C string, a struct of that size, and a place for the handle.
        unsafe {
            mqrs_unlink(c"/calls".as_ptr());
            let made = mqrs_open(c"/calls".as_ptr(), oflag, &options, size, &mut queue);
            assert_eq!(made, 0);
        }
        queue
    }

    /// The queue, or what is none.
    fn handle(&mut self, u: &mut Unstructured) -> Result<*mut mqrs_queue> {
        Ok(match u.int_in_range(0..=15)? {
            13 => null_mut(),
            14 => u.int_in_range(1..=4095usize)? as *mut mqrs_queue,
            15 => self.other.as_mut_ptr().wrapping_byte_add(u.int_in_range(0..=63)?).cast(),
            _ => self.queue,
        })
    }

    /// A timeout or a deadline of any value, unless that would take too long.
    fn time(&self, u: &mut Unstructured) -> Result<i64> {
        let time = number(u)? as i64;
        Ok(if self.blocks && (time == -1 || time > 100_000) { time & 0xFFFF } else { time })
    }

    fn play(&mut self, u: &mut Unstructured) -> Result<()> {
        for _ in 0..u.int_in_range(1..=24)? {
            match u.int_in_range(0..=24)? {
                0..=4 => self.send(u)?,
                5..=8 => self.receive(u)?,
                9..=11 => self.open_any(u)?,
                12 => self.open_fd(u)?,
                13 | 14 => {
                    let queue = self.handle(u)?;
                    let (size, room) = size(u)?;
                    self.fill(u, size, room, |out, size| {
                        // SAFETY: a handle or none; `size` writable bytes or a refusal.
                        unsafe { mqrs_getattr(queue, out.cast(), size) }
                    })?;
                }
                15 | 16 => {
                    let transport = number(u)? as u32 % if u.ratio(3, 4)? { 6 } else { u32::MAX };
                    let (size, room) = size(u)?;
                    self.fill(u, size, room, |out, size| {
                        // SAFETY: as above.
                        unsafe { mqrs_getlimits(transport, out.cast(), size) }
                    })?;
                }
                17 => {
                    let (cap, room) = size(u)?;
                    let cap = cap.min(room);
                    let out = self.output.blank(cap);
                    // SAFETY: `cap` writable bytes.
                    let len = unsafe { mqrs_last_error(out.cast(), cap) };
                    self.output.check(cap, cap.min(len + 1));
                    // SAFETY: only the length is asked for.
                    assert_eq!(unsafe { mqrs_last_error(null_mut(), number(u)? as usize) }, len);
                }
                18 => {
                    let error = number(u)? as c_int;
                    assert!(text(mqrs_strerror(error)) > 0 && text(mqrs_errname(error)) > 0);
                }
                19 => self.notify(u)?,
                20 => {
                    let queue = self.handle(u)?;
                    let on = number(u)? as c_int;
                    // SAFETY: a handle or none, here and below.
                    if check(unsafe { mqrs_set_nonblock(queue, on) } as isize) {
                        self.blocks = on == 0;
                    }
                }
                21 => {
                    let queue = self.handle(u)?;
                    let (mode, uid, gid) =
                        (number(u)? as u32, number(u)? as u32, number(u)? as u32);
                    // SAFETY: as above.
                    check(unsafe { mqrs_set_owner(queue, mode, uid, gid) } as isize);
                }
                22 => {
                    let queue = self.handle(u)?;
                    // SAFETY: as above.
                    let name = unsafe { mqrs_name(queue) };
                    assert_eq!(name.is_null(), queue != self.queue);
                    // SAFETY: a C string or NULL.
                    check(unsafe { mqrs_unlink(crate::name(u)?) } as isize);
                }
                23 => {
                    let queue = self.handle(u)?;
                    // SAFETY: as above.
                    let fd = unsafe { mqrs_dup_fd(queue) };
                    if check(fd as isize) {
                        // SAFETY: a descriptor of our own.
                        unsafe { libc::close(fd) };
                    }
                }
                _ => {
                    let queue = self.handle(u)?;
                    // SAFETY: a handle that is used no more, or none.
                    let closed = check(unsafe { mqrs_close(queue) } as isize);
                    assert_eq!(closed, queue.is_null() || queue == self.queue);
                    if queue == self.queue {
                        self.queue = self.open();
                    }
                }
            }
        }
        Ok(())
    }

    /// A struct of `size` bytes is written, whole, or nothing at all.
    fn fill(
        &mut self,
        u: &mut Unstructured,
        size: usize,
        room: usize,
        call: impl FnOnce(*mut u8, usize) -> c_int,
    ) -> Result<()> {
        let out = self.output.blank(room);
        let is_written = check(call(if u.ratio(1, 16)? { null_mut() } else { out }, size) as isize);
        assert!(!is_written || size <= room);
        self.output.check(room, if is_written { size } else { 0 });
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured) -> Result<()> {
        let queue = self.handle(u)?;
        let (len, room) = size(u)?;
        let prio = number(u)? as u32 % if u.ratio(7, 8)? { 32768 } else { u32::MAX };
        let message = self.input.blank(room);
        let message: *const c_void = if u.ratio(1, 16)? { null() } else { message.cast() };
        let time = self.time(u)?;
        let clock = if u.ratio(3, 4)? { u.int_in_range(0..=8)? } else { number(u)? as c_int };
        // SAFETY: a handle or none; `len` readable bytes, or more than any message has.
        let result = unsafe {
            match u.int_in_range(0..=3)? {
                0 if !self.blocks => mqrs_send(queue, message, len, prio) as isize,
                1 => mqrs_send_until(queue, message, len, prio, clock, time) as isize,
                2 if !self.blocks && (len == room || len > isize::MAX as usize) => {
                    mqrs_sendall(queue, message, len, prio)
                }
                _ => mqrs_timedsend(queue, message, len, prio, time) as isize,
            }
        };
        check(result);
        self.input.check(room, 0);
        Ok(())
    }

    fn receive(&mut self, u: &mut Unstructured) -> Result<()> {
        let queue = self.handle(u)?;
        let (cap, room) = size(u)?;
        let buffer = self.output.blank(room);
        let buffer: *mut c_void = if u.ratio(1, 16)? { null_mut() } else { buffer.cast() };
        let mut prio = [u32::MAX; 2];
        // Anywhere: the library need not be given an aligned place.
        let at = prio.as_mut_ptr().wrapping_byte_add(u.int_in_range(0..=4)?);
        let at = if u.ratio(1, 8)? { null_mut() } else { at };
        let time = self.time(u)?;
        let clock = if u.ratio(3, 4)? { u.int_in_range(0..=8)? } else { number(u)? as c_int };
        // SAFETY: a handle or none; `cap` writable bytes, or more than any message has.
        let result = unsafe {
            match u.int_in_range(0..=2)? {
                0 if !self.blocks => mqrs_receive(queue, buffer, cap, at),
                1 => mqrs_receive_until(queue, buffer, cap, clock, time, at),
                _ => mqrs_timedreceive(queue, buffer, cap, time, at),
            }
        };
        if check(result) {
            assert!(result as usize <= MSGSIZE.min(cap));
            self.output.check(room, result as usize);
        } else {
            self.output.check(room, 0);
            assert_eq!(prio, [u32::MAX; 2]);
        }
        Ok(())
    }

    fn open_any(&mut self, u: &mut Unstructured) -> Result<()> {
        let (size, room) = size(u)?;
        let options = self.input.blank(room);
        fill_options(u, options, room)?;
        let options = if u.ratio(1, 8)? { null() } else { options.cast_const() };
        let usual = libc::O_CREAT | libc::O_RDWR;
        let oflag = if u.ratio(3, 4)? { usual } else { number(u)? as c_int };
        let untouched = self.other.as_mut_ptr().cast();
        let mut out = untouched;
        let at = if u.ratio(1, 16)? { null_mut() } else { &raw mut out };
        let name = name(u)?;
        // SAFETY: a C string or NULL; `size` readable bytes, or more than any struct has.
        if check(unsafe { mqrs_open(name, oflag, options.cast(), size, at) } as isize) {
            assert!(out != untouched);
            // SAFETY: a handle, used no more; two C strings.
            unsafe {
                assert_eq!(mqrs_close(out), 0);
                mqrs_unlink(c"/other".as_ptr());
            }
        } else {
            assert_eq!(out, untouched);
        }
        Ok(())
    }

    fn open_fd(&mut self, u: &mut Unstructured) -> Result<()> {
        let oflag = if u.ratio(3, 4)? { u.int_in_range(0..=3)? } else { number(u)? as c_int };
        let flags = if u.ratio(3, 4)? { 0 } else { number(u)? };
        let fd = match u.int_in_range(0..=3)? {
            // Not those that are the library's own.
            0 => (number(u)? as c_int) | 1 << 30,
            1 => -1,
            // SAFETY: a handle.
            _ => unsafe { mqrs_dup_fd(self.queue) },
        };
        let mut out = null_mut();
        // SAFETY: a descriptor or none, and a place for the handle.
        if check(unsafe { mqrs_open_fd(fd, oflag, flags, &mut out) } as isize) {
            // SAFETY: a handle, used no more.
            assert_eq!(unsafe { mqrs_close(out) }, 0);
        } else {
            assert!(out.is_null());
            // SAFETY: still ours, if it is one.
            unsafe { libc::close(fd) };
        }
        Ok(())
    }

    fn notify(&mut self, u: &mut Unstructured) -> Result<()> {
        let queue = self.handle(u)?;
        let flags = if u.ratio(7, 8)? { 0 } else { number(u)? };
        let user = number(u)? as usize as *mut c_void;
        let signo = match number(u)? as c_int {
            // Those would end this process.
            1..=64 => libc::SIGURG,
            other => other,
        };
        // SAFETY: a handle or none; a function that touches nothing, or NULL.
        check(unsafe {
            match u.int_in_range(0..=3)? {
                0 => mqrs_notify_signal(queue, signo, user.addr() as isize, flags),
                1 => mqrs_notify_callback(queue, None, user, flags),
                2 => mqrs_notify_callback(queue, Some(called), user, flags),
                _ => mqrs_notify_cancel(queue),
            }
        } as isize);
        Ok(())
    }
}

fuzz_target!(init: mqueue_fuzz::begin(), |choices: &[u8]| {
    SCENE.with_borrow_mut(|scene| {
        let scene = scene.get_or_insert_with(Scene::new);
        scene.queue = scene.open();
        let _ = scene.play(&mut Unstructured::new(choices));
        // Each input alone; and a leak checker does not see what the registrations hang on.
        // SAFETY: a handle, used no more.
        assert_eq!(unsafe { mqrs_close(scene.queue) }, 0);
    });
});
