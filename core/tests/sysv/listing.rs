//! The list of queues.

use super::world::*;
use crate::skips::skip;
use libc::{O_CREAT, O_RDWR};
use mqueue_core::attr::{Attr, OpenOptions, transport};
use mqueue_core::deadline::Wait;
use mqueue_core::list::List;
use mqueue_core::queue::{self, Queue};
use std::ffi::CString;

fn all() -> Vec<(CString, Attr)> {
    let mut list = List::open(transport::SYSV).unwrap();
    let mut found = Vec::new();
    while let Some((name, attr)) = list.advance().unwrap() {
        found.push((name.to_owned(), attr));
    }
    found
}

#[test]
fn each_queue_is_listed_by_the_best_name_that_it_has() {
    let world = World::new();
    let named = make(&world.name());
    // Its place in the kernel's table stays free for a while.
    drop(make(&world.key()));
    let keyed = make(&world.key());
    let private = Removed(open(c"sysv:private", O_CREAT | O_RDWR).unwrap());
    named.put(b"123", 0, Wait::Never).unwrap();

    let found = all();

    for queue in [&named, &keyed, &private] {
        let (_, attr) = found.iter().find(|(name, _)| **name == *queue.name()).unwrap();
        // The handle of the list is another.
        let flags = (libc::O_RDONLY | libc::O_NONBLOCK) as u32;
        assert_eq!(*attr, Attr { flags, ..queue.attr().unwrap() });
    }
    if world.is_own {
        assert_eq!(found.len(), 3);
    }
}

#[test]
fn a_record_of_another_key_names_nothing() {
    let _world = World::new();
    let key = key_number();
    let queue = make(&CString::new(format!("sysv:{key:#x}")).unwrap());
    let record = directory().join(format!("mqrs.sysv.{key:08x}"));
    std::fs::write(
        &record,
        "The name of the System V queue with key 0x00000001, after sysv:/\nx\n",
    )
    .unwrap();

    let found = all();
    std::fs::remove_file(&record).unwrap();

    assert!(found.iter().any(|(name, _)| **name == *queue.name()));
}

#[test]
fn a_queue_that_may_not_be_read_has_a_name_and_nothing_else() {
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        return skip("sysv-list-unreadable", "not root");
    }
    let world = World::new();
    let options = OpenOptions { mode: 0o600, ..OpenOptions::default() };
    let queue = Removed(Queue::open(Some(&world.name()), O_CREAT | O_RDWR, &options).unwrap());

    let fate = process(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
        let found = all();
        let (_, attr) = found.iter().find(|(name, _)| **name == *queue.name()).unwrap();
        *attr == Attr { transport: transport::SYSV, ..Attr::default() }
    });

    assert_eq!(fate.end(), 0);
}

#[test]
fn a_queue_that_has_gone_meanwhile_is_passed_over() {
    let world = World::new();
    let (one, two) = (make(&world.key()), make(&world.name()));
    let mut list = List::open(transport::SYSV).unwrap();
    queue::unlink(one.name()).unwrap();

    let mut found = Vec::new();
    while let Some((name, _)) = list.advance().unwrap() {
        found.push(name.to_owned());
    }

    assert!(!found.iter().any(|name| **name == *one.name()));
    assert!(found.iter().any(|name| **name == *two.name()));
}
