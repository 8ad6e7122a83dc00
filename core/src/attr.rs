//! What a queue is asked to be and what it is: plain values.

#![forbid(unsafe_code)]

/// Transport numbers, as the C header has them.
pub mod transport {
    /// Every transport (lists only).
    pub const ANY: u32 = 0;
    /// Shared memory of our own.
    pub const SHM: u32 = 1;
    /// The kernel's POSIX queues.
    pub const POSIX: u32 = 2;
    /// The kernel's System V queues.
    pub const SYSV: u32 = 3;
    /// An external broker.
    pub const AMQP: u32 = 4;
}

/// Option flags of an open call.
pub mod option {
    /// The mode is not masked by umask, and mode 0 means no permission at all.
    pub const EXACT_MODE: u64 = 1;
    /// Waits of this handle go on after a signal handler ran.
    pub const RESTART: u64 = 2;
    /// Shared memory, at creation: the queue goes with its last user.
    pub const EPHEMERAL: u64 = 4;
    /// Shared memory, at creation: each message says who sent it and when.
    pub const STAMP: u64 = 8;
    /// Shared memory, at creation: what a dead process had acquired is sent again.
    pub const REDELIVER: u64 = 16;
    /// What a queue keeps from its creation on.
    pub const KEPT: u64 = EPHEMERAL | STAMP | REDELIVER;
    /// All of them.
    pub const ALL: u64 = EXACT_MODE | RESTART | KEPT;
}

/// One bit for each thing that some transport cannot do.
pub mod capability {
    /// A descriptor for poll.
    pub const FD: u64 = 1;
    /// Notification by signal and callback.
    pub const NOTIFY: u64 = 2;
    /// Message types and selection.
    pub const TYPES: u64 = 4;
    /// A receive buffer may be smaller than msgsize.
    pub const SMALL_BUFFER: u64 = 8;
    /// Sending and receiving in place.
    pub const ZERO_COPY: u64 = 16;
    /// Looking at messages without taking them.
    pub const PEEK: u64 = 32;
    /// Queue-wide shutdown.
    pub const SHUTDOWN: u64 = 64;
    /// Counters.
    pub const STATS: u64 = 128;
    /// Notification that stays registered.
    pub const PERSISTENT_NOTIFY: u64 = 256;
    /// A full queue may drop its oldest message.
    pub const DROP_OLDEST: u64 = 512;
    /// Sender's identity with each message.
    pub const SENDER: u64 = 1024;
}

/// Highest priority of a message.
pub const PRIO_MAX: u32 = 32767;

/// What an open call asks for; zero fields mean the default.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct OpenOptions {
    /// Bits of [`option`].
    pub flags: u64,
    /// Most messages the queue may hold (0: 64).
    pub maxmsg: u64,
    /// Most bytes in a message (0: 8192).
    pub msgsize: u64,
    /// Permission bits of a new queue (0: 0600, unless `EXACT_MODE`).
    pub mode: u32,
}

impl OpenOptions {
    /// Whether the mode is to be as it is, whatever umask says.
    pub fn is_exact(&self) -> bool {
        self.flags & option::EXACT_MODE != 0
    }

    /// The permission bits of a new queue, not yet masked.
    pub fn permissions(&self) -> u32 {
        if self.mode == 0 && !self.is_exact() { 0o600 } else { self.mode & 0o777 }
    }
}

/// What a queue is at this moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Number of [`transport`].
    pub transport: u32,
    /// `O_ACCMODE | O_NONBLOCK` of this handle.
    pub flags: u32,
    /// Most messages the queue may hold.
    pub maxmsg: u64,
    /// Most bytes in a message.
    pub msgsize: u64,
    /// Messages queued, exact at one instant of the call.
    pub curmsgs: u64,
    /// Bytes queued, an estimate while others send and receive.
    pub curbytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Bits of [`capability`].
    pub capabilities: u64,
}

/// What a transport allows on this machine now; 0 means no limit.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Limits {
    /// 0, or the errno why the transport does not work here.
    pub unavailable: i32,
    /// maxmsg of a queue that asks for none.
    pub maxmsg_default: u64,
    /// Largest maxmsg.
    pub maxmsg_max: u64,
    /// msgsize of a queue that asks for none.
    pub msgsize_default: u64,
    /// Largest msgsize.
    pub msgsize_max: u64,
    /// Most queues.
    pub queues_max: u64,
    /// Most bytes in all.
    pub bytes_max: u64,
    /// Highest priority.
    pub prio_max: u64,
}

/// What a queue has seen; 0 where its transport does not know.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages dropped to make room.
    pub dropped: u64,
    /// Times that something was repaired after a death.
    pub recoveries: u64,
    /// Most messages queued at one time.
    pub max_curmsgs: u64,
    /// Sends that wait.
    pub blocked_senders: u32,
    /// Receives that wait.
    pub blocked_receivers: u32,
    /// Handles.
    pub users: u32,
    /// Process of the last send.
    pub last_send_pid: u32,
    /// Process of the last receive.
    pub last_receive_pid: u32,
    /// Time of the last send, on CLOCK_REALTIME.
    pub last_send_ns: i64,
    /// Time of the last receive, on CLOCK_REALTIME.
    pub last_receive_ns: i64,
}
