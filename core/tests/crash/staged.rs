//! Cases that a blow at a step does not make alone, each staged by hand.

use crate::Report;
use crate::case::{Board, Case, GO, MAXMSG, NOTIFIED, NSLOTS, PATIENCE, READY, leave, wait_until};
use crate::processes::work::{self, How, MSGSIZE, Receiver, Sender, Shape, drain};
use crate::processes::{Fate, Numbers, Stage, new_name, open_inside, options, pause, spawn};
use crate::roles::{
    Blow,
    Role::{LaneReceiver, LaneSender},
};
use crate::steps::carry_on;
use crate::traps::{Trap, set_traps};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::deadline::Wait;
use mqueue_core::fault::Step;
use mqueue_core::message::Outgoing;
use mqueue_core::queue::Queue;
use mqueue_core::shm::layout::OWNERS;
use mqueue_core::shm::word::{Tail, Word};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::transport::Transport as _;
use std::time::{Duration, Instant};

/// Nobody misses one who was killed, or stopped, while asleep.
pub fn asleep(report: &mut Report) {
    for role in [LaneSender, LaneReceiver] {
        for blow in [Blow::Kill, Blow::Stop] {
            report.case(&format!("{blow:?} {role:?} asleep"), || {
                let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
                let never = Trap { step: None, nth: u64::MAX, signal: 0 };
                let mut victim = case.victim(role, &[never]);
                wait_until(|| case.asleep() > 0)?;
                let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
                victim.signal(signal);
                victim.wait(PATIENCE);
                let mut others = case.others(role);
                carry_on(role, Step::WaitWoken, blow, &mut case, &mut victim, &mut others)
            });
        }
    }
}

/// A wake that never comes, because the waker was killed before it or the woken one after
/// it, is made good by the next look of the sleeper; nobody else is there to help.
pub fn unwoken(report: &mut Report) {
    for (step, sleepers) in
        [(Step::SendUnwoken, 1), (Step::ReceiveUnwoken, 1), (Step::WaitWoken, 2)]
    {
        report.case(&format!("a wake lost at {step:?}"), || {
            let mut case = Case::new(Stage::new(1, MSGSIZE as u64));
            let (ledger, board) = (&case.ledger, &case.board);
            let send = |number, how| {
                let queue = case.stage.open();
                Sender::new(ledger, &queue, number, how, Shape::Lane, 1).send_one(|| true);
            };
            let receive = |number| {
                let queue = case.stage.open();
                Receiver::new(ledger, &queue, number, How::Block, 1).receive_one();
                board.count(READY);
            };
            let trap = || Trap { step: Some(step), nth: 1, signal: libc::SIGKILL }.set();
            if step == Step::ReceiveUnwoken {
                send(1, How::Try);
            }
            let mut all = vec![];
            for k in 0..sleepers {
                all.push(spawn(|| {
                    if step == Step::ReceiveUnwoken {
                        return send(2, How::Block);
                    }
                    if step == Step::WaitWoken && k == 0 {
                        trap();
                    }
                    receive(2 + k)
                }));
                wait_until(|| case.asleep() as u64 > k)?;
            }
            // So that the sleep, and not the poll before it, is what ends.
            pause(Duration::from_millis(1));
            all.push(spawn(|| {
                if step != Step::WaitWoken {
                    trap();
                }
                if step == Step::ReceiveUnwoken { receive(1) } else { send(1, How::Try) }
            }));
            let mut killed = 0;
            for child in &mut all {
                match child.wait(PATIENCE) {
                    Fate::Killed(libc::SIGKILL) => killed += 1,
                    Fate::Exited(0) => {}
                    fate => return Err(format!("{fate:?}")),
                }
            }
            if killed != 1 {
                return Err(format!("not as arranged: {killed} killed"));
            }
            case.killed_receivers = usize::from(step == Step::ReceiveUnwoken);
            case.judge()
        });
    }
}

/// A child made by fork lives on; what its killed parent held comes back all the same.
pub fn forked(report: &mut Report) {
    for child_sends in [false, true] {
        report.case(&format!("Kill parent of a child that sends: {child_sends}"), || {
            let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
            let board = &case.board;
            let mut parent = spawn(|| {
                let queue = case.stage.open();
                let child = spawn(|| {
                    // SAFETY: touches no memory. This child shall outlive its parent.
                    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
                    if child_sends {
                        Sender::new(&case.ledger, &queue, 2, How::Try, Shape::Lane, 1)
                            .send_one(|| true);
                    }
                    board.count(READY);
                    let until = Instant::now() + PATIENCE;
                    while !board.is_over() && Instant::now() < until {
                        pause(Duration::from_millis(1));
                    }
                    board.count(NOTIFIED);
                });
                wait_until(|| board.get(READY) > 0).expect("the child begins");
                let kill = libc::SIGKILL;
                Trap { step: Some(Step::SendClaimed), nth: 1, signal: kill }.set();
                Sender::new(&case.ledger, &queue, 1, How::Try, Shape::Lane, 1).send_one(|| true);
                drop(child);
            });
            let fate = parent.wait(PATIENCE);
            if fate != Fate::Killed(libc::SIGKILL) || case.stage.census()[1] != 1 {
                return Err(format!("not as arranged: {fate:?}, {:?}", case.stage.census()));
            }
            case.stage.engine().reclaim();
            let census = case.stage.census();
            case.board.end();
            wait_until(|| case.board.get(NOTIFIED) > 0)?;
            if census[1] != 0 {
                return Err(format!("the parent still holds a slot: {census:?}"));
            }
            case.judge()
        });
    }
    report.case("Kill all that hold slots, and a forked child sends", || {
        let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
        (0..NSLOTS).for_each(|_| case.accomplice_sends(Step::SendClaimed, Shape::Four));
        let mut child = spawn(|| {
            let queue = &case.stage.queue;
            Sender::new(&case.ledger, queue, 1, How::Try, Shape::Lane, 1).send_one(|| true);
        });
        leave(&mut [&mut child])?;
        let sent = case.stage.queue.attr().map(|attr| attr.curmsgs);
        if sent != Ok(1) {
            return Err(format!("a forked child finds no slot: {sent:?} sent"));
        }
        case.judge()
    });
}

/// Children of a creator that may not open the file share its description, whose locks do
/// not keep them apart; they get numbers of their own all the same.
pub fn relatives(report: &mut Report) {
    report.case("children that may not open the file", || {
        let name = new_name();
        let mut creator = spawn(|| {
            // SAFETY: touches no memory. Root may open anything; nobody may not.
            unsafe {
                if libc::geteuid() == 0 {
                    assert_eq!(libc::setuid(65534), 0);
                }
            }
            let options = OpenOptions {
                flags: option::EXACT_MODE,
                mode: 0o400,
                ..options(MAXMSG, MSGSIZE as u64)
            };
            let queue = open_inside(&name, libc::O_CREAT | libc::O_RDWR, &options);
            let _numbers = Numbers::leave(queue.dup_fd().expect("a descriptor"), 2);
            let board = Board::new();
            let children = [0; 2].map(|_| {
                spawn(|| {
                    // SAFETY: 8 readable bytes.
                    unsafe { queue.send([0u8; 8].as_ptr(), 8, 0, Wait::Never) }.expect("send");
                    board.count(READY);
                    wait_until(|| board.is_over()).expect("the end");
                })
            });
            wait_until(|| board.get(READY) == 2).expect("both send");
            let segment = queue.attachment().expect("attached").engine().segment();
            let pids: Vec<u32> = (0..OWNERS)
                .filter_map(|owner| segment.owner(owner))
                .map(|row| row.pid.load(SeqCst))
                .filter(|&pid| pid != 0)
                .collect();
            board.end();
            drop(children);
            assert_eq!(pids.len(), 3, "owners of numbers of their own: {pids:?}");
        });
        match creator.wait(PATIENCE) {
            Fate::Exited(0) => Ok(()),
            fate => Err(format!("{fate:?}")),
        }
    });
}

/// While somebody gives back what a dead owner held, its number rests; else a newcomer
/// with that number could make a claim like the dead one's, and lose it.
pub fn resting(report: &mut Report) {
    report.case("a dead owner's number rests", || {
        let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
        let numbers = case.stage.leave_numbers(2);
        let board = &case.board;
        let mut reclaimer = spawn(|| {
            let queue = case.stage.open();
            board.count(READY);
            wait_until(|| board.is_over()).expect("its turn");
            Trap { step: Some(Step::ReclaimFound), nth: 1, signal: libc::SIGSTOP }.set();
            Sender::new(&case.ledger, &queue, 1, How::Try, Shape::Lane, 1).send_one(|| true);
        });
        wait_until(|| board.get(READY) > 0)?;
        case.accomplice_claims(NSLOTS);
        case.board.end();
        Case::expect(&mut reclaimer, Fate::Stopped);
        let open = || Queue::open(Some(&case.stage.name), libc::O_RDWR, &case.stage.options);
        let early = open().map(drop).map_err(|error| error.0);
        reclaimer.go_on();
        Case::expect(&mut reclaimer, Fate::Exited(0));
        let late = open().map(drop).map_err(|error| error.0);
        drop(numbers);
        if (early, late) != (Err(libc::EUSERS), Ok(())) {
            return Err(format!("the number was given early {early:?} or late {late:?}"));
        }
        case.judge()
    });
}

/// So it does while an heir has in hand what the dead one had acquired: there may be no room
/// for it, and then it is the dead one's again.
pub fn resting_with_an_heir(report: &mut Report) {
    report.case("a dead owner's number rests while there is an heir", || {
        let options = OpenOptions { flags: option::REDELIVER, ..options(1, MSGSIZE as u64) };
        let stage = Stage::of(new_name(), options);
        let send = || work::send(&stage.queue, &[0; MSGSIZE], 0, Wait::Never);
        let stop_at = |step| Trap { step: Some(step), nth: 1, signal: libc::SIGSTOP }.set();
        send().map_err(|error| format!("{error:?}"))?;
        let numbers = stage.leave_numbers(2);
        let mut dead = spawn(|| {
            let queue = stage.open();
            queue.acquire(Wait::Never).expect("there is one");
            // SAFETY: touches no memory.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        });
        Case::expect(&mut dead, Fate::Killed(libc::SIGKILL));
        let owner_of = |index| {
            let slot = stage.engine().segment().slot(index)?;
            let word = Word(slot.word.load(SeqCst));
            word.is_taken().then_some(word.owner())
        };
        let holder = || (0..NSLOTS as u32).find_map(owner_of);
        let Some(number) = holder() else { return Err("not as arranged: not TAKEN".into()) };

        let mut heir = spawn(|| {
            let inside = stage.open_inside();
            stop_at(Step::ReturnStamped);
            inside.attachment().expect("attached").engine().reclaim();
        });
        Case::expect(&mut heir, Fate::Stopped);
        send().map_err(|error| format!("no room: {error:?}"))?;
        let mut clearer = spawn(|| {
            stop_at(Step::ReclaimSwept);
            // The heir, who has gone by then, leaves another.
            let inside = stage.open_inside();
            assert_ne!(inside.attachment().expect("attached").engine().owner(), number);
        });
        Case::expect(&mut clearer, Fate::Stopped);
        heir.go_on();
        Case::expect(&mut heir, Fate::Exited(0));
        clearer.go_on();
        let fate = clearer.wait(PATIENCE);
        drop(numbers);
        match (holder(), fate) {
            (Some(holder), Fate::Exited(0)) if holder == number => Ok(()),
            other => Err(format!("number {number} was given to another: {other:?}")),
        }
    });
}

/// A slot of a dead sender may hold a message that was sent: the last one.
pub fn sent_by_the_dead(report: &mut Report) {
    report.case("a reclaimed slot that was sent", || {
        let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
        case.accomplice_sends(Step::SendPublished, Shape::Four);
        case.accomplice_claims(NSLOTS - 1);
        // No slot is free: this one reclaims before it confirms the send before.
        Sender::new(&case.ledger, &case.stage.queue, 1, How::Try, Shape::Four, 1).send_one(|| true);
        drain(&case.ledger, &case.stage.queue, 98);
        let received = case.ledger.count_received();
        if received != 2 {
            return Err(format!("{received} messages instead of 2"));
        }
        case.judge()
    });
}

/// 1024 can attach, and no more until one has left.
pub fn crowd(report: &mut Report) {
    report.case("a crowd of 1024", || {
        let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
        // A number that was locked while its dead holder's slot was freed counts, too.
        case.accomplice_sends(Step::SendClaimed, Shape::Four);
        let stage = &case.stage;
        if !stage.engine().reclaim() {
            return Err("not as arranged: nothing to reclaim".into());
        }
        let open = || Queue::open(Some(&stage.name), libc::O_RDWR, &stage.options);
        let mut child = spawn(|| {
            let limit = libc::rlimit { rlim_cur: 2048, rlim_max: 2048 };
            // SAFETY: reads one rlimit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
            let mut handles = vec![];
            let refused = loop {
                match open() {
                    Ok(queue) => handles.push(queue),
                    Err(error) => break error.0,
                }
            };
            // The stage has two.
            assert_eq!((refused, handles.len()), (libc::EUSERS, 1022));
            handles.pop();
            handles.push(open().expect("a number has come free"));
            assert_eq!(open().err().map(|error| error.0), Some(libc::EUSERS));
            // SAFETY: touches no memory.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        });
        match child.wait(PATIENCE) {
            Fate::Killed(libc::SIGKILL) => open().map(drop).map_err(|error| format!("{error:?}")),
            fate => Err(format!("{fate:?}")),
        }
    });
}

/// A receiver that chose a message out of turn stamps it late, when the queue is a lane
/// again and that message its next one, and is killed: the lane must not stand still.
pub fn late_stamp(report: &mut Report) {
    report.case("a late stamp in a lane", || {
        let mut case = Case::new(Stage::new(4, MSGSIZE as u64));
        for prio in [1, 5, 5] {
            work::send(&case.stage.queue, &[0; 16], prio, Wait::Never).expect("room for three");
        }
        let take = |wanted: u32| {
            let inside = open_inside(&case.stage.name, libc::O_RDWR, &case.stage.options);
            let mut buffer = [0; MSGSIZE];
            // SAFETY: the buffer is writable for its length.
            let taken = unsafe {
                let engine = inside.attachment().expect("attached").engine();
                engine
                    .try_take(buffer.as_mut_ptr(), MSGSIZE, |prio, _| (prio == wanted).then_some(1))
            };
            taken.expect("there is one").1
        };
        let mut victim = spawn(|| {
            let stop = libc::SIGSTOP;
            let kill = Trap { step: Some(Step::ReceiveStamped), nth: 1, signal: libc::SIGKILL };
            set_traps(&[Trap { step: Some(Step::ReceiveChosen), nth: 1, signal: stop }, kill]);
            take(5);
        });
        Case::expect(&mut victim, Fate::Stopped);
        let mut other = spawn(|| assert_eq!(take(1), 1));
        Case::expect(&mut other, Fate::Exited(0));
        // Looks that take nothing, since the message does not fit, until it is a lane.
        let tail = || Tail(case.stage.engine().segment().control().tail.0.load(SeqCst));
        for _ in 0..100 {
            let refused = work::receive(&case.stage.queue, &mut [0; 8], Wait::Never);
            if refused.map_err(|error| error.0) != Err(libc::EMSGSIZE) {
                return Err(format!("{refused:?} instead of EMSGSIZE"));
            }
        }
        if tail().is_mixed() {
            return Err("not as arranged: still mixed".into());
        }
        victim.go_on();
        Case::expect(&mut victim, Fate::Killed(libc::SIGKILL));
        for _ in 0..2 {
            let got = work::receive(&case.stage.queue, &mut [0; MSGSIZE], Wait::Never);
            if got != Ok((16, 5)) {
                return Err(format!("{got:?} instead of a message"));
            }
        }
        case.judge()
    });
}

/// A receiver is stopped when it has found the finder's holder dead; another process gets
/// the dead one's owner number and the lock, and must not lose it to the first.
pub fn robbery(report: &mut Report) {
    report.case("a stopped stealer of the finder", || {
        let mut case = Case::new(Stage::new(4, MSGSIZE as u64));
        let mut sender = Sender::new(&case.ledger, &case.stage.queue, 9, How::Try, Shape::All, 1);
        (0..4).for_each(|_| sender.send_one(|| true));
        let numbers = case.stage.leave_numbers(2);
        let board = &case.board;
        let receive = |number, step, signal, may_begin: &dyn Fn() -> bool| {
            let queue = case.stage.open();
            board.count(READY);
            wait_until(may_begin).expect("its turn");
            Trap { step: Some(step), nth: 1, signal }.set();
            Receiver::new(&case.ledger, &queue, number, How::Try, 1).receive_one();
        };
        let mut stealer =
            spawn(|| receive(1, Step::FinderStealing, libc::SIGSTOP, &|| board.get(GO) > 0));
        wait_until(|| board.get(READY) == 1)?;
        let mut dead = spawn(|| receive(2, Step::FinderLocked, libc::SIGKILL, &|| true));
        Case::expect(&mut dead, Fate::Killed(libc::SIGKILL));
        let lock = || case.stage.engine().segment().control().finder.0.lock.load(SeqCst) as u32;
        let dead_holder = lock();
        board.count(GO);
        Case::expect(&mut stealer, Fate::Stopped);
        let mut successor = spawn(|| receive(3, Step::FinderLocked, libc::SIGSTOP, &|| true));
        Case::expect(&mut successor, Fate::Stopped);
        if lock() != dead_holder {
            return Err("not as arranged: the successor has another number".into());
        }
        stealer.go_on();
        let fate = stealer.wait(PATIENCE);
        if fate != Fate::Exited(0) || lock() != dead_holder {
            return Err(format!("the successor was robbed: {fate:?}, holder {}", lock()));
        }
        successor.go_on();
        Case::expect(&mut successor, Fate::Exited(0));
        drop(numbers);
        case.judge()
    });
}

/// Senders of many messages at once are stopped with all the slots that they may hold; the
/// others have theirs, and fill the queue.
pub fn batches(report: &mut Report) {
    report.case("stopped in batches", || {
        const MESSAGES: u64 = 32;
        let stage = Stage::new(MESSAGES, MSGSIZE as u64);
        let mut stopped = [0; 3].map(|_| {
            let mut child = spawn(|| {
                let queue = stage.open();
                Trap { step: Some(Step::SendCopied), nth: 1, signal: libc::SIGSTOP }.set();
                let data = [0; MSGSIZE];
                let message =
                    |_| Outgoing { data: data.as_ptr(), len: MSGSIZE, prio: 0, kind: 0, flags: 0 };
                // SAFETY: readable for its length.
                unsafe { queue.send_batch(MESSAGES as usize, message, Wait::Never) }.expect("room");
            });
            Case::expect(&mut child, Fate::Stopped);
            // The next one finds other slots where the index says.
            for _ in 0..MESSAGES / 2 {
                work::send(&stage.queue, &[0; MSGSIZE], 0, Wait::Never).expect("room");
                work::receive(&stage.queue, &mut [0; MSGSIZE], Wait::Never).expect("a message");
            }
            child
        });
        let held = stage.census()[1];
        if held <= MESSAGES as u32 / 2 {
            return Err(format!("not as arranged: {held} slots held by three batches"));
        }
        for sent in 0..MESSAGES {
            if let Err(error) = work::send(&stage.queue, &[0; MSGSIZE], 0, Wait::Never) {
                return Err(format!("{error:?} after {sent} sends, {held} slots are held"));
            }
        }
        stopped.iter_mut().for_each(|child| child.kill());
        while work::receive(&stage.queue, &mut [0; MSGSIZE], Wait::Never).is_ok() {}
        stage.check_as_new()
    });
}
