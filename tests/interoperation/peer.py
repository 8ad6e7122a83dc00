"""What the peers in Python share: the lines that they read and answer (see peer.rs)."""

import errno
import sys

FOREVER = None


class Busy(Exception):
    """The queue is full or empty, and the call did not wait, or not for so long."""


class Gone(Exception):
    """The queue was removed."""


def wait_of(word):
    """Seconds, 0 for not at all, None for ever."""
    return {"forever": FOREVER, "now": 0}.get(word) if word[0].isalpha() else int(word) / 1000


def message_of(word):
    return b"" if word == "-" else bytes.fromhex(word)


def word_of(message):
    return bytes(message).hex() or "-"


def objects(queue):
    """Verbs that pass an object as most programs do; `queue` opens one that takes them."""
    return {
        "put_object": lambda: queue().put([1, "A"]),
        "get_object": lambda: (repr(queue().get()).replace(" ", ""),),
    }


def serve(verbs):
    """Do what each line says; a verb is a function of the line's other words."""
    for line in sys.stdin:
        verb, *words = line.split()
        try:
            answer = verbs[verb](*words)
            print("ok", *(answer or ()), flush=True)
        except Busy:
            print("busy", flush=True)
        except Gone:
            print("gone", flush=True)
        except (ValueError, OverflowError):
            print("error", errno.EINVAL, flush=True)
        except OSError as error:
            print("error", error.errno, flush=True)
