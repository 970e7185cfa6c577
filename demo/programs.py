"""The programs that use the system: a proxy (shadowsocks, or one of our own), neo-race, a download."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Final

from tests.lab import Host, poll
from tests.lab.netns import inside
from tests.lab.process import Program

from demo.console import ROOT
from demo.network import INNER, PUBLIC

HERE = {"PYTHONPATH": str(ROOT)}
PASSWORD, CIPHER = "neo-demo", "aes-256-gcm"
RACE_PORT, SOCKS_PORT, PLAIN_PORT = 4430, 1080, 1081
LISTEN_STATE = "0A"
ENDED_EARLY: Final = re.compile(r"Abort|Rst|Fallback|MPTcpExt\w*Fail")
LAST_LINES: Final = 12


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])


def listens(ns: str, port: int) -> bool:
    """Whether somebody listens on a TCP port in a namespace."""
    with inside(ns):
        lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    return any(row[3] == LISTEN_STATE and int(row[1].rpartition(":")[2], 16) == port for row in rows)


class Download:
    """One connection that fetches without an end, and checks every byte."""

    def __init__(self, log: Path, place: tuple[str, int], more: tuple[str, ...]) -> None:
        argv = [sys.executable, "-m", "demo.traffic", "get", place[0], str(place[1]), *more]
        log.unlink(missing_ok=True)
        self.program = Program("campus", argv, log, HERE)

    def samples(self) -> list[tuple[float, int]]:
        """Return (CLOCK_MONOTONIC, bytes by then), oldest first."""
        lines = (line.split() for line in self.program.printed().splitlines())
        return [(float(line[0]), int(line[1])) for line in lines if len(line) == 2 and line[1].isdigit()]

    def first_bytes(self, timeout_s: float = 15.0) -> None:
        """Wait for them; raise RuntimeError with what it said when it ended instead."""
        poll(lambda: self.samples() or not self.program.running, timeout_s, 0.05, "first bytes")
        self.check()

    def check(self) -> None:
        """Raise RuntimeError when it is not under way any more."""
        if not self.program.running:
            raise RuntimeError(f"the download ended: {self.program.printed().splitlines()[-1:]}")

    def mbit_s(self, last_s: float) -> float:
        """Return the rate over the last seconds."""
        samples = self.samples()
        end = samples[-1]
        begin = next(s for s in samples if s[0] >= end[0] - last_s)
        return (end[1] - begin[1]) * 8 / 1e6 / (end[0] - begin[0]) if end[0] > begin[0] else 0.0

    def longest_gap_s(self) -> float:
        """Return the longest time between two samples: how long nothing came, at most."""
        times = [at for at, _bytes in self.samples()]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def goes_on(self, timeout_s: float = 30.0) -> None:
        """Wait for bytes that come after now."""
        before = self.samples()[-1][1]
        poll(
            lambda: self.samples()[-1][1] > before or not self.program.running, timeout_s, 0.05, "the download goes on"
        )
        self.check()

    def stop(self) -> str:
        """End it and return its last word."""
        if self.program.running:
            self.program.stop()
        return (self.program.printed().strip().splitlines() or ["nothing"])[-1]


class Programs:
    """Everything that runs beside neod. ``real`` says whether the proxy is one that people use."""

    def __init__(self, directory: Path, campus: Host) -> None:
        self.directory, self.campus = directory, campus
        needed = ("ss-server", "ss-local", "mptcpize")
        self.real = all(shutil.which(name) for name in needed)
        self._running: list[Program] = []

    def _start(self, ns: str, name: str, *argv: str) -> Program:
        self._running.append(Program(ns, list(argv), self.directory / f"{name}.log", HERE))
        return self._running[-1]

    def _python(self, ns: str, name: str, *argv: str) -> Program:
        return self._start(ns, name, sys.executable, "-m", "demo.traffic", *argv)

    def server_side(self) -> list[str]:
        """Start the proxy program in its namespace, and a web server far away; return the proxy's command line."""
        self._python("web", "web", "web", PUBLIC["web"], "80")
        if self.real:
            argv = ["mptcpize", "run", *self._shadowsocks("ss-server", "0.0.0.0", 443)]
            self._start(INNER, "ss-server", *argv)
        else:
            argv = ["built-in", "MPTCP", "server"]
            self._python(INNER, "server", "web", "0.0.0.0", "443", "mptcp")
        poll(lambda: listens(INNER, 443) and listens("web", 80), 10, why="the servers listen")
        return argv

    @staticmethod
    def _shadowsocks(program: str, address: str, port: int, *more: str) -> list[str]:
        return [program, "-s", address, "-p", str(port), "-k", PASSWORD, "-m", CIPHER, *more]

    def campus_side(self) -> list[list[str]]:
        """Start neo-race, and the proxy's clients: through neo-race, and straight by plain TCP; return what was run."""
        places = ["--config", str(self.campus.config), "--runtime-dir", str(self.campus.runtime)]
        race = [str(Path(sys.executable).with_name("neo-race")), *places]
        self._start("campus", "neo-race", *race)
        shown = [["neo-race"]]
        ports = [RACE_PORT]
        if self.real:
            local = self._shadowsocks("ss-local", "127.0.0.1", RACE_PORT, "-l", str(SOCKS_PORT))
            plain = self._shadowsocks("ss-local", PUBLIC["server"], 443, "-l", str(PLAIN_PORT))
            self._start("campus", "ss-local", *local)
            self._start("campus", "ss-plain", *plain)
            ports += [SOCKS_PORT, PLAIN_PORT]
            shown += [local, plain]
        poll(lambda: all(listens("campus", port) for port in ports), 15, why="neo-race and the clients listen")
        return shown

    def last_words(self) -> str:
        """Return what each program and neod said last, and the counters of connections that ended early."""
        logs = [log for log in sorted(self.directory.rglob("*.log")) if log.is_file()]
        said = [f"── {log.relative_to(self.directory)}\n{_tail(log)}" for log in logs]
        for ns in (self.campus.ns, INNER):
            counted = subprocess.run(["ip", "netns", "exec", ns, "nstat", "-as"], capture_output=True, text=True)
            early = [line for line in counted.stdout.splitlines() if ENDED_EARLY.search(line)]
            said.append("\n".join((f"── nstat in {ns}", *early)))
        return "\n".join(said)

    def download(self, name: str = "download") -> Download:
        """Fetch over neo-race and every path."""
        log = self.directory / f"{name}.log"
        if self.real:
            return Download(log, (PUBLIC["web"], 80), ("via", "127.0.0.1", str(SOCKS_PORT)))
        return Download(log, ("127.0.0.1", RACE_PORT), ())

    def plain_download(self) -> Download:
        """Fetch by plain TCP, as a program without neo does."""
        log = self.directory / "plain.log"
        if self.real:
            return Download(log, (PUBLIC["web"], 80), ("via", "127.0.0.1", str(PLAIN_PORT)))
        return Download(log, (PUBLIC["server"], 443), ())

    def races_won(self) -> list[str]:
        """Return the lines of neo-race's log about won races."""
        log = self.directory / "neo-race.log"
        return [line for line in log.read_text().splitlines() if "won" in line] if log.exists() else []

    def stop(self) -> None:
        """End them, the last started first."""
        for program in reversed(self._running):
            if program.running:
                program.kill()
