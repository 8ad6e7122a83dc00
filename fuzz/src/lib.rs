//! What the fuzz targets share: the attack on files, which is the tests' own
//! (`core/tests/hostile/`), and a place for queues.

#[path = "../../core/tests/hostile/attack.rs"]
pub mod attack;
#[path = "../../core/tests/hostile/damage.rs"]
pub mod damage;
#[path = "../../core/tests/hostile/guard.rs"]
pub mod guard;

use attack::{Ground, Meanwhile};
use damage::Images;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The directory of this process's queues, below the one that MQRS_DIR named.
static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

thread_local! {
    /// Of the one thread that a target runs in.
    static GROUND: RefCell<Option<Ground>> = const { RefCell::new(None) };
}

/// Make the directory; called once, before there are threads.
pub fn begin() {
    let above = std::env::var_os("MQRS_DIR").unwrap_or_else(|| "/dev/shm".into());
    let dir = PathBuf::from(above).join(format!("mqrs-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory for queues");
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("MQRS_DIR", &dir) };
    DIRECTORY.set(dir).expect("set once");
    // SAFETY: a function that may be called at the end.
    unsafe { libc::atexit(end) };
}

extern "C" fn end() {
    let _ = std::fs::remove_dir_all(directory());
}

/// Where the queues of this process are.
pub fn directory() -> &'static PathBuf {
    DIRECTORY.get().expect("begin was called")
}

/// The same, with sound files to damage.
pub fn begin_attacks() {
    begin();
    let images = Images::take(directory(), false);
    GROUND.set(Some(Ground::new(directory(), images)));
}

/// One attack.
pub fn attack(choices: &[u8], meanwhile: Meanwhile) {
    GROUND.with_borrow_mut(|ground| {
        ground.as_mut().expect("begin_attacks was called").attack(choices, meanwhile);
    });
}
