//! What the number of a queue stands for: this queue as long as it is there, and never another
//! file; and who may change it.

use crate::case::{Case, HOLDS, await_success, new_key, send, set_bound, try_to_set_bound};
use crate::deaths::struck;
use crate::processes::{files, spawn};
use mqueue_core::error::Errno;
use mqueue_core::fault::Step;
use mqueue_core::shm::typed::{self, Limits};
use std::path::PathBuf;

cases! {
    a_removed_queue_is_none_to_who_comes_later_though_it_kept_its_names,
    a_copy_of_a_queues_file_is_no_queue,
    what_has_come_in_the_place_of_a_queues_file_is_left_alone,
    a_bound_above_the_kernels_is_refused_where_its_limits_count,
}

const NONE: Errno = Errno(libc::EINVAL);

fn path_of(id: i32) -> PathBuf {
    let directory = std::env::var_os("MQRS_DIR").expect("a directory of our own");
    PathBuf::from(directory).join(format!("mqrs-msg.{id}"))
}

/// Another number, which no queue has.
fn another(id: i32) -> i32 {
    let another = if id == 1 { 2 } else { id - 1 };
    assert!(!path_of(another).exists());
    another
}

fn a_removed_queue_is_none_to_who_comes_later_though_it_kept_its_names() {
    for step in [Step::TypedRemoved, Step::TypedUnnamed] {
        let id = typed::get(new_key(), libc::IPC_CREAT | 0o600, Limits::Own).unwrap();
        struck(step, libc::SIGKILL, || typed::remove(id));
        assert!(path_of(id).exists(), "{step:?}");

        await_success(spawn(|| assert_eq!(typed::status_at(0, true), Err(NONE))));
        await_success(spawn(|| assert_eq!(send(id, 1, 1), Err(NONE))));

        assert!(files("").is_empty(), "{step:?}");
    }
}

fn a_copy_of_a_queues_file_is_no_queue() {
    let case = Case::new(HOLDS);
    let copy = another(case.id);
    std::fs::copy(path_of(case.id), path_of(copy)).unwrap();

    assert_eq!(send(copy, 1, 1), Err(NONE));

    assert_eq!(typed::remove(copy), Err(NONE));
    assert_eq!(typed::summary().unwrap().queues, 1);
    send(case.id, 1, 1).unwrap();
    std::fs::remove_file(path_of(copy)).unwrap();
}

fn what_has_come_in_the_place_of_a_queues_file_is_left_alone() {
    let case = Case::new(HOLDS);
    let (place, aside) = (path_of(case.id), path_of(another(case.id)));
    std::fs::rename(&place, &aside).unwrap();
    std::fs::copy(&aside, &place).unwrap();

    assert_eq!(try_to_set_bound(case.id, 2 * HOLDS, Limits::Own), Err(NONE));
    typed::remove(case.id).unwrap();

    assert!(place.exists(), "another's file was removed");
    for path in [place, aside] {
        std::fs::remove_file(path).unwrap();
    }
}

fn a_bound_above_the_kernels_is_refused_where_its_limits_count() {
    let bound = typed::kernel_limits().queue;
    let work = || {
        // As somebody whom limits stop.
        // SAFETY: touches no memory. Where it fails we are that already.
        unsafe { libc::setresuid(12345, 12345, 12345) };
        let case = Case::new(bound);

        let above = try_to_set_bound(case.id, bound + 1, Limits::Kernel);

        assert_eq!(above, Err(Errno(libc::EPERM)));
        try_to_set_bound(case.id, bound, Limits::Kernel).unwrap();
        set_bound(case.id, bound + 1);
    };
    await_success(spawn(work));
}
