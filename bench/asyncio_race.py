"""The contender of ``bench.race_loop``: races and forwards as neo-race does, on asyncio's transports and protocols.

As little as the job allows: no limits, no time-outs, no metrics, no log, no
splice. ``python -m bench.asyncio_race LISTEN UPSTREAM…``, each ``ADDRESS:PORT``.
"""

import asyncio
import gc
import socket
import sys


class Side(asyncio.Protocol):
    """One side of a connection: forwards to the other, with back-pressure and half-close."""

    __slots__ = ("other", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read nothing before the race is decided."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.pause_reading()

    def join(self, other: "Side") -> None:
        """Forward from now on."""
        self.other = other
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Forward."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Forward the FIN, and stay open."""
        if self.other is not None and self.other.transport is not None and self.other.transport.can_write_eof():
            self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        """Let the sender wait."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the sender go on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side, too."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Client(Side):
    """An accepted connection: starts its race."""

    __slots__ = ("race", "upstreams")

    def __init__(self, upstreams: list[tuple[str, int]]) -> None:
        super().__init__()
        self.upstreams = upstreams
        self.race: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to all upstreams."""
        super().connection_made(transport)
        self.race = asyncio.get_running_loop().create_task(self._race())

    async def _race(self) -> None:
        sock = await _first(self.upstreams)
        self.race = None
        if sock is None:
            assert self.transport is not None
            self.transport.abort()
            return
        _, upstream = await asyncio.get_running_loop().create_connection(Side, sock=sock)
        self.join(upstream)
        upstream.join(self)


async def _first(upstreams: list[tuple[str, int]]) -> socket.socket | None:
    """Return the socket that is connected first; the others are closed."""
    loop, attempts = asyncio.get_running_loop(), {}
    for upstream in upstreams:
        sock = socket.socket()
        sock.setblocking(False)
        attempts[loop.create_task(loop.sock_connect(sock, upstream))] = sock
    winner = None
    pending = set(attempts)
    while pending and winner is None:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        winner = next((attempts.pop(task) for task in done if task.exception() is None), None)
    for task, sock in attempts.items():
        task.cancel()
        sock.close()
    return winner


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def main(listen: str, *upstreams: str) -> None:
    """Serve until killed."""
    targets = [_address(text) for text in upstreams]
    host, port = _address(listen)
    server = await asyncio.get_running_loop().create_server(lambda: Client(targets), host, port, backlog=4096)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)  # as neo-race does
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
