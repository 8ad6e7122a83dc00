//! The examples of event loops do what their comments say: in C with epoll, in Python with
//! asyncio.

#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

mod common;
use common::{is_there, root, run, skip};

/// A directory with the library under the names by which it is linked and found; and with one
/// for the queues.
fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(place.join("queues")).expect("room");
    let tests = std::env::current_exe().expect("a path");
    let library = tests.parent().expect("a directory").join("libmqueue_rs.so");
    for link in ["libmqueue_rs.so", "libmqueue_rs.so.0"] {
        symlink(&library, place.join(link)).expect("a link to the library");
    }
    place
}

/// What an example says, which leaves no queue behind.
fn said(place: &Path, command: &mut Command) -> String {
    let output = run(command.env("LD_LIBRARY_PATH", place).env("MQRS_DIR", place.join("queues")));
    let left = fs::read_dir(place.join("queues")).expect("the directory").count();
    assert_eq!(left, 0, "a queue was left behind");
    String::from_utf8(output.stdout).expect("text")
}

/// The lines that begin so, in their order.
fn lines<'a>(said: &'a str, beginning: &str) -> Vec<&'a str> {
    said.lines().filter(|line| line.starts_with(beginning)).collect()
}

#[test]
fn the_loop_in_c_waits_for_two_queues_a_timer_and_a_signal() {
    let place = place("event-loop-c");
    let program = place.join("event_loop");
    run(Command::new("cc")
        .args("-O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I".split(' '))
        .args([root().join("include"), root().join("examples/c/event_loop.c")])
        .arg("-L")
        .args([&place, Path::new("-lmqueue_rs"), Path::new("-o"), &program]));

    let said = said(&place, &mut Command::new(&program));

    let jobs = ["job: sweep the yard", "job: feed the cat", "job: lock the door"];
    assert_eq!(lines(&said, "job"), jobs);
    assert_eq!(lines(&said, "remark"), ["remark: it is raining"]);
    assert_eq!(lines(&said, "the timer"), ["the timer ticks"]);
    assert!(said.ends_with("told to stop\n"), "{said}");
}

#[test]
fn the_loop_in_python_waits_for_a_queue_by_asyncio() {
    if !is_there("python3") {
        return skip("the_loop_in_python_waits_for_a_queue_by_asyncio", "there is no python3");
    }
    let place = place("event-loop-python");

    let said =
        said(&place, Command::new("python3").arg(root().join("examples/python/event_loop.py")));

    let jobs = ["job: sweep the yard", "job: wait a moment", "job: lock the door"];
    assert_eq!(lines(&said, "job"), jobs);
    assert!(said.ends_with("done, and the clock went on\n"), "{said}");
}
