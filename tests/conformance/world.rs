//! Where a test lives: an IPC namespace and a directory of its own, and limits that leave room.
//!
//! Both end with the test, however it ends: the kernel takes the namespace, and the keeper
//! (`keeper.rs`) removes the directory. Where this process may not have a namespace, the
//! kernel's queues are those of the machine, under names of this test alone, and every test
//! keeps within what the kernel grants to anybody. Called by the keeper, before the test.
//!
//! Source: ipc_namespaces(7), mq_overview(7), sysvipc(7).

use crate::keeper::skip;
use crate::process::as_user;
use crate::subject::{NOBODY, Transport};
use mqueue_core::sync::Ordering::Relaxed;
use mqueue_core::sync::local::AtomicBool;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::ptr::null;

/// Most addresses of a test.
const ADDRESSES: u32 = 64;

/// What a namespace of our own allows; the kernel's defaults are 10, 8192, 8192 and 16384.
const LIMITS: [(&str, &str); 5] = [
    ("/proc/sys/fs/mqueue/msg_max", "4096"),
    ("/proc/sys/fs/mqueue/msgsize_max", "1048576"),
    ("/proc/sys/fs/mqueue/queues_max", "1024"),
    ("/proc/sys/kernel/msgmax", "1048576"),
    ("/proc/sys/kernel/msgmnb", "8388608"),
];

static IS_ROOMY: AtomicBool = AtomicBool::new(false);

/// Whether limits are raised, and the kernel's queues are this test's alone.
pub fn is_roomy() -> bool {
    IS_ROOMY.load(Relaxed)
}

/// Where the queues' files are; removed at the end.
pub struct World {
    base: PathBuf,
}

impl World {
    /// Enter a world of our own. This process has one thread.
    pub fn enter() -> World {
        let base = PathBuf::from(format!("/dev/shm/mqrs-conformance-{}", std::process::id()));
        let world = World { base };
        // Left behind by a process of the same number that was killed.
        world.remove();
        for directory in [world.base.clone(), world.queues()] {
            fs::create_dir(&directory).expect("a directory for the queues");
            // As /dev/shm is: for everybody, but nobody removes what is another's.
            fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).expect("its mode");
        }
        // SAFETY: one thread, so nobody reads the environment meanwhile.
        unsafe { std::env::set_var("MQRS_DIR", world.queues()) };
        IS_ROOMY.store(unshare() && raise_limits(), Relaxed);
        if is_roomy() {
            world.mount();
        }
        world
    }

    fn queues(&self) -> PathBuf {
        self.base.join("queues")
    }

    fn mount_point(&self) -> CString {
        CString::new(self.base.join("mqueue").as_os_str().as_bytes()).expect("no zero byte")
    }

    /// The mqueue file system, in which the kernel lists its POSIX queues. A machine without
    /// it can still do everything else.
    fn mount(&self) {
        let point = self.mount_point();
        let kind = c"mqueue".as_ptr();
        if fs::create_dir(OsStr::from_bytes(point.to_bytes())).is_ok() {
            // SAFETY: C strings.
            unsafe { libc::mount(kind, point.as_ptr(), kind, 0, null()) };
        }
    }

    /// As it was in the beginning: no queue of this test is left.
    pub fn clear(&self, transport: Transport) {
        let unlink = || {
            for number in 1..=ADDRESSES {
                let _ = mqueue_core::queue::unlink(&address(transport, number));
            }
        };
        // Even root may lack the right to remove what an ordinary user has made.
        // SAFETY: always succeeds.
        if unsafe { libc::geteuid() } == 0 {
            as_user(NOBODY, unlink).join();
        }
        unlink();
        for entry in fs::read_dir(self.queues()).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }

    fn remove(&self) {
        // SAFETY: a C string.
        unsafe { libc::umount2(self.mount_point().as_ptr(), libc::MNT_DETACH) };
        let _ = fs::remove_dir_all(&self.base);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The directory of the queues in the test's own process.
pub fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os("MQRS_DIR").expect("set by World::enter"))
}

/// The address of this number; the same in a test's process and in its keeper's.
pub fn address(transport: Transport, number: u32) -> CString {
    assert!(number <= ADDRESSES, "a test with more than {ADDRESSES} queues");
    let base = directory();
    let keeper = base.parent().and_then(Path::file_name).and_then(OsStr::to_str).expect("a name");
    let keeper = keeper.trim_start_matches("mqrs-");
    CString::new(format!("{}:/{keeper}-{number}", transport.name())).expect("no zero byte")
}

/// Be without the mqueue file system, in a mount namespace of this process.
pub fn unmount() {
    if !is_roomy() || !unshare() {
        skip("the file systems of this machine are not ours to unmount");
    }
    while let Some(point) = mounted() {
        let point = CString::new(point).expect("no zero byte");
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::umount2(point.as_ptr(), libc::MNT_DETACH) }, 0);
    }
}

/// Leave the clause where POSIX queues cannot be listed.
pub fn need_mount(transport: Transport) {
    if transport == Transport::Posix && mounted().is_none() {
        skip("no mqueue file system is mounted, and none can be");
    }
}

/// Where a file system of type mqueue is mounted.
fn mounted() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ');
        let point = fields.nth(1)?;
        (fields.next() == Some("mqueue")).then(|| point.to_owned())
    })
}

/// Namespaces of our own for the kernel's queues, and for mounts.
fn unshare() -> bool {
    // SAFETY: one thread; the rest touches no memory of ours.
    unsafe {
        libc::unshare(libc::CLONE_NEWIPC | libc::CLONE_NEWNS) == 0
            && libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null())
                == 0
    }
}

fn raise_limits() -> bool {
    let none = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // Without CAP_SYS_RESOURCE it stays as it is: the POSIX queues of all tests that run at
    // one time share a few hundred kilobytes, which is enough for small ones.
    // SAFETY: a whole struct.
    unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &none) };
    LIMITS.iter().all(|(path, value)| fs::write(path, value).is_ok())
}
