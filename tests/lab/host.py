"""One host of the lab: a namespace, a file, and the daemon under test on it.

It talks to the product only as its users do: a file, two commands, signals.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.kernel import Snapshot, look, sysctls
from tests.lab.netns import ip, poll
from tests.lab.notify import NotifySocket
from tests.lab.process import Program


@dataclass(frozen=True, slots=True)
class Answer:
    """What one ``neodctl`` said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The reply model, of a call with ``--json``."""
        return json.loads(self.out)


def program(name: str) -> list[str]:
    """Return the command line of an installed entry point of the interpreter that runs us."""
    script = Path(sys.executable).with_name(name)
    if script.exists():
        return [str(script)]
    module = {"neod": "neod.__main__", "neodctl": "neod.cli.main"}[name]
    return [sys.executable, "-c", f"import sys; from {module} import main; sys.exit(main())"]


class Host:
    """A host whose NIC is *nic*, in the namespace *ns*, with its files under *directory*."""

    def __init__(self, ns: str, directory: Path, nic: str = "ens3") -> None:
        self.ns, self.directory, self.nic = ns, directory, nic
        self.config, self.runtime, self.state = directory / "neo.toml", directory / "run", directory / "state"
        self.log = directory / "neod.log"
        self.neod: Program | None = None
        self._started = 0
        self._notify: NotifySocket | None = None
        for path in (directory, self.runtime, self.state):
            path.mkdir(parents=True, exist_ok=True)

    # ── the daemon ──────────────────────────────────────────────────────────────────────────────

    def write_config(self, text: str) -> None:
        """Put the file in place in one step, as a careful editor does."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.config)

    def start_neod(
        self, env: Mapping[str, str] | None = None, wrap: Sequence[str] = (), command: Sequence[str] = ()
    ) -> Program:
        """Start the daemon, or another one with *command*, under the command *wrap*; do not wait for anything."""
        assert self.neod is None or not self.neod.running, "neod runs already"
        places = ["--config", str(self.config), "--runtime-dir", str(self.runtime), "--state-dir", str(self.state)]
        surroundings = {"NOTIFY_SOCKET": str(self._listen()), **(env or {})}
        self.neod = Program(self.ns, [*wrap, *(command or program("neod")), *places], self.log, surroundings)
        return self.neod

    def stop(self, timeout_s: float = 15.0) -> int:
        """End the daemon as systemd does; return its exit status."""
        assert self.neod is not None
        return self.neod.stop(timeout_s)

    def kill9(self) -> None:
        """End the daemon without giving it a word."""
        assert self.neod is not None
        self.neod.kill()

    def reload(self) -> None:
        """Send SIGHUP."""
        assert self.neod is not None
        self.neod.signal(signal.SIGHUP)

    def ready(self, timeout_s: float = 20.0) -> float:
        """Wait for READY=1 and return when it came, on CLOCK_MONOTONIC_RAW, in seconds."""
        return poll(lambda: self.notified("READY=1"), timeout_s, 0.002, f"READY; {self.tail()}")

    def notified(self, line: str) -> float:
        """Return when the daemon told systemd *line* since it was started; 0.0 if it has not."""
        assert self._notify is not None
        return next((at for at, heard in self._notify.lines() if heard == line), 0.0)

    def heard(self) -> list[str]:
        """Return every line the daemon told systemd since it was started."""
        assert self._notify is not None
        return [line for _at, line in self._notify.lines()]

    def tail(self, lines: int = 25) -> str:
        """Return the end of the daemon's log, for messages of failures."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _listen(self) -> Path:
        if self._notify is not None:
            self._notify.close()
        self._started += 1
        self._notify = NotifySocket(self.directory / f"notify{self._started}")
        return self._notify.path

    def close(self) -> None:
        """End the daemon whatever its state."""
        if self.neod is not None and self.neod.running:
            self.neod.kill()
        if self._notify is not None:
            self._notify.close()

    # ── the client ──────────────────────────────────────────────────────────────────────────────

    def ctl(self, *argv: str, timeout_s: float = 60.0, env: Mapping[str, str] | None = None) -> Answer:
        """Run ``neodctl`` and return its exit status and words."""
        command = [*program("neodctl"), "--runtime-dir", str(self.runtime), *argv]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, **(env or {})}
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait until the daemon says that it is converged; the kernel is asked elsewhere."""
        limit = time.monotonic() + timeout_s
        while (answer := self.ctl("wait", "--timeout", f"{int(timeout_s)}s", timeout_s=timeout_s + 10)).status == 8:
            assert self.neod is not None
            if not self.neod.running or time.monotonic() > limit:
                raise TimeoutError(f"no daemon: {answer.err}\n{self.tail()}")
            time.sleep(0.02)
        if answer.status:
            status = self.ctl("status").out
            raise TimeoutError(f"neodctl wait: exit {answer.status}: {answer.err}\n{status}\n{self.tail()}")

    # ── the kernel ──────────────────────────────────────────────────────────────────────────────

    def look(self) -> Snapshot:
        """Read what the kernel holds now."""
        return look(self.ns)

    def sysctl(self, name: str) -> str:
        """Read one sysctl, by its path below /proc/sys/net."""
        return sysctls(self.ns, [name])[name]

    def ip(self, *argv: str) -> str:
        """Run ``ip`` on the host, as an operator would."""
        return ip(self.ns, *argv)

    def ip_fails(self, *argv: str) -> str:
        """Run ``ip`` on the host, whatever comes of it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return ip(self.ns, *argv, check=False)
        return ""
