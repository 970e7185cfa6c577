"""The HTTP server of a metrics page: one request a connection, then close.

It runs on any event loop with callbacks for file descriptors: asyncio's in neod, neo-race's own in neo-race. A client
is a socket, two callbacks and a deadline, not a task.
"""

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Final, Protocol

from neod.observability.http import REQUEST_BYTES, RequestTooLong, response
from neod.observability.logs import Log

MOST_EXCHANGES: Final = 16
"""At the same time. For a further client the one goes that has been longest about its request, or else its page: who
says nothing, or does not read, shuts nobody out."""

EXCHANGE_S: Final = 10.0
"""From the connection to the last byte sent."""

RETRY_S: Final = 5.0
"""How soon a port that is taken, or an address that does not exist yet, is tried again."""

SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
SHORTAGE_PAUSE_S: Final = 1.0


class Cancellable(Protocol):
    """A call that is due later."""

    def cancel(self) -> object: ...


class CallbackLoop(Protocol):
    """The part of an event loop that the server uses, under the names of asyncio."""

    def add_reader(self, fd: int, call: Callable[[], object], /) -> object: ...
    def add_writer(self, fd: int, call: Callable[[], object], /) -> object: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def remove_writer(self, fd: int, /) -> object: ...
    def call_soon(self, call: Callable[[], object], /) -> object: ...
    def call_later(self, delay_s: float, call: Callable[[], object], /) -> Cancellable: ...


class MetricsServer:
    """Answers ``GET /metrics`` with what *page* returns at that moment, at the address that the file names."""

    def __init__(self, loop: CallbackLoop, page: Callable[[], str], log: Log) -> None:
        self._loop, self._page, self._log = loop, page, log
        self._exchanges: dict[HttpExchange, None] = {}  # oldest first
        self._socket: socket.socket | None = None
        self._retry: Cancellable | None = None
        self.requested = ""  # ADDRESS:PORT; empty: serve nothing
        self.error = ""  # why nothing is served there

    @property
    def address(self) -> str:
        """ADDRESS:PORT of the page, with the port that the kernel chose if 0 was requested; empty: none."""
        if self._socket is None:
            return ""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def serve_at(self, requested: str) -> None:
        """Serve at ADDRESS:PORT from now on, and nowhere else; retries until the address can be had."""
        if requested != self.requested:
            self.close()
            self.requested = requested
            self._open()

    def close(self) -> None:
        """Serve nothing, and abort what is being served."""
        self.requested = self.error = ""
        if self._retry is not None:
            self._retry.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        for exchange in list(self._exchanges):
            exchange.close()

    def _open(self) -> None:
        if not self.requested:
            return
        try:
            self._socket = _listener(self.requested)
        except OSError as error:
            why = f"{self.requested}: {error.strerror or error}"
            if why != self.error:
                self._log.warning("cannot serve metrics", address=self.requested, why=why)
            self.error = why
            self._retry = self._loop.call_later(RETRY_S, self._open)
            return
        self.error = ""
        self._accept()
        self._log.info("serving metrics", address=self.address)

    def _accept(self) -> None:
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._on_client)

    def _on_client(self) -> None:
        assert self._socket is not None
        try:
            client, _ = self._socket.accept()
        except OSError as error:
            if error.errno in SHORTAGE:  # the socket stays readable: without a pause the loop would spin
                self._loop.remove_reader(self._socket.fileno())
                self._retry = self._loop.call_later(SHORTAGE_PAUSE_S, self._accept)
            return
        if len(self._exchanges) >= MOST_EXCHANGES:
            min(self._exchanges, key=lambda exchange: exchange.answered).close()
        client.setblocking(False)
        self._exchanges[HttpExchange(self._loop, client, self._page, self._exchanges.pop)] = None


class HttpExchange:
    """One request and its response, on one connection, before one deadline."""

    def __init__(
        self,
        loop: CallbackLoop,
        client: socket.socket,
        page: Callable[[], str],
        ended: Callable[["HttpExchange"], object],
    ) -> None:
        self._loop, self._client, self._page, self._ended = loop, client, page, ended
        self._request = b""
        self._unsent = memoryview(b"")
        self._deadline = loop.call_later(EXCHANGE_S, self.close)
        loop.add_reader(client.fileno(), self._on_readable)

    @property
    def answered(self) -> bool:
        """Whether the request is complete, and the page on its way."""
        return bool(self._unsent)

    def close(self) -> None:
        """End the exchange, finished or not."""
        self._deadline.cancel()
        self._loop.remove_reader(self._client.fileno())
        self._loop.remove_writer(self._client.fileno())
        self._loop.call_soon(self._client.close)  # its number must not be reused while events of it may be pending
        self._ended(self)

    def _on_readable(self) -> None:
        try:
            received = self._client.recv(REQUEST_BYTES)
            self._request += received
            self._unsent = memoryview(response(self._request, self._page)) if received else self._unsent
        except BlockingIOError:
            return
        except (OSError, RequestTooLong):
            received = b""
        if not received:
            self.close()
        elif self._unsent:
            self._loop.remove_reader(self._client.fileno())
            self._loop.add_writer(self._client.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        try:
            self._unsent = self._unsent[self._client.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not self._unsent:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_WR)
            self.close()


def _listener(address: str) -> socket.socket:
    """Return a listening socket at ADDRESS:PORT.

    Raises:
        OSError: the address is taken or absent, or no socket can be had.
    """
    host, _, port = address.rpartition(":")
    family, _, _, _, numeric = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(numeric)
        sock.listen(MOST_EXCHANGES)
    except OSError:
        sock.close()
        raise
    return sock
