//! A process that uses the kernel's queues without this library.
//!
//! It reads lines and answers each with a line, so that one program serves every case:
//!
//! ```text
//!                               POSIX: the program is started with NAME
//! create MAXMSG MSGSIZE         make the queue, and open it
//! open MAXMSG MSGSIZE           open it; the sizes are for those that must know them
//! adopt FD                      use an inherited descriptor
//! send PRIORITY WAIT MESSAGE
//! receive 0 WAIT                ok PRIORITY MESSAGE; the priority is "?" where it is not told
//! attributes                    ok MAXMSG MSGSIZE CURMSGS
//! poll                          ok READABLE WRITABLE
//! nonblock 0|1                  switch waiting
//! notify                        register for a signal
//! notified                      wait for it: ok IS_SI_MESGQ PID VALUE
//! unlink, close
//! put_object, get_object        of Python, with ipcqueue alone: ok OBJECT; also for System V
//!                               System V: the program is started with KEY
//! create, open
//! adopt ID
//! send TYPE WAIT MESSAGE
//! receive SELECTOR WAIT         ok TYPE MESSAGE
//! take SELECTOR CAPACITY FLAGS  receive without waiting; FLAGS are n, x, c as for msgrcv
//! attributes                    ok MESSAGES MOST_BYTES LAST_SENDER LAST_RECEIVER MODE
//! bytes MOST                    change msg_qbytes
//! remove
//! ```
//!
//! WAIT is `forever`, `now` or a number of milliseconds. A message is hexadecimal, "-" if it is
//! empty. Beside `ok` there are `busy` (full or empty, and no time left), `gone` (removed) and
//! `error ERRNO`.

use crate::program::Program;
use std::ffi::c_long;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a peer said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Ok(Vec<String>),
    Busy,
    Gone,
    Error(i32),
}

/// A message as a peer gets it: its priority or type, where it is told, and its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Got {
    pub label: Option<i64>,
    pub bytes: Vec<u8>,
}

/// A running peer; it ends with this value or with the thread that started it.
pub struct Peer {
    program: &'static Program,
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(program: &'static Program, mut command: Command) -> Peer {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: prctl is a system call that changes nothing in memory.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let to = process.stdin.take().expect("it was piped");
        let from = BufReader::new(process.stdout.take().expect("it was piped"));
        Peer { program, process, to, from }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Give it a line without waiting for the answer.
    pub fn say(&mut self, line: &str) {
        writeln!(self.to, "{line}").expect("the peer reads");
    }

    /// Its next answer.
    pub fn hear(&mut self) -> Answer {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the peer writes text");
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("ok") => Answer::Ok(words.collect()),
            Some("busy") => Answer::Busy,
            Some("gone") => Answer::Gone,
            Some("error") => {
                let errno = words.next().and_then(|word| word.parse().ok());
                Answer::Error(errno.expect("an errno is a number"))
            }
            _ => panic!("{} answered '{}'", self.program.name, line.trim_end()),
        }
    }

    pub fn ask(&mut self, line: &str) -> Answer {
        self.say(line);
        self.hear()
    }

    /// Have it do something that must succeed; gives what it told.
    #[track_caller]
    pub fn must(&mut self, line: &str) -> Vec<String> {
        match self.ask(line) {
            Answer::Ok(words) => words,
            other => panic!("{}: '{line}' gave {other:?}", self.program.name),
        }
    }

    /// As `must`, for numbers.
    #[track_caller]
    pub fn numbers(&mut self, line: &str) -> Vec<i64> {
        self.must(line).iter().map(|word| word.parse().expect("a number")).collect()
    }

    /// Have it send a message, of a priority or type, without waiting.
    #[track_caller]
    pub fn send(&mut self, label: i64, message: &[u8]) {
        self.must(&format!("send {label} now {}", word_of(message)));
    }

    /// Have it receive a message without waiting.
    #[track_caller]
    pub fn receive(&mut self, selector: i64) -> Got {
        got(self.ask(&format!("receive {selector} now")))
    }

    /// Have it receive without waiting, and compare as far as it tells.
    #[track_caller]
    pub fn expect(&mut self, selector: i64, label: i64, message: &[u8]) {
        let found = self.receive(selector);
        assert_eq!(found, self.as_told(label, message));
    }

    /// What it gets to know of a message.
    pub fn as_told(&self, label: i64, message: &[u8]) -> Got {
        Got { label: self.program.tells_labels.then_some(label), bytes: message.to_vec() }
    }

    /// Wait until it sleeps in a call that is not the one that reads its next line.
    pub fn wait_until_asleep(&self) {
        let pid = self.pid();
        wait_until_asleep(&format!("/proc/{pid}"), |call| call != self.program.read);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
pub fn got(answer: Answer) -> Got {
    let Answer::Ok(words) = answer else { panic!("no message but {answer:?}") };
    let [label, message] = &words[..] else { panic!("not a message: {words:?}") };
    Got { label: label.parse().ok(), bytes: message_of(message) }
}

/// Wait until a task, given by its directory, sleeps in a system call; or has ended.
pub fn wait_until_asleep(task: &str, is_wait: impl Fn(c_long) -> bool) {
    let file = format!("{task}/syscall");
    loop {
        // "running", or the number of the call and its arguments; -1 outside of one.
        let Ok(text) = fs::read_to_string(&file) else { return };
        let call = text.split_whitespace().next().and_then(|word| word.parse::<c_long>().ok());
        if call.is_some_and(|call| call >= 0 && is_wait(call)) || text.is_empty() {
            return;
        }
        std::thread::yield_now();
    }
}

pub fn word_of(message: &[u8]) -> String {
    if message.is_empty() {
        return "-".to_owned();
    }
    message.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn message_of(word: &str) -> Vec<u8> {
    if word == "-" {
        return Vec::new();
    }
    let digits: Vec<u32> =
        word.chars().map(|digit| digit.to_digit(16).expect("hexadecimal")).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
