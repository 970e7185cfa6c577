"""Pipes to splice through: few, shared by all flows, and given up when the kernel rations them.

A flow needs a pipe only while bytes wait in it. So all that are idle or keep
up share a handful; only those whose receiver is slower than the sender hold
one each.
"""

import errno
import fcntl
import os
from typing import Final

WISHED_BYTES: Final = 1 << 18
"""Asked for a pipe. Measured with one bulk flow: 64 KiB takes a sixth more CPU, 1 MiB hardly less."""

LEAST_BYTES: Final = 1 << 16
"""Anything smaller is the ration of a user over ``fs.pipe-user-pages-soft``: two pages. Copying is faster."""

SPARE: Final = 32
"""Empty pipes kept for the next flow."""


class Pipe:
    """The two ends of one pipe. Whoever holds it knows how many bytes are inside."""

    __slots__ = ("into", "out", "room")

    def __init__(self, out: int, into: int, room: int) -> None:
        self.out, self.into, self.room = out, into, room

    def close(self) -> None:
        """Drop the pipe and what is in it."""
        os.close(self.out)
        os.close(self.into)


class PipePool:
    """At most *most* pipes; ``made`` counts those that exist."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.made = 0
        self.refusals = 0
        self._spare: list[Pipe] = []
        self._rationed = False

    def take(self) -> Pipe | None:
        """Return an empty pipe, or None when copying has to do instead."""
        if self._spare:
            return self._spare.pop()
        if self.made >= self.most or self._rationed:
            self.refusals += 1
            return None
        pipe = self._make()
        if pipe is None:
            self._rationed = True
            self.refusals += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Take back an empty pipe."""
        if len(self._spare) < SPARE:
            self._spare.append(pipe)
        else:
            self.drop(pipe)

    def drop(self, pipe: Pipe) -> None:
        """Close a pipe, with what is in it."""
        pipe.close()
        self.made -= 1
        self._rationed = False

    def close(self) -> None:
        """Close the spare ones."""
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
            room = fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, WISHED_BYTES)
        except OSError:  # EPERM: over the soft limit; EBUSY cannot be
            room = fcntl.fcntl(into, fcntl.F_GETPIPE_SZ)
        pipe = Pipe(out, into, room)
        if room < LEAST_BYTES:
            pipe.close()
            return None
        self.made += 1
        return pipe
