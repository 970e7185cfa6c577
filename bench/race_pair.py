"""Plain curl through a pair of neo-race over eight throttled addresses: ``python -m bench.race_pair``, as root.

What is asked for is a ratio, which does not depend on the rate of an address;
so the rate is low enough that the machine has time to spare while it runs.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab import exit_on_sigterm, netns, sweep
from tests.lab.race.campus import ADDRESSES, ENTRANCE, FAR, Campus, campus, pair
from tests.lab.race.racer import Racer, Server, dial

from bench.figures import Figure, figure, now, table

MBIT = 4.0
NEEDED = 0.95
WARM_UP_S, MEASURED_S = 12.0, 24.0
SHORT_S = (1.0, 4.0, 16.0)
"""Whole transfers, by how long eight times one address would take for them."""

IPPROTO_MPTCP = 262
WAYS = ("one address", "a program with MPTCP", "curl through the pair")
Address = tuple[str, int]
Open = Callable[[], contextlib.AbstractContextManager[Callable[[], int]]]


@dataclass(frozen=True, slots=True)
class Site:
    """The same server, as each way reaches it."""

    lab: Campus
    plain: Address
    multipath: Address

    def open(self, way: str) -> Open:
        """Return what begins to receive by *way*: a context whose value reads on and returns how many bytes came."""
        if way == "a program with MPTCP":
            return lambda: _program(self.lab.client, self.multipath)
        return lambda: _curl(self.lab.client, self.plain if way == "one address" else ENTRANCE)


@contextlib.contextmanager
def _curl(ns: str, where: Address) -> Iterator[Callable[[], int]]:
    argv = netns.argv_in(ns, "curl", "-sN", f"http://{where[0]}:{where[1]}/")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        fd = child.stdout.fileno()
        yield lambda: len(os.read(fd, 1 << 18))
        child.kill()


@contextlib.contextmanager
def _program(ns: str, where: Address) -> Iterator[Callable[[], int]]:
    with dial(ns, where, proto=IPPROTO_MPTCP) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        yield lambda: len(sock.recv(1 << 18))


def web(size: int) -> Callable[[socket.socket], None]:
    """Return a server that answers with *size* bytes."""

    def serve(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        block, left = bytes(1 << 16), size
        while left > 0:
            client.sendall(block[:left])
            left -= len(block)
        client.shutdown(socket.SHUT_WR)

    return serve


def steady_mbit_s(begin: Open) -> float:
    """Return what arrives in the measured seconds, after those to warm up."""
    began, total, first = now(), 0, (0.0, 0)
    with begin() as more:
        while got := more():
            total += got
            at = now() - began
            if at < WARM_UP_S:
                first = at, total
            elif at >= WARM_UP_S + MEASURED_S:
                return (total - first[1]) * 8 / 1e6 / (at - first[0])
    raise RuntimeError(f"ended after {now() - began:.1f} s")


def whole_mbit_s(begin: Open) -> float:
    """Return the rate of a transfer from before the connection to the last byte."""
    began, total = now(), 0
    with begin() as more:
        while got := more():
            total += got
    return total * 8 / 1e6 / (now() - began)


@contextlib.contextmanager
def _site(lab: Campus, size: int) -> Iterator[Site]:
    """The server, and the pair in front of it."""
    serve = web(size)
    with (
        Server(lab.server, serve, ("127.0.0.1", 0)) as site,
        Server(lab.server, serve, (FAR, 0)) as direct,
        Server(lab.server, serve, (FAR, 0), proto=IPPROTO_MPTCP) as able,
    ):
        near, far = pair(site.upstream)
        with Racer(lab.server, far), Racer(lab.client, near):
            yield Site(lab, direct.address, able.address)


def _idle() -> tuple[int, int]:
    fields = [int(word) for word in Path("/proc/stat").read_text().split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def _in_turn(site: Site, runs: int, take: Callable[[Open], float]) -> tuple[dict[str, Figure], float]:
    """Measure all ways in turn; return the figures, and the share of the machine's time that nobody wanted."""
    values: dict[str, list[float]] = {way: [] for way in WAYS}
    before = _idle()
    for _ in range(runs):
        for way, taken in values.items():
            taken.append(take(site.open(way)))
            time.sleep(1.0)  # what the last one left on its way
    after = _idle()
    return {way: figure(taken) for way, taken in values.items()}, (after[0] - before[0]) / (after[1] - before[1])


def _rows(figures: dict[str, Figure], needed: float | None) -> list[list[str]]:
    limit = len(ADDRESSES) * figures[WAYS[0]].median
    rows = [[WAYS[0], figures[WAYS[0]].show(2), f"{1 / len(ADDRESSES):.3f}", ""]]
    for way in WAYS[1:]:
        share = figures[way].median / limit
        verdict = "" if needed is None or way != WAYS[2] else "met" if share >= needed else "missed"
        rows.append([way, figures[way].show(2), f"{share:.3f}", verdict])
    return rows


def measure(runs: int, mbit: float = MBIT) -> dict[str, object]:
    """Measure long and short transfers, print the tables, return the figures."""
    head = ["", "Mbit/s", f"of {len(ADDRESSES)} x one", f"needed {NEEDED}"]
    found: dict[str, object] = {"mbit_an_address": mbit}
    with campus(mbit) as lab:
        with _site(lab, 1 << 40) as site:
            figures, idle = _in_turn(site, runs, steady_mbit_s)
        title = f"{len(ADDRESSES)} addresses of {mbit:g} Mbit/s, {MEASURED_S:g} s after {WARM_UP_S:g} s"
        table(f"{title}, {runs} runs; machine idle {100 * idle:.0f} %", head, _rows(figures, NEEDED))
        found["steady"] = {way: f.plain() for way, f in figures.items()} | {"idle": idle}
        for short_s in SHORT_S:
            size = int(short_s * len(ADDRESSES) * figures[WAYS[0]].median * 1e6 / 8)
            with _site(lab, size) as site:
                whole = {way: figure(whole_mbit_s(site.open(way)) for _ in range(runs)) for way in WAYS[1:]}
            shown = {WAYS[0]: figures[WAYS[0]], **whole}
            table(f"Whole transfers of {size / 1e6:.1f} MB, {short_s:g} s at best", head, _rows(shown, None))
            found[f"whole_{short_s:g}s"] = {way: f.plain() for way, f in whole.items()}
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.race_pair", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="measurements of each way (default 5)")
    parser.add_argument("--mbit", type=float, default=MBIT, help="of one address (default %(default)g)")
    arguments = parser.parse_args()
    if os.geteuid():
        sys.exit("bench makes network namespaces: run it as root")
    exit_on_sigterm()
    sweep()
    measure(arguments.runs, arguments.mbit)


if __name__ == "__main__":
    main()
