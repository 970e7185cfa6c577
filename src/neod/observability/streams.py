"""Standard streams as they may be: in ASCII, closed, a pipe whose reader has left, on a full disk."""

import os
import sys
from collections.abc import Callable
from typing import Final

BROKEN_PIPE: Final = 141  # as a shell reports SIGPIPE
UNWRITABLE: Final = 74  # EX_IOERR


def tolerate() -> None:
    """Print a character that the stream has not as "?"; a closed stream is empty, or takes what nobody gets."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # each opens as the lowest that is free
        stream = getattr(sys, name)
        if stream is None:  # its descriptor would be that of the next file or socket
            setattr(sys, name, open(os.devnull, mode, errors="replace"))  # noqa: PTH123, SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def printable(text: str) -> str:
    """Return *text* with all that could steer a terminal made visible: ``\\x1b``, ``\\u202e``.

    Names and texts come from the network and the kernel. What is not
    printable is a control, a format character, a surrogate or unassigned.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def guarded(program: Callable[[], int]) -> int:
    """Return the exit status of *program*, or of its output where that cannot be written to its end."""
    tolerate()
    try:
        try:
            return program()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard()
        return BROKEN_PIPE
    except OSError as error:
        discard()
        print(f"standard output: {error.strerror or error}", file=sys.stderr)
        return UNWRITABLE


def discard() -> None:
    """Let what is still to be printed go nowhere: the interpreter would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
