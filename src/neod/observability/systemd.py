"""Notifications to systemd: readiness, status, watchdog (sd_notify)."""

import os
import time
from typing import Any, Final

from sdnotify import SystemdNotifier

MICROSECONDS: Final = 1_000_000


class SystemdNotify:
    """sd_notify; does nothing without NOTIFY_SOCKET."""

    def __init__(self) -> None:
        self.listening = "NOTIFY_SOCKET" in os.environ
        self._notifier: Any = SystemdNotifier() if self.listening else None  # type: ignore[no-untyped-call]
        if self._notifier is not None and self._notifier.socket is not None:
            self._notifier.socket.setblocking(False)  # a service manager that does not read must not block the loop
        self._status = ""

    def _send(self, state: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(state)

    @property
    def watchdog_s(self) -> float | None:
        """Return how often to feed the watchdog: half of WatchdogSec; None without a watchdog."""
        if os.environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
            return None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / MICROSECONDS / 2 if microseconds.isdigit() and int(microseconds) else None

    def ready(self) -> None:
        """Send READY=1: start-up or a reload is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Send RELOADING=1, with the time that Type=notify-reload requires."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def feed_watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows, if it changed. ASCII only: sdnotify breaks other characters."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")
