//! One side: the actors of it, who run a script's steps one at a time.
//!
//! A step begins when all actors are at rest, and ends when they are at rest again
//! (`rest.rs`). What it led to is a list of lines: what each actor said, in the order of the
//! actors, and then what each one's descriptors show to poll. Actors live on from script to
//! script.

use crate::rest::{are_at_rest, awaits_orders};
use crate::script::{PLACES, Script, Step, good_names};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Nothing of a script takes as long; what does is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Side {
    /// In place of the % in names.
    tag: &'static str,
    actor: Command,
    door: UnixListener,
    actors: [Option<Actor>; PLACES],
    look: Option<&'static str>,
    /// The numbers of System V's queues that the script was told, in the order of that.
    queues: Vec<String>,
}

struct Actor {
    pid: i32,
    stream: UnixStream,
    /// What has come of a line that has not ended.
    begun: String,
    /// The step that it has not answered.
    at: Option<Step>,
    /// None for the child of another actor.
    child: Option<Child>,
}

impl Side {
    /// A side whose actors run in that environment. Its tag is one character.
    pub fn new(tag: &'static str, program: &Path, environment: &[(&str, &Path)]) -> Side {
        let door = format!("mqrs-differential-{}-{tag}-{:p}", std::process::id(), &tag);
        let address = SocketAddr::from_abstract_name(&door).expect("a short name");
        let mut actor = Command::new(program);
        actor.arg(door).envs(environment.iter().copied());
        let door = UnixListener::bind_addr(&address).expect("nobody else's name");
        let actors = Default::default();
        Side { tag, actor, door, actors, look: None, queues: Vec::new() }
    }

    /// Begin a script: its actors are there.
    pub fn begin(&mut self, script: &Script) {
        self.look = script.look;
        for place in 0..PLACES {
            if place >= script.actors {
                self.kill(place);
            } else if self.actors[place].is_none() {
                self.start(place);
            }
        }
    }

    /// End it: interrupt those who wait, close everything, remove the queues. Says what that
    /// led to.
    pub fn end(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for place in 0..PLACES {
            // Where one signal is not enough, that is a known difference.
            for _ in 0..20 {
                if matches!(self.actors[place], Some(Actor { at: Some(_), .. })) {
                    self.send_signal(place, libc::SIGUSR1);
                    lines.extend(self.settle());
                }
            }
        }
        lines.retain(|line| !line.contains('!'));
        let names = good_names().map(|name| format!(" ={name}"));
        for actor in 0..PLACES {
            self.order(&Step { actor, call: format!("clean{}", names.concat()) });
            let said = self.hear();
            if said.iter().any(|line| line.ends_with("spoilt")) {
                self.kill(actor);
            }
            lines.extend(said);
        }
        self.remove_numbered();
        lines
    }

    /// Remove those queues that no name would lead to.
    fn remove_numbered(&mut self) {
        for number in std::mem::take(&mut self.queues) {
            if self.actors[0].is_none() {
                self.start(0);
            }
            self.order(&Step { actor: 0, call: format!("msgrmid {number}") });
            self.hear();
        }
    }

    /// Do a step and say what it led to.
    pub fn step(&mut self, step: &Step) -> Vec<String> {
        let place = step.actor;
        if !self.is_possible(step) {
            return vec!["not now".to_owned()];
        }
        match step.verb() {
            "signal" => self.send_signal(place, libc::SIGUSR1),
            "restart" => self.send_signal(place, libc::SIGUSR2),
            "kill" => self.kill(place),
            "fork" => {
                self.order(step);
                let child = step.last().parse().expect("the number of a place");
                self.admit(child, None);
            }
            _ => self.order(step),
        }
        let mut lines = self.settle();
        if let Some(Actor { at: Some(_), .. }) = self.actors[place] {
            lines.push(format!("{place} asleep"));
        }
        lines.extend(self.look());
        lines
    }

    /// Whether an actor is there and free for it, and nobody sleeps whom it may not sleep beside.
    fn is_possible(&self, step: &Step) -> bool {
        let Some(actor) = &self.actors[step.actor] else { return false };
        let mut others = self.actors.iter().flatten().filter_map(|other| other.at.as_ref());
        let is_alone = others.all(|other| step.may_sleep_beside(other));
        match step.verb() {
            "signal" | "restart" | "kill" => true,
            "fork" => {
                let place = step.last().parse::<usize>().expect("the number of a place");
                actor.at.is_none() && self.actors[place].is_none()
            }
            _ => actor.at.is_none() && (is_alone || !step.may_sleep()),
        }
    }

    /// What there is to see for those who are free.
    fn look(&mut self) -> Vec<String> {
        let Some(look) = self.look else { return Vec::new() };
        for place in 0..PLACES {
            if matches!(self.actors[place], Some(Actor { at: None, .. })) {
                self.order(&Step { actor: place, call: look.to_owned() });
            }
        }
        self.hear()
    }

    /// The answers of those who need not wait for anybody.
    fn hear(&mut self) -> Vec<String> {
        let begun = Instant::now();
        let mut lines = Vec::new();
        while self.is_awaited() {
            self.wait();
            self.read(&mut lines);
            if begun.elapsed() > PATIENCE {
                self.give_up(&mut lines);
            }
        }
        lines.sort();
        lines
    }

    fn is_awaited(&self) -> bool {
        let mut at = self.actors.iter().flatten().filter_map(|actor| actor.at.as_ref());
        at.any(|step| !step.may_sleep())
    }

    /// Read until all are at rest, and sort what was said: of two that both are done nobody
    /// knows who was first.
    fn settle(&mut self) -> Vec<String> {
        let begun = Instant::now();
        let mut lines = Vec::new();
        loop {
            let before = lines.len();
            self.wait();
            self.read(&mut lines);
            if !self.is_awaited() && before == lines.len() && self.is_at_rest() {
                self.read(&mut lines);
                if before == lines.len() {
                    break;
                }
            }
            if begun.elapsed() > PATIENCE {
                self.give_up(&mut lines);
            }
        }
        lines.sort();
        lines
    }

    /// Whether all are, and none of them still waits for the order that it was given.
    fn is_at_rest(&self) -> bool {
        let processes: Vec<_> = self.actors.iter().flatten().map(|actor| actor.pid).collect();
        let mut busy = self.actors.iter().flatten().filter(|actor| actor.at.is_some());
        are_at_rest(&processes) && !busy.any(|actor| awaits_orders(actor.pid))
    }

    /// A call that should not wait does, or somebody is busy for ever: this is told like a result,
    /// so that the script is shown.
    fn give_up(&mut self, lines: &mut Vec<String>) {
        for place in 0..PLACES {
            if let Some(actor) = &self.actors[place] {
                let at = actor.at.as_ref().map(|step| format!(" at: {}", step.call));
                lines.push(format!("{place} stuck{}", at.unwrap_or_default()));
                self.kill(place);
            }
        }
    }

    /// Until one who need not wait for anybody has answered; or for a millisecond.
    fn wait(&self) {
        let one = |it: &Actor| libc::pollfd {
            fd: it.stream.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut all: Vec<_> = self.actors.iter().flatten().map(one).collect();
        let nanoseconds = if self.is_awaited() { 1_000_000 } else { 0 };
        let limit = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
        let count = all.len() as libc::nfds_t;
        // SAFETY: as many as it says, and a time.
        unsafe { libc::ppoll(all.as_mut_ptr(), count, &limit, std::ptr::null()) };
    }

    /// What has been said by now.
    fn read(&mut self, lines: &mut Vec<String>) {
        let pids: Vec<_> = self.actors.iter().map(|it| it.as_ref().map(|it| it.pid)).collect();
        let Side { actors, queues, .. } = self;
        for (place, it) in actors.iter_mut().enumerate() {
            let Some(actor) = it else { continue };
            let mut tell =
                |line: &str| lines.push(format!("{place} {}", named(line, &pids, queues)));
            let is_there = actor.read(&mut tell);
            if !is_there {
                let end = it.take().map(Actor::end).unwrap_or_default();
                lines.push(format!("{place} ended {end}"));
            }
        }
    }

    /// Have an actor do it.
    fn order(&mut self, step: &Step) {
        let Some(actor) = &mut self.actors[step.actor] else { return };
        let line = format!("{}\n", step.call.replace('%', self.tag));
        // One that is gone says so when it is read.
        let _ = actor.stream.write_all(line.as_bytes());
        actor.at = Some(step.clone());
    }

    fn start(&mut self, place: usize) {
        let mut command = Command::new(self.actor.get_program());
        command.args(self.actor.get_args()).arg(place.to_string());
        for (name, value) in self.actor.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let child = command.spawn().expect("the actor is compiled");
        self.admit(place, Some(child));
    }

    /// Let in who comes, and take its first line.
    fn admit(&mut self, place: usize, child: Option<Child>) {
        let (mut stream, _) = self.door.accept().expect("somebody is coming");
        let mut first = String::new();
        while !first.ends_with('\n') {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it says who it is");
            first.push(byte[0].into());
        }
        let pid = first.trim().rsplit(' ').next().and_then(|pid| pid.parse().ok());
        stream.set_nonblocking(true).expect("a socket");
        self.actors[place] = Some(Actor {
            pid: pid.expect("the number of a process"),
            stream,
            begun: String::new(),
            at: None,
            child,
        });
    }

    fn send_signal(&self, place: usize, signal: i32) {
        if let Some(actor) = &self.actors[place] {
            // SAFETY: touches no memory; the process is ours, and not reaped.
            unsafe { libc::kill(actor.pid, signal) };
        }
    }

    fn kill(&mut self, place: usize) {
        self.send_signal(place, libc::SIGKILL);
        self.actors[place].take().map(Actor::end);
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        for place in 0..PLACES {
            self.kill(place);
        }
    }
}

impl Actor {
    /// Give each line that has come to `take`; false if it has ended.
    fn read(&mut self, mut take: impl FnMut(&str)) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(length) => self.begun.push_str(&String::from_utf8_lossy(&bytes[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        while let Some((line, rest)) = self.begun.split_once('\n') {
            if !line.starts_with('!') {
                self.at = None;
            }
            take(line);
            self.begun = rest.to_owned();
        }
        true
    }

    /// Wait until it has closed everything; how it ended, as far as that can be known.
    fn end(self) -> String {
        // SAFETY: it makes a descriptor, which is nobody else's.
        unsafe {
            let process = libc::syscall(libc::SYS_pidfd_open, self.pid, 0) as i32;
            if process >= 0 {
                let process = OwnedFd::from_raw_fd(process);
                let mut one =
                    libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                libc::poll(&mut one, 1, -1);
            }
        }
        let status = self.child.map(|mut child| child.wait());
        status.and_then(Result::ok).map(|status| status.to_string()).unwrap_or_default()
    }
}

/// What is called the same on both sides: a process by its place (after "by"), a queue by when
/// the script was first told of it (after "queue").
fn named(line: &str, pids: &[Option<i32>], queues: &mut Vec<String>) -> String {
    let mut last = "";
    let mut name = |word| match std::mem::replace(&mut last, word) {
        "by" if word == "0" => "nobody".to_owned(),
        "by" => {
            let pid = word.parse().ok();
            let place = pids.iter().position(|it| it.is_some() && *it == pid);
            place.map_or("a stranger".to_owned(), |place| format!("actor {place}"))
        }
        "queue" => {
            let known = queues.iter().position(|it| it == word);
            let place = known.unwrap_or(queues.len());
            if known.is_none() {
                queues.push(word.to_owned());
            }
            place.to_string()
        }
        _ => word.to_owned(),
    };
    line.split(' ').map(&mut name).collect::<Vec<_>>().join(" ")
}
