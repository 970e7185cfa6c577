"""One direction of a connection: bytes from one socket to the other, in order.

Small messages are copied through a buffer that all flows share; after the first full buffer a flow is spliced through a
pipe, without copying to user space. A pipe or a buffer is held only while the receiver is slower than the sender, and
nothing is read before everything read is sent: so back-pressure reaches the sender, and ``EAGAIN`` when reading always
means an empty socket (a full pipe would return it, too).
"""

import os
from socket import MSG_MORE, SHUT_WR, socket
from typing import Final

from neod.race.pipes import Pipe, PipePool

SCRATCH_BYTES: Final = 1 << 14
"""Messages up to this size are copied: splicing needs two more system calls, which cost about as much."""

TURN_BYTES: Final = 1 << 20
"""Moved for one flow before other flows are served."""

FLAGS: Final = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


class FlowBroken(Exception):
    """*sock* failed, and so did the flows through it."""

    def __init__(self, sock: socket, error: OSError) -> None:
        super().__init__(error)
        self.sock, self.error = sock, error


class SharedBuffers:
    """Shared by all flows of one thread: the buffer for small messages, and the pipes."""

    __slots__ = ("buffer", "pool", "view")

    def __init__(self, pool: PipePool) -> None:
        self.buffer = bytearray(SCRATCH_BYTES)
        self.view = memoryview(self.buffer)
        self.pool = pool


class ByteFlow:
    """Bytes from *source* to *sink*.

    ``readable`` and ``writable`` are set for epoll events and cleared by EAGAIN. With ``exact`` reading goes on until
    EAGAIN; without it a short read means an empty socket, which holds for TCP unless FIN or urgent data was reported.
    """

    __slots__ = (
        "bulk", "closing", "done", "ended", "exact", "held", "moved",
        "pipe", "readable", "rest", "scratch", "sink", "source", "unsent", "writable",
    )  # fmt: skip

    def __init__(self, source: socket, sink: socket, scratch: SharedBuffers, exact: bool = False) -> None:
        self.source, self.sink, self.scratch, self.exact = source, sink, scratch, exact
        self.readable = self.writable = False
        self.bulk = False
        self.closing = False  # a FIN is queued behind the unread data of the source
        self.ended = False  # the FIN of the source was read
        self.done = False  # and forwarded to the sink
        self.held = 0  # bytes in ``pipe`` or ``rest``
        self.moved = 0  # bytes sent to the sink, in all
        self.unsent = 0  # bytes read in vain: the sink had failed, or its side was closed
        self.pipe: Pipe | None = None
        self.rest = b""

    def can_write(self) -> None:
        """Note that the sink takes bytes again."""
        self.writable = True

    def can_read(self) -> None:
        """Note that the source has bytes, or a FIN."""
        self.readable = True

    def read_to_the_end(self, closing: bool) -> None:
        """Read until EAGAIN from now on: FIN or urgent data was reported; *closing*: it is a FIN."""
        self.exact, self.closing = True, closing

    def stop_reading(self) -> None:
        """Take the source as empty."""
        self.readable = False

    def drain(self) -> None:
        """Deliver what the source still has, and no FIN: a reset will follow."""
        self.done = self.exact = self.readable = True

    def pump(self) -> bool:
        """Move what can be moved now; True: call again in the next turn.

        Raises:
            FlowBroken: one of the two sockets has failed.
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
        """Discard what is held, and its pipe."""
        if self.pipe is not None:
            if self.held:
                self.scratch.pool.drop(self.pipe)
            else:
                self.scratch.pool.give(self.pipe)
            self.pipe = None
        self.unsent += self.held
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
                raise FlowBroken(self.sink, error) from error

    def _copy_in(self) -> int:
        """Read once into the shared buffer and send; keep what the sink does not take."""
        scratch = self.scratch
        try:
            got = self.source.recv_into(scratch.buffer)
        except BlockingIOError:
            self.readable = False
            return 0
        except OSError as error:
            raise FlowBroken(self.source, error) from error
        if got == 0:
            self.ended = True
            return 0
        if got == SCRATCH_BYTES:
            self.bulk = True
        elif not self.exact:
            self.readable = False
        try:
            # the FIN follows at once: in the same packet
            sent = self.sink.send(scratch.view[:got], MSG_MORE if self.closing else 0) if self.writable else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.unsent += got
            raise FlowBroken(self.sink, error) from error
        self.moved += sent
        if sent < got:
            self.writable = False
            self.rest = bytes(scratch.view[sent:got])
            self.held = got - sent
        return got

    def _splice_in(self) -> int:
        """Fill an empty pipe from the source; copy if no pipe is available."""
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
            raise FlowBroken(self.source, error) from error
        if self.held == 0:
            self.ended = True
        return self.held

    def _flush(self) -> bool:
        """Send what is held; False: the sink takes no more now."""
        while self.writable:
            try:
                sent = self._flush_pipe(self.pipe) if self.pipe is not None else self._flush_rest()
            except BlockingIOError:
                self.writable = False
                return False
            except OSError as error:
                raise FlowBroken(self.sink, error) from error
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
