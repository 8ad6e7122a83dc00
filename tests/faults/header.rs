//! What the header says that a function may fail with.

use mqueue_rs::mqrs_errname;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

/// The errors of each function, as positive errnos.
pub struct Header {
    text: String,
    numbers: BTreeMap<String, i32>,
}

impl Header {
    pub fn read() -> Header {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/include/mqueue_rs.h");
        let text = std::fs::read_to_string(path).expect("the header");
        let numbers = (1..134)
            .map(|errno| {
                // SAFETY: constant text that lives as long as the library.
                let name = unsafe { CStr::from_ptr(mqrs_errname(errno)) };
                (name.to_str().expect("ASCII").to_owned(), errno)
            })
            .collect();
        Header { text, numbers }
    }

    /// The errors after "-" in a piece of text.
    fn errors_in(&self, text: &str) -> BTreeSet<i32> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .filter_map(|word| self.numbers.get(word.strip_prefix('-')?).copied())
            .collect()
    }

    /// The comment of a function, from what it returns on.
    fn comment(&self, function: &str) -> &str {
        let declaration = self
            .text
            .match_indices(&format!("{function}("))
            .map(|(at, _)| at)
            .find(|&at| !self.text[..at].rsplit('\n').next().expect("a line").contains('*'))
            .unwrap_or_else(|| panic!("the header does not declare {function}"));
        let begin = self.text[..declaration].rfind("/**").expect("a comment");
        let comment = &self.text[begin..declaration];
        &comment[comment.find("Returns").expect("what it returns")..]
    }

    /// Every error that the comment of a function names, with those of the functions that
    /// it refers to.
    pub fn errors_of(&self, function: &str) -> BTreeSet<i32> {
        let comment = self.comment(function);
        let mut errors = self.errors_in(comment);
        let words: Vec<_> = comment.split_whitespace().filter(|word| *word != "*").collect();
        for place in words.windows(4).filter(|place| place[..3] == ["an", "error", "of"]) {
            errors.extend(self.errors_of(place[3].trim_end_matches([',', '.', ';'])));
        }
        errors
    }

    /// Whether the errors of the file system come on top.
    pub fn passes_on(&self, function: &str) -> bool {
        says_more(self.comment(function))
    }

    /// The same for the section under a heading of the general part.
    pub fn passes_on_under(&self, heading: &str) -> bool {
        says_more(self.section(heading))
    }

    /// The errors that such a section names.
    pub fn errors_under(&self, heading: &str) -> BTreeSet<i32> {
        self.errors_in(self.section(heading))
    }

    fn section(&self, heading: &str) -> &str {
        let begin = self.text.find(&format!(" * {heading}\n")).expect("a heading");
        let section = &self.text[begin..];
        // The next heading is the next line in capitals.
        let end = section
            .match_indices("\n * ")
            .skip(1)
            .find(|(at, _)| {
                let line = section[at + 4..].lines().next().unwrap_or("");
                line.len() > 3 && line.chars().all(|c| c.is_ascii_uppercase() || c == ' ')
            })
            .map_or(section.len(), |(at, _)| at);
        &section[..end]
    }
}

fn says_more(comment: &str) -> bool {
    let words = comment.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>();
    words.join(" ").contains("what else the file system answers")
}
