//! Scripts of System V's calls, for `actor_sysv.c`.
//!
//! Queues have a key, so that all actors find them, or none: then children of an actor have
//! them, too. Bounds of few bytes make them full soon.

#![forbid(unsafe_code)]

use crate::script::{PLACES, Random, Script, Step};

const VERBS: &[(usize, &str)] = &[
    (110, "msgsnd"),
    (90, "msgrcv"),
    (30, "msgget"),
    (20, "msgset"),
    (8, "msgstat"),
    (4, "msgrmid"),
    (4, "msgfind"),
    (1, "msgctl"),
    (16, "signal"),
    (8, "restart"),
    (8, "become"),
    (6, "fork"),
    (3, "exec"),
    (3, "kill"),
    (2, "end"),
    (2, "umask"),
];

/// One of about `length` steps, or three times as many, in which queues hold more. Users other
/// than the superuser come only where there is one.
pub fn script(random: &mut Random, length: usize, is_root: bool) -> Script {
    let length = if random.one_in(4) { 3 * length } else { length };
    let actors = 2 + random.below(PLACES - 2);
    let begin = |actor, call| Step { actor, call };
    let mut steps = vec![begin(0, format!("msgget q0 1 CREAT {}", random.of(MODES)))];
    if !random.one_in(4) {
        steps.push(begin(0, format!("msgset q0 {} - - -", bytes(random))));
    }
    steps.extend((1..actors).map(|actor| begin(actor, "msgget q0 1 0 0".to_owned())));
    while steps.len() < length {
        let verb = random.weighted(VERBS);
        if verb == "become" && !is_root {
            continue;
        }
        // Places that only a fork fills come less often.
        let places = if random.one_in(6) { PLACES } else { actors };
        steps.push(Step { actor: random.below(places), call: call(random, verb, is_root) });
    }
    // To look counts what is in a queue anew, and opens it: not in each script.
    let look = random.one_in(2).then_some("msglook");
    Script { actors, steps, look }
}

const MODES: &[&str] =
    &["0600", "0600", "0600", "0666", "0640", "0620", "0604", "0602", "0400", "0200", "0000"];

fn call(random: &mut Random, verb: &str, is_root: bool) -> String {
    let on = variable(random);
    match verb {
        "msgget" => {
            let key = random.weighted(&[(20, "1"), (8, "2"), (2, "3"), (4, "0")]);
            let flags = random.weighted(&[(6, "CREAT"), (4, "0"), (2, "CREAT|EXCL"), (1, "EXCL")]);
            let mode = random.of(if flags == "0" { &["0", "0", "0400", "0222"] } else { MODES });
            format!("msgget q{} {key} {flags} {mode}", random.below(4) / 2 * random.below(3))
        }
        "msgsnd" => {
            let data = random.weighted(&[(40, "?"), (1, "0")]);
            let letter = char::from(b'a' + random.below(26) as u8).to_string();
            let data = if data == "?" { &letter } else { data };
            let wait = random.weighted(&[(2, "NOWAIT"), (1, "0")]);
            format!("msgsnd {on} {} {} {data} {wait}", kind(random), length(random))
        }
        "msgrcv" => {
            let capacity = random.weighted(&[
                (40, "20"),
                (8, "8192"),
                (6, "5"),
                (4, "1"),
                (4, "0"),
                (1, "16000"),
                (1, "-1"),
            ]);
            let buffer = random.weighted(&[(120, "buffer"), (1, "NULL")]);
            format!("msgrcv {on} {capacity} {} {buffer} {}", wanted(random), receive_flags(random))
        }
        "msgset" => {
            let user =
                |random: &mut Random, other| match random.below(if is_root { 12 } else { 50 }) {
                    0 => "4294967295",
                    1 => other,
                    2 | 3 => "0",
                    _ => "-",
                };
            let mode = if random.one_in(2) { random.of(MODES) } else { "-" };
            let (uid, gid) = (user(random, "1000"), user(random, "4242"));
            match random.below(20) {
                0 => format!("msgset {on} NULL"),
                _ => format!("msgset {on} {} {mode} {uid} {gid}", bytes(random)),
            }
        }
        "msgstat" => format!("msgstat {on}{}", random.weighted(&[(20, ""), (1, " NULL")])),
        "msgfind" => format!("msgfind {on}{}", random.of(&["", " ANY"])),
        // No such command.
        "msgctl" => format!("msgctl {on} {}", random.of(&["-1", "99"])),
        "fork" => format!("fork {}", random.below(PLACES)),
        "become" => format!("become {}", random.of(&["0", "0", "1000", "65534"])),
        "umask" => format!("umask {}", random.of(&["000", "022", "077", "777"])),
        "signal" | "restart" | "kill" | "exec" | "end" => verb.to_owned(),
        _ => format!("{verb} {on}"),
    }
}

/// A queue's; now and then a number that is none.
fn variable(random: &mut Random) -> &'static str {
    random.weighted(&[(120, "q0"), (12, "q1"), (3, "q2"), (2, "-1"), (1, "2147483647")])
}

/// Of a message that is sent: few, so that there are several of each; and what is none.
fn kind(random: &mut Random) -> &'static str {
    random.weighted(&[
        (12, "1"),
        (12, "2"),
        (8, "3"),
        (4, "4"),
        (4, "5"),
        (1, "1073741824"),
        (1, "9223372036854775807"),
        (1, "0"),
        (1, "-1"),
    ])
}

fn length(random: &mut Random) -> String {
    match random.below(24) {
        0 => random.of(&["8192", "8193", "-1", "4000"]).to_owned(),
        1..4 => "0".to_owned(),
        _ => (1 + random.below(12)).to_string(),
    }
}

/// A type to receive; with MSG_COPY a place.
fn wanted(random: &mut Random) -> &'static str {
    random.weighted(&[
        (20, "0"),
        (10, "1"),
        (10, "2"),
        (6, "3"),
        (3, "5"),
        (6, "-2"),
        (4, "-3"),
        (4, "-5"),
        (1, "-1"),
        (1, "9223372036854775807"),
        (1, "-9223372036854775807"),
        (1, "-9223372036854775808"),
    ])
}

fn receive_flags(random: &mut Random) -> String {
    let mut flags = random.weighted(&[(2, "NOWAIT"), (1, "0")]).to_owned();
    for (chance, flag) in [(4, "NOERROR"), (6, "EXCEPT"), (8, "COPY")] {
        if random.one_in(chance) {
            flags = format!("{flags}|{flag}");
        }
    }
    flags
}

/// msg_qbytes, which bounds the number of messages as well.
fn bytes(random: &mut Random) -> &'static str {
    random.weighted(&[
        (12, "10"),
        (12, "20"),
        (6, "3"),
        (4, "1"),
        (2, "0"),
        (12, "-"),
        (4, "16384"),
        (1, "16385"),
    ])
}
