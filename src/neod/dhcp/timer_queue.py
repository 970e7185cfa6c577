"""Which client is due when: one heap for all, so that a thousand of them need one timer of the loop. Pure."""

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from neod.model.facts import FOREVER


class Armed(Protocol):
    """Has at most one timer."""

    armed_at: float


W = TypeVar("W", bound=Armed)


class TimerQueue(Generic[W]):
    """Moments on one clock, each with who waits for it."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, W]] = []
        self._number = 0  # ties go by age, and clients need no order

    def set(self, who: W, at: float) -> None:
        """Let *who* be due at *at*, and at no other moment; ``inf`` is never."""
        if at == who.armed_at:
            return
        who.armed_at = at
        if at != FOREVER:
            self._number += 1
            heapq.heappush(self._heap, (at, self._number, who))

    def due(self, now: float) -> Iterator[W]:
        """Yield who is due; each is then due no more until set again."""
        while self._heap and self._heap[0][0] <= now:
            at, _, who = heapq.heappop(self._heap)
            if who.armed_at == at:
                who.armed_at = FOREVER
                yield who

    def next_at(self) -> float:
        """Return the next moment that still counts."""
        heap = self._heap
        while heap and heap[0][2].armed_at != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else FOREVER
