//! The one conformance suite: every clause of the contract, over every transport, in every
//! language.
//!
//! A clause is a function whose name is a sentence (`clauses/`). It is tried on each subject
//! (`subject.rs`): shared memory, the kernel's POSIX queues and System V queues, by the Rust
//! API (`rust.rs`) and by the C API (`c.rs`). So the tests are `posix::c::SENTENCE` and so on.
//! What a transport cannot do is an exception with a name and a reason (`exceptions.rs`),
//! never an `if` in a clause; docs/transports.md has them all.
//!
//! Each test is a process in a world of its own (`keeper.rs`, `world.rs`), so clauses may
//! fork, be killed, take signals, and change limits.
//!
//! `cargo test --test conformance -- WORD...` tries those whose name has all the words;
//! `--list` lists them, `--write-exceptions` brings docs/transports.md up to date.

mod c;
mod clauses;
#[path = "../common/mod.rs"]
mod common;
mod exceptions;
mod keeper;
mod process;
mod rust;
mod subject;
mod world;

use clauses::Clause;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use subject::{Language, Subject, Transport};

/// One clause on one subject.
struct Test {
    clause: &'static Clause,
    transport: Transport,
    language: &'static dyn Language,
}

impl Test {
    fn name(&self) -> String {
        format!("{}::{}::{}", self.transport.name(), self.language.name(), self.clause.name)
    }

    fn subject(&self) -> Subject {
        Subject::new(self.transport, self.language)
    }
}

/// All of them.
fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for transport in Transport::ALL {
        for language in [&rust::Rust as &dyn Language, &c::C] {
            for clause in clauses::all() {
                let scope = clause.scope;
                if scope.has_transport(transport) && scope.has_language(language.name()) {
                    tests.push(Test { clause, transport, language });
                }
            }
        }
    }
    tests
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    if has("--write-exceptions") {
        return exceptions::write();
    }
    let words: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |name: &str| {
        words.iter().all(|word| if has("--exact") { name == **word } else { name.contains(*word) })
    };
    let mut chosen = tests();
    chosen.retain(|test| is_chosen(&test.name()));
    if has("--list") {
        chosen.iter().for_each(|test| println!("{}: test", test.name()));
        return;
    }
    println!("running {} tests", chosen.len());
    let mut run = Run { is_loud: has("--nocapture"), ..Run::default() };
    for (name, check) in exceptions::CHECKS {
        if is_chosen(name) {
            run.check(name, *check);
        }
    }
    run.all(chosen);
    std::process::exit(run.report());
}

/// A test that is running.
struct Running {
    keeper: i32,
    name: String,
    output: File,
}

#[derive(Default)]
struct Run {
    is_loud: bool,
    passed: u32,
    skipped: u32,
    failures: BTreeSet<String>,
}

impl Run {
    /// A check of the suite itself.
    fn check(&mut self, name: &str, check: fn()) {
        let failed = std::panic::catch_unwind(check).is_err();
        self.note(name, if failed { 1 } else { 0 }, "");
    }

    fn all(&mut self, tests: Vec<Test>) {
        let at_once = if probe() {
            println!("each test has an IPC namespace of its own, with raised limits");
            // Most of them sleep most of the time.
            2 * std::thread::available_parallelism().map_or(1, usize::from)
        } else {
            println!("the tests share this machine's IPC namespace, and keep to its defaults");
            println!("(10 messages of 8192 bytes, 9 queues, 16384 bytes in a System V queue)");
            1
        };
        let mut waiting = VecDeque::from(tests);
        let mut running: Vec<Running> = Vec::new();
        while !waiting.is_empty() || !running.is_empty() {
            while running.len() < at_once {
                let Some(test) = waiting.pop_front() else { break };
                running.push(start(&test));
            }
            let mut status = 0;
            // SAFETY: writes the status.
            let ended = unsafe { libc::waitpid(-1, &mut status, 0) };
            let Some(at) = running.iter().position(|one| one.keeper == ended) else { continue };
            let Running { name, mut output, .. } = running.swap_remove(at);
            let mut text = Vec::new();
            output.rewind().and_then(|()| output.read_to_end(&mut text)).expect("what it said");
            let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 1 };
            self.note(&name, code, &String::from_utf8_lossy(&text));
        }
    }

    fn note(&mut self, name: &str, code: i32, output: &str) {
        let verdict = match code {
            0 => {
                self.passed += 1;
                "ok"
            }
            keeper::SKIPPED => {
                self.skipped += 1;
                "ignored"
            }
            _ => {
                self.failures.insert(name.to_owned());
                "FAILED"
            }
        };
        println!("test {name} ... {verdict}");
        if code != 0 || self.is_loud {
            print!("{output}");
        }
    }

    fn report(&self) -> i32 {
        let is_good = self.failures.is_empty();
        if !is_good {
            println!("\nfailures:");
            self.failures.iter().for_each(|name| println!("    {name}"));
        }
        println!(
            "\ntest result: {}. {} passed; {} failed; {} ignored",
            if is_good { "ok" } else { "FAILED" },
            self.passed,
            self.failures.len(),
            self.skipped
        );
        if is_good { 0 } else { 101 }
    }
}

/// Start a test; what it says goes into a file.
fn start(test: &Test) -> Running {
    // SAFETY: a C string; the new descriptor is nobody else's.
    let output = unsafe {
        let memory = libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC);
        assert!(memory >= 0, "memfd: {}", std::io::Error::last_os_error());
        File::from_raw_fd(memory)
    };
    let keeper = fork(|| {
        for stream in [1, 2] {
            // SAFETY: touches no memory.
            unsafe { libc::dup2(output.as_raw_fd(), stream) };
        }
        keeper::keep(test)
    });
    Running { keeper, name: test.name(), output }
}

/// Whether tests may have a world of their own.
fn probe() -> bool {
    let child = fork(|| {
        let _world = world::World::enter();
        world::is_roomy().into()
    });
    let mut status = 0;
    // SAFETY: writes the status.
    unsafe { libc::waitpid(child, &mut status, 0) };
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1
}

/// The process number of one that does this and ends.
fn fork(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: this process has one thread, so the child may do anything.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(1);
        // SAFETY: ends this process without running what belongs to its parent.
        unsafe { libc::_exit(code) };
    }
    child
}
