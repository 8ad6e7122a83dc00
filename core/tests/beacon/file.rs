//! The FIFO's life: when it comes to be, whose it is, and when it goes.

use crate::processes::lamp::{BETWEEN, EMPTY, FULL, Lamp, receive, send};
use crate::processes::skips::skip;
use crate::processes::{Fate, Stage, files, new_name, open_inside, options, spawn};
use crate::{PATIENCE, in_child, stage};
use mqueue_core::attr::{OpenOptions, option};
use mqueue_core::deadline::Wait;
use mqueue_core::error::Errno;
use mqueue_core::queue::unlink;
use mqueue_core::sys::file;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

cases! {
    a_queue_that_nobody_polls_has_no_fifo,
    the_descriptor_is_what_was_asked_for,
    all_who_come_at_once_get_the_same_fifo,
    it_has_the_queues_mode_and_changes_with_it,
    it_has_the_queues_owner,
    the_maker_gets_it_whatever_the_mode_says,
    it_goes_with_the_queues_name,
    it_goes_with_an_ephemeral_queue,
    who_comes_after_the_name_has_gone_is_told,
    no_list_shows_it,
    without_room_there_is_none,
}

/// Where the FIFO of a queue is, or would be.
pub fn path_of(stage: &Stage) -> PathBuf {
    let fd = stage.queue.dup_fd().expect("a descriptor");
    let [_, ino] = file::identity(fd).expect("a file").parts();
    file::close(fd);
    let dir = std::env::var_os("MQRS_DIR").expect("set");
    PathBuf::from(dir).join(format!("mqrs-poll.{ino:x}"))
}

fn a_queue_that_nobody_polls_has_no_fifo() {
    let stage = stage(1);
    send(&stage.queue, Wait::Never).expect("sent");
    receive(&stage.queue, Wait::Never).expect("received");

    assert!(!path_of(&stage).exists());
    assert!(stage.inside.beacon_identity().is_none());
}

fn the_descriptor_is_what_was_asked_for() {
    let stage = stage(1);
    for nonblocking in [true, false] {
        let fd = stage.inside.beacon(nonblocking).expect("a beacon");
        // SAFETY: touches no memory.
        let (flags, closing) =
            unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::fcntl(fd, libc::F_GETFD)) };
        assert_eq!(flags & libc::O_ACCMODE, libc::O_RDWR);
        assert_eq!(flags & libc::O_NONBLOCK != 0, nonblocking);
        assert_eq!(closing, libc::FD_CLOEXEC);
        assert_eq!(Some(file::identity(fd).expect("a file")), stage.inside.beacon_identity());
        file::close(fd);
    }
}

fn all_who_come_at_once_get_the_same_fifo() {
    for _ in 0..50 {
        let stage = stage(2);
        let others = (0..4).map(|_| {
            spawn(|| {
                let inside = stage.open_inside();
                let lamp = Lamp::of(&inside);
                assert_eq!(Some(file::identity(lamp.0).expect("a file")), inside.beacon_identity());
            })
        });
        for mut other in others.collect::<Vec<_>>() {
            assert_eq!(other.wait(PATIENCE), Fate::Exited(0));
        }
        let lamp = Lamp::of(&stage.inside);
        send(&stage.queue, Wait::Never).expect("sent");
        assert_eq!(lamp.shows(), BETWEEN);
        assert_eq!(files("mqrs-poll."), [path_of(&stage)]);
        assert!(files(".mqrs").is_empty(), "something is left over");
    }
}

fn it_has_the_queues_mode_and_changes_with_it() {
    let exact = OpenOptions { mode: 0o640, flags: option::EXACT_MODE, ..options(1, 8) };
    let stage = Stage::of(new_name(), exact);
    let _lamp = Lamp::of(&stage.inside);
    let status = || std::fs::metadata(path_of(&stage)).expect("it is there");
    assert!(status().file_type().is_fifo());
    assert_eq!(status().permissions().mode() & 0o7777, 0o640);

    stage.queue.set_owner(0o606, u32::MAX, u32::MAX).expect("changed");

    assert_eq!(status().permissions().mode() & 0o7777, 0o606);
}

fn it_has_the_queues_owner() {
    // SAFETY: touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        return skip("it_has_the_queues_owner", "only root can give a queue away");
    }
    let stage = stage(1);
    let _lamp = Lamp::of(&stage.inside);

    stage.queue.set_owner(u32::MAX, 12345, 54321).expect("changed");

    let status = std::fs::metadata(path_of(&stage)).expect("it is there");
    assert_eq!((status.uid(), status.gid()), (12345, 54321));
}

fn the_maker_gets_it_whatever_the_mode_says() {
    let work = || {
        let exact = OpenOptions { mode: 0, flags: option::EXACT_MODE, ..options(1, 8) };
        let name = new_name();
        let inside = open_inside(&name, libc::O_CREAT | libc::O_RDWR, &exact);
        let lamp = Lamp::of(&inside);
        assert_eq!(lamp.shows(), EMPTY);
        unlink(&name).expect("unlinked");
    };
    in_child(|| {
        // As somebody whom modes stop.
        // SAFETY: touches no memory. Where it fails we are that already.
        unsafe { libc::setresuid(12345, 12345, 12345) };
        work();
    });
}

fn it_goes_with_the_queues_name() {
    let stage = stage(2);
    let lamp = Lamp::of(&stage.inside);
    let path = path_of(&stage);
    assert!(path.exists());
    assert_eq!(receive(&stage.queue, Wait::Never), Err(Errno(libc::EAGAIN)));

    unlink(&stage.name).expect("unlinked");

    assert!(!path.exists());
    // Who has it open goes on.
    send(&stage.queue, Wait::Never).expect("sent");
    assert_eq!(lamp.shows(), BETWEEN);
    // And a new queue of that name has another.
    let again = Stage::of(stage.name.clone(), options(2, 8));
    let other = Lamp::of(&again.inside);
    assert_ne!(stage.inside.beacon_identity(), again.inside.beacon_identity());
    assert_eq!(other.shows(), EMPTY);
}

fn it_goes_with_an_ephemeral_queue() {
    let ephemeral = OpenOptions { flags: option::EPHEMERAL, ..options(1, 8) };
    for is_unlinked in [true, false] {
        let name = new_name();
        let inside = open_inside(&name, libc::O_CREAT | libc::O_RDWR, &ephemeral);
        let lamp = Lamp::of(&inside);
        assert_eq!(files("mqrs-poll.").len(), 1);

        if is_unlinked {
            unlink(&name).expect("unlinked");
        } else {
            drop(inside);
        }

        assert!(files("mqrs-poll.").is_empty());
        drop(lamp);
    }
}

fn who_comes_after_the_name_has_gone_is_told() {
    let stage = stage(1);
    unlink(&stage.name).expect("unlinked");
    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::ENOENT)));
    assert!(files("mqrs-poll.").is_empty());

    let stage = crate::stage(1);
    let lamp = Lamp::of(&stage.inside);
    assert_eq!(receive(&stage.queue, Wait::Never), Err(Errno(libc::EAGAIN)));
    unlink(&stage.name).expect("unlinked");
    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::ENOENT)));
    assert!(files("mqrs-poll.").is_empty());
    send(&stage.queue, Wait::Never).expect("sent");
    assert_eq!(lamp.shows(), FULL);
}

fn no_list_shows_it() {
    let stage = stage(1);
    let _lamp = Lamp::of(&stage.inside);
    let mut names = vec![];

    mqueue_core::shm::handle::list(&mut |name| {
        names.push(name.to_owned());
        Ok(())
    })
    .expect("listed");

    let name = format!("shm:{}", stage.name.to_str().expect("ascii"));
    assert_eq!(names.iter().map(|n| n.to_str().expect("ascii")).collect::<Vec<_>>(), [name]);
}

fn without_room_there_is_none() {
    // A file system of its own, with room for one file more.
    // SAFETY: C strings.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && {
                let dir = std::env::var("MQRS_DIR").expect("set");
                let dir = std::ffi::CString::new(dir).expect("no zero");
                libc::mount(
                    c"none".as_ptr(),
                    dir.as_ptr(),
                    c"tmpfs".as_ptr(),
                    0,
                    c"nr_inodes=3".as_ptr().cast(),
                ) == 0
            }
    };
    if !mounted {
        let reason = format!("no file system of its own: {}", std::io::Error::last_os_error());
        return skip("without_room_there_is_none", &reason);
    }
    let stage = stage(1);
    let dir = std::env::var("MQRS_DIR").expect("set");
    std::fs::write(format!("{dir}/full"), "").expect("the last file");

    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::ENOSPC)));
    send(&stage.queue, Wait::Never).expect("sent");
    std::fs::remove_file(format!("{dir}/full")).expect("removed");
    assert_eq!(Lamp::of(&stage.inside).shows(), FULL);
}
