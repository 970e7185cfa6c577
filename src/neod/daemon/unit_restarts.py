"""When the units of a namespace that was made anew are restarted: at once, and ever later while it goes on. Pure."""

from dataclasses import dataclass, replace
from typing import Final

CALM_S: Final = 300.0
"""A namespace that stays as long as this is no longer in a fight."""

LONGEST_S: Final = 60.0
TRIES: Final = 4
"""So often systemctl is asked: while the service manager executes itself anew it answers nobody."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """Of the units of one namespace."""

    due_at: float | None = None  # CLOCK_BOOTTIME
    last_at: float = float("-inf")
    lately: int = 0  # since it was calm
    failed: int = 0  # in a row

    def recreated(self, now: float) -> "Restarts":
        """Return them after the namespace was made anew: what is due is due once."""
        if self.due_at is not None:
            return self
        lately = self.lately if now - self.last_at < CALM_S else 0
        pause_s = min(2.0**lately, LONGEST_S) if lately else 0.0
        return replace(self, due_at=max(now, self.last_at + pause_s), failed=0)

    def is_due(self, now: float) -> bool:
        return self.due_at is not None and self.due_at <= now

    def done(self, now: float) -> "Restarts":
        """Return them after the units were restarted."""
        lately = self.lately if now - self.last_at < CALM_S else 0
        return Restarts(None, now, lately + 1)

    def refused(self, now: float) -> "Restarts":
        """Return them after the service manager refused."""
        failed = self.failed + 1
        return replace(self, due_at=now + 4.0**failed if failed < TRIES else None, failed=failed)
