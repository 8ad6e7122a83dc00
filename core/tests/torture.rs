//! Senders, receivers and registrants are killed and stopped at random, from outside at
//! any instruction and from inside at any step, while the others go on and new ones come.
//!
//! `make torture SECONDS=60 SEED=1`; a few seconds of it are part of `make test`.
//!
//! A run is a row of rounds, each with a queue, a shape of priorities, a depth, a number
//! of processes. At the end of a round everybody leaves and the ledger is judged: no
//! duplicate, nothing out of order, nothing corrupt, at most one message missing for
//! each receiver killed (one batch, where some receive in batches), and the queue is as new. In some rounds receivers are only
//! stopped: then nothing at all may be missing. In some, processes send and receive in place,
//! and give back what they have acquired, so that it comes again; and in some of these it comes
//! again when they are killed: then nothing may be missing either, and each of the killed may
//! have received one message that another receives once more. In others processes come and go among a
//! handful of owner numbers, so that each is used again at once. In notification rounds
//! one process registers again and again, or once for all that comes, and must not stay deaf
//! while a message waits; nor may another, which receives when poll tells it to.

mod processes;

use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::fault::{Step, arm};
use mqueue_core::queue::{Notification, Queue, how};
use mqueue_core::shm::word::Head;
use mqueue_core::sync::AtomicU64;
use mqueue_core::sync::Ordering::SeqCst;
use processes::ledger::{Ledger, Shared};
use processes::work::{BATCH, How, MSGSIZE, Receiver, Sender, Shape, Worker, drain, send_pill};
use processes::{Child, Fate, Rng, Stage, begin, new_name, number, options, pause, spawn};
use std::ffi::c_void;
use std::time::{Duration, Instant};

/// Nothing happens for so long: a hang.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages of a round at most.
const MESSAGES: usize = 1 << 20;
/// Stopped at a time at most.
const STOPPED: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Sender(How),
    Receiver(How),
    Registrant,
    /// Registers and looks whether it is told; never killed.
    Listener,
    /// Receives when its descriptor says so; never killed.
    Poller,
}

impl Role {
    const MORTALS: usize = 7;

    fn row(self) -> usize {
        match self {
            Role::Sender(how) => how as usize,
            Role::Receiver(how) => 3 + how as usize,
            Role::Registrant | Role::Listener | Role::Poller => 6,
        }
    }

    fn is_receiver(self) -> bool {
        matches!(self, Role::Receiver(_))
    }
}

/// Whether messages are written and read in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loans {
    No,
    /// By some.
    Some,
    /// By all who receive; what the dead had acquired comes again.
    Redelivery,
}

/// One round's conditions.
#[derive(Clone, Copy, Debug)]
struct Mode {
    shape: Shape,
    depth: u64,
    /// Senders, and as many receivers.
    pairs: usize,
    only_senders_die: bool,
    few_numbers: bool,
    loans: Loans,
    /// Some send and receive several messages in a call.
    batches: bool,
    /// Sends are rare, so that an arrival on the empty queue often stays alone.
    is_quiet: bool,
}

impl Mode {
    fn may_kill(&self, role: Role) -> bool {
        match role {
            Role::Sender(_) => true,
            Role::Listener | Role::Poller => false,
            _ => !self.only_senders_die,
        }
    }
}

const PHASE: usize = 0;
const FIRED: usize = 1;
const LONGEST_NS: usize = 2;

/// What all processes of a round share.
struct Scene {
    stage: Stage,
    ledger: Ledger,
    board: Shared<AtomicU64>,
    mode: Mode,
}

impl Scene {
    fn is_over(&self) -> bool {
        self.board[PHASE].load(SeqCst) != 0
    }

    fn play(&self, role: Role, number: u64, seed: u64) {
        let mut rng = Rng::new(seed);
        let arm_early = rng.one_in(2);
        if arm_early {
            self.set_trap(role, &mut rng);
        }
        let in_place = match self.mode.loans {
            Loans::No => false,
            Loans::Redelivery if role.is_receiver() => true,
            Loans::Some | Loans::Redelivery => rng.one_in(2),
        };
        if let (true, Role::Receiver(how)) = (in_place, role) {
            let inside = &self.stage.open_inside();
            if !arm_early {
                self.set_trap(role, &mut rng);
            }
            let mut worker = Worker { ledger: &self.ledger, inside, number, how, rng };
            while worker.receive_one() {}
            return;
        }
        let opened;
        let queue = if rng.one_in(2) {
            &self.stage.queue
        } else {
            opened = self.stage.open();
            &opened
        };
        if !arm_early {
            self.set_trap(role, &mut rng);
        }
        match role {
            Role::Sender(how) => {
                let shape = self.mode.shape;
                let mut sender = Sender::new(&self.ledger, queue, number, how, shape, rng.next());
                sender.in_place = in_place;
                sender.in_batches = self.mode.batches && !in_place && rng.one_in(2);
                while !self.is_over() {
                    if !self.ledger.has_room() {
                        pause(Duration::from_millis(1));
                        continue;
                    }
                    sender.send_one(|| self.is_over());
                    if self.mode.is_quiet {
                        pause(Duration::from_micros(rng.below(3000)));
                    }
                }
            }
            Role::Receiver(how) => {
                let mut receiver = Receiver::new(&self.ledger, queue, number, how, rng.next());
                receiver.in_place = self.mode.loans != Loans::No;
                receiver.in_batches = self.mode.batches && rng.one_in(2);
                while receiver.receive_one() {}
            }
            Role::Registrant => self.register_and_cancel(queue, &mut rng),
            Role::Listener => self.listen(queue, number, &mut rng),
            Role::Poller => self.poll(queue, number),
        }
    }

    /// Half of all processes are struck from inside.
    fn set_trap(&self, role: Role, rng: &mut Rng) {
        let signal =
            if self.mode.may_kill(role) && rng.one_in(2) { libc::SIGKILL } else { libc::SIGSTOP };
        match rng.below(6) {
            0 => arm(None, 1 + rng.below(60), signal),
            1 => arm(None, 1 + rng.below(4000), signal),
            2 => {
                let step = Step::ALL[rng.below(Step::ALL.len() as u64) as usize];
                arm(Some(step), 1 + rng.below(20), signal);
            }
            _ => {}
        }
    }

    fn register(&self, queue: &Queue, flags: u64) -> bool {
        let callback = Notification::Callback {
            function: fired,
            argument: (&raw const self.board[FIRED]).cast_mut().cast(),
            user: std::ptr::null_mut(),
        };
        let result = queue.notify(callback, flags);
        match result {
            Ok(()) => true,
            Err(error) if error.0 == libc::EBUSY => false,
            Err(error) => panic!("register: {error:?}"),
        }
    }

    fn register_and_cancel(&self, queue: &Queue, rng: &mut Rng) {
        while !self.is_over() {
            self.register(queue, rng.below(how::ALL + 1));
            pause(Duration::from_micros(rng.below(1000)));
            if !rng.one_in(4) {
                queue.notify_cancel().expect("cancel");
            }
        }
    }

    /// Register, empty the queue, and be told of the next message: again and again. If the
    /// registration stays, it is not renewed for some time.
    fn listen(&self, queue: &Queue, number: u64, rng: &mut Rng) {
        while !self.is_over() {
            let stays = rng.one_in(2);
            let mut fired = self.board[FIRED].load(SeqCst);
            if !self.register(queue, if stays { how::PERSISTENT } else { 0 }) {
                pause(Duration::from_micros(100));
                continue;
            }
            for _ in 0..if stays { 1 + rng.below(50) } else { 1 } {
                drain(&self.ledger, queue, number);
                // From here on each arrival is told, or a receiver that slept has taken it.
                self.wait_awake("the registrant is deaf", || {
                    pause(Duration::from_micros(20 + rng.below(100)));
                    self.board[FIRED].load(SeqCst) != fired
                });
                fired = self.board[FIRED].load(SeqCst);
            }
            queue.notify_cancel().expect("cancel");
        }
    }

    /// Receive what there is, and sleep in poll until there is more.
    fn poll(&self, queue: &Queue, number: u64) {
        let fd = queue.fd().expect("a descriptor");
        while !self.is_over() {
            drain(&self.ledger, queue, number);
            self.wait_awake("poll does not tell", || {
                let mut item = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
                // SAFETY: one whole struct.
                unsafe { libc::poll(&mut item, 1, 20) };
                item.revents != 0
            });
        }
    }

    /// Wait until `is_told`; meanwhile no message may lie there for long.
    fn wait_awake(&self, otherwise: &str, mut is_told: impl FnMut() -> bool) {
        let engine = self.stage.inside.attachment().expect("attached").engine();
        let head = || Head(engine.segment().control().head.0.load(SeqCst)).count();
        let mut since: Option<(Instant, u32)> = None;
        while !is_told() && !self.is_over() {
            let (queued, head) = (engine.queued(), head());
            since = match since {
                Some((_, seen)) if queued == 0 || seen != head => None,
                None if queued > 0 => Some((Instant::now(), head)),
                same => same,
            };
            if let Some((since, _)) = since {
                let waited = since.elapsed();
                self.board[LONGEST_NS].fetch_max(waited.as_nanos() as u64, SeqCst);
                assert!(waited < PATIENCE, "a message waits and {otherwise}");
            }
        }
    }
}

extern "C" fn fired(count: *mut c_void, _: *mut c_void) {
    // SAFETY: `register` gave a word of the board, which lives as long as the process.
    unsafe { &*count.cast::<AtomicU64>() }.fetch_add(1, SeqCst);
}

struct Player {
    child: Child,
    role: Role,
    /// Continued then, if it is stopped.
    until: Option<Instant>,
}

/// What was done to whom, by shape and role.
#[derive(Default)]
struct Tally {
    kills: [[u64; Role::MORTALS]; 3],
    stops: u64,
    messages: usize,
    missing: usize,
    again: usize,
    rounds: usize,
    told: u64,
    longest_ms: u64,
}

/// A round while it runs.
struct Round<'a> {
    scene: &'a Scene,
    rng: &'a mut Rng,
    tally: &'a mut Tally,
    players: Vec<Player>,
    born: u64,
    killed_receivers: usize,
    progress: (u64, Instant),
}

impl Round<'_> {
    fn new_player(&mut self, role: Role) -> Player {
        self.born += 1;
        let (number, seed) = (self.born, self.rng.next());
        let child = spawn(|| self.scene.play(role, number, seed));
        Player { child, role, until: None }
    }

    fn add(&mut self, role: Role) {
        let player = self.new_player(role);
        self.players.push(player);
    }

    fn new_role(&mut self, old: Role) -> Role {
        let how = How::ALL[self.rng.below(3) as usize];
        match old {
            Role::Sender(_) => Role::Sender(how),
            Role::Receiver(_) => Role::Receiver(how),
            other => other,
        }
    }

    /// Look what became of everybody; the dead are replaced if `renew` says so.
    fn look(&mut self, renew: impl Fn(Role) -> bool) -> Result<(), String> {
        for at in 0..self.players.len() {
            let player = &mut self.players[at];
            if !player.child.is_alive() {
                continue;
            }
            let role = player.role;
            let renew = renew(role);
            match player.child.look() {
                Fate::Running => {}
                Fate::Stopped => match player.until {
                    None => {
                        self.tally.stops += 1;
                        let time = Duration::from_millis(1 + self.rng.below(50));
                        player.until = Some(Instant::now() + time);
                    }
                    Some(until) if Instant::now() >= until || !renew => {
                        player.until = None;
                        player.child.go_on();
                    }
                    Some(_) => {}
                },
                Fate::Killed(libc::SIGKILL) if self.scene.mode.may_kill(role) => {
                    self.tally.kills[self.scene.mode.shape as usize][role.row()] += 1;
                    self.killed_receivers += usize::from(role.is_receiver());
                    if renew {
                        let role = self.new_role(role);
                        self.players[at] = self.new_player(role);
                    }
                }
                Fate::Exited(0) if !renew => {}
                fate => return Err(format!("{role:?}: {fate:?}")),
            }
        }
        let (sent, received) = (self.scene.ledger.count_sent(), self.scene.ledger.count_received());
        if sent + received != self.progress.0 {
            self.progress = (sent + received, Instant::now());
        }
        if self.progress.1.elapsed() > PATIENCE {
            let living: Vec<Role> =
                self.players.iter().filter(|p| p.child.is_alive()).map(|p| p.role).collect();
            return Err(format!("hang: {sent} sends, {received} receives; living: {living:?}"));
        }
        Ok(())
    }

    /// Strike somebody from outside.
    fn strike(&mut self) {
        let stopped = self.players.iter().filter(|p| p.until.is_some()).count();
        let at = self.rng.below(self.players.len() as u64) as usize;
        let victim = &self.players[at];
        if self.rng.one_in(2) {
            if self.scene.mode.may_kill(victim.role) {
                victim.child.signal(libc::SIGKILL);
            }
        } else if stopped < STOPPED {
            victim.child.signal(libc::SIGSTOP);
        }
    }

    fn run(&mut self, length: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < length && self.scene.ledger.has_room() && self.born < 60_000 {
            pause(Duration::from_micros(100 + self.rng.below(1500)));
            self.strike();
            self.look(|_| true)?;
        }
        // The senders leave; receivers go on, and are replaced, until all have left.
        self.scene.board[PHASE].store(1, SeqCst);
        self.progress.1 = Instant::now();
        while self.players.iter().any(|p| !p.role.is_receiver() && p.child.is_alive()) {
            self.look(Role::is_receiver)?;
            pause(Duration::from_micros(200));
        }
        // One that is killed takes its pill with it, or leaves it.
        self.progress.1 = Instant::now();
        while self.players.iter().any(|p| p.child.is_alive()) {
            self.look(|_| false)?;
            if self.scene.stage.engine().queued() == 0 {
                send_pill(&self.scene.stage.queue, Duration::from_millis(100));
            }
            pause(Duration::from_micros(200));
        }
        Ok(())
    }
}

fn play_round(
    mode: Mode,
    roles: &[Role],
    length: Duration,
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let flags = if mode.loans == Loans::Redelivery { option::REDELIVER } else { 0 };
    let options = OpenOptions { flags, ..options(mode.depth, MSGSIZE as u64) };
    let scene = Scene {
        stage: Stage::of(new_name(), options),
        ledger: Ledger::new(MESSAGES, 1),
        board: Shared::new(4),
        mode,
    };
    // One to spare beside those who live; the dead give theirs back.
    let numbers = mode.few_numbers.then(|| scene.stage.leave_numbers(roles.len() as u32 + 1));
    let before = (tally.kills, tally.stops);
    let mut round = Round {
        scene: &scene,
        rng,
        tally,
        players: vec![],
        born: 0,
        killed_receivers: 0,
        progress: (0, Instant::now()),
    };
    for &role in roles {
        let role = round.new_role(role);
        round.add(role);
    }
    let result = round.run(length);
    if result.is_err() {
        scene.stage.dump();
    }
    let killed = if mode.only_senders_die { 0 } else { round.killed_receivers };
    // What a call may have received when its process is killed.
    let most = if mode.batches { BATCH } else { 1 };
    let (allowed, too_often) =
        if mode.loans == Loans::Redelivery { (0, killed) } else { (killed * most, 0) };
    drop(round);
    drop(numbers);
    result?;

    scene.stage.drain(&scene.ledger, 99_999);
    let verdict = scene.ledger.judge(mode.depth as usize);
    let told = scene.board[FIRED].load(SeqCst);
    let kills = |kills: &[[u64; Role::MORTALS]; 3]| -> u64 { kills.iter().flatten().sum() };
    println!(
        "{mode:?}: {} messages, {} killed, {} stopped, {} missing of {allowed} allowed, {} again, {told} notifications",
        verdict.received,
        kills(&tally.kills) - kills(&before.0),
        tally.stops - before.1,
        verdict.missing,
        scene.ledger.count_again(),
    );
    tally.again += scene.ledger.count_again();
    tally.rounds += 1;
    tally.messages += verdict.received;
    tally.missing += verdict.missing;
    tally.told += told;
    tally.longest_ms = tally.longest_ms.max(scene.board[LONGEST_NS].load(SeqCst) / 1_000_000);
    if !verdict.is_good(allowed) {
        return Err(format!("{verdict:?}, missing {:x?}", scene.ledger.missing()));
    }
    if scene.ledger.received_too_often() > too_often {
        let times = scene.ledger.received_too_often();
        return Err(format!("{times} received twice, {too_often} allowed"));
    }
    scene.stage.check_as_new()
}

fn main() {
    let seconds = number("SECONDS", 10);
    let seed = number("SEED", processes::now() >> 10);
    begin(seconds as u32 * 4 + 120);
    println!("torture: SECONDS={seconds} SEED={seed}");
    let mut rng = Rng::new(seed);
    let mut tally = Tally::default();
    let begun = Instant::now();
    // At least once round the shapes, depths and conditions; a round also ends when its
    // ledger is full, so there may be more.
    let least = 13;
    let length = Duration::from_millis(seconds * 850 / (seconds / 3).max(least));
    for k in 0.. {
        if k >= least && begun.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        // Each with each shape and depth, in time.
        let loans =
            [Loans::No, Loans::Some, Loans::Redelivery][(k + k / 3 + k / 9 + 1) as usize % 3];
        let mode = Mode {
            shape: [Shape::Lane, Shape::Four, Shape::All][k as usize % 3],
            depth: [1, 10, 64][(k / 3) as usize % 3],
            pairs: 2 + 2 * rng.below(2) as usize,
            only_senders_die: k % 4 == 1,
            // What a dead one had acquired keeps its number until it is sent again.
            few_numbers: k % 2 == 0 && loans != Loans::Redelivery,
            loans,
            batches: k % 2 == 0,
            is_quiet: k % 4 == 3,
        };
        let mut roles = vec![Role::Registrant];
        if mode.is_quiet {
            roles.extend([Role::Listener, Role::Sender(How::Try), Role::Sender(How::Try)]);
            roles.push(if rng.one_in(2) { Role::Poller } else { Role::Receiver(How::Block) });
        } else {
            for _ in 0..mode.pairs {
                roles.extend([Role::Sender(How::Try), Role::Receiver(How::Try)]);
            }
        }
        if let Err(why) = play_round(mode, &roles, length, &mut rng, &mut tally) {
            println!("torture: FAILED, SEED={seed}, round {k}, {mode:?}: {why}");
            std::process::exit(1);
        }
    }
    let names =
        ["send", "timed send", "try send", "receive", "timed receive", "try receive", "registrant"];
    println!("killed              lane    four     all");
    for (row, name) in names.iter().enumerate() {
        let [lane, four, all] = tally.kills.map(|kills| kills[row]);
        println!("{name:<15} {lane:>8}{four:>8}{all:>8}");
    }
    println!(
        "torture: {} rounds, {:.1} s, {} messages, {} stops, {} missing, {} again, {} notifications, the longest after {} ms: passed",
        tally.rounds,
        begun.elapsed().as_secs_f64(),
        tally.messages,
        tally.stops,
        tally.missing,
        tally.again,
        tally.told,
        tally.longest_ms
    );
    assert!(tally.kills.iter().flatten().all(|&kills| kills > 0), "a role was never killed");
    assert!(tally.stops > 0 && tally.told > 0 && tally.again > 0);
}
