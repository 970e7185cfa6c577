"""Is somebody, or are we ourselves, fighting over an object?"""

from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
TOLERATED: Final = 2
"""Repairs within the window that happen at once; the third is the first to wait."""

LONGEST_S: Final = 4.0
"""Who has stopped undoing leaves no sign: an object that is gone is touched by nobody. So the object is back this soon
after a fight, and one write in so long is what a fight costs."""


@dataclass(frozen=True, slots=True)
class RepairHistory:
    """The repairs of one object, newest last, as instants of CLOCK_BOOTTIME. Immutable."""

    repairs: tuple[float, ...] = ()
    level: int = 0  # how far the back-off has gone

    def repaired(self, now: float) -> "RepairHistory":
        """Return the history after a repair at *now*."""
        recent = (*(t for t in self.repairs if now - t < WINDOW_S), now)
        return RepairHistory(recent[-16:], self.level + 1 if len(recent) > TOLERATED else 0)

    def contested(self, now: float) -> bool:
        """Whether the object has been repaired so often lately that repairs slow down."""
        return self.level > 0 and now - self.repairs[-1] < self._hold_s() + WINDOW_S

    def over(self, now: float) -> bool:
        """Whether the history no longer counts for anything."""
        return not self.contested(now) and now - self.repairs[-1] >= WINDOW_S

    def hold_until(self, now: float) -> float:
        """Return the earliest instant of the next repair; *now* where none is held back."""
        recent = sum(1 for t in self.repairs if now - t < WINDOW_S)
        if recent < TOLERATED:
            return now
        return max(now, self.repairs[-1] + self._hold_s())

    def _hold_s(self) -> float:
        """2 s for the third repair, doubling, at most LONGEST_S."""
        return min(2.0**self.level, LONGEST_S)
