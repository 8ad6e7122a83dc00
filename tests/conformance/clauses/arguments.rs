//! What only C can get wrong: pointers, handles, sizes of structs; and `mqrs_sendall`.

use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::{NOWAIT, Queue, Subject, Wait};
use crate::world::need_mount;
use libc::{
    CLOCK_MONOTONIC, E2BIG, EAGAIN, EBADF, EFAULT, EINVAL, EMSGSIZE, O_CREAT, O_NONBLOCK, O_RDONLY,
    O_RDWR, O_WRONLY,
};
use mqueue_rs::*;
use std::ffi::CStr;
use std::ptr::{null, null_mut};

pub const CLAUSES: &[Clause] = clauses![C:
    no_handle_is_a_bad_one,
    what_is_no_handle_is_a_bad_one,
    to_close_no_handle_is_no_error,
    missing_pointers_are_a_fault,
    an_empty_message_needs_no_pointer,
    a_priority_that_nobody_wants_is_not_written,
    pointers_come_after_direction_and_before_length,
    a_struct_of_less_than_its_first_size_is_invalid,
    a_larger_struct_has_zeros_where_we_know_nothing,
    the_size_in_an_array_is_the_stride,
    reserved_fields_and_unknown_flags_are_refused,
    options_are_a_pointer_and_a_size_or_neither,
    a_list_goes_on_where_it_was_after_a_bad_pointer,
    all_data_is_sent_in_messages_of_the_queues_size,
    data_that_does_not_fit_is_sent_in_part,
    no_data_is_sent_in_no_message,
    the_last_error_is_of_this_thread_and_stays,
    the_last_error_is_cut_where_the_buffer_ends,
    every_error_has_a_name_and_a_text,
];

/// Every call below is with pointers that are valid, or null where that is the question.
fn is(expected: i32, result: impl Into<i64>) {
    let result = result.into();
    assert_eq!(result, -i64::from(expected), "instead of {}", crate::subject::errname(expected));
    // SAFETY: no buffer at all.
    assert!(unsafe { mqrs_last_error(null_mut(), 0) } > 0, "no sentence says why");
}

const ATTR: usize = size_of::<mqrs_attr>();
const OPTIONS: usize = size_of::<mqrs_options>();
const STATS: usize = size_of::<mqrs_stats>();
const MSG: usize = size_of::<mqrs_msg>();
const ENTRY: usize = size_of::<mqrs_entry>();

/// Every function that takes a handle refuses this one.
fn refuse_all(q: *mut mqrs_queue) {
    let mut byte = [0u8; 8];
    let data = byte.as_mut_ptr().cast();
    let mut attr = mqrs_attr::default();
    let mut stats = mqrs_stats::default();
    let mut m = mqrs_msg::default();
    unsafe extern "C" fn nothing(_: *mut mqrs_queue, _: *mut std::ffi::c_void) {}
    // SAFETY: as above.
    unsafe {
        is(EBADF, mqrs_send(q, data, 1, 0));
        is(EBADF, mqrs_timedsend(q, data, 1, 0, 0));
        is(EBADF, mqrs_send_until(q, data, 1, 0, CLOCK_MONOTONIC, 0));
        is(EBADF, mqrs_sendall(q, data, 1, 0) as i64);
        is(EBADF, mqrs_receive(q, data, 8, null_mut()) as i64);
        is(EBADF, mqrs_timedreceive(q, data, 8, 0, null_mut()) as i64);
        is(EBADF, mqrs_receive_until(q, data, 8, CLOCK_MONOTONIC, 0, null_mut()) as i64);
        is(EBADF, mqrs_sendmsg(q, &m, MSG, 0, 0));
        is(EBADF, mqrs_recvmsg(q, &mut m, MSG, 0, 0) as i64);
        is(EBADF, mqrs_sendmmsg(q, &m, MSG, 1, 0, 0) as i64);
        is(EBADF, mqrs_recvmmsg(q, &mut m, MSG, 1, 0, 0) as i64);
        is(EBADF, mqrs_cancel(q));
        is(EBADF, mqrs_set_cancelled(q, 1));
        is(EBADF, mqrs_shutdown(q));
        is(EBADF, mqrs_getattr(q, &mut attr, ATTR));
        is(EBADF, mqrs_getstats(q, &mut stats, STATS));
        is(EBADF, mqrs_set_nonblock(q, 1));
        is(EBADF, mqrs_set_maxbytes(q, 1));
        is(EBADF, mqrs_set_owner(q, 0o600, u32::MAX, u32::MAX));
        is(EBADF, mqrs_fd(q));
        is(EBADF, mqrs_dup_fd(q));
        is(EBADF, mqrs_notify_signal(q, 0, 0, 0));
        is(EBADF, mqrs_notify_callback(q, Some(nothing), null_mut(), 0));
        is(EBADF, mqrs_notify_cancel(q));
        assert!(mqrs_name(q).is_null());
        // The handle is looked at before anything else.
        is(EBADF, mqrs_send(q, null(), 1, u32::MAX));
        is(EBADF, mqrs_timedreceive(q, null_mut(), 1, -2, null_mut()) as i64);
        is(EBADF, mqrs_sendmmsg(q, null(), 0, 1, u64::MAX, -2) as i64);
        is(EBADF, mqrs_recvmmsg(q, null_mut(), 0, 1, u64::MAX, -2) as i64);
    }
}

fn no_handle_is_a_bad_one(_: &Subject) {
    refuse_all(null_mut());
}

fn what_is_no_handle_is_a_bad_one(_: &Subject) {
    let memory = [0x5555_5555_5555_5555u64; 512];

    refuse_all(memory.as_ptr().cast_mut().cast());
    refuse_all(std::ptr::without_provenance_mut(1));
}

fn to_close_no_handle_is_no_error(_: &Subject) {
    // SAFETY: as above.
    assert_eq!(unsafe { mqrs_close(null_mut()) }, 0);
}

fn missing_pointers_are_a_fault(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let (q, name) = (queue.raw(), address.as_ptr());
    queue.put("x", 0);
    // SAFETY: as above.
    unsafe {
        let none = null_mut();
        is(EFAULT, mqrs_open(null(), O_RDWR, null(), 0, &mut null_mut()));
        is(EFAULT, mqrs_open(null(), O_RDWR | O_CREAT, null(), 0, &mut null_mut()));
        is(EFAULT, mqrs_open(name, O_RDWR, null(), 0, null_mut()));
        is(EFAULT, mqrs_open_fd(0, O_RDWR, 0, null_mut()));
        is(EFAULT, mqrs_unlink(null()));
        is(EFAULT, mqrs_send(q, null(), 1, 0));
        is(EFAULT, mqrs_timedsend(q, null(), usize::MAX, 0, 0));
        is(EFAULT, mqrs_sendall(q, null(), 1, 0) as i64);
        is(EFAULT, mqrs_receive(q, null_mut(), 64, none) as i64);
        is(EFAULT, mqrs_sendmsg(q, null(), MSG, 0, 0));
        is(EFAULT, mqrs_recvmsg(q, null_mut(), MSG, 0, 0) as i64);
        is(EFAULT, mqrs_sendmmsg(q, null(), MSG, 1, 0, 0) as i64);
        is(EFAULT, mqrs_recvmmsg(q, null_mut(), MSG, 1, 0, 0) as i64);
        is(EFAULT, mqrs_getattr(q, null_mut(), ATTR));
        is(EFAULT, mqrs_getstats(q, null_mut(), STATS));
        is(EFAULT, mqrs_getlimits(s.transport.number(), null_mut(), size_of::<mqrs_limits>()));
        is(EFAULT, mqrs_notify_callback(q, None, null_mut(), 0));
        is(EFAULT, mqrs_list_open(0, null_mut()));
    }
    assert_eq!(queue.take().0, b"x");
}

fn an_empty_message_needs_no_pointer(s: &Subject) {
    let queue = s.queue();

    // SAFETY: as above.
    unsafe {
        assert_eq!(mqrs_send(queue.raw(), null(), 0, 7), 0);
        assert_eq!(mqrs_timedsend(queue.raw(), null(), 0, 7, 0), 0);
        assert_eq!(mqrs_send_until(queue.raw(), null(), 0, 7, CLOCK_MONOTONIC, 0), 0);
    }

    assert_eq!([(); 3].map(|()| queue.take()), [(); 3].map(|()| (vec![], 7)));
}

fn a_priority_that_nobody_wants_is_not_written(s: &Subject) {
    let queue = s.queue();
    queue.put("four", 1);
    let mut buffer = [0u8; 64];

    // SAFETY: as above.
    let len = unsafe { mqrs_receive(queue.raw(), buffer.as_mut_ptr().cast(), 64, null_mut()) };

    assert_eq!(len, 4);
}

fn pointers_come_after_direction_and_before_length(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let receiver = s.another(&address, O_RDONLY);
    let sender = s.another(&address, O_WRONLY);
    // SAFETY: as above.
    unsafe {
        is(EBADF, mqrs_send(receiver.raw(), null(), 1, 0));
        is(EBADF, mqrs_receive(sender.raw(), null_mut(), 1, null_mut()) as i64);
        is(EBADF, mqrs_sendmsg(receiver.raw(), null(), MSG, 0, 0));
        is(EBADF, mqrs_recvmsg(sender.raw(), null_mut(), MSG, 0, 0) as i64);
        is(EBADF, mqrs_sendmmsg(receiver.raw(), null(), MSG, 1, 0, 0) as i64);
        is(EBADF, mqrs_recvmmsg(sender.raw(), null_mut(), MSG, 1, 0, 0) as i64);
        is(EFAULT, mqrs_send(queue.raw(), null(), 1 << 30, 0));
        is(EINVAL, mqrs_send(queue.raw(), null(), 1, 32768));
        is(EINVAL, mqrs_timedreceive(queue.raw(), null_mut(), 1, -2, null_mut()) as i64);
        for (size, flags, timeout) in [(MSG, 1 << 40, 0), (MSG, 0, -2), (MSG - 1, 0, 0)] {
            is(EINVAL, mqrs_sendmsg(receiver.raw(), null(), size, flags, timeout));
            is(EINVAL, mqrs_recvmsg(sender.raw(), null_mut(), size, flags, timeout) as i64);
            is(EINVAL, mqrs_sendmmsg(receiver.raw(), null(), size, 1, flags, timeout) as i64);
            is(EINVAL, mqrs_recvmmsg(sender.raw(), null_mut(), size, 1, flags, timeout) as i64);
            is(EINVAL, mqrs_sendmmsg(queue.raw(), null(), size, 0, flags, timeout) as i64);
            is(EINVAL, mqrs_recvmmsg(queue.raw(), null_mut(), size, 0, flags, timeout) as i64);
        }
    }
}

fn a_struct_of_less_than_its_first_size_is_invalid(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let q = queue.raw();
    let mut attr = mqrs_attr::default();
    let mut stats = mqrs_stats::default();
    let mut limits = mqrs_limits::default();
    let mut m = mqrs_msg::default();
    let options = mqrs_options::default();
    // SAFETY: as above.
    unsafe {
        for size in [0, 1, ATTR - 1] {
            is(EINVAL, mqrs_getattr(q, &mut attr, size));
        }
        is(EINVAL, mqrs_getstats(q, &mut stats, STATS - 1));
        is(EINVAL, mqrs_getlimits(1, &mut limits, size_of_val(&limits) - 1));
        is(EINVAL, mqrs_sendmsg(q, &m, MSG - 1, 0, 0));
        is(EINVAL, mqrs_recvmsg(q, &mut m, MSG - 1, 0, 0) as i64);
        is(EINVAL, mqrs_sendmmsg(q, &m, MSG - 8, 1, 0, 0) as i64);
        is(EINVAL, mqrs_recvmmsg(q, &mut m, 0, 1, 0, 0) as i64);
        is(EINVAL, mqrs_open(address.as_ptr(), O_RDWR, &options, OPTIONS - 1, &mut null_mut()));
    }
    assert_eq!((attr, stats), (mqrs_attr::default(), mqrs_stats::default()));
    assert_eq!((limits, queue.curmsgs()), (mqrs_limits::default(), 0));
}

/// A struct of ours and what a later version of it has more.
#[repr(C)]
struct Later<T> {
    ours: T,
    more: [u64; 2],
}

fn a_larger_struct_has_zeros_where_we_know_nothing(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let mut attr = Later { ours: mqrs_attr::default(), more: [7; 2] };
    let mut options = Later { ours: mqrs_options::default(), more: [0; 2] };
    let mut message = Later { ours: mqrs_msg::default(), more: [0; 2] };
    let name = address.as_ptr();
    // SAFETY: as above.
    unsafe {
        assert_eq!(mqrs_getattr(queue.raw(), (&raw mut attr).cast(), size_of_val(&attr)), 0);
        assert_eq!((attr.ours.transport, attr.more), (s.transport.number(), [0; 2]));

        let at = (&raw const options).cast();
        let mut opened = null_mut();
        assert_eq!(mqrs_open(name, O_RDWR, at, size_of_val(&options), &mut opened), 0);
        assert_eq!(mqrs_close(opened), 0);
        options.more[1] = 1;
        let at = (&raw const options).cast();
        is(E2BIG, mqrs_open(name, O_RDWR, at, size_of_val(&options), &mut opened));

        let at = (&raw const message).cast();
        assert_eq!(mqrs_sendmsg(queue.raw(), at, size_of_val(&message), 0, 0), 0);
        message.more[0] = 1 << 63;
        let at = (&raw mut message).cast();
        is(E2BIG, mqrs_sendmsg(queue.raw(), at, size_of_val(&message), 0, 0));
        is(E2BIG, mqrs_recvmsg(queue.raw(), at, size_of_val(&message), 0, 0) as i64);
    }
    assert_eq!(queue.curmsgs(), 1);
}

fn the_size_in_an_array_is_the_stride(s: &Subject) {
    let (_, queue) = s.create(4, 16);
    let (mut bytes, q) = ([5u8, 6, 7], queue.raw());
    let message = |data: &mut u8| mqrs_msg {
        data: (&raw mut *data).cast(),
        len: 1,
        cap: 1 << 16,
        ..mqrs_msg::default()
    };
    let mut v = bytes.each_mut().map(|byte| Later { ours: message(byte), more: [0; 2] });
    let stride = size_of_val(&v[0]);
    let at = (&raw mut v).cast::<mqrs_msg>();
    // SAFETY: as above.
    unsafe {
        is(EINVAL, mqrs_sendmmsg(q, at, stride - 1, 3, 0, 0) as i64);
        is(EINVAL, mqrs_recvmmsg(q, at, stride - 1, 3, 0, 0) as i64);
        is(EFAULT, mqrs_sendmmsg(q, at, stride, usize::MAX / 8, 0, 0) as i64);
        assert_eq!(mqrs_sendmmsg(q, at, stride, 3, 0, 0), 3);
        (&raw mut (*at.byte_add(2 * stride).cast::<Later<mqrs_msg>>()).more[1]).write(1);
        is(E2BIG, mqrs_sendmmsg(q, at, stride, 3, 0, 0) as i64);
        is(E2BIG, mqrs_recvmmsg(q, at, stride, 3, 0, 0) as i64);
    }
    assert_eq!([(); 3].map(|()| queue.take().0), [[5], [6], [7]]);
}

fn reserved_fields_and_unknown_flags_are_refused(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let (q, name) = (queue.raw(), address.as_ptr());
    let mut m = mqrs_msg::default();
    unsafe extern "C" fn nothing(_: *mut mqrs_queue, _: *mut std::ffi::c_void) {}
    // SAFETY: as above.
    unsafe {
        for options in [
            mqrs_options { reserved: 1, ..mqrs_options::default() },
            mqrs_options { flags: 1 << 40, ..mqrs_options::default() },
            mqrs_options { flags: 1 << 63, ..mqrs_options::default() },
        ] {
            is(EINVAL, mqrs_open(name, O_RDWR, &options, OPTIONS, &mut null_mut()));
        }
        is(EINVAL, mqrs_open_fd(-1, O_RDWR, 1 << 40, &mut null_mut()));
        is(EINVAL, mqrs_sendmsg(q, &m, MSG, 1 << 40, 0));
        is(EINVAL, mqrs_recvmsg(q, &mut m, MSG, 1 << 40, 0) as i64);
        is(EINVAL, mqrs_sendmmsg(q, &m, MSG, 1, 1 << 40, 0) as i64);
        is(EINVAL, mqrs_recvmmsg(q, &mut m, MSG, 1, 1 << 40, 0) as i64);
        is(EINVAL, mqrs_notify_signal(q, 0, 0, 1 << 40));
        is(EINVAL, mqrs_notify_callback(q, Some(nothing), null_mut(), 1 << 40));
    }
    assert_eq!(queue.notify_cancel(), Ok(()));
}

fn options_are_a_pointer_and_a_size_or_neither(s: &Subject) {
    let (address, _queue) = s.create(4, 16);
    let name = address.as_ptr();
    let options = mqrs_options::default();
    // SAFETY: as above.
    unsafe {
        is(EFAULT, mqrs_open(name, O_RDWR, null(), OPTIONS, &mut null_mut()));
        is(EINVAL, mqrs_open(name, O_RDWR, &options, 0, &mut null_mut()));
    }
}

fn a_list_goes_on_where_it_was_after_a_bad_pointer(s: &Subject) {
    need_mount(s.transport);
    let (address, _queue) = s.create(4, 16);
    let mut list = null_mut();
    let mut entry = mqrs_entry::default();
    let mut found = 0;
    // SAFETY: as above.
    unsafe {
        assert_eq!(mqrs_list_open(s.transport.number(), &mut list), 0);
        loop {
            is(EFAULT, mqrs_list_next(list, null_mut(), ENTRY));
            is(EINVAL, mqrs_list_next(list, &mut entry, ENTRY - 1));
            match mqrs_list_next(list, &mut entry, ENTRY) {
                0 => break,
                result => assert_eq!(result, 1),
            }
            found += u32::from(CStr::from_ptr(entry.name.as_ptr()) == address.as_c_str());
        }
        assert_eq!(mqrs_list_close(list), 0);
    }
    assert_eq!(found, 1);
}

fn send_all(queue: &Queue, data: &[u8]) -> isize {
    // SAFETY: as above.
    unsafe { mqrs_sendall(queue.raw(), data.as_ptr().cast(), data.len(), 3) }
}

fn all_data_is_sent_in_messages_of_the_queues_size(s: &Subject) {
    let (_, queue) = s.create(2, 16);
    let msgsize = queue.attr().expect("attributes").msgsize as usize;
    let data: Vec<u8> = (0..5 * msgsize + 3).map(|index| index as u8).collect();

    let sender = spawn(|| assert_eq!(send_all(&queue, &data), data.len() as isize));
    let mut received = Vec::new();
    while received.len() < data.len() {
        let (message, prio) = queue.take_by(Wait::Plain).expect("a message");
        assert_eq!(message.len(), msgsize.min(data.len() - received.len()));
        assert_eq!(prio, 3);
        received.extend(message);
    }

    sender.join();
    assert_eq!(received, data);
}

fn data_that_does_not_fit_is_sent_in_part(s: &Subject) {
    let (address, queue) = s.create(2, 16);
    let sender = s.another(&address, O_RDWR | O_NONBLOCK);
    let data = [5; 100];

    let sent = send_all(&sender, &data);

    assert_eq!(sent, 32.max(queue.attr().expect("attributes").msgsize as isize));
    is(EAGAIN, send_all(&sender, &data) as i64);
    let mut received = 0;
    while let Ok((message, _)) = queue.take_by(NOWAIT) {
        received += message.len() as isize;
    }
    assert_eq!(received, sent);
}

fn no_data_is_sent_in_no_message(s: &Subject) {
    let queue = s.queue();

    // SAFETY: as above; nothing is read of data that is too long.
    unsafe {
        assert_eq!(mqrs_sendall(queue.raw(), null(), 0, 0), 0);
        let data = [0u8; 1];
        is(EMSGSIZE, mqrs_sendall(queue.raw(), data.as_ptr().cast(), usize::MAX, 0) as i64);
        is(EINVAL, mqrs_sendall(queue.raw(), null(), 0, 32768) as i64);
    }

    assert_eq!(queue.curmsgs(), 0);
}

fn last_error() -> String {
    let mut text = [1u8; 512];
    // SAFETY: as above.
    let len = unsafe { mqrs_last_error(text.as_mut_ptr().cast(), text.len()) };
    let text = CStr::from_bytes_until_nul(&text).expect("it ends with a zero byte");
    assert_eq!(text.to_bytes().len(), len);
    text.to_str().expect("text").to_owned()
}

fn the_last_error_is_of_this_thread_and_stays(s: &Subject) {
    assert_eq!(last_error(), "");
    s.fails(libc::ENOENT, s.open(&s.address(), O_RDWR));
    let sentence = last_error();

    let queue = s.queue();
    queue.put("a success", 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(last_error(), "", "nothing failed in this thread yet");
            s_fails_elsewhere();
            assert_ne!(last_error(), "");
        });
    });

    assert_eq!(last_error(), sentence);
}

fn s_fails_elsewhere() {
    // SAFETY: as above.
    unsafe { is(EFAULT, mqrs_unlink(null())) };
}

fn the_last_error_is_cut_where_the_buffer_ends(s: &Subject) {
    s.fails(libc::ENOENT, s.open(&s.address(), O_RDWR));
    let whole = last_error();
    let mut text = [b'#'; 8];

    // SAFETY: as above.
    let len = unsafe { mqrs_last_error(text.as_mut_ptr().cast(), 5) };

    assert_eq!(len, whole.len(), "the whole length is told");
    assert_eq!(&text[..4], &whole.as_bytes()[..4]);
    assert_eq!(&text[4..], b"\0###");
}

/// ipcqueue raises a KeyError for an error that it does not know.
fn every_error_has_a_name_and_a_text(_: &Subject) {
    for errno in (-4200..4200).chain([i32::MIN, i32::MAX]) {
        // SAFETY: the answers are C strings of the library's own.
        let (name, text) =
            unsafe { (CStr::from_ptr(mqrs_errname(errno)), CStr::from_ptr(mqrs_strerror(errno))) };
        assert!(!name.is_empty() && !text.is_empty(), "{errno}");
    }
}
