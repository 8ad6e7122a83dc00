//! A process is killed or stopped at every named step of the algorithms, in every role
//! that gets there, while others send and receive; they must go on as if nothing had
//! happened, and at the end nothing may be wrong with any message or with the queue.
//!
//! `cargo test -p mqueue_core --features faults --test crash -- WORD` runs the cases
//! whose name contains WORD.
//!
//! A case: one victim, armed with a step and a signal, works until the signal strikes.
//! From then on two senders and two receivers each complete [`OPERATIONS`]. A stopped
//! victim goes on then, or goes on and is killed at its very next step, while the others
//! complete some more. Then everybody leaves and the ledger is judged.

mod processes;

use mqueue_core::deadline::Wait;
use mqueue_core::fault::{Step, arm};
use mqueue_core::queue::{Notification, Queue};
use mqueue_core::shm::word::Tail;
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::SeqCst;
use processes::ledger::{Ledger, OUT_OF_TURN, Shared};
use processes::work::{How, MSGSIZE, Receiver, Sender, Shape, drain, note, send_pill};
use processes::{Child, Fate, Numbers, Rng, Stage, begin, now, options, pause, spawn};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What each of the others must complete while the victim lies there.
const OPERATIONS: u64 = 2000;
/// Slots: 2 + 32 spare ones.
const MAXMSG: u64 = 2;
const NSLOTS: u64 = 34;
/// After this time something hangs. Nothing here takes more than a fraction of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the victim does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    LaneSender,
    MixedSender,
    LaneReceiver,
    MixedReceiver,
    /// Takes the lowest priority, past the finder.
    Taker,
    /// Sends behind one that was killed between its send and the change of its slot.
    Heir,
    /// Receives after one that was killed with the finder's lock.
    FinderHeir,
    /// Receives beside one that is stopped with the finder's lock.
    Bystander,
    /// Receives, having been stopped in the finder while others took what it had found.
    Sluggard,
    /// Receives, having been stopped when another completed its receive.
    Outrun,
    /// Sends where the dead hold every free slot.
    Reclaimer,
    /// Attaches with the owner number of one that was killed with every slot.
    Successor,
    /// Sends through a handle inherited by fork.
    Inheritor,
    Attacher,
    Creator,
    /// Registers for notification, and drops the registration.
    Registrant,
    /// Sends to an empty queue with a registration.
    Notifier,
}
use Role::*;

/// Which roles must reach a step.
fn roles(step: Step) -> &'static [Role] {
    const SENDERS: &[Role] = &[LaneSender, MixedSender, Inheritor, Notifier];
    const RECEIVERS: &[Role] = &[LaneReceiver, MixedReceiver];
    const TAKERS: &[Role] = &[LaneReceiver, MixedReceiver, Taker];
    match step {
        Step::SendClaimed | Step::SendCopied => SENDERS,
        Step::SendPublished | Step::SendConfirmed | Step::SendHinted => SENDERS,
        Step::SendIndexed => SENDERS,
        Step::SendUnwoken => &[LaneSender, MixedSender, Inheritor],
        Step::SendHelped => &[Heir, LaneSender, MixedSender],
        Step::SendLinearized => &[MixedSender],
        Step::ReceiveBegun => RECEIVERS,
        Step::ReceiveSnapped => &[MixedReceiver, Taker],
        Step::ReceiveChosen => &[LaneReceiver, MixedReceiver, Taker, Bystander],
        Step::ReceiveStamped | Step::ReceivePublished => TAKERS,
        Step::ReceiveFinalized | Step::ReceiveCopied | Step::ReceiveUnwoken => TAKERS,
        Step::ReceiveLost => &[Outrun, MixedReceiver, Taker],
        Step::LaneUnsettled | Step::LaneHalfway => &[MixedReceiver],
        Step::FinderStealing => &[FinderHeir],
        Step::FinderWanted | Step::FinderLocked | Step::FinderDrained => &[MixedReceiver],
        Step::FinderHalfway | Step::FinderStale | Step::FinderPopped => &[MixedReceiver],
        Step::FinderRebuilding => &[FinderHeir],
        Step::FinderDropped => &[Sluggard],
        Step::TakeMixed => &[Taker],
        Step::WaitAnnounced | Step::WaitWoken => {
            &[LaneSender, MixedSender, LaneReceiver, MixedReceiver]
        }
        Step::ReclaimFound => &[Reclaimer, Successor],
        Step::NotifyRegistered | Step::NotifyDisarmed => &[Registrant],
        Step::NotifyFired | Step::NotifyUnwoken => &[Notifier],
        Step::AttachLocked => &[Attacher, Inheritor, Successor],
        Step::CreateUnnamed | Step::CreateNamed => &[Creator],
    }
}

impl Role {
    fn shape(self) -> Shape {
        match self {
            LaneSender | LaneReceiver | Outrun => Shape::Lane,
            _ => Shape::Four,
        }
    }

    fn receives(self) -> bool {
        matches!(
            self,
            LaneReceiver | MixedReceiver | Taker | FinderHeir | Bystander | Sluggard | Outrun
        )
    }

    /// Whether the others begin only when the signal has struck.
    fn is_alone(self) -> bool {
        matches!(
            self,
            Heir | FinderHeir
                | Bystander
                | Sluggard
                | Outrun
                | Reclaimer
                | Successor
                | Inheritor
                | Creator
                | Notifier
        )
    }
}

/// What happens to the victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blow {
    Kill,
    /// Stopped, later continued.
    Stop,
    /// Stopped, later continued and killed at the next step whichever.
    StopThenKill,
}

/// A signal at a step.
#[derive(Clone, Copy)]
struct Trap {
    step: Option<Step>,
    nth: u64,
    signal: i32,
}

impl Trap {
    fn set(self) {
        arm(self.step, self.nth, self.signal);
    }
}

/// What is set when the process is continued.
static mut NEXT_TRAP: Option<Trap> = None;

extern "C" fn continued(_: i32) {
    // SAFETY: written before the handler was installed; one thread.
    unsafe {
        if let Some(trap) = NEXT_TRAP {
            trap.set();
        }
        NEXT_TRAP = None;
    }
}

/// Set a trap, and another for the time after a stop.
fn set_traps(first: Trap, next: Option<Trap>) {
    if next.is_some() {
        // SAFETY: one thread; the handler stores to atomics only.
        unsafe {
            NEXT_TRAP = next;
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = continued as extern "C" fn(i32) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGCONT, &action, std::ptr::null_mut());
        }
    }
    first.set();
}

/// A queue, and a message that cannot be read.
static mut UNREADABLE: Option<(*const Queue, *const u8)> = None;
static mut TO_BEGIN: u64 = 0;

/// Begin one more send of the unreadable message, or be killed.
extern "C" fn cannot_read(_: i32) {
    // SAFETY: one thread; set before by `accomplice_claims`. The read of the message
    // is meant to fail.
    unsafe {
        if TO_BEGIN == 0 {
            libc::kill(libc::getpid(), libc::SIGKILL);
        }
        TO_BEGIN -= 1;
        if let Some((queue, message)) = UNREADABLE {
            let _ = (*queue).send(message, 8, 0, Wait::Never);
        }
    }
}

/// Words that all processes of a case share.
struct Board(Shared<AtomicU64>);

const PHASE: usize = 0;
const NOTIFIED: usize = 1;
const READY: usize = 2;
const OTHERS: usize = 3;

impl Board {
    fn new() -> Board {
        Board(Shared::new(16))
    }
    fn is_over(&self) -> bool {
        self.0[PHASE].load(SeqCst) != 0
    }
    fn end(&self) {
        self.0[PHASE].store(1, SeqCst);
    }
    fn count(&self, at: usize) {
        self.0[at].fetch_add(1, SeqCst);
    }
    fn get(&self, at: usize) -> u64 {
        self.0[at].load(SeqCst)
    }
}

/// Numbers of messages' senders and receivers.
const VICTIM: u64 = 1;
const ACCOMPLICE: u64 = 2;
const OTHER: u64 = 10;

struct Case {
    stage: Stage,
    ledger: Ledger,
    board: Board,
    killed_receivers: usize,
    accomplices: Vec<Child>,
}

fn send_until_over(ledger: &Ledger, board: &Board, queue: &Queue, number: u64, shape: Shape) {
    let mut sender = Sender::new(ledger, queue, number, How::Block, shape, number);
    while !board.is_over() {
        sender.send_one(|| board.is_over());
        board.count(OTHERS + (number as usize).saturating_sub(OTHER as usize) % 8);
    }
}

impl Case {
    fn new(stage: Stage) -> Case {
        Case {
            stage,
            ledger: Ledger::new(1 << 21, 1),
            board: Board::new(),
            killed_receivers: 0,
            accomplices: vec![],
        }
    }

    /// Before the victim begins.
    fn prepare(&mut self, role: Role) {
        match role {
            Heir => self.accomplice_sends(Step::SendPublished),
            FinderHeir => {
                self.send_some(role.shape());
                self.accomplice_receives(Step::FinderLocked, libc::SIGKILL);
            }
            Bystander => {
                self.send_some(role.shape());
                self.accomplice_receives(Step::FinderLocked, libc::SIGSTOP);
            }
            Sluggard | Outrun => self.send_some(role.shape()),
            Reclaimer => self.accomplice_claims(NSLOTS),
            Notifier => self.accomplice_registers(),
            _ => {}
        }
    }

    /// Two messages, of two priorities if there may be several.
    fn send_some(&self, shape: Shape) {
        let shape = if shape == Shape::Lane { shape } else { Shape::All };
        let sender = Sender::new(&self.ledger, &self.stage.queue, 9, How::Try, shape, 1);
        let mut sender = sender;
        sender.send_one(|| true);
        sender.send_one(|| true);
    }

    fn expect(child: &mut Child, fate: Fate) {
        assert_eq!(child.wait(PATIENCE), fate, "an accomplice");
    }

    fn accomplice_sends(&mut self, step: Step) {
        let number = ACCOMPLICE + 100 + self.accomplices.len() as u64;
        let mut child = spawn(|| {
            let queue = self.stage.open();
            let mut sender =
                Sender::new(&self.ledger, &queue, number, How::Block, Shape::Four, number);
            Trap { step: Some(step), nth: 1, signal: libc::SIGKILL }.set();
            sender.send_one(|| true);
        });
        Case::expect(&mut child, Fate::Killed(libc::SIGKILL));
        self.accomplices.push(child);
    }

    /// Killed in the midst of so many sends at once. Each of them reads from a page that
    /// nobody may read, and its signal handler begins the next.
    fn accomplice_claims(&mut self, slots: u64) {
        let mut child = spawn(|| {
            let queue = self.stage.open();
            // SAFETY: one thread; the handler lives as long as the process, as does the
            // queue, which is never dropped.
            unsafe {
                let page = libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                TO_BEGIN = slots;
                UNREADABLE = Some((&raw const queue, page.cast()));
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = cannot_read as extern "C" fn(i32) as usize;
                action.sa_flags = libc::SA_NODEFER;
                libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
            }
            cannot_read(0);
        });
        Case::expect(&mut child, Fate::Killed(libc::SIGKILL));
        assert!(u64::from(self.stage.census()[1]) >= slots, "not as arranged");
        self.accomplices.push(child);
    }

    fn accomplice_receives(&mut self, step: Step, signal: i32) {
        let mut child = spawn(|| {
            let queue = self.stage.open();
            Trap { step: Some(step), nth: 1, signal }.set();
            let mut receiver = Receiver::new(&self.ledger, &queue, ACCOMPLICE, How::Block, 1);
            while receiver.receive_one() {}
        });
        let stopped = signal == libc::SIGSTOP;
        let fate = if stopped { Fate::Stopped } else { Fate::Killed(signal) };
        Case::expect(&mut child, fate);
        self.killed_receivers += usize::from(!stopped);
        self.accomplices.push(child);
    }

    fn accomplice_registers(&mut self) {
        let child = spawn(|| {
            let queue = self.stage.open();
            register(&queue, &self.board).expect("register");
            self.board.count(READY);
            while !self.board.is_over() {
                pause(Duration::from_millis(1));
            }
        });
        self.accomplices.push(child);
        wait_until(|| self.board.get(READY) > 0).expect("the accomplice registers");
    }

    fn victim(&self, role: Role, first: Trap, next: Option<Trap>) -> Child {
        spawn(|| {
            set_traps(first, next);
            let (ledger, board) = (&self.ledger, &self.board);
            match role {
                Inheritor => {
                    send_until_over(ledger, board, &self.stage.queue, VICTIM, role.shape())
                }
                Taker => take_until_pill(ledger, &self.stage),
                Attacher => {
                    while !board.is_over() {
                        drop(self.stage.open());
                    }
                }
                Registrant => {
                    let queue = self.stage.open();
                    while !board.is_over() {
                        match register(&queue, board) {
                            Ok(()) => {}
                            Err(error) if error.0 == libc::EBUSY => {}
                            Err(error) => panic!("register: {error:?}"),
                        }
                        pause(Duration::from_micros(20));
                        queue.notify_cancel().expect("cancel");
                    }
                }
                _ if role.receives() => {
                    let queue = self.stage.open();
                    let mut receiver = Receiver::new(ledger, &queue, VICTIM, How::Block, 1);
                    while receiver.receive_one() {}
                }
                _ => send_until_over(ledger, board, &self.stage.open(), VICTIM, role.shape()),
            }
        })
    }

    fn others(&self, shape: Shape) -> Vec<Child> {
        (0..4)
            .map(|k| {
                spawn(|| {
                    let queue = self.stage.open();
                    let number = OTHER + k;
                    if k < 2 {
                        return send_until_over(&self.ledger, &self.board, &queue, number, shape);
                    }
                    let mut receiver =
                        Receiver::new(&self.ledger, &queue, number, How::Block, number);
                    while receiver.receive_one() {
                        self.board.count(OTHERS + k as usize);
                    }
                })
            })
            .collect()
    }

    /// Each of the others completes so many operations more.
    fn others_complete(&self, others: &mut [Child], operations: u64) -> Result<(), String> {
        let done = || -> Vec<u64> { (0..4).map(|k| self.board.get(OTHERS + k)).collect() };
        let before = done();
        let complete = wait_until(|| {
            others.iter_mut().any(|child| child.look() != Fate::Running)
                || done().iter().zip(&before).all(|(now, then)| now - then >= operations)
        });
        for child in others.iter_mut() {
            let fate = child.look();
            if fate != Fate::Running {
                return Err(format!("one of the others: {fate:?}"));
            }
        }
        complete.map_err(|_| format!("hang: the others did {before:?}, then {:?}", done()))
    }

    /// Everybody leaves in good order, the receivers last.
    fn finish(
        &mut self,
        victim: &mut Child,
        role: Role,
        others: &mut [Child],
    ) -> Result<(), String> {
        self.board.end();
        let (senders, receivers) = others.split_at_mut(2);
        let mut senders: Vec<&mut Child> = senders.iter_mut().collect();
        let mut receivers: Vec<&mut Child> = receivers.iter_mut().collect();
        if victim.is_alive() {
            if role.receives() { receivers.push(victim) } else { senders.push(victim) }
        }
        for child in &mut self.accomplices {
            if child.look() == Fate::Stopped {
                child.go_on();
                receivers.push(child);
            }
        }
        leave(&mut senders)?;
        for _ in &receivers {
            if !send_pill(&self.stage.queue, PATIENCE) {
                return Err("hang: no room for the last messages".into());
            }
        }
        leave(&mut receivers)
    }

    fn judge(&mut self) -> Result<(), String> {
        for child in &mut self.accomplices {
            let fate = child.wait(PATIENCE);
            if !matches!(fate, Fate::Exited(0) | Fate::Killed(libc::SIGKILL)) {
                return Err(format!("an accomplice: {fate:?}"));
            }
        }
        drain(&self.ledger, &self.stage.queue, 99);
        let verdict = self.ledger.judge(self.stage.engine().segment().geometry().maxmsg as usize);
        if !verdict.is_good(self.killed_receivers) {
            return Err(format!(
                "{verdict:?}, {} receivers killed, missing {:x?}",
                self.killed_receivers,
                self.ledger.missing()
            ));
        }
        self.stage.check_as_new()
    }
}

fn leave(children: &mut [&mut Child]) -> Result<(), String> {
    for child in children {
        let fate = child.wait(PATIENCE);
        if fate != Fate::Exited(0) {
            return Err(format!("at the end: {fate:?}"));
        }
    }
    Ok(())
}

extern "C" fn notified(board: *mut c_void, _: *mut c_void) {
    // SAFETY: `register` gave a word of the board, which lives as long as the process.
    unsafe { &*board.cast::<AtomicU64>() }.fetch_add(1, SeqCst);
}

fn register(queue: &Queue, board: &Board) -> mqueue_core::error::Result<()> {
    let argument = (&raw const board.0[NOTIFIED]).cast_mut().cast();
    queue.notify(Notification::Callback {
        function: notified,
        argument,
        user: std::ptr::null_mut(),
    })
}

/// Take the lowest priority until the pill comes.
fn take_until_pill(ledger: &Ledger, stage: &Stage) {
    let inside = processes::open_inside(&stage.name, libc::O_RDWR, &stage.options);
    let engine = inside.attachment().expect("attached").engine();
    let mut buffer = [0; MSGSIZE];
    loop {
        let begin = now();
        // SAFETY: the buffer is writable for its length.
        let taken = unsafe {
            engine.try_take(buffer.as_mut_ptr(), MSGSIZE, |prio, _| Some(u32::MAX - prio))
        };
        match taken {
            Ok((len, prio)) => {
                if !note(ledger, &buffer[..len], prio, begin, OUT_OF_TURN) {
                    return;
                }
            }
            Err(mqueue_core::shm::Refused::WouldBlock) => std::thread::yield_now(),
            Err(error) => panic!("take: {error:?}"),
        }
    }
}

/// Look until it is so; an error after [`PATIENCE`].
fn wait_until(mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > until {
            return Err("it took too long".into());
        }
        pause(Duration::from_micros(100));
    }
    Ok(())
}

/// Wait until the signal has struck; meanwhile the others are stopped for moments, so
/// that every overlap of two calls happens soon, however many processors there are.
fn wait_for_blow(victim: &mut Child, others: &[Child], blow: Blow) -> Result<(), String> {
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
struct Struck {
    case: Case,
    victim: Child,
    others: Vec<Child>,
}

fn strike(role: Role, step: Step, blow: Blow) -> Result<Struck, String> {
    let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
    let nth = if role.is_alone() { 1 } else { 3 };
    let mut first = Trap { step: Some(step), nth, signal };
    let mut next =
        (blow == Blow::StopThenKill).then_some(Trap { step: None, nth: 1, signal: libc::SIGKILL });
    // These are stopped once before.
    let before = match role {
        Sluggard => Some((Step::FinderDrained, 2)),
        Outrun => Some((Step::ReceiveStamped, 1)),
        _ => None,
    };
    if let Some((step, nth)) = before {
        next = Some(first);
        first = Trap { step: Some(step), nth, signal: libc::SIGSTOP };
    }
    let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
    case.prepare(role);
    let numbers = (role == Successor).then(|| {
        let numbers = case.stage.leave_numbers(1);
        case.accomplice_claims(NSLOTS);
        numbers
    });
    let mut victim = case.victim(role, first, next);
    let others = if role.is_alone() { vec![] } else { case.others(role.shape()) };
    if before.is_some() {
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
    let name = processes::new_name();
    let mut victim = spawn(|| {
        let next = Trap { step: None, nth: 1, signal: libc::SIGKILL };
        set_traps(
            Trap { step: Some(step), nth: 1, signal },
            (blow == Blow::StopThenKill).then_some(next),
        );
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

fn run(role: Role, step: Step, blow: Blow) -> Result<(), String> {
    let Struck { mut case, mut victim, mut others } = match role {
        Creator => strike_creator(step, blow)?,
        _ => strike(role, step, blow)?,
    };
    let result = carry_on(role, step, blow, &mut case, &mut victim, &mut others);
    if result.is_err() {
        case.stage.dump();
    }
    result
}

fn carry_on(
    role: Role,
    step: Step,
    blow: Blow,
    case: &mut Case,
    victim: &mut Child,
    others: &mut Vec<Child>,
) -> Result<(), String> {
    case.killed_receivers += usize::from(role.receives() && blow != Blow::Stop);
    if role == Notifier && !matches!(step, Step::SendClaimed | Step::SendCopied) {
        wait_until(|| case.board.get(NOTIFIED) > 0).map_err(|_| "the registrant is deaf")?;
    }
    if role.is_alone() {
        *others = case.others(role.shape());
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
        // Past its last step a creator has nothing left to be killed at.
        if fate != Fate::Killed(libc::SIGKILL) && role != Creator {
            return Err(format!("continued to be killed: {fate:?}"));
        }
    }
    if role == Creator {
        let fate = victim.wait(PATIENCE);
        if !matches!(fate, Fate::Exited(0) | Fate::Killed(libc::SIGKILL)) {
            return Err(format!("the creator: {fate:?}"));
        }
    }
    case.finish(victim, role, others)?;
    case.judge()
}

/// Every step in every role by every blow.
fn steps(report: &mut Report) {
    for &step in Step::ALL {
        for &role in roles(step) {
            for blow in [Blow::Kill, Blow::Stop, Blow::StopThenKill] {
                // These are stopped once before.
                if matches!(role, Sluggard | Outrun) && blow == Blow::StopThenKill {
                    continue;
                }
                report.case(&format!("{blow:?} {role:?} {step:?}"), || run(role, step, blow));
            }
        }
        assert!(!roles(step).is_empty(), "no role reaches {step:?}");
    }
}

impl Case {
    fn another_can_register(&self) -> Result<(), String> {
        let mut child = spawn(|| {
            let queue = self.stage.open();
            register(&queue, &self.board).expect("a dead registrant is in the way");
        });
        match child.wait(PATIENCE) {
            Fate::Exited(0) => Ok(()),
            fate => Err(format!("registering after the dead: {fate:?}")),
        }
    }

    fn asleep(&self) -> u32 {
        let segment = self.stage.engine().segment();
        (0..mqueue_core::shm::layout::OWNERS)
            .filter_map(|owner| segment.owner(owner))
            .map(|row| row.asleep.load(SeqCst))
            .map(|asleep| (asleep & 0xFFFF) + (asleep >> 16))
            .sum()
    }
}

/// Nobody misses one who was killed, or stopped, while asleep.
fn asleep(report: &mut Report) {
    for role in [LaneSender, LaneReceiver] {
        for blow in [Blow::Kill, Blow::Stop] {
            report.case(&format!("{blow:?} {role:?} asleep"), || {
                let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
                let never = Trap { step: None, nth: u64::MAX, signal: 0 };
                let mut victim = case.victim(role, never, None);
                wait_until(|| case.asleep() > 0)?;
                let signal = if blow == Blow::Kill { libc::SIGKILL } else { libc::SIGSTOP };
                victim.signal(signal);
                victim.wait(PATIENCE);
                let mut others = case.others(role.shape());
                carry_on(role, Step::WaitWoken, blow, &mut case, &mut victim, &mut others)
            });
        }
    }
}

/// A wake that never comes, because the waker was killed before it or the woken one after
/// it, is made good by the next look of the sleeper; nobody else is there to help.
fn unwoken(report: &mut Report) {
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
fn forked(report: &mut Report) {
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
        (0..NSLOTS).for_each(|_| case.accomplice_sends(Step::SendClaimed));
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
fn relatives(report: &mut Report) {
    report.case("children that may not open the file", || {
        let name = processes::new_name();
        let mut creator = spawn(|| {
            // SAFETY: touches no memory. Root may open anything; nobody may not.
            unsafe {
                if libc::geteuid() == 0 {
                    assert_eq!(libc::setuid(65534), 0);
                }
            }
            let options = mqueue_core::attr::OpenOptions {
                flags: mqueue_core::attr::option::EXACT_MODE,
                mode: 0o400,
                ..options(MAXMSG, MSGSIZE as u64)
            };
            let queue = processes::open_inside(&name, libc::O_CREAT | libc::O_RDWR, &options);
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
            let pids: Vec<u32> = (0..mqueue_core::shm::layout::OWNERS)
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
fn resting(report: &mut Report) {
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

/// A slot of a dead sender may hold a message that was sent: the last one.
fn sent_by_the_dead(report: &mut Report) {
    report.case("a reclaimed slot that was sent", || {
        let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
        case.accomplice_sends(Step::SendPublished);
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
fn crowd(report: &mut Report) {
    report.case("a crowd of 1024", || {
        let mut case = Case::new(Stage::new(MAXMSG, MSGSIZE as u64));
        // A number that was locked while its dead holder's slot was freed counts, too.
        case.accomplice_sends(Step::SendClaimed);
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
fn late_stamp(report: &mut Report) {
    report.case("a late stamp in a lane", || {
        let mut case = Case::new(Stage::new(4, MSGSIZE as u64));
        for prio in [1, 5, 5] {
            processes::work::send(&case.stage.queue, &[0; 16], prio, Wait::Never)
                .expect("room for three");
        }
        let take = |wanted: u32| {
            let inside =
                processes::open_inside(&case.stage.name, libc::O_RDWR, &case.stage.options);
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
            set_traps(Trap { step: Some(Step::ReceiveChosen), nth: 1, signal: stop }, Some(kill));
            take(5);
        });
        Case::expect(&mut victim, Fate::Stopped);
        let mut other = spawn(|| assert_eq!(take(1), 1));
        Case::expect(&mut other, Fate::Exited(0));
        // Looks that take nothing, since the message does not fit, until it is a lane.
        let tail = || Tail(case.stage.engine().segment().control().tail.0.load(SeqCst));
        for _ in 0..100 {
            let refused = processes::work::receive(&case.stage.queue, &mut [0; 8], Wait::Never);
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
            let got = processes::work::receive(&case.stage.queue, &mut [0; MSGSIZE], Wait::Never);
            if got != Ok((16, 5)) {
                return Err(format!("{got:?} instead of a message"));
            }
        }
        case.judge()
    });
}

/// A receiver is stopped when it has found the finder's holder dead; another process gets
/// the dead one's owner number and the lock, and must not lose it to the first.
fn robbery(report: &mut Report) {
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
            spawn(|| receive(1, Step::FinderStealing, libc::SIGSTOP, &|| board.get(NOTIFIED) > 0));
        wait_until(|| board.get(READY) == 1)?;
        let mut dead = spawn(|| receive(2, Step::FinderLocked, libc::SIGKILL, &|| true));
        Case::expect(&mut dead, Fate::Killed(libc::SIGKILL));
        let lock = || case.stage.engine().segment().control().finder.0.lock.load(SeqCst) as u32;
        let dead_holder = lock();
        board.count(NOTIFIED);
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

/// Runs cases and counts.
struct Report {
    wanted: Option<String>,
    is_talkative: bool,
    passed: usize,
    failed: usize,
}

impl Report {
    fn case(&mut self, name: &str, run: impl FnOnce() -> Result<(), String>) {
        if self.wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            return;
        }
        let begun = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err("it panicked".into()));
        if self.is_talkative {
            println!("{:6} ms {name}", begun.elapsed().as_millis());
        }
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                println!("FAILED {name}: {why}");
            }
        }
    }
}

fn main() {
    begin(3600);
    let begun = Instant::now();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_talkative = std::env::var_os("TALK").is_some();
    let mut report = Report { wanted, is_talkative, passed: 0, failed: 0 };
    crowd(&mut report);
    forked(&mut report);
    relatives(&mut report);
    resting(&mut report);
    sent_by_the_dead(&mut report);
    asleep(&mut report);
    unwoken(&mut report);
    late_stamp(&mut report);
    robbery(&mut report);
    steps(&mut report);
    let Report { passed, failed, .. } = report;
    println!(
        "crash: {passed} cases passed, {failed} failed, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    std::process::exit(i32::from(failed > 0));
}
