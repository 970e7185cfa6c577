"""What the service manager is told: ready, what is going on, and that we are alive."""

import os
import time
from typing import Any, Final

from sdnotify import SystemdNotifier

MICROSECONDS: Final = 1_000_000


class Notify:
    """sd_notify; silent where no service manager listens."""

    def __init__(self) -> None:
        self.listening = "NOTIFY_SOCKET" in os.environ
        self._notifier: Any = SystemdNotifier() if self.listening else None  # type: ignore[no-untyped-call]
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.setblocking(False)  # a manager that does not read must not stop the loop
        self._status = ""

    def _send(self, state: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(state)

    @property
    def watchdog_s(self) -> float | None:
        """Return how often we must say that we are alive: half of WatchdogSec; None without a watchdog."""
        if os.environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
            return None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / MICROSECONDS / 2 if microseconds.isdigit() and int(microseconds) else None

    def ready(self) -> None:
        """Say that start-up, or a reload, is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that a reload has begun; Type=notify-reload wants to know since when."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that we are about to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows, if it changed. ASCII only: sdnotify spoils the rest."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")
