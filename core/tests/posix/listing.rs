//! Lists, by way of a mounted mqueue file system.
//!
//! Each test is a child with a mount namespace of its own, in which it mounts and unmounts.

use crate::place::{Place, errno, in_child, open_descriptors, raw_open, receive, send, sentence};
use crate::skips::skip;
use libc::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR};
use mqueue_core::attr::{Attr, OpenOptions, option, transport};
use mqueue_core::list::List;
use mqueue_core::queue::{Notification, Queue};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

/// A directory with a blank in its name, which is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("mqrs {} {test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().expect("text")).expect("a path")
}

/// A mount namespace without any mqueue file system.
fn has_own_mounts() -> bool {
    // SAFETY: C strings, and flags that need no other arguments.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            return false;
        }
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        let none = core::ptr::null();
        libc::mount(none, c"/".as_ptr(), none, flags, none.cast());
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("/proc");
    for line in mounts.lines() {
        let words: Vec<_> = line.split(' ').collect();
        if words.get(2) == Some(&"mqueue") {
            let place = CString::new(words[1].replace(r"\040", " ")).expect("a path");
            // SAFETY: a C string.
            unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
        }
    }
    true
}

fn mount(path: &Path) -> bool {
    let path = c_path(path);
    // SAFETY: C strings.
    unsafe {
        libc::mount(c"none".as_ptr(), path.as_ptr(), c"mqueue".as_ptr(), 0, core::ptr::null()) == 0
    }
}

/// Run a test in a child that may mount.
fn with_mounts(test: &str, run: impl FnOnce(&Place, &Path)) {
    let Some(place) = Place::of_its_own(test) else { return };
    let directory = Directory::new(test);
    let path = directory.0.clone();
    const NOT_PERMITTED: i32 = 77 << 8;
    let child = in_child(|| {
        if !has_own_mounts() || !mount(&path) {
            // SAFETY: ends the child.
            unsafe { libc::_exit(77) };
        }
        run(&place, &path);
    });
    match child.end() {
        NOT_PERMITTED => skip(test, "it may not mount a file system"),
        status => assert_eq!(status, 0, "the child failed"),
    }
}

fn make(address: &CStr, options: OpenOptions) -> Queue {
    let oflag = O_RDWR | O_CREAT | O_EXCL;
    Queue::open(Some(address), oflag, &options).expect("made")
}

fn small() -> OpenOptions {
    OpenOptions { maxmsg: 2, msgsize: 8, ..OpenOptions::default() }
}

fn listed() -> BTreeMap<String, Attr> {
    let mut list = List::open(transport::POSIX).expect("a list");
    let mut all = BTreeMap::new();
    while let Some((address, attr)) = list.advance().expect("the next") {
        let address = address.to_str().expect("text").to_owned();
        assert!(all.insert(address, attr).is_none(), "twice");
    }
    all
}

#[test]
fn a_list_tells_every_queue_and_what_it_is() {
    with_mounts("every_queue", |_, _| {
        assert!(listed().is_empty());
        let first = make(c"posix:/first", small());
        let second = make(c"posix:/..second ", OpenOptions { mode: 0o640, ..small() });
        send(&second, "12345", 0).expect("sent");

        let all = listed();

        let names: Vec<_> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["posix:/..second ", "posix:/first"]);
        let flags = (libc::O_RDONLY | libc::O_NONBLOCK) as u32;
        let seen = Attr { flags, ..second.attr().expect("attributes") };
        assert_eq!(all["posix:/..second "], seen);
        assert_eq!((seen.curmsgs, seen.curbytes), (1, 5));
        assert_eq!(all["posix:/first"], Attr { flags, ..first.attr().expect("attributes") });
    });
}

#[test]
fn a_queue_that_may_not_be_read_has_a_name_and_a_transport() {
    with_mounts("may_not_be_read", |_, _| {
        make(c"posix:/hidden", OpenOptions { flags: option::EXACT_MODE, mode: 0, ..small() });
        // SAFETY: touches no memory.
        if unsafe { libc::geteuid() == 0 && libc::setuid(65534) != 0 } {
            return;
        }

        let all = listed();

        let unknown = Attr { transport: transport::POSIX, ..Attr::default() };
        assert_eq!(all["posix:/hidden"], unknown);
    });
}

#[test]
fn a_queue_that_goes_meanwhile_is_passed_over() {
    with_mounts("goes_meanwhile", |_, _| {
        make(c"posix:/goes", small());
        let mut list = List::open(transport::POSIX).expect("a list");
        mqueue_core::queue::unlink(c"posix:/goes").expect("removed");

        assert_eq!(list.advance().map(|entry| entry.is_some()), Ok(false));
    });
}

#[test]
fn without_a_mount_a_list_is_refused_and_says_how_to_mount() {
    with_mounts("without_a_mount", |_, path| {
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::umount(c_path(path).as_ptr()) }, 0);

        assert_eq!(errno(List::open(transport::POSIX).map(drop)), libc::ENOTSUP);

        assert!(sentence().ends_with("mount -t mqueue none /dev/mqueue"), "{}", sentence());
        List::open(transport::ANY).map(drop).expect("the others");
    });
}

#[test]
fn a_mount_of_another_namespace_is_not_ours() {
    with_mounts("another_namespace", |_, _| {
        make(c"posix:/theirs", small());
        make(c"posix:/both", small());
        // SAFETY: concerns this thread alone.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC) }, 0);
        let _ours = make(c"posix:/both", small());

        assert_eq!(errno(List::open(transport::POSIX).map(drop)), libc::ENOTSUP);
    });
}

#[test]
fn our_mount_is_found_beside_that_of_another_namespace() {
    with_mounts("beside", |_, path| {
        make(c"posix:/theirs", small());
        // SAFETY: concerns this thread alone.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWIPC) }, 0);
        let _ours = make(c"posix:/ours", small());
        let second = Directory::new("beside-second");
        assert!(second.0 != path && mount(&second.0));

        let all = listed();

        // SAFETY: a C string.
        assert_eq!(unsafe { libc::umount(c_path(&second.0).as_ptr()) }, 0);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["posix:/ours"]);
    });
}

#[test]
fn walking_the_list_drops_no_registration_and_leaves_no_descriptors() {
    with_mounts("drops_no_registration", |_, _| {
        let queue = make(c"posix:/ours", small());
        let by_hand = make(c"posix:/by-hand", small());
        let fd = raw_open(c"by-hand", O_RDONLY);
        // SAFETY: all-zero bytes are a sigevent: a signal, and none at that.
        unsafe {
            let event: libc::sigevent = core::mem::zeroed();
            assert_eq!(libc::syscall(libc::SYS_mq_notify, fd, &event), 0);
        }
        let nothing = Notification::Signal { signo: 0, value: 0 };
        queue.notify(nothing, 0).expect("registered");
        listed();
        let before = open_descriptors();

        for _ in 0..50 {
            assert_eq!(listed().len(), 2);
        }

        assert_eq!(open_descriptors(), before);
        for registered in [&queue, &by_hand] {
            assert_eq!(errno(registered.notify(nothing, 0)), libc::EBUSY);
        }
        send(&by_hand, "x", 0).expect("sent");
        receive(&by_hand).expect("received");
        by_hand.notify(nothing, 0).expect("used up");
        assert_eq!(open_descriptors(), before - 1);
    });
}
