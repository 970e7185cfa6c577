"""neo-race beside haproxy (splice on, one thread), socat and nothing: ``python -m bench.race [--runs N]``, as root.

Three namespaces in a row: client, relay, server. Every relay runs pinned to
the first core, whatever makes the load on the others. Needs haproxy, socat,
iperf3 and wrk from Debian.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab import exit_on_sigterm, netns, sweep
from tests.lab.netns import inside, ip_batch, poll
from tests.lab.process import Program
from tests.lab.race.paths import SlowPath

from bench import race_pair, usage
from bench.figures import Figure, figure, machine, now, table

TOOLS = ("haproxy", "socat", "iperf3", "wrk")
SECONDS = 3.0
WEB, BULK = 8080, 5201
NEO, HAPROXY, SOCAT = 100, 200, 300  # added to the port of the server behind
SAMPLES = 400
SILENT, FAR = "10.92.0.66", "10.93.0.2"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
WAYS = {"direct": 0, "neo-race": NEO, "haproxy": HAPROXY, "socat": SOCAT}
CONNECTIONS = 10_000

HAPROXY_HEAD = """
global
  nbthread 1
  maxconn {most}
defaults
  timeout connect 5s
  timeout client 1h
  timeout server 1h
"""
RELAY = """
  mode tcp
  option splice-auto
frontend {name}
  bind 10.91.0.2:{port}
  default_backend {name}
backend {name}
  server s 10.92.0.2:{to}
"""
WEB_SERVER = """
  mode http
frontend web
  bind 10.92.0.2:8080
  http-request return status 200 content-type text/plain string ok
"""
HOLDER = """
import selectors, socket, sys
s = socket.create_server(("10.92.0.2", 9000), backlog=4096)
held, watch = [], selectors.DefaultSelector()
watch.register(s, 1)
while True:
    for key, _ in watch.select():
        if key.fileobj is s:
            c = s.accept()[0]; held.append(c); watch.register(c, 1)
        elif data := key.fileobj.recv(100): key.fileobj.send(data)
        else: watch.unregister(key.fileobj); key.fileobj.close()
"""


class Bed:
    """The namespaces, the servers, and the relays between client and server."""

    def __init__(self) -> None:
        self.client, self.relay, self.server = (netns.unique(tag) for tag in ("client", "relay", "server"))
        self.directory = Path(tempfile.gettempdir(), netns.unique("bench"))
        self.directory.mkdir()
        self.programs: dict[str, Program] = {}

    def __enter__(self) -> "Bed":
        for name in (self.client, self.relay, self.server):
            netns.create(name)
        self._wire(self.client, "right", "10.91.0.1", self.relay, "left", "10.91.0.2")
        self._wire(self.relay, "right", "10.92.0.1", self.server, "left", "10.92.0.2")
        ip_batch(self.client, ["route add default via 10.91.0.2"])
        ip_batch(self.server, ["route add default via 10.92.0.1"])
        netns.run(*netns.argv_in(self.relay, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.programs.values():
            program.kill()
        for name in (self.client, self.relay, self.server):
            netns.delete(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _wire(here: str, link: str, address: str, there: str, peer: str, other: str) -> None:
        ip_batch(here, [f"link add {link} type veth peer name {peer} netns {there}"])
        ip_batch(here, [f"addr add {address}/24 dev {link}", f"link set {link} up"])
        ip_batch(there, [f"addr add {other}/24 dev {peer}", f"link set {peer} up"])

    def start(self, name: str, ns: str, *argv: str) -> Program:
        """Start a program; what it prints goes to a file."""
        self.programs[name] = Program(ns, list(argv), self.directory / f"{name}.log")
        return self.programs[name]

    def stop(self, name: str) -> None:
        """End a program."""
        self.programs.pop(name).kill()

    def neo_race(self, races: str) -> Program:
        """Start neo-race on the first core."""
        file = self.directory / "neo.toml"
        file.write_text(f'{races}\n[daemon]\nlog_level = "warning"\n')
        command = str(Path(sys.executable).with_name("neo-race"))
        return self.start("neo-race", self.relay, "taskset", "-c", "0", command, "--config", str(file))

    def haproxy(self, name: str, ns: str, text: str, most: int = 4000, pinned: bool = True) -> Program:
        """Start haproxy with one thread."""
        file = self.directory / f"{name}.cfg"
        file.write_text(HAPROXY_HEAD.format(most=most) + text)
        pin = ["taskset", "-c", "0"] if pinned else []
        return self.start(name, ns, *pin, "haproxy", "-q", "-f", str(file))

    def answers(self, address: tuple[str, int]) -> bool:
        """Whether somebody listens there."""
        with inside(self.client), socket.socket() as sock:
            return sock.connect_ex(address) == 0


def race(name: str, port: int, *upstreams: str, more: str = "") -> str:
    """Return one race that listens between client and server."""
    listed = ", ".join(f'"{upstream}"' for upstream in upstreams)
    return f'[races.{name}]\nlisten = "10.91.0.2:{port}"\nupstreams = [{listed}]\nsources = "none"\n{more}\n'


def relays(bed: Bed) -> None:
    """Start a server for each kind of load, and all three relays before each."""
    bed.haproxy("web", bed.server, WEB_SERVER, pinned=False)
    bed.start("bulk", bed.server, "iperf3", "-s")
    bed.neo_race(race("web", WEB + NEO, f"10.92.0.2:{WEB}") + race("bulk", BULK + NEO, f"10.92.0.2:{BULK}"))
    text = "".join(RELAY.format(name=f"to{port}", port=port + HAPROXY, to=port) for port in (WEB, BULK))
    bed.haproxy("haproxy", bed.relay, text)
    for port in (WEB, BULK):
        listen = f"TCP-LISTEN:{port + SOCAT},bind=10.91.0.2,fork,reuseaddr,backlog=1024"
        bed.start(f"socat{port}", bed.relay, "taskset", "-c", "0", "socat", listen, f"TCP:10.92.0.2:{port}")
    for address in [
        ("10.92.0.2", WEB),
        *(("10.91.0.2", port + way) for port in (WEB, BULK) for way in (NEO, HAPROXY, SOCAT)),
    ]:
        poll(lambda address=address: bed.answers(address), 20, why=f"{address} answers")


def target(way: str, port: int) -> tuple[str, int]:
    """Return where a client of *way* connects to."""
    return ("10.92.0.2", port) if way == "direct" else ("10.91.0.2", port + WAYS[way])


def gbits(bed: Bed, way: str, connections: int) -> float:
    """Return what iperf3 receives, in Gbit/s."""
    host, port = target(way, BULK)
    argv = ["iperf3", "-c", host, "-p", str(port), "-t", f"{SECONDS:g}", "-P", str(connections), "-J"]
    for _ in range(10):
        done = netns.run(*netns.argv_in(bed.client, *argv), check=False)
        found = json.loads(done.stdout)
        if "error" not in found:
            return float(found["end"]["sum_received"]["bits_per_second"]) / 1e9
        time.sleep(0.5)  # the server is busy with the last one still
    raise RuntimeError(f"iperf3 {way}: {found['error']}")


def connections_a_second(bed: Bed, way: str) -> tuple[float, float]:
    """Return what wrk gets done, a connection for each request, and the relay's CPU for one, in µs."""
    host, port = target(way, WEB)
    pid = bed.programs[way].pid if way in ("neo-race", "haproxy") else 0  # socat's children come and go
    before = usage.cpu_s(pid) if pid else 0.0
    url = f"http://{host}:{port}/"
    argv = ["wrk", "-t1", "-c32", f"-d{SECONDS:g}", "-H", "Connection: close", url]
    lines = netns.run(*netns.argv_in(bed.client, *argv)).stdout.splitlines()
    spent = usage.cpu_s(pid) - before if pid else 0.0
    requests = next(int(line.split()[0]) for line in lines if "requests in" in line)
    rate = next(float(line.split()[1]) for line in lines if "Requests/sec" in line)
    return rate, 1e6 * spent / max(requests, 1)


def latency_ms(bed: Bed, address: tuple[str, int]) -> float:
    """Return how long connect, request and first byte of the answer take."""
    with inside(bed.client), socket.socket() as sock:
        sock.settimeout(20)
        began = now()
        sock.connect(address)
        sock.sendall(REQUEST)
        sock.recv(1)
        return 1000 * (now() - began)


def rates(bed: Bed, runs: int) -> dict[str, object]:
    """Throughput and connections a second, all ways in turn."""
    found: dict[str, dict[str, list[float]]] = {way: {"one": [], "many": [], "rate": [], "cpu": []} for way in WAYS}
    for _ in range(runs):
        for way, values in found.items():
            values["one"].append(gbits(bed, way, 1))
            values["many"].append(gbits(bed, way, 64))
            rate, cpu = connections_a_second(bed, way)
            values["rate"].append(rate)
            values["cpu"].append(cpu)
    figures = {way: {name: figure(values) for name, values in found[way].items()} for way in WAYS}
    head = ["", "1 conn. Gbit/s", "64 conn. Gbit/s", "connections/s", "CPU µs each", "of haproxy: 1", "64", "conn/s"]
    rows = [[way, *_row(figures[way], figures["haproxy"])] for way in WAYS]
    table(f"Throughput and connections, {runs} runs of {SECONDS:g} s", head, rows)
    return {way: {name: f.plain() for name, f in figures[way].items()} for way in WAYS}


def _row(mine: dict[str, Figure], other: dict[str, Figure]) -> list[str]:
    digits = {"one": 2, "many": 2, "rate": 0, "cpu": 0}
    shown = [mine[name].show(digits[name]) for name in digits]
    return shown + [f"{mine[name].median / other[name].median:.2f}" for name in ("one", "many", "rate")]


def latencies(bed: Bed, samples: int) -> dict[str, object]:
    """Connect, ask, first byte; one after the other, all ways in turn."""
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(samples):
        for way, values in taken.items():
            values.append(latency_ms(bed, target(way, WEB)))
    return _show_latencies(f"Latency of one request, {samples} each, ms", taken, "direct")


def _show_latencies(title: str, taken: dict[str, list[float]], base: str) -> dict[str, object]:
    figures = {name: figure(values) for name, values in taken.items()}
    rows = []
    for name, f in figures.items():
        added = f.median - figures[base].median
        late = f.percentile(99) - figures[base].percentile(99)
        rows.append([name, f"{f.median:.2f}", f"{f.percentile(99):.2f}", f"{added:+.2f}", f"{late:+.2f}"])
    table(title, ["", "p50", "p99", f"p50 − {base}", f"p99 − {base}"], rows)
    return {name: f.plain() for name, f in figures.items()}


def bad_company(bed: Bed, samples: int) -> dict[str, object]:
    """One live upstream alone, and with two that refuse, are silent, or are 300 ms away."""
    far = netns.create(netns.unique("far"))
    live = f"10.92.0.2:{WEB}"
    others = {
        "refused": ("10.92.0.2:9", "10.92.0.2:10"),
        "silent": (f"{SILENT}:80", f"{SILENT}:81"),
        "300 ms away": (f"{FAR}:80", f"{FAR}:81"),
    }
    chain = "add chain ip b o { type filter hook output priority 0; }"
    rules = f"add table ip b; {chain}; add rule ip b o ip daddr {SILENT} drop"
    netns.run(*netns.argv_in(bed.relay, "nft", rules))
    cases = {"alone": race("r0", 7000, live)} | {
        name: race(f"r{at}", 7000 + at, *two, live) for at, (name, two) in enumerate(others.items(), 1)
    }
    if "neo-race" in bed.programs:
        bed.stop("neo-race")
    bed.neo_race("".join(cases.values()))
    taken: dict[str, list[float]] = {name: [] for name in cases}
    with SlowPath("far0", (bed.relay, "10.93.0.1"), (far, FAR), 0.15):
        listeners = []
        with inside(far):
            for port in (80, 81):
                listeners.append(socket.create_server((FAR, port), backlog=4096))
        for at in range(len(cases)):
            poll(lambda at=at: bed.answers(("10.91.0.2", 7000 + at)), 20, why="neo-race answers")
        for _ in range(samples):
            for at, values in enumerate(taken.values()):
                values.append(latency_ms(bed, ("10.91.0.2", 7000 + at)))
    netns.delete(far)
    return _show_latencies(f"One live upstream with two bad ones, {samples} each, ms", taken, "alone")


def idle(bed: Bed, seconds: float = 10.0) -> dict[str, object]:
    """What many connections cost that say nothing."""
    wanted = _room_for(CONNECTIONS)
    bed.start("holder", bed.server, sys.executable, "-c", HOLDER)
    results: dict[str, object] = {}
    rows = []
    # splice makes haproxy count two more descriptors for one in four connections
    unspliced = RELAY.format(name="h", port=9100, to=9000).replace("  option splice-auto\n", "")
    starts: dict[str, Callable[[], Program]] = {
        "neo-race": lambda: bed.neo_race(race("r", 9100, "10.92.0.2:9000", more='first_byte_timeout = "0s"')),
        "haproxy": lambda: bed.haproxy("haproxy", bed.relay, unspliced, wanted + 20),
    }
    for name, start in starts.items():
        if name in bed.programs:
            bed.stop(name)
        pid = start().pid
        poll(lambda: bed.answers(("10.91.0.2", 9100)), 20, why=f"{name} answers")
        empty = usage.pss_mb(pid)
        with _held(bed, wanted) as held:
            time.sleep(3.0)  # what the set-up left to do
            before, began = usage.cpu_s(pid), now()
            time.sleep(seconds)
            percent = 100 * (usage.cpu_s(pid) - before) / (now() - began)
            echoed = figure(_echo_ms(sock) for sock in held[:: max(1, wanted // 200)])
            pss = usage.pss_mb(pid)
        bed.stop(name)
        results[name] = {"connections": wanted, "pss_mb": pss, "empty_mb": empty, "cpu_percent": percent}
        rows.append([name, str(wanted), f"{empty:.1f}", f"{pss:.1f}", f"{percent:.2f}", echoed.show(2)])
    head = ["", "connections", "PSS MB empty", "PSS MB full", f"% of a core, {seconds:g} s", "echo ms"]
    why = "" if wanted == CONNECTIONS else f": {wanted}, as this machine allows no more open files"
    table(f"Idle connections{why}", head, rows)
    return results


def _room_for(connections: int) -> int:
    """Lift the limit of open files, for ourselves and what we start; return how many connections a relay can have."""
    needed = 2 * connections + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        with contextlib.suppress(OSError, ValueError):  # not root after all, or above fs.nr_open
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
            soft, hard = needed, needed
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(connections, (hard - 200) // 2)


@contextlib.contextmanager
def _held(bed: Bed, count: int) -> Iterator[list[socket.socket]]:
    held: list[socket.socket] = []
    try:
        with inside(bed.client):
            for _ in range(count):
                held.append(socket.create_connection(("10.91.0.2", 9100), timeout=20))
        yield held
    finally:
        for sock in held:
            sock.close()


def _echo_ms(sock: socket.socket) -> float:
    began = now()
    sock.send(b"x")
    sock.recv(1)
    return 1000 * (now() - began)


def measure(runs: int) -> dict[str, object]:
    """Measure everything; an absent tool ends it with a word."""
    if absent := [tool for tool in TOOLS if not shutil.which(tool)]:
        print(f"\nneo-race beside others: not measured, not installed: {' '.join(absent)}")
        return {}
    results: dict[str, object] = {}
    with Bed() as bed:
        relays(bed)
        results["rates"] = rates(bed, runs)
        results["latency_ms"] = latencies(bed, SAMPLES)
        results["bad_company_ms"] = bad_company(bed, SAMPLES)
        results["idle"] = idle(bed)
    results["pair"] = race_pair.measure(min(runs, 3))
    return results


def main() -> None:
    """Measure, and write the figures where they are wanted."""
    parser = argparse.ArgumentParser(prog="python -m bench.race", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="measurements of each rate (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if os.geteuid():
        sys.exit("bench makes network namespaces: run it as root")
    exit_on_sigterm()
    sweep()
    print("machine:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    results = measure(arguments.runs)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
