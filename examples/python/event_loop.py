#!/usr/bin/env python3
"""A queue in an asyncio program, with nothing but the standard library.

A child process sends jobs; the coroutine `jobs` waits for them beside
everything else that the event loop has to do. asyncio watches the queue's
descriptor, and the library is called only for what is there: no thread, no
executor, no call that blocks.

    LD_LIBRARY_PATH=... python3 event_loop.py
"""

import asyncio
import ctypes
import errno
import os
import sys

NOWAIT = 0

library = ctypes.CDLL("libmqueue_rs.so.0")
library.mqrs_open.argtypes = [
    ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_void_p),
]
library.mqrs_close.argtypes = [ctypes.c_void_p]
library.mqrs_unlink.argtypes = [ctypes.c_char_p]
library.mqrs_fd.argtypes = [ctypes.c_void_p]
library.mqrs_send.argtypes = [
    ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32,
]
library.mqrs_timedreceive.argtypes = [
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64,
    ctypes.POINTER(ctypes.c_uint32),
]
library.mqrs_timedreceive.restype = ctypes.c_ssize_t


def checked(result):
    """A result, or the exception that belongs to the error."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


class Queue:
    def __init__(self, name, oflag):
        self.handle = ctypes.c_void_p()
        checked(library.mqrs_open(name.encode(), oflag, None, 0, ctypes.byref(self.handle)))
        self.buffer = ctypes.create_string_buffer(8192)

    def close(self):
        checked(library.mqrs_close(self.handle))

    def send(self, message, priority=0):
        checked(library.mqrs_send(self.handle, message, len(message), priority))

    def receive_nowait(self):
        """The next message; BlockingIOError if there is none."""
        length = checked(library.mqrs_timedreceive(
            self.handle, self.buffer, len(self.buffer), NOWAIT, None))
        return self.buffer.raw[:length]

    async def receive(self):
        """The next message, whenever it comes."""
        loop = asyncio.get_running_loop()
        # It belongs to the handle: it is watched, never read and never closed.
        descriptor = checked(library.mqrs_fd(self.handle))
        while True:
            try:
                return self.receive_nowait()
            except BlockingIOError as error:
                assert error.errno == errno.EAGAIN
            ready = loop.create_future()
            loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
            try:
                await ready
            finally:
                loop.remove_reader(descriptor)


async def tick(ticks):
    while True:
        await asyncio.sleep(0.01)
        ticks.append(None)


async def jobs(queue, ticks):
    while (message := await queue.receive()) != b"that is all":
        print("job:", message.decode())
        if message == b"wait a moment":
            # The event loop goes on meanwhile.
            while not ticks:
                await asyncio.sleep(0.001)
    print("done, and the clock went on" if ticks else "done")


async def main(queue):
    ticks = []
    clock = asyncio.create_task(tick(ticks))
    await asyncio.wait_for(jobs(queue, ticks), timeout=60)
    clock.cancel()


def child(name):
    queue = Queue(name, os.O_WRONLY)
    for message in (b"sweep the yard", b"wait a moment", b"lock the door", b"that is all"):
        queue.send(message)
    queue.close()


if __name__ == "__main__":
    name = f"/jobs-of-{os.getpid()}"
    queue = Queue(name, os.O_CREAT | os.O_EXCL | os.O_RDONLY)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        child(name)
        os._exit(0)
    try:
        asyncio.run(main(queue))
    finally:
        os.waitpid(pid, 0)
        queue.close()
        checked(library.mqrs_unlink(name.encode()))
