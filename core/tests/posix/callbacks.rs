//! Notification by callback: the library's helper thread and the kernel's cookies.
//!
//! Each test is a child: the helper thread is a process's own.

use crate::place::{Place, RECEIVING, close, errno, in_child, open_descriptors, receive, send};
use crate::skips::skip;
use libc::{O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::attr::OpenOptions;
use mqueue_core::queue::{Notification, Queue};
use std::ffi::{CString, c_void};
use std::sync::{Arc, Condvar, Mutex};

/// What a callback does, and how often it ran.
#[derive(Default)]
struct Bell {
    rung: Mutex<u32>,
    changed: Condvar,
    /// Called with the number of this ring.
    then: Option<Box<dyn Fn(u32) + Send + Sync>>,
}

impl Bell {
    /// One that lives as long as the child.
    fn new() -> &'static Bell {
        Box::leak(Box::default())
    }

    fn that(then: impl Fn(u32) + Send + Sync + 'static) -> &'static Bell {
        Box::leak(Box::new(Bell { then: Some(Box::new(then)), ..Bell::default() }))
    }

    /// Have it rung; it must live until then.
    fn ringing(&self) -> Notification {
        let user = core::ptr::from_ref(self).cast_mut().cast();
        Notification::Callback { function: ring, argument: core::ptr::dangling_mut(), user }
    }

    fn wait_for(&self, times: u32) {
        let mut rung = self.rung.lock().expect("no panic");
        while *rung < times {
            rung = self.changed.wait(rung).expect("no panic");
        }
        assert_eq!(*rung, times);
    }

    fn times(&self) -> u32 {
        *self.rung.lock().expect("no panic")
    }
}

unsafe extern "C" fn ring(argument: *mut c_void, user: *mut c_void) {
    assert_eq!(argument, core::ptr::dangling_mut());
    // SAFETY: each test keeps its bells until nobody rings them any more.
    let bell = unsafe { &*user.cast_const().cast::<Bell>() };
    let times = bell.times() + 1;
    if let Some(then) = &bell.then {
        then(times);
    }
    *bell.rung.lock().expect("no panic") = times;
    bell.changed.notify_all();
}

/// Send to the empty queue, and empty it.
fn come_and_go(queue: &Queue) {
    send(queue, "x", 0).expect("sent");
    receive(queue).expect("received");
}

/// A handle that callbacks can get at.
fn shared(queue: Queue) -> &'static Mutex<Option<Queue>> {
    Box::leak(Box::new(Mutex::new(Some(queue))))
}

fn with<R>(shared: &Mutex<Option<Queue>>, f: impl FnOnce(&Queue) -> R) -> R {
    f(shared.lock().expect("no panic").as_ref().expect("open"))
}

#[test]
fn a_callback_runs_once_for_a_message_to_an_empty_queue() {
    let place = Place::new("a_callback_runs_once");
    in_child(|| {
        let queue = place.make(2, 8);
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        in_child(|| send(&queue, "x", 0).expect("sent")).join();
        bell.wait_for(1);

        receive(&queue).expect("received");
        come_and_go(&queue);
        queue.notify_cancel().expect("nothing to drop");
        assert_eq!(bell.times(), 1);
    })
    .join();
}

#[test]
fn a_callback_may_register_again_and_nothing_is_lost() {
    let place = Place::new("a_callback_may_register_again");
    in_child(|| {
        const ALL: u32 = 300;
        let sender = place.make(4, 8);
        let queue = shared(place.open(O_RDONLY | libc::O_NONBLOCK).expect("opened"));
        let got = Arc::new((Mutex::new(0), Condvar::new()));
        let again: Arc<std::sync::OnceLock<usize>> = Arc::default();
        let bell = {
            let (got, again) = (got.clone(), again.clone());
            Bell::that(move |_| {
                let user = *again.get().expect("set") as *mut c_void;
                let argument = core::ptr::dangling_mut();
                let notification = Notification::Callback { function: ring, argument, user };
                with(queue, |queue| {
                    // First register, then drain.
                    queue.notify(notification, 0).expect("registered again");
                    while receive(queue).is_ok() {
                        *got.0.lock().expect("no panic") += 1;
                        got.1.notify_all();
                    }
                });
            })
        };
        again.set(core::ptr::from_ref(bell) as usize).expect("unset");
        with(queue, |queue| queue.notify(bell.ringing(), 0)).expect("registered");

        let child = in_child(|| (0..ALL).for_each(|_| send(&sender, "x", 0).expect("sent")));
        let mut count = got.0.lock().expect("no panic");
        while *count < ALL {
            count = got.1.wait(count).expect("no panic");
        }
        drop(count);
        child.join();
        let last = queue.lock().expect("no panic").take().expect("open");
        drop(last);
    })
    .join();
}

#[test]
fn cancelling_waits_for_the_callback_that_runs() {
    let place = Place::new("cancelling_waits");
    in_child(|| {
        let queue = place.make(1, 8);
        let (started, go) =
            (Arc::new(Mutex::new(false)), Arc::new((Mutex::new(false), Condvar::new())));
        let bell = {
            let (started, go) = (started.clone(), go.clone());
            Bell::that(move |_| {
                *started.lock().expect("no panic") = true;
                let mut may = go.0.lock().expect("no panic");
                while !*may {
                    may = go.1.wait(may).expect("no panic");
                }
            })
        };
        queue.notify(bell.ringing(), 0).expect("registered");
        come_and_go(&queue);
        while !*started.lock().expect("no panic") {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            let cancelling = scope.spawn(|| {
                queue.notify_cancel().expect("dropped");
                assert_eq!(bell.times(), 1, "it has returned");
            });
            *go.0.lock().expect("no panic") = true;
            go.1.notify_all();
            cancelling.join().expect("no panic");
        });
    })
    .join();
}

#[test]
fn a_callback_may_cancel_and_close_its_own_handle() {
    let place = Place::new("a_callback_may_close");
    in_child(|| {
        let sender = place.make(1, 8);
        let queue = shared(place.open(O_RDONLY).expect("opened"));
        let bell = Bell::that(|_| {
            let own = queue.lock().expect("no panic").take().expect("open");
            own.notify_cancel().expect("nothing to drop");
            drop(own);
        });
        with(queue, |queue| queue.notify(bell.ringing(), 0)).expect("registered");

        send(&sender, "x", 0).expect("sent");

        bell.wait_for(1);
        receive(&sender).expect("received");
        sender.notify(bell.ringing(), 0).expect("nobody else is registered");
        sender.notify_cancel().expect("dropped");
    })
    .join();
}

#[test]
fn what_is_cancelled_is_not_called_even_if_the_message_came_already() {
    let place = Place::new("what_is_cancelled");
    in_child(|| {
        let queue = place.make(1, 8);
        for _ in 0..300 {
            let bell = Bell::default();
            queue.notify(bell.ringing(), 0).expect("registered");
            come_and_go(&queue);
            queue.notify_cancel().expect("dropped");
            // It ran before that returned, or never will.
            assert!(bell.times() <= 1);
            drop(bell);
        }
    })
    .join();
}

#[test]
fn closing_another_handle_leaves_a_callback_waiting() {
    let place = Place::new("leaves_a_callback");
    in_child(|| {
        let queue = place.make(1, 8);
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        let before = open_descriptors();

        for _ in 0..3 {
            place.open(O_RDWR).map(drop).expect("opened");
        }

        come_and_go(&queue);
        bell.wait_for(1);
        place.open(O_RDWR).map(drop).expect("opened");
        assert_eq!(open_descriptors(), before);
    })
    .join();
}

#[test]
fn a_handle_that_only_sends_may_wait_for_a_callback() {
    let place = Place::new("only_sends_and_waits");
    in_child(|| {
        let receiver = place.make(1, 8);
        let holder = place.open(O_WRONLY).expect("opened");
        let bell = Bell::new();
        holder.notify(bell.ringing(), 0).expect("registered");

        // Of such descriptors the kernel does not tell who is registered.
        place.open(O_WRONLY).map(drop).expect("opened");

        assert_eq!(errno(receiver.notify(bell.ringing(), 0)), libc::EBUSY);
        come_and_go(&receiver);
        bell.wait_for(1);
    })
    .join();
}

#[test]
fn a_descriptor_that_the_program_closes_takes_the_registration_along() {
    let place = Place::new("takes_along");
    in_child(|| {
        let queue = place.make(1, 8);
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        assert_eq!(errno(queue.notify(bell.ringing(), 0)), libc::EBUSY);

        close(queue.dup_fd().expect("a duplicate"));

        come_and_go(&queue);
        let later = Bell::new();
        queue.notify(later.ringing(), 0).expect("nobody is registered any more");
        come_and_go(&queue);
        // The callbacks run in the order of their registrations.
        later.wait_for(1);
        assert_eq!(bell.times(), 0, "no message came while it was registered");
    })
    .join();
}

#[test]
fn a_blocked_receiver_is_served_and_nobody_called() {
    let place = Place::new("nobody_called");
    in_child(|| {
        let queue = place.make(1, 8);
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        let receiver = in_child(|| assert_eq!(receive(&queue), Ok(("x".into(), 0))));
        receiver.until_in(RECEIVING);

        send(&queue, "x", 0).expect("sent");
        receiver.join();

        come_and_go(&queue);
        bell.wait_for(1);
    })
    .join();
}

#[test]
fn a_forked_child_has_no_callback_and_may_have_its_own() {
    let place = Place::new("a_forked_child");
    in_child(|| {
        let queue = place.make(1, 8);
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        in_child(|| {
            let before = open_descriptors();
            queue.notify_cancel().expect("nothing to drop");
            assert_eq!(errno(queue.notify(bell.ringing(), 0)), libc::EBUSY);
            come_and_go(&queue);
            let own = Bell::new();
            queue.notify(own.ringing(), 0).expect("the parent's was used up");
            come_and_go(&queue);
            own.wait_for(1);
            assert_eq!(bell.times(), 0, "it was the parent's");
            // The parent's socket and bell have made room for the child's.
            assert_eq!(open_descriptors(), before);
        })
        .join();
        bell.wait_for(1);
    })
    .join();
}

#[test]
fn callbacks_of_all_transports_come_beside_each_other() {
    let place = Place::new("of_all_transports");
    let dir = std::env::temp_dir().join(format!("mqrs-posix-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    in_child(|| {
        let dir = CString::new(dir.to_str().expect("text")).expect("a path");
        // SAFETY: this child has one thread.
        assert_eq!(unsafe { libc::setenv(c"MQRS_DIR".as_ptr(), dir.as_ptr(), 1) }, 0);
        let kernels = place.make(1, 8);
        let oflag = libc::O_CREAT | libc::O_EXCL | O_RDWR;
        let memory = Queue::open(None, oflag, &OpenOptions::default()).expect("made");
        mqueue_core::queue::unlink(memory.name()).expect("removed");
        let bells = [Bell::new(), Bell::new()];

        // Each joins the other while the helper sleeps for that one, in every order.
        for round in 1..=20 {
            let mut both = [(&kernels, &bells[0]), (&memory, &bells[1])];
            if round % 2 == 0 {
                both.reverse();
            }
            for (queue, bell) in both {
                queue.notify(bell.ringing(), 0).expect("registered");
            }
            if round % 3 == 0 {
                both.reverse();
            }
            for (queue, bell) in both {
                come_and_go(queue);
                bell.wait_for(round);
            }
        }
    })
    .join();
    std::fs::remove_dir(&dir).expect("an empty directory");
}

#[test]
fn callbacks_of_several_queues_run_one_at_a_time() {
    let place = Place::new("one_at_a_time");
    in_child(|| {
        let running = Arc::new(Mutex::new(()));
        let queues: Vec<Queue> = (0..4)
            .map(|number| {
                let mut address = place.address.to_bytes().to_vec();
                address.extend_from_slice(format!("-{number}").as_bytes());
                let address = CString::new(address).expect("a name");
                let options = OpenOptions { maxmsg: 1, msgsize: 8, ..OpenOptions::default() };
                let oflag = libc::O_CREAT | libc::O_EXCL | O_RDWR;
                let queue = Queue::open(Some(&address), oflag, &options).expect("made");
                mqueue_core::queue::unlink(&address).expect("removed");
                queue
            })
            .collect();
        let bell = {
            let running = running.clone();
            Bell::that(move |_| {
                let alone = running.try_lock().expect("alone");
                std::thread::yield_now();
                drop(alone);
            })
        };
        for round in 1..=50 {
            for queue in &queues {
                queue.notify(bell.ringing(), 0).expect("registered");
            }
            queues.iter().for_each(come_and_go);
            bell.wait_for(round * queues.len() as u32);
        }
    })
    .join();
}

#[test]
fn registering_and_refusals_leave_no_descriptor_behind() {
    let place = Place::new("leave_no_descriptor");
    in_child(|| {
        let queue = place.make(1, 8);
        let other = place.open(O_RDWR).expect("opened");
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        let before = open_descriptors();
        for _ in 0..300 {
            assert_eq!(errno(other.notify(bell.ringing(), 0)), libc::EBUSY);
            queue.notify_cancel().expect("dropped");
            queue.notify(bell.ringing(), 0).expect("registered");
        }
        assert_eq!(open_descriptors(), before);
        come_and_go(&queue);
        bell.wait_for(1);
    })
    .join();
}

#[test]
fn a_program_that_closes_our_socket_can_register_again() {
    let place = Place::new("closes_our_socket");
    in_child(|| {
        let queue = place.make(1, 8);
        let bell = Bell::new();
        queue.notify(bell.ringing(), 0).expect("registered");
        for entry in std::fs::read_dir("/proc/self/fd").expect("/proc") {
            let entry = entry.expect("an entry");
            let leads_to = std::fs::read_link(entry.path()).unwrap_or_default();
            if leads_to.to_string_lossy().starts_with("socket:") {
                let number = entry.file_name().to_string_lossy().parse().expect("a number");
                // SAFETY: touches no memory. (Sockets that the test was started with, too.)
                unsafe { libc::close(number) };
            }
        }
        come_and_go(&queue);

        queue.notify(bell.ringing(), 0).expect("registered");
        come_and_go(&queue);

        bell.wait_for(1);
    })
    .join();
}

/// Bytes of room that a netlink socket gets for what it receives.
fn room_of_a_socket() -> usize {
    let wanted: libc::c_int = 1 << 19;
    let mut got: libc::c_int = 0;
    let mut size = size_of_val(&got) as libc::socklen_t;
    // SAFETY: the kernel reads one number and writes another and its size.
    unsafe {
        let socket = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE);
        assert!(socket >= 0);
        let (level, name) = (libc::SOL_SOCKET, libc::SO_RCVBUF);
        libc::setsockopt(socket, level, name, (&raw const wanted).cast(), size);
        libc::getsockopt(socket, level, name, (&raw mut got).cast(), &mut size);
        close(socket);
    }
    got as usize
}

#[test]
fn more_callbacks_than_the_socket_has_room_for_are_refused_and_never_block() {
    let Some(place) = Place::of_its_own("more_callbacks") else { return };
    in_child(|| {
        // Where there is none of these, there are enough.
        let _ = std::fs::write("/proc/sys/fs/mqueue/queues_max", "2000");
        // What a registration may take there on any machine.
        let most = room_of_a_socket() / 1280;
        let all = libc::rlimit { rlim_cur: 2000, rlim_max: 2000 };
        // SAFETY: reads one rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &all) } != 0 {
            return skip("more_callbacks", "it may not open so many files");
        }
        let options = OpenOptions { maxmsg: 1, msgsize: 1, ..OpenOptions::default() };
        let bell = Bell::new();
        let mut queues = Vec::new();
        for number in 0..=most {
            let address = format!("{}-{number}", place.address.to_str().expect("text"));
            let address = CString::new(address).expect("a name");
            match Queue::open(Some(&address), libc::O_CREAT | O_RDWR, &options) {
                Ok(queue) => queues.push(queue),
                Err(error) => return skip("more_callbacks", &format!("no more queues: {error:?}")),
            }
        }
        let (last, first) = queues.split_last().expect("some");

        for queue in first {
            queue.notify(bell.ringing(), 0).expect("registered");
        }
        assert_eq!(errno(last.notify(bell.ringing(), 0)), libc::EAGAIN);

        let said = crate::place::sentence();
        assert!(said.contains("net.core.rmem_max"), "{said}");
        first[0].notify_cancel().expect("dropped");
        last.notify(bell.ringing(), 0).expect("there is room for one again");
    })
    .join();
}

#[test]
fn no_descriptor_left_is_an_error_and_a_signal_needs_none() {
    let place = Place::new("no_descriptor_left");
    in_child(|| {
        let queue = place.make(1, 8);
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        // SAFETY: reads one rlimit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let bell = Bell::new();

        assert_eq!(errno(queue.notify(bell.ringing(), 0)), libc::EMFILE);

        let said = crate::place::sentence();
        assert!(said.contains("RLIMIT_NOFILE"), "{said}");
        queue.notify(Notification::Signal { signo: 0, value: 0 }, 0).expect("registered");
    })
    .join();
}
