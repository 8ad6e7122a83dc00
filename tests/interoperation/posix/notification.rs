//! Notification between our handles and programs that use mq_notify.

use super::{MAXMSG, MSGSIZE, Scene, scene};
use crate::ours::NOWAIT;
use crate::peer::Answer;
use crate::program::Program;
use crate::tests;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::FromRawFd as _;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, OnceLock};

tests! {
    [c = POSIX_C c_of_32_bits = POSIX_C32 posix_ipc = POSIX_IPC]
    [
        their_registration_fires_for_our_message
        our_callback_runs_for_their_message
        our_signal_comes_for_their_message_and_names_its_sender
        a_registration_of_either_side_keeps_out_the_other
        a_registration_ends_with_its_program
        a_blocked_receiver_there_goes_before_our_registration
    ]
}

fn their_registration_fires_for_our_message(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    theirs.must("notify");

    ours.send(b"first", 0, NOWAIT).unwrap();

    let told = theirs.numbers("notified");
    let (is_message, sender) = (told[0], told[1]);
    assert_eq!(is_message, 1);
    assert_eq!(sender, i64::from(std::process::id()));
}

fn our_callback_runs_for_their_message(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    let (tell, told) = channel();
    ours.notify_callback(&tell).unwrap();

    theirs.send(0, b"first");

    told.recv().unwrap();
    ours.expect(b"first", 0);
    ours.notify_cancel();
}

fn our_signal_comes_for_their_message_and_names_its_sender(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    let mut signals = Signals::new();
    ours.notify_signal(Signals::number(), 4711).unwrap();

    theirs.send(0, b"first");

    assert_eq!(signals.next(), [libc::SI_MESGQ, theirs.pid() as i32, 4711]);
}

fn a_registration_of_either_side_keeps_out_the_other(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    let (tell, _told) = channel();

    theirs.must("notify");
    assert_eq!(ours.notify_callback(&tell).unwrap_err().errno, libc::EBUSY);

    ours.send(b"fires theirs", 0, NOWAIT).unwrap();
    theirs.must("notified");
    ours.expect(b"fires theirs", 0);
    ours.notify_callback(&tell).unwrap();
    assert!(matches!(theirs.ask("notify"), Answer::Busy | Answer::Error(libc::EBUSY)));

    ours.notify_cancel();
    theirs.must("notify");
}

fn a_registration_ends_with_its_program(program: &'static Program) {
    let Scene { ours, mut theirs, world: _world } = scene!(program);
    theirs.must("notify");

    drop(theirs);

    let (tell, told) = channel();
    ours.notify_callback(&tell).unwrap();
    ours.send(b"first", 0, NOWAIT).unwrap();
    told.recv().unwrap();
    ours.notify_cancel();
}

fn a_blocked_receiver_there_goes_before_our_registration(program: &'static Program) {
    let Scene { ours, mut theirs, world } = scene!(program);
    let Some(mut sender) = world.posix_peer(program) else { return };
    sender.must(&format!("open {MAXMSG} {MSGSIZE}"));
    let (tell, told) = channel();
    ours.notify_callback(&tell).unwrap();
    theirs.say("receive 0 forever");
    theirs.wait_until_asleep();

    sender.send(0, b"for the receiver");
    theirs.hear();
    sender.send(0, b"for the registration");

    told.recv().unwrap();
    ours.expect(b"for the registration", 0);
    ours.notify_cancel();
    assert!(told.try_recv().is_err(), "it was told of both");
}

/// The signals of one number: what each said, one test at a time.
///
/// The handler runs on any thread of this process, hence SA_RESTART, and passes on what it is
/// told through a pipe.
struct Signals {
    pipe: File,
    _alone: MutexGuard<'static, ()>,
}

static PIPE: OnceLock<[i32; 2]> = OnceLock::new();

impl Signals {
    fn number() -> i32 {
        libc::SIGRTMIN() + 5
    }

    fn new() -> Signals {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let [reader, _] = *PIPE.get_or_init(|| {
            let mut ends = [0; 2];
            // SAFETY: room for two descriptors.
            assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
            ends
        });
        // SAFETY: the handler only writes to the pipe.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = pass_on as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            assert_eq!(libc::sigaction(Self::number(), &action, std::ptr::null_mut()), 0);
        }
        // SAFETY: a duplicate of the pipe's end, which the file closes.
        let pipe = unsafe { File::from_raw_fd(libc::dup(reader)) };
        Signals { pipe, _alone: alone }
    }

    /// Code, process and value of the next signal.
    fn next(&mut self) -> [i32; 3] {
        let mut bytes = [0; 12];
        self.pipe.read_exact(&mut bytes).unwrap();
        [0, 4, 8].map(|at| i32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()))
    }
}

extern "C" fn pass_on(_: i32, info: *const libc::siginfo_t, _: *const libc::c_void) {
    let Some([_, writer]) = PIPE.get() else { return };
    // SAFETY: the kernel gives the handler what belongs to a signal of its kind.
    let told = unsafe {
        [(*info).si_code, (*info).si_pid(), (*info).si_value().sival_ptr as usize as i32]
    };
    // SAFETY: readable for its length. Fewer bytes than a pipe writes in one piece.
    unsafe { libc::write(*writer, told.as_ptr().cast(), size_of_val(&told)) };
}
