"""A ``Connection`` on an event loop: bounded batches, one exchange at a time, nothing slow on the loop."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from neod.netlink.message import Answer, Object, Request
from neod.netlink.socket import DUMP_PAUSES_S, Connection, interrupted

BATCH: Final = 64
"""Messages a send: 64 new macvlans take the kernel 15 ms, the longest that the loop may wait."""


class AsyncConnection:
    """Requests and dumps of *connection*; batches that hold one of the *slow* message types run in a thread."""

    def __init__(self, connection: Connection, slow: Collection[int] = ()) -> None:
        self._connection, self._slow = connection, frozenset(slow)
        self._turn = asyncio.Lock()

    @property
    def port_id(self) -> int:
        """Return the netlink port that the requests come from; the events they cause carry it."""
        return self._connection.port_id

    def close(self) -> None:
        """Close the socket; its namespace is no longer held."""
        self._connection.close()

    async def exchange(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer to each request, in order. The loop turns between the batches."""
        answers: list[Answer] = []
        for start in range(0, len(requests), BATCH):
            if start:
                await asyncio.sleep(0)
            batch = requests[start : start + BATCH]
            async with self._turn:
                answers += await self._exchange(batch)
        return answers

    async def _exchange(self, batch: Sequence[Request]) -> list[Answer]:
        if self._slow and not self._slow.isdisjoint([request[0] for request in batch]):
            return await asyncio.to_thread(self._connection.exchange, batch)
        return self._connection.exchange(batch)

    async def dump(self, type_: int, payload: bytes) -> list[Object]:
        """Return every object of a dump that was consistent.

        Raises:
            NetlinkError: refused, unanswered, or interrupted at every try (EINTR).
        """
        for pause_s in DUMP_PAUSES_S:
            if pause_s:
                await asyncio.sleep(pause_s)
            async with self._turn:
                found = self._connection.dump_once(type_, payload)
            if found is not None:
                return found
        raise interrupted()
