//! Compiles and runs the C programs of `ctests/`, one behaviour each, against the shared
//! and against the static library, and as 32-bit programs where the machine runs those.
//!
//! A program exits 0 if its behaviours held and 77 if none of them can be tried here; what
//! it could not try it names in lines that begin with `SKIP`, which are also appended to the
//! file `MQRS_SKIP_LOG` if that is set. It has its own watchdog (`ctests/program.h`), and its
//! queues live in a directory of its own, which must be empty when it has passed.
//!
//! Checkers of memory accesses (`tools/sanitize`) run the same programs: CTESTS_CFLAGS are
//! more words for the compiler, CTESTS_RUNNER is a command to run each program by, and
//! CTESTS_SKIPS a file of lines "program: reason" with those that cannot be run so. A line
//! "program: behaviour: reason" is for one that the program itself leaves out.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

mod common;
use common::{Queues, libraries, link_library, root};

const SKIPPED: i32 = 77;

/// What a static library written in Rust needs of the system.
const SYSTEM_LIBRARIES: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Linkage {
    Shared,
    Static,
    /// The shared library, for 32-bit programs.
    Shared32,
}

impl Linkage {
    fn name(self) -> &'static str {
        match self {
            Linkage::Shared => "shared",
            Linkage::Static => "static",
            Linkage::Shared32 => "shared32",
        }
    }

    fn target(self) -> &'static str {
        if self == Linkage::Shared32 { common::TARGET_32 } else { env!("TARGET") }
    }
}

macro_rules! programs {
    ($($program:ident)*) => {
        const PROGRAMS: &[&str] = &[$(stringify!($program)),*];

        mod shared {
            $(#[test] fn $program() { super::run(stringify!($program), super::Linkage::Shared) })*
        }

        mod statically_linked {
            $(#[test] fn $program() { super::run(stringify!($program), super::Linkage::Static) })*
        }

        mod of_32_bits {
            $(#[test] fn $program() { super::run(stringify!($program), super::Linkage::Shared32) })*
        }
    };
}

programs! {
    async_signal
    attributes
    batches
    blocking_receive
    blocking_send
    bounded
    cancel
    closed_descriptors_underneath
    creation_race
    deadlines
    descriptor_limit
    descriptors
    drop_oldest
    ephemeral
    errors_arguments
    errors_text
    exec_exchange
    fork_exchange
    fork_inherits
    full_directory
    hostile_files
    in_place
    killed_reader
    killed_writer
    looking
    many_writers_many_readers
    message_sizes
    namespaces
    nonblocking
    notify_across_fork
    notify_between_users
    notify_callback
    notify_persistent
    notify_rules
    notify_signal
    open_modes
    out_of_memory
    passed_descriptors
    permission_matrix
    permissions
    poll_descriptor
    priority_order
    queue_names
    relatives
    sendall
    set_uid
    shutdown
    signals_during_waits
    standstill
    statistics
    steady_state
    stopped_peer
    threads
    too_many_users
    transports
    truncated_while_open
    unlink_while_open
    wait_many
    wait_many_ends
    wait_many_limits
}

/// The program that is started in both word sizes at once.
const IN_PAIRS: &str = "word_sizes";

#[test]
fn programs_of_both_word_sizes_share_queues() {
    if let Err(reason) = library_of_32_bits() {
        return common::skip("32-bit", reason);
    }
    let programs = [Linkage::Shared, Linkage::Shared32].map(|size| compile(IN_PAIRS, size));
    for (first, second, linkage) in [(0, 1, Linkage::Shared), (1, 0, Linkage::Shared32)] {
        let mut command = to_run(programs[first].clone());
        judge(IN_PAIRS, linkage, command.env("MQRS_PARTNER", &programs[second]));
    }
}

#[test]
fn every_program_of_the_directory_is_run() {
    let mut found: Vec<String> = fs::read_dir(root().join("ctests"))
        .expect("the programs are there")
        .filter_map(|entry| entry.expect("a readable directory").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".c").map(str::to_owned))
        .collect();
    found.sort();
    let mut run = PROGRAMS.to_vec();
    run.push(IN_PAIRS);
    run.sort();

    assert_eq!(run, found);
}

/// Where the programs are compiled to; the shared library is there too, under the names
/// that programs look for.
fn workshop() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        // Debug and release builds share the directory for temporary files.
        let profile = libraries().parent().and_then(Path::file_name).map(PathBuf::from);
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join("ctests")
            .join(profile.expect("the libraries lie in a directory of the profile"));
        for linkage in [Linkage::Shared, Linkage::Static, Linkage::Shared32] {
            fs::create_dir_all(directory.join(linkage.name())).expect("room for the programs");
        }
        link_library(&libraries(), &directory.join(Linkage::Shared.name()));
        directory
    })
}

/// The library for 32-bit programs, built now and linked into the workshop; or why there
/// can be none here.
fn library_of_32_bits() -> Result<(), &'static str> {
    static BUILT: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *BUILT.get_or_init(|| {
        common::can_do_32_bits(workshop())?;
        // Cargo holds no lock while tests run. The headers are for the other builds to make.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a directory");
        common::run(
            Command::new(std::env::var_os("CARGO").expect("cargo runs this"))
                .args(["build", "--lib", "--target", common::TARGET_32, "--target-dir"])
                .arg(target)
                .env("MQRS_KEEP_HEADERS", "1")
                .current_dir(root()),
        );
        let built = target.join(common::TARGET_32).join("debug");
        link_library(&built, &workshop().join(Linkage::Shared32.name()));
        Ok(())
    })
}

/// Compile a program; gives the path of the executable.
fn compile(program: &str, linkage: Linkage) -> PathBuf {
    let executable = workshop().join(linkage.name()).join(program);
    let mut compiler = common::c_compiler(linkage.target(), workshop());
    compiler
        .args(["-pthread", "-I"])
        .arg(root().join("include"))
        .arg(root().join("ctests").join(program).with_extension("c"))
        .arg("-o")
        .arg(&executable)
        .args(words("CTESTS_CFLAGS"));
    match linkage {
        Linkage::Shared | Linkage::Shared32 => {
            let directory = workshop().join(linkage.name());
            let mut rpath = OsString::from("-Wl,-rpath,");
            rpath.push(&directory);
            compiler.arg("-L").arg(directory).arg("-lmqueue_rs").arg(rpath);
        }
        Linkage::Static => {
            compiler.arg(libraries().join("libmqueue_rs.a")).args(SYSTEM_LIBRARIES);
        }
    }
    let output = compiler.output().expect("there is a C compiler");
    assert!(output.status.success(), "{program} does not compile:\n{}", text(&output));
    executable
}

fn run(program: &str, linkage: Linkage) {
    if linkage == Linkage::Shared32 {
        if let Err(reason) = library_of_32_bits() {
            return common::skip("32-bit", reason);
        }
    }
    if let Some(reason) = reason_to_skip(program) {
        return common::skip(program, &reason);
    }
    judge(program, linkage, &mut to_run(compile(program, linkage)));
}

/// The command for an executable, with a checker in front of it if there is one.
fn to_run(executable: PathBuf) -> Command {
    let mut line = words("CTESTS_RUNNER");
    line.push(executable.into_os_string().into_string().expect("a path of our own is text"));
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    command
}

/// Run a program that was compiled.
fn judge(program: &str, linkage: Linkage, command: &mut Command) {
    let queues = Queues::new(&format!("{program}-{}", linkage.name()));

    let output = command.env("MQRS_DIR", &queues.0).output().expect("what was compiled can be run");

    let text = text(&output);
    log_skips(&text);
    match output.status.code() {
        Some(0) => print!("{text}"),
        Some(SKIPPED) => print!("{text}{program} could not be tried here"),
        _ => panic!("{program} failed ({}):\n{text}", output.status),
    }
    assert_eq!(BTreeSet::new(), queues.files(), "{program} left files behind");
}

/// Why this program is not to be run in the checker at hand.
fn reason_to_skip(program: &str) -> Option<String> {
    let list = std::env::var_os("CTESTS_SKIPS")?;
    let list = fs::read_to_string(list).expect("CTESTS_SKIPS names a file");
    let reason = list.lines().find_map(|line| line.strip_prefix(program)?.strip_prefix(": "))?;
    let is_one_behaviour = reason.split_once(": ").is_some_and(|(name, _)| !name.contains(' '));
    (!is_one_behaviour).then(|| reason.to_owned())
}

/// The words of a variable of the environment.
fn words(variable: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

fn log_skips(text: &str) {
    text.lines().filter(|line| line.starts_with("SKIP ")).for_each(common::log_skip);
}
