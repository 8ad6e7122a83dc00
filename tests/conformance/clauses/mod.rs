//! The clauses of the contract: one file for each part of it.
//!
//! A clause arranges, acts, asserts; it holds for every subject, asks for nothing that is not
//! in the contract, and has no `if` for a transport. What it leaves behind the world takes.

mod arguments;
mod attr;
mod descriptor;
mod list;
mod message;
mod names;
mod notify;
mod open;
mod processes;
mod receive;
mod rights;
mod send;
mod signals;
mod unlink;
mod wait;

use crate::subject::Subject;

/// What a clause does with its subject; a panic says that it does not hold.
pub type Body = fn(&Subject);

/// The languages in which there is such a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Languages {
    All,
    /// Pointers, sizes of structs, functions that only C has.
    C,
}

pub struct Clause {
    pub name: &'static str,
    pub body: Body,
    pub languages: Languages,
}

/// Clauses by the names of their functions.
macro_rules! clauses {
    ($languages:ident: $($body:ident),* $(,)?) => {
        &[$($crate::clauses::Clause {
            name: stringify!($body),
            body: $body,
            languages: $crate::clauses::Languages::$languages,
        }),*]
    };
}
use clauses;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Clause> {
    [
        open::CLAUSES,
        names::CLAUSES,
        rights::CLAUSES,
        unlink::CLAUSES,
        send::CLAUSES,
        receive::CLAUSES,
        wait::CLAUSES,
        signals::CLAUSES,
        processes::CLAUSES,
        notify::CLAUSES,
        attr::CLAUSES,
        list::CLAUSES,
        message::CLAUSES,
        descriptor::CLAUSES,
        arguments::CLAUSES,
    ]
    .into_iter()
    .flatten()
}
