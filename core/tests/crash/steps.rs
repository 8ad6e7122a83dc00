//! Every step, in every role that gets there, by every blow.

use crate::Report;
use crate::beacons;
use crate::case::{Case, MAXMSG, NOTIFIED, NSLOTS, PATIENCE, POLLED, RECEIVED, wait_until};
use crate::endings;
use crate::processes::work::{BATCH, How, MSGSIZE, Receiver};
use crate::processes::{Child, Fate, Rng, Stage, new_name, options, pause, spawn};
use crate::roles::{
    Blow,
    Role::{self, *},
    roles,
};
use crate::traps::{Trap, set_traps};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Errno;
use mqueue_core::fault::Step;
use mqueue_core::queue::Queue;
use std::time::{Duration, Instant};

/// What each of the others must complete while the victim lies there.
const OPERATIONS: u64 = 2000;

pub const AT_THE_NEXT_STEP: Trap = Trap { step: None, nth: 1, signal: libc::SIGKILL };

/// Wait until the signal has struck; meanwhile the others are stopped for moments, so
/// that every overlap of two calls happens soon, however many processors there are.
pub fn wait_for_blow(victim: &mut Child, others: &[Child], blow: Blow) -> Result<(), String> {
    let begun = Instant::now();
    let mut rng = Rng::new(7);
    while victim.look() == Fate::Running && begun.elapsed() < PATIENCE {
        pause(Duration::from_micros(100));
        if begun.elapsed() > Duration::from_millis(5) && !others.is_empty() {
            let one = &others[rng.below(others.len() as u64) as usize];
            one.signal(libc::SIGSTOP);
            pause(Duration::from_micros(50 + rng.below(500)));
            one.signal(libc::SIGCONT);
        }
    }
    let wanted = if blow == Blow::Kill { Fate::Killed(libc::SIGKILL) } else { Fate::Stopped };
    match victim.look() {
        fate if fate == wanted => Ok(()),
        Fate::Running => Err("the step is never reached".into()),
        fate => Err(format!("the victim: {fate:?}")),
    }
}

/// The victim of a case with its others, after the blow.
pub struct Struck {
    pub case: Case,
    pub victim: Child,
    pub others: Vec<Child>,
}

fn strike(role: Role, step: Step, blow: Blow) -> Result<Struck, String> {
    let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
    let nth = if role.is_alone() { 1 } else { 3 };
    let before = role.stops_before();
    let stop = |(step, nth)| Trap { step: Some(step), nth, signal: libc::SIGSTOP };
    let mut traps: Vec<Trap> = before.map(stop).into_iter().collect();
    traps.push(Trap { step: Some(step), nth, signal });
    if blow == Blow::StopThenKill {
        traps.push(AT_THE_NEXT_STEP);
    }
    let flags = if role.redelivers() { option::REDELIVER } else { 0 };
    let options = OpenOptions { flags, ..options(MAXMSG, MSGSIZE as u64) };
    let mut case = Case::new(Stage::of(new_name(), options));
    case.prepare(role);
    let numbers = (role == Successor).then(|| {
        let numbers = case.stage.leave_numbers(1);
        case.accomplice_claims(NSLOTS);
        numbers
    });
    let mut victim = case.victim(role, &traps);
    case.follow_up(role);
    let others = if role.is_alone() { vec![] } else { case.others(role) };
    if role == HeirRefused {
        Case::expect(&mut victim, Fate::Stopped);
        case.send_some_as(8, role.shape());
        victim.go_on();
    } else if before.is_some() {
        // Another takes the first of the two messages, or completes our taking it.
        Case::expect(&mut victim, Fate::Stopped);
        Receiver::new(&case.ledger, &case.stage.queue, 98, How::Try, 1).receive_one();
        victim.go_on();
    }
    wait_for_blow(&mut victim, &others, blow)?;
    drop(numbers);
    Ok(Struck { case, victim, others })
}

/// The same for a process that makes the queue.
fn strike_creator(step: Step, blow: Blow) -> Result<Struck, String> {
    let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
    let options = options(MAXMSG, MSGSIZE as u64);
    let name = new_name();
    let mut victim = spawn(|| {
        let traps = [Trap { step: Some(step), nth: 1, signal }, AT_THE_NEXT_STEP];
        set_traps(if blow == Blow::StopThenKill { &traps } else { &traps[..1] });
        let queue = Queue::open(Some(&name), libc::O_CREAT | libc::O_RDWR, &options);
        queue.and_then(|queue| queue.attr()).expect("a queue that works");
    });
    wait_for_blow(&mut victim, &[], blow)?;
    let is_there = Queue::open(Some(&name), libc::O_RDWR, &options).is_ok();
    if is_there != (step == Step::CreateNamed) {
        return Err(format!("at this step the name is there: {is_there}"));
    }
    Ok(Struck { case: Case::new(Stage::of(name, options)), victim, others: vec![] })
}

/// Who shuts the queue down dies or stops before it wakes anybody: those who sleep end all the
/// same, and what was sent is received.
fn shut(step: Step, blow: Blow) -> Result<(), String> {
    let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
    let stage = Stage::new(MAXMSG, MSGSIZE as u64);
    let sleeper = |sends: bool| {
        let queue = stage.open();
        // SAFETY: nothing to read, and a buffer that is writable.
        let ended = unsafe {
            match sends {
                true => queue.send(std::ptr::null(), 0, 0, Wait::Unlimited),
                false => {
                    queue.receive([0u8; MSGSIZE].as_mut_ptr(), MSGSIZE, Wait::Unlimited).map(drop)
                }
            }
        };
        assert_eq!(ended, Err(Errno(libc::EPIPE)));
    };
    let mut receiver = spawn(|| sleeper(false));
    while Case::sleepers(&stage) == 0 {
        pause(Duration::from_millis(1));
    }
    let mut victim = spawn(|| {
        set_traps(&[Trap { step: Some(step), nth: 1, signal }]);
        stage.open().shutdown().expect("shut down");
    });
    wait_for_blow(&mut victim, &[], blow)?;
    let mut sender = spawn(|| sleeper(true));
    for child in [&mut receiver, &mut sender] {
        let fate = child.wait(PATIENCE);
        if fate != Fate::Exited(0) {
            return Err(format!("after the shutdown: {fate:?}"));
        }
    }
    if blow != Blow::Kill {
        victim.go_on();
        victim.wait(PATIENCE);
    }
    match stage.census()[0] {
        free if free == NSLOTS as u32 => Ok(()),
        free => Err(format!("{free} slots are free")),
    }
}

fn run(role: Role, step: Step, blow: Blow) -> Result<(), String> {
    let Struck { mut case, mut victim, mut others } = match role {
        Creator => strike_creator(step, blow)?,
        Shutter => return shut(step, blow),
        BeaconSender | BeaconReceiver => return beacons::changed(role, step, blow),
        BeaconMaker => return beacons::made(step, blow),
        BeaconUnlinker => return beacons::unlinked(step, blow),
        LastUser | LateComer | Unlinker => return endings::run(role, step, blow),
        _ => strike(role, step, blow)?,
    };
    let result = carry_on(role, step, blow, &mut case, &mut victim, &mut others);
    if result.is_err() {
        case.stage.dump();
    }
    result
}

pub fn carry_on(
    role: Role,
    step: Step,
    blow: Blow,
    case: &mut Case,
    victim: &mut Child,
    others: &mut Vec<Child>,
) -> Result<(), String> {
    let in_a_call = if role.is_in_batches() { BATCH } else { 1 };
    let has_received = if role.receives() && blow != Blow::Stop { in_a_call } else { 0 };
    if role.redelivers() {
        case.killed_workers += has_received;
    } else {
        case.killed_receivers += has_received;
    }
    if matches!(role, Notifier | StayingNotifier)
        && !matches!(step, Step::SendClaimed | Step::SendCopied)
    {
        wait_until(|| case.board.get(NOTIFIED) > 0).map_err(|_| "the registrant is deaf")?;
    }
    if role == Caller {
        wait_until(|| case.board.get(RECEIVED) > 0).map_err(|_| "the receiver sleeps on")?;
    }
    if role == Waker {
        wait_until(|| case.board.get(POLLED) > 0).map_err(|_| "the poller sleeps on")?;
    }
    if role.is_alone() {
        *others = case.others(role);
    }
    case.others_complete(others, OPERATIONS)?;
    if role == Registrant && blow == Blow::Kill {
        case.another_can_register()?;
    }
    if blow != Blow::Kill {
        victim.go_on();
        case.others_complete(others, OPERATIONS / 4)?;
    }
    if blow == Blow::StopThenKill {
        let fate = victim.wait(PATIENCE);
        // Past its last step such a one has nothing left to be killed at.
        if fate != Fate::Killed(libc::SIGKILL) && !role.soon_ends() {
            return Err(format!("continued to be killed: {fate:?}"));
        }
    }
    if role.soon_ends() {
        let fate = victim.wait(PATIENCE);
        if !matches!(fate, Fate::Exited(0) | Fate::Killed(libc::SIGKILL)) {
            return Err(format!("the victim: {fate:?}"));
        }
    }
    case.finish(victim, role, others)?;
    case.judge()
}

/// Every step in every role by every blow.
pub fn steps(report: &mut Report) {
    for &step in Step::ALL {
        for &role in roles(step) {
            for blow in [Blow::Kill, Blow::Stop, Blow::StopThenKill] {
                report.case(&format!("{blow:?} {role:?} {step:?}"), || run(role, step, blow));
            }
        }
        let is_elsewhere = format!("{step:?}").starts_with("Typed");
        assert!(is_elsewhere || !roles(step).is_empty(), "no role reaches {step:?}");
    }
}
