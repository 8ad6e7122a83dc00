//! What the cases are made of: queues, a few calls, and what children are waited for.

use crate::processes::{Child, Fate, pause};
use mqueue_core::error::Result;
use mqueue_core::shm::Slept;
use mqueue_core::shm::steps::{Bed, Step};
use mqueue_core::shm::typed::{self, Limits, Receiving, Sending, Settings, Want, slept_on};
use mqueue_core::sync::Ordering::SeqCst;
use mqueue_core::sync::{AtomicU32, AtomicU64};
use std::time::Duration;

/// Bytes of each message, times what `send` is told.
pub const EACH: u64 = 10;
/// Bytes that a queue holds.
pub const HOLDS: u64 = 100;
/// After this time something hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A queue, removed at the end.
pub struct Case {
    pub id: i32,
}

impl Case {
    pub fn new(holds: u64) -> Case {
        let id = typed::get(0, 0o600, Limits::Own).unwrap();
        set_bound(id, holds);
        Case { id }
    }

    pub fn of(id: i32) -> Case {
        Case { id }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = typed::remove(self.id);
    }
}

/// A key that no queue has.
pub fn new_key() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, SeqCst)
}

/// Change msg_qbytes and nothing else.
pub fn try_to_set_bound(id: i32, most: u64, limits: Limits) -> Result<()> {
    let typed::Status { uid, gid, mode, .. } = typed::status(id)?;
    typed::set(id, &Settings { uid, gid, mode, most }, limits)
}

pub fn set_bound(id: i32, most: u64) {
    try_to_set_bound(id, most, Limits::Own).unwrap();
}

/// Whether a call waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    Never,
    Always,
    /// And looks at nothing before it is woken.
    UntilWoken,
}

fn complete<T>(waits: Waits, mut step: impl FnMut(Option<Slept>) -> Step<T>) -> Result<T> {
    let mut slept = None;
    loop {
        match step(slept) {
            Step::Done(came) => return came,
            Step::Sleep(bed) => {
                assert!(waits != Waits::Never, "a call that must not wait sleeps");
                let until_ns = if waits == Waits::UntilWoken { i64::MAX } else { bed.until_ns };
                slept = Some(slept_on(&Bed { until_ns, ..bed }));
            }
        }
    }
}

pub fn send_as(id: i32, kind: i64, times: u64, waits: Waits) -> Result<()> {
    let text = vec![b'x'; (EACH * times) as usize];
    let mut sending = Sending::begin(id, kind, text.len(), waits == Waits::Never)?;
    // SAFETY: the text has that length.
    complete(waits, |slept| unsafe { sending.step(text.as_ptr(), slept) })
}

/// Send without waiting.
pub fn send(id: i32, kind: i64, times: u64) -> Result<()> {
    send_as(id, kind, times, Waits::Never)
}

pub fn receive(id: i32, want: Want, waits: Waits) -> Result<(usize, i64)> {
    let mut text = [0u8; 100];
    let mut receiving = Receiving::begin(id, want, text.len(), false, waits == Waits::Never)?;
    // SAFETY: the buffer has that length.
    let step = |slept| unsafe { receiving.step(text.as_mut_ptr(), slept) };
    let (len, kind) = complete(waits, step)?;
    assert!(text[..len].iter().all(|&byte| byte == b'x'), "a message came garbled");
    Ok((len, kind))
}

/// Send until the queue is full; tells how many.
pub fn fill(id: i32, kind: i64) -> u64 {
    let mut sent = 0;
    while send(id, kind, 1).is_ok() {
        sent += 1;
    }
    sent
}

/// Receive all there is; tells how many.
pub fn drain(id: i32) -> u64 {
    let mut got = 0;
    while receive(id, Want::First, Waits::Never).is_ok() {
        got += 1;
    }
    got
}

/// Wait until a process has ended, and well.
pub fn await_success(mut child: Child) {
    assert_eq!(child.wait(PATIENCE), Fate::Exited(0));
}

/// Wait until a process sleeps in the kernel, which is where a call that waits ends up.
pub fn await_sleep(pid: i32) {
    let mut in_a_row = 0;
    while in_a_row < 20 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let is_asleep = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
        in_a_row = if is_asleep { in_a_row + 1 } else { 0 };
        pause(Duration::from_micros(200));
    }
}

/// Wait until so many processes have counted themselves.
pub fn await_count(count: &AtomicU64, all: u64) {
    while count.load(SeqCst) < all {
        std::thread::yield_now();
    }
}
