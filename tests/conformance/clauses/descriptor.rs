//! Descriptors: for poll, and to hand a queue on.

use super::{Clause, clauses};
use crate::process::spawn;
use crate::subject::{Queue, Subject};
use libc::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, POLLIN, POLLOUT};
use std::os::fd::{AsRawFd as _, IntoRawFd};

pub const CLAUSES: &[Clause] = clauses![All:
    a_descriptor_tells_whether_there_are_messages_and_room,
    a_message_from_another_process_ends_a_poll,
    a_queue_can_be_handed_on_by_its_descriptor,
    a_duplicate_is_close_on_exec_and_the_callers,
    a_descriptor_of_something_else_is_refused_and_stays_the_callers,
    a_descriptor_is_adopted_and_not_created,
    a_descriptor_that_can_be_read_receives,
    a_descriptor_that_can_be_written_sends,
];

/// What poll says within so many milliseconds.
fn poll(queue: &Queue, timeout: i32) -> i16 {
    let fd = queue.fd().expect("a descriptor");
    let mut item = libc::pollfd { fd, events: POLLIN | POLLOUT, revents: 0 };
    // SAFETY: one whole struct.
    assert!(unsafe { libc::poll(&mut item, 1, timeout) } >= 0);
    item.revents
}

fn a_descriptor_tells_whether_there_are_messages_and_room(s: &Subject) {
    let (_, queue) = s.create(2, 16);

    assert_eq!(poll(&queue, 0), POLLOUT);
    queue.put([0; 16], 0);
    assert_eq!(poll(&queue, 0), POLLIN | POLLOUT);
    queue.put([0; 16], 0);
    assert_eq!(poll(&queue, 0), POLLIN);
    queue.drain();
    assert_eq!(poll(&queue, 0), POLLOUT);
}

fn a_message_from_another_process_ends_a_poll(s: &Subject) {
    let queue = s.queue();
    let poller = spawn(|| {
        let fd = queue.fd().expect("a descriptor");
        let mut item = libc::pollfd { fd, events: POLLIN, revents: 0 };
        // SAFETY: one whole struct.
        assert_eq!(unsafe { libc::poll(&mut item, 1, -1) }, 1);
        assert_eq!(item.revents, POLLIN);
    });
    poller.wait_until_asleep();

    queue.put("wake up", 0);

    poller.join();
}

fn a_queue_can_be_handed_on_by_its_descriptor(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let fd = queue.dup_fd().expect("a descriptor");
    assert_eq!(s.language.unlink(&address), Ok(()));

    let adopted = s.language.open_fd(fd, O_RDWR, 0).expect("a queue");

    queue.put("over", 1);
    drop(queue);
    assert_eq!(adopted.take(), (b"over".to_vec(), 1));
    assert_eq!(adopted.attr().expect("attributes").transport, s.transport.number());
}

fn a_duplicate_is_close_on_exec_and_the_callers(s: &Subject) {
    let queue = s.queue();

    let fd = queue.dup_fd().expect("a descriptor");

    // SAFETY: the descriptor is ours.
    unsafe {
        assert_eq!(libc::fcntl(fd, libc::F_GETFD), libc::FD_CLOEXEC);
        assert_eq!(libc::close(fd), 0);
    }
    queue.put("unharmed", 0);
    assert_eq!(queue.take().0, b"unharmed");
}

fn a_descriptor_of_something_else_is_refused_and_stays_the_callers(s: &Subject) {
    let file = std::fs::File::open("/dev/null").expect("a file");
    let mut pipe = [0; 2];
    // SAFETY: room for two.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);

    for fd in [file.as_raw_fd(), pipe[0], pipe[1]] {
        s.fails(libc::EBADF, s.language.open_fd(fd, O_RDWR, 0));
        // SAFETY: touches no memory.
        assert!(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0, "it is still open");
    }
    for fd in [-1, 1 << 20, i32::MIN] {
        s.fails(libc::EBADF, s.language.open_fd(fd, O_RDWR, 0));
    }
}

fn a_descriptor_is_adopted_and_not_created(s: &Subject) {
    for oflag in [O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR, O_EXCL | O_RDWR] {
        s.fails(libc::EINVAL, s.language.open_fd(-1, oflag, 0));
    }
}

/// A descriptor of a queue that was opened once more, to read only or to write only.
fn reopened(queue: &Queue, to_write: bool) -> i32 {
    let fd = queue.dup_fd().expect("a descriptor");
    let mut options = std::fs::File::options();
    let file = options.read(!to_write).write(to_write).open(format!("/proc/self/fd/{fd}"));
    IntoRawFd::into_raw_fd(file.expect("the queue"))
}

fn gives_only(s: &Subject, fd: i32, direction: i32, others: [i32; 2]) {
    for other in others {
        s.fails(libc::EACCES, s.language.open_fd(fd, other, 0));
    }

    let adopted = s.language.open_fd(fd, direction, 0).expect("a queue");

    assert_eq!(adopted.attr().expect("attributes").flags, direction as u32);
}

fn a_descriptor_that_can_be_read_receives(s: &Subject) {
    gives_only(s, reopened(&s.queue(), false), O_RDONLY, [O_WRONLY, O_RDWR]);
}

fn a_descriptor_that_can_be_written_sends(s: &Subject) {
    gives_only(s, reopened(&s.queue(), true), O_WRONLY, [O_RDONLY, O_RDWR]);
}
