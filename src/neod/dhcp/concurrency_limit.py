"""Limits the number of DHCP exchanges in progress on one parent link. Pure.

A server has one socket buffer: beyond some 64 exchanges at a time it drops, and each drop costs a
second of retransmission. So every exchange takes a place first, and loses it again if it is not answered
soon: a silent server gets ``size / HOLD_S`` packets a second and delays no other client.
"""

from typing import Final, Generic, TypeVar

from neod.model.facts import FOREVER

SIZE: Final = 64
HOLD_S: Final = 0.5
"""How long a place is kept without an answer: many times what a server on the same wire needs, and 128
packets a second to one that is dead."""

SILENCE_S: Final = 3.0
"""No answer for so long, with something lost meanwhile, is a silent server."""

RETRY_ALL_EVERY_S: Final = 30.0
"""How often an end of silence may make all clients send at once: clients that a working server ignores must not
gain by it."""

T = TypeVar("T")


class ConcurrencyLimit(Generic[T]):
    """Concurrency limit for DHCP exchanges on one parent link. Instants are seconds of CLOCK_BOOTTIME."""

    __slots__ = ("_heard_at", "_lost", "_places", "_retried_all_at", "_size")

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._places: dict[T, float] = {}  # holder -> until; oldest first, as every hold is equally long
        self._lost = False
        self._heard_at = -FOREVER
        self._retried_all_at = -FOREVER

    def __len__(self) -> int:
        return len(self._places)

    @property
    def has_room(self) -> bool:
        """Whether another exchange may begin."""
        return len(self._places) < self._size

    def enter(self, holder: T, now: float) -> None:
        """Give *holder* a place from *now* on."""
        self._places.pop(holder, None)
        self._places[holder] = now + HOLD_S

    def leave(self, holder: T) -> None:
        """Give the place back, if there still is one."""
        self._places.pop(holder, None)

    def lapse(self, now: float) -> None:
        """Take back the places of those who were not answered in time."""
        while self._places:
            holder, until = next(iter(self._places.items()))
            if until > now:
                return
            del self._places[holder]
            self._lost = True

    def next_lapse(self) -> float:
        """Return when ``lapse`` has something to do next."""
        return next(iter(self._places.values()), FOREVER)

    def heard(self, now: float) -> bool:
        """Note an answer from a server; return whether it ends a silence, so that all may try again."""
        silent = self._lost and now - self._heard_at >= SILENCE_S and now - self._retried_all_at >= RETRY_ALL_EVERY_S
        self._heard_at, self._lost = now, False
        if silent:
            self._retried_all_at = now
        return silent
