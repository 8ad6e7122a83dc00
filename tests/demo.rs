//! What `make demo` promises: processes pass real files, and what arrives is compared.
//!
//! The demo runs as a user would run it, only briefly. That its comparison is one is shown
//! by a consumer that changes a letter.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// Two makes at once would write the same build results.
static MAKE: Mutex<()> = Mutex::new(());

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A directory that goes away with its test.
struct Place(PathBuf);

impl Place {
    fn new(path: PathBuf) -> Place {
        // What an earlier run that was killed left behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    /// For the queues of one test, so that it can see that none is left.
    fn of_queues(test: &str) -> Place {
        Place::new(format!("/dev/shm/mqrs-demo-{test}-{}", std::process::id()).into())
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// make with the build directory of this test run, and nothing of an outer make.
fn make(arguments: &[&str], queues: &Place) -> Output {
    let _alone = MAKE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    Command::new("make")
        .args(arguments)
        .arg("CFLAGS=-O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", target())
        .env("MQRS_DIR", &queues.0)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("MFLAGS")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_passes_the_sources_and_tells_the_rate() {
    let queues = Place::of_queues("whole");

    let output = make(&["demo", "DEMO_REPEAT=1"], &queues);

    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{said}{errors}", output.status);
    assert!(said.contains("Every file arrived 1 times, the same to the byte."), "{said}");
    let rate = said.lines().find_map(|line| line.split_once("mqueue_rs ")?.1.trim().parse().ok());
    assert!(rate.is_some_and(|rate: u64| rate > 0), "{said}");
    assert!(queues.is_empty());
}

/// Run the demo with the programs of this test run, but a consumer of our own, a shell
/// script in which CONSUMER is the right one. Gives what the demo complained about.
fn complaint(test: &str, consumer: &str) -> String {
    // A child that another test starts while we write a program has it open for a moment, and
    // what is open to be written cannot be executed.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let queues = Place::of_queues(test);
    let built = make(&["demo", "DEMO_REPEAT=1"], &queues);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let place = Place::new(target().join(format!("demo-{test}")));
    for program in ["demo", "producer"] {
        fs::hard_link(target().join("demo").join(program), place.0.join(program)).unwrap();
    }
    let right = target().join("demo/consumer");
    let script = place.0.join("consumer");
    fs::write(
        &script,
        format!("#!/bin/sh\n{}\n", consumer.replace("CONSUMER", right.to_str().unwrap())),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/mqueue_rs.h");

    let output = Command::new(place.0.join("demo"))
        .args(["-n", "1"])
        .arg(header)
        .env("MQRS_DIR", &queues.0)
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(queues.is_empty(), "a queue was left behind");
    text(&output.stderr)
}

#[test]
fn the_demo_notices_a_letter_that_changed() {
    let said = complaint("letter", r#""CONSUMER" "$@" | LC_ALL=C sed 's/priority/priprity/'"#);

    assert!(said.contains("what arrived is not what was sent"), "{said}");
}

#[test]
fn the_demo_notices_a_line_that_is_missing() {
    let said =
        complaint("line", r#"[ "$2" = once ] && exec "CONSUMER" "$@"; "CONSUMER" "$@" >/dev/null"#);

    assert!(said.contains("a line is missing"), "{said}");
}

#[test]
fn the_demo_fails_and_cleans_up_when_a_program_fails() {
    let said = complaint("failure", "exit 3");

    assert!(said.contains("a program failed"), "{said}");
}
