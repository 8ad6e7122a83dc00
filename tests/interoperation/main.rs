//! Programs that know nothing of this library talk with it, through the kernel's queues.
//!
//! A peer (`peer.rs`) is a process of its own: a C program on <mqueue.h> or <sys/msg.h>, of 64
//! and of 32 bits, or a Python program on posix_ipc, ipcqueue or sysv_ipc. Our side are the
//! functions of the header, called in this process (`ours.rs`). A case is one behaviour, and
//! runs once with each kind of peer that can do it; each test has the kernel's queues for
//! itself where the system lets it (`world.rs`).

#[path = "../common/mod.rs"]
mod common;
mod ours;
mod peer;
mod posix;
mod program;
mod python;
mod sharing;
mod sysv;
mod world;

/// Tests: each of the cases with each kind of peer, in a module for each kind.
macro_rules! tests {
    ([$($peer:ident = $program:ident)*] $cases:tt) => {
        $(tests! { $peer $program $cases })*
    };
    ($peer:ident $program:ident [$($case:ident)*]) => {
        mod $peer {
            $(#[test] fn $case() { super::$case(&crate::program::$program) })*
        }
    };
}
use tests;
