//! Notification by signal, and what closing does to a registration.
//!
//! Each test is a child: signals, pids and numbers of descriptors are a process's own.

use crate::place::{
    Child, Place, close, errno, in_child, is_open, open_descriptors, raw_open, receive, send,
    sentence,
};
use libc::{O_RDONLY, O_RDWR, O_WRONLY, SIGUSR1};
use mqueue_core::queue::{Notification, Queue};

const SIGNAL: Notification = Notification::Signal { signo: SIGUSR1, value: 77 };

/// Run it in a child with the signal blocked.
fn alone(run: impl FnOnce()) -> Child {
    in_child(|| {
        block();
        run();
    })
}

fn set_of(signal: i32) -> libc::sigset_t {
    // SAFETY: the set is made empty before it is used.
    unsafe {
        let mut set = core::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        set
    }
}

fn block() {
    // SAFETY: a valid set; the old one is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set_of(SIGUSR1), core::ptr::null_mut()) };
}

/// Take the signal if it is pending.
fn pending() -> Option<libc::siginfo_t> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: valid sets and times; all-zero bytes are a siginfo_t.
    unsafe {
        let mut info = core::mem::zeroed();
        (libc::sigtimedwait(&set_of(SIGUSR1), &mut info, &now) == SIGUSR1).then_some(info)
    }
}

/// Whether a message to the empty queue is told by the signal; the queue is empty again.
fn is_told(queue: &Queue) -> bool {
    send(queue, "x", 0).expect("sent");
    receive(queue).expect("received");
    pending().is_some()
}

/// Register by this handle, while another one of the queue is open; gives the descriptor of
/// that, which is closed as a handle and stays open as a number.
fn register_and_park(place: &Place, holder: &Queue) -> i32 {
    let other = place.open(O_RDWR).expect("opened");
    let fd = other.fd().expect("a descriptor");
    holder.notify(SIGNAL, 0).expect("registered");
    drop(other);
    fd
}

/// Register as a program does that knows nothing of us.
fn raw_notify(fd: i32) -> i32 {
    // SAFETY: all-zero bytes are a sigevent.
    unsafe {
        let mut event: libc::sigevent = core::mem::zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR1;
        libc::syscall(libc::SYS_mq_notify, fd, &event) as i32
    }
}

#[test]
fn a_message_to_an_empty_queue_sends_one_signal_that_tells_its_sender() {
    let place = Place::new("one_signal");
    alone(|| {
        let queue = place.make(3, 8);
        queue.notify(SIGNAL, 0).expect("registered");
        let sender = in_child(|| send(&queue, "x", 0).expect("sent"));
        let pid = sender.0;
        sender.join();

        let info = pending().expect("a signal");
        assert_eq!(info.si_code, -3, "SI_MESGQ");
        // SAFETY: such a signal has these fields.
        unsafe {
            assert_eq!(info.si_value().sival_ptr as isize, 77);
            assert_eq!((info.si_pid(), info.si_uid()), (pid, libc::getuid()));
        }
        // Used up, and not for a queue that is not empty.
        send(&queue, "y", 0).expect("sent");
        assert!(pending().is_none());
        queue.notify(SIGNAL, 0).expect("registered");
        send(&queue, "z", 0).expect("sent");
        assert!(pending().is_none());
    })
    .join();
}

#[test]
fn a_queue_has_one_registration() {
    let place = Place::new("one_registration");
    alone(|| {
        let queue = place.make(1, 8);
        let other = place.open(O_RDWR).expect("opened");
        queue.notify(SIGNAL, 0).expect("registered");

        for handle in [&queue, &other] {
            assert_eq!(errno(handle.notify(SIGNAL, 0)), libc::EBUSY);
            assert!(sentence().contains("registration"), "{}", sentence());
        }
        in_child(|| assert_eq!(errno(other.notify(SIGNAL, 0)), libc::EBUSY)).join();
        assert!(is_told(&queue));
    })
    .join();
}

#[test]
fn signal_numbers_are_checked_and_0_takes_the_registration_silently() {
    let place = Place::new("signal_numbers");
    alone(|| {
        let queue = place.make(1, 8);
        for signo in [-1, 65] {
            let refused = queue.notify(Notification::Signal { signo, value: 0 }, 0);
            assert_eq!(errno(refused), libc::EINVAL);
        }
        queue.notify(Notification::Signal { signo: 0, value: 0 }, 0).expect("registered");
        assert_eq!(errno(queue.notify(SIGNAL, 0)), libc::EBUSY);
        send(&queue, "x", 0).expect("sent");
        queue.notify(SIGNAL, 0).expect("used up");
    })
    .join();
}

#[test]
fn closing_another_handle_leaves_the_registration() {
    let place = Place::new("closing_another_handle");
    alone(|| {
        let queue = place.make(1, 8);
        let fd = register_and_park(&place, &queue);

        assert!(is_open(fd), "closing it would have dropped the registration");
        assert!(is_told(&queue));
        // The next that comes by.
        queue.notify_cancel().expect("nothing to drop");
        assert!(!is_open(fd));
    })
    .join();
}

#[test]
fn a_parked_number_that_means_something_else_by_now_is_left_alone() {
    let place = Place::new("a_parked_number");
    alone(|| {
        let queue = place.make(1, 8);
        let fd = register_and_park(&place, &queue);

        close(fd);
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::open(c"/dev/null".as_ptr(), O_RDONLY) }, fd);
        queue.notify_cancel().expect("dropped");

        assert!(is_open(fd));
    })
    .join();
}

#[test]
fn whatever_ends_the_registration_closes_what_waited_for_it() {
    let place = Place::new("whatever_ends");
    alone(|| {
        for end in 0..4 {
            let queue = place.make(1, 8);
            queue.notify(SIGNAL, 0).expect("registered");
            let others: Vec<i32> = [O_RDWR, O_RDONLY, O_WRONLY]
                .map(|oflag| place.open(oflag).expect("opened").fd().expect("a descriptor"))
                .to_vec();
            assert!(others.iter().all(|fd| is_open(*fd)));

            match end {
                0 => queue.notify_cancel().expect("dropped"),
                1 => drop(queue),
                2 => {
                    send(&queue, "x", 0).expect("sent");
                    place.open(O_RDWR).map(drop).expect("opened");
                }
                _ => {
                    send(&queue, "x", 0).expect("sent");
                    queue.notify(SIGNAL, 0).expect("registered again");
                }
            }

            assert!(!others.iter().any(|fd| is_open(*fd)), "{end}");
            mqueue_core::queue::unlink(&place.address).expect("removed");
            pending();
        }
    })
    .join();
}

#[test]
fn a_registration_goes_with_its_handle_and_with_nothing_else() {
    let place = Place::new("a_registration_goes");
    alone(|| {
        let queue = place.make(1, 8);
        let holder = place.open(O_RDWR).expect("opened");
        holder.notify(SIGNAL, 0).expect("registered");

        queue.notify_cancel().expect("nothing to drop");
        assert_eq!(errno(queue.notify(SIGNAL, 0)), libc::EBUSY);

        drop(holder);
        assert!(!is_told(&queue));
        queue.notify(SIGNAL, 0).expect("free again");
        assert!(is_told(&queue));
    })
    .join();
}

#[test]
fn a_registration_that_was_used_up_is_not_dropped_a_second_time() {
    let place = Place::new("used_up");
    alone(|| {
        let queue = place.make(1, 8);
        let first = place.open(O_RDWR).expect("opened");
        first.notify(SIGNAL, 0).expect("registered");
        assert!(is_told(&queue));

        // By another handle, then by the program itself.
        queue.notify(SIGNAL, 0).expect("registered");
        first.notify_cancel().expect("nothing to drop");
        assert!(is_told(&queue));

        first
            .notify(Notification::Signal { signo: libc::SIGUSR2, value: 0 }, 0)
            .expect("registered");
        // SAFETY: the signal would end this child; it is the handler of nobody.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        assert!(!is_told(&queue));
        assert_eq!(raw_notify(queue.fd().expect("a descriptor")), 0);
        drop(first);
        assert!(is_told(&queue));
    })
    .join();
}

#[test]
fn what_the_program_has_registered_itself_is_left_alone() {
    let place = Place::new("registered_itself");
    alone(|| {
        let queue = place.make(1, 8);
        let fd = raw_open(&place.bare(), O_RDWR);
        assert_eq!(raw_notify(fd), 0);

        assert_eq!(errno(queue.notify(SIGNAL, 0)), libc::EBUSY);
        queue.notify_cancel().expect("nothing to drop");
        let other = place.open(O_RDONLY).expect("opened");
        let parked = other.fd().expect("a descriptor");
        drop(other);

        assert!(is_open(parked));
        assert!(is_told(&queue));
        place.open(O_WRONLY).map(drop).expect("opened");
        assert!(!is_open(parked));
    })
    .join();
}

#[test]
fn a_handle_that_only_sends_may_hold_a_registration() {
    let place = Place::new("only_sends");
    alone(|| {
        let queue = place.make(1, 8);
        let holder = place.open(O_WRONLY).expect("opened");
        let other = place.open(O_WRONLY).expect("opened");
        let parked = other.fd().expect("a descriptor");
        holder.notify(SIGNAL, 0).expect("registered");
        drop(other);
        assert!(is_open(parked));
        assert!(is_told(&queue));

        // Nobody can be asked whether it was used up; but its handle's end is known.
        drop(holder);
        assert!(!is_open(parked));
    })
    .join();
}

#[test]
fn a_forked_child_has_no_registration_and_takes_none_away() {
    let place = Place::new("forked_child");
    alone(|| {
        let queue = place.make(1, 8);
        let parked = register_and_park(&place, &queue);

        in_child(|| {
            queue.notify_cancel().expect("nothing to drop");
            assert!(!is_open(parked), "here it keeps nothing");
            assert_eq!(errno(queue.notify(SIGNAL, 0)), libc::EBUSY);
            place.open(O_RDWR).map(drop).expect("opened");
            close(queue.fd().expect("a descriptor"));
        })
        .join();

        assert!(is_told(&queue));
    })
    .join();
}

#[test]
fn a_registrant_that_is_killed_is_in_nobodys_way() {
    let place = Place::new("registrant_killed");
    alone(|| {
        let queue = place.make(1, 8);
        let registrant = in_child(|| {
            queue.notify(SIGNAL, 0).expect("registered");
            receive(&queue).expect("received");
        });
        registrant.until_in(crate::place::RECEIVING);
        assert_eq!(errno(queue.notify(SIGNAL, 0)), libc::EBUSY);
        registrant.kill();

        queue.notify(SIGNAL, 0).expect("registered");
        assert!(is_told(&queue));
    })
    .join();
}

#[test]
fn a_blocked_receiver_is_served_and_nobody_told() {
    let place = Place::new("blocked_receiver");
    alone(|| {
        let queue = place.make(1, 8);
        queue.notify(SIGNAL, 0).expect("registered");
        let receiver = in_child(|| assert_eq!(receive(&queue), Ok(("x".into(), 0))));
        receiver.until_in(crate::place::RECEIVING);

        send(&queue, "x", 0).expect("sent");

        receiver.join();
        assert!(pending().is_none());
        assert!(is_told(&queue), "the registration is still there");
    })
    .join();
}

#[test]
fn registering_and_cancelling_again_and_again_leaves_nothing_behind() {
    let place = Place::new("again_and_again");
    alone(|| {
        let queue = place.make(1, 8);
        let holder = place.open(O_RDWR).expect("opened");
        let before = open_descriptors();
        for _ in 0..500 {
            holder.notify(SIGNAL, 0).expect("registered");
            assert_eq!(errno(queue.notify(SIGNAL, 0)), libc::EBUSY);
            place.open(O_RDONLY).map(drop).expect("opened");
            holder.notify_cancel().expect("dropped");
        }
        assert_eq!(open_descriptors(), before);
    })
    .join();
}
