//! Opening and creating.

use super::{Clause, clauses};
use crate::process::{Shared, spawn, wait_until};
use crate::subject::{NOWAIT, Subject};
use libc::{O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
use mqueue_core::attr::OpenOptions;
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::local::AtomicU32;

pub const CLAUSES: &[Clause] = clauses![All:
    a_queue_that_does_not_exist_is_not_opened,
    flags_that_mean_nothing_are_refused,
    creating_exclusively_makes_one_queue_only,
    creating_a_queue_that_exists_opens_it,
    an_existing_queue_keeps_its_sizes_whatever_its_opener_asks_for,
    a_queue_has_the_sizes_that_its_creator_asked_for,
    a_queue_has_its_transports_default_sizes_where_none_are_asked_for,
    each_size_has_its_own_default,
    sizes_beyond_the_limits_are_refused,
    of_racing_exclusive_creators_one_wins,
    racing_creators_share_one_queue,
    two_handles_of_a_process_are_of_one_queue,
    a_queue_without_a_name_gets_one_of_its_own,
    opening_in_vain_leaves_nothing_behind,
    handles_are_close_on_exec,
];

fn a_queue_that_does_not_exist_is_not_opened(s: &Subject) {
    for oflag in [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_NONBLOCK] {
        s.fails(libc::ENOENT, s.open(&s.address(), oflag));
    }
}

fn flags_that_mean_nothing_are_refused(s: &Subject) {
    let address = s.address();

    for oflag in [O_WRONLY | O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_EXCL, -1] {
        s.fails(libc::EINVAL, s.open(&address, oflag));
    }
    s.fails(libc::EINVAL, s.open(&address, O_RDWR | O_CREAT | O_TRUNC));
}

fn creating_exclusively_makes_one_queue_only(s: &Subject) {
    let (address, _queue) = s.create(4, 16);

    s.fails(libc::EEXIST, s.open(&address, O_CREAT | O_EXCL | O_RDWR));
}

fn creating_a_queue_that_exists_opens_it(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    queue.put("kept", 3);

    let opened = s.another(&address, O_CREAT | O_RDWR);

    assert_eq!(opened.take(), (b"kept".to_vec(), 3));
}

fn an_existing_queue_keeps_its_sizes_whatever_its_opener_asks_for(s: &Subject) {
    let (address, queue) = s.create(4, 16);
    let before = queue.attr().expect("attributes");

    for (maxmsg, msgsize) in [(2, 8), (8, 64), (u64::MAX, u64::MAX)] {
        let other = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
        let opened = s.open_with(&address, O_CREAT | O_RDWR, &other).expect("an open queue");

        assert_eq!(opened.attr(), Ok(before));
    }
}

fn a_queue_has_the_sizes_that_its_creator_asked_for(s: &Subject) {
    let (_, queue) = s.create(3, 17);

    let attr = queue.attr().expect("attributes");

    assert_eq!((attr.maxmsg, attr.msgsize), (3, 17));
}

fn a_queue_has_its_transports_default_sizes_where_none_are_asked_for(s: &Subject) {
    let limits = s.language.limits(s.transport.number()).expect("limits");

    let queue = s.another(&s.address(), O_CREAT | O_RDWR);

    let attr = queue.attr().expect("attributes");
    assert_eq!((attr.maxmsg, attr.msgsize), (limits.maxmsg_default, limits.msgsize_default));
    assert!(attr.maxmsg > 0 && attr.msgsize > 0);
}

fn each_size_has_its_own_default(s: &Subject) {
    let limits = s.language.limits(s.transport.number()).expect("limits");

    for (maxmsg, msgsize) in [(0, 16), (4, 0)] {
        let (_, queue) = s.create_with(&OpenOptions { maxmsg, msgsize, ..OpenOptions::default() });

        let attr = queue.attr().expect("attributes");
        let or = |asked, default| if asked == 0 { default } else { asked };
        assert_eq!(attr.maxmsg, or(maxmsg, limits.maxmsg_default));
        assert_eq!(attr.msgsize, or(msgsize, limits.msgsize_default));
    }
}

fn sizes_beyond_the_limits_are_refused(s: &Subject) {
    let limits = s.language.limits(s.transport.number()).expect("limits");
    // Some rights lift limits of the kernel.
    s.as_ordinary_user(|| {
        for (maxmsg, msgsize) in [
            (limits.maxmsg_max + 1, 1),
            (1, limits.msgsize_max + 1),
            (u64::MAX, 1),
            (1, u64::MAX),
            (1 << 63, 1 << 63),
        ] {
            let options = OpenOptions { maxmsg, msgsize, ..OpenOptions::default() };
            let address = s.address();

            s.fails(libc::EINVAL, s.open_with(&address, O_CREAT | O_RDWR, &options));
            s.fails(libc::ENOENT, s.open(&address, O_RDWR));
        }
    });
}

fn of_racing_exclusive_creators_one_wins(s: &Subject) {
    let address = s.address();
    let [ready, won, lost] = [(); 3].map(|()| Shared::<AtomicU32>::new());
    const RACERS: u32 = 4;

    let racers: Vec<_> = (0..RACERS)
        .map(|_| {
            spawn(|| {
                ready.fetch_add(1, SeqCst);
                wait_until(|| ready.load(SeqCst) == RACERS);
                match s.open(&address, O_CREAT | O_EXCL | O_RDWR) {
                    Ok(_) => won.fetch_add(1, SeqCst),
                    Err(libc::EEXIST) => lost.fetch_add(1, SeqCst),
                    Err(errno) => panic!("errno {errno}"),
                };
            })
        })
        .collect();
    racers.into_iter().for_each(|racer| racer.join());

    assert_eq!((won.load(SeqCst), lost.load(SeqCst)), (1, RACERS - 1));
}

fn racing_creators_share_one_queue(s: &Subject) {
    let address = s.address();
    let options = OpenOptions { maxmsg: 8, msgsize: 16, ..OpenOptions::default() };
    let ready = Shared::<AtomicU32>::new();
    const RACERS: u32 = 4;

    let racers: Vec<_> = (0..RACERS)
        .map(|_| {
            spawn(|| {
                ready.fetch_add(1, SeqCst);
                wait_until(|| ready.load(SeqCst) == RACERS);
                let queue = s.open_with(&address, O_CREAT | O_RDWR, &options).expect("a queue");
                queue.put("here", 0);
            })
        })
        .collect();
    racers.into_iter().for_each(|racer| racer.join());

    assert_eq!(s.another(&address, O_RDWR).drain(), RACERS as usize);
}

fn two_handles_of_a_process_are_of_one_queue(s: &Subject) {
    let (address, sender) = s.create(4, 16);
    let receiver = s.another(&address, O_RDONLY);

    sender.put("over there", 1);

    assert_eq!(receiver.take(), (b"over there".to_vec(), 1));
    s.fails(libc::EAGAIN, sender.take_by(NOWAIT));
}

fn a_queue_without_a_name_gets_one_of_its_own(s: &Subject) {
    let create = || {
        s.language
            .open(None, O_CREAT | O_EXCL | O_RDWR, &OpenOptions::default())
            .expect("a queue")
            .name()
    };

    let (name, other) = (create(), create());

    assert_ne!(name, other);
    for name in [name, other] {
        assert!(name.to_bytes().starts_with(format!("{}:/", s.transport.name()).as_bytes()));
        s.another(&name, O_RDWR).put("by its name", 0);
        assert_eq!(s.language.unlink(&name), Ok(()));
    }
}

fn opening_in_vain_leaves_nothing_behind(s: &Subject) {
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let files = || std::fs::read_dir(crate::world::directory()).expect("files").count();
    // What the library opens once and for all.
    s.fails(libc::ENOENT, s.open(&s.address(), O_RDWR));
    let before = (descriptors(), files());

    s.fails(libc::ENOENT, s.open(&s.address(), O_RDWR));
    s.fails(libc::EINVAL, s.open(&s.address(), O_RDWR | O_TRUNC));
    s.fails(libc::ENOENT, s.open(&s.address_of("/"), O_RDWR | O_CREAT));

    assert_eq!((descriptors(), files()), before);
}

fn handles_are_close_on_exec(s: &Subject) {
    let numbers = || -> Vec<i32> {
        let entries = std::fs::read_dir("/proc/self/fd").expect("descriptors");
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
    };
    let before = numbers();

    let _queue = s.queue();

    for fd in numbers().into_iter().filter(|fd| !before.contains(fd)) {
        // SAFETY: touches no memory. The one that the listing had itself is gone.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert!(flags == -1 || flags & libc::FD_CLOEXEC != 0, "descriptor {fd} survives exec");
    }
}
