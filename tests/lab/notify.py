"""The other end of sd_notify: hears everything at once, as systemd does."""

import socket
import threading
import time
from pathlib import Path


class NotifySocket:
    """A notify socket with a thread that keeps what it hears, and when."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen, name="notify", daemon=True)
        self._thread.start()

    def lines(self) -> list[tuple[float, str]]:
        """Return every line heard, with its instant on CLOCK_MONOTONIC_RAW."""
        return [(at, line) for at, text in list(self._heard) for line in text.splitlines()]

    def close(self) -> None:
        """Stop listening."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.path))
        self._thread.join(5)
        self._socket.close()

    def _listen(self) -> None:
        while data := self._socket.recv(4096):
            self._heard.append((time.clock_gettime(time.CLOCK_MONOTONIC_RAW), data.decode(errors="replace")))
