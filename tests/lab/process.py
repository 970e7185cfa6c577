"""Programs that run inside a namespace of the lab and end with it."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.lab.netns import argv_in, die_with_parent


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal, as the kernel shows it: bit 0 is signal 1."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
        return bool(mask >> (number - 1) & 1)
    return False


class Program:
    """A child in a namespace; what it prints goes to a file."""

    def __init__(self, ns: str, argv: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv, self.log = argv, log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                argv_in(ns, *argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self) -> int:
        """The process itself: nsenter becomes what it starts."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended already."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def stop(self, timeout_s: float = 10.0) -> int:
        """End it with SIGTERM, or SIGKILL after *timeout_s*; return its exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it with SIGKILL; return its exit status."""
        self.signal(signal.SIGKILL)
        return self.process.wait(10)

    def printed(self) -> str:
        """Return everything it has printed so far."""
        return self.log.read_text(errors="replace")
