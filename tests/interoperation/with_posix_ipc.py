"""A program that uses the kernel's POSIX queues through posix_ipc.

    with_posix_ipc.py NAME
"""

import errno
import select
import signal
import sys

import posix_ipc
from peer import Busy, message_of, serve, wait_of, word_of

name = sys.argv[1]
queue = None


def as_errors(call):
    """posix_ipc has exceptions of its own, not all of which tell the errno."""

    def wrapped(*words):
        try:
            return call(*words)
        except posix_ipc.BusyError:
            raise Busy
        except posix_ipc.ExistentialError as error:
            absent = "No" in str(error)
            raise OSError(errno.ENOENT if absent else errno.EEXIST, str(error))

    return wrapped


def create(maxmsg, msgsize):
    global queue
    queue = posix_ipc.MessageQueue(
        name, posix_ipc.O_CREX, mode=0o640, max_messages=int(maxmsg), max_message_size=int(msgsize)
    )


def reopen(maxmsg, msgsize):
    global queue
    queue = posix_ipc.MessageQueue(name)


def send(priority, wait, message):
    queue.send(message_of(message), wait_of(wait), int(priority))


def receive(_, wait):
    message, priority = queue.receive(wait_of(wait))
    return priority, word_of(message)


def attributes():
    return queue.max_messages, queue.max_message_size, queue.current_messages


def poll():
    readable, writable, _ = select.select([queue], [queue], [], 0)
    return len(readable), len(writable)


def nonblock(on):
    queue.block = on == "0"


def notify():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    queue.request_notification(signal.SIGRTMIN)


def notified():
    # The SI_MESGQ of <asm-generic/siginfo.h>. posix_ipc gives no value.
    information = signal.sigwaitinfo([signal.SIGRTMIN])
    return int(information.si_code == -3), information.si_pid, 0


serve(
    {
        verb: as_errors(call)
        for verb, call in {
            "create": create,
            "open": reopen,
            "send": send,
            "receive": receive,
            "attributes": attributes,
            "poll": poll,
            "nonblock": nonblock,
            "notify": notify,
            "notified": notified,
            "unlink": lambda: posix_ipc.unlink_message_queue(name),
            "close": lambda: queue.close(),
        }.items()
    }
)
