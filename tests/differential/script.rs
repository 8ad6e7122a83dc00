//! Scripts of calls, made from a number: what a script is, and those of `mq_*` calls.
//!
//! A step is an actor and a line that `actor.c` understands, or one of the three that happen
//! to an actor: `signal`, `restart` (the same with a handler that has calls restarted) and
//! `kill`. In names, % becomes what tells the two sides' queues apart. Scripts of System V's
//! calls are in `script_sysv.rs`.

#![forbid(unsafe_code)]

use std::fmt;

/// Actors there may be at once; a fork needs a free place.
pub const PLACES: usize = 4;

#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    pub actor: usize,
    pub call: String,
}

impl Step {
    pub fn verb(&self) -> &str {
        self.word(0)
    }

    pub fn word(&self, at: usize) -> &str {
        self.call.split(' ').nth(at).unwrap_or_default()
    }

    pub fn last(&self) -> &str {
        self.call.rsplit(' ').next().unwrap_or_default()
    }

    /// Whether it may wait for as long as nobody ends that.
    pub fn may_sleep(&self) -> bool {
        match self.verb() {
            "send" | "receive" => ["plain", "none", "far"].contains(&self.last()),
            "msgsnd" | "msgrcv" => !self.last().contains("NOWAIT"),
            "poll" => true,
            _ => false,
        }
    }

    /// Whether both may sleep at a time. Of several that wait for one thing, the kernel serves
    /// the one that waits longest, which this library does not promise.
    pub fn may_sleep_beside(&self, other: &Step) -> bool {
        let one_type = |step: &Step| -> Option<i64> {
            let is_of_one = step.verb() == "msgrcv" && !step.last().contains("EXCEPT");
            step.word(3).parse().ok().filter(|kind| is_of_one && *kind > 0)
        };
        match (self.verb(), other.verb()) {
            ("poll", _) => true,
            ("msgrcv", "msgrcv") => match (one_type(self), one_type(other)) {
                (Some(one), Some(another)) => one != another,
                _ => false,
            },
            (one, another) => one != another,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {}: {}", self.actor, self.call)
    }
}

#[derive(Clone)]
pub struct Script {
    /// Actors at the start.
    pub actors: usize,
    pub steps: Vec<Step>,
    /// The call by which each actor that is free tells after each step what there is to see.
    pub look: Option<&'static str>,
}

/// SplitMix64: each number gives other numbers, all of them good ones.
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64, script: u64) -> Random {
        Random(seed.wrapping_add(script.wrapping_mul(0xD1B5_4A32_D192_ED03)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// One of them, each as often as its weight says.
    pub fn weighted<'a>(&mut self, choices: &[(usize, &'a str)]) -> &'a str {
        let mut at = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            match at.checked_sub(*weight) {
                None => return choice,
                Some(rest) => at = rest,
            }
        }
        unreachable!("it is below the sum of the weights")
    }
}

/// The names that make queues; the last is as long as one may be.
pub fn good_names() -> [String; 3] {
    ["/%a".to_owned(), "/%b".to_owned(), format!("/%{}", "n".repeat(254))]
}

const VERBS: &[(usize, &str)] = &[
    (90, "send"),
    (90, "receive"),
    (48, "open"),
    (30, "notify"),
    (10, "poll"),
    (9, "mq_close"),
    (20, "setattr"),
    (12, "getattr"),
    (24, "signal"),
    (10, "restart"),
    (10, "unlink"),
    (6, "close"),
    (8, "setfl"),
    (8, "flags"),
    (8, "dup"),
    (6, "fork"),
    (5, "dup2"),
    (5, "stat"),
    (4, "become"),
    (3, "cover"),
    (3, "exec"),
    (3, "kill"),
    (2, "end"),
    (2, "umask"),
];

/// One of about `length` steps. Users other than the superuser come only where there is one.
pub fn script(random: &mut Random, length: usize, is_root: bool) -> Script {
    let actors = 2 + random.below(PLACES - 2);
    let mut steps = vec![Step {
        actor: 0,
        call: format!("open v0 =/%a RDWR|CREAT {} {}", random.of(MODES), sizes(random)),
    }];
    for actor in 1..actors {
        steps.push(Step { actor, call: "open v0 =/%a RDWR".to_owned() });
    }
    while steps.len() < length {
        let verb = random.weighted(VERBS);
        if verb == "become" && !is_root {
            continue;
        }
        // Places that only a fork fills come less often.
        let places = if random.one_in(6) { PLACES } else { actors };
        steps.push(Step { actor: random.below(places), call: call(random, verb) });
    }
    Script { actors, steps, look: Some("look") }
}

const MODES: &[&str] = &["0600", "0600", "0600", "0666", "0644", "0400", "0200", "0000", "6600"];

fn call(random: &mut Random, verb: &str) -> String {
    let on = variable(random);
    match verb {
        "open" => open(random),
        "unlink" => format!("unlink ={}", name(random)),
        "send" => {
            let (length, data) = (random.below(10), random.weighted(&[(40, "?"), (1, "0")]));
            let letter = char::from(b'a' + random.below(26) as u8).to_string();
            let data = if data == "?" { &letter } else { data };
            let priority = random.weighted(&[
                (20, "0"),
                (20, "1"),
                (10, "2"),
                (5, "7"),
                (3, "32767"),
                (1, "32768"),
                (1, "0xffffffff"),
            ]);
            format!("send {on} {length} {data} {priority} {}", deadline(random))
        }
        "receive" => {
            let capacity = random.weighted(&[(40, "8"), (6, "100"), (2, "7"), (1, "3"), (1, "0")]);
            let buffer = random.weighted(&[(60, "buffer"), (1, "NULL")]);
            let priority = random.weighted(&[(9, "priority"), (1, "NULL")]);
            format!("receive {on} {capacity} {buffer} {priority} {}", deadline(random))
        }
        "getattr" => format!("getattr {on}{}", random.weighted(&[(20, ""), (1, " NULL")])),
        "setattr" => {
            let flags = random.weighted(&[
                (6, "NONBLOCK"),
                (6, "0"),
                (2, "NULL"),
                (1, "APPEND"),
                (1, "NONBLOCK|CREAT"),
            ]);
            format!("setattr {on} {flags}{}", random.weighted(&[(4, ""), (1, " NULL")]))
        }
        "setfl" => format!("setfl {on} {}", random.of(&["NONBLOCK", "0"])),
        "notify" => {
            let how = random.weighted(&[
                (10, "signal 1"),
                (5, "signal 2"),
                (3, "none"),
                (4, "NULL"),
                (1, "signal 0"),
                (1, "signal 65"),
                (1, "signal -1"),
                (1, "bad"),
            ]);
            let value =
                if how.starts_with("signal") { random.below(90).to_string() } else { "".into() };
            format!("notify {on} {how} {value}").trim_end().to_owned()
        }
        "poll" => format!("poll {on} {}", random.of(&["r", "r", "w", "w", "rw"])),
        "dup" | "dup2" => format!("{verb} {on} v{}", random.below(4)),
        "fork" => format!("fork {}", random.below(PLACES)),
        "become" => format!("become {}", random.of(&["0", "0", "1000", "65534"])),
        "umask" => format!("umask {}", random.of(&["000", "022", "077", "777"])),
        // What closes or covers takes a variable, never a number that may be another file's.
        "mq_close" | "close" | "cover" => format!("{verb} v{}", random.below(4)),
        "signal" | "restart" | "kill" | "exec" | "end" => verb.to_owned(),
        _ => format!("{verb} {on}"),
    }
}

/// A queue's; now and then a number that is none.
fn variable(random: &mut Random) -> &'static str {
    random.weighted(&[(120, "v0"), (30, "v1"), (12, "v2"), (6, "v3"), (2, "-1"), (2, "99999")])
}

fn name(random: &mut Random) -> String {
    let [first, second, longest] = good_names();
    match random.below(50) {
        0..30 => first,
        30..40 => second,
        40 => longest,
        41 => longest + "n",
        _ => random.of(&["", "/", "%a", "//%a", "/%a/", "/%/b", "/.", "/..", "//"]).to_owned(),
    }
}

fn sizes(random: &mut Random) -> String {
    let maxmsg = random.weighted(&[(5, "1"), (5, "2"), (2, "3")]);
    format!("{maxmsg} {}", random.weighted(&[(10, "8"), (2, "4"), (1, "1")]))
}

fn open(random: &mut Random) -> String {
    let access = random.weighted(&[(8, "RDWR"), (3, "RDONLY"), (3, "WRONLY"), (1, "NEITHER")]);
    let mut flags = access.to_owned();
    for (chance, flag) in
        [(3, "NONBLOCK"), (6, "EXCL"), (12, "CLOEXEC"), (20, "TRUNC"), (20, "APPEND")]
    {
        if random.one_in(chance) {
            flags = format!("{flags}|{flag}");
        }
    }
    let mut call = format!("v{} ={} {flags}", random.below(4) / 2 * random.below(3), name(random));
    if random.one_in(3) {
        return format!("open {call}");
    }
    call = format!("open {call}|CREAT {}", random.of(MODES));
    match random.below(24) {
        // No attributes: the system's own.
        0 => call,
        1 => format!("{call} {} 8", random.of(&["0", "-1", "0x7fffffffffffffff"])),
        2 => format!("{call} 2 {}", random.of(&["0", "-1", "0x7fffffffffffffff"])),
        3 => format!("{call} {} nonblock", sizes(random)),
        _ => format!("{call} {}", sizes(random)),
    }
}

fn deadline(random: &mut Random) -> &'static str {
    random.weighted(&[
        (30, "plain"),
        (50, "past"),
        (6, "far"),
        (3, "none"),
        (2, "near"),
        (2, "zero"),
        (1, "before"),
        (1, "over"),
        (1, "under"),
    ])
}
