//! A queue with a victim, its accomplices and the others, from the first call to the
//! judgement.

use crate::processes::ledger::{Ledger, OUT_OF_TURN, Shared};
use crate::processes::work::{
    How, MSGSIZE, Receiver, Sender, Shape, Worker as InPlace, note, send_pill,
};
use crate::processes::{Child, Fate, Rng, Stage, now, open_inside, pause, spawn};
use crate::roles::Role::{self, *};
use crate::traps::{Trap, set_traps};
use mqueue_core::deadline::Wait;
use mqueue_core::fault::Step;
use mqueue_core::queue::{Notification, Queue, how};
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::wait_many::{self, event};
use std::ffi::c_void;
use std::time::{Duration, Instant};

/// Slots: 2 + 32 spare ones.
pub const MAXMSG: u64 = 2;
pub const NSLOTS: u64 = 34;
/// After this time something hangs. Nothing here takes more than a fraction of it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Words that all processes of a case share.
pub struct Board(Shared<AtomicU64>);

const PHASE: usize = 0;
pub const NOTIFIED: usize = 1;
pub const READY: usize = 2;
pub const GO: usize = 3;
const OTHERS: usize = 4;
pub const POLLED: usize = 12;
pub const RECEIVED: usize = 13;

impl Board {
    pub fn new() -> Board {
        Board(Shared::new(16))
    }
    pub fn is_over(&self) -> bool {
        self.0[PHASE].load(SeqCst) != 0
    }
    pub fn end(&self) {
        self.0[PHASE].store(1, SeqCst);
    }
    pub fn count(&self, at: usize) {
        self.0[at].fetch_add(1, SeqCst);
    }
    pub fn get(&self, at: usize) -> u64 {
        self.0[at].load(SeqCst)
    }
}

/// Numbers of messages' senders and receivers.
const VICTIM: u64 = 1;
const ACCOMPLICE: u64 = 2;
const OTHER: u64 = 10;

pub struct Case {
    pub stage: Stage,
    pub ledger: Ledger,
    pub board: Board,
    /// Each may have taken a message with it.
    pub killed_receivers: usize,
    /// Each may have received a message that comes again.
    pub killed_workers: usize,
    accomplices: Vec<Child>,
}

impl Case {
    pub fn new(stage: Stage) -> Case {
        Case {
            stage,
            ledger: Ledger::new(1 << 21, 1),
            board: Board::new(),
            killed_receivers: 0,
            killed_workers: 0,
            accomplices: vec![],
        }
    }

    /// Before the victim begins.
    pub fn prepare(&mut self, role: Role) {
        match role {
            LaneHeir | MixedHeir => self.accomplice_sends(Step::SendPublished, role.shape()),
            Bystander => {
                self.send_some(role.shape());
                self.accomplice_receives(Step::FinderLocked, libc::SIGSTOP);
            }
            FinderHeir | Sluggard | LaneOutrun | MixedOutrun | TakerOutrun => {
                self.send_some(role.shape())
            }
            Heir | HeirRefused => {
                self.send_some(role.shape());
                self.accomplice_acquires();
            }
            Reclaimer => self.accomplice_claims(NSLOTS),
            Notifier => self.accomplice_registers(0),
            StayingNotifier => self.accomplice_registers(how::PERSISTENT),
            Caller => {
                self.accomplice_registers(0);
                self.accomplice_sleeps();
            }
            Waker => self.accomplice_polls(),
            _ => {}
        }
    }

    /// When the victim has begun.
    pub fn follow_up(&mut self, role: Role) {
        if role == FinderHeir {
            wait_until(|| self.board.get(READY) > 0).expect("the victim attaches");
            self.accomplice_receives(Step::FinderLocked, libc::SIGKILL);
            self.board.count(GO);
        }
    }

    /// Two messages, of two priorities if there may be several.
    fn send_some(&self, shape: Shape) {
        self.send_some_as(9, shape);
    }

    pub fn send_some_as(&self, number: u64, shape: Shape) {
        let shape = if shape == Shape::Lane { shape } else { Shape::All };
        let mut sender = Sender::new(&self.ledger, &self.stage.queue, number, How::Try, shape, 1);
        sender.send_one(|| true);
        sender.send_one(|| true);
    }

    pub fn expect(child: &mut Child, fate: Fate) {
        assert_eq!(child.wait(PATIENCE), fate, "an accomplice");
    }

    pub fn accomplice_sends(&mut self, step: Step, shape: Shape) {
        let number = ACCOMPLICE + 100 + self.accomplices.len() as u64;
        let mut child = spawn(|| {
            let queue = self.stage.open();
            let mut sender = Sender::new(&self.ledger, &queue, number, How::Block, shape, number);
            Trap { step: Some(step), nth: 1, signal: libc::SIGKILL }.set();
            sender.send_one(|| true);
        });
        Case::expect(&mut child, Fate::Killed(libc::SIGKILL));
        self.accomplices.push(child);
    }

    /// Killed in the midst of so many sends at once. Each of them reads from a page that
    /// nobody may read, and its signal handler begins the next.
    pub fn accomplice_claims(&mut self, slots: u64) {
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

    /// Killed with all that was queued.
    fn accomplice_acquires(&mut self) {
        let mut child = spawn(|| {
            let queue = self.stage.open();
            while queue.acquire(Wait::Never).is_ok() {}
            // SAFETY: touches no memory.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        });
        Case::expect(&mut child, Fate::Killed(libc::SIGKILL));
        assert_eq!(u64::from(self.stage.census()[4]), MAXMSG, "not as arranged");
        self.accomplices.push(child);
    }

    fn accomplice_registers(&mut self, flags: u64) {
        let child = spawn(|| {
            let queue = self.stage.open();
            register(&queue, &self.board, flags).expect("register");
            self.board.count(READY);
            while !self.board.is_over() {
                pause(Duration::from_millis(1));
            }
        });
        self.accomplices.push(child);
        wait_until(|| self.board.get(READY) > 0).expect("the accomplice registers");
    }

    /// Sleeps until there is a message, and receives that one.
    fn accomplice_sleeps(&mut self) {
        let child = spawn(|| {
            let queue = self.stage.open();
            Receiver::new(&self.ledger, &queue, ACCOMPLICE, How::Block, 1).receive_one();
            self.board.count(RECEIVED);
            while !self.board.is_over() {
                pause(Duration::from_millis(1));
            }
        });
        self.accomplices.push(child);
        wait_until(|| self.receivers_word() & 63 != 0).expect("the accomplice sleeps");
    }

    /// Sleeps until there is a message, and then looks for more until all is over.
    fn accomplice_polls(&mut self) {
        let child = spawn(|| {
            let queue = self.stage.open();
            assert_eq!(poll(&queue, Wait::Unlimited), event::READABLE);
            self.board.count(POLLED);
            poll_until_over(&queue, &self.board);
        });
        self.accomplices.push(child);
        wait_until(|| self.receivers_word() & 128 != 0).expect("the accomplice leaves a mark");
    }

    fn receivers_word(&self) -> u32 {
        self.stage.engine().segment().control().wait.0.receivers.word().load(SeqCst)
    }

    pub fn victim(&self, role: Role, traps: &[Trap]) -> Child {
        spawn(|| {
            set_traps(traps);
            let (ledger, board) = (&self.ledger, &self.board);
            let send = |queue: &Queue| send_until_over(ledger, board, queue, VICTIM, role);
            match role {
                Inheritor => send(&self.stage.queue),
                Heir | HeirRefused => {
                    self.stage.open_inside().attachment().expect("attached").engine().reclaim();
                    send(&self.stage.open());
                }
                _ if role.acquires() => {
                    let inside = &self.stage.open_inside();
                    let rng = Rng::new(1);
                    let mut worker =
                        InPlace { ledger, inside, number: VICTIM, how: How::Block, rng };
                    while worker.receive_one() {}
                }
                Dropper => drop_until_over(board, &self.stage),
                Taker | TakerOutrun => take_until_pill(ledger, &self.stage),
                Attacher => {
                    while !board.is_over() {
                        drop(self.stage.open());
                    }
                }
                Poller => poll_until_over(&self.stage.open(), board),
                Registrant => {
                    let queue = self.stage.open();
                    while !board.is_over() {
                        match register(&queue, board, 0) {
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
                    if role == FinderHeir {
                        // Attached before the other is dead, and so with another number:
                        // whoever gets a dead one's number clears up all that was its.
                        board.count(READY);
                        wait_until(|| board.get(GO) > 0).expect("its turn");
                    }
                    let mut receiver = Receiver::new(ledger, &queue, VICTIM, How::Block, 1);
                    receiver.in_batches = role.is_in_batches();
                    while receiver.receive_one() {}
                }
                _ => send(&self.stage.open()),
            }
        })
    }

    pub fn others(&self, role: Role) -> Vec<Child> {
        (0..4)
            .map(|k| {
                spawn(|| {
                    let queue = self.stage.open();
                    let number = OTHER + k;
                    if k < 2 {
                        return send_until_over(&self.ledger, &self.board, &queue, number, role);
                    }
                    let mut receiver =
                        Receiver::new(&self.ledger, &queue, number, How::Block, number);
                    receiver.in_place = role.may_return();
                    while receiver.receive_one() {
                        self.board.count(OTHERS + k as usize);
                    }
                })
            })
            .collect()
    }

    /// Each of the others completes so many operations more.
    pub fn others_complete(&self, others: &mut [Child], operations: u64) -> Result<(), String> {
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
    pub fn finish(
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

    pub fn another_can_register(&self) -> Result<(), String> {
        let mut child = spawn(|| {
            let queue = self.stage.open();
            register(&queue, &self.board, 0).expect("a dead registrant is in the way");
        });
        match child.wait(PATIENCE) {
            Fate::Exited(0) => Ok(()),
            fate => Err(format!("registering after the dead: {fate:?}")),
        }
    }

    pub fn asleep(&self) -> u32 {
        Case::sleepers(&self.stage)
    }

    /// Calls that sleep, of the living and the dead.
    pub fn sleepers(stage: &Stage) -> u32 {
        let segment = stage.engine().segment();
        (0..mqueue_core::shm::layout::OWNERS)
            .filter_map(|owner| segment.owner(owner))
            .map(|row| row.asleep.load(SeqCst))
            .map(|asleep| (asleep & 0xFFFF) + (asleep >> 16))
            .sum()
    }

    pub fn judge(&mut self) -> Result<(), String> {
        for child in &mut self.accomplices {
            let fate = child.wait(PATIENCE);
            if !matches!(fate, Fate::Exited(0) | Fate::Killed(libc::SIGKILL)) {
                return Err(format!("an accomplice: {fate:?}"));
            }
        }
        self.stage.drain(&self.ledger, 99);
        let verdict = self.ledger.judge(self.stage.engine().segment().geometry().maxmsg as usize);
        let dropped = self.stage.engine().counts().dropped as usize;
        if !verdict.is_good(self.killed_receivers + dropped) {
            return Err(format!(
                "{verdict:?}, {} receivers killed, missing {:x?}",
                self.killed_receivers,
                self.ledger.missing()
            ));
        }
        let too_often = self.ledger.received_too_often();
        if too_often > self.killed_workers {
            return Err(format!("{too_often} messages received twice"));
        }
        self.stage.check_as_new()
    }
}

pub fn leave(children: &mut [&mut Child]) -> Result<(), String> {
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

fn register(queue: &Queue, board: &Board, flags: u64) -> mqueue_core::error::Result<()> {
    let argument = (&raw const board.0[NOTIFIED]).cast_mut().cast();
    let callback =
        Notification::Callback { function: notified, argument, user: std::ptr::null_mut() };
    queue.notify(callback, flags)
}

/// Wait for the queue among several, of which it is the only one.
fn poll(queue: &Queue, wait: Wait) -> u32 {
    wait_many::wait(1, |_| Some((queue, event::READABLE)), wait).expect("polled")[0]
}

fn poll_until_over(queue: &Queue, board: &Board) {
    while !board.is_over() {
        poll(queue, Wait::For(20_000_000));
    }
}

fn send_until_over(ledger: &Ledger, board: &Board, queue: &Queue, number: u64, role: Role) {
    let mut sender = Sender::new(ledger, queue, number, How::Block, role.shape(), number);
    sender.in_place = role.commits() && number == VICTIM;
    sender.in_batches = role.is_in_batches() && number == VICTIM;
    while !board.is_over() {
        if !ledger.has_room() {
            // A case that waits for something rare: what is left of the ledger must last.
            pause(Duration::from_millis(1));
        }
        sender.send_one(|| board.is_over());
        board.count(OTHERS + (number as usize).saturating_sub(OTHER as usize) % 8);
    }
}

/// Drop what there is whenever the queue is full.
fn drop_until_over(board: &Board, stage: &Stage) {
    let inside = open_inside(&stage.name, libc::O_RDWR, &stage.options);
    let engine = inside.attachment().expect("attached").engine();
    while !board.is_over() {
        engine.drop_oldest(mqueue_core::attr::PRIO_MAX).expect("a queue that is not damaged");
        std::thread::yield_now();
    }
}

/// Take the lowest priority until the pill comes.
fn take_until_pill(ledger: &Ledger, stage: &Stage) {
    let inside = open_inside(&stage.name, libc::O_RDWR, &stage.options);
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
pub fn wait_until(mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > until {
            return Err("it took too long".into());
        }
        pause(Duration::from_micros(100));
    }
    Ok(())
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
