//! Whether processes are at rest: all their threads asleep at one moment.
//!
//! A call that waits must be seen to wait, and a pause proves nothing: a slow call would pass
//! for one that is blocked. So each thread's state and its number of switches are read twice.
//! All asleep both times, and no switch between: then at the moment between the two readings
//! all of them slept at once. Who wakes another does that before his own call ends, and a
//! woken thread is no longer counted as asleep, so from there on nothing moves but by what the
//! test does next, or by a clock. Deadlines that are near are the only clocks that matter,
//! and calls that have one are waited for (`side.rs`); a waiter that wakes now and then to
//! look again finds what it found before.
//!
//! Source: proc_pid_status(5), "State" and "*_ctxt_switches".

#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// A thread that is asleep, and how often it was given the processor and gave it away.
type Sleeper = (u64, u64, u64);

pub fn are_at_rest(processes: &[i32]) -> bool {
    match (sleepers(processes), sleepers(processes)) {
        (Ok(Some(before)), Ok(Some(after))) => before == after,
        // A thread ended while it was looked at.
        _ => false,
    }
}

/// Whether a process's first thread sleeps where an actor waits for what it is to do next.
pub fn awaits_orders(process: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/{process}/syscall")).unwrap_or_default();
    call.split(' ').next().and_then(|number| number.parse().ok()) == Some(libc::SYS_read)
}

/// All threads of them; None if one is not asleep.
fn sleepers(processes: &[i32]) -> io::Result<Option<Vec<Sleeper>>> {
    let mut all = Vec::new();
    for process in processes {
        let first = status(Path::new(&format!("/proc/{process}")))?;
        if number(&first, "Threads:") == 1 {
            all.push(sleeper(&first));
            continue;
        }
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            all.push(sleeper(&status(&thread?.path())?));
        }
    }
    Ok(all.into_iter().collect())
}

/// In one read: each has the kernel write it anew.
fn status(of: &Path) -> io::Result<String> {
    let mut text = vec![0; 16384];
    let length = fs::File::open(of.join("status"))?.read(&mut text)?;
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn sleeper(status: &str) -> Option<Sleeper> {
    let switches = |kind: &str| number(status, &format!("{kind}_ctxt_switches:"));
    let is_asleep = field(status, "State:").starts_with('S');
    is_asleep.then(|| (number(status, "Pid:"), switches("voluntary"), switches("nonvoluntary")))
}

fn number(status: &str, name: &str) -> u64 {
    field(status, name).parse().unwrap_or(0)
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}
