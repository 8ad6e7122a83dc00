//! What the tests of this directory share: running commands, and saying what was skipped.

// Each test program uses some of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};

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

/// The drop-in: what MQRS_DROPIN names, or as `make dropin` makes it.
pub fn drop_in() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| match std::env::var_os("MQRS_DROPIN") {
        Some(library) => fs::canonicalize(library).expect("MQRS_DROPIN names the drop-in"),
        None => {
            make(["dropin"]);
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a directory");
            target.join("dropin/libmqueue_dropin.so")
        }
    })
}

/// Whether programs may have the kernel's POSIX queues here.
pub fn has_kernel_queues() -> bool {
    Path::new("/proc/sys/fs/mqueue").is_dir()
}

/// A directory for the queues of one run, in memory where that is possible. Everybody may
/// make files there and remove his own, as in `/dev/shm`.
pub struct Queues(pub PathBuf);

impl Queues {
    /// Of a run that no other of this process shares its name with.
    pub fn new(run: &str) -> Queues {
        let parent = Path::new("/dev/shm");
        let parent = if parent.is_dir() { parent } else { Path::new("/tmp") };
        let path = parent.join(format!("mqrs-test-{}-{run}", std::process::id()));
        // An earlier process of that number may have been killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("room for the queues");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).expect("it is ours");
        Queues(path)
    }

    /// What is there.
    pub fn files(&self) -> BTreeSet<OsString> {
        fs::read_dir(&self.0)
            .expect("programs leave the directory itself alone")
            .map(|entry| entry.expect("a readable directory").file_name())
            .collect()
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // What is left does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where cargo has put the libraries of this very build: beside the test program. The ones
/// one directory up may be left from an earlier build.
pub fn libraries() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    program.parent().expect("it lies in a directory").to_owned()
}

/// Link the library of that directory into `to`, under the names that programs look for.
pub fn link_library(from: &Path, to: &Path) {
    for name in ["libmqueue_rs.so", "libmqueue_rs.so.0"] {
        let link = to.join(name);
        let _ = fs::remove_file(&link);
        symlink(from.join("libmqueue_rs.so"), link).expect("a link to the library");
    }
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
    fs::write(&source, "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
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
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("MQRS_SKIP_LOG names a file that can be written");
    log.write_all(format!("{line}\n").as_bytes()).expect("room for the log");
}
