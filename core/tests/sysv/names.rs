//! Names: their keys, their records, and races between those who make and remove them.

use super::world::*;
use crate::skips::skip;
use libc::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR};
use mqueue_core::address::{Address, SysvAddress};
use mqueue_core::deadline::Wait;
use mqueue_core::queue;
use mqueue_core::report::with_sentence;
use std::ffi::{CStr, CString};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

fn key_of(name: &CStr) -> u32 {
    match Address::parse(name) {
        Ok(Address::Sysv(SysvAddress::Named(name))) => name.key(),
        other => panic!("{other:?}"),
    }
}

fn record_of(name: &CStr) -> PathBuf {
    directory().join(format!("mqrs.sysv.{:08x}", key_of(name)))
}

fn bare(name: &CStr) -> &str {
    name.to_str().unwrap().strip_prefix("sysv:/").unwrap()
}

/// A record as it is documented, with any name.
fn record_text(key: u32, name: &str) -> String {
    format!("The name of the System V queue with key 0x{key:08x}, after sysv:/\n{name}\n")
}

/// Two names that make one key; found by trying.
const TWINS: (&CStr, &CStr) = (c"sysv:/twin-72235", c"sysv:/twin-90705");

#[test]
fn a_name_is_a_queue_with_the_key_that_it_makes() {
    let world = World::new();
    let name = world.name();

    assert_eq!(
        refused(open(&name, O_RDWR)),
        (libc::ENOENT, "there is no queue of this name".into())
    );
    let queue = make(&name);

    assert_eq!(queue.name(), &*name);
    let (errno, sentence) = refused(open(&name, O_CREAT | O_EXCL | O_RDWR));
    assert_eq!((errno, &*sentence), (libc::EEXIST, "a queue of this name exists already"));
    let id = foreign::get(key_of(&name), 0);
    assert_eq!(foreign::send(id, 1, b"by key"), 0);
    let again = open(&name, O_CREAT | O_RDONLY).unwrap();
    assert_eq!(again.take(9, Wait::Never), Ok((b"by key".to_vec(), 32767)));
    let by_key = CString::new(format!("sysv:{}", key_of(&name))).unwrap();
    assert!(open(&by_key, O_RDWR).is_ok());
}

#[test]
fn the_record_says_what_it_is_and_may_be_read_by_all() {
    let world = World::new();
    let name = world.name();
    let umasked = process(|| {
        // SAFETY: touches no memory.
        unsafe { libc::umask(0o777) };
        std::mem::forget(make(&name));
        true
    });
    assert_eq!(umasked.end(), 0);

    let record = record_of(&name);

    let text = std::fs::read_to_string(&record).unwrap();
    assert_eq!(text, record_text(key_of(&name), bare(&name)));
    assert_eq!(std::fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o644);
    queue::unlink(&name).unwrap();
    assert!(!record.exists());
    assert_eq!(foreign::get(key_of(&name), 0), -1);
}

#[test]
fn names_of_any_bytes_and_any_length_are_recorded() {
    let _world = World::new();
    for bytes in [&b"x"[..], b"two\nlines\n", b"\n", b"\xff\xfe \x01", &[b'l'; 255]] {
        let name = CString::new([b"sysv:/", bytes].concat()).unwrap();
        let queue = make(&name);

        assert_eq!(queue.name(), &*name);
        assert!(open(&name, O_RDWR).is_ok());

        queue::unlink(&name).unwrap();
        assert!(!record_of(&name).exists());
    }
}

#[test]
fn a_removed_name_is_gone_for_all_and_may_be_made_again() {
    let world = World::new();
    let name = world.name();
    let old = make(&name);
    queue::unlink(&name).unwrap();
    assert_eq!(errno(queue::unlink(&name)), libc::ENOENT);
    let new = make(&name);

    assert_eq!(errno(old.put(b"x", 0, Wait::Never)), libc::EIDRM);
    assert_eq!(errno(new.take(1, Wait::Never)), libc::EAGAIN);
}

#[test]
fn a_key_recorded_for_another_name_is_in_use() {
    let _world = World::new();
    let (one, other) = TWINS;
    assert_eq!(key_of(one), key_of(other));
    let queue = make(one);

    for oflag in [O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR] {
        let (errno, sentence) = refused(open(other, oflag));
        assert_eq!(errno, libc::EADDRINUSE);
        assert!(sentence.contains(&format!("mqrs.sysv.{:08x}", key_of(one))), "{sentence}");
    }
    let (errno_of_open, sentence) = refused(open(other, O_RDWR));
    assert_eq!(errno_of_open, libc::ENOENT);
    assert!(sentence.contains("another queue's"), "{sentence}");
    assert_eq!(errno(queue::unlink(other)), libc::ENOENT);
    queue.put(b"still there", 0, Wait::Never).unwrap();

    // And the other way round once it is gone.
    queue::unlink(one).unwrap();
    let _other = make(other);
    assert_eq!(errno(open(one, O_CREAT | O_RDWR)), libc::EADDRINUSE);
    queue::unlink(other).unwrap();
    assert!(!record_of(one).exists());
}

#[test]
fn a_key_in_use_without_a_record_is_in_use() {
    let world = World::new();
    let name = world.name();
    let id = foreign::get(key_of(&name), libc::IPC_CREAT | 0o600);

    let (errno_of_open, sentence) = refused(open(&name, O_CREAT | O_RDWR));
    assert_eq!(errno_of_open, libc::EADDRINUSE);
    assert!(sentence.contains("a queue without a name"), "{sentence}");
    assert_eq!(errno(open(&name, O_RDWR)), libc::ENOENT);
    assert_eq!(errno(queue::unlink(&name)), libc::ENOENT);
    assert!(!record_of(&name).exists());
    foreign::remove(id);
    drop(make(&name));
}

#[test]
fn a_record_without_its_queue_is_used_by_its_name() {
    let world = World::new();
    let name = world.name();
    let record = record_of(&name);
    std::fs::write(&record, record_text(key_of(&name), bare(&name))).unwrap();

    assert_eq!(errno(open(&name, O_RDWR)), libc::ENOENT);
    drop(make(&name));
    assert!(!record.exists());

    std::fs::write(&record, record_text(key_of(&name), bare(&name))).unwrap();
    assert_eq!(errno(queue::unlink(&name)), libc::ENOENT);
    assert!(!record.exists(), "a stale record is tidied up");
}

#[test]
fn a_record_without_its_queue_is_replaced_by_another_name() {
    let world = World::new();
    let (one, other) = TWINS;
    let record = record_of(one);
    // Other tests use the twins, too, where there is one world for all.
    if !world.is_own {
        return skip("sysv-stale-twins", "no permission for an IPC namespace");
    }
    let alone = Directory::new();
    let record = alone.0.join(record.file_name().unwrap());
    std::fs::write(&record, record_text(key_of(one), bare(one))).unwrap();

    let fate = alone.process(|| {
        drop(make(other));
        true
    });

    assert_eq!(fate, 0);
    assert!(!record.exists());
}

#[test]
fn what_is_no_record_is_left_alone_and_takes_the_key() {
    let world = World::new();
    let name = world.name();
    let record = record_of(&name);
    let key = key_of(&name);
    let right = record_text(key, bare(&name));
    let long = record_text(key, &"x".repeat(256));
    for garbage in [
        "",
        "garbage",
        &right[..right.len() - 1],
        &format!("{right}\n"),
        &record_text(key ^ 1, bare(&name)),
        &record_text(key, "a/b"),
        &record_text(key, "another name with another key"),
        &long,
    ] {
        std::fs::write(&record, garbage).unwrap();

        assert_eq!(errno(open(&name, O_CREAT | O_RDWR)), libc::EADDRINUSE, "{garbage:?}");
        assert_eq!(errno(open(&name, O_RDWR)), libc::ENOENT, "{garbage:?}");
        assert_eq!(errno(queue::unlink(&name)), libc::ENOENT, "{garbage:?}");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), garbage);
    }
    std::fs::remove_file(&record).unwrap();
    let link = directory().join("mqrs.sysv.linked");
    std::fs::write(&link, &right).unwrap();
    std::os::unix::fs::symlink(&link, &record).unwrap();
    assert_eq!(errno(open(&name, O_CREAT | O_RDWR)), libc::EADDRINUSE, "a link");
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(&record).unwrap();
    assert_eq!(errno(open(&name, O_CREAT | O_RDWR)), libc::EADDRINUSE, "a directory");
    std::fs::remove_dir(&record).unwrap();
}

#[test]
fn a_shared_memory_queue_of_the_same_file_is_left_alone() {
    let world = World::new();
    let name = world.name();
    let shm = CString::new(format!("/sysv.{:08x}", key_of(&name))).unwrap();
    let _shm = make(&shm);

    assert_eq!(errno(open(&name, O_CREAT | O_RDWR)), libc::EADDRINUSE);
    assert_eq!(errno(queue::unlink(&name)), libc::ENOENT);
    assert!(open(&shm, O_RDWR).is_ok());
}

#[test]
fn a_name_that_cannot_be_recorded_makes_no_queue() {
    let world = World::new();
    let name = world.name();
    let fate = process(|| {
        // SAFETY: no other thread here reads the environment.
        unsafe { std::env::set_var("MQRS_DIR", "/nowhere/at/all") };
        let missing = errno(open(&name, O_CREAT | O_RDWR)) == libc::ENOENT;
        with_sentence(|sentence| assert!(sentence.contains("MQRS_DIR"), "{sentence}"));
        let none = libc::rlimit { rlim_cur: 10, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: reads one limit; the variable as above.
        unsafe {
            libc::setrlimit(libc::RLIMIT_FSIZE, &none);
            std::env::set_var("MQRS_DIR", directory());
        }
        let (errno, sentence) = refused(open(&name, O_CREAT | O_RDWR));
        assert!(sentence.contains("RLIMIT_FSIZE"), "{sentence}");
        missing && errno == libc::EFBIG
    })
    .end();

    assert_eq!(fate, 0);
    assert_eq!(foreign::get(key_of(&name), 0), -1);
}

#[test]
fn a_queue_that_cannot_be_made_leaves_no_record() {
    let Some(world) = World::of_our_own("no-record-left") else { return };
    std::fs::write("/proc/sys/kernel/msgmni", "0").unwrap();
    let name = world.name();

    let (errno, sentence) = refused(open(&name, O_CREAT | O_RDWR));

    assert_eq!(errno, libc::ENOSPC);
    assert!(sentence.contains("/proc/sys/kernel/msgmni"), "{sentence}");
    assert!(!record_of(&name).exists());
}

/// A directory of queues of its own, for processes.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        let dir = directory().join(format!("{:x}", key_number()));
        std::fs::create_dir(&dir).unwrap();
        Directory(dir)
    }

    fn spawn(&self, work: impl FnOnce() -> bool) -> Child {
        process(|| {
            // SAFETY: no other thread here reads the environment.
            unsafe { std::env::set_var("MQRS_DIR", &self.0) };
            work()
        })
    }

    fn process(&self, work: impl FnOnce() -> bool) -> i32 {
        self.spawn(work).end()
    }
}

#[test]
fn of_many_creators_one_wins() {
    let world = World::new();
    let names: Vec<_> = (0..200).map(|_| world.name()).collect();
    let create = || {
        for name in &names {
            match open(name, O_CREAT | O_EXCL | O_RDWR) {
                Ok(queue) => queue.put(b"won", 0, Wait::Never).unwrap(),
                Err(error) => assert_eq!(error.0, libc::EEXIST),
            }
        }
        true
    };

    let creators: Vec<_> = (0..4).map(|_| process(create)).collect();

    assert!(creators.into_iter().all(|creator| creator.end() == 0));
    for name in &names {
        let queue = Removed(open(name, O_RDWR).unwrap());
        assert_eq!(queue.attr().unwrap().curmsgs, 1, "one winner");
        queue::unlink(name).unwrap();
        assert!(!record_of(name).exists());
    }
}

#[test]
fn makers_and_removers_of_one_name_never_take_it_for_anothers() {
    let world = World::new();
    let name = world.name();
    let come_and_go = || {
        for _ in 0..5000 {
            match open(&name, O_CREAT | O_RDWR) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.0, libc::EAGAIN, "the name kept coming and going"),
            }
            match queue::unlink(&name) {
                Ok(()) => {}
                Err(error) => assert!([libc::ENOENT, libc::EAGAIN].contains(&error.0), "{error:?}"),
            }
        }
        true
    };

    let children: Vec<_> = (0..4).map(|_| process(come_and_go)).collect();

    assert!(children.into_iter().all(|child| child.end() == 0));
    drop(make(&name));
    assert!(!record_of(&name).exists());
}

#[test]
fn names_that_share_a_key_never_share_a_queue() {
    let Some(_world) = World::of_our_own("twins-at-once") else { return };
    let alone = Directory::new();
    let (one, other) = TWINS;
    // Each side writes its own name into its queue, and must find nothing else in it.
    let side = |name: &'static CStr| {
        move || {
            let mut won = 0;
            while won < 60 {
                let queue = match open(name, O_CREAT | O_RDWR) {
                    Ok(queue) => queue,
                    Err(error) => {
                        assert!([libc::EADDRINUSE, libc::EAGAIN].contains(&error.0), "{error:?}");
                        continue;
                    }
                };
                won += 1;
                match queue.put(name.to_bytes(), 0, Wait::Never) {
                    Ok(()) => {}
                    // Removed by another process of our side.
                    Err(error) => assert!([libc::EIDRM, libc::EAGAIN].contains(&error.0)),
                }
                while let Ok((message, _)) = queue.take(100, Wait::Never) {
                    assert_eq!(message, name.to_bytes(), "a message of the other name");
                }
                if won % 2 == 0 {
                    let _ = queue::unlink(name);
                }
            }
            let _ = queue::unlink(name);
            true
        }
    };

    let children = [
        alone.spawn(side(one)),
        alone.spawn(side(other)),
        alone.spawn(side(one)),
        alone.spawn(side(other)),
    ];

    for child in children {
        assert_eq!(child.end(), 0);
    }
}

#[test]
fn creators_and_removers_that_are_killed_leave_nothing_that_blocks_others() {
    let Some(_world) = World::of_our_own("killed-creators") else { return };
    let alone = Directory::new();
    let (one, other) = TWINS;
    for round in 0..100 {
        let killed: Vec<_> = [one, other, one]
            .map(|name| {
                alone.spawn(move || {
                    loop {
                        let _ = open(name, O_CREAT | O_RDWR);
                        let _ = queue::unlink(name);
                    }
                })
            })
            .into();
        // Some steps later, each time after another number of them.
        for _ in 0..round * 1000 {
            std::hint::spin_loop();
        }
        killed.iter().for_each(Child::kill);
        drop(killed);

        let fate = alone.process(|| {
            for name in [one, other, one] {
                // What is left may be a queue of either name.
                let _ = queue::unlink(one);
                let _ = queue::unlink(other);
                let queue = open(name, O_CREAT | O_EXCL | O_RDWR).unwrap();
                queue.put(b"x", 0, Wait::Never).unwrap();
                assert_eq!(open(name, O_RDONLY).unwrap().attr().unwrap().curmsgs, 1);
                queue::unlink(name).unwrap();
            }
            true
        });
        assert_eq!(fate, 0, "round {round}");
    }
    assert_eq!(std::fs::read_dir(&alone.0).unwrap().count(), 0);
}

#[test]
fn a_child_forked_meanwhile_keeps_no_record_locked() {
    let world = World::new();
    let name = world.name();
    let record = record_of(&name);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let maker = threads.spawn(|| {
            while !is_over.load(SeqCst) {
                let queue = make(&name);
                queue::unlink(&name).unwrap();
                drop(queue);
                // Whoever finds it locked leaves it there.
                assert!(!record.exists(), "a child has it locked");
            }
        });
        // Each has copies of all descriptors, of those that make a queue just now, too.
        let children: Vec<_> = (0..50)
            .map(|_| {
                process(|| {
                    loop {
                        // SAFETY: touches no memory.
                        unsafe { libc::pause() };
                    }
                })
            })
            .collect();
        is_over.store(true, SeqCst);
        maker.join().unwrap();
        drop(children);
    });
}

#[test]
fn who_holds_the_record_can_delay_but_not_mislead() {
    let Some(world) = World::of_our_own("record-held") else { return };
    let name = world.name();
    let record = record_of(&name);
    std::fs::write(&record, record_text(key_of(&name), bare(&name))).unwrap();
    let file = std::fs::File::open(&record).unwrap();
    let flock = |kind| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::flock(std::os::fd::AsRawFd::as_raw_fd(&file), kind) }, 0);
    };

    flock(libc::LOCK_EX);
    assert_eq!(errno(open(&name, O_CREAT | O_RDWR)), libc::EAGAIN);
    assert_eq!(foreign::get(key_of(&name), 0), -1);
    let cancelled = process(|| {
        // SAFETY: this thread ends with its process, before anything acts on it.
        assert_eq!(unsafe { libc::pthread_cancel(libc::pthread_self()) }, 0);
        errno(open(&name, O_CREAT | O_RDWR)) == libc::EAGAIN
    });
    assert_eq!(cancelled.end(), 0, "to wait for it is no cancellation point");
    // As another creator of the same name does.
    flock(libc::LOCK_SH);
    let _queue = make(&name);
    queue::unlink(&name).unwrap();
    assert!(record.exists(), "left to who is about to use it");
    flock(libc::LOCK_UN);
    drop(make(&name));
    assert!(!record.exists());
}

#[test]
fn another_user_may_use_a_stale_record_of_the_same_name_but_not_replace_one() {
    let Some(world) = World::of_our_own("records-of-others") else { return };
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        return skip("records-of-others", "not root");
    }
    let name = world.name();
    let (one, other) = TWINS;
    let alone = Directory::new();
    std::fs::set_permissions(&alone.0, std::fs::Permissions::from_mode(0o1777)).unwrap();
    for name in [&*name, one] {
        let record = alone.0.join(format!("mqrs.sysv.{:08x}", key_of(name)));
        std::fs::write(&record, record_text(key_of(name), bare(name))).unwrap();
        std::fs::set_permissions(&record, std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    let fate = alone.process(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
        assert_eq!(errno(open(other, O_CREAT | O_RDWR)), libc::EADDRINUSE);
        drop(make(one));
        drop(make(&name));
        // The record cannot be removed here, and does no harm.
        drop(make(&name));
        true
    });

    assert_eq!(fate, 0);
}
