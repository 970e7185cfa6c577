"""One timer of the loop for all that is due at some instant of CLOCK_BOOTTIME, and whether that clock ran ahead."""

import asyncio
from collections.abc import Callable

from neod.model.ports import Clock


class LoopTimer:
    """Calls *wake* at the earliest instant that was asked for; never before ``start`` or after ``stop``."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock, self._wake = clock, wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._is_waking = False
        self._ahead_s = 0.0  # CLOCK_BOOTTIME minus the loop's clock

    @property
    def runs(self) -> bool:
        """Whether there is a loop to be woken by."""
        return self._loop is not None

    def start(self) -> None:
        """Use the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._ahead_s = self._clock.boottime() - self._loop.time()

    def stop(self) -> None:
        """Call *wake* no more."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()

    def soon(self) -> None:
        """Wake in this turn of the loop, once for many calls."""
        if self._loop is not None and not self._is_waking:
            self._is_waking = True
            self._loop.call_soon(self._wake_now)

    def at(self, instant: float) -> None:
        """Wake at *instant* at the latest."""
        if self._loop is None:
            return
        if self._timer is not None:
            if instant >= self._timer_at:
                return  # it wakes early enough, and then is asked again
            self._timer.cancel()
        self._timer_at = instant
        self._timer = self._loop.call_later(max(0.0, instant - self._clock.boottime()), self._wake_by_timer)

    def slept_s(self, now: float) -> float:
        """Return how much longer the machine took than this process since the last call: the time that it slept."""
        if self._loop is None:
            return 0.0
        before_s, self._ahead_s = self._ahead_s, now - self._loop.time()
        return self._ahead_s - before_s

    def _wake_by_timer(self) -> None:
        self._timer = None
        self._wake_now()

    def _wake_now(self) -> None:
        self._is_waking = False
        if self._loop is not None:
            self._wake()
