//! The end of an ephemeral queue, by whoever is struck in its midst: the name is free at once,
//! for a new queue that nobody removes later, and no file stays.

use crate::Report;
use crate::case::{Board, Case, GO, MAXMSG, PATIENCE, READY, wait_until};
use crate::processes::skips::skip;
use crate::processes::work::MSGSIZE;
use crate::processes::{Child, Fate, Stage, files, new_name, options, spawn};
use crate::roles::{
    Blow,
    Role::{self, *},
};
use crate::steps::{AT_THE_NEXT_STEP, carry_on, wait_for_blow};
use crate::traps::{Trap, set_traps};
use mqueue_core::attr::{OpenOptions, option, transport};
use mqueue_core::fault::Step;
use mqueue_core::list::List;
use mqueue_core::queue::{self, Queue};
use std::ffi::CStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

/// Errno of an answer, 0 for success.
fn errno<T>(answer: Result<T, mqueue_core::error::Errno>) -> i32 {
    answer.map_or_else(|error| error.0, |_| 0)
}

fn open(name: &CStr, oflag: i32) -> Result<Queue, mqueue_core::error::Errno> {
    let plain = options(MAXMSG, MSGSIZE as u64);
    let options = OpenOptions { flags: option::EPHEMERAL, ..plain };
    Queue::open(Some(name), oflag | libc::O_RDWR, &options)
}

/// Has an ephemeral queue open until the board's GO, and then closes it or dies.
fn user(name: &CStr, board: &Board, dies: bool) -> Child {
    let child = spawn(|| {
        let queue = open(name, libc::O_CREAT).expect("a new queue");
        board.count(READY);
        wait_until(|| board.get(GO) > 0).expect("its turn");
        if dies {
            // SAFETY: touches no memory.
            unsafe { libc::_exit(0) };
        }
        drop(queue);
    });
    wait_until(|| board.get(READY) > 0).expect("a queue is there");
    child
}

/// One who may not remove the name does not keep those from it who may, wherever he stands.
pub fn refused(report: &mut Report) {
    report.case("one who may not unlink is stopped", || {
        // SAFETY: touches no memory.
        if unsafe { libc::geteuid() } != 0 {
            skip("one_who_may_not_unlink", "only root can become another user");
            return Ok(());
        }
        let name = new_name();
        let plain = options(MAXMSG, MSGSIZE as u64);
        let flags = option::EPHEMERAL | option::EXACT_MODE;
        let options = OpenOptions { flags, mode: 0o666, ..plain };
        let queue = Queue::open(Some(&name), libc::O_CREAT | libc::O_RDWR, &options);
        // Sticky: only who owns a file removes it.
        let dir = std::env::var_os("MQRS_DIR").expect("a directory of our own");
        let set = |mode| std::fs::set_permissions(&dir, Permissions::from_mode(mode));
        set(0o1777).expect("our directory");
        let mut victim = spawn(|| {
            // SAFETY: touches no memory.
            assert_eq!(unsafe { libc::setuid(65534) }, 0);
            Trap { step: Some(Step::EndAlone), nth: 1, signal: libc::SIGSTOP }.set();
            assert_eq!(errno(queue::unlink(&name)), libc::EACCES);
        });
        let fate = victim.wait(PATIENCE);
        let answer = errno(queue::unlink(&name));
        set(0o777).expect("our directory");
        match (queue.map(drop), answer) {
            (Ok(()), 0) => Ok(()),
            other => Err(format!("unlink beside one that is {fate:?}: {other:?}")),
        }
    });
}

pub fn run(role: Role, step: Step, blow: Blow) -> Result<(), String> {
    let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
    let traps = [Trap { step: Some(step), nth: 1, signal }, AT_THE_NEXT_STEP];
    let traps = if blow == Blow::StopThenKill { &traps[..] } else { &traps[..1] };
    let (name, board) = (new_name(), Board::new());
    let mut other = (role != LastUser).then(|| user(&name, &board, role == LateComer));
    if let (LateComer, Some(other)) = (role, &mut other) {
        board.count(GO);
        Case::expect(other, Fate::Exited(0));
    }

    let mut victim = spawn(|| match role {
        LastUser => {
            let queue = open(&name, libc::O_CREAT).expect("a new queue");
            set_traps(traps);
            drop(queue);
        }
        LateComer => {
            set_traps(traps);
            assert_eq!(errno(open(&name, 0)), libc::ENOENT);
        }
        _ => {
            set_traps(traps);
            let answer = errno(queue::unlink(&name));
            // Others may have been faster meanwhile.
            assert!(answer == 0 || answer == libc::ENOENT, "unlink: {answer}");
        }
    });
    wait_for_blow(&mut victim, &[], blow)?;

    if role != Unlinker {
        match (errno(open(&name, 0)), errno(queue::unlink(&name))) {
            (libc::ENOENT, libc::ENOENT) => {}
            answers => return Err(format!("open and unlink of what is over: {answers:?}")),
        }
    } else if step == Step::EndLooked {
        let answer = errno(queue::unlink(&name));
        if answer != 0 {
            return Err(format!("unlink beside one that is struck: {answer}"));
        }
    }
    let made = open(&name, libc::O_CREAT | libc::O_EXCL);
    if made.is_err() {
        return Err(format!("the name is not free: {}", errno(made)));
    }
    let options = options(MAXMSG, MSGSIZE as u64);
    let mut case = Case::new(Stage::of(name.clone(), options));
    drop(made);
    if let (Unlinker, Some(other)) = (role, &mut other) {
        board.count(GO);
        Case::expect(other, Fate::Exited(0));
    }
    carry_on(role, step, blow, &mut case, &mut victim, &mut vec![])?;

    if victim.wait(PATIENCE) == Fate::Running {
        return Err("the victim does not end".into());
    }
    if errno(open(&name, 0)) != 0 {
        return Err("the new queue has lost its name".into());
    }
    List::open(transport::SHM).map_err(|error| format!("list: {error:?}"))?;
    drop(case);
    match (errno(open(&name, 0)), files(".").len()) {
        (libc::ENOENT, 0) => Ok(()),
        (answer, aside) => Err(format!("at the end open gives {answer}, and {aside} files stay")),
    }
}
