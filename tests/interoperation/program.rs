//! The kinds of peers: how each is made to run, and what it can tell.

use crate::common::{c_compiler, root, skip};
use crate::peer::Peer;
use crate::python;
use std::ffi::c_long;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// A kind of peer.
pub struct Program {
    pub name: &'static str,
    language: Language,
    /// Whether it says which priority or type a message has.
    pub tells_labels: bool,
    /// The number of the system call that it reads its lines with.
    pub read: c_long,
}

enum Language {
    C,
    C32,
    Python,
}

const fn in_c(name: &'static str) -> Program {
    Program { name, language: Language::C, tells_labels: true, read: libc::SYS_read }
}

const fn in_c_of_32_bits(name: &'static str) -> Program {
    Program { name, language: Language::C32, tells_labels: true, read: 3 }
}

const fn in_python(name: &'static str, tells_labels: bool) -> Program {
    Program { name, language: Language::Python, tells_labels, read: libc::SYS_read }
}

pub static POSIX_C: Program = in_c("posix");
pub static POSIX_C32: Program = in_c_of_32_bits("posix");
pub static POSIX_IPC: Program = in_python("with_posix_ipc", true);
pub static IPCQUEUE_POSIXMQ: Program = in_python("with_ipcqueue_posixmq", false);

pub static SYSV_C: Program = in_c("sysv");
pub static SYSV_C32: Program = in_c_of_32_bits("sysv");
pub static SYSV_IPC: Program = in_python("with_sysv_ipc", true);
pub static IPCQUEUE_SYSVMQ: Program = in_python("with_ipcqueue_sysvmq", false);

impl Program {
    /// Start it for a queue; None, said by name, where it cannot run.
    pub fn start(&'static self, queue: &str) -> Option<Peer> {
        let command = match self.language {
            Language::C => Ok(Command::new(compiled(self.name, env!("TARGET")))),
            Language::C32 => runs_32_bits().map(|()| Command::new(compiled(self.name, TARGET_32))),
            Language::Python => python::interpreter().map(|python| {
                let mut command = Command::new(python);
                // No cache of compiled modules in the tree.
                command.arg("-B").arg(sources().join(self.name).with_extension("py"));
                command
            }),
        };
        match command {
            Ok(mut command) => {
                command.arg(queue);
                Some(Peer::start(self, command))
            }
            Err(reason) => {
                let name = match self.language {
                    Language::C32 => "32-bit",
                    _ => self.name,
                };
                skip(name, &reason);
                None
            }
        }
    }
}

pub fn sources() -> PathBuf {
    root().join("tests/interoperation")
}

/// Where programs are compiled to and packages are installed.
pub fn workshop() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("interoperation")
}

const TARGET_32: &str = "i686-unknown-linux-gnu";

/// Compile a peer, once in this process.
fn compiled(name: &str, target: &str) -> PathBuf {
    static COMPILED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    // A test that failed meanwhile has left it whole.
    let mut compiled = COMPILED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let executable = workshop().join(format!("{name}-{target}"));
    if !compiled.contains(&executable) {
        std::fs::create_dir_all(workshop()).expect("room for the programs");
        let mut compiler = c_compiler(target, &workshop());
        compiler
            .arg(sources().join(name).with_extension("c"))
            .arg("-o")
            .arg(&executable)
            .arg("-lrt");
        crate::common::run(&mut compiler);
        compiled.push(executable.clone());
    }
    executable
}

/// Whether programs of 32 bits can be made and run; or why not.
fn runs_32_bits() -> Result<(), String> {
    static RUNS: OnceLock<Result<(), String>> = OnceLock::new();
    RUNS.get_or_init(|| {
        if env!("TARGET") != "x86_64-unknown-linux-gnu" {
            return Err("only tried on x86-64 with glibc".to_owned());
        }
        let source = workshop().join("trial.c");
        let trial = workshop().join("trial");
        std::fs::create_dir_all(workshop()).expect("room for the programs");
        std::fs::write(&source, "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n")
            .expect("room for a program");
        let compiled = Command::new("cc").arg("-m32").arg(source).arg("-o").arg(&trial).output();
        if !compiled.is_ok_and(|output| output.status.success()) {
            let hint = "cc makes no 32-bit programs; on Debian: apt-get install gcc-multilib";
            return Err(hint.to_owned());
        }
        if !Command::new(trial).output().is_ok_and(|output| output.status.success()) {
            return Err("the kernel runs no 32-bit programs".to_owned());
        }
        Ok(())
    })
    .clone()
}
