"""Where the DHCP client reports what happened: an injected callable, kept from being flooded."""

from collections.abc import Callable
from typing import Final

from neod.model.ports import Clock

Log = Callable[[str, dict[str, object]], None]

BURST: Final = 20
PER_S: Final = 0.5


class RateLimitedLog:
    """Reports events. What anybody on the wire can provoke is reported at a bounded rate."""

    def __init__(self, log: Log | None, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._tokens, self._at = float(BURST), clock.boottime()
        self._suppressed = 0

    def say(self, event: str, **fields: object) -> None:
        """Report *event*."""
        if self._log is not None:
            self._log(event, fields)

    def limited(self, event: str, **fields: object) -> None:
        """Report *event*, or only count it if there were too many; the next report says how many were not."""
        now = self._clock.boottime()
        self._tokens = min(float(BURST), self._tokens + (now - self._at) * PER_S)
        self._at = now
        if self._tokens < 1:
            self._suppressed += 1
            return
        self._tokens -= 1
        if self._suppressed:
            fields["suppressed"], self._suppressed = self._suppressed, 0
        self.say(event, **fields)
