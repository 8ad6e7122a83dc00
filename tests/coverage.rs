//! What docs/coverage.md says is true as far as a program can tell: five tables without an empty
//! cell, functions and constants that the header has, and tests that exist where it says.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PACKAGES: [&str; 5] =
    ["mood.mqueue", "mood.mqueue 1.0.1", "ipcqueue", "posix_ipc MessageQueue", "Go mq"];

/// A row: what a package has, what we have, which tests show it.
struct Row {
    line: usize,
    theirs: String,
    ours: String,
    shown_by: String,
}

fn docs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))
}

fn document() -> String {
    fs::read_to_string(docs().join("coverage.md")).expect("the document is there")
}

/// The rows of all tables; a line that begins with a bar is one.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, text) in document().lines().enumerate() {
        let Some(text) = text.strip_prefix('|') else { continue };
        let line = index + 1;
        let text = text.strip_suffix('|').unwrap_or_else(|| panic!("line {line} has no end"));
        let cells: Vec<_> = text.split('|').map(|cell| cell.trim().to_owned()).collect();
        let [theirs, ours, shown_by] =
            cells.try_into().unwrap_or_else(|_| panic!("line {line} has not three cells"));
        if theirs != "theirs" && theirs != "---" {
            rows.push(Row { line, theirs, ours, shown_by });
        }
    }
    rows
}

/// Names and files of the links in a cell.
fn links(cell: &str) -> Vec<(&str, &str)> {
    cell.split('[')
        .skip(1)
        .map(|link| {
            let (name, rest) = link.split_once("](").unwrap_or_else(|| panic!("a link: {cell}"));
            let (file, _) = rest.split_once(')').unwrap_or_else(|| panic!("a link: {cell}"));
            (name, file)
        })
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn each_package_has_its_table() {
    let document = document();

    let headings: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("## ")).collect();

    assert_eq!(headings, PACKAGES);
    for section in document.split("\n## ").skip(1) {
        let rows = section.lines().filter(|line| line.starts_with('|')).count();
        assert!(rows > 10, "{}: {rows} lines are no table", section.lines().next().unwrap());
    }
}

#[test]
fn no_cell_is_empty() {
    for Row { line, theirs, ours, shown_by } in rows() {
        for cell in [theirs, ours, shown_by] {
            let says = words(&cell).next().is_some();
            assert!(says, "line {line} has a cell that says nothing: '{cell}'");
        }
    }
}

#[test]
fn what_is_named_as_ours_is_in_the_header() {
    let header = fs::read_to_string(docs().join("../include/mqueue_rs.h")).expect("the header");
    let known: BTreeSet<_> = words(&header).collect();

    for Row { line, ours, .. } in rows() {
        for word in words(&ours).filter(|w| w.starts_with("mqrs_") || w.starts_with("MQRS_")) {
            assert!(known.contains(word), "line {line}: the header has no {word}");
        }
    }
}

#[test]
fn each_row_names_tests_and_they_exist() {
    for Row { line, shown_by, .. } in rows() {
        let links = links(&shown_by);
        assert!(!links.is_empty(), "line {line} names no test");
        for (name, file) in links {
            let source = fs::read_to_string(docs().join(file))
                .unwrap_or_else(|error| panic!("line {line}: {file}: {error}"));
            // In Rust and in C, a function without a result.
            let defined = [format!("fn {name}("), format!("static void {name}(void)")];
            let is_there = defined.iter().any(|definition| source.contains(definition));
            assert!(is_there, "line {line}: {file} has no test {name}");
        }
    }
}
