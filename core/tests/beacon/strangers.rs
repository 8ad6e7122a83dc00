//! What others do to the FIFO, to its name, and to numbers of descriptors.

use crate::file::path_of;
use crate::processes::lamp::{BETWEEN, EMPTY, FULL, Lamp, receive, send};
use crate::processes::skips::skip;
use crate::processes::{Stage, files, new_name, options};
use crate::stage;
use mqueue_core::deadline::Wait;
use mqueue_core::error::Errno;
use mqueue_core::shm::ShmQueue;
use mqueue_core::sys::file;
use mqueue_core::transport::Transport as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

cases! {
    a_fifo_that_was_drained_is_mended_by_a_call_that_is_refused,
    a_fifo_that_was_filled_is_mended_by_a_call_that_is_refused,
    nothing_is_done_to_what_has_the_number_now,
    another_description_of_the_same_fifo_is_not_taken_for_ours,
    the_description_of_another_queues_fifo_is_not_taken_for_this_ones,
    a_file_at_its_name_is_left_alone,
    a_fifo_of_another_user_is_left_alone,
    a_fifo_that_the_queue_does_not_know_of_is_adopted,
}

/// Read or write so many bytes by the program's own descriptor.
fn meddle(lamp: &Lamp, write: bool, times: usize) {
    for _ in 0..times {
        let mut byte = 0u8;
        // SAFETY: one byte.
        unsafe {
            match write {
                true => libc::write(lamp.0, (&raw const byte).cast(), 1),
                false => libc::read(lamp.0, (&raw mut byte).cast(), 1),
            }
        };
    }
}

fn a_fifo_that_was_drained_is_mended_by_a_call_that_is_refused() {
    let stage = stage(1);
    let lamp = Lamp::of(&stage.inside);
    send(&stage.queue, Wait::Never).expect("sent");
    meddle(&lamp, false, 2);
    assert_eq!(lamp.shows(), EMPTY);

    assert_eq!(send(&stage.queue, Wait::Never), Err(Errno(libc::EAGAIN)));

    assert_eq!(lamp.shows(), FULL);
}

fn a_fifo_that_was_filled_is_mended_by_a_call_that_is_refused() {
    let stage = stage(3);
    let lamp = Lamp::of(&stage.inside);
    meddle(&lamp, true, 2);

    assert_eq!(receive(&stage.queue, Wait::Never), Err(Errno(libc::EAGAIN)));

    assert_eq!(lamp.shows(), EMPTY);
    for shown in [BETWEEN, BETWEEN, FULL] {
        send(&stage.queue, Wait::Never).expect("sent");
        assert_eq!(lamp.shows(), shown);
    }
}

/// The descriptors of this process that are of this file.
fn numbers_of(lamp: &Lamp) -> Vec<i32> {
    let identity = file::identity(lamp.0);
    (0..256).filter(|&fd| fd != lamp.0 && file::identity(fd) == identity).collect()
}

fn send_by(queue: &ShmQueue) {
    // SAFETY: 8 readable bytes.
    unsafe { queue.send([0u8; 8].as_ptr(), 8, 0, Wait::Never) }.expect("sent");
}

fn receive_by(queue: &ShmQueue) {
    // SAFETY: 8 writable bytes.
    unsafe { queue.receive([0u8; 8].as_mut_ptr(), 8, Wait::Never) }.expect("received");
}

fn nothing_is_done_to_what_has_the_number_now() {
    let stage = stage(2);
    let lamp = Lamp::of(&stage.inside);
    let own = numbers_of(&lamp);
    assert_eq!(own.len(), 1, "one description of ours");
    let (near, far) = UnixDatagram::pair().expect("a pair");
    far.set_nonblocking(true).expect("set");
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::dup2(near.as_raw_fd(), own[0]) }, own[0]);

    for shown in [BETWEEN, FULL] {
        send_by(&stage.inside);
        assert_eq!(lamp.shows(), shown);
    }

    assert!(far.recv(&mut [0; 8]).is_err(), "something was written to the socket");
    assert!(file::identity(own[0]).is_ok(), "the socket was closed");
    let ours_now = numbers_of(&lamp);
    assert_eq!(ours_now.len(), 1);
    assert_ne!(ours_now, own);
    // And if there is no opening it again, nothing happens.
    mqueue_core::queue::unlink(&stage.name).expect("unlinked");
    file::close(ours_now[0]);
    receive_by(&stage.inside);
    assert_eq!(lamp.shows(), FULL);
}

fn another_description_of_the_same_fifo_is_not_taken_for_ours() {
    let stage = stage(1);
    let lamp = Lamp::of(&stage.inside);
    let blocking = Lamp(stage.inside.beacon(false).expect("a beacon"));
    let own: Vec<i32> =
        numbers_of(&lamp).into_iter().filter(|&number| number != blocking.0).collect();
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::dup2(blocking.0, own[0]) }, own[0]);

    for _ in 0..10 {
        send_by(&stage.inside);
        assert_eq!(lamp.shows(), FULL);
        receive_by(&stage.inside);
        assert_eq!(lamp.shows(), EMPTY);
    }
    file::close(own[0]);
}

fn the_description_of_another_queues_fifo_is_not_taken_for_this_ones() {
    let (stage, other) = (stage(1), crate::stage(1));
    let (lamp, others) = (Lamp::of(&stage.inside), Lamp::of(&other.inside));
    let (own, others_own) = (numbers_of(&lamp)[0], numbers_of(&others)[0]);
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::dup2(others_own, own) }, own);

    send_by(&stage.inside);

    assert_eq!((lamp.shows(), others.shows()), (FULL, EMPTY));
    file::close(own);
}

fn a_file_at_its_name_is_left_alone() {
    let stage = stage(1);
    let path = path_of(&stage);
    std::fs::write(&path, "somebody's").expect("written");

    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::EEXIST)));

    assert_eq!(std::fs::read(&path).expect("there"), b"somebody's");
    send(&stage.queue, Wait::Never).expect("sent");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(Lamp::of(&stage.inside).shows(), FULL);
}

fn a_fifo_of_another_user_is_left_alone() {
    // SAFETY: touches no memory.
    if unsafe { libc::geteuid() } != 0 {
        return skip("a_fifo_of_another_user", "only root can give a file away");
    }
    let stage = stage(1);
    make_fifo(&path_of(&stage));
    std::os::unix::fs::chown(path_of(&stage), Some(12345), None).expect("given away");

    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::EEXIST)));

    std::fs::remove_file(path_of(&stage)).expect("there");
}

fn make_fifo(path: &std::path::Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no zero");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

fn a_fifo_that_the_queue_does_not_know_of_is_adopted() {
    let stage = Stage::of(new_name(), options(1, 8));
    make_fifo(&path_of(&stage));

    let lamp = Lamp::of(&stage.inside);

    assert_eq!(files("mqrs-poll."), [path_of(&stage)]);
    send(&stage.queue, Wait::Never).expect("sent");
    assert_eq!(lamp.shows(), FULL);
    // One that comes to its place later is not the queue's.
    std::fs::remove_file(path_of(&stage)).expect("removed");
    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::EIO)));
    make_fifo(&path_of(&stage));
    assert_eq!(stage.inside.beacon(true), Err(Errno(libc::EEXIST)));
}
