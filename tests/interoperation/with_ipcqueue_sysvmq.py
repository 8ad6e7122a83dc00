"""A program that uses System V queues through ipcqueue.sysvmq.

    with_ipcqueue_sysvmq.py KEY

It opens a queue only by creating it if need be, does not tell a message's type, and removes
the queue when it closes it.
"""

import errno
import queue as outcomes
import sys

from ipcqueue import sysvmq
from ipcqueue.serializers import RawSerializer
from peer import Busy, Gone, message_of, objects, serve, wait_of, word_of

key = int(sys.argv[1])
queue = None

ERRNOS = {
    sysvmq.QueueError.INVALID_VALUE: errno.EINVAL,
    sysvmq.QueueError.TOO_BIG_MESSAGE: errno.EMSGSIZE,
}


def as_errors(call):
    def wrapped(*words):
        try:
            return call(*words)
        except (outcomes.Full, outcomes.Empty):
            raise Busy
        except sysvmq.QueueError as error:
            if error.errno == sysvmq.QueueError.INVALID_DESCRIPTOR:
                raise Gone
            raise OSError(ERRNOS.get(error.errno, errno.EIO), error.msg)

    return wrapped


def create(most=None):
    global queue
    queue = sysvmq.Queue(key, most and int(most), serializer=RawSerializer)


def send(kind, wait, message):
    queue.put(message_of(message), wait_of(wait) != 0, int(kind))


def receive(selector, wait):
    return "?", word_of(queue.get(wait_of(wait) != 0, int(selector)))


def attributes():
    found = queue.qattr()
    return found["size"], found["max_bytes"]


def pickling():
    """The same queue as most programs use it."""
    return sysvmq.Queue(key)


serve(
    {
        verb: as_errors(call)
        for verb, call in {
            "create": create,
            "open": create,
            "send": send,
            "receive": receive,
            "attributes": attributes,
            "bytes": create,
            "remove": lambda: queue.close(),
            **objects(pickling),
        }.items()
    }
)
