"""Words to the service manager; none where there is no service manager."""

import os
import time
from typing import Any

from sdnotify import SystemdNotifier


class Notify:
    """sd_notify(3)."""

    def __init__(self) -> None:
        self.listening = "NOTIFY_SOCKET" in os.environ
        self._notifier: Any = SystemdNotifier() if self.listening else None  # type: ignore[no-untyped-call]
        self._status = ""

    def send(self, *lines: str) -> None:
        """Tell *lines* at once."""
        if self._notifier is not None:
            self._notifier.notify("\n".join(lines))

    def status(self, text: str) -> None:
        """Set the line of ``systemctl status``, if it is another."""
        if text != self._status:
            self._status = text
            self.send(f"STATUS={text}")

    def reloading(self) -> None:
        """Say that a reload has begun; Type=notify-reload wants to know since when."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    @property
    def watchdog_s(self) -> float | None:
        """Return WatchdogSec; None without a watchdog."""
        told = os.environ.get("WATCHDOG_USEC", "")
        if os.environ.get("WATCHDOG_PID") not in (None, str(os.getpid())) or not told.isdigit() or not int(told):
            return None
        return int(told) / 1e6
