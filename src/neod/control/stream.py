"""Requests out of a hostile byte stream, answers into one that may not be read: both bounded.

asyncvarlink's own server protocol has no limit on frames, time or what it
queues, and takes passed descriptors. Here asyncio stops reading at a bound,
and ``recv`` without room for control data makes the kernel close passed
descriptors before they get a number.
"""

import asyncio
import select
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a client may take from us. The defaults hold 64 hostile clients at 96 kB each."""

    frame_bytes: int = 32 * 1024  # a request; a path of 4096 letters, all escaped, takes 24 kB
    frame_s: float = 10.0  # from the first byte of a request to its last
    idle_s: float = 60.0  # between requests
    stall_s: float = 30.0  # an answer that nobody reads
    connections: int = 64
    strangers: int = 56  # of those; the rest is kept for root and our own user
    per_uid: int = 8  # of a stranger


class Dropped(Exception):
    """The client left, broke a limit or sent nonsense; it gets no further answer."""


class Stream(asyncio.StreamReaderProtocol):
    """One connection: frames in, frames out, and word when the peer is gone."""

    def __init__(self, limits: ClientLimits, connected: Callable[["Stream"], object]) -> None:
        self._reader = asyncio.StreamReader(limit=limits.frame_bytes)
        super().__init__(self._reader, lambda _, writer: self._connected(writer))
        self._limits, self._announce = limits, connected
        self._writer: asyncio.StreamWriter | None = None
        self._on_hang_up: Callable[[], object] | None = None

    @property
    def writer(self) -> asyncio.StreamWriter:
        """The sending half; there is one from the moment the connection is announced."""
        assert self._writer is not None
        return self._writer

    def _connected(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=0)  # drain() waits until the kernel has it all
        writer.transport.max_size = self._limits.frame_bytes  # type: ignore[attr-defined] # a read; asyncio's is 256 KiB
        self._announce(self)

    def watch(self, on_hang_up: Callable[[], object] | None) -> None:
        """Call *on_hang_up* as soon as the peer has closed, at once if it has already; None ends that."""
        self._on_hang_up = on_hang_up
        self._look()

    def _look(self) -> None:
        """A peer that closed is gone; one that only shut its sending half still reads."""
        if self._on_hang_up and (self.writer.is_closing() or _closed(self.writer.get_extra_info("socket").fileno())):
            self._on_hang_up()

    def eof_received(self) -> bool:
        """Take the end of what the peer sends."""
        self._look()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing can be sent any more."""
        super().connection_lost(exc)
        self._look()

    async def receive(self) -> bytes | None:
        """Return the next request without its NUL, or None when the client is done.

        Raises:
            Dropped: it was too long or took too long.
        """
        try:
            async with asyncio.timeout(self._limits.idle_s):
                first = await self._reader.read(1)
            if not first:
                return None
            async with asyncio.timeout(self._limits.frame_s):
                return (first + await self._reader.readuntil(b"\0"))[:-1]
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
            raise Dropped(f"receiving: {exc!r}") from exc

    async def send(self, frame: bytes) -> None:
        """Return when the kernel has taken *frame* and its NUL.

        Raises:
            Dropped: the client is gone, or does not read.
        """
        try:
            self.writer.write(frame + b"\0")
            async with asyncio.timeout(self._limits.stall_s):
                await self.writer.drain()
        except (TimeoutError, OSError) as exc:
            raise Dropped(f"sending: {exc!r}") from exc

    def abort(self) -> None:
        """Close at once; what the kernel has not taken yet is lost."""
        self.writer.transport.abort()


def _closed(fd: int) -> bool:
    """Whether both directions of a unix socket are shut; Linux reports POLLHUP for exactly that."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))
