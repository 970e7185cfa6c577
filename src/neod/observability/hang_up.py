"""SIGHUP, which asks for a reload: from the first statement of a program on, it ends the program no more.

It is caught, not blocked: what a process blocks is blocked in every program that it starts.
"""

import os
import signal
from contextlib import suppress

_came: list[int] = []


def keep_hang_up() -> None:
    """Keep a signal that comes from now on for whoever is to take it; call before the file is read."""
    with suppress(ValueError):  # not the main thread, which alone may say so: then the program is somebody else's part
        signal.signal(signal.SIGHUP, lambda number, frame: _came.append(number))


def take_hang_up() -> None:
    """Send what came meanwhile again: there is somebody who reads the file again now."""
    if _came:
        _came.clear()
        os.kill(os.getpid(), signal.SIGHUP)
