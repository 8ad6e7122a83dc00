//! Opening by key, privately and by number; attributes, limits, removing.

use super::world::*;
use crate::skips::skip;
use libc::{O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::attr::{OpenOptions, capability, option, transport};
use mqueue_core::deadline::Wait;
use mqueue_core::queue::{self, Queue};

#[test]
fn a_key_is_opened_made_and_refused_as_the_flags_say() {
    let world = World::new();
    let key = world.key();

    assert_eq!(refused(open(&key, O_RDWR)), (libc::ENOENT, "there is no queue of this key".into()));
    let made = make(&key);
    assert_eq!(made.name(), &*key);
    assert_eq!(errno(open(&key, O_CREAT | O_EXCL | O_RDWR)), libc::EEXIST);
    let again = open(&key, O_CREAT | O_RDWR).unwrap();
    let plain = open(&key, O_RDONLY).unwrap();

    again.put(b"through another handle", 3, Wait::Never).unwrap();
    assert_eq!(plain.take(100, Wait::Never).unwrap(), (b"through another handle".to_vec(), 3));
}

#[test]
fn who_makes_a_queue_while_others_do_opens_theirs() {
    let world = World::new();
    let key = world.key();
    let come_and_go = || {
        for _ in 0..5000 {
            open(&key, O_CREAT | O_RDWR).expect("opened or made");
            let _ = queue::unlink(&key);
        }
        true
    };

    let makers: Vec<_> = (0..4).map(|_| process(come_and_go)).collect();

    assert!(makers.into_iter().all(|maker| maker.end() == 0));
}

#[test]
fn the_decimal_and_the_hexadecimal_key_are_one_queue() {
    let _world = World::new();
    let number = key_number();
    let decimal = std::ffi::CString::new(format!("sysv:{number}")).unwrap();

    let queue = make(&decimal);

    assert_eq!(queue.name().to_str().unwrap(), format!("sysv:{number:#x}"));
    assert!(foreign::get(number, 0) >= 0);
}

#[test]
fn a_private_queue_is_known_by_its_number() {
    let _world = World::new();
    assert_eq!(errno(open(c"sysv:private", O_RDWR)), libc::EINVAL);

    let one = Removed(open(c"sysv:private", O_CREAT | O_RDWR).unwrap());
    let two = Removed(open(c"sysv:private", O_CREAT | O_EXCL | O_RDWR).unwrap());

    assert_ne!(one.name(), two.name());
    assert!(one.name().to_bytes().starts_with(b"sysv:id:"));
    let again = open(one.name(), O_WRONLY).unwrap();
    assert_eq!(again.name(), one.name());
    again.put(b"x", 0, Wait::Never).unwrap();
    assert_eq!(one.attr().unwrap().curmsgs, 1);
    assert_eq!(two.attr().unwrap().curmsgs, 0);
    assert_eq!(errno(queue::unlink(c"sysv:private")), libc::EINVAL);
}

#[test]
fn a_number_is_opened_only_if_there_is_such_a_queue() {
    let world = World::new();
    let key = world.key();
    let queue = make(&key);
    let number =
        std::ffi::CString::new(format!("sysv:id:{}", foreign::id_of(queue.name()))).unwrap();

    assert_eq!(errno(open(&number, O_CREAT | O_RDWR)), libc::EINVAL);
    assert_eq!(open(&number, O_RDWR).unwrap().name(), &*key);
    queue::unlink(&number).unwrap();
    assert_eq!(errno(open(&number, O_RDWR)), libc::ENOENT);
    assert_eq!(errno(queue::unlink(&number)), libc::ENOENT);
    assert_eq!(errno(queue::unlink(&key)), libc::ENOENT);
}

#[test]
fn the_mode_is_0600_unless_another_is_asked_for_and_umask_is_left_alone() {
    let world = World::new();
    let with = |mode, flags| OpenOptions { mode, flags, ..OpenOptions::default() };
    for (options, mode) in [
        (with(0, 0), 0o600),
        (with(0o666, 0), 0o666),
        (with(0o640, option::EXACT_MODE), 0o640),
        (with(0, option::EXACT_MODE), 0),
    ] {
        let key = world.key();
        let queue = Removed(Queue::open(Some(&key), O_CREAT | O_RDWR, &options).unwrap());
        assert_eq!(queue.attr().unwrap().mode, mode, "{options:?}");
    }
}

#[test]
fn the_attributes_are_those_of_the_kernel() {
    let world = World::new();
    let queue = make(&world.key());
    queue.put(b"12345", 7, Wait::Never).unwrap();
    queue.put(b"", 0, Wait::Never).unwrap();

    let attr = queue.attr().unwrap();
    let limits = queue::limits(transport::SYSV).unwrap();

    assert_eq!(attr.transport, transport::SYSV);
    assert_eq!(attr.flags, O_RDWR as u32);
    assert_eq!((attr.curmsgs, attr.curbytes), (2, 5));
    assert_eq!(attr.maxmsg, limits.maxmsg_default);
    assert_eq!(attr.msgsize, limits.msgsize_default);
    // SAFETY: both always succeed.
    assert_eq!((attr.uid, attr.gid), unsafe { (libc::geteuid(), libc::getegid()) });
    let always = capability::TYPES | capability::SMALL_BUFFER | capability::STATS;
    assert_eq!(attr.capabilities & !capability::PEEK, always);
    assert_eq!(queue.msgsize().unwrap() as u64, attr.msgsize);
}

#[test]
fn sizes_that_an_open_call_asks_for_are_left_to_the_kernel() {
    let world = World::new();
    let options = OpenOptions { maxmsg: 3, msgsize: 5, ..OpenOptions::default() };

    let queue = Removed(Queue::open(Some(&world.key()), O_CREAT | O_RDWR, &options).unwrap());

    let limits = queue::limits(transport::SYSV).unwrap();
    assert_eq!(queue.attr().unwrap().maxmsg, limits.maxmsg_default);
}

#[test]
fn the_limits_are_those_of_this_moment() {
    let read = |file: &str| -> u64 {
        std::fs::read_to_string(format!("/proc/sys/kernel/{file}")).unwrap().trim().parse().unwrap()
    };
    let Some(world) = World::of_our_own("limits-of-this-moment") else { return };
    let queue = make(&world.key());

    for (max, mnb) in [(8192, 16384), (100_000, 200_000), (3000, 1000)] {
        std::fs::write("/proc/sys/kernel/msgmax", max.to_string()).unwrap();
        std::fs::write("/proc/sys/kernel/msgmnb", mnb.to_string()).unwrap();

        let limits = queue::limits(transport::SYSV).unwrap();

        assert_eq!((limits.unavailable, limits.bytes_max, limits.prio_max), (0, 0, 32767));
        assert_eq!((limits.maxmsg_default, limits.maxmsg_max), (mnb, mnb));
        assert_eq!((limits.msgsize_default, limits.msgsize_max), (max.min(mnb), max.min(mnb)));
        assert_eq!(limits.queues_max, read("msgmni"));
        assert_eq!(queue.msgsize().unwrap() as u64, max.min(16384));
    }
}

#[test]
fn too_many_queues_are_refused_with_the_name_of_the_limit() {
    let Some(world) = World::of_our_own("limit-of-queues") else { return };
    std::fs::write("/proc/sys/kernel/msgmni", "1").unwrap();
    let _one = make(&world.key());

    let (errno, sentence) = refused(open(&world.key(), O_CREAT | O_RDWR));

    assert_eq!(errno, libc::ENOSPC);
    assert_eq!(
        sentence,
        "there are as many System V queues as kernel.msgmni allows: 1 (/proc/sys/kernel/msgmni)"
    );
}

#[test]
fn the_size_may_be_changed_within_the_limit() {
    let world = World::new();
    let queue = make(&world.key());
    let limit = queue::limits(transport::SYSV).unwrap().maxmsg_max;

    queue.set_maxbytes(100).unwrap();
    assert_eq!((queue.attr().unwrap().maxmsg, queue.msgsize().unwrap()), (100, 100));
    queue.set_maxbytes(limit).unwrap();
    assert_eq!(queue.attr().unwrap().maxmsg, limit);
    assert_eq!(errno(queue.set_maxbytes(0)), libc::EINVAL);
    assert_eq!(queue.attr().unwrap().maxmsg, limit);
}

/// Another user, who may do nothing special.
fn as_nobody(work: impl FnOnce() -> bool) -> Option<i32> {
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let child = process(|| {
        // SAFETY: this process is the test's own.
        let changed = unsafe {
            libc::setgroups(0, std::ptr::null()) == 0
                && libc::setgid(65534) == 0
                && libc::setuid(65534) == 0
        };
        changed && work()
    });
    Some(child.end())
}

#[test]
fn another_user_may_do_what_the_mode_says() {
    let world = World::new();
    let (closed, readable, writable) = (world.key(), world.key(), world.key());
    let with = |mode| OpenOptions { mode, ..OpenOptions::default() };
    let make = |key, mode| Removed(Queue::open(Some(key), O_CREAT | O_RDWR, &with(mode)).unwrap());
    let _queues = [make(&closed, 0o600), make(&readable, 0o644), make(&writable, 0o622)];
    let number =
        |key| std::ffi::CString::new(format!("sysv:id:{}", foreign::id_of(key))).expect("no zero");
    let numbers = [number(&closed), number(&readable), number(&writable)];

    let fate = as_nobody(|| {
        for oflag in [O_RDONLY, O_WRONLY, O_RDWR] {
            let allowed = |name| match open(name, oflag) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.0, libc::EACCES);
                    false
                }
            };
            for names in [[&closed, &readable, &writable], [&numbers[0], &numbers[1], &numbers[2]]]
            {
                let may = names.map(|name| allowed(name));
                assert_eq!(may, [false, oflag == O_RDONLY, oflag == O_WRONLY]);
            }
        }
        let queue = open(&writable, O_WRONLY).unwrap();
        queue.put(b"x", 0, Wait::Never).unwrap();
        assert_eq!(queue.attr().unwrap().curmsgs, 1, "looked at without permission to read");
        assert_eq!(errno(queue.set_maxbytes(10)), libc::EPERM);
        assert_eq!(errno(queue.set_owner(0o666, u32::MAX, u32::MAX)), libc::EPERM);
        assert_eq!(errno(queue::unlink(&writable)), libc::EACCES);
        let own = open(c"sysv:private", O_CREAT | O_RDWR).unwrap();
        let (errno, sentence) = refused(own.set_maxbytes(1 << 30));
        queue::unlink(own.name()).unwrap();
        assert_eq!(errno, libc::EPERM);
        assert!(sentence.contains("/proc/sys/kernel/msgmnb") && sentence.contains("CAP_SYS"));
        true
    });

    match fate {
        None => skip("sysv-other-users", "not root"),
        Some(fate) => assert_eq!(fate, 0),
    }
}

#[test]
fn owner_and_mode_may_be_changed_one_by_one() {
    let world = World::new();
    let queue = make(&world.key());
    let before = queue.attr().unwrap();

    queue.set_owner(0o640, u32::MAX, u32::MAX).unwrap();
    let after = queue.attr().unwrap();
    assert_eq!((after.mode, after.uid, after.gid), (0o640, before.uid, before.gid));
    assert_eq!(after.maxmsg, before.maxmsg);
    assert_eq!(errno(queue.set_owner(0o1000, u32::MAX, u32::MAX)), libc::EINVAL);
    // SAFETY: always succeeds.
    if unsafe { libc::geteuid() } == 0 {
        queue.set_owner(u32::MAX, 12, 34).unwrap();
        let after = queue.attr().unwrap();
        assert_eq!((after.mode, after.uid, after.gid), (0o640, 12, 34));
    }
}

#[test]
fn the_last_users_and_times_are_known() {
    let world = World::new();
    let queue = make(&world.key());
    let nobody = queue.stats().unwrap();
    assert_eq!((nobody.last_send_pid, nobody.last_send_ns), (0, 0));
    assert_eq!((nobody.last_receive_pid, nobody.last_receive_ns), (0, 0));
    // The kernel counts in seconds of a coarse clock.
    let now = || mqueue_core::sys::clock::now_ns(mqueue_core::deadline::Clock::Realtime);
    let before = now() - 2_000_000_000;

    let sender = process(|| queue.put(b"x", 0, Wait::Never).is_ok());
    let pid = sender.pid() as u32;
    assert_eq!(sender.end(), 0);
    queue.take(1, Wait::Never).unwrap();

    let stats = queue.stats().unwrap();
    assert_eq!((stats.last_send_pid, stats.last_receive_pid), (pid, std::process::id()));
    for ns in [stats.last_send_ns, stats.last_receive_ns] {
        assert!((before..=now()).contains(&ns) && ns % 1_000_000_000 == 0, "{ns}");
    }
}

#[test]
fn closing_removes_nothing() {
    let world = World::new();
    let key = world.key();
    let queue = make(&key);
    queue.put(b"still here", 0, Wait::Never).unwrap();
    drop(open(&key, O_RDWR).unwrap());

    assert_eq!(open(&key, O_RDONLY).unwrap().take(10, Wait::Never).unwrap().0, b"still here");
}

#[test]
fn what_only_descriptors_can_do_is_not_supported() {
    let world = World::new();
    let queue = make(&world.key());

    assert_eq!(errno(queue.fd()), libc::ENOTSUP);
    assert_eq!(errno(queue.dup_fd()), libc::ENOTSUP);
    assert!(queue.notify_cancel().is_ok());
    queue.set_nonblock(true).unwrap();
    assert_eq!(queue.attr().unwrap().flags, (O_RDWR | O_NONBLOCK) as u32);
}
