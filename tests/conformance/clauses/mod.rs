//! The clauses of the contract: one file for each part of it.
//!
//! A clause arranges, acts, asserts; it holds for every subject, asks for nothing that is not
//! in the contract, and has no `if` for a transport. What it leaves behind the world takes.

mod ancestors;
mod arguments;
mod attr;
mod batches;
mod callback;
mod cancel;
pub mod descriptor;
mod dropping;
mod in_place;
mod list;
mod looking;
pub mod message;
mod names;
mod notify;
mod open;
mod options;
mod posix;
mod processes;
mod receive;
mod rights;
mod send;
mod shutdown;
pub mod signals;
mod sysv;
mod unlink;
mod wait;

use crate::subject::{Subject, Transport};

/// What a clause does with its subject; a panic says that it does not hold.
pub type Body = fn(&Subject);

/// Which subjects a clause is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// All of them.
    All,
    /// Pointers, sizes of structs, functions that only C has.
    C,
    /// Limits of the kernel's POSIX queues.
    Posix,
    /// Keys and numbers of System V queues, and their limits.
    Sysv,
}

impl Scope {
    pub fn has_language(self, language: &str) -> bool {
        self != Scope::C || language == "c"
    }

    pub fn has_transport(self, transport: Transport) -> bool {
        match self {
            Scope::All | Scope::C => true,
            Scope::Posix => transport == Transport::Posix,
            Scope::Sysv => transport == Transport::Sysv,
        }
    }
}

pub struct Clause {
    pub name: &'static str,
    pub body: Body,
    pub scope: Scope,
}

/// Clauses by the names of their functions.
macro_rules! clauses {
    ($scope:ident: $($body:ident),* $(,)?) => {
        &[$($crate::clauses::Clause {
            name: stringify!($body),
            body: $body,
            scope: $crate::clauses::Scope::$scope,
        }),*]
    };
}
use clauses;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Clause> {
    [
        open::CLAUSES,
        options::CLAUSES,
        names::CLAUSES,
        rights::CLAUSES,
        unlink::CLAUSES,
        send::CLAUSES,
        receive::CLAUSES,
        wait::CLAUSES,
        cancel::CLAUSES,
        signals::CLAUSES,
        processes::CLAUSES,
        notify::CLAUSES,
        callback::CLAUSES,
        attr::CLAUSES,
        list::CLAUSES,
        message::CLAUSES,
        batches::CLAUSES,
        looking::CLAUSES,
        looking::IN_C,
        dropping::CLAUSES,
        shutdown::CLAUSES,
        in_place::CLAUSES,
        descriptor::CLAUSES,
        arguments::CLAUSES,
        posix::CLAUSES,
        sysv::CLAUSES,
        ancestors::CLAUSES,
    ]
    .into_iter()
    .flatten()
}
