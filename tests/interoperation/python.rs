//! A Python with the packages of requirements.txt: a virtual environment, made when a test
//! first asks for it and kept for the next run.

use crate::program::{sources, workshop};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The interpreter; or why there is none.
pub fn interpreter() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(make).clone()
}

fn make() -> Result<PathBuf, String> {
    let requirements = sources().join("requirements.txt");
    let environment = workshop().join("python");
    let interpreter = environment.join("bin/python");
    let mark = environment.join("made-for");

    let version = Command::new("python3").arg("-VV").output();
    let version = version.ok().filter(|it| it.status.success()).ok_or("there is no python3")?;
    let mut wanted = version.stdout;
    wanted.extend(fs::read(&requirements).expect("the list is in the tree"));
    if fs::read(&mark).is_ok_and(|found| found == wanted) && imports(&interpreter) {
        return Ok(interpreter);
    }

    let _ = fs::remove_dir_all(&environment);
    attempt(
        Command::new("python3").args(["-m", "venv"]).arg(&environment),
        "python3 makes no virtual environment; on Debian: apt-get install python3-venv",
    )?;
    attempt(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&requirements),
        "pip does not install the packages; where it has to compile them, it needs Python's \
         headers, on Debian: apt-get install python3-dev",
    )?;
    if !imports(&interpreter) {
        return Err("the packages are installed and cannot be imported".to_owned());
    }
    // Last, so that an environment that is not whole is made anew.
    fs::write(mark, wanted).expect("room for a mark");
    Ok(interpreter)
}

fn imports(interpreter: &PathBuf) -> bool {
    let code = "import posix_ipc, sysv_ipc, ipcqueue.posixmq, ipcqueue.sysvmq";
    Command::new(interpreter)
        .args(["-c", code])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Run; a failure becomes the hint and the last line that the command said.
fn attempt(command: &mut Command, hint: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{hint} ({error})"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(format!("{hint} ({last})"))
}
