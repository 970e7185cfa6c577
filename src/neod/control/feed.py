"""The last events, kept once for all readers.

A reader holds a position, not a queue: a slow one costs nothing, and when the
events it has not read are overwritten, it gets ``Lagged`` with their number.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from neod.control.errors import Lagged
from neod.control.verbs.events import EventRecord

CAPACITY: Final = 10_000  # records; about 5 MB
BATCH: Final = 256  # records in one reply; about 80 kB


class Feed:
    """A ring of records, and who waits for the next one."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._ring: list[tuple[float, EventRecord]] = []  # record n stands at (n - 1) modulo capacity
        self._next = 1
        self._news = asyncio.Event()

    def append(self, record: EventRecord, wall: float) -> EventRecord:
        """Keep *record* as having happened at *wall* (seconds since the epoch); return it with its number."""
        numbered = replace(record, seq=self._next)
        if len(self._ring) < self._capacity:
            self._ring.append((wall, numbered))
        else:
            self._ring[(self._next - 1) % self._capacity] = (wall, numbered)
        self._next += 1
        self._news.set()
        return numbered

    def of(self, object: str, last: int = 10) -> tuple[EventRecord, ...]:
        """Return the *last* records on one object, oldest first."""
        kept = (self._at(seq)[1] for seq in range(self._next - 1, self._oldest - 1, -1))
        return tuple(islice((record for record in kept if record.object == object), last))[::-1]

    def last_about(self, words: re.Pattern[str]) -> str:
        """Return the object of the last record in whose text *words* stand; empty if none has them."""
        kept = (self._at(seq)[1] for seq in range(self._next - 1, self._oldest - 1, -1))
        told = (one.object for one in kept if one.object and words.search(f"{one.object} {one.detail} {one.error}"))
        return next(told, "")

    async def events(self, since: float | None, follow: bool) -> AsyncIterator[Sequence[EventRecord]]:
        """Yield what is kept, then with *follow* what comes; see ``EventVerbs.events``."""
        position = self._start(since, follow)
        while True:
            if missed := max(0, self._oldest - position):
                raise Lagged(missed)
            if batch := self._from(position):
                position = batch[-1].seq + 1
                yield batch
            elif follow:
                await self._changed()
            else:
                return

    @property
    def _oldest(self) -> int:
        return self._next - len(self._ring)

    def _at(self, seq: int) -> tuple[float, EventRecord]:
        return self._ring[(seq - 1) % self._capacity]

    def _start(self, since: float | None, follow: bool) -> int:
        if since is None:
            return self._next if follow else self._oldest
        older = sum(1 for wall, _ in self._ring if wall < since)  # the wall clock may have jumped: no bisection
        return self._oldest + older

    def _from(self, position: int) -> list[EventRecord]:
        return [self._at(seq)[1] for seq in range(position, min(position + BATCH, self._next))]

    async def _changed(self) -> None:
        """Return when a record was appended after this call; all who wait share one Event."""
        if self._news.is_set():
            self._news = asyncio.Event()
        await self._news.wait()
