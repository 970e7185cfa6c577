"""A neo-race in a namespace of its own, and the things that stand around it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.lab import netns
from tests.lab.netns import inside, poll
from tests.lab.process import Program

KERNEL = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
NEO_RACE = [str(Path(sys.executable).with_name("neo-race"))]
Accepted = Callable[[socket.socket], None]


class Racer:
    """One neo-race with its file, its log and what it tells the service manager."""

    def __init__(
        self, ns: str, text: str, *names: str, wrap: tuple[str, ...] = (), runtime: Path | None = None
    ) -> None:
        self.ns, self.directory = ns, Path(tempfile.gettempdir(), netns.unique("race"))
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.config, self.log = self.directory / "neo.toml", self.directory / "log"
        self._text, self._names, self._wrap = text, names, wrap
        self._runtime = runtime or self.directory
        self.metrics_listen = "127.0.0.1:0"
        self.notes: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self.directory / "notify"))
        (self.directory / "notify").chmod(0o777)
        self.program: Program | None = None

    def __enter__(self) -> "Racer":
        try:
            self.write(self._text)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.program is not None and self.program.running:
            self.program.kill()
        self._socket.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def write(self, text: str) -> None:
        """Put the file in place; logs and metrics are always asked for."""
        extra = f'[daemon]\nlog_format = "json"\nlog_level = "debug"\n[metrics]\nlisten = "{self.metrics_listen}"\n'
        self.config.write_text(text + "\n" + extra)

    def start(self) -> None:
        """Start it and wait for READY."""
        self.begin()
        poll(lambda: self.told("READY=1") or not self.running, 30, why="READY")
        assert self.running, self.log.read_text()

    def begin(self) -> None:
        """Start it; do not wait for anything."""
        argv = [
            *self._wrap,
            *NEO_RACE,
            "--config",
            str(self.config),
            "--runtime-dir",
            str(self._runtime),
            *self._names,
        ]
        surroundings = {"NOTIFY_SOCKET": str(self.directory / "notify")}
        self.program = Program(self.ns, argv, self.log, surroundings)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.program is not None and self.program.running

    @property
    def pid(self) -> int:
        """The process."""
        assert self.program is not None
        return self.program.pid

    def told(self, line: str) -> int:
        """Return how often the service manager was told *line*."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.notes += self._socket.recv(4096).decode().splitlines()
        return self.notes.count(line)

    def reload(self, text: str) -> None:
        """Write another file and wait until it is in force."""
        self.write(text)
        ready = self.told("READY=1")
        assert self.program is not None
        self.program.signal(signal.SIGHUP)
        poll(lambda: self.told("READY=1") > ready, 20, why="READY after a reload")

    def records(self, event: str) -> list[dict[str, object]]:
        """Return what was logged as *event*."""
        whole = self.log.read_text().rpartition("\n")[0]  # the last line may be under way
        lines = [line for line in whole.splitlines() if line.startswith("{")]
        return [record for line in lines if (record := json.loads(line))["event"] == event]

    def address(self, race: str) -> tuple[str, int]:
        """Return where a race listens now."""
        found = poll(lambda: [r for r in self.records("listening") if r["race"] == race], 10, why=f"{race} listens")
        host, _, port = str(found[-1]["address"]).rpartition(":")
        return host.strip("[]"), int(port)

    def metrics(self) -> dict[str, float]:
        """Return every sample of the metrics page, by its name with labels."""
        where = self.records("serving metrics")[-1]["address"]
        with inside(self.ns):
            page = urllib.request.urlopen(f"http://{where}/metrics", timeout=10).read().decode()
        lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def total(self, family: str, **labels: str) -> float:
        """Return the sum of the samples of *family* that have *labels*."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        samples = self.metrics().items()
        return sum(v for name, v in samples if name.split("{")[0] == family and all(w in name for w in wanted))

    def cpu_s(self) -> float:
        """Return the processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_at_rest(self, cpu_s: float, over_s: float) -> None:
        """Wait for *over_s* seconds in which it uses at most *cpu_s*: a slow machine may still be at work before."""

        def rests() -> bool:
            before = self.cpu_s()
            time.sleep(over_s)
            return self.cpu_s() - before <= cpu_s

        poll(rests, 10 * over_s, why=f"at most {cpu_s} s of CPU in {over_s} s")

    def rss_mb(self) -> float:
        """Return its resident memory."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def dial(ns: str, address: tuple[str, int], timeout_s: float = 20.0, proto: int = 0) -> socket.socket:
    """Connect from a namespace."""
    with inside(ns):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


class Server:
    """Listens in a namespace and gives each connection a thread that runs *serve*."""

    def __init__(self, ns: str, serve: Accepted, address: tuple[str, int] = ("127.0.0.1", 0), proto: int = 0) -> None:
        with inside(ns):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self._sock = socket.socket(family, socket.SOCK_STREAM, proto)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.bind(address)
        self._sock.listen(4096)
        self._serve = serve
        self.peers: list[tuple[str, int]] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join(5)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._sock.getsockname()[:2]

    @property
    def upstream(self) -> str:
        """The same, as the file writes it."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _accept(self) -> None:
        while True:
            try:
                client, peer = self._sock.accept()
            except OSError:
                return
            self.peers.append(peer[:2])
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(60)
            self._serve(client)


def echo(client: socket.socket) -> None:
    """Send back what comes, then the end."""
    while data := client.recv(1 << 16):
        client.sendall(data)
    client.shutdown(socket.SHUT_WR)


def named(text: str) -> Accepted:
    """Return a server that says who it is and ends."""

    def serve(client: socket.socket) -> None:
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass

    return serve


def read_all(sock: socket.socket) -> bytes:
    """Return everything up to the end."""
    parts = []
    while data := sock.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def run_in(
    ns: str, *argv: str, env: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command in a namespace to its end."""
    surroundings = {**os.environ, **(env or {})}
    return subprocess.run(netns.argv_in(ns, *argv), capture_output=True, text=True, timeout=timeout_s, env=surroundings)
