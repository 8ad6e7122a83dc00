//! The structs and constants of the header, and how they become the machinery's.

use crate::boundary::mqrs_queue;
use crate::sized::{Elements, SizedStruct, read};
use libc::size_t;
use mqueue_core::attr::{self, capability, option, transport};
use mqueue_core::deadline;
use mqueue_core::error::Result;
use mqueue_core::message;
use mqueue_core::queue::how;
use mqueue_core::report::say;
use mqueue_core::wait_many::event;
use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};

/// Which transport carries a queue.
#[repr(C)]
pub enum mqrs_constants_transport {
    /// All of them; only for lists.
    MQRS_ANY = 0,
    /// Shared memory, the library's own: "/name" and "shm:/name".
    MQRS_SHM = 1,
    /// The kernel's POSIX queues: "posix:/name".
    MQRS_POSIX = 2,
    /// The kernel's System V queues: "sysv:KEY".
    MQRS_SYSV = 3,
    /// An external broker: "amqp://...".
    MQRS_AMQP = 4,
}

/// Timeouts that are not a number of nanoseconds.
#[repr(C)]
pub enum mqrs_constants_timeout {
    /// Wait until it is done.
    MQRS_FOREVER = -1,
    /// Do it at once or not at all.
    MQRS_NOWAIT = 0,
}

/// Priorities go from 0 to this.
#[repr(C)]
pub enum mqrs_constants_priority {
    /// The most urgent.
    MQRS_PRIO_MAX = 32767,
}

/// Option flags of mqrs_open and mqrs_open_fd.
///
/// MQRS_OPT_RESTART is the handle's. The others say how a queue is made, and mean nothing for
/// one that exists. The last three are for queues in shared memory; a queue of the kernel's
/// cannot be made so: with O_CREAT, -ENOTSUP.
#[repr(C)]
pub enum mqrs_constants_option {
    /// The mode is not masked by umask; mode 0 is then really 0.
    MQRS_OPT_EXACT_MODE = 1,
    /// Waits of this handle go on after any signal handler, SA_RESTART or not.
    MQRS_OPT_RESTART = 2,
    /// The queue is gone when its last user closes it or dies; see mqrs_close.
    MQRS_OPT_EPHEMERAL = 4,
    /// Each message says who sent it and when, and mqrs_getstats who used the queue last.
    MQRS_OPT_STAMP = 8,
    /// Messages that a process had acquired when it died, or was receiving, are sent again.
    MQRS_OPT_REDELIVER = 16,
}

/// Flags of mqrs_sendmsg.
#[repr(C)]
pub enum mqrs_constants_send {
    /// System V: the message gets the type in `type`, not one made from its priority.
    MQRS_SEND_TYPE = 1,
    /// A full queue drops the oldest message of its lowest priority instead of waiting.
    MQRS_SEND_DROP_OLDEST = 2,
}

/// Flags of mqrs_recvmsg.
#[repr(C)]
pub enum mqrs_constants_receive {
    /// Look at a message and leave it where it is.
    MQRS_RECV_PEEK = 1,
    /// Cut a message that is longer than the buffer, and tell its full length.
    MQRS_RECV_TRUNCATE = 2,
    /// System V: `type` selects the message, as in msgrcv(2).
    MQRS_RECV_TYPE = 4,
    /// With MQRS_RECV_TYPE and a type above 0: the first message of any other type.
    MQRS_RECV_EXCEPT = 8,
}

/// States of a message received: mqrs_msg.state.
#[repr(C)]
pub enum mqrs_constants_message {
    /// It was received before, and given back by mqrs_requeue or left by a dead process.
    MQRS_MSG_REDELIVERED = 1,
}

/// What to wait for by mqrs_wait.
#[repr(C)]
pub enum mqrs_constants_event {
    /// A receive would not wait.
    MQRS_READABLE = 1,
    /// A send would not wait.
    MQRS_WRITABLE = 2,
}

/// Flags of mqrs_notify_signal and mqrs_notify_callback.
#[repr(C)]
pub enum mqrs_constants_notify {
    /// It stays registered until it is cancelled; without, it is used up by one message.
    MQRS_NOTIFY_PERSISTENT = 1,
    /// It fires at once if messages are waiting already.
    MQRS_NOTIFY_NOW = 2,
}

/// What a queue can do: bits of mqrs_attr.capabilities, one for each thing that some
/// transport, or some version of this library, cannot do.
#[repr(C)]
pub enum mqrs_constants_capability {
    /// A descriptor for poll.
    MQRS_CAP_FD = 1,
    /// Notification by signal and by callback.
    MQRS_CAP_NOTIFY = 2,
    /// Message types, and receiving by type.
    MQRS_CAP_TYPES = 4,
    /// A receive buffer may be smaller than msgsize as long as the message fits.
    MQRS_CAP_SMALL_BUFFER = 8,
    /// Sending and receiving in place.
    MQRS_CAP_ZERO_COPY = 16,
    /// Looking at messages without taking them.
    MQRS_CAP_PEEK = 32,
    /// Shutdown of a whole queue.
    MQRS_CAP_SHUTDOWN = 64,
    /// Counters.
    MQRS_CAP_STATS = 128,
    /// Notification that stays registered.
    MQRS_CAP_PERSISTENT_NOTIFY = 256,
    /// A send to a full queue may drop the oldest message instead.
    MQRS_CAP_DROP_OLDEST = 512,
    /// The sender of each message.
    MQRS_CAP_SENDER = 1024,
}

/// A message with everything that can be said of it. What a call does not name it leaves
/// alone on the way in and sets on the way out; what is not known is 0.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct mqrs_msg {
    /// Sending: the message. Receiving: where it goes.
    pub data: *mut c_void,
    /// Sending: its length. Receiving: out, its length.
    pub len: size_t,
    /// Receiving: room at data.
    pub cap: size_t,
    /// Must be 0.
    #[cfg(target_pointer_width = "32")]
    pub pad: u32,
    /// Its priority; peeking, in: that of the message looked at last.
    pub prio: u32,
    /// Out: the sender's process.
    pub sender_pid: u32,
    /// Out: the sender's user.
    pub sender_uid: u32,
    /// Out: MQRS_MSG_REDELIVERED or 0.
    pub state: u32,
    /// System V type: of the message, or what selects it.
    pub r#type: i64,
    /// Out: its number in the queue, from 1; peeking, in: that of the message looked at
    /// last. System V: its place in the order of arrival.
    pub sequence: u64,
    /// Out: when it was sent, on CLOCK_MONOTONIC_COARSE, in nanoseconds.
    pub sent_ns: i64,
}

impl Default for mqrs_msg {
    fn default() -> mqrs_msg {
        mqrs_msg {
            data: std::ptr::null_mut(),
            len: 0,
            cap: 0,
            #[cfg(target_pointer_width = "32")]
            pad: 0,
            prio: 0,
            sender_pid: 0,
            sender_uid: 0,
            state: 0,
            r#type: 0,
            sequence: 0,
            sent_ns: 0,
        }
    }
}

/// How mqrs_open makes a queue. Zero means the default, in every field.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_options {
    /// MQRS_OPT_... flags.
    pub flags: u64,
    /// Most messages that the queue holds. 0: 64 in shared memory, up to at least 1,000,000;
    /// POSIX: what the kernel says. System V: ignored, see mqrs_set_maxbytes.
    pub maxmsg: u64,
    /// Most bytes in one message. 0: 8192 in shared memory, up to at least 1 GiB; POSIX: what
    /// the kernel says. System V: ignored.
    pub msgsize: u64,
    /// Permissions of a new queue (bits 0777); 0: 0600. Masked by umask, as in mq_open, but
    /// not for System V, as in msgget.
    pub mode: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// What a queue is, and what it holds at the moment.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_attr {
    /// MQRS_SHM, MQRS_POSIX, ...
    pub transport: u32,
    /// O_RDONLY, O_WRONLY or O_RDWR of this handle, and O_NONBLOCK.
    pub flags: u32,
    /// Most messages that the queue holds. System V: most bytes in them all.
    pub maxmsg: u64,
    /// Most bytes in one message.
    pub msgsize: u64,
    /// Messages queued: exact at one instant of the call.
    pub curmsgs: u64,
    /// Bytes queued: an estimate while others send and receive. POSIX: 0 where the handle
    /// cannot receive.
    pub curbytes: u64,
    /// Permissions.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// 0.
    pub reserved: u32,
    /// MQRS_CAP_... bits.
    pub capabilities: u64,
}

/// What a transport allows, on this machine and now. 0 means no limit.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_limits {
    /// 0, or the errno (positive) why the transport does not work here.
    pub unavailable: i32,
    /// 0.
    pub reserved: u32,
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
    /// Most bytes in all queues. POSIX: RLIMIT_MSGQUEUE, for all queues of a user.
    pub bytes_max: u64,
    /// Highest priority.
    pub prio_max: u64,
}

/// What a queue has seen. A number that its transport does not keep is 0.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct mqrs_stats {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages dropped to make room.
    pub dropped: u64,
    /// Times that something was repaired after a process died.
    pub recoveries: u64,
    /// Most messages queued at one time.
    pub max_curmsgs: u64,
    /// Sends that wait for room.
    pub blocked_senders: u32,
    /// Receives that wait for a message.
    pub blocked_receivers: u32,
    /// Handles that are open.
    pub users: u32,
    /// 0.
    pub reserved: u32,
    /// Process that sent last.
    pub last_send_pid: u32,
    /// Process that received last.
    pub last_receive_pid: u32,
    /// When it sent, on CLOCK_REALTIME, in nanoseconds. System V: whole seconds.
    pub last_send_ns: i64,
    /// When it received, likewise.
    pub last_receive_ns: i64,
}

/// One queue of a wait for several.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct mqrs_wait_item {
    /// The queue, or NULL for none.
    pub queue: *mut mqrs_queue,
    /// MQRS_READABLE | MQRS_WRITABLE: what to wait for.
    pub events: u32,
    /// Out: what is ready of that.
    pub revents: u32,
}

impl Default for mqrs_wait_item {
    fn default() -> mqrs_wait_item {
        mqrs_wait_item { queue: std::ptr::null_mut(), events: 0, revents: 0 }
    }
}

/// One queue of a list.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct mqrs_entry {
    /// Its full address, NUL-terminated: good for mqrs_open and mqrs_unlink.
    pub name: [c_char; 264],
    /// What it is. Of a queue that the caller may not open, only the transport.
    pub attr: mqrs_attr,
}

impl Default for mqrs_entry {
    fn default() -> mqrs_entry {
        mqrs_entry { name: [0; 264], attr: mqrs_attr::default() }
    }
}

// The header is a promise: a change here breaks programs that are compiled already.
const _: () = {
    assert!(size_of::<mqrs_options>() == 32);
    assert!(offset_of!(mqrs_options, flags) == 0);
    assert!(offset_of!(mqrs_options, maxmsg) == 8);
    assert!(offset_of!(mqrs_options, msgsize) == 16);
    assert!(offset_of!(mqrs_options, mode) == 24);
    assert!(offset_of!(mqrs_options, reserved) == 28);

    assert!(size_of::<mqrs_attr>() == 64);
    assert!(offset_of!(mqrs_attr, transport) == 0);
    assert!(offset_of!(mqrs_attr, flags) == 4);
    assert!(offset_of!(mqrs_attr, maxmsg) == 8);
    assert!(offset_of!(mqrs_attr, msgsize) == 16);
    assert!(offset_of!(mqrs_attr, curmsgs) == 24);
    assert!(offset_of!(mqrs_attr, curbytes) == 32);
    assert!(offset_of!(mqrs_attr, mode) == 40);
    assert!(offset_of!(mqrs_attr, uid) == 44);
    assert!(offset_of!(mqrs_attr, gid) == 48);
    assert!(offset_of!(mqrs_attr, reserved) == 52);
    assert!(offset_of!(mqrs_attr, capabilities) == 56);

    assert!(size_of::<mqrs_limits>() == 64);
    assert!(offset_of!(mqrs_limits, unavailable) == 0);
    assert!(offset_of!(mqrs_limits, reserved) == 4);
    assert!(offset_of!(mqrs_limits, maxmsg_default) == 8);
    assert!(offset_of!(mqrs_limits, maxmsg_max) == 16);
    assert!(offset_of!(mqrs_limits, msgsize_default) == 24);
    assert!(offset_of!(mqrs_limits, msgsize_max) == 32);
    assert!(offset_of!(mqrs_limits, queues_max) == 40);
    assert!(offset_of!(mqrs_limits, bytes_max) == 48);
    assert!(offset_of!(mqrs_limits, prio_max) == 56);
};

const _: () = {
    /// Pointer and two sizes, filled up to whole eights.
    const HEAD: usize = (3 * size_of::<usize>()).next_multiple_of(8);
    assert!(size_of::<mqrs_msg>() == HEAD + 40);
    assert!(offset_of!(mqrs_msg, data) == 0);
    assert!(offset_of!(mqrs_msg, len) == size_of::<usize>());
    assert!(offset_of!(mqrs_msg, cap) == 2 * size_of::<usize>());
    assert!(offset_of!(mqrs_msg, prio) == HEAD);
    assert!(offset_of!(mqrs_msg, sender_pid) == HEAD + 4);
    assert!(offset_of!(mqrs_msg, sender_uid) == HEAD + 8);
    assert!(offset_of!(mqrs_msg, state) == HEAD + 12);
    assert!(offset_of!(mqrs_msg, r#type) == HEAD + 16);
    assert!(offset_of!(mqrs_msg, sequence) == HEAD + 24);
    assert!(offset_of!(mqrs_msg, sent_ns) == HEAD + 32);

    assert!(size_of::<mqrs_stats>() == 80);
    assert!(offset_of!(mqrs_stats, sent) == 0);
    assert!(offset_of!(mqrs_stats, received) == 8);
    assert!(offset_of!(mqrs_stats, dropped) == 16);
    assert!(offset_of!(mqrs_stats, recoveries) == 24);
    assert!(offset_of!(mqrs_stats, max_curmsgs) == 32);
    assert!(offset_of!(mqrs_stats, blocked_senders) == 40);
    assert!(offset_of!(mqrs_stats, blocked_receivers) == 44);
    assert!(offset_of!(mqrs_stats, users) == 48);
    assert!(offset_of!(mqrs_stats, reserved) == 52);
    assert!(offset_of!(mqrs_stats, last_send_pid) == 56);
    assert!(offset_of!(mqrs_stats, last_receive_pid) == 60);
    assert!(offset_of!(mqrs_stats, last_send_ns) == 64);
    assert!(offset_of!(mqrs_stats, last_receive_ns) == 72);

    assert!(size_of::<mqrs_wait_item>() == size_of::<usize>() + 8);
    assert!(offset_of!(mqrs_wait_item, queue) == 0);
    assert!(offset_of!(mqrs_wait_item, events) == size_of::<usize>());
    assert!(offset_of!(mqrs_wait_item, revents) == size_of::<usize>() + 4);

    assert!(size_of::<mqrs_entry>() == 328);
    assert!(offset_of!(mqrs_entry, name) == 0);
    assert!(offset_of!(mqrs_entry, attr) == 264);
};

// The header's constants are literals; the machinery has the same values.
const _: () = {
    use mqrs_constants_capability::*;
    use mqrs_constants_event::*;
    use mqrs_constants_message::*;
    use mqrs_constants_notify::*;
    use mqrs_constants_option::*;
    use mqrs_constants_priority::*;
    use mqrs_constants_receive::*;
    use mqrs_constants_send::*;
    use mqrs_constants_timeout::*;
    use mqrs_constants_transport::*;

    assert!(MQRS_ANY as u32 == transport::ANY);
    assert!(MQRS_SHM as u32 == transport::SHM);
    assert!(MQRS_POSIX as u32 == transport::POSIX);
    assert!(MQRS_SYSV as u32 == transport::SYSV);
    assert!(MQRS_AMQP as u32 == transport::AMQP);

    assert!(MQRS_FOREVER as i64 == deadline::FOREVER);
    assert!(MQRS_NOWAIT as i64 == deadline::NOWAIT);
    assert!(MQRS_PRIO_MAX as u32 == attr::PRIO_MAX);

    assert!(MQRS_OPT_EXACT_MODE as u64 == option::EXACT_MODE);
    assert!(MQRS_OPT_RESTART as u64 == option::RESTART);
    assert!(MQRS_OPT_EPHEMERAL as u64 == option::EPHEMERAL);
    assert!(MQRS_OPT_STAMP as u64 == option::STAMP);
    assert!(MQRS_OPT_REDELIVER as u64 == option::REDELIVER);

    assert!(MQRS_MSG_REDELIVERED as u32 == message::state::REDELIVERED);
    assert!(MQRS_READABLE as u32 == event::READABLE);
    assert!(MQRS_WRITABLE as u32 == event::WRITABLE);
    assert!(MQRS_NOTIFY_PERSISTENT as u64 == how::PERSISTENT);
    assert!(MQRS_NOTIFY_NOW as u64 == how::NOW);

    assert!(MQRS_SEND_TYPE as u64 == message::send::TYPE);
    assert!(MQRS_SEND_DROP_OLDEST as u64 == message::send::DROP_OLDEST);
    assert!(MQRS_RECV_PEEK as u64 == message::receive::PEEK);
    assert!(MQRS_RECV_TRUNCATE as u64 == message::receive::TRUNCATE);
    assert!(MQRS_RECV_TYPE as u64 == message::receive::TYPE);
    assert!(MQRS_RECV_EXCEPT as u64 == message::receive::EXCEPT);

    assert!(MQRS_CAP_FD as u64 == capability::FD);
    assert!(MQRS_CAP_NOTIFY as u64 == capability::NOTIFY);
    assert!(MQRS_CAP_TYPES as u64 == capability::TYPES);
    assert!(MQRS_CAP_SMALL_BUFFER as u64 == capability::SMALL_BUFFER);
    assert!(MQRS_CAP_ZERO_COPY as u64 == capability::ZERO_COPY);
    assert!(MQRS_CAP_PEEK as u64 == capability::PEEK);
    assert!(MQRS_CAP_SHUTDOWN as u64 == capability::SHUTDOWN);
    assert!(MQRS_CAP_STATS as u64 == capability::STATS);
    assert!(MQRS_CAP_PERSISTENT_NOTIFY as u64 == capability::PERSISTENT_NOTIFY);
    assert!(MQRS_CAP_DROP_OLDEST as u64 == capability::DROP_OLDEST);
    assert!(MQRS_CAP_SENDER as u64 == capability::SENDER);
};

// SAFETY: integers without padding, as the assertions on offsets and sizes show.
unsafe impl SizedStruct for mqrs_options {
    const NAME: &str = "mqrs_options";
    const FIRST_SIZE: usize = 32;
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_attr {
    const NAME: &str = "mqrs_attr";
    const FIRST_SIZE: usize = 64;
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_limits {
    const NAME: &str = "mqrs_limits";
    const FIRST_SIZE: usize = 64;
}

// SAFETY: integers, and a pointer that any bits make, without padding.
unsafe impl SizedStruct for mqrs_msg {
    const NAME: &str = "mqrs_msg";
    const FIRST_SIZE: usize = size_of::<mqrs_msg>();
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_wait_item {
    const NAME: &str = "mqrs_wait_item";
    const FIRST_SIZE: usize = size_of::<mqrs_wait_item>();
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_stats {
    const NAME: &str = "mqrs_stats";
    const FIRST_SIZE: usize = 80;
}

// SAFETY: as above.
unsafe impl SizedStruct for mqrs_entry {
    const NAME: &str = "mqrs_entry";
    const FIRST_SIZE: usize = 328;
}

/// Refuse option bits that this version does not know.
pub(crate) fn check_option_flags(flags: u64) -> Result<()> {
    if flags & !option::ALL != 0 {
        return Err(say(
            libc::EINVAL,
            "the option flags have a bit that this library does not know",
        ));
    }
    Ok(())
}

/// Refuse flags other than the known ones.
pub(crate) fn check_flags(flags: u64, known: u64) -> Result<()> {
    if flags & !known != 0 {
        return Err(say(libc::EINVAL, "the flags have a bit that this library does not know"));
    }
    Ok(())
}

/// The options of an open call.
///
/// # Safety
/// `from` is null or readable for `size` bytes, where `size` is at most 4096.
pub(crate) unsafe fn read_options(
    from: *const mqrs_options,
    size: usize,
) -> Result<attr::OpenOptions> {
    let options = if from.is_null() && size == 0 {
        mqrs_options::default()
    } else {
        // SAFETY: the caller's promise.
        unsafe { read(from, size) }?
    };
    check_option_flags(options.flags)?;
    if options.reserved != 0 {
        return Err(say(libc::EINVAL, "the reserved field of struct mqrs_options is not 0"));
    }
    Ok(attr::OpenOptions {
        flags: options.flags,
        maxmsg: options.maxmsg,
        msgsize: options.msgsize,
        mode: options.mode,
    })
}

/// A message in the general form.
///
/// # Safety
/// `from` is null or readable for `size` bytes, where `size` is at most 4096.
pub(crate) unsafe fn read_message(from: *const mqrs_msg, size: usize) -> Result<mqrs_msg> {
    // SAFETY: the caller's promise.
    checked(unsafe { read(from, size) }?)
}

/// Check one of several.
///
/// # Safety
/// `number` is below the count.
#[inline]
pub(crate) unsafe fn check_one_of(v: &Elements<mqrs_msg>, number: usize) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe {
        v.check(number)?;
        #[cfg(target_pointer_width = "32")]
        checked(v.in_place(number).read_unaligned())?;
    }
    Ok(())
}

fn checked(message: mqrs_msg) -> Result<mqrs_msg> {
    #[cfg(target_pointer_width = "32")]
    if message.pad != 0 {
        return Err(say(libc::EINVAL, "the pad field of struct mqrs_msg is not 0"));
    }
    Ok(message)
}

impl From<attr::Attr> for mqrs_attr {
    fn from(attr: attr::Attr) -> mqrs_attr {
        mqrs_attr {
            transport: attr.transport,
            flags: attr.flags,
            maxmsg: attr.maxmsg,
            msgsize: attr.msgsize,
            curmsgs: attr.curmsgs,
            curbytes: attr.curbytes,
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            reserved: 0,
            capabilities: attr.capabilities,
        }
    }
}

impl From<attr::Stats> for mqrs_stats {
    fn from(stats: attr::Stats) -> mqrs_stats {
        mqrs_stats {
            sent: stats.sent,
            received: stats.received,
            dropped: stats.dropped,
            recoveries: stats.recoveries,
            max_curmsgs: stats.max_curmsgs,
            blocked_senders: stats.blocked_senders,
            blocked_receivers: stats.blocked_receivers,
            users: stats.users,
            reserved: 0,
            last_send_pid: stats.last_send_pid,
            last_receive_pid: stats.last_receive_pid,
            last_send_ns: stats.last_send_ns,
            last_receive_ns: stats.last_receive_ns,
        }
    }
}

impl From<attr::Limits> for mqrs_limits {
    fn from(limits: attr::Limits) -> mqrs_limits {
        mqrs_limits {
            unavailable: limits.unavailable,
            reserved: 0,
            maxmsg_default: limits.maxmsg_default,
            maxmsg_max: limits.maxmsg_max,
            msgsize_default: limits.msgsize_default,
            msgsize_max: limits.msgsize_max,
            queues_max: limits.queues_max,
            bytes_max: limits.bytes_max,
            prio_max: limits.prio_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqueue_core::error::Errno;

    fn options(options: &mqrs_options) -> Result<attr::OpenOptions> {
        // SAFETY: a whole struct.
        unsafe { read_options(options, size_of::<mqrs_options>()) }
    }

    #[test]
    fn no_options_are_the_default_ones() {
        // SAFETY: null is allowed.
        let none = unsafe { read_options(std::ptr::null(), 0) };

        assert_eq!(none, Ok(attr::OpenOptions::default()));
        assert_eq!(options(&mqrs_options::default()), Ok(attr::OpenOptions::default()));
    }

    #[test]
    fn options_arrive_each_in_its_place() {
        let given = mqrs_options { flags: 3, maxmsg: 4, msgsize: 5, mode: 6, reserved: 0 };

        let arrived = attr::OpenOptions { flags: 3, maxmsg: 4, msgsize: 5, mode: 6 };
        assert_eq!(options(&given), Ok(arrived));
    }

    #[test]
    fn unknown_option_bits_and_reserved_fields_are_refused() {
        for bit in 5..64 {
            let given = mqrs_options { flags: 1 << bit, ..Default::default() };
            assert_eq!(options(&given), Err(Errno(libc::EINVAL)), "bit {bit}");
        }
        let given = mqrs_options { reserved: 1, ..Default::default() };
        assert_eq!(options(&given), Err(Errno(libc::EINVAL)));
    }

    #[test]
    fn options_without_a_pointer_and_without_a_size_belong_together() {
        let given = mqrs_options::default();
        // SAFETY: null, or a whole struct.
        unsafe {
            assert_eq!(read_options(std::ptr::null(), 32), Err(Errno(libc::EFAULT)));
            assert_eq!(read_options(&given, 0), Err(Errno(libc::EINVAL)));
        }
    }
}
