//! What the tests of this directory share: running commands, and saying what was skipped.

// Each test program uses some of it.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

/// The top of the tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Run to the end; a failure shows everything that the command said.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Two makes at once would write the same build results.
static MAKE: Mutex<()> = Mutex::new(());

/// make with the build directory of this test run, and nothing of an outer make.
pub fn make<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) {
    let _alone = MAKE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    run(Command::new("make")
        .args(arguments)
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("MFLAGS")
        .env_remove("DESTDIR")
        .env_remove("PREFIX")
        .env_remove("LIBDIR")
        .env_remove("INCLUDEDIR"));
}

/// The platform's compiler for programs in C that are tests' own, every warning an error.
pub fn c_compiler(target: &str, workshop: &Path) -> Command {
    let mut compiler = cc::Build::new()
        .target(target)
        .host(env!("HOST"))
        .opt_level(1)
        .debug(true)
        .warnings(false)
        .cargo_metadata(false)
        .out_dir(workshop)
        .get_compiler()
        .to_command();
    compiler
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror"])
        // The programs' own times and files; the library's interface has none of these types.
        .args(["-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64"]);
    compiler
}

/// Programs of 32 bits on x86-64.
pub const TARGET_32: &str = "i686-unknown-linux-gnu";

/// Whether programs of 32 bits can be made and run here; if not, why.
pub fn can_do_32_bits(workshop: &Path) -> Result<(), &'static str> {
    if env!("TARGET") != "x86_64-unknown-linux-gnu" {
        return Err("only tried on x86-64 with glibc");
    }
    let rustc = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET_32])
        .output()
        .map_err(|_| "there is no rustc")?;
    if !Path::new(String::from_utf8_lossy(&rustc.stdout).trim_end()).is_dir() {
        return Err("rustc lacks the target; try 'rustup target add i686-unknown-linux-gnu'");
    }
    let source = workshop.join("trial.c");
    let trial = workshop.join("trial");
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
        .expect("room for a program");
    let compiled = Command::new("cc").arg("-m32").arg(source).arg("-o").arg(&trial).output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        return Err("cc makes no 32-bit programs; on Debian: apt-get install gcc-multilib");
    }
    if !Command::new(trial).output().is_ok_and(|output| output.status.success()) {
        return Err("the kernel runs no 32-bit programs");
    }
    Ok(())
}

/// Whether a tool is on this machine.
pub fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Say that something cannot be tested on this machine; `make test` collects it.
pub fn skip(name: &str, reason: &str) {
    println!("SKIP {name}: {reason}");
    log_skip(&format!("SKIP {name}: {reason}"));
}

/// Add a line to the file that MQRS_SKIP_LOG names, in one write: others do the same.
pub fn log_skip(line: &str) {
    let Some(path) = std::env::var_os("MQRS_SKIP_LOG") else { return };
    let mut log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("MQRS_SKIP_LOG names a file that can be written");
    log.write_all(format!("{line}\n").as_bytes()).expect("room for the log");
}
