//! Where one test takes place: an IPC namespace of its own if that is allowed, a name and a key
//! that no other test uses, and an end to its patience.
//!
//! A namespace belongs to the thread that asked for it, and to the threads and processes that
//! it starts. It ends with them, however they end, and the queues in it too.

use crate::peer::Peer;
use crate::program::{Program, workshop};
use std::process::exit;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, Once};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

pub struct World {
    name: String,
    key: u32,
    /// What goes away with the last handle on it: the watchdog's reason to wait.
    _watch: Sender<()>,
}

impl World {
    pub fn new() -> World {
        // SAFETY: it changes which queues this thread sees, and nothing else.
        unsafe { libc::unshare(libc::CLONE_NEWIPC) };
        queue_directory();
        let pid = std::process::id();
        let number = number();
        World {
            name: format!("mqrs-interoperation-{pid}-{number}"),
            // Not 0, and not negative where it is an int.
            key: (pid << 9 | number) & 0x7fff_ffff,
            _watch: watchdog(),
        }
    }

    /// The queue's name, with its slash.
    pub fn name(&self) -> String {
        format!("/{}", self.name)
    }

    pub fn key(&self) -> u32 {
        self.key
    }

    /// The address of the POSIX queue of this test.
    pub fn posix(&self) -> String {
        format!("posix:/{}", self.name)
    }

    /// The address of the System V queue of this test.
    pub fn sysv(&self) -> String {
        format!("sysv:{}", self.key)
    }

    /// The address of a System V queue with a name.
    pub fn sysv_named(&self) -> String {
        format!("sysv:/{}", self.name)
    }

    /// A peer for the POSIX queue, if it can run here.
    pub fn posix_peer(&self, program: &'static Program) -> Option<Peer> {
        program.start(&self.name())
    }

    /// A peer for the System V queue, if it can run here.
    pub fn sysv_peer(&self, program: &'static Program) -> Option<Peer> {
        program.start(&self.key.to_string())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for address in [self.posix(), self.sysv(), self.sysv_named()] {
            // Most are not there.
            let _ = crate::ours::unlink(&address);
        }
    }
}

/// A number that no other test of this process has; below 512.
fn number() -> u32 {
    static NEXT: Mutex<u32> = Mutex::new(1);
    let mut next = NEXT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    *next += 1;
    *next
}

/// End the process if nobody has dropped the handle after a long time: a wake-up is missing.
fn watchdog() -> Sender<()> {
    let (watch, watched) = channel();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("watchdog: {test} has not finished after {PATIENCE:?}");
            exit(1);
        }
    });
    watch
}

/// One directory for the records of names, of all tests: where no other program looks.
fn queue_directory() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let directory = workshop().join("queues");
        std::fs::create_dir_all(&directory).expect("room for records");
        // SAFETY: every test comes here before it looks at the environment, and the harness
        // has read its part.
        unsafe { std::env::set_var("MQRS_DIR", directory) };
    });
}
