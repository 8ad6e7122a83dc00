//! Opening, modes, sizes, limits.

use crate::place::{Place, errno, in_child, receive, send, sentence, text_of};
use libc::{O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use mqueue_core::attr::{OpenOptions, capability, option, transport};
use mqueue_core::queue::{self, Queue};

fn mode_of(queue: &Queue) -> u32 {
    queue.attr().expect("attributes").mode
}

#[test]
fn a_queue_that_is_not_there_is_only_made_with_o_creat() {
    let place = Place::new("a_queue_that_is_not_there");

    assert_eq!(errno(place.open(O_RDWR)), libc::ENOENT);
    assert_eq!(sentence(), "there is no queue of this name");

    let options = OpenOptions { maxmsg: 2, msgsize: 16, ..OpenOptions::default() };
    Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options).expect("made");
    place.open(O_RDWR).expect("opened");
    assert_eq!(errno(place.open(O_RDWR | O_CREAT | O_EXCL)), libc::EEXIST);
    assert_eq!(sentence(), "a queue of this name exists already");
}

#[test]
fn a_new_queue_has_the_sizes_it_was_asked_for_and_keeps_them() {
    let place = Place::new("a_new_queue_has_the_sizes");
    let made = place.make(3, 40);

    let options = OpenOptions { maxmsg: 1, msgsize: u64::MAX, ..OpenOptions::default() };
    let again = Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options).expect("opened");

    for queue in [&made, &again] {
        let attr = queue.attr().expect("attributes");
        assert_eq!((attr.maxmsg, attr.msgsize), (3, 40));
        assert_eq!((attr.transport, attr.curmsgs), (transport::POSIX, 0));
        assert_eq!(attr.capabilities, capability::FD | capability::NOTIFY);
        assert_eq!(queue.msgsize(), Ok(40));
        assert_eq!(queue.name(), place.address.as_c_str());
    }
}

#[test]
fn sizes_that_are_not_given_are_the_kernels_each_by_itself() {
    let Some(place) = Place::of_its_own("sizes_that_are_not_given") else { return };
    let messages = text_of("/proc/sys/fs/mqueue/msg_default").parse().unwrap();
    let bytes = text_of("/proc/sys/fs/mqueue/msgsize_default").parse().unwrap();

    for (maxmsg, msgsize) in [(0, 0), (1, 0), (0, 1)] {
        let queue = place.make(maxmsg, msgsize);
        let attr = queue.attr().expect("attributes");

        let or = |asked, default: u64| if asked == 0 { default } else { asked };
        assert_eq!((attr.maxmsg, attr.msgsize), (or(maxmsg, messages), or(msgsize, bytes)));
        queue::unlink(&place.address).expect("removed");
    }
}

#[test]
fn the_handle_tells_what_it_may_and_whether_it_waits() {
    let place = Place::new("the_handle_tells");
    let _made = place.make(1, 8);

    for oflag in [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_NONBLOCK] {
        let queue = place.open(oflag).expect("opened");

        assert_eq!(queue.attr().expect("attributes").flags, oflag as u32);
    }
}

#[test]
fn the_mode_is_0600_masked_by_umask_or_exact_if_asked() {
    let place = Place::new("the_mode");
    // In a child, since umask is the whole process's.
    in_child(|| {
        let made_with = |flags, mode| {
            let options = OpenOptions { flags, mode, maxmsg: 1, msgsize: 8 };
            let oflag = O_RDWR | O_CREAT | O_EXCL;
            let queue = Queue::open(Some(&place.address), oflag, &options).expect("made");
            queue::unlink(&place.address).expect("removed");
            mode_of(&queue)
        };
        // SAFETY: touches no memory.
        unsafe { libc::umask(0o027) };
        assert_eq!(made_with(0, 0), 0o600);
        assert_eq!(made_with(0, 0o666), 0o640);
        assert_eq!(made_with(option::EXACT_MODE, 0o666), 0o666);
        assert_eq!(made_with(option::EXACT_MODE, 0), 0);
        // SAFETY: as above.
        unsafe { libc::umask(0o777) };
        assert_eq!(made_with(0, 0o600), 0);
    })
    .join();
}

#[test]
fn the_mode_of_a_queue_that_exists_stays() {
    let place = Place::new("the_mode_stays");
    let made = place.make(1, 8);

    let options = OpenOptions { flags: option::EXACT_MODE, mode: 0o666, ..OpenOptions::default() };
    Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options).expect("opened");

    assert_eq!(mode_of(&made), 0o600);
}

#[test]
fn another_user_is_let_in_by_the_mode_alone() {
    let place = Place::new("another_user");
    // SAFETY: touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        return crate::skips::skip("another_user", "only root can become another user");
    }
    let queue = place.make(1, 8);
    queue.set_owner(0o622, u32::MAX, u32::MAX).expect("changed");
    in_child(|| {
        // SAFETY: touches no memory.
        assert_eq!(unsafe { libc::setgid(65534) | libc::setuid(65534) }, 0);

        place.open(O_WRONLY).expect("writers are let in");
        assert_eq!(errno(place.open(O_RDONLY)), libc::EACCES);
        assert!(sentence().contains("mode"), "{}", sentence());
        assert_eq!(errno(place.open(O_RDWR | O_CREAT)), libc::EACCES);
        assert_eq!(errno(place.open(O_RDWR | O_CREAT | O_EXCL)), libc::EEXIST);
        assert_eq!(errno(queue::unlink(&place.address)), libc::EACCES);
    })
    .join();
}

#[test]
fn the_maker_gets_the_access_it_asked_for_whatever_the_mode() {
    let place = Place::new("the_maker");
    let options = OpenOptions { flags: option::EXACT_MODE, mode: 0, maxmsg: 1, msgsize: 8 };

    let queue = Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options).expect("made");

    send(&queue, "x", 0).expect("sent");
    assert_eq!(receive(&queue), Ok(("x".into(), 0)));
}

#[test]
fn a_size_above_a_limit_is_refused_and_the_limit_named() {
    let Some(place) = Place::of_its_own("a_size_above_a_limit") else { return };
    let limits = queue::limits(transport::POSIX).expect("limits");

    for (maxmsg, msgsize, name, file) in [
        (limits.maxmsg_max + 1, 8, "maxmsg", "msg_max"),
        (1, limits.msgsize_max + 1, "msgsize", "msgsize_max"),
        (u64::MAX, 8, "maxmsg", "msg_max"),
        (1, u64::MAX, "msgsize", "msgsize_max"),
    ] {
        let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
        let refused = Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options);

        assert_eq!(errno(refused), libc::EINVAL);
        let sentence = sentence();
        assert!(sentence.starts_with(&format!("{name} ")), "{sentence}");
        let is_named = sentence.contains(&format!("/proc/sys/fs/mqueue/{file} "));
        assert!(is_named || sentence.contains("the kernel itself"), "{sentence}");
    }
    let options =
        OpenOptions { maxmsg: limits.maxmsg_max.min(100), msgsize: 8, ..OpenOptions::default() };
    Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options).expect("the limit itself");
}

#[test]
fn too_many_bytes_and_too_many_descriptors_are_told_apart() {
    let place = Place::new("too_many_bytes");
    let make = || {
        let options = OpenOptions { maxmsg: 1, msgsize: 100, ..OpenOptions::default() };
        Queue::open(Some(&place.address), O_RDWR | O_CREAT | O_EXCL, &options)
    };
    // In a child, since limits are the whole process's.
    in_child(|| {
        let set = |resource, most| {
            let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
            // SAFETY: reads one rlimit.
            assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
        };
        set(libc::RLIMIT_MSGQUEUE, 100);
        assert_eq!(errno(make()), libc::EMFILE);
        let said = sentence();
        assert!(said.contains("RLIMIT_MSGQUEUE") && said.contains("100"), "{said}");
        let limits = queue::limits(transport::POSIX).expect("limits");
        assert_eq!(limits.bytes_max, 100);

        set(libc::RLIMIT_NOFILE, 3);
        assert_eq!(errno(make()), libc::EMFILE);
        assert!(sentence().contains("RLIMIT_NOFILE"), "{}", sentence());
    })
    .join();
}

#[test]
fn limits_are_those_of_this_moment() {
    let Some(_place) = Place::of_its_own("limits_are_those") else { return };
    let before = queue::limits(transport::POSIX).expect("limits");
    assert_eq!(before.unavailable, 0);
    assert_eq!(before.prio_max, 32767);

    if std::fs::write("/proc/sys/fs/mqueue/msg_default", "3").is_err() {
        return crate::skips::skip("limits_are_those", "it may not change a limit");
    }
    std::fs::write("/proc/sys/fs/mqueue/msg_max", "25").expect("written");

    let after = queue::limits(transport::POSIX).expect("limits");
    assert_eq!(after.maxmsg_default, 3);
    assert!(after.maxmsg_max == 25 || after.maxmsg_max == 65536, "{}", after.maxmsg_max);
}

#[test]
fn queues_max_is_named_when_it_is_reached() {
    let Some(place) = Place::of_its_own("queues_max_is_named") else { return };
    if queue::limits(transport::POSIX).expect("limits").queues_max == 0 {
        return crate::skips::skip("queues_max_is_named", "this process is above that limit");
    }
    if std::fs::write("/proc/sys/fs/mqueue/queues_max", "0").is_err() {
        return crate::skips::skip("queues_max_is_named", "it may not change a limit");
    }

    let options = OpenOptions { maxmsg: 1, msgsize: 8, ..OpenOptions::default() };
    let refused = Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options);

    assert_eq!(errno(refused), libc::ENOSPC);
    assert!(sentence().ends_with("/proc/sys/fs/mqueue/queues_max allows: 0"), "{}", sentence());
}

#[test]
fn a_removed_queue_lives_on_without_its_name() {
    let place = Place::new("a_removed_queue");
    let old = place.make(1, 8);
    send(&old, "old", 1).expect("sent");

    queue::unlink(&place.address).expect("removed");

    assert_eq!(errno(place.open(O_RDWR)), libc::ENOENT);
    assert_eq!(errno(queue::unlink(&place.address)), libc::ENOENT);
    let new = place.make(1, 8);
    assert_eq!(new.attr().expect("attributes").curmsgs, 0);
    assert_eq!(receive(&old), Ok(("old".into(), 1)));
}

#[test]
fn who_makes_a_queue_while_others_do_opens_theirs() {
    let place = Place::new("who_makes_a_queue");
    let options = OpenOptions { maxmsg: 1, msgsize: 8, ..OpenOptions::default() };
    let makers: Vec<_> = (0..4)
        .map(|_| {
            in_child(|| {
                for _ in 0..5000 {
                    let queue = Queue::open(Some(&place.address), O_RDWR | O_CREAT, &options);
                    queue.expect("opened or made");
                    let _ = queue::unlink(&place.address);
                }
            })
        })
        .collect();

    makers.into_iter().for_each(crate::place::Child::join);
}
