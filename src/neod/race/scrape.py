"""A page for Prometheus: one GET a connection, then close."""

import contextlib
import socket
from collections.abc import Callable

from neod.observability.http import MOST, PATIENCE_S, REQUEST_BYTES, TooLong, answer
from neod.race.loop import ERR, HUP, OUT, Loop
from neod.race.sockets import address_of


class Scrapes:
    """Answers ``GET /metrics`` with what *page* returns at that moment."""

    def __init__(self, loop: Loop, host: str, port: int, page: Callable[[], str]) -> None:
        family, address = address_of(host, port)
        self._loop, self._page = loop, page
        self._readers: set[Reader] = set()
        self._sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.bind(address)
            self._sock.listen(MOST)
        except OSError:
            self._sock.close()
            raise
        loop.watch(self._sock.fileno(), self._on_ready, mask=1)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the port that the kernel chose if it was 0."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Listen no more, and let no reader finish."""
        self._loop.bury(self._sock)
        for reader in list(self._readers):
            reader.close()

    def _on_ready(self, _: int) -> None:
        try:
            client, _address = self._sock.accept()
        except OSError:  # none there any more, or no descriptor: the next turn asks again
            return
        if len(self._readers) >= MOST:
            client.close()
            return
        client.setblocking(False)
        self._readers.add(Reader(self._loop, client, self._page, self._readers.discard))


class Reader:
    """One HTTP exchange."""

    def __init__(
        self, loop: Loop, client: socket.socket, page: Callable[[], str], gone: Callable[["Reader"], None]
    ) -> None:
        self._loop, self._client, self._page, self._gone = loop, client, page, gone
        self._heard = b""
        self._reply = memoryview(b"")
        self._timer = loop.later(PATIENCE_S, self.close)
        loop.watch(client.fileno(), self._on_event)

    def close(self) -> None:
        """End the exchange, finished or not."""
        self._timer.cancel()
        self._loop.bury(self._client)
        self._gone(self)

    def _on_event(self, mask: int) -> None:
        try:
            if not self._reply:
                self._listen()
            if self._reply and mask & OUT:
                self._speak()
        except BlockingIOError:
            return
        except (OSError, TooLong):
            self.close()
            return
        if mask & (ERR | HUP):
            self.close()

    def _listen(self) -> None:
        while not self._reply:
            heard = self._client.recv(REQUEST_BYTES)
            self._heard += heard
            if not heard:
                raise ConnectionAbortedError
            self._reply = memoryview(answer(self._heard, self._page))

    def _speak(self) -> None:
        while self._reply:
            self._reply = self._reply[self._client.send(self._reply) :]
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)
        self.close()
