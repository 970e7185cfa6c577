"""Writes the leases to disk in its own time, and never on the loop."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from neod.dhcp.store import LeaseStore, StoredLease

SOON_S: Final = 0.1
LATER_S: Final = 30.0
"""A renewal that only moves the end of a lease may wait: if it is lost, the next process asks again by
INIT-REBOOT all the same. Writing the file for each would cost 1000 clients more than the renewals."""

PAUSE_S: Final = 1.0
RETRY_S: Final = 30.0


class Keeper:
    """Keeps the file as new as is worth it; a disk that fails is tried again, and shown as ``problem``."""

    def __init__(self, store: LeaseStore, records: Callable[[], Mapping[str, StoredLease]]) -> None:
        self._store, self._records = store, records
        self._changed, self._urgent = asyncio.Event(), asyncio.Event()

    @property
    def problem(self) -> str:
        """What is wrong with the file, for people; empty when nothing is."""
        return self._store.problem

    def changed(self, soon: bool) -> None:
        """Note that there is something to write: within moments, or with the next round."""
        self._changed.set()
        if soon:
            self._urgent.set()

    async def run(self) -> None:
        """Write whatever changes, for ever; what is new when it is cancelled, ``flush`` writes."""
        while True:
            await self._changed.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(LATER_S):  # not wait_for: in Python 3.11 it can lose a cancellation
                    await self._urgent.wait()
            await asyncio.sleep(SOON_S)
            self._changed.clear()
            self._urgent.clear()
            problem = await asyncio.to_thread(self._store.save, self._records())
            if problem:
                self._changed.set()
            await asyncio.sleep(RETRY_S if problem else PAUSE_S)

    def flush(self) -> None:
        """Write at once, and wait for it: for the end of the process."""
        if self._changed.is_set():
            self._store.save(self._records())
