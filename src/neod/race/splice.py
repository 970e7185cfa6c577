"""One direction of a connection: what arrives on one socket leaves on the other, in order, once.

Small messages are copied through one buffer that all flows share; from the
first full buffer on a flow is spliced through a pipe, which the kernel fills
and empties without copying. A pipe or a buffer is held only while the
receiver is slower than the sender, and nothing is read before all that was
read is gone: so back-pressure reaches the sender, and ``EAGAIN`` when reading
always means an empty socket (a pipe that is full says the same).
"""

import os
from socket import MSG_MORE, SHUT_WR, socket
from typing import Final

from neod.race.pipes import Pipe, PipePool

SCRATCH_BYTES: Final = 1 << 14
"""Up to here a message is copied: the pipe's two system calls more cost about what copying this does."""

TURN_BYTES: Final = 1 << 20
"""Moved for one flow before the others have their turn."""

FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


class Broken(Exception):
    """*sock* failed, and with it whatever went through it."""

    def __init__(self, sock: socket, error: OSError) -> None:
        super().__init__(error)
        self.sock, self.error = sock, error


class Scratch:
    """What all flows of one thread share: the buffer for small messages and the pipes."""

    __slots__ = ("buffer", "pool", "view")

    def __init__(self, pool: PipePool) -> None:
        self.buffer = bytearray(SCRATCH_BYTES)
        self.view = memoryview(self.buffer)
        self.pool = pool


class Flow:
    """Bytes from *source* to *sink*.

    ``readable`` and ``writable`` are what epoll said last and no system call
    has contradicted since. ``exact`` makes reading go on until the socket says
    that it is empty; without it a short read says so, which holds for TCP
    unless its end or urgent data was reported.
    """

    __slots__ = (
        "bulk",
        "closing",
        "done",
        "ended",
        "exact",
        "held",
        "moved",
        "pipe",
        "readable",
        "rest",
        "scratch",
        "sink",
        "source",
        "writable",
    )

    def __init__(self, source: socket, sink: socket, scratch: Scratch, exact: bool = False) -> None:
        self.source, self.sink, self.scratch, self.exact = source, sink, scratch, exact
        self.readable = self.writable = False
        self.bulk = False
        self.closing = False  # the end is in the source's buffer already, behind what is still to be read
        self.ended = False  # the source will send no more
        self.done = False  # and the sink was told so
        self.held = 0  # bytes in ``pipe`` or ``rest``
        self.moved = 0  # bytes handed to the sink's kernel, in all
        self.pipe: Pipe | None = None
        self.rest = b""

    def pump(self) -> bool:
        """Move what can move now; True asks for another turn.

        Raises:
            Broken: one of the two sockets has failed.
        """
        taken = 0
        while True:
            if self.held and not self._flush():
                return False
            if self.ended:
                self._finish()
                return False
            if not self.readable or taken >= TURN_BYTES:
                break
            taken += self._splice_in() if self.bulk else self._copy_in()
        if self.pipe is not None:
            self._give_back()
            self.bulk = taken >= SCRATCH_BYTES
        return self.readable

    def drop(self) -> None:
        """Forget what is held; the pipe goes with it."""
        if self.pipe is not None:
            if self.held:
                self.scratch.pool.drop(self.pipe)
            else:
                self.scratch.pool.give(self.pipe)
            self.pipe = None
        self.held, self.rest = 0, b""

    def _give_back(self) -> None:
        if self.pipe is not None:
            self.scratch.pool.give(self.pipe)
            self.pipe = None

    def _finish(self) -> None:
        self._give_back()
        if not self.done:
            self.done = True
            try:
                self.sink.shutdown(SHUT_WR)
            except OSError as error:
                raise Broken(self.sink, error) from error

    def _copy_in(self) -> int:
        """Read once into the shared buffer and send it on; what does not go out is kept."""
        scratch = self.scratch
        try:
            got = self.source.recv_into(scratch.buffer)
        except BlockingIOError:
            self.readable = False
            return 0
        except OSError as error:
            raise Broken(self.source, error) from error
        if got == 0:
            self.ended = True
            return 0
        if got == SCRATCH_BYTES:
            self.bulk = True
        elif not self.exact:
            self.readable = False
        try:
            # the end follows at once: let it travel in the same packet
            sent = self.sink.send(scratch.view[:got], MSG_MORE if self.closing else 0) if self.writable else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Broken(self.sink, error) from error
        self.moved += sent
        if sent < got:
            self.writable = False
            self.rest = bytes(scratch.view[sent:got])
            self.held = got - sent
        return got

    def _splice_in(self) -> int:
        """Fill an empty pipe from the source; copies instead when there is none."""
        pipe = self.pipe
        if pipe is None:
            pipe = self.pipe = self.scratch.pool.take()
            if pipe is None:
                return self._copy_in()
        try:
            self.held = os.splice(self.source.fileno(), pipe.into, pipe.room, flags=FLAGS)
        except BlockingIOError:
            self.readable = False
            return 0
        except OSError as error:
            raise Broken(self.source, error) from error
        if self.held == 0:
            self.ended = True
        return self.held

    def _flush(self) -> bool:
        """Hand over what is held; False: the sink takes no more now."""
        while self.writable:
            try:
                sent = self._flush_pipe(self.pipe) if self.pipe is not None else self._flush_rest()
            except BlockingIOError:
                self.writable = False
                return False
            except OSError as error:
                raise Broken(self.sink, error) from error
            self.held -= sent
            self.moved += sent
            if self.held == 0:
                return True
        return False

    def _flush_pipe(self, pipe: Pipe) -> int:
        return os.splice(pipe.out, self.sink.fileno(), self.held, flags=FLAGS)

    def _flush_rest(self) -> int:
        sent = self.sink.send(self.rest)
        self.rest = self.rest[sent:]
        return sent
