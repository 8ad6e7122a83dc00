//! How a program finds our queue that has no key, or a name.

use crate::ours::{NOWAIT, Queue, unlink};
use crate::peer::word_of;
use crate::program::SYSV_C;
use crate::world::World;

#[test]
fn a_private_queue_is_used_there_by_its_number() {
    let world = World::new();
    let Some(mut theirs) = world.sysv_peer(&SYSV_C) else { return };
    let oflag = libc::O_RDWR | libc::O_CREAT;
    let ours = Queue::open_with("sysv:private", oflag, 0, 0).unwrap();
    let address = ours.name();
    let id = address.strip_prefix("sysv:id:").expect("a private queue has its number");

    theirs.must(&format!("adopt {id}"));

    theirs.send(1, b"found");
    ours.expect(b"found", 32767);
    theirs.must("remove");
    assert_eq!(ours.receive(NOWAIT).unwrap_err().errno, libc::EIDRM);
}

/// The documented rule: the first four bytes of the name's SHA-256, big-endian.
#[test]
fn a_program_finds_the_queue_of_a_name_by_the_documented_key() {
    // printf jobs | sha256sum
    const KEY_OF_JOBS: u32 = 0x5d9a_17cb;
    let _world = World::new();
    let Some(mut theirs) = SYSV_C.start(&KEY_OF_JOBS.to_string()) else { return };
    let oflag = libc::O_RDWR | libc::O_CREAT;
    let ours = Queue::open_with("sysv:/jobs", oflag, 0, 0).unwrap();

    theirs.must("open");
    theirs.must(&format!("send 1 now {}", word_of(b"found")));

    ours.expect(b"found", 32767);
    unlink("sysv:/jobs").unwrap();
}

#[test]
fn a_queue_of_a_program_is_no_queue_of_a_name() {
    // printf works | sha256sum
    const KEY_OF_WORKS: u32 = 0x93f6_e11d;
    let _world = World::new();
    let Some(mut theirs) = SYSV_C.start(&KEY_OF_WORKS.to_string()) else { return };
    theirs.must("create");

    let create = libc::O_RDWR | libc::O_CREAT;
    let created = Queue::open_with("sysv:/works", create, 0, 0);
    let opened = Queue::open_with("sysv:/works", libc::O_RDWR, 0, 0);

    assert_eq!(created.err().unwrap().errno, libc::EADDRINUSE);
    assert_eq!(opened.err().unwrap().errno, libc::ENOENT);
    theirs.must("remove");
}
