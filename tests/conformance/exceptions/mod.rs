//! What does not hold everywhere, and what holds instead.
//!
//! An exception says why some clauses do not hold on a transport (`table.rs`), in whatever
//! language, and has a body that shows what the transport does (`instead.rs`). The suite tries
//! the clauses all the same, and if one of them holds, it must leave the table. The table is
//! printed in docs/transports.md.

mod instead;
mod table;

use crate::clauses::{self, Body};
use crate::common;
use crate::subject::Transport;
use std::fmt::Write as _;
use std::path::PathBuf;
use table::EXCEPTIONS;

pub struct Exception {
    /// Where they do not hold, for the one reason.
    pub transports: &'static [Transport],
    /// The names of the clauses.
    pub clauses: &'static [&'static str],
    pub because: &'static str,
    /// What the transport does.
    pub instead: Body,
}

/// That of a clause, if it is excepted.
pub fn of(transport: Transport, clause: &str) -> Option<&'static Exception> {
    EXCEPTIONS.iter().find(|e| e.transports.contains(&transport) && e.clauses.contains(&clause))
}

/// Each exception with each of its transports, in the order of the document.
fn by_transport() -> impl Iterator<Item = (Transport, &'static Exception)> {
    Transport::ALL.into_iter().flat_map(|transport| {
        let of_it = EXCEPTIONS.iter().filter(move |e| e.transports.contains(&transport));
        of_it.map(move |exception| (transport, exception))
    })
}

/// Checks of the table itself.
pub const CHECKS: &[(&str, fn())] = &[
    ("each_exception_is_of_a_clause", each_exception_is_of_a_clause),
    ("the_document_has_every_exception", the_document_has_every_exception),
];

fn each_exception_is_of_a_clause() {
    let mut seen = Vec::new();
    for (transport, exception) in by_transport() {
        for &clause in exception.clauses {
            let is_known = clauses::all()
                .any(|known| known.name == clause && known.scope.has_transport(transport));
            assert!(is_known, "{clause} is no clause of {transport:?}");
            assert!(!seen.contains(&(transport, clause)), "{clause} is there twice");
            seen.push((transport, clause));
        }
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
    let mut table = String::from("| | because | so these clauses do not hold |\n|---|---|---|\n");
    for (transport, Exception { clauses, because, .. }) in by_transport() {
        let sentences: Vec<_> = clauses.iter().map(|name| name.replace('_', " ")).collect();
        let (transport, sentences) = (transport.name(), sentences.join("<br>"));
        writeln!(table, "| {transport} | {because} | {sentences} |").expect("a string");
    }
    table
}
