"""Why neo-race has an event loop of its own: it beside the same job on asyncio. ``python -m bench.race_loop``.

Each contender (``neo-race``, and ``bench.asyncio_race``) is pinned to the first
core and races two upstreams on loopback for each connection. Measured in turn:
connections a second from 32 clients, the relay's CPU for one, the latency of
one request (connect, send, first byte), and what 10,000 idle connections cost
in memory and CPU. Last, the CPU of one event on either loop.
"""

import argparse
import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import usage
from bench.figures import figure, machine, now, table
from neod.race.loop import IN, Loop

UPSTREAM, LISTEN = 18_900, 18_901
UPSTREAMS = (f"127.0.0.1:{UPSTREAM}", f"127.0.0.2:{UPSTREAM}")
SECONDS = 3.0
IDLE_S = 10.0
CONNECTIONS = 10_000
SAMPLES = 1000
EVENTS = 100_000

FILE = """
[races.r]
listen = "127.0.0.1:{port}"
upstreams = {upstreams}
sources = "none"
first_byte_timeout = "0s"
max_connections = 20000
[daemon]
log_level = "warning"
"""
SERVER = """
import selectors, socket, sys
s = socket.create_server(("", int(sys.argv[1])), backlog=4096)
watch = selectors.DefaultSelector(); watch.register(s, 1)
while True:
    for key, _ in watch.select():
        if key.fileobj is s: c = s.accept()[0]; watch.register(c, 1); continue
        try: data = key.fileobj.recv(100)
        except OSError: data = b""
        if data: key.fileobj.send(data)
        if not data or data == b"q": watch.unregister(key.fileobj); key.fileobj.close()
"""
LOAD = """
import selectors, socket, sys, time
address, seconds = ("127.0.0.1", int(sys.argv[1])), float(sys.argv[2])
watch, done, end = selectors.DefaultSelector(), 0, time.monotonic() + seconds
def begin():
    sock = socket.socket(); sock.setblocking(False); sock.connect_ex(address)
    watch.register(sock, selectors.EVENT_WRITE)
for _ in range(32): begin()
while time.monotonic() < end:
    for key, mask in watch.select(1):
        sock = key.fileobj
        if mask & selectors.EVENT_WRITE: sock.send(b"q"); watch.modify(sock, selectors.EVENT_READ); continue
        if sock.recv(100): continue
        watch.unregister(sock); sock.close(); done += 1; begin()
print(done)
"""


@contextlib.contextmanager
def _running(*argv: str, core: int) -> Iterator[int]:
    process = subprocess.Popen(["taskset", "-c", str(core), sys.executable, *argv])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _contender(name: str) -> Iterator[int]:
    """Run one relay until it has been measured; yield its process id."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "neo.toml")
        file.write_text(FILE.format(port=LISTEN, upstreams=list(UPSTREAMS)))
        argv = {
            "neo-race": ("-m", "neod.race.main", "--config", str(file)),
            "asyncio": ("-m", "bench.asyncio_race", f"127.0.0.1:{LISTEN}", *UPSTREAMS),
        }[name]
        with _running(*argv, core=0) as pid:
            while not _answers(LISTEN):
                time.sleep(0.05)
            yield pid


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _rate(pid: int) -> tuple[float, float]:
    """Return connections a second, and the relay's CPU for one, in µs."""
    before = usage.cpu_s(pid)
    argv = ["taskset", "-c", "1", sys.executable, "-c", LOAD, str(LISTEN), str(SECONDS)]
    done = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return done / SECONDS, 1e6 * (usage.cpu_s(pid) - before) / done


def _latency_ms() -> float:
    began = now()
    with socket.create_connection(("127.0.0.1", LISTEN), timeout=20) as sock:
        sock.sendall(b"q")
        sock.recv(1)
        return 1000 * (now() - began)


def _idle(pid: int, count: int) -> tuple[float, float]:
    """Return the KiB of one idle connection, and the CPU of all, in percent of a core."""
    empty = usage.pss_mb(pid)
    with contextlib.ExitStack() as held:
        for _ in range(count):
            held.enter_context(socket.create_connection(("127.0.0.1", LISTEN), timeout=60))
        time.sleep(3.0)  # what the set-up left to do
        before, began = usage.cpu_s(pid), now()
        time.sleep(IDLE_S)
        percent = 100 * (usage.cpu_s(pid) - before) / (now() - began)
        return 1024 * (usage.pss_mb(pid) - empty) / count, percent


def _dispatch_us(loop: str) -> float:
    """Return the CPU of one event: the loop, one ``send`` and one ``recv``."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        left = [EVENTS]  # a counter shared by the callbacks
        own, theirs = Loop(), asyncio.new_event_loop()

        def on_event(_: int = 0) -> None:
            near.recv(1)
            left[0] -= 1
            if left[0]:
                far.send(b"x")
            else:
                own.stop()
                theirs.stop()

        far.send(b"x")
        began = time.thread_time()
        if loop == "neo-race":
            own.watch(near.fileno(), on_event, IN)
            own.run()
        else:
            theirs.add_reader(near.fileno(), on_event)
            theirs.run_forever()
        took_s = time.thread_time() - began
        own.close()
        theirs.close()
    return 1e6 * took_s / EVENTS


def measure(runs: int, connections: int = CONNECTIONS) -> dict[str, object]:
    """Measure both, in turn, and print a table."""
    connections = _room_for(connections)
    names = ("neo-race", "asyncio")
    found: dict[str, dict[str, list[float]]] = {name: {key: [] for key in FIGURES} for name in names}
    with _running("-c", SERVER, str(UPSTREAM), core=1):
        while not _answers(UPSTREAM):
            time.sleep(0.05)
        for _ in range(runs):
            for name in names:
                values = found[name]
                with _contender(name) as pid:
                    for key, value in zip(("rate", "cpu_us"), _rate(pid), strict=True):
                        values[key].append(value)
                    values["latency_ms"].append(figure(_latency_ms() for _ in range(SAMPLES)).median)
                with _contender(name) as pid:
                    for key, value in zip(("idle_kib", "idle_percent"), _idle(pid, connections), strict=True):
                        values[key].append(value)
                values["dispatch_us"].append(_dispatch_us(name))
    figures = {name: {key: figure(values) for key, values in found[name].items()} for name in names}
    rows = [
        [about, *(figures[name][key].show(digits) for name in names),
         f"{figures['asyncio'][key].median / max(figures['neo-race'][key].median, 1e-9):.2f}"]
        for key, (about, digits) in FIGURES.items()
    ]  # fmt: skip
    table(
        f"neo-race's loop and asyncio, {runs} runs, {connections} idle connections",
        ["", *names, "asyncio / neo-race"],
        rows,
    )
    return {name: {key: one.plain() for key, one in figures[name].items()} for name in names}


FIGURES = {
    "rate": ("connections/s", 0),
    "cpu_us": ("CPU of one connection, µs", 0),
    "latency_ms": (f"latency p50 of {SAMPLES} requests, ms", 2),
    "idle_kib": ("memory of one idle connection, KiB", 2),
    "idle_percent": ("CPU of all idle connections, % of a core", 2),
    "dispatch_us": ("CPU of one event, send and recv included, µs", 2),
}


def _room_for(connections: int) -> int:
    """Raise the limit of open files, for what we start as well; return how many connections a relay can hold."""
    most = 2 * connections + 1000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # not allowed: what the hard limit leaves
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, hard), max(most, hard)))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(connections, (hard - 1000) // 2)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.race_loop", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="measurements of each figure (default 5)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="idle ones (default %(default)d)")
    arguments = parser.parse_args()
    print("machine:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    measure(arguments.runs, arguments.connections)


if __name__ == "__main__":
    main()
