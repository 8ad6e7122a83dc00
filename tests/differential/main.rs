//! Programs on the drop-in see what programs on the kernel's queues see: the same random scripts
//! of calls, run on both.
//!
//! Each third script is of System V's calls, the others are of `mq_*` calls.
//! Two to four processes (`actor.c`) make one call at a time; what may block does, and is seen
//! to (`rest.rs`). Results, errnos, contents, attributes, signals and what poll shows are
//! compared after each step (`judge.rs`). What may differ is in one table (`differences.rs`).
//! A script that differs otherwise is printed, without the steps that it can do without.
//!
//! ```text
//! cargo test --test differential                                   2,000 scripts
//! SCRIPTS=100000 cargo test --release --test differential          100,000 of them
//! SEED=7 cargo test --test differential                            those that failed, again
//! FIRST=20897 SEED=7 cargo test --test differential                from this one on
//! KIND=sysv cargo test --test differential                         System V's calls alone; or mq
//! WITHOUT=become,6600 cargo test --test differential               no steps with these words
//! cargo test --test differential -- --nocapture                    says what was tried
//! ```
//!
//! The kernel is judged by itself first, and a library that is wrong on purpose is found out.

#[path = "../common/mod.rs"]
mod common;
mod differences;
mod judge;
mod rest;
mod script;
mod script_sysv;
mod side;

use common::{Queues, c_compiler, drop_in, has_kernel_queues, root, run, skip};
use judge::{Difference, Judge};
use script::Random;
use side::Side;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

#[test]
fn programs_see_on_the_drop_in_what_they_see_on_the_kernels_queues() {
    let kinds = kinds();
    let queues = Queues::new("differential");
    let mut judge = judge(&[
        ("LD_PRELOAD", drop_in()),
        ("MQRS_DIR", &queues.0),
        ("MQRS_DROPIN_SYSV", Path::new("1")),
    ]);

    let found = try_scripts(&mut judge, &kinds, number("SCRIPTS").unwrap_or(2000));

    if let Some(difference) = found {
        panic!("the drop-in differs from the kernel:\n{difference}");
    }
}

#[test]
fn the_kernel_does_not_differ_from_itself() {
    let kinds = kinds();
    let mut judge = judge(&[]);

    let found = try_scripts(&mut judge, &kinds, number("SCRIPTS").unwrap_or(2000) / 4);

    if let Some(difference) = found {
        panic!("the kernel differs from itself:\n{difference}");
    }
    // Few scripts, or such without some words, need not lead everywhere.
    if number("SCRIPTS").is_some_and(|count| count < 2000) || !without().is_empty() {
        return;
    }
    for (verb, result) in REACHED.iter().filter(|(verb, _)| kinds.contains(&Kind::of(verb))) {
        let tried = judge.tally.contains_key(&((*verb).to_owned(), (*result).to_owned()));
        assert!(tried, "no script has led {verb} to {result}");
    }
}

#[test]
fn a_library_that_is_wrong_in_one_errno_is_found_out_in_few_steps() {
    let wrong = compiled(&["wrong.c"], "libwrong.so", &["-shared", "-fPIC"]);
    for kind in kinds() {
        let mut judge = judge(&[("LD_PRELOAD", &wrong)]);

        let found = try_scripts(&mut judge, &[kind], 500).expect("the sides differ");

        assert!(found.length() <= 4, "this could be shorter:\n{found}");
        let errno = if kind == Kind::Posix { "EMSGSIZE" } else { "E2BIG" };
        assert!(found.to_string().contains(errno), "it is another difference:\n{found}");
    }
}

/// Of which calls a script is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Posix,
    SystemV,
}

impl Kind {
    fn of(verb: &str) -> Kind {
        if verb.starts_with("msg") { Kind::SystemV } else { Kind::Posix }
    }
}

/// What scripts must have led to, or they try too little.
const REACHED: &[(&str, &str)] = &[
    ("open", "done"),
    ("open", "EACCES"),
    ("open", "EEXIST"),
    ("open", "EINVAL"),
    ("open", "ENAMETOOLONG"),
    ("open", "ENOENT"),
    ("unlink", "done"),
    ("unlink", "ENOENT"),
    ("send", "done"),
    ("send", "asleep"),
    ("send", "EAGAIN"),
    ("send", "EBADF"),
    ("send", "EFAULT"),
    ("send", "EINVAL"),
    ("send", "EMSGSIZE"),
    ("send", "ETIMEDOUT"),
    ("receive", "done"),
    ("receive", "asleep"),
    ("receive", "EAGAIN"),
    ("receive", "EBADF"),
    ("receive", "EINVAL"),
    ("receive", "EMSGSIZE"),
    ("receive", "ETIMEDOUT"),
    ("signal", "EINTR"),
    ("notify", "done"),
    ("notify", "EBADF"),
    ("notify", "EBUSY"),
    ("notify", "EINVAL"),
    ("setattr", "done"),
    ("setattr", "EINVAL"),
    ("getattr", "EBADF"),
    ("poll", "asleep"),
    ("msgget", "done"),
    ("msgget", "EACCES"),
    ("msgget", "EEXIST"),
    ("msgget", "ENOENT"),
    ("msgsnd", "done"),
    ("msgsnd", "asleep"),
    ("msgsnd", "EACCES"),
    ("msgsnd", "EAGAIN"),
    ("msgsnd", "EFAULT"),
    ("msgsnd", "EINVAL"),
    ("msgrcv", "done"),
    ("msgrcv", "asleep"),
    ("msgrcv", "E2BIG"),
    ("msgrcv", "EACCES"),
    ("msgrcv", "EINVAL"),
    ("msgrcv", "ENOMSG"),
    ("msgstat", "done"),
    ("msgstat", "EINVAL"),
    ("msgset", "done"),
    ("msgset", "EFAULT"),
    ("msgset", "EINVAL"),
    ("msgset", "EPERM"),
    ("msgrmid", "done"),
    ("msgrmid", "EINVAL"),
    ("msgfind", "done"),
    ("fork", "done"),
    ("exec", "done"),
];

/// Those that there is something to compare with, as far as they are asked for.
fn kinds() -> Vec<Kind> {
    let asked_for = std::env::var("KIND").unwrap_or_default();
    assert!(["", "mq", "sysv"].contains(&asked_for.as_str()), "KIND={asked_for} is no kind");
    let has_sysv = Path::new("/proc/sysvipc/msg").exists();
    let all = [
        (Kind::Posix, "mq", has_kernel_queues(), "POSIX"),
        (Kind::SystemV, "sysv", has_sysv, "System V"),
    ];
    let mut kinds = Vec::new();
    for (kind, name, is_there, title) in all {
        if !asked_for.is_empty() && asked_for != name {
            continue;
        }
        if is_there {
            kinds.push(kind);
        } else {
            skip("differential", &format!("the kernel has no {title} queues to compare with"));
        }
    }
    kinds
}

/// The kernel, and what is loaded into the same program.
fn judge(environment: &[(&str, &Path)]) -> Judge {
    // SAFETY: it changes which queues this thread and its children see, and nothing else. Where
    // it is refused, the queues are the machine's.
    unsafe { libc::unshare(libc::CLONE_NEWIPC) };
    let actor = compiled(&["actor.c", "actor_sysv.c"], "actor", &[]);
    Judge::new(Side::new("k", &actor, &[]), Side::new("o", &actor, environment))
}

/// Try scripts until one differs; what is left of it.
fn try_scripts(judge: &mut Judge, kinds: &[Kind], count: u64) -> Option<Difference> {
    let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |it| it.subsec_nanos().into());
    let seed = number("SEED").unwrap_or(time);
    println!("SEED={seed} SCRIPTS={count}");
    // SAFETY: it gives a number.
    let is_root = unsafe { libc::geteuid() } == 0;
    let without = without();
    let begun = Instant::now();
    for at in number("FIRST").unwrap_or(0)..count {
        let mut random = Random::new(seed, at);
        let mut script = match *kinds {
            [] => return None,
            [Kind::Posix] => script::script(&mut random, 30, is_root),
            [Kind::Posix, _] if at % 3 < 2 => script::script(&mut random, 30, is_root),
            _ => script_sysv::script(&mut random, 30, is_root),
        };
        script.steps.retain(|step| !without.split(',').any(|word| has_word(&step.call, word)));
        let Some(found) = judge.try_out(&script) else { continue };
        println!("script {at} of SEED={seed} differs:\n{found}");
        return Some(judge.shrink(found));
    }
    println!("{count} scripts, {:.1} s", begun.elapsed().as_secs_f64());
    for ((verb, result), times) in &judge.tally {
        println!("{verb:>10} {result:<12} {times}");
    }
    for (sentence, times) in &judge.met {
        println!("known, {times} times: {sentence}");
    }
    None
}

/// Words, with commas between, whose steps are left out.
fn without() -> String {
    std::env::var("WITHOUT").unwrap_or_default()
}

fn has_word(call: &str, word: &str) -> bool {
    call.split(' ').any(|it| it == word)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Where programs are compiled to.
fn workshop() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential")
}

/// Compile, one at a time; under a name that no other test's run may have in use.
fn compiled(sources: &[&str], name: &str, options: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // A test that failed meanwhile has left nothing half done.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    std::fs::create_dir_all(workshop()).expect("room for the programs");
    let program = workshop().join(name);
    let fresh = workshop().join(format!("{name}.new"));
    run(c_compiler(env!("TARGET"), &workshop())
        .args(options)
        .args(sources.iter().map(|source| root().join("tests/differential").join(source)))
        .arg("-o")
        .arg(&fresh)
        .args(["-lrt", "-ldl"]));
    std::fs::rename(fresh, &program).expect("the same directory");
    program
}
