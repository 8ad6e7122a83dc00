//! Clocks that are set, stand still and go beyond all bounds while a call waits.
//!
//! The program defines `clock_gettime` and `syscall` itself, before the C library's, so the
//! library reads a world's clocks and sleeps in a world's time: a sleep takes none of ours,
//! and time and length of every one are known exactly. The machine's clocks are left alone.
//! The kernel's POSIX queues, too, wait in that time: only whether they are full or empty is
//! asked of the real ones.
//! Only a shared C library lets a program do that; the code is the same elsewhere.
//!
//! `world.rs` is that world, `stuck.rs` a queue on which one side has to wait; the waits of the
//! library itself are in `library.rs`, those in the kernel in `kernel.rs`.
#![cfg(target_env = "gnu")]

#[path = "../common/mod.rs"]
mod common;
mod kernel;
mod library;
mod stuck;
mod world;

use common::run;
use std::process::Command;
use world::OLD;

#[test]
fn all_of_this_holds_without_futex_waitv() {
    if std::env::var_os(OLD).is_some() {
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    run(again.env(OLD, "1"));
}
