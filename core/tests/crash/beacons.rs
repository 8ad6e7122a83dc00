//! Who changes, makes or removes a queue's beacon is struck in the midst of it: poll is right
//! again at the next call that is refused, and whoever comes gets one that works.

use crate::case::{PATIENCE, wait_until};
use crate::processes::lamp::{BETWEEN, EMPTY, FULL, Lamp, receive, send};
use crate::processes::{Child, Fate, Stage, files, spawn};
use crate::roles::{Blow, Role};
use crate::steps::{AT_THE_NEXT_STEP, wait_for_blow};
use crate::traps::{Trap, set_traps};
use mqueue_core::deadline::Wait;
use mqueue_core::fault::Step;
use mqueue_core::queue::unlink;

const MAXMSG: u64 = 2;
/// What the others do while the victim lies there.
const CALLS: u32 = 500;

fn traps(step: Step, nth: u64, blow: Blow) -> Vec<Trap> {
    let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
    let mut traps = vec![Trap { step: Some(step), nth, signal }];
    if blow == Blow::StopThenKill {
        traps.push(AT_THE_NEXT_STEP);
    }
    traps
}

/// Empty the queue and fill it, and see that poll says so.
fn check(stage: &Stage, lamp: &Lamp) -> Result<(), String> {
    let check = |shown, when: &str| match lamp.shows() {
        as_it_should if as_it_should == shown => Ok(()),
        other => Err(format!("{when}: {other:#x} is shown instead of {shown:#x}")),
    };
    while receive(&stage.queue, Wait::Never).is_ok() {}
    check(EMPTY, "empty")?;
    send(&stage.queue, Wait::Never).map_err(|error| format!("send: {error:?}"))?;
    check(BETWEEN, "one message")?;
    while send(&stage.queue, Wait::Never).is_ok() {}
    check(FULL, "full")?;
    while receive(&stage.queue, Wait::Never).is_ok() {}
    check(EMPTY, "empty again")
}

fn goes_on(victim: &mut Child, blow: Blow) -> Result<(), String> {
    if blow == Blow::Kill {
        return Ok(());
    }
    victim.go_on();
    match victim.wait(PATIENCE) {
        Fate::Exited(0) => Ok(()),
        Fate::Killed(libc::SIGKILL) if blow == Blow::StopThenKill => Ok(()),
        fate => Err(format!("the victim went on: {fate:?}")),
    }
}

/// Sends, or receives, what takes the beacon from one state to the next.
pub fn changed(role: Role, step: Step, blow: Blow) -> Result<(), String> {
    for nth in 1..=2 {
        let stage = Stage::new(MAXMSG, 8);
        let lamp = Lamp::of(&stage.inside);
        let sends = role == Role::BeaconSender;
        while !sends && send(&stage.queue, Wait::Never).is_ok() {}
        let mut victim = spawn(|| {
            let queue = stage.open();
            set_traps(&traps(step, nth, blow));
            for _ in 0..MAXMSG {
                let _ =
                    if sends { send(&queue, Wait::Never) } else { receive(&queue, Wait::Never) };
            }
        });
        wait_for_blow(&mut victim, &[], blow)?;
        let mut other = spawn(|| {
            let queue = stage.open();
            for _ in 0..CALLS {
                let _ = (receive(&queue, Wait::Never), send(&queue, Wait::Never));
            }
        });
        match other.wait(PATIENCE) {
            Fate::Exited(0) => {}
            fate => return Err(format!("the other: {fate:?}")),
        }
        check(&stage, &lamp)?;
        goes_on(&mut victim, blow)?;
        check(&stage, &lamp)?;
    }
    Ok(())
}

fn fifos() -> usize {
    files("mqrs-poll.").len()
}

/// Makes the beacon.
pub fn made(step: Step, blow: Blow) -> Result<(), String> {
    let stage = Stage::new(MAXMSG, 8);
    let mut victim = spawn(|| {
        let inside = stage.open_inside();
        set_traps(&traps(step, 1, blow));
        inside.beacon(true).expect("a beacon");
        // One that is to be killed at the next step gets to one.
        let _ = (send(&stage.queue, Wait::Never), receive(&stage.queue, Wait::Never));
    });
    wait_for_blow(&mut victim, &[], blow)?;
    let lamp = Lamp::of(&stage.inside);
    check(&stage, &lamp)?;
    goes_on(&mut victim, blow)?;
    check(&stage, &lamp)?;
    if fifos() != 1 {
        return Err(format!("{} FIFOs", fifos()));
    }
    // Who is killed before it has its name leaves it under one of no meaning.
    let nameless = files(".mqrs-new-");
    if nameless.len() != usize::from(step == Step::BeaconUnnamed && blow == Blow::Kill) {
        return Err(format!("{nameless:?} is left over"));
    }
    nameless.iter().for_each(|path| std::fs::remove_file(path).expect("removed"));
    drop(stage);
    if fifos() == 0 { Ok(()) } else { Err("the FIFO is left over".into()) }
}

/// Removes the queue's name, and is struck before the FIFO's.
pub fn unlinked(step: Step, blow: Blow) -> Result<(), String> {
    let stage = Stage::new(MAXMSG, 8);
    let lamp = Lamp::of(&stage.inside);
    let mut victim = spawn(|| {
        set_traps(&traps(step, 1, blow));
        unlink(&stage.name).expect("unlinked");
        let _ = (send(&stage.queue, Wait::Never), receive(&stage.queue, Wait::Never));
    });
    wait_for_blow(&mut victim, &[], blow)?;
    let again = Stage::of(stage.name.clone(), stage.options);
    let other = Lamp::of(&again.inside);
    check(&again, &other)?;
    check(&stage, &lamp)?;
    goes_on(&mut victim, blow)?;
    check(&again, &other)?;
    check(&stage, &lamp)?;
    // Whoever has the old queue open removes what is left over.
    drop(stage);
    drop(again);
    wait_until(|| fifos() == 0).map_err(|_| "a FIFO is left over".into())
}
