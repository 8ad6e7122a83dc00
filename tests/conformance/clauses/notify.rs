//! Notification by signal and by callback.

use super::{Clause, clauses};
use crate::process::{
    Shared, as_user, block_signal, need_root, pending_signal, set_umask, spawn, take_signal,
    wait_until, wait_until_asleep,
};
use crate::subject::{Handle, NOBODY, NOWAIT, Queue, Subject, Wait};
use libc::{O_RDONLY, O_RDWR, O_WRONLY, SIGRTMIN, SIGUSR1};
use mqueue_core::attr::OpenOptions;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;
use std::ffi::c_void;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub const CLAUSES: &[Clause] = clauses![All:
    a_message_on_an_empty_queue_sends_the_signal,
    the_signal_tells_who_sent_the_message,
    a_message_on_a_queue_that_is_not_empty_does_not_notify,
    a_registration_is_good_for_one_notification,
    a_queue_has_one_registration,
    a_registration_that_fired_makes_room_for_another,
    a_cancelled_registration_does_not_fire,
    to_cancel_without_a_registration_is_no_error,
    to_cancel_by_another_handle_changes_nothing,
    a_receiver_that_waits_gets_the_message_without_a_notification,
    a_callback_runs_with_its_argument,
    a_callback_may_register_again,
    no_callback_runs_after_it_was_cancelled,
    a_callback_runs_with_all_signals_blocked,
    a_callback_may_cancel_and_register_and_cancel,
    closing_waits_for_the_callback_that_runs,
    a_sender_of_another_user_notifies_too,
    closing_the_handle_drops_its_registration,
    closing_another_handle_of_the_queue_leaves_the_registration,
    a_process_that_was_killed_has_no_registration,
    a_process_that_executed_another_program_has_no_registration,
    a_child_has_no_registration,
    signals_that_do_not_exist_are_refused,
    signal_zero_takes_the_registration_and_sends_nothing,
    any_direction_may_register,
    room_for_a_sender_that_waits_notifies_of_its_message,
];

fn a_message_on_an_empty_queue_sends_the_signal(s: &Subject) {
    let signo = SIGRTMIN() + 3;
    block_signal(signo);
    let queue = s.queue();

    assert_eq!(queue.notify_signal(signo, 0x1234_5678), Ok(()));
    queue.put("arrived", 0);

    let info = take_signal(signo);
    const SI_MESGQ: i32 = -3;
    assert_eq!(info.si_code, SI_MESGQ);
    // SAFETY: such signals carry a value.
    assert_eq!(unsafe { info.si_value() }.sival_ptr as usize, 0x1234_5678);
    assert_eq!(queue.take().0, b"arrived");
}

fn the_signal_tells_who_sent_the_message(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    let child = spawn(|| queue.put("from a child", 0));
    let pid = child.pid();
    child.join();

    let info = take_signal(SIGUSR1);
    // SAFETY: such signals carry both; the second call always succeeds.
    unsafe {
        assert_eq!(info.si_pid(), pid);
        assert_eq!(info.si_uid(), libc::geteuid());
    }
}

/// Whether the registration of this process is consumed: its queue takes another.
fn is_consumed(queue: &Queue) -> bool {
    match queue.notify_signal(SIGUSR1, 0) {
        Ok(()) => true,
        Err(libc::EBUSY) => false,
        Err(errno) => panic!("errno {errno}"),
    }
}

fn a_message_on_a_queue_that_is_not_empty_does_not_notify(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.put("here before", 0);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    queue.put("another", 0);
    assert!(!is_consumed(&queue));
    assert!(pending_signal(SIGUSR1).is_none());

    queue.drain();
    queue.put("now it is", 0);
    take_signal(SIGUSR1);
}

fn a_registration_is_good_for_one_notification(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    queue.put("first", 0);
    take_signal(SIGUSR1);
    queue.drain();
    queue.put("second", 0);

    queue.notify_signal(SIGUSR1, 7).expect("nothing is registered");
    queue.drain();
    queue.put("third", 0);
    // SAFETY: such signals carry a value.
    assert_eq!(unsafe { take_signal(SIGUSR1).si_value() }.sival_ptr as usize, 7);
}

fn a_queue_has_one_registration(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal(0, 0).expect("a registration");

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    s.fails(libc::EBUSY, other.notify_signal(0, 0));
    spawn(|| {
        s.fails(libc::EBUSY, other.notify_signal(0, 0));
        s.fails(libc::EBUSY, s.another(&address, O_RDWR).notify_signal(0, 0));
    })
    .join();

    assert_eq!(s.queue().notify_signal(0, 0), Ok(()), "each queue has its own");
}

fn a_registration_that_fired_makes_room_for_another(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);

    for round in 0..5 {
        let handle = s.another(&address, O_RDWR);
        assert_eq!(handle.notify_signal(SIGUSR1, 0), Ok(()), "round {round}");
        queue.put("round", 0);
        take_signal(SIGUSR1);
        queue.drain();
    }
}

fn a_cancelled_registration_does_not_fire(s: &Subject) {
    block_signal(SIGUSR1);
    block_signal(libc::SIGUSR2);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    assert_eq!(queue.notify_cancel(), Ok(()));

    queue.notify_signal(libc::SIGUSR2, 0).expect("there is room again");
    queue.put("for the second", 0);
    take_signal(libc::SIGUSR2);
    assert!(pending_signal(SIGUSR1).is_none());
}

fn to_cancel_without_a_registration_is_no_error(s: &Subject) {
    let queue = s.queue();

    for _ in 0..2 {
        assert_eq!(queue.notify_cancel(), Ok(()));
    }
}

fn to_cancel_by_another_handle_changes_nothing(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.notify_signal(0, 0).expect("a registration");

    assert_eq!(s.another(&address, O_RDWR).notify_cancel(), Ok(()));
    spawn(|| assert_eq!(s.another(&address, O_RDWR).notify_cancel(), Ok(()))).join();

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
}

fn a_receiver_that_waits_gets_the_message_without_a_notification(s: &Subject) {
    block_signal(SIGUSR1);
    let queue = s.queue();
    queue.notify_signal(SIGUSR1, 0).expect("a registration");
    let receiver = spawn(|| drop(queue.take_by(Wait::Plain).expect("a message")));
    receiver.wait_until_asleep();

    queue.put("for the one who waits", 0);
    receiver.join();

    assert!(!is_consumed(&queue), "the registration stays");
    assert!(pending_signal(SIGUSR1).is_none());
    queue.put("for nobody yet", 0);
    take_signal(SIGUSR1);
}

/// What a callback of these tests is given.
struct Called {
    count: AtomicU32,
    /// Register again, with this handle, that many times.
    again: Option<(*const dyn Handle, u32)>,
}

impl Called {
    fn count(&self) -> u32 {
        self.count.load(SeqCst)
    }

    fn as_user(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }
}

unsafe extern "C" fn called(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clauses give a `Called`, and its handle is open.
    let called = unsafe { &*user.cast::<Called>() };
    if let Some((handle, times)) = called.again {
        if called.count() < times {
            // SAFETY: as above.
            unsafe { &*handle }.notify_callback(self::called, user).expect("a registration");
        }
    }
    called.count.fetch_add(1, SeqCst);
}

fn a_callback_runs_with_its_argument(s: &Subject) {
    let queue = s.queue();
    let user = Called { count: AtomicU32::new(0), again: None };

    assert_eq!(queue.notify_callback(called, user.as_user()), Ok(()));
    queue.put("for the callback", 0);
    wait_until(|| user.count() == 1);

    // Once and no more.
    queue.drain();
    queue.put("for nobody", 0);
    assert_eq!(queue.notify_cancel(), Ok(()));
    assert_eq!(user.count(), 1);
}

fn a_callback_may_register_again(s: &Subject) {
    let queue = s.queue();
    let user = Called { count: AtomicU32::new(0), again: Some((&raw const *queue, 4)) };

    queue.notify_callback(called, user.as_user()).expect("a registration");
    for round in 1..=5 {
        queue.put("again", 0);
        wait_until(|| user.count() == round);
        queue.drain();
    }

    assert_eq!(queue.notify_signal(0, 0), Ok(()), "it did not register after the fifth");
}

fn no_callback_runs_after_it_was_cancelled(s: &Subject) {
    let queue = s.queue();

    for _ in 0..50 {
        let user = Called { count: AtomicU32::new(0), again: None };
        queue.notify_callback(called, user.as_user()).expect("a registration");
        queue.put("at the last moment", 0);
        assert_eq!(queue.notify_cancel(), Ok(()));

        // From here on `user` may be freed.
        let count = user.count();
        assert!(count <= 1);
        queue.drain();
        queue.put("too late", 0);
        queue.drain();
        assert_eq!(user.count(), count);
    }
}

unsafe extern "C" fn look_at_mask(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clause gives an atomic; the set is written before it is read.
    let (seen, is_blocked) = unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        let is_blocked = |signo| libc::sigismember(&set, signo) == 1;
        let signals = [libc::SIGTERM, libc::SIGCHLD, SIGUSR1, SIGRTMIN() + 1];
        (&*user.cast::<AtomicU32>(), signals.into_iter().all(is_blocked))
    };
    seen.store(if is_blocked { 1 } else { 2 }, SeqCst);
}

fn a_callback_runs_with_all_signals_blocked(s: &Subject) {
    let queue = s.queue();
    let seen = AtomicU32::new(0);

    queue.notify_callback(look_at_mask, (&raw const seen).cast_mut().cast()).expect("registered");
    queue.put("x", 0);

    wait_until(|| seen.load(SeqCst) != 0);
    assert_eq!(seen.load(SeqCst), 1);
}

unsafe extern "C" fn cancel_inside(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clauses give a `Called`, and its handle is open.
    let called = unsafe { &*user.cast::<Called>() };
    let (handle, _) = called.again.expect("a handle");
    // SAFETY: as above.
    let handle = unsafe { &*handle };
    assert_eq!(handle.notify_cancel(), Ok(()));
    assert_eq!(handle.notify_signal(0, 0), Ok(()));
    assert_eq!(handle.notify_cancel(), Ok(()));
    called.count.fetch_add(1, SeqCst);
}

fn a_callback_may_cancel_and_register_and_cancel(s: &Subject) {
    let queue = s.queue();
    let user = Called { count: AtomicU32::new(0), again: Some((&raw const *queue, 0)) };

    queue.notify_callback(cancel_inside, user.as_user()).expect("a registration");
    queue.put("x", 0);
    wait_until(|| user.count() == 1);

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
}

unsafe extern "C" fn run_until_told(_: *mut c_void, user: *mut c_void) {
    // SAFETY: the clause gives this.
    let [entered, leave, left] = unsafe { &*user.cast::<[AtomicU32; 3]>() };
    entered.store(1, SeqCst);
    wait_until(|| leave.load(SeqCst) == 1);
    left.store(1, SeqCst);
}

fn closing_waits_for_the_callback_that_runs(s: &Subject) {
    let queue = s.queue();
    let steps = [(); 3].map(|()| AtomicU32::new(0));
    let [entered, leave, left] = &steps;
    queue
        .notify_callback(run_until_told, (&raw const steps).cast_mut().cast())
        .expect("registered");
    queue.put("x", 0);
    wait_until(|| entered.load(SeqCst) == 1);
    let closer = AtomicU32::new(0);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: always succeeds.
            closer.store(unsafe { libc::gettid() } as u32, SeqCst);
            drop(queue);
            assert_eq!(left.load(SeqCst), 1, "closed while the callback ran");
        });
        wait_until(|| closer.load(SeqCst) != 0);
        wait_until_asleep(closer.load(SeqCst) as i32);
        leave.store(1, SeqCst);
    });
}

fn a_sender_of_another_user_notifies_too(s: &Subject) {
    need_root();
    set_umask(0);
    block_signal(SIGUSR1);
    let (_, queue) = s.create_with(&OpenOptions { mode: 0o666, ..OpenOptions::default() });
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    as_user(NOBODY, || queue.put("from nobody", 0)).join();

    let info = take_signal(SIGUSR1);
    // SAFETY: such signals carry it.
    assert_eq!(unsafe { info.si_uid() }, NOBODY);
}

fn closing_the_handle_drops_its_registration(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    drop(queue);

    assert_eq!(other.notify_signal(0, 0), Ok(()));
    other.put("for nobody", 0);
    assert!(pending_signal(SIGUSR1).is_none());
}

fn closing_another_handle_of_the_queue_leaves_the_registration(s: &Subject) {
    block_signal(SIGUSR1);
    let (address, queue) = s.create(4, 16);
    let other = s.another(&address, O_RDWR);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");

    drop(other);
    drop(s.another(&address, O_WRONLY));

    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    queue.put("arrived", 0);
    take_signal(SIGUSR1);
}

/// Register in a process that says so and then does something else for ever.
fn registrant(s: &Subject, queue: &Queue, then: impl FnOnce()) -> crate::process::Child {
    let is_registered = Shared::<AtomicU32>::new();
    let child = spawn(|| {
        queue.notify_signal(SIGUSR1, 0).expect("a registration");
        is_registered.store(1, SeqCst);
        then();
    });
    child.wait_until(|| is_registered.load(SeqCst) == 1);
    s.fails(libc::EBUSY, queue.notify_signal(0, 0));
    child
}

fn a_process_that_was_killed_has_no_registration(s: &Subject) {
    let queue = s.queue();
    let child = registrant(s, &queue, || wait_until(|| false));

    child.kill();

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
}

fn a_process_that_executed_another_program_has_no_registration(s: &Subject) {
    let queue = s.queue();
    let go = Shared::<AtomicU32>::new();
    let (mut reader, writer) = UnixStream::pair().expect("a pair of sockets");
    let _child = registrant(s, &queue, || {
        wait_until(|| go.load(SeqCst) == 1);
        let mut program = Command::new("sh");
        let error =
            program.args(["-c", "echo; exec sleep 3600"]).stdout(OwnedFd::from(writer)).exec();
        panic!("sh: {error}");
    });

    go.store(1, SeqCst);
    // The other program runs when it says something.
    reader.read_exact(&mut [0]).expect("its first line");

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
}

fn a_child_has_no_registration(s: &Subject) {
    block_signal(SIGUSR1);
    let mut queue = Some(s.queue());
    queue.as_ref().expect("open").notify_signal(SIGUSR1, 0).expect("a registration");

    spawn(|| {
        let queue = queue.take().expect("inherited");
        assert_eq!(queue.notify_cancel(), Ok(()));
        s.fails(libc::EBUSY, queue.notify_signal(SIGUSR1, 0));
        drop(queue);
    })
    .join();

    let queue = queue.expect("the parent's");
    s.fails(libc::EBUSY, queue.notify_signal(SIGUSR1, 0));
    queue.put("for the parent", 0);
    take_signal(SIGUSR1);
}

fn signals_that_do_not_exist_are_refused(s: &Subject) {
    let queue = s.queue();

    for signo in [-1, 65, 1000, i32::MAX, i32::MIN] {
        s.fails(libc::EINVAL, queue.notify_signal(signo, 0));
    }

    assert_eq!(queue.notify_signal(64, 0), Ok(()), "and nothing is registered");
}

fn signal_zero_takes_the_registration_and_sends_nothing(s: &Subject) {
    let queue = s.queue();

    assert_eq!(queue.notify_signal(0, 0), Ok(()));
    s.fails(libc::EBUSY, queue.notify_signal(SIGUSR1, 0));
    queue.put("noticed by nobody", 0);

    wait_until(|| queue.notify_signal(0, 0).is_ok());
}

fn any_direction_may_register(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    block_signal(SIGUSR1);

    for oflag in [O_RDONLY, O_WRONLY, O_RDWR] {
        let handle = s.another(&address, oflag);
        assert_eq!(handle.notify_signal(SIGUSR1, 0), Ok(()));
        queue.put("arrived", 0);
        take_signal(SIGUSR1);
        queue.drain();
    }
}

fn room_for_a_sender_that_waits_notifies_of_its_message(s: &Subject) {
    block_signal(SIGUSR1);
    let (_, queue) = s.create(1, 16);
    queue.fill(16);
    queue.notify_signal(SIGUSR1, 0).expect("a registration");
    let sender = spawn(|| queue.send(&[b'y'; 16], 0, Wait::Plain).expect("room"));
    sender.wait_until_asleep();

    queue.take();
    sender.join();

    assert!(is_consumed(&queue));
    assert_eq!(queue.take_by(NOWAIT), Ok((vec![b'y'; 16], 0)));
}
