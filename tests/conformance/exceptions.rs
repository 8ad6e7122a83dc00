//! What a transport cannot do: the one table, which docs/transports.md prints.
//!
//! An exception says why, and what happens instead. It is for both languages. The suite tries
//! the clause all the same, and if it holds, the exception must go.

use crate::clauses::{self, Body};
use crate::common;
use crate::process::{as_user, need_root, set_umask};
use crate::subject::{NOBODY, Subject, Transport};
use libc::{O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::attr::OpenOptions;
use std::fmt::Write as _;
use std::path::PathBuf;

pub struct Exception {
    pub transport: Transport,
    /// The name of the clause.
    pub clause: &'static str,
    pub reason: &'static str,
    /// What the transport does; `None` where there is nothing to be seen.
    pub instead: Option<Body>,
}

/// All of them, in the order of the document.
pub const EXCEPTIONS: &[Exception] = &[Exception {
    transport: Transport::Shm,
    clause: "who_may_read_may_receive_and_not_send",
    reason: "whoever uses shared memory both reads and writes it, so opening needs both permissions",
    instead: Some(who_may_only_read_may_not_open),
}];

/// That of a clause, if it is excepted.
pub fn of(transport: Transport, clause: &str) -> Option<&'static Exception> {
    EXCEPTIONS
        .iter()
        .find(|exception| exception.transport == transport && exception.clause == clause)
}

/// Checks of the table itself.
pub const CHECKS: &[(&str, fn())] = &[
    ("each_exception_names_a_clause", each_exception_names_a_clause),
    ("the_document_has_every_exception", the_document_has_every_exception),
];

fn each_exception_names_a_clause() {
    for (index, exception) in EXCEPTIONS.iter().enumerate() {
        let Exception { transport, clause, .. } = *exception;
        assert!(clauses::all().any(|known| known.name == clause), "{clause} is no clause");
        let is_second =
            EXCEPTIONS[..index].iter().any(|e| (e.transport, e.clause) == (transport, clause));
        assert!(!is_second, "{clause} is excepted twice");
    }
}

fn the_document_has_every_exception() {
    let document = read();
    assert!(
        document == with_table(&document),
        "docs/transports.md is not up to date: cargo test --test conformance -- --write-exceptions"
    );
}

/// Bring the document up to date.
pub fn write() {
    std::fs::write(path(), with_table(&read())).expect("docs/transports.md can be written");
}

fn path() -> PathBuf {
    common::root().join("docs/transports.md")
}

fn read() -> String {
    std::fs::read_to_string(path()).expect("docs/transports.md can be read")
}

const BEGIN: &str = "<!-- exceptions: written by the conformance suite -->\n";
const END: &str = "<!-- end of exceptions -->\n";

fn with_table(document: &str) -> String {
    let (before, rest) = document.split_once(BEGIN).expect("where the table begins");
    let (_, after) = rest.split_once(END).expect("where the table ends");
    format!("{before}{BEGIN}{}{END}{after}", table())
}

fn table() -> String {
    let mut table = String::from("| clause | not on | because |\n|---|---|---|\n");
    for Exception { transport, clause, reason, .. } in EXCEPTIONS {
        let sentence = clause.replace('_', " ");
        writeln!(table, "| {sentence} | {} | {reason} |", transport.name()).expect("a string");
    }
    table
}

fn who_may_only_read_may_not_open(s: &Subject) {
    need_root();
    set_umask(0);
    let (address, _queue) = s.create_with(&OpenOptions { mode: 0o644, ..OpenOptions::default() });

    as_user(NOBODY, || {
        for oflag in [O_RDONLY, O_WRONLY, O_RDWR] {
            s.fails(libc::EACCES, s.open(&address, oflag));
        }
    })
    .join();
}
