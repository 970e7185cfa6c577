"""The daemon's page for Prometheus: where it is served, and to how many.

A reader is a protocol and no task: it holds a buffer of a request and a timer,
and nothing here waits for it.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from neod.daemon.event_log import Log
from neod.observability.http import MOST, PATIENCE_S, TooLong, answer

RETRY_S: Final = 5.0
"""How soon a port that is taken, or an address that is not there yet, is asked for again."""


class Scrapes:
    """Serves *page* at the address that *wanted* returns; ``note`` says where, or why not."""

    def __init__(self, page: Callable[[], str], wanted: Callable[[], str], log: Log) -> None:
        self._page, self._wanted, self._log = page, wanted, log
        self._readers: set[Reader] = set()
        self._server: asyncio.Server | None = None
        self._listen = ""  # what was asked for last
        self._again_s = 0.0
        self.note = ""

    async def run(self, passed: asyncio.Condition) -> None:
        """Serve for ever; look for another address after each pass, as a reload leads to one."""
        try:
            while True:
                await self._follower()
                async with passed:
                    if self._wanted() == self._listen:  # no pass while we were busy
                        await self._news(passed)
        finally:
            self._close()

    async def _follower(self) -> None:
        listen, now = self._wanted(), asyncio.get_running_loop().time()
        if listen != self._listen:
            self._close()
            self._listen = listen
            await self._open(listen)
        elif listen and self._server is None and now >= self._again_s:
            await self._open(listen)

    async def _news(self, passed: asyncio.Condition) -> None:
        waits = bool(self._listen) and self._server is None
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S if waits else None):
                await passed.wait()

    async def _open(self, listen: str) -> None:
        if not listen:
            return
        loop = asyncio.get_running_loop()
        host, _, port = listen.rpartition(":")
        try:
            self._server = await loop.create_server(self._reader, host.strip("[]"), int(port), backlog=MOST)
        except OSError as error:
            note = f"metrics: cannot listen on {listen}: {os.strerror(error.errno or 0)}; tried again"
            if note != self.note:
                self._log.warning("cannot serve metrics", address=listen, why=os.strerror(error.errno or 0))
            self.note, self._again_s = note, loop.time() + RETRY_S
            return
        at = self._server.sockets[0].getsockname()
        address = f"[{at[0]}]:{at[1]}" if ":" in at[0] else f"{at[0]}:{at[1]}"
        self.note = f"metrics: http://{address}/metrics"
        self._log.info("serving metrics", address=address)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server, self.note = None, ""
        for reader in list(self._readers):
            reader.hang_up()

    def _reader(self) -> "Reader":
        return Reader(self._page, self._readers)


class Reader(asyncio.Protocol):
    """One HTTP exchange, cut off when it takes too long; one reader too many is turned away unheard."""

    def __init__(self, page: Callable[[], str], others: "set[Reader]") -> None:
        self._page, self._others = page, others
        self._heard = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the reader its time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._others) >= MOST:
            transport.abort()
            return
        self._others.add(self)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self.hang_up)

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the request is complete, once."""
        if self._transport is None or self._transport.is_closing():
            return
        self._heard += data
        try:
            reply = answer(self._heard, self._page)
        except TooLong:
            self.hang_up()
            return
        if reply:
            self._transport.write(reply)
            self._transport.close()  # what is not sent yet is still sent

    def hang_up(self) -> None:
        """End the exchange, finished or not."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for the next."""
        self._others.discard(self)
        if self._timer is not None:
            self._timer.cancel()
