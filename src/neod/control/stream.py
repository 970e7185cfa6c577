"""Framing on one client connection, bounded in bytes and time against hostile clients.

asyncvarlink's own server protocol has no limit on frames, time or what it queues, and takes passed descriptors. Here
asyncio stops reading at a bound, and ``recv`` without room for control data makes the kernel close passed descriptors
before they get a number.
"""

import asyncio
import select
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Resource limits of clients. The defaults hold 64 hostile clients at 96 kB each."""

    frame_bytes: int = 32 * 1024  # a request; a path of 4096 letters, all escaped, takes 24 kB
    frame_s: float = 10.0  # from the first byte of a request to its last
    idle_s: float = 60.0  # between requests
    stall_s: float = 30.0  # a reply that the client does not read
    connections: int = 64
    unprivileged: int = 56  # of those; the rest is reserved for root and our own user
    per_uid: int = 8  # of an unprivileged user


class Dropped(Exception):
    """The client disconnected, exceeded a limit or sent an invalid request; it gets no further reply."""


class Stream(asyncio.StreamReaderProtocol):
    """One connection: receives and sends frames, and notifies when the peer has closed."""

    def __init__(self, limits: ClientLimits, connected: Callable[["Stream"], object]) -> None:
        self._reader = asyncio.StreamReader(limit=limits.frame_bytes)
        super().__init__(self._reader, lambda _, writer: self._connected(writer))
        self._limits, self._announce = limits, connected
        self._writer: asyncio.StreamWriter | None = None
        self._on_close: Callable[[], object] | None = None

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

    def watch(self, on_close: Callable[[], object] | None) -> None:
        """Call *on_close* as soon as the peer has closed, at once if it has already; None ends that."""
        self._on_close = on_close
        self._notify_if_closed()

    def _notify_if_closed(self) -> None:
        """Notify if the peer has closed; one that shut only its sending half still reads."""
        if self._on_close and (self.writer.is_closing() or _closed(self.writer.get_extra_info("socket").fileno())):
            self._on_close()

    def eof_received(self) -> bool:
        """Take the end of what the peer sends."""
        self._notify_if_closed()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing can be sent any more."""
        super().connection_lost(exc)
        self._notify_if_closed()

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
            Dropped: the client has closed, or does not read.
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
