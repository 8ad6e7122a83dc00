//! Descriptors of queues: adopted, handed out, closed behind our back.

use crate::place::{Place, close, errno, in_child, is_open, raw_open, receive, send, sentence};
use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::queue::Queue;

fn flags_of(fd: i32, command: i32) -> i32 {
    // SAFETY: touches no memory.
    unsafe { libc::fcntl(fd, command) }
}

#[test]
fn an_adopted_descriptor_is_the_handles_close_on_exec_and_without_a_name() {
    let place = Place::new("an_adopted_descriptor");
    let made = place.make(2, 8);
    let fd = raw_open(&place.bare(), O_RDWR);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);

    let queue = Queue::open_fd(fd, O_RDWR, 0).expect("adopted");

    assert_eq!(queue.name(), c"");
    assert_eq!(queue.fd(), Ok(fd));
    assert_eq!(flags_of(fd, libc::F_GETFD), libc::FD_CLOEXEC);
    send(&queue, "x", 4).expect("sent");
    assert_eq!(receive(&made), Ok(("x".into(), 4)));
    // In a child, where no other thread takes the number at once.
    in_child(|| {
        drop(queue);
        assert!(!is_open(fd));
    })
    .join();
}

#[test]
fn a_descriptor_is_only_adopted_for_what_it_allows() {
    let place = Place::new("a_descriptor_is_only_adopted");
    let _made = place.make(2, 8);

    for (has, wants, allowed) in [
        (O_RDONLY, O_RDONLY, true),
        (O_RDONLY, O_WRONLY, false),
        (O_RDONLY, O_RDWR, false),
        (O_WRONLY, O_WRONLY, true),
        (O_WRONLY, O_RDONLY, false),
        (O_RDWR, O_RDONLY, true),
        (O_RDWR, O_WRONLY, true),
    ] {
        let fd = raw_open(&place.bare(), has);
        match Queue::open_fd(fd, wants, 0) {
            Ok(_) => assert!(allowed, "{has} for {wants}"),
            Err(error) => {
                assert!(!allowed, "{has} for {wants}");
                assert_eq!(error.0, libc::EACCES);
                // Still the caller's.
                close(fd);
            }
        }
    }
}

#[test]
fn what_is_no_queue_is_not_adopted_and_stays_the_callers() {
    let _place = Place::new("what_is_no_queue");
    assert_eq!(errno(Queue::open_fd(-1, O_RDWR, 0)), libc::EBADF);
    let mut ends = [0; 2];
    // SAFETY: writes two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);

    assert_eq!(errno(Queue::open_fd(ends[0], O_RDONLY, 0)), libc::EBADF);

    ends.into_iter().for_each(close);
}

#[test]
fn a_duplicate_is_the_callers_and_leads_to_the_same_queue() {
    let place = Place::new("a_duplicate");
    let queue = place.make(2, 8);

    let fd = queue.dup_fd().expect("a duplicate");

    assert_eq!(flags_of(fd, libc::F_GETFD), libc::FD_CLOEXEC);
    drop(queue);
    let again = Queue::open_fd(fd, O_RDWR, 0).expect("adopted");
    send(&again, "x", 0).expect("sent");
    assert_eq!(receive(&place.open(O_RDONLY).expect("opened")), Ok(("x".into(), 0)));
}

#[test]
fn the_descriptor_polls_as_the_queue_is() {
    let place = Place::new("the_descriptor_polls");
    let queue = place.make(2, 8);
    let fd = queue.fd().expect("a descriptor");
    let ready = || {
        let mut polled = libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut polled, 1, 0) };
        polled.revents
    };

    assert_eq!(ready(), libc::POLLOUT);
    send(&queue, "x", 0).expect("sent");
    assert_eq!(ready(), libc::POLLIN | libc::POLLOUT);
    send(&queue, "y", 0).expect("sent");
    assert_eq!(ready(), libc::POLLIN);
}

#[test]
fn a_number_that_means_something_else_by_now_is_neither_used_nor_closed() {
    let place = Place::new("a_number_that_means_something_else");
    let queue = place.make(2, 8);
    // In a child, where no other thread takes the number meanwhile.
    in_child(|| {
        let fd = queue.fd().expect("a descriptor");
        close(fd);
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) }, fd);

        assert_eq!(errno(send(&queue, "x", 0)), libc::EBADF);
        assert_eq!(sentence(), "the program has closed the queue's descriptor");
        assert_eq!(errno(receive(&queue)), libc::EBADF);
        assert_eq!(errno(queue.attr()), libc::EBADF);
        assert_eq!(errno(queue.fd()), libc::EBADF);
        assert_eq!(errno(queue.dup_fd()), libc::EBADF);
        assert_eq!(errno(queue.set_owner(0o600, u32::MAX, u32::MAX)), libc::EBADF);
        drop(queue);
        assert!(is_open(fd));
    })
    .join();
}

#[test]
fn mode_and_owner_are_changed_together_or_not_at_all() {
    let place = Place::new("mode_and_owner");
    let queue = place.make(2, 8);

    queue.set_owner(0o640, u32::MAX, u32::MAX).expect("changed");
    assert_eq!(queue.attr().expect("attributes").mode, 0o640);
    assert_eq!(errno(queue.set_owner(0o1000, u32::MAX, u32::MAX)), libc::EINVAL);

    // SAFETY: touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        return crate::skips::skip("mode_and_owner", "only root can give a queue away");
    }
    queue.set_owner(u32::MAX, 1234, 5678).expect("changed");
    let attr = queue.attr().expect("attributes");
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o640, 1234, 5678));
}

#[test]
fn a_mode_is_not_changed_where_the_owner_cannot_be() {
    let place = Place::new("a_mode_is_not_changed");
    in_child(|| {
        // SAFETY: touches no memory.
        if unsafe { libc::geteuid() == 0 && libc::setuid(65534) != 0 } {
            return;
        }
        let queue = place.make(2, 8);

        assert_eq!(errno(queue.set_owner(0o640, 0, u32::MAX)), libc::EPERM);

        assert_eq!(queue.attr().expect("attributes").mode, 0o600);
        mqueue_core::queue::unlink(&place.address).expect("removed");
    })
    .join();
}

#[test]
fn a_descriptor_travels_to_a_process_that_may_not_open_the_queue() {
    let place = Place::new("a_descriptor_travels");
    let queue = place.make(2, 8);
    let fd = queue.dup_fd().expect("a duplicate");

    in_child(|| {
        // SAFETY: touches no memory.
        let is_other = unsafe { libc::geteuid() == 0 && libc::setuid(65534) == 0 };
        if is_other {
            assert_eq!(errno(place.open(O_WRONLY | O_CREAT)), libc::EACCES);
        }
        let adopted = Queue::open_fd(fd, O_WRONLY, 0).expect("adopted");
        send(&adopted, "x", 9).expect("sent");
    })
    .join();

    assert_eq!(receive(&queue), Ok(("x".into(), 9)));
    close(fd);
}
