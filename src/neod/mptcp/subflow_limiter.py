"""How many subflows the connections of a client have together, and which of them wait for room. Pure."""

import heapq
from itertools import islice
from typing import Final

UNLIMITED: Final = 1 << 30


class SubflowLimiter:
    """Counts by token; *limit* 0 is none. Only ``largest`` looks at all of them, and only when there are too many.

    The first subflow of a connection is its application's and counts too:
    where there are more connections than room, each has that one.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.total = 0
        self._counts: dict[int, tuple[int, int]] = {}
        self._waiting: dict[int, None] = {}  # in the order they came

    def count(self, token: int, there: int, asked: int = 0) -> None:
        """Note how many subflows a connection has, and how many are under way; none at all forgets it."""
        self.total += there + asked - sum(self._counts.pop(token, (0, 0)))
        if there or asked:
            self._counts[token] = there, asked
        else:
            self._waiting.pop(token, None)

    @property
    def available(self) -> int:
        """Return how many more may be opened; below 0 how many are too many."""
        return self.limit - self.total if self.limit else UNLIMITED

    def defer(self, token: int) -> None:
        """Note that a connection might open more, were there room."""
        self._waiting[token] = None

    def admit(self, most: int) -> list[int]:
        """Return those who waited longest, no more than there is room for; they wait no longer."""
        number = min(self.available, most)
        found = list(islice(self._waiting, max(0, number)))
        for token in found:
            del self._waiting[token]
        return found

    def largest(self, most: int) -> list[int]:
        """Return who should give up one subflow each because there are too many: those with the most."""
        excess = min(-self.available, self.total - len(self._counts), most)
        if excess <= 0:
            return []
        found = heapq.nlargest(excess, self._counts, key=lambda token: self._counts[token][0])
        return [token for token in found if self._counts[token][0] > 1]
