"""Pipes to splice through: few, shared by all flows, and not used when the kernel makes them too small.

A flow needs a pipe only while bytes wait in it. So idle and fast flows share a
handful; only flows whose receiver is slower than the sender hold one each.
"""

import errno
import fcntl
import os
from typing import Final

PREFERRED_BYTES: Final = 1 << 18
"""Requested size of a pipe. Measured with one bulk flow: 64 KiB takes a sixth more CPU, 1 MiB hardly less."""

MIN_BYTES: Final = 1 << 16
"""Smaller means that the user is over ``fs.pipe-user-pages-soft`` and gets two pages. Copying is faster."""

MAX_SPARE: Final = 32
"""Empty pipes kept for the next flow."""


class Pipe:
    """The two ends of one pipe. Its holder knows how many bytes are inside."""

    __slots__ = ("into", "out", "room")

    def __init__(self, out: int, into: int, room: int) -> None:
        self.out, self.into, self.room = out, into, room

    def close(self) -> None:
        """Close the pipe and discard its content."""
        os.close(self.out)
        os.close(self.into)


class PipePool:
    """At most *most* pipes; ``made`` counts those that exist."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.made = 0
        self.refusals = 0
        self._spare: list[Pipe] = []
        self._exhausted = False

    def take(self) -> Pipe | None:
        """Return an empty pipe, or None: then the flow copies."""
        if self._spare:
            return self._spare.pop()
        if self.made >= self.most or self._exhausted:
            self.refusals += 1
            return None
        pipe = self._make()
        if pipe is None:
            self._exhausted = True
            self.refusals += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Take back an empty pipe."""
        if len(self._spare) < MAX_SPARE:
            self._spare.append(pipe)
        else:
            self.drop(pipe)

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe and discard its content."""
        pipe.close()
        self.made -= 1
        self._exhausted = False

    def close(self) -> None:
        while self._spare:
            self.drop(self._spare.pop())

    def _make(self) -> Pipe | None:
        try:
            out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                return None
            raise
        try:
            room = fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PREFERRED_BYTES)
        except OSError:  # EPERM: over the soft limit; EBUSY cannot be
            room = fcntl.fcntl(into, fcntl.F_GETPIPE_SZ)
        pipe = Pipe(out, into, room)
        if room < MIN_BYTES:
            pipe.close()
            return None
        self.made += 1
        return pipe
