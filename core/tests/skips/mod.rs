//! What cannot be tested on this machine, by name: a line on standard output and in the file
//! that `MQRS_SKIP_LOG` names, for `tools/report-skips`.

use std::io::Write as _;

/// Say that something cannot be tested here.
pub fn skip(name: &str, reason: &str) {
    let line = format!("SKIP {name}: {reason}\n");
    print!("{line}");
    let Some(path) = std::env::var_os("MQRS_SKIP_LOG") else { return };
    let mut log = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a log");
    // At once: others write there, too.
    log.write_all(line.as_bytes()).expect("room for the log");
}
