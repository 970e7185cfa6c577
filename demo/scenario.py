"""Shared by all steps: console, network, the long download, and the measurements."""

# ruff: noqa: TID251 (it measures)
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.lab import poll
from tests.lab.netns import ip

from demo.console import Console
from demo.network import HOSTS, NIC, PUBLIC, RATE_MBIT, DemoNetwork
from demo.programs import Download, Programs
from demo.sampler import Sampler

PROMPT = {"campus": "campus#", "relay1": "relay1#", "relay2": "relay2#", "server": "server#"}
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the summary: what was done, what was seen, and what that means."""

    what: str
    seen: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """The system at one moment: of each host its state, of each address of the campus host whether it carries data."""

    label: str
    hosts: dict[str, str]  # in-sync | drift | dead
    paths: tuple[tuple[str, str, bool], ...]  # interface, state, carries data
    relays: frozenset[str]  # addresses of relays that carry data


@dataclass
class Scenario:
    """The state of a demo while it is played."""

    console: Console
    network: DemoNetwork
    programs: Programs
    sampler: Sampler | None = None
    current: Download | None = None
    rows: list[Row] = field(default_factory=list)
    rates: dict[int, float] = field(default_factory=dict)  # number of addresses: Mbit/s
    frames: list[Frame] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def download(self) -> Download:
        """The connection that lives from its first scene to the last."""
        assert self.current is not None
        return self.current

    @property
    def samples(self) -> Sampler:
        """The sampler, once the network exists."""
        assert self.sampler is not None
        return self.sampler

    # ── neodctl ─────────────────────────────────────────────────────────────────────────────────

    def ctl(self, host: str, *argv: str, first: int = 0, last: int = 40, keep: str = "") -> str:
        """Run ``neodctl`` on a host and show what it says: its first and last lines, or those that match *keep*."""
        self.console.command(PROMPT[host], " ".join(("neodctl", *argv)))
        answer = self.network.hosts[host].ctl(*argv)
        lines = (answer.out + answer.err).strip().splitlines()
        if keep:
            lines = [line for number, line in enumerate(lines) if number < first or re.search(keep, line)]
        elif len(lines) > first + last:
            lines = [*lines[:first], f"… {len(lines) - first - last} lines …", *lines[len(lines) - last :]]
        self.console.output("\n".join(lines))
        return answer.out

    def json(self, host: str, *argv: str) -> Any:
        """Return the reply model of a command."""
        return self.network.hosts[host].ctl(*argv, "--json").json

    def events(self, host: str, after: int = 0) -> list[Event]:
        """Return the events of a host since a sequence number."""
        out = self.network.hosts[host].ctl("events", "--json").out
        return [event for line in out.splitlines() if (event := json.loads(line))["seq"] > after]

    def last_event(self, host: str) -> int:
        """Return the number of the latest event."""
        return max((event["seq"] for event in self.events(host)), default=0)

    def show_events(self, host: str, count: int, pattern: str = "", most: int = 3) -> None:
        """Show the last *count* events as ``neodctl events`` prints them, *most* of those that match."""
        self.console.command(PROMPT[host], "neodctl events")
        lines = self.network.hosts[host].ctl("events").out.splitlines()[-count:]
        chosen = [line for line in lines if re.search(pattern, line)]
        self.console.output("\n".join(chosen[:most]))
        if len(lines) > most:
            self.console.note(f"… and {len(lines) - len(chosen[:most])} more that belong to it")

    # ── rates ───────────────────────────────────────────────────────────────────────────────────

    def measure(self, seconds: float, of: Download | None = None) -> float:
        """Return what a download receives in the next seconds, in Mbit/s."""
        of = of or self.download
        begin = of.samples()[-1]
        time.sleep(seconds)
        of.check()
        end = of.samples()[-1]
        return (end[1] - begin[1]) * 8 / 1e6 / (end[0] - begin[0]) if end[0] > begin[0] else 0.0

    def settle(self, of: Download, addresses: int, timeout_s: float = 20.0) -> bool:
        """Wait until about as much is delivered as the addresses can carry, or for the time; return whether it is.

        More than they can carry is what waited for something older, and would be counted twice.
        """
        most, begin = addresses * RATE_MBIT, time.monotonic()
        time.sleep(2)
        while not (settled := 0.75 * most < of.mbit_s(2) < 1.02 * most) and time.monotonic() < begin + timeout_s:
            time.sleep(0.25)
        return settled

    @staticmethod
    def enough(addresses: int) -> float:
        """Return the rate, in Mbit/s, below which something is being waited for."""
        return 0.75 * addresses * RATE_MBIT

    def settled_rate(self, of: Download, addresses: int, tries: int = 3) -> float:
        """Return the rate over five seconds of a download that has found its speed; again when it lost it."""
        rate = 0.0
        for attempt in range(1, tries + 1):
            self.settle(of, addresses)
            before = self._arrived()
            delivered, after = self.measure(5, of), self._arrived()
            arrived = (after[1] - before[1]) * 8 / 1e6 / (after[0] - before[0])
            rate = min(delivered, arrived)  # what had come before, and waited for something older, is not counted
            if rate >= self.enough(addresses):
                break
            again = "; measured again" if attempt < tries else ""
            self.console.note(f"{rate:.1f} Mbit/s: its windows still grow{again}")
        return rate

    def _arrived(self) -> tuple[float, int]:
        """Return when the sampler last looked, and the bytes that had come in on the NIC by then."""
        series = self.samples.series
        return series.times[-1], series.counts[-1][f"campus/{NIC}"]

    def shares(self, seconds: float) -> list[tuple[str, float]]:
        """Return what came in at each address in the last seconds, in Mbit/s; the NIC's own first."""
        series = self.samples.series
        end = len(series.times) - 1
        begin = next(n for n, at in enumerate(series.times) if at >= series.times[end] - seconds)
        took_s = series.times[end] - series.times[begin]
        found = {}
        for name in series.names("campus"):
            moved = series.counts[end].get(name, 0) - series.counts[begin].get(name, 0)
            found[name.partition("/")[2]] = max(0, moved) * 8 / 1e6 / took_s
        others = sum(rate for name, rate in found.items() if name != NIC)
        found[NIC] = max(0.0, found[NIC] - others)  # the NIC sees what its macvlans receive
        return list(found.items())

    def subflows(self) -> list[dict[str, Any]]:
        """Return the subflows of the download's connection, as neod on the campus host sees them."""
        connections = self.json("campus", "paths")["connections"]
        biggest: dict[str, Any] = max(connections, key=lambda row: row["received_bytes"], default={"subflows": []})
        return [flow for flow in biggest["subflows"] if flow["state"] in ("established", "stalled")]

    def snapshot(self, label: str) -> None:
        """Keep the state of all hosts as it is now, as neod and the kernel tell it."""
        status = {name: self.json(name, "status") for name in HOSTS}
        states = {name: "in-sync" if received["converged"] else "drift" for name, received in status.items()}
        for name in HOSTS[1:]:
            if "state UP" not in ip("core", "link", "show", name):
                states[name] = "dead"
        flows = [flow for flow in self.subflows() if flow["state"] == "established"]
        sources = {flow["source"] for flow in flows}
        paths = [
            (row["name"], row["state"], row["address"].partition("/")[0] in sources)
            for row in status["campus"]["paths"]
        ]
        alive = {name for name in states if states[name] != "dead"}
        relays = {name for name in alive for flow in flows if flow["to"] == PUBLIC.get(name)}
        self.frames.append(Frame(label, states, tuple(paths), frozenset(relays)))

    def until(self, what: Callable[[], Any], timeout_s: float, why: str) -> float:
        """Wait until it is so; return how long it took, in seconds."""
        begin = time.monotonic()
        poll(what, timeout_s, 0.1, why)
        return time.monotonic() - begin

    def mark(self, label: str, bad: bool = False) -> None:
        """Put a labelled line into the picture of the throughput."""
        self.samples.mark(label, bad)
