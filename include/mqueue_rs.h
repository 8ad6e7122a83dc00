/*
 * mqueue_rs: message queues between processes on Linux
 *
 * This file is generated from the library's sources. SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * WHAT A QUEUE IS
 *
 * A queue holds messages, each a string of bytes with a priority, until a process receives
 * them. Processes that have nothing in common but the queue's name send and receive, many at
 * a time. A message is received once, by one receiver, whole: never cut, never merged. The
 * highest priority comes first; messages of one priority come in the order in which they were
 * sent. A send that finds the queue full waits for room, a receive that finds it empty waits
 * for a message.
 *
 * It is the model of POSIX message queues (mq_overview(7)), without their limits on depth and
 * size and without a system call for each message: a queue lives in shared memory. The queues
 * that the kernel has, POSIX and System V, are used by the same functions: the address decides.
 *
 * EXAMPLE
 *
 *     #include <fcntl.h>
 *     #include <stdio.h>
 *     #include <mqueue_rs.h>
 *
 *     int main(void)
 *     {
 *         mqrs_queue *q;
 *         char buf[8192];
 *         uint32_t prio;
 *         ssize_t len;
 *         int err = mqrs_open("/example", O_RDWR | O_CREAT, NULL, 0, &q);
 *
 *         if (err < 0) {
 *             char why[256];
 *             mqrs_last_error(why, sizeof why);
 *             fprintf(stderr, "%s: %s\n", mqrs_errname(err), why);
 *             return 1;
 *         }
 *         mqrs_send(q, "later", 5, 0);
 *         mqrs_send(q, "first", 5, 7);
 *         len = mqrs_receive(q, buf, sizeof buf, &prio);
 *         if (len >= 0)
 *             printf("%.*s, priority %u\n", (int)len, buf, (unsigned)prio);
 *         mqrs_close(q);
 *         mqrs_unlink("/example");
 *         return len == 5 ? 0 : 1;
 *     }
 *
 * prints "first, priority 7". Compile it with
 *
 *     cc example.c $(pkg-config --cflags --libs mqueue_rs)
 *
 * ADDRESSES
 *
 *     /name, shm:/name  a queue in shared memory
 *     posix:/name       the kernel's POSIX queue that mq_open(3) calls "/name"
 *     sysv:KEY          the System V queue that msgget(2) finds under this key, decimal or
 *                       hexadecimal (0x...), of 32 bits, not 0
 *     sysv:/name        a System V queue whose key comes from the name
 *     sysv:private      a new System V queue without a key (O_CREAT)
 *     sysv:id:N         the existing System V queue of number N, as ipcs(1) shows it
 *     amqp://...        a queue of an external broker: not part of this version, -ENOTSUP
 *
 * A name has 1 to 255 bytes after its slash, any but another slash; /. and /.. are none.
 *
 * A queue in shared memory is a file in the directory that the environment variable MQRS_DIR
 * names, /dev/shm without it; set-user-ID programs ignore the variable. The queue /name is the
 * file mqrs.name. A name of more than 250 bytes does not fit: its file is "mqrs~", the SHA-256
 * of the name in 64 hexadecimal digits, and the name's first 186 bytes. A queue stays until it
 * is unlinked or the directory is emptied (/dev/shm is at every boot).
 *
 * The kernel's queues are those of the process's IPC namespace, and any program's: it makes no
 * difference to the others that this library is used. They stay until they are removed or the
 * machine restarts. The key of sysv:/name is the first four bytes of the name's SHA-256, the
 * first byte highest (1 if they are 0). Since two names may have one key, the name is recorded
 * in the file mqrs.sysv.KEY (8 hexadecimal digits) in the directory of the queues. If the key
 * belongs to another name or to a queue without a record, opening is -EADDRINUSE with O_CREAT
 * and -ENOENT without.
 *
 * TRANSPORTS
 *
 *                        shared memory         POSIX                 System V
 *     messages, at most  maxmsg, to millions   fs.mqueue.msg_max     msg_qbytes, in bytes
 *     a message          to 1 GiB              ...msgsize_max        kernel.msgmax
 *     a system call      only to sleep, wake   each message          each message
 *     a killed process   harms nobody          harms nobody          harms nobody
 *     hostile users      can damage a queue    the kernel forbids    the kernel forbids
 *     cap below msgsize  if the message fits   -EMSGSIZE             if the message fits
 *     mode               umask                 umask                 as it is
 *     unlink             users keep the queue  users keep the queue  users get -EIDRM
 *     notification       yes                   yes                   -ENOTSUP
 *     ...that stays      yes                   -ENOTSUP              -ENOTSUP
 *     message types      -ENOTSUP              -ENOTSUP              yes
 *     peeking            in order of receipt   -ENOTSUP              in order of arrival
 *     batches            one step for 8 to 16  one by one            one by one
 *     in place, drop oldest, shutdown, stamps, exact statistics:
 *                        yes                   -ENOTSUP              -ENOTSUP
 *     mqrs_fd            yes                   yes                   -ENOTSUP
 *     mqrs_wait          at once               at once               others' within 10 ms
 *     mqrs_cancel        at once               within 0.1 s          at once
 *
 * mqrs_getattr tells what a queue can do, as MQRS_CAP_... bits, and mqrs_getlimits what a
 * transport allows here and now. What is said below is true of all three, unless one is named.
 *
 * POSIX. The limits are those of the kernel: fs.mqueue.msg_max (10) and msgsize_max (8192) for
 * each queue, unless the process has CAP_SYS_RESOURCE; fs.mqueue.queues_max; and RLIMIT_MSGQUEUE
 * for all queues of a user, (msgsize + 96) * maxmsg bytes each, which nine queues of the default
 * size use up. The kernel measures waits on CLOCK_REALTIME: a timeout on another clock is
 * converted, and looked at again when it seems to be up, and ten times a second. If the clock is
 * set back during a wait, that look, and with it the end of the wait, can come as much later, or
 * mqrs_cancel be noticed. Ten times a second a call that waits lets go of its place in the
 * kernel's line, and is for an instant no receiver that waits. The kernel drops a registration
 * for notification when its process closes any descriptor of the queue; the library keeps its
 * own open as long as that matters, but a program that closes one of mqrs_dup_fd or mq_open
 * loses the registration.
 * Where a program has closed the descriptor of a handle itself, calls on the handle are -EBADF.
 *
 * System V. A priority p is the message type 32768 - p, and the lowest type is received first; a
 * type above 32768, which other programs may use, counts as priority 0. A queue is full when its
 * bytes or its number of messages reach msg_qbytes (mqrs_set_maxbytes). The kernel knows no
 * timeouts here, and no way to end a call: who waits with a timeout, or might be cancelled since
 * the process has signal handlers or several threads, is woken at once by the users of this
 * library, and looks for messages of others every 8 ms, sooner at first. Removed queues answer
 * -EIDRM, to those who wait, too. Each call checks the queue's permissions anew (-EACCES), also
 * for its creator.
 *
 * CONVENTIONS
 *
 * Result     Functions of type int return 0 or a descriptor, those of type ssize_t a length.
 *            A failure is a negative errno, such as -EAGAIN; the variable errno is neither
 *            set nor kept. mqrs_errname and mqrs_strerror translate, and mqrs_last_error says
 *            in a sentence what went wrong in detail.
 * Outputs    are written only on success.
 * Checks     come first, in this order: handle (-EBADF); flags, struct sizes, clock, timeout,
 *            priority (-EINVAL); direction (-EBADF); pointers (-EFAULT); length (-EMSGSIZE).
 *            Then the call is done at once if it can be, however short its timeout.
 * NULL       as a handle is -EBADF, as a pointer that is needed -EFAULT, as an output that
 *            may be left out fine. mqrs_close(NULL) returns 0.
 * Structs    travel with their size, so that a program and a library of different versions
 *            understand each other: give sizeof. Fields that an older program lacks count as
 *            0 and are not written. Bytes that an older library lacks must be 0 (-E2BIG) and
 *            become 0. 0 always means the default; unknown flags and reserved fields that are
 *            not 0 are -EINVAL. Set a struct to 0 before you fill it.
 * Memory     Whatever a function is given is copied before it returns. Sending and receiving
 *            allocate nothing; where memory is short, a function returns -ENOMEM.
 * Damage     A queue whose shared state is found damaged answers -EBADMSG to everybody from
 *            then on. -ENOTRECOVERABLE means an error in this library, not in your program:
 *            the handle can only be closed.
 *
 * WAITING
 *
 * mqrs_send and mqrs_receive wait as long as it takes; mqrs_timedsend and mqrs_timedreceive
 * for some nanoseconds; mqrs_send_until and mqrs_receive_until until a time on a clock. On a
 * handle with O_NONBLOCK none of them waits: -EAGAIN, whatever the timeout. Waiting costs no
 * processor time after a short while of looking.
 *
 * mqrs_wait waits for any number of queues at once. mqrs_cancel ends the calls that run on a
 * handle, and mqrs_set_cancelled forbids calls on it to wait: -ECANCELED. To close a handle that
 * other threads use, forbid them to wait, wait until they have returned, then mqrs_close.
 *
 * In shared memory: if senders were killed or stopped in the middle of a send, more of them than
 * the queue has spare slots (a quarter of maxmsg, at least 32 and at most 64), a send may wait,
 * or return -EAGAIN, though the queue is not full, until those that died are noticed or the
 * stopped continue. One in the middle of a batch counts for up to a quarter of these slots, and
 * what is reserved and acquired in place takes up to half of them.
 *
 * PRIORITIES
 *
 * go from 0 to MQRS_PRIO_MAX (32767). The order is strict: a receive that starts after a send
 * of a higher priority has returned never gets a lower one.
 *
 * MORE THAN SEND AND RECEIVE
 *
 * mqrs_sendmsg and mqrs_recvmsg are the general form: they look at messages and leave them, cut
 * those that are too long, drop the oldest instead of waiting for room, and tell a message's
 * number and, with MQRS_OPT_STAMP, its sender and time. mqrs_sendmmsg and mqrs_recvmmsg move
 * several messages in one call. mqrs_reserve and mqrs_commit write a message where it will lie,
 * mqrs_acquire and mqrs_release read it there, so that it is copied by nobody. mqrs_shutdown
 * ends a queue: what was sent is received, then everybody gets -EPIPE.
 *
 * NOTIFICATION
 *
 * mqrs_notify_signal and mqrs_notify_callback tell a process when a message comes to an empty
 * queue that no receiver waits for. A queue has one registration at a time, which is used up
 * by one message, unless it stays (MQRS_NOTIFY_PERSISTENT). It ends with its handle, with its
 * process, and at exec. The pattern that loses nothing: register, then receive with
 * MQRS_NOWAIT until -EAGAIN; when told, again. One that stays is registered once.
 *
 * THREADS
 *
 * Any function may be called on one handle by any number of threads at a time, except
 * mqrs_close, which must be the last. The library starts no thread, but one helper thread when
 * a notification is registered, or mqrs_fd called on a queue in shared memory. No function is a
 * cancellation point of pthread_cancel(3), and a thread must not be cancelled asynchronously in
 * one.
 *
 * SIGNALS
 *
 * The library installs no signal handler. A handler without SA_RESTART that runs while a call
 * sleeps ends it with -EINTR; with SA_RESTART, or on a handle with MQRS_OPT_RESTART, the call
 * goes on, towards the same deadline. (mqrs_wait for POSIX queues or for none ends with -EINTR
 * all the same. On kernels before 5.16, and where futex_waitv(2) is
 * forbidden, -EINTR may come with SA_RESTART too.) A handler that runs before the call sleeps
 * may go unnoticed, as with any system call.
 *
 * Async-signal-safe, that is, allowed in a handler, whatever it interrupted: on queues in shared
 * memory all functions that send and receive but mqrs_sendmmsg and mqrs_recvmmsg, those that do
 * it in place, and mqrs_shutdown; on all queues mqrs_cancel, mqrs_set_cancelled and mqrs_errname.
 * A handler must return; a longjmp out of one that interrupted such a call leaves a slot of the
 * queue unused until the process ends.
 *
 * FORK AND EXEC
 *
 * A forked child may use its parent's handles at once, whatever other threads were doing at
 * the fork. O_NONBLOCK is each process's own from then on, and notifications stay with the
 * parent. A child's first call on a queue in shared memory opens it once more. That may fail: with
 * -EMFILE, -ENFILE, -ENOMEM, -EUSERS (the queue is open 1024 times), -ENOENT (/proc is not
 * mounted, and the queue was unlinked), and what else the file system answers. Nothing has
 * happened then, and a later call tries again. Handles do not survive exec, their descriptors
 * are close-on-exec; mqrs_dup_fd and mqrs_open_fd carry a queue over, or its address does.
 *
 * WHEN A PROCESS DIES
 *
 * at any instruction, or is stopped there, nobody else is held up and the queue stays whole.
 * A send that was killed has sent its message or not; a message that a killed receiver was
 * about to take is there still or gone with it, as in the kernel's queues, and no message comes
 * twice. A queue made with MQRS_OPT_REDELIVER sends what is gone with it again: such a message
 * may come twice. Somebody who sleeps may notice up to a second later what a killed process did
 * last (in shared memory).
 *
 * WHAT IS NOT PROMISED
 *
 * Protection against the other users of a queue in shared memory. Whoever opens one needs
 * permission to read and to write its file; the direction of a handle is kept by this library
 * only, and a hostile process can corrupt the messages, forge the sender of a notification, or
 * cut the file (see below). Between parties that do not trust each other use the kernel's queues.
 * Queues in shared memory on a network file system, or shared by machines.
 * That a message survives a crash or a restart of the machine.
 * That who waited longest is served first: one that is awake may be quicker.
 *
 * WHEN A QUEUE'S FILE IS CUT OFF
 *
 * while it is open, who touches a page that is gone gets SIGBUS from the kernel: in any call on
 * the handle, mqrs_close included, or in the library's helper thread; who sleeps in a call, within
 * about a second. mqrs_open refuses such a file with -EBADMSG, and mqrs_unlink removes it. A file
 * with holes, or made long again, reads as zeros: calls answer -EBADMSG, or as on an empty queue;
 * SIGBUS comes only if there is no memory left to fill a hole.
 * The library installs no handler for it. A program that must survive installs its own, which
 * maps zeroed memory over the page of si_addr (mmap with MAP_FIXED) and returns: the call goes on
 * and answers as for a hole.
 */

#ifndef MQUEUE_RS_H
#define MQUEUE_RS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#define MQRS_VERSION_MAJOR (0)
#define MQRS_VERSION_MINOR (1)
#define MQRS_VERSION_PATCH (0)
#define MQRS_VERSION_NUMBER (1000)


/** Which transport carries a queue. */
enum {
    /** All of them; only for lists. */
    MQRS_ANY = 0,
    /** Shared memory, the library's own: "/name" and "shm:/name". */
    MQRS_SHM = 1,
    /** The kernel's POSIX queues: "posix:/name". */
    MQRS_POSIX = 2,
    /** The kernel's System V queues: "sysv:KEY". */
    MQRS_SYSV = 3,
    /** An external broker: "amqp://...". */
    MQRS_AMQP = 4,
};

/** Timeouts that are not a number of nanoseconds. */
enum {
    /** Wait until it is done. */
    MQRS_FOREVER = -1,
    /** Do it at once or not at all. */
    MQRS_NOWAIT = 0,
};

/** Priorities go from 0 to this. */
enum {
    /** The most urgent. */
    MQRS_PRIO_MAX = 32767,
};

/**
 * Option flags of mqrs_open and mqrs_open_fd.
 *
 * MQRS_OPT_RESTART is the handle's. The others say how a queue is made, and mean nothing for
 * one that exists. The last three are for queues in shared memory; a queue of the kernel's
 * cannot be made so: with O_CREAT, -ENOTSUP.
 */
enum {
    /** The mode is not masked by umask; mode 0 is then really 0. */
    MQRS_OPT_EXACT_MODE = 1,
    /** Waits of this handle go on after any signal handler, SA_RESTART or not. */
    MQRS_OPT_RESTART = 2,
    /** The queue is gone when its last user closes it or dies; see mqrs_close. */
    MQRS_OPT_EPHEMERAL = 4,
    /** Each message says who sent it and when, and mqrs_getstats who used the queue last. */
    MQRS_OPT_STAMP = 8,
    /** Messages that a process had acquired when it died, or was receiving, are sent again. */
    MQRS_OPT_REDELIVER = 16,
};

/** Flags of mqrs_sendmsg. */
enum {
    /** System V: the message gets the type in `type`, not one made from its priority. */
    MQRS_SEND_TYPE = 1,
    /** A full queue drops the oldest message of its lowest priority instead of waiting. */
    MQRS_SEND_DROP_OLDEST = 2,
};

/** Flags of mqrs_recvmsg. */
enum {
    /** Look at a message and leave it where it is. */
    MQRS_RECV_PEEK = 1,
    /** Cut a message that is longer than the buffer, and tell its full length. */
    MQRS_RECV_TRUNCATE = 2,
    /** System V: `type` selects the message, as in msgrcv(2). */
    MQRS_RECV_TYPE = 4,
    /** With MQRS_RECV_TYPE and a type above 0: the first message of any other type. */
    MQRS_RECV_EXCEPT = 8,
};

/** States of a message received: mqrs_msg.state. */
enum {
    /** It was received before, and given back by mqrs_requeue or left by a dead process. */
    MQRS_MSG_REDELIVERED = 1,
};

/** What to wait for by mqrs_wait. */
enum {
    /** A receive would not wait. */
    MQRS_READABLE = 1,
    /** A send would not wait. */
    MQRS_WRITABLE = 2,
};

/** Flags of mqrs_notify_signal and mqrs_notify_callback. */
enum {
    /** It stays registered until it is cancelled; without, it is used up by one message. */
    MQRS_NOTIFY_PERSISTENT = 1,
    /** It fires at once if messages are waiting already. */
    MQRS_NOTIFY_NOW = 2,
};

/**
 * What a queue can do: bits of mqrs_attr.capabilities, one for each thing that some
 * transport, or some version of this library, cannot do.
 */
enum {
    /** A descriptor for poll. */
    MQRS_CAP_FD = 1,
    /** Notification by signal and by callback. */
    MQRS_CAP_NOTIFY = 2,
    /** Message types, and receiving by type. */
    MQRS_CAP_TYPES = 4,
    /** A receive buffer may be smaller than msgsize as long as the message fits. */
    MQRS_CAP_SMALL_BUFFER = 8,
    /** Sending and receiving in place. */
    MQRS_CAP_ZERO_COPY = 16,
    /** Looking at messages without taking them. */
    MQRS_CAP_PEEK = 32,
    /** Shutdown of a whole queue. */
    MQRS_CAP_SHUTDOWN = 64,
    /** Counters. */
    MQRS_CAP_STATS = 128,
    /** Notification that stays registered. */
    MQRS_CAP_PERSISTENT_NOTIFY = 256,
    /** A send to a full queue may drop the oldest message instead. */
    MQRS_CAP_DROP_OLDEST = 512,
    /** The sender of each message. */
    MQRS_CAP_SENDER = 1024,
};

/**
 * A walk over the queues that there are. Only pointers to it exist outside the library.
 *
 *   made by   mqrs_list_open
 *   walks by  mqrs_list_next
 *   freed by  mqrs_list_close
 */
typedef struct mqrs_list mqrs_list;

/**
 * A handle of an open queue. Only pointers to it exist outside the library.
 *
 *   made by     mqrs_open, mqrs_open_fd
 *   freed by    mqrs_close
 *   sends       mqrs_send, mqrs_timedsend, mqrs_send_until, mqrs_sendall
 *   receives    mqrs_receive, mqrs_timedreceive, mqrs_receive_until
 *   general     mqrs_sendmsg, mqrs_recvmsg
 *   batches     mqrs_sendmmsg, mqrs_recvmmsg
 *   in place    mqrs_reserve, mqrs_commit, mqrs_timedcommit, mqrs_abort; mqrs_acquire,
 *               mqrs_release, mqrs_requeue
 *   waits by    mqrs_wait, mqrs_fd
 *   ends by     mqrs_cancel, mqrs_set_cancelled, mqrs_shutdown
 *   is told by  mqrs_notify_signal, mqrs_notify_callback; mqrs_notify_cancel
 *   looks by    mqrs_name, mqrs_getattr, mqrs_getstats
 *   changes by  mqrs_set_nonblock, mqrs_set_owner, mqrs_set_maxbytes
 *   travels by  mqrs_dup_fd
 */
typedef struct mqrs_queue mqrs_queue;

/** How mqrs_open makes a queue. Zero means the default, in every field. */
typedef struct mqrs_options {
    /** MQRS_OPT_... flags. */
    uint64_t flags;
    /**
     * Most messages that the queue holds. 0: 64 in shared memory, up to at least 1,000,000;
     * POSIX: what the kernel says. System V: ignored, see mqrs_set_maxbytes.
     */
    uint64_t maxmsg;
    /**
     * Most bytes in one message. 0: 8192 in shared memory, up to at least 1 GiB; POSIX: what
     * the kernel says. System V: ignored.
     */
    uint64_t msgsize;
    /**
     * Permissions of a new queue (bits 0777); 0: 0600. Masked by umask, as in mq_open, but
     * not for System V, as in msgget.
     */
    uint32_t mode;
    /** Must be 0. */
    uint32_t reserved;
} mqrs_options;

/**
 * A message with everything that can be said of it. What a call does not name it leaves
 * alone on the way in and sets on the way out; what is not known is 0.
 */
typedef struct mqrs_msg {
    /** Sending: the message. Receiving: where it goes. */
    void *data;
    /** Sending: its length. Receiving: out, its length. */
    size_t len;
    /** Receiving: room at data. */
    size_t cap;
#if UINTPTR_MAX == 0xffffffffu
    /** Must be 0. */
    uint32_t pad;
#endif
    /** Its priority; peeking, in: that of the message looked at last. */
    uint32_t prio;
    /** Out: the sender's process. */
    uint32_t sender_pid;
    /** Out: the sender's user. */
    uint32_t sender_uid;
    /** Out: MQRS_MSG_REDELIVERED or 0. */
    uint32_t state;
    /** System V type: of the message, or what selects it. */
    int64_t type;
    /**
     * Out: its number in the queue, from 1; peeking, in: that of the message looked at
     * last. System V: its place in the order of arrival.
     */
    uint64_t sequence;
    /** Out: when it was sent, on CLOCK_MONOTONIC_COARSE, in nanoseconds. */
    int64_t sent_ns;
} mqrs_msg;

/** One queue of a wait for several. */
typedef struct mqrs_wait_item {
    /** The queue, or NULL for none. */
    mqrs_queue *queue;
    /** MQRS_READABLE | MQRS_WRITABLE: what to wait for. */
    uint32_t events;
    /** Out: what is ready of that. */
    uint32_t revents;
} mqrs_wait_item;

/** What a queue is, and what it holds at the moment. */
typedef struct mqrs_attr {
    /** MQRS_SHM, MQRS_POSIX, ... */
    uint32_t transport;
    /** O_RDONLY, O_WRONLY or O_RDWR of this handle, and O_NONBLOCK. */
    uint32_t flags;
    /** Most messages that the queue holds. System V: most bytes in them all. */
    uint64_t maxmsg;
    /** Most bytes in one message. */
    uint64_t msgsize;
    /** Messages queued: exact at one instant of the call. */
    uint64_t curmsgs;
    /**
     * Bytes queued: an estimate while others send and receive. POSIX: 0 where the handle
     * cannot receive.
     */
    uint64_t curbytes;
    /** Permissions. */
    uint32_t mode;
    /** Owning user. */
    uint32_t uid;
    /** Owning group. */
    uint32_t gid;
    /** 0. */
    uint32_t reserved;
    /** MQRS_CAP_... bits. */
    uint64_t capabilities;
} mqrs_attr;

/** What a queue has seen. A number that its transport does not keep is 0. */
typedef struct mqrs_stats {
    /** Messages sent. */
    uint64_t sent;
    /** Messages received. */
    uint64_t received;
    /** Messages dropped to make room. */
    uint64_t dropped;
    /** Times that something was repaired after a process died. */
    uint64_t recoveries;
    /** Most messages queued at one time. */
    uint64_t max_curmsgs;
    /** Sends that wait for room. */
    uint32_t blocked_senders;
    /** Receives that wait for a message. */
    uint32_t blocked_receivers;
    /** Handles that are open. */
    uint32_t users;
    /** 0. */
    uint32_t reserved;
    /** Process that sent last. */
    uint32_t last_send_pid;
    /** Process that received last. */
    uint32_t last_receive_pid;
    /** When it sent, on CLOCK_REALTIME, in nanoseconds. System V: whole seconds. */
    int64_t last_send_ns;
    /** When it received, likewise. */
    int64_t last_receive_ns;
} mqrs_stats;

/** What a transport allows, on this machine and now. 0 means no limit. */
typedef struct mqrs_limits {
    /** 0, or the errno (positive) why the transport does not work here. */
    int32_t unavailable;
    /** 0. */
    uint32_t reserved;
    /** maxmsg of a queue that asks for none. */
    uint64_t maxmsg_default;
    /** Largest maxmsg. */
    uint64_t maxmsg_max;
    /** msgsize of a queue that asks for none. */
    uint64_t msgsize_default;
    /** Largest msgsize. */
    uint64_t msgsize_max;
    /** Most queues. */
    uint64_t queues_max;
    /** Most bytes in all queues. POSIX: RLIMIT_MSGQUEUE, for all queues of a user. */
    uint64_t bytes_max;
    /** Highest priority. */
    uint64_t prio_max;
} mqrs_limits;

/** One queue of a list. */
typedef struct mqrs_entry {
    /** Its full address, NUL-terminated: good for mqrs_open and mqrs_unlink. */
    char name[264];
    /** What it is. Of a queue that the caller may not open, only the transport. */
    struct mqrs_attr attr;
} mqrs_entry;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Open a queue, or make it.
 *
 * name      the queue's address (see ADDRESSES above). NULL with O_CREAT | O_EXCL: a new
 *           queue in shared memory with a random name, which mqrs_name tells
 * oflag     flags of <fcntl.h>: exactly one of
 *             O_RDONLY    to receive
 *             O_WRONLY    to send
 *             O_RDWR      to do both
 *           and any of
 *             O_CREAT     make the queue if there is none
 *             O_EXCL      with O_CREAT: fail if there is one
 *             O_NONBLOCK  calls without a timeout of their own never wait
 *             O_CLOEXEC   allowed, and always on
 * opt       how to make it; NULL, with opt_size 0, for the defaults: mode 0600, in shared
 *           memory 64 messages of 8192 bytes, else what the kernel says. For a queue that
 *           exists, only MQRS_OPT_RESTART counts; mqrs_getattr tells what it really is
 * opt_size  sizeof (struct mqrs_options)
 * out       receives the handle, which is the caller's until mqrs_close
 *
 * A queue is made whole: nobody ever opens half of one, its memory is reserved now, and
 * of many that make the same queue at once exactly one does. The maker gets the access
 * that it asks for whatever the mode (System V: as the mode says); anybody else needs, in
 * shared memory, both read and write permission for either direction, and for the
 * kernel's queues the one of the direction.
 *
 * Returns 0, or, having made and opened nothing,
 *   -EINVAL        oflag: not exactly one direction, O_EXCL without O_CREAT, or another
 *                  flag; opt: an unknown flag, a reserved field that is not 0, maxmsg or
 *                  msgsize beyond mqrs_getlimits; opt_size below the struct's size in
 *                  the first release, or 0 with an opt; name: empty, no leading slash,
 *                  or an unknown prefix; sysv: no key, the key 0, "private" without
 *                  O_CREAT, or "id:" with it
 *   -E2BIG         opt_size is above ours, and what lies beyond is not 0
 *   -EFAULT        out is NULL, opt is NULL with an opt_size, or name is NULL without
 *                  O_CREAT | O_EXCL
 *   -ENOENT        no such queue, and no O_CREAT; no such directory; or name is "/"
 *   -EEXIST        there is such a queue, and O_CREAT | O_EXCL says that there must not
 *   -EACCES        the queue's or the directory's permissions forbid it, or to remove what
 *                  the last user of an ephemeral queue left; or name has a second slash, or
 *                  is "/." or "/.."
 *   -ENAMETOOLONG  more than 255 bytes after the slash
 *   -EADDRINUSE    sysv:/name with O_CREAT: its key is that of another name, or of a queue
 *                  that no name was recorded for
 *   -ENOTSUP       that transport is not part of this build; the queue was made by a newer
 *                  version that this one does not understand; POSIX and System V, with
 *                  O_CREAT: MQRS_OPT_EPHEMERAL, MQRS_OPT_STAMP or MQRS_OPT_REDELIVER
 *   -ENOSYS        the kernel has no queues of this kind
 *   -EBADMSG       the file of that name is no queue, or a damaged one
 *   -EUSERS        the queue is open 1024 times: every handle of every process counts
 *   -ENOSPC        no room for the queue where it is to live; POSIX: fs.mqueue.queues_max;
 *                  System V: kernel.msgmni
 *   -EFBIG         the queue would be longer than RLIMIT_FSIZE lets a file be
 *   -ENOMEM        no memory for the queue or its handle
 *   -EMFILE        the process has too many descriptors; POSIX: or the user's queues are
 *                  as large as RLIMIT_MSGQUEUE allows
 *   -ENFILE        the system has too many descriptors
 *   -EAGAIN        the name kept appearing and vanishing while the call tried
 *   -ENOLCK        the file system cannot lock files
 * and what else the file system answers. mqrs_last_error names the limit that was met.
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: a child inherits the handle.
 * Blocks: no.
 * Source: POSIX.1-2024 mq_open; mq_open(3); msgget(2).
 */
int mqrs_open(const char *name,
              int oflag,
              const struct mqrs_options *opt,
              size_t opt_size,
              mqrs_queue **out);

/**
 * Adopt a descriptor of a queue in shared memory or of a POSIX queue: one that mqrs_dup_fd
 * or mq_open(3) gave, and that came by inheritance over exec, by SCM_RIGHTS or by socket
 * activation (ListenMessageQueue= of systemd.socket(5)).
 *
 * fd         a descriptor of a queue
 * oflag      exactly one of O_RDONLY, O_WRONLY, O_RDWR, within what the descriptor
 *            allows, with O_NONBLOCK and O_CLOEXEC as in mqrs_open
 * opt_flags  MQRS_OPT_RESTART, or 0; what else mqrs_open knows is for making a queue
 * out        receives the handle, which is the caller's until mqrs_close
 *
 * The descriptor is the permission: the queue's mode is not asked again. Only in shared memory,
 * where every use both reads and writes, a descriptor that is open for one of the two, or with
 * O_PATH, is not enough by itself; the mode must let the caller open the file for both, and
 * the handle is for the descriptor's direction (O_PATH: any). The queue may have been unlinked
 * meanwhile, and may live in a directory or mount namespace that the caller does not see:
 * mqrs_name is the name that it was made with. Of a POSIX queue the name is not known ("").
 * If a POSIX queue's descriptor has O_NONBLOCK itself, as socket activation's have, calls
 * wait by poll(2): they do not count as receivers that wait, and end with -EINTR under
 * SA_RESTART, too.
 *
 * Returns 0, and fd then belongs to the handle: do not use or close it. Or, fd being the
 * caller's as before,
 *   -EINVAL   oflag or opt_flags, as in mqrs_open; O_CREAT and O_EXCL are refused too
 *   -EFAULT   out is NULL
 *   -EBADF    fd is no descriptor, or not one of a queue
 *   -EACCES   the descriptor does not allow this direction; shared memory: it is not for
 *             reading and writing both, and the mode does not allow it either
 *   -ENOTSUP  the queue was made by a newer version that this one does not understand
 *   -EBADMSG  the queue is damaged
 *   -EUSERS   the queue is open 1024 times
 *   -ENOENT   /proc is not mounted, and the queue was unlinked or fd cannot be read
 *   -ENOMEM, -EMFILE, -ENFILE, -ENOLCK  as in mqrs_open
 * and what else the file system answers.
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: a child inherits the handle.
 * Blocks: no.
 * Source: sd_listen_fds(3), unix(7) for the ways that a descriptor travels.
 */
int mqrs_open_fd(int fd,
                 int oflag,
                 uint64_t opt_flags,
                 mqrs_queue **out);

/**
 * Get a descriptor of the queue itself, to hand on to another process.
 *
 * q  the queue
 *
 * The descriptor is new, the caller's to close, and close-on-exec. It is for mqrs_open_fd
 * and for fstat(2); it is not for poll, read or write. POSIX: the kernel drops the process's
 * registration for notification on the queue when it is closed.
 *
 * Returns the descriptor, >= 0, or
 *   -EBADF           q is NULL or no open handle
 *   -ENOTSUP         System V queues have no descriptors
 *   -EMFILE          the process has too many descriptors; -ENFILE: the system has
 *   -ENOENT          /proc is not mounted, and the queue was unlinked
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: dup(2), F_DUPFD_CLOEXEC.
 */
int mqrs_dup_fd(const mqrs_queue *q);

/**
 * Change a queue's permissions and owner.
 *
 * q     the queue
 * mode  the new permissions (bits 0777), not masked by umask
 * uid   the new owning user
 * gid   the new owning group
 *
 * UINT32_MAX leaves a value as it is. Handles that are open stay usable.
 *
 * Returns 0, or, having changed nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          mode has other bits
 *   -EPERM           the caller is not allowed to, by the rules of chmod(2) and chown(2)
 *   -EBADMSG         the queue is damaged
 *   -EACCES          System V: the queue's permissions do not let the caller read
 *   -EIDRM           System V: the queue was removed
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 * and what else the file system answers to chmod(2) and chown(2), -EROFS for one.
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: chmod(2), chown(2); msgctl(2), IPC_SET.
 */
int mqrs_set_owner(mqrs_queue *q, uint32_t mode, uint32_t uid, uint32_t gid);

/**
 * Close a handle.
 *
 * q  the queue; NULL is allowed and does nothing
 *
 * Frees the handle and nothing else: the queue, its name and its messages stay, also for
 * this process's other handles. A queue made with MQRS_OPT_EPHEMERAL goes with its last user:
 * as if it was unlinked when that one closes; and where the last one died, or ended without
 * closing, its file may stay until somebody opens, unlinks or lists it, but to them it is not
 * there. Users are open handles: those of mqrs_open and mqrs_open_fd, and in a forked child the
 * inherited ones, each from its first call on. A descriptor of mqrs_dup_fd is none, but with
 * it or an inherited handle a queue that has gone can be used on, as one that was unlinked.
 * A notification that was registered through this handle is
 * dropped, and its callback has returned and will not run again; inside that callback
 * itself, mqrs_close returns at once.
 *
 * Returns 0, or
 *   -EBADF           q is no open handle; it was closed already, as far as that can be
 *                    noticed
 *   -EBADMSG         the queue is damaged; the handle is closed all the same
 *   -ENOTRECOVERABLE the library failed in a call on q; the handle is closed all the same
 *
 * Threads: no other call on q may be running or follow.  Signals: not async-signal-safe.
 * Fork: parent and child each close their own.  Blocks: while a callback of q is running;
 * hold no lock that the callback needs.
 * Source: POSIX.1-2024 mq_close; mq_close(3).
 */
int mqrs_close(mqrs_queue *q);

/**
 * Remove a queue's name.
 *
 * name  the queue's address, as for mqrs_open
 *
 * The name is gone at once, and free for a new queue. Who has the queue open goes on
 * using it; it vanishes with the last of them. A System V queue is gone at once itself, with
 * its messages, and calls on it that wait or come later return -EIDRM.
 *
 * Returns 0, or
 *   -EFAULT        name is NULL
 *   -EINVAL        name is empty, has no leading slash or an unknown prefix, or is
 *                  "sysv:private"
 *   -ENOENT        no such queue, or name is "/"
 *   -EACCES        the directory's permissions forbid it: in a sticky directory, as
 *                  /dev/shm is, only the queue's owner may, as of the kernel's queues; or
 *                  name has a second slash, or is "/." or "/.."
 *   -ENAMETOOLONG  more than 255 bytes after the slash
 *   -ENOTSUP       that transport is not part of this build
 *   -EBADMSG       what has the name is a directory
 * and what else the file system answers to unlink(2), -EROFS for one.
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: nothing to say.  Blocks: no.
 * Source: POSIX.1-2024 mq_unlink; mq_unlink(3); msgctl(2), IPC_RMID.
 */
int mqrs_unlink(const char *name);

/**
 * Tell a queue's full address.
 *
 * q  the queue
 *
 * Returns the address, as "shm:/name", "posix:/name", "sysv:/name", "sysv:0x4d2" or
 * "sysv:id:7": good for mqrs_open and mqrs_unlink, and valid until mqrs_close. It is "" where
 * the name is not known. NULL if q is NULL or no open handle, or the library failed in an
 * earlier call on it.
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 */
const char *mqrs_name(const mqrs_queue *q);

/**
 * Send a message; wait while the queue is full.
 *
 * q     the queue, opened to send
 * msg   the message, len bytes, copied before return; may be NULL if len is 0
 * len   0 to msgsize; a message of no bytes is a message
 * prio  0 to MQRS_PRIO_MAX; higher ones are received first, and those of the same
 *       priority in the order in which they were sent
 *
 * On a handle with O_NONBLOCK the call never waits.
 *
 * Returns 0, or, having sent nothing,
 *   -EBADF           q is NULL or no open handle, or was opened O_RDONLY
 *   -EINVAL          prio is above MQRS_PRIO_MAX
 *   -EFAULT          msg is NULL, and len is not 0
 *   -EMSGSIZE        len is above the queue's msgsize
 *   -EACCES          System V: the queue's permissions do not let the caller send
 *   -EIDRM           System V: the queue was removed, before or while the call waited
 *   -ENOMEM          System V: no memory for a message of more than 8 KiB; POSIX and
 *                    System V: the kernel has none
 *   -EAGAIN          the queue is full, and the handle has O_NONBLOCK
 *   -EINTR           a signal handler without SA_RESTART ran while the call slept, on a
 *                    handle without MQRS_OPT_RESTART
 *   -ECANCELED       mqrs_cancel ended the call, or mqrs_set_cancelled forbids it to wait
 *   -EPIPE           the queue was shut down, before or while the call waited
 *   -EBADMSG         the queue is damaged
 *   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is full, unless O_NONBLOCK.
 * Source: POSIX.1-2024 mq_send; mq_send(3); msgsnd(2).
 */
int mqrs_send(mqrs_queue *q, const void *msg, size_t len, uint32_t prio);

/**
 * Send a message; wait for a limited time while the queue is full.
 *
 * q, msg, len, prio  as in mqrs_send
 * timeout_ns         nanoseconds for the whole call, on CLOCK_MONOTONIC; MQRS_NOWAIT (0):
 *                    never wait; MQRS_FOREVER (-1): as mqrs_send
 *
 * If there is room the message is sent, however short the timeout. On a handle with
 * O_NONBLOCK the call never waits.
 *
 * Returns 0, or, having sent nothing, an error of mqrs_send, or
 *   -EINVAL     timeout_ns is below -1
 *   -EAGAIN     the queue is full, and timeout_ns is 0
 *   -ETIMEDOUT  the queue was full all that time
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is full, until the timeout.
 * Source: POSIX.1-2024 mq_timedsend, with a relative time; mq_timedsend(3).
 */
int mqrs_timedsend(mqrs_queue *q,
                   const void *msg,
                   size_t len,
                   uint32_t prio,
                   int64_t timeout_ns);

/**
 * Send a message; wait until a point in time while the queue is full.
 *
 * q, msg, len, prio  as in mqrs_send
 * clock              CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME of <time.h>
 * deadline_ns        absolute time on that clock, in nanoseconds, >= 0; INT64_MAX never
 *                    comes. When CLOCK_REALTIME is set, its deadlines follow within 0.1 s
 *
 * If there is room the message is sent, however old the deadline. On a handle with
 * O_NONBLOCK the call never waits.
 *
 * Returns 0, or, having sent nothing, an error of mqrs_send, or
 *   -EINVAL     another clock, or deadline_ns is negative
 *   -ETIMEDOUT  the queue was full until the deadline
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is full, until the deadline.
 * Source: POSIX.1-2024 mq_timedsend; mq_timedsend(3); clock_gettime(2) for the clocks.
 */
int mqrs_send_until(mqrs_queue *q,
                    const void *msg,
                    size_t len,
                    uint32_t prio,
                    int clock,
                    int64_t deadline_ns);

/**
 * Send data of any length as messages of msgsize bytes, the last one of what is left.
 *
 * q     the queue, opened to send
 * data  len bytes, copied before return; may be NULL if len is 0
 * len   0 to SSIZE_MAX; 0 sends nothing, not even an empty message
 * prio  priority of every message, 0 to MQRS_PRIO_MAX
 *
 * It is as many mqrs_send: messages of others may come to lie in between.
 *
 * Returns the number of bytes sent, like write(2): len, or less if an error came after
 * the first message was sent; mqrs_last_error then tells it. Or, having sent nothing, an
 * error of mqrs_send, with
 *   -EMSGSIZE  len is above SSIZE_MAX
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is full, unless O_NONBLOCK.
 * Source: write(2).
 */
ssize_t mqrs_sendall(mqrs_queue *q, const void *data, size_t len, uint32_t prio);

/**
 * Send a message in the general form.
 *
 * q           the queue, opened to send
 * m           the message: data and len, its priority in prio; with MQRS_SEND_TYPE its System V
 *             type in type (> 0), and prio is ignored. Nothing else of it counts
 * size        sizeof (struct mqrs_msg)
 * flags       MQRS_SEND_... flags; 0: as mqrs_timedsend
 * timeout_ns  as in mqrs_timedsend
 *
 * MQRS_SEND_TYPE         System V (MQRS_CAP_TYPES), where a priority p is the type 32768 - p
 * MQRS_SEND_DROP_OLDEST  shared memory (MQRS_CAP_DROP_OLDEST): if the queue is full, its
 *                        oldest message of its lowest priority is dropped, and counted
 *                        (mqrs_stats.dropped). If even that priority is above the new one's,
 *                        the call waits or fails as without the flag. To drop and to send
 *                        are two steps: others may take the room in between, so a call may
 *                        drop several, and fail after that. In a queue of one
 *                        priority it is as quick as to receive; in one of several all slots
 *                        are looked at
 *
 * Returns 0, or, having sent nothing, an error of mqrs_timedsend, or
 *   -EINVAL   an unknown flag; size below the struct's size in the first release; or a type
 *             below 1, or too large for a long
 *   -E2BIG    size is above ours, and what lies beyond is not 0
 *   -EFAULT   m is NULL
 *   -ENOTSUP  the queue cannot do what a flag asks for
 *
 * Threads: any.  Signals: async-signal-safe in shared memory.  Fork: usable in the child.
 * Blocks: while the queue is full, until the timeout.
 * Source: msgsnd(2).
 */
int mqrs_sendmsg(mqrs_queue *q,
                 const struct mqrs_msg *m,
                 size_t size,
                 uint64_t flags,
                 int64_t timeout_ns);

/**
 * Send several messages; wait for a limited time while there is no room for the first.
 *
 * q           the queue, opened to send
 * v           count messages, each as in mqrs_sendmsg; sent in this order
 * size        sizeof (struct mqrs_msg)
 * count       how many; 0 sends nothing and returns 0
 * flags       as in mqrs_sendmsg, for all of them
 * timeout_ns  as in mqrs_timedsend; for the first message only
 *
 * All of them are checked before any is sent; the first that is wrong says what the call
 * returns. Then the first is sent as by mqrs_sendmsg, and of the others those for which there
 * is room (beside busy receivers maybe fewer: call again). It is as many single sends, only
 * faster: messages of others may come to lie in between, and who receives them may have some
 * while the rest is still on its way.
 *
 * Returns how many were sent, the first ones of v, at least 1; or, having sent nothing, an
 * error of mqrs_sendmsg, or
 *   -EINVAL  size is no multiple of the struct's alignment
 *   -EFAULT  v is NULL, and count is not 0
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: while
 * there is no room for the first, until the timeout.
 * Source: sendmmsg(2).
 */
ssize_t mqrs_sendmmsg(mqrs_queue *q,
                      const struct mqrs_msg *v,
                      size_t size,
                      size_t count,
                      uint64_t flags,
                      int64_t timeout_ns);

/**
 * Receive the oldest message of the highest priority; wait while the queue is empty.
 *
 * q     the queue, opened to receive
 * buf   receives the message; may be NULL if cap is 0
 * cap   room in buf, in bytes. It may be below msgsize: what counts is the message. POSIX:
 *       at least msgsize (MQRS_CAP_SMALL_BUFFER)
 * prio  receives the message's priority; may be NULL
 *
 * On a handle with O_NONBLOCK the call never waits.
 *
 * Returns the message's length in bytes, 0 for an empty one; or, having received nothing
 * and written nothing,
 *   -EBADF           q is NULL or no open handle, or was opened O_WRONLY
 *   -EFAULT          buf is NULL, and cap is not 0
 *   -EMSGSIZE        the message is longer than cap; it stays where it is. POSIX: cap is
 *                    below msgsize
 *   -EACCES          System V: the queue's permissions do not let the caller receive
 *   -EIDRM           System V: the queue was removed, before or while the call waited
 *   -ENOMEM          System V: no memory for a message of more than 8 KiB
 *   -EAGAIN          the queue is empty, and the handle has O_NONBLOCK
 *   -EINTR           a signal handler without SA_RESTART ran while the call slept, on a
 *                    handle without MQRS_OPT_RESTART
 *   -ECANCELED       mqrs_cancel ended the call, or mqrs_set_cancelled forbids it to wait
 *   -EPIPE           the queue was shut down, and is empty
 *   -EBADMSG         the queue is damaged
 *   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is empty, unless O_NONBLOCK.
 * Source: POSIX.1-2024 mq_receive; mq_receive(3); msgrcv(2).
 */
ssize_t mqrs_receive(mqrs_queue *q,
                     void *buf,
                     size_t cap,
                     uint32_t *prio);

/**
 * Receive the oldest message of the highest priority; wait for a limited time while the
 * queue is empty.
 *
 * q, buf, cap  as in mqrs_receive
 * timeout_ns   nanoseconds for the whole call, on CLOCK_MONOTONIC; MQRS_NOWAIT (0): never
 *              wait; MQRS_FOREVER (-1): as mqrs_receive
 * prio         receives the message's priority; may be NULL
 *
 * If there is a message it is received, however short the timeout. On a handle with
 * O_NONBLOCK the call never waits.
 *
 * Returns the message's length in bytes; or, having received nothing and written nothing,
 * an error of mqrs_receive, or
 *   -EINVAL     timeout_ns is below -1
 *   -EAGAIN     the queue is empty, and timeout_ns is 0
 *   -ETIMEDOUT  the queue was empty all that time
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is empty, until the timeout.
 * Source: POSIX.1-2024 mq_timedreceive, with a relative time; mq_timedreceive(3).
 */
ssize_t mqrs_timedreceive(mqrs_queue *q,
                          void *buf,
                          size_t cap,
                          int64_t timeout_ns,
                          uint32_t *prio);

/**
 * Receive the oldest message of the highest priority; wait until a point in time while
 * the queue is empty.
 *
 * q, buf, cap  as in mqrs_receive
 * clock        CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME of <time.h>
 * deadline_ns  absolute time on that clock, in nanoseconds, >= 0; INT64_MAX never comes.
 *              When CLOCK_REALTIME is set, its deadlines follow within 0.1 s
 * prio         receives the message's priority; may be NULL
 *
 * If there is a message it is received, however old the deadline. On a handle with
 * O_NONBLOCK the call never waits.
 *
 * Returns the message's length in bytes; or, having received nothing and written nothing,
 * an error of mqrs_receive, or
 *   -EINVAL     another clock, or deadline_ns is negative
 *   -ETIMEDOUT  the queue was empty until the deadline
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: while
 * the queue is empty, until the deadline.
 * Source: POSIX.1-2024 mq_timedreceive; mq_timedreceive(3); clock_gettime(2) for the
 * clocks.
 */
ssize_t mqrs_receive_until(mqrs_queue *q,
                           void *buf,
                           size_t cap,
                           int clock,
                           int64_t deadline_ns,
                           uint32_t *prio);

/**
 * Receive a message, or look at one, in the general form.
 *
 * q           the queue, opened to receive
 * m           in: data and cap, a buffer; with MQRS_RECV_TYPE what selects, in type; with
 *             MQRS_RECV_PEEK what was looked at last, in sequence and prio. Out: all the
 *             rest, as far as it is known
 * size        sizeof (struct mqrs_msg)
 * flags       MQRS_RECV_... flags; 0: as mqrs_timedreceive
 * timeout_ns  as in mqrs_timedreceive
 *
 * MQRS_RECV_TRUNCATE  a message longer than cap is cut and gone; the result is its full
 *                     length
 * MQRS_RECV_TYPE      System V (MQRS_CAP_TYPES): type 0 takes the first message in the order
 *                     of arrival, a type above 0 the first of that type, a type below 0 the
 *                     first of the lowest type that is not above its absolute value
 * MQRS_RECV_EXCEPT    with MQRS_RECV_TYPE and a type above 0: the first of any other type
 * MQRS_RECV_PEEK      looks at a message and leaves it (MQRS_CAP_PEEK). In: sequence and prio
 *                     of the message looked at last, whether or not it is still queued; the
 *                     next one behind it, in the order in which they would be received, is
 *                     looked at. sequence 0: the one that would be received next. A call
 *                     with what the last one filled in goes on from there, so a loop sees
 *                     every message that stays. It is no snapshot: what is sent meanwhile
 *                     to a place already passed is not seen. Who waits here is no receiver
 *                     that waits. Behind the last message of a queue that was shut down:
 *                     -EPIPE. A look that fails may have written to the buffer at data. In
 *                     a queue of one priority a look is quick; in one of
 *                     several all slots are looked at, for up to 32 messages of a
 *                     mqrs_recvmmsg at once.
 *                     System V: sequence is a place in the order of arrival, counted from
 *                     1; in: the place looked at last; out: the one after it. Not together
 *                     with MQRS_RECV_TYPE
 *
 * In shared memory sequence is the message's number: the first sent has 1, each further one
 * 1 more; numbers do not come round. sender_pid, sender_uid and sent_ns are what the sender's
 * library wrote, in queues made with MQRS_OPT_STAMP, and 0 in others.
 *
 * Without MQRS_RECV_TYPE a System V queue gives the highest priority, which is the lowest
 * type; prio is 32768 - type, and 0 for types above that, which other programs may use.
 *
 * Returns the message's length in bytes; or, having received nothing and written nothing,
 * an error of mqrs_timedreceive, or
 *   -EINVAL   an unknown flag; size below the struct's size in the first release; flags that
 *             do not go together; a type that does not fit a long
 *   -E2BIG    size is above ours, and what lies beyond is not 0
 *   -EFAULT   m is NULL
 *   -ENOTSUP  the queue cannot do what a flag asks for
 *   -ENOMEM   POSIX: no memory to cut a message, where msgsize is above 8 KiB
 *
 * Threads: any.  Signals: async-signal-safe in shared memory.  Fork: usable in the child.
 * Blocks: while there is no such message, until the timeout.
 * Source: msgrcv(2).
 */
ssize_t mqrs_recvmsg(mqrs_queue *q,
                     struct mqrs_msg *m,
                     size_t size,
                     uint64_t flags,
                     int64_t timeout_ns);

/**
 * Receive several messages, or look at several; wait for a limited time for the first.
 *
 * q           the queue, opened to receive
 * v           count structs, each as in mqrs_recvmsg; filled in the order of receipt
 * size        sizeof (struct mqrs_msg)
 * count       most messages to receive; 0 receives nothing and returns 0
 * flags       as in mqrs_recvmsg, for all of them. With MQRS_RECV_PEEK the first struct says
 *             from where to look on, and each further message is the next one
 * timeout_ns  as in mqrs_timedreceive; for the first message only
 *
 * All structs are checked before anything is received; the first that is wrong says what the
 * call returns. Then the first message is received as by mqrs_recvmsg, and of the others as
 * many as are there (beside busy senders maybe fewer: call again). A message that does not fit
 * its buffer ends the call: it stays, and is an error if it is the first. It is as many single
 * receives, only faster: other receivers may get messages in between.
 *
 * Returns how many were received, into the first ones of v, at least 1; the other structs are
 * as they were. Or, having received and written nothing, an error of mqrs_recvmsg, or
 *   -EINVAL  size is no multiple of the struct's alignment
 *   -EFAULT  v is NULL, and count is not 0
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: while
 * there is no first message, until the timeout.
 * Source: recvmmsg(2).
 */
ssize_t mqrs_recvmmsg(mqrs_queue *q,
                      struct mqrs_msg *v,
                      size_t size,
                      size_t count,
                      uint64_t flags,
                      int64_t timeout_ns);

/**
 * Get room for a message that is to be written in place; wait while the queue is full.
 *
 * q           the queue, opened to send; in shared memory (MQRS_CAP_ZERO_COPY)
 * len         how many bytes are to be written at most, 0 to msgsize
 * timeout_ns  as in mqrs_timedsend
 * slot        receives the address of the room: len bytes, aligned to 8, holding anything
 *
 * The room belongs to the caller alone, who writes the message there and then sends it by
 * mqrs_commit or gives it back by mqrs_abort, from any thread. To have it is no place in the
 * queue: the message is not sent, and not counted, before it is committed. Any number of
 * slots may be out at once, as far as they go: all reserved and acquired slots of a queue
 * together are at most an eighth of maxmsg, but at least 16 and at most 32.
 *
 * A slot of a process that dies becomes free. mqrs_close gives back what is still reserved.
 *
 * Returns 0, or, having reserved nothing, an error of mqrs_timedsend, or
 *   -EFAULT   slot is NULL
 *   -ENOBUFS  so many slots are reserved and acquired that there is none left
 *   -ENOTSUP  the queue is not in shared memory
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child, to which no slot of
 * its parent belongs.  Blocks: while the queue is full, until the timeout.
 */
int mqrs_reserve(mqrs_queue *q,
                 size_t len,
                 int64_t timeout_ns,
                 void **slot);

/**
 * Send what was written to a reserved slot; wait while the queue is full.
 *
 * q     the queue
 * slot  what mqrs_reserve gave through this handle in this process
 * len   the message's length, 0 to what was reserved
 * prio  0 to MQRS_PRIO_MAX
 *
 * Its place in the order is fixed here, as by mqrs_send: if others have filled the queue
 * since the reservation it waits, or returns -EAGAIN on a handle with O_NONBLOCK. After 0 the
 * slot is the queue's again. After any error it is still reserved and holds what was
 * written: the call may be repeated.
 *
 * Returns 0, or, having sent nothing, an error of mqrs_send, or
 *   -EINVAL    slot is not one that is reserved through this handle in this process
 *   -EMSGSIZE  len is above what was reserved
 *   -EFAULT    slot is NULL
 *   -ENOTSUP   the queue is not in shared memory
 *
 * Threads: any, one at a time for each slot.  Signals: async-signal-safe.  Fork: a child has
 * no slots.  Blocks: while the queue is full, unless O_NONBLOCK.
 */
int mqrs_commit(mqrs_queue *q,
                void *slot,
                size_t len,
                uint32_t prio);

/**
 * Send what was written to a reserved slot; wait for a limited time while the queue is full.
 *
 * q, slot, len, prio  as in mqrs_commit
 * timeout_ns          as in mqrs_timedsend
 *
 * Returns 0, or, having sent nothing and with the slot still reserved, an error of
 * mqrs_commit, or
 *   -EINVAL     timeout_ns is below -1
 *   -EAGAIN     the queue is full, and timeout_ns is 0
 *   -ETIMEDOUT  the queue was full all that time
 *
 * Threads: any, one at a time for each slot.  Signals: async-signal-safe.  Fork: a child has
 * no slots.  Blocks: while the queue is full, until the timeout.
 */
int mqrs_timedcommit(mqrs_queue *q,
                     void *slot,
                     size_t len,
                     uint32_t prio,
                     int64_t timeout_ns);

/**
 * Give a reserved slot back unsent.
 *
 * q     the queue
 * slot  what mqrs_reserve gave through this handle in this process
 *
 * Returns 0, or, having changed nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          slot is not one that is reserved through this handle in this process
 *   -EFAULT          slot is NULL
 *   -ENOTSUP         the queue is not in shared memory
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any, one at a time for each slot.  Signals: async-signal-safe.  Fork: a child has
 * no slots.  Blocks: no.
 */
int mqrs_abort(mqrs_queue *q,
               void *slot);

/**
 * Receive the oldest message of the highest priority in place; wait while the queue is empty.
 *
 * q           the queue, opened to receive; in shared memory (MQRS_CAP_ZERO_COPY)
 * timeout_ns  as in mqrs_timedreceive
 * data        receives the message's address, aligned to 8; to be read only
 * prio        receives its priority; may be NULL
 *
 * The message is received, and there is room for another. Its bytes stay where they are until
 * the caller gives them back, by mqrs_release, or by mqrs_requeue as a message to be received
 * again. How many slots may be out at once: see mqrs_reserve.
 *
 * If the process dies before that, or closes the handle, the message is gone, as after a
 * receive; but in a queue made with MQRS_OPT_REDELIVER it is sent again, as the newest of its
 * priority and marked MQRS_MSG_REDELIVERED, as soon as somebody notices the death and there
 * is room; several in no certain order. Waiting receivers notice it within a second, others
 * when they call mqrs_acquire, or find the queue empty. (The mark is told by mqrs_recvmsg.)
 *
 * Returns the message's length in bytes; or, having received nothing and written nothing,
 * an error of mqrs_timedreceive, or
 *   -EFAULT   data is NULL
 *   -ENOBUFS  so many slots are reserved and acquired that there is none left
 *   -ENOTSUP  the queue is not in shared memory
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child, to which no message
 * of its parent belongs.  Blocks: while the queue is empty, until the timeout.
 */
ssize_t mqrs_acquire(mqrs_queue *q,
                     int64_t timeout_ns,
                     const void **data,
                     uint32_t *prio);

/**
 * Give back the slot of an acquired message, which is done with.
 *
 * q     the queue
 * data  what mqrs_acquire gave through this handle in this process; not to be read any more
 *
 * Returns 0, or, having changed nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          data is not a message acquired through this handle in this process
 *   -EFAULT          data is NULL
 *   -ENOTSUP         the queue is not in shared memory
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any, one at a time for each message.  Signals: async-signal-safe.  Fork: a child
 * has no messages.  Blocks: no.
 */
int mqrs_release(mqrs_queue *q,
                 const void *data);

/**
 * Send an acquired message again.
 *
 * q     the queue; need not be opened to send
 * data  what mqrs_acquire gave through this handle in this process; not to be read after 0
 *
 * It becomes the newest message of its priority, marked MQRS_MSG_REDELIVERED. A queue that
 * was shut down takes it all the same: it had been sent before.
 *
 * Returns 0, or, with the message still acquired,
 *   -EAGAIN          the queue is full
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          data is not a message acquired through this handle in this process
 *   -EFAULT          data is NULL
 *   -ENOTSUP         the queue is not in shared memory
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any, one at a time for each message.  Signals: async-signal-safe.  Fork: a child
 * has no messages.  Blocks: no.
 */
int mqrs_requeue(mqrs_queue *q,
                 const void *data);

/**
 * Have a signal sent to this process when a message comes to the empty queue.
 *
 * q      the queue, opened in any direction
 * signo  the signal, 1 to SIGRTMAX; 0 takes the registration but sends nothing
 * value  arrives as si_value: as sival_ptr, and as sival_int where it fits an int
 * flags  0, or MQRS_NOTIFY_PERSISTENT: it stays registered, and fires for each message that
 *        comes to the empty queue, until it is cancelled (MQRS_CAP_PERSISTENT_NOTIFY);
 *        MQRS_NOTIFY_NOW: it fires at once if messages are waiting, and is used up by that
 *        unless it stays. Both in shared memory only
 *
 * It is sent once, when a message comes to a queue that is empty and on which no
 * receiver waits; the registration is then used up. To miss nothing, register again
 * first, then receive until -EAGAIN. One that stays need not be renewed: receive until
 * -EAGAIN each time; arrivals that follow each other faster than signals are sent may share
 * one, which comes after the last of them. The signal has si_code SI_MESGQ, and si_pid and
 * si_uid of the sender, also when that is another user. They are the numbers that the
 * sender itself sees: one in another pid or user namespace may have any. What fires at once
 * has those of this process, even if a receiver waits for the same messages. POSIX: the kernel
 * sends it, and not for a message whose sender had waited for room.
 *
 * Returns 0, or, having registered nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          signo is no signal, or an unknown flag
 *   -EBUSY           the queue has a registration already, maybe this process's; that of
 *                    a dead process does not count
 *   -EAGAIN          the library's helper thread cannot be started, or Linux is older
 *                    than 4.14
 *   -ENOMEM          no memory for the registration
 *   -ENOTSUP         the queue cannot notify: System V queues (MQRS_CAP_NOTIFY). POSIX: a
 *                    flag, since the kernel drops a registration when it notifies, and
 *                    nobody can tell whether it has notified of a message that waits
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any; the first registration of a process on a queue in shared memory starts the
 * helper thread, with all signals blocked.  Signals: not async-signal-safe.  Fork: the
 * registration stays with the parent.  Blocks: no.
 * Source: POSIX.1-2024 mq_notify, SIGEV_SIGNAL; mq_notify(3); sigaction(2).
 */
int mqrs_notify_signal(mqrs_queue *q,
                       int signo,
                       intptr_t value,
                       uint64_t flags);

/**
 * Have a function called when a message comes to the empty queue.
 *
 * q      the queue, opened in any direction
 * fn     called as fn(q, user)
 * user   handed to it; may be NULL. Keep it until mqrs_notify_cancel or mqrs_close
 *        returned, or until fn ran
 * flags  0, or MQRS_NOTIFY_PERSISTENT: it stays registered, and fires for each message that
 *        comes to the empty queue, until it is cancelled (MQRS_CAP_PERSISTENT_NOTIFY);
 *        MQRS_NOTIFY_NOW: it fires at once if messages are waiting, and is used up by that
 *        unless it stays. Both in shared memory only
 *
 * It is called once, when a message comes to a queue that is empty and on which no
 * receiver waits; the registration is used up before the call, so that fn may register
 * again. To miss nothing, register again first, then receive until -EAGAIN. One that stays
 * need not be renewed: it is enough that fn receives until -EAGAIN. Arrivals that follow each
 * other faster than fn returns may share one call, which comes after the last of them.
 *
 * fn runs on the library's helper thread, one callback at a time, with all signals
 * blocked; while it runs, the notifications of the whole process wait, and so does what
 * mqrs_fd's descriptors would newly show. It may call
 * anything, mqrs_notify_cancel and mqrs_close on q included. It must return: no
 * exception, longjmp or pthread_exit may leave it.
 *
 * Returns 0, or, having registered nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          an unknown flag
 *   -EFAULT          fn is NULL
 *   -EBUSY           the queue has a registration already, maybe this process's; that of
 *                    a dead process does not count
 *   -EAGAIN          the library's helper thread cannot be started, or Linux is older
 *                    than 4.14; POSIX: there are more callbacks than net.core.rmem_max
 *                    leaves room for
 *   -EMFILE          POSIX: the first callback needs two descriptors, and the process has too
 *                    many; -ENFILE: the system has
 *   -ENOMEM          no memory for the registration
 *   -ENOTSUP         the queue cannot notify: System V queues (MQRS_CAP_NOTIFY). POSIX: a
 *                    flag, as in mqrs_notify_signal; or the process may not have a netlink
 *                    socket
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any; the first registration of a process starts the helper thread.
 * Signals: not async-signal-safe.  Fork: the registration stays with the parent.
 * Blocks: no.
 * Source: POSIX.1-2024 mq_notify, SIGEV_THREAD; mq_notify(3).
 */
int mqrs_notify_callback(mqrs_queue *q,
                         void (*fn)(mqrs_queue *q, void *user),
                         void *user,
                         uint64_t flags);

/**
 * Drop the notification that was registered through this handle.
 *
 * q  the queue
 *
 * When it returns, no callback of this handle runs or will run, so that its user pointer
 * may be freed; inside that callback itself it returns at once. A signal that was sent
 * already may still arrive. Other handles' registrations stay.
 *
 * Returns 0, also if there was nothing to drop, or
 *   -EBADF           q is NULL or no open handle
 *   -EBADMSG         the queue is damaged
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: a child has nothing to drop.
 * Blocks: while a callback of q is running; hold no lock that the callback needs.
 * Source: POSIX.1-2024 mq_notify with NULL; mq_notify(3).
 */
int mqrs_notify_cancel(mqrs_queue *q);

/**
 * Get a queue's descriptor for poll, select and epoll.
 *
 * q  the queue
 *
 * The descriptor is readable while messages wait and writable while there is room, whatever
 * the handle's direction; after mqrs_shutdown it is both. It is level-triggered, and may be
 * ready for nothing, when another process was faster: receive and send with MQRS_NOWAIT, and
 * take -EAGAIN as usual. In shared memory it stays ready for what another process has taken
 * until this handle has met that -EAGAIN. It belongs to the handle: poll it, never read,
 * write or close it, and take it out of an event loop before mqrs_close. To wait by it is
 * not to be a receiver that waits: a notification fires.
 *
 * POSIX queues have one, their own. A queue in shared memory gets one by the first call, for
 * this handle in this process: an eventfd(2), close-on-exec. From then on a helper thread sees
 * to it, the same as for notifications: what this process does itself may show a moment later,
 * what others do while a callback of mqrs_notify_callback runs shows when it has returned, and
 * a message whose sender is killed in mid-call shows within a second. With more than 120
 * queues that are polled or have a registration, it may take 10 ms. With EPOLLET, receive (or
 * send) until -EAGAIN before the next wait. A forked child calls mqrs_fd again and uses what
 * that returns. System V queues have none (MQRS_CAP_FD). Users of a queue that nobody polls
 * pay nothing for this, and while it is ready neither do those of one that is polled.
 *
 * Returns the descriptor, >= 0, or
 *   -EBADF           q is NULL or no open handle
 *   -ENOTSUP         the queue has no such descriptor
 *   -EAGAIN          the library's helper thread cannot be started, or Linux is older than
 *                    4.14
 *   -EMFILE          the process has too many descriptors; -ENFILE: the system has
 *   -ENOMEM          no memory for the descriptor
 *   -EBADMSG         the queue is damaged
 *   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any; in shared memory the first call of a process starts the helper thread, with
 * all signals blocked.  Signals: not async-signal-safe.  Fork: see above.  Blocks: no.
 * Source: mq_overview(7), "Polling message queue descriptors"; poll(2), epoll(7).
 */
int mqrs_fd(mqrs_queue *q);

/**
 * Wait until one of several queues is ready.
 *
 * items       count structs: the queue, of any transport, and in events what to wait for,
 *             MQRS_READABLE | MQRS_WRITABLE. A NULL queue is passed over. A queue may be there
 *             more than once
 * size        sizeof (struct mqrs_wait_item), also if count is 0
 * count       any number; 0 only sleeps
 * timeout_ns  nanoseconds; MQRS_NOWAIT (0): only look; MQRS_FOREVER (-1): until one is ready
 *
 * A queue is readable when a receive would not wait, and writable when a send would not wait,
 * whatever the handle's direction; one that is shut down, damaged or removed is both. Only
 * the timeout counts, not O_NONBLOCK. Each struct's revents receives what is ready of events,
 * 0 for none. What is ready may be gone when it is used, because another was faster: use
 * MQRS_NOWAIT.
 *
 * To wait here is not to be a receiver that waits: a notification fires. Queues in shared
 * memory and POSIX queues are waited for without threads and without looking again and again;
 * for a mixture of the two inotify(7) tells, of which up to four descriptors are kept for
 * the next wait. Within 10 ms is noticed what another program does to a System V queue; what
 * happens to a queue in shared memory beyond the first 120, or beside POSIX queues where the
 * system allows no inotify; and on Linux before 5.16 what happens to any but the first.
 *
 * Returns the number of structs whose revents is not 0; 0 when the time was up; or, with no
 * revents written,
 *   -EINVAL          size is below the struct's size in the first release or no multiple of
 *                    its alignment; an unknown event; timeout_ns is below -1
 *   -E2BIG           size is above ours, and what lies beyond is not 0
 *   -EFAULT          items is NULL, and count is not 0
 *   -EBADF           a queue is no open handle
 *   -ECANCELED       one of the queues was cancelled: mqrs_cancel, mqrs_set_cancelled
 *   -EINTR           a signal handler ran during the wait; not if all the queues were opened
 *                    with MQRS_OPT_RESTART
 *   -ENOMEM          no memory for the wait
 *   -EACCES          System V, before Linux 4.17: the queue's permissions do not let the
 *                    caller look at it
 *   -EUSERS          and others: only a forked child's first call on a queue
 *   -ENOTRECOVERABLE the library failed in an earlier call on one of the queues
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: until
 * one is ready or the timeout.
 * Source: poll(2).
 */
int mqrs_wait(struct mqrs_wait_item *items,
              size_t size,
              size_t count,
              int64_t timeout_ns);

/**
 * End the calls of this process that are running on a handle.
 *
 * q  the queue
 *
 * Every call on this handle, mqrs_wait with it included, that has begun in this process and
 * has not yet taken effect returns -ECANCELED instead of waiting any longer, whether or not
 * it sleeps already; one that can be done at once may still succeed. Calls that begin later
 * are not concerned, nor are other handles and other processes.
 *
 * In shared memory it is immediate. POSIX and System V: it may take up to 0.1 s, and with
 * POSIX longer if CLOCK_REALTIME is set back at that moment.
 *
 * Returns 0, or
 *   -EBADF           q is NULL or no open handle
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: concerns this process only.  Blocks: no.
 */
int mqrs_cancel(mqrs_queue *q);

/**
 * Forbid calls on a handle to wait, or allow it again.
 *
 * q   the queue
 * on  not 0: every call on this handle in this process, mqrs_wait with it included, that
 *     would wait, or waits already, returns -ECANCELED. 0: they wait as ever
 *
 * Calls that can be done at once are done. To end a handle that other threads use: set it,
 * wait until their calls have returned, then mqrs_close.
 *
 * In shared memory and with System V it is immediate. POSIX: calls that wait already may take
 * up to 0.1 s to end.
 *
 * Returns 0, or
 *   -EBADF           q is NULL or no open handle
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: a child begins with its parent's setting,
 * and has its own from then on.  Blocks: no.
 */
int mqrs_set_cancelled(mqrs_queue *q,
                       int on);

/**
 * Shut a queue down, for everybody and for good: no more messages are sent.
 *
 * q  the queue, opened to send; in shared memory (MQRS_CAP_SHUTDOWN)
 *
 * It has one place in the order of sends: those that returned 0 lie before it and will be
 * received; all later ones return -EPIPE. Receives go on until the queue is empty, and then
 * return -EPIPE as well. Calls that wait end at once, in every process. For mqrs_fd and
 * mqrs_wait the queue is readable and writable from then on. To shut it down again is fine.
 * mqrs_unlink makes room for a new queue of that name. What is given back after it
 * (mqrs_requeue, MQRS_OPT_REDELIVER) is received as well, if there still is somebody who does:
 * -EPIPE says that nothing is queued now, not that no worker holds a message.
 *
 * Returns 0, or
 *   -EBADF           q is NULL or no open handle, or was opened O_RDONLY
 *   -ENOTSUP         the queue is not in shared memory
 *   -EBADMSG         the queue is damaged
 *   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
 */
int mqrs_shutdown(mqrs_queue *q);

/**
 * Tell what a queue is and what it holds.
 *
 * q     the queue
 * out   receives the attributes
 * size  sizeof (struct mqrs_attr)
 *
 * Returns 0, or, having written nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          size is below the struct's size in the first release
 *   -E2BIG           size is above 4096, which no struct of any version is
 *   -EFAULT          out is NULL
 *   -EBADMSG         the queue is damaged
 *   -EACCES          System V: the queue's permissions do not let the caller read
 *   -EIDRM           System V: the queue was removed
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: POSIX.1-2024 mq_getattr; mq_getattr(3); msgctl(2), IPC_STAT.
 */
int mqrs_getattr(const mqrs_queue *q, struct mqrs_attr *out, size_t size);

/**
 * Tell what a queue has seen.
 *
 * q     the queue
 * out   receives the numbers; those that the queue's transport does not keep are 0
 * size  sizeof (struct mqrs_stats)
 *
 * Shared memory (MQRS_CAP_STATS): sent, received and dropped are exact, at one instant of the
 * call; what was given back and sent again (mqrs_requeue, MQRS_OPT_REDELIVER) counts once
 * more, and what died with its receiver, or with one who was dropping it, as received.
 * max_curmsgs is the most that a sender that met a full queue, a receiver that looked for
 * messages, or a call of this function has seen. blocked_senders and blocked_receivers are
 * calls asleep, users open handles, of processes that live. last_... need MQRS_OPT_STAMP;
 * the sender's library wrote them.
 * System V: the processes that sent and received last, and when. POSIX: -ENOTSUP.
 *
 * Returns 0, or, having written nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          size is below the struct's size in the first release
 *   -E2BIG           size is above 4096, which no struct of any version is
 *   -EFAULT          out is NULL
 *   -ENOTSUP         the queue keeps no statistics (MQRS_CAP_STATS)
 *   -EACCES          System V: the queue's permissions do not let the caller read
 *   -EIDRM           System V: the queue was removed
 *   -EBADMSG         the queue is damaged
 *   -EUSERS          and others: only a forked child's first call (see FORK AND EXEC)
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: msgctl(2), IPC_STAT.
 */
int mqrs_getstats(const mqrs_queue *q,
                  struct mqrs_stats *out,
                  size_t size);

/**
 * Tell what a transport allows on this machine. The values are read now, at each call.
 *
 * transport  MQRS_SHM, MQRS_POSIX, MQRS_SYSV or MQRS_AMQP
 * out        receives the limits; `unavailable` is 0, or the errno why no queue of this
 *            transport can be opened here
 * size       sizeof (struct mqrs_limits)
 *
 * Returns 0, or, having written nothing,
 *   -EINVAL  there is no such transport (MQRS_ANY is none), or size is below the struct's
 *            size in the first release
 *   -E2BIG   size is above 4096, which no struct of any version is
 *   -EFAULT  out is NULL
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: nothing to say.  Blocks: no.
 * Source: mq_overview(7), /proc interfaces.
 */
int mqrs_getlimits(uint32_t transport, struct mqrs_limits *out, size_t size);

/**
 * Let the calls on a handle wait or not, as O_NONBLOCK of mqrs_open does.
 *
 * q   the queue
 * on  not 0: calls never wait; 0: they wait as their timeout says
 *
 * It concerns this handle in this process only: after a fork parent and child each have
 * their own. A call that is waiting already goes on.
 *
 * Returns 0, or
 *   -EBADF           q is NULL or no open handle
 *   -EBADMSG         the queue is damaged
 *   -EIDRM           System V: the queue was removed
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: POSIX.1-2024 mq_setattr; mq_setattr(3).
 */
int mqrs_set_nonblock(mqrs_queue *q, int on);

/**
 * Change how many bytes a System V queue holds.
 *
 * q      the queue
 * bytes  the sum of the lengths of all messages, at most; also the number of messages, at
 *        most, and none of them may be longer. Messages that are queued stay
 *
 * Returns 0, or, having changed nothing,
 *   -EBADF           q is NULL or no open handle
 *   -EINVAL          bytes is 0, or more than the kernel can count
 *   -ENOTSUP         the queue is no System V queue
 *   -EPERM           the caller neither owns nor made the queue; or bytes is above
 *                    /proc/sys/kernel/msgmnb and the caller has no CAP_SYS_RESOURCE
 *   -EACCES          the queue's permissions do not let the caller read
 *   -EIDRM           the queue was removed
 *   -ENOTRECOVERABLE the library failed in an earlier call on q
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: msgctl(2), IPC_SET, msg_qbytes.
 */
int mqrs_set_maxbytes(mqrs_queue *q, uint64_t bytes);

/**
 * Begin to list the queues that there are.
 *
 * transport  MQRS_SHM, MQRS_POSIX or MQRS_SYSV; MQRS_ANY: all that can be listed here
 * out        receives the list, which is the caller's until mqrs_list_close
 *
 * Queues in shared memory are those of the directory MQRS_DIR, those of the kernel the ones
 * of the process's IPC namespace. A list is no snapshot: what comes or goes meanwhile is in
 * it or not.
 *
 * Returns 0, or, having begun nothing,
 *   -EINVAL   there is no such transport
 *   -EFAULT   out is NULL
 *   -ENOTSUP  this transport cannot be listed here: POSIX queues only where a file system
 *             of type mqueue is mounted (mount -t mqueue none /dev/mqueue)
 *   -EACCES   the directory's permissions forbid it; -ENOENT: there is none
 *   -ENOMEM   no memory for the list
 *   -EMFILE   the process has too many descriptors; -ENFILE: the system has
 * and what else the file system answers.
 *
 * Threads: any.  Signals: not async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: mq_overview(7), "Mounting the message queue filesystem"; msgctl(2), MSG_STAT.
 */
int mqrs_list_open(uint32_t transport,
                   mqrs_list **out);

/**
 * Get the next queue of a list.
 *
 * l     the list
 * out   receives the queue's address and attributes; of a queue that the caller may not
 *       open to receive, only address and transport, the rest is 0
 * size  sizeof (struct mqrs_entry)
 *
 * Queues that have gone since, and files that are no queues, are passed over. A System V
 * queue has the address that this library's names recorded, else that of its key, else that
 * of its number.
 *
 * Returns 1; 0 at the end, with nothing written; or, having written nothing and moved
 * nowhere,
 *   -EBADF           l is NULL or no list
 *   -EINVAL          size is below the struct's size in the first release
 *   -E2BIG           size is above 4096, which no struct of any version is
 *   -EFAULT          out is NULL
 *   -ENOMEM          no memory to look at the queue
 *   -EMFILE          the process has too many descriptors; -ENFILE: the system has
 *   -ENOTRECOVERABLE the library failed in an earlier call on l
 *
 * Threads: one at a time.  Signals: not async-signal-safe.  Fork: usable in the child.
 * Blocks: no.
 */
int mqrs_list_next(mqrs_list *l,
                   struct mqrs_entry *out,
                   size_t size);

/**
 * Free a list.
 *
 * l  the list
 *
 * Returns 0, or
 *   -EBADF           l is NULL or no list; it was closed already, as far as that can be
 *                    noticed
 *   -ENOTRECOVERABLE the library failed in a call on l; it is closed all the same
 *
 * Threads: no other call on l may be running or follow.  Signals: not async-signal-safe.
 * Fork: parent and child each close their own.  Blocks: no.
 */
int mqrs_list_close(mqrs_list *l);

/**
 * Say in words what an error means.
 *
 * err  what a function returned, or an errno; either sign
 *
 * Returns text that is constant and lives as long as the library; never NULL, also for a
 * number that is no error.
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: strerror(3).
 */
const char *mqrs_strerror(int err);

/**
 * Tell the name of an error: "EAGAIN".
 *
 * err  what a function returned, or an errno; either sign
 *
 * Returns text that is constant and lives as long as the library; never NULL: "0" for 0,
 * "UNKNOWN" for a number that has no name here.
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
 * Source: errno(3), strerrorname_np(3).
 */
const char *mqrs_errname(int err);

/**
 * Say in one sentence what went wrong in this thread's last failed call: which argument,
 * which limit, which file.
 *
 * buf  receives the sentence, cut to cap - 1 bytes and NUL-terminated; NULL only to ask
 *      for the length
 * cap  room in buf, in bytes; with 0 nothing is written
 *
 * A call that succeeds leaves the sentence of the last failure in place. The sentence is
 * for people: its words may change in any release.
 *
 * Returns the length of the whole sentence, without the NUL: what is >= cap was cut; 0 if
 * no call of this thread has failed.
 *
 * Threads: any, each has its own.  Signals: not async-signal-safe.  Fork: the child's
 * first thread inherits it.  Blocks: no.
 * Source: strerror_r(3), snprintf(3) for the result.
 */
size_t mqrs_last_error(char *buf, size_t cap);

/**
 * Tell the version of the library that is running: "0.1.0".
 *
 * MQRS_VERSION_MAJOR, _MINOR and _PATCH are those of the header that a program was
 * compiled with.
 *
 * Returns text that is constant and lives as long as the library.
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
 */
const char *mqrs_version(void);

/**
 * Tell the version of the library that is running as a number that grows with it:
 * major * 1000000 + minor * 1000 + patch, as MQRS_VERSION_NUMBER is of the header.
 *
 * Returns the number.
 *
 * Threads: any.  Signals: async-signal-safe.  Fork: usable in the child.  Blocks: no.
 */
uint32_t mqrs_version_number(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MQUEUE_RS_H */
