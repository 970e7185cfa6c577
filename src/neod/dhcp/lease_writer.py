"""Leases are on disk before they are in use: a process that is killed at any moment loses none of them.

A new lease is recorded, written, and only then published; publishing it is what makes addresses and routes. All that
is recorded while one write is under way is in the next, so a thousand leases cost some dozens of writes.

* **An extension** (only the times differ) is published at once: the record on disk is of the same address. It is
  written well before that record ends.
* **A lease that is given up** is withdrawn at once, and written at once. Until then the disk has nothing
  that would come back: it has ended, its link or MAC is not wanted any more, or (NAK) it was shortened.
* **A disk that fails or hangs** delays no address for long: leases are then published without waiting for it,
  and ``problem`` says so until a write succeeds.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from neod.dhcp.store import StoredLease
from neod.model.facts import FOREVER, Lease
from neod.model.ports import Clock

WAIT_S: Final = 1.0
"""How long a new lease waits for the disk. A write takes about a millisecond; a disk that needs more than
this is overloaded or broken."""

LATER_S: Final = 30.0
"""How long the write of an extension may wait. One write for each would cost 1000 clients more than the renewals."""

RETRY_S: Final = 5.0
FLUSH_S: Final = 3.0  # at the end of the process


class LeaseDisk(Protocol):
    """Durable memory for leases: the file, or what a simulation has in its place."""

    @property
    def problem(self) -> str:
        """Return why the last load or write failed; empty if it did not."""
        ...

    def load(self) -> Mapping[str, StoredLease]:
        """Return the leases that still hold, by link."""
        ...

    async def write(self, leases: Mapping[str, StoredLease]) -> str:
        """Replace what is kept by *leases*, durably; return the problem, or nothing."""
        ...


class LeaseWriter:
    """The leases of this host, on disk and published. All calls are for the thread of the loop."""

    def __init__(self, disk: LeaseDisk, clock: Clock, publish: Callable[[str, Lease | None], None]) -> None:
        self._disk, self._clock, self._publish = disk, clock, publish
        self._records: dict[str, StoredLease] = dict(disk.load())
        self._unpublished: dict[str, Lease] = {}  # new leases that are not on disk yet
        self._write_at = FOREVER
        self._retry_at = 0.0  # no write before: the last one failed
        self._is_late = False
        self._wake = asyncio.Event()

    @property
    def records(self) -> Mapping[str, StoredLease]:
        """Every lease that holds, by link: at the start, those from the disk."""
        return self._records

    @property
    def problem(self) -> str:
        """Why leases may be in use that are not on disk, for people; empty when none is."""
        if self._is_late:
            return f"leases: the disk has not answered for {WAIT_S:g} s; new ones are used without being on it"
        return self._disk.problem

    def keep(self, link: str, record: StoredLease) -> None:
        """Record *record* for *link*; publish its lease when it is on disk, a mere extension at once."""
        before = self._records.get(link)
        self._records[link] = record
        if before is not None and link not in self._unpublished and _extends(record.lease, before.lease):
            self._publish(link, record.lease)
            left_s = before.lease.expires_at - self._clock.boottime()
            self._write_within(min(LATER_S, left_s / 2))
            return
        self._unpublished[link] = record.lease
        if self._is_late or self._retry_at:
            self._release(self._unpublished)
        self._write_within(0)

    def amend(self, link: str, record: StoredLease) -> None:
        """Record what changed of the lease of *link* beside what is published: that it ends earlier, say."""
        self._records[link] = record
        self._write_within(0)

    def withdraw(self, link: str) -> None:
        """Publish that *link* has no lease, and take it off the disk."""
        self._records.pop(link, None)
        self._unpublished.pop(link, None)
        self._publish(link, None)
        self._write_within(0)

    def set_aside(self, link: str) -> None:
        """Publish that *link* has no lease, and keep it on the disk."""
        self._unpublished.pop(link, None)
        self._publish(link, None)

    def restore(self, link: str) -> None:
        """Publish the lease that was set aside."""
        self._publish(link, self._records[link].lease)

    async def run(self) -> None:
        """Write whatever changes, indefinitely. Cancelled, it writes what is not yet written."""
        try:
            while True:
                await self._until_due()
                await self._write()
        finally:
            if self._write_at != FOREVER:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_S):
                        await self._disk.write(dict(self._records))

    def _write_within(self, delay_s: float) -> None:
        at = max(self._clock.boottime() + delay_s, self._retry_at)
        if at < self._write_at:
            self._write_at = at
            self._wake.set()

    async def _until_due(self) -> None:
        while (left_s := self._write_at - self._clock.boottime()) > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if left_s == FOREVER else left_s):
                    await self._wake.wait()

    async def _write(self) -> None:
        """Write every record; publish the new leases among them once they are on disk, or cannot be."""
        batch = dict(self._unpublished)
        self._write_at = FOREVER
        late = asyncio.get_running_loop().call_later(WAIT_S, self._stop_waiting)
        try:
            problem = await self._disk.write(dict(self._records))
        except asyncio.CancelledError:
            self._write_at = 0.0  # whether it is written, nobody knows
            raise
        finally:
            late.cancel()
        self._is_late = False
        self._retry_at = self._clock.boottime() + RETRY_S if problem else 0.0
        if problem:
            self._write_within(0)
        self._release(self._unpublished if problem else batch)

    def _stop_waiting(self) -> None:
        self._is_late = True
        self._release(self._unpublished)

    def _release(self, batch: Mapping[str, Lease]) -> None:
        """Publish the leases of *batch* that have not been replaced or withdrawn since."""
        for link, lease in list(batch.items()):
            if self._unpublished.get(link) is lease:
                del self._unpublished[link]
                self._publish(link, lease)


def _extends(lease: Lease, before: Lease) -> bool:
    """Whether only the times differ."""
    bound_at, renew_at, rebind_at = before.bound_at, before.renew_at, before.rebind_at
    as_before = replace(lease, bound_at=bound_at, renew_at=renew_at, rebind_at=rebind_at, expires_at=before.expires_at)
    return as_before == before
