"""A program that uses the kernel's POSIX queues through ipcqueue.posixmq.

    with_ipcqueue_posixmq.py NAME

It opens a queue only by creating it if need be, and does not tell a message's priority.
"""

import errno
import queue as outcomes
import sys

from ipcqueue import posixmq
from ipcqueue.serializers import RawSerializer
from peer import Busy, message_of, objects, serve, wait_of, word_of

name = sys.argv[1]
queue = None

ERRNOS = {
    posixmq.QueueError.INVALID_VALUE: errno.EINVAL,
    posixmq.QueueError.TOO_BIG_MESSAGE: errno.EMSGSIZE,
    posixmq.QueueError.DOES_NOT_EXIST: errno.ENOENT,
    posixmq.QueueError.INVALID_DESCRIPTOR: errno.EBADF,
}


def as_errors(call):
    def wrapped(*words):
        try:
            return call(*words)
        except (outcomes.Full, outcomes.Empty):
            raise Busy
        except posixmq.QueueError as error:
            raise OSError(ERRNOS.get(error.errno, errno.EIO), error.msg)

    return wrapped


def create(maxmsg, msgsize):
    global queue
    queue = posixmq.Queue(name, int(maxmsg), int(msgsize), serializer=RawSerializer)


def send(priority, wait, message):
    timeout = wait_of(wait)
    queue.put(message_of(message), timeout != 0, timeout, int(priority))


def receive(_, wait):
    timeout = wait_of(wait)
    return "?", word_of(queue.get(timeout != 0, timeout))


def attributes():
    found = queue.qattr()
    return found["max_size"], found["max_msgbytes"], found["size"]


def pickling():
    """The same queue as most programs use it."""
    return posixmq.Queue(name, 4, 64)


serve(
    {
        verb: as_errors(call)
        for verb, call in {
            "create": create,
            "open": create,
            "send": send,
            "receive": receive,
            "attributes": attributes,
            "unlink": lambda: queue.unlink(),
            "close": lambda: queue.close(),
            **objects(pickling),
        }.items()
    }
)
