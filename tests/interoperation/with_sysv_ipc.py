"""A program that uses System V queues through sysv_ipc.

    with_sysv_ipc.py KEY
"""

import errno
import sys

import sysv_ipc
from peer import Busy, Gone, message_of, serve, wait_of, word_of

# A key of 32 bits; the package takes a C int.
key = int(sys.argv[1])
key -= (key >> 31) << 32
queue = None

# The room for a message that is received; the package's default is 2048.
LONGEST = 8192


def as_errors(call):
    """sysv_ipc has exceptions of its own, which do not tell the errno."""

    def wrapped(*words):
        try:
            return call(*words)
        except sysv_ipc.BusyError:
            raise Busy
        except sysv_ipc.ExistentialError as error:
            if queue is not None:
                raise Gone
            absent = "No" in str(error)
            raise OSError(errno.ENOENT if absent else errno.EEXIST, str(error))

    return wrapped


def create():
    global queue
    queue = sysv_ipc.MessageQueue(
        key, sysv_ipc.IPC_CREX, mode=0o640, max_message_size=LONGEST
    )


def reopen():
    global queue
    queue = sysv_ipc.MessageQueue(key, max_message_size=LONGEST)


def send(kind, wait, message):
    queue.send(message_of(message), wait_of(wait) != 0, int(kind))


def receive(selector, wait):
    message, kind = queue.receive(wait_of(wait) != 0, int(selector))
    return kind, word_of(message)


def attributes():
    return (
        queue.current_messages,
        queue.max_size,
        queue.last_send_pid,
        queue.last_receive_pid,
        format(queue.mode, "o"),
    )


def resize(most):
    queue.max_size = int(most)


serve(
    {
        verb: as_errors(call)
        for verb, call in {
            "create": create,
            "open": reopen,
            "send": send,
            "receive": receive,
            "attributes": attributes,
            "bytes": resize,
            "remove": lambda: queue.remove(),
        }.items()
    }
)
