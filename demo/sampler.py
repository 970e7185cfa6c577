"""How fast what was, all the time: interface counters of the hosts, read in a thread, and marks of what happened."""

# ruff: noqa: TID251 (it stamps what it samples)
import contextlib
import threading
import time
from dataclasses import dataclass, field
from io import TextIOWrapper

from tests.lab.netns import inside

EVERY_S = 0.2
Counters = dict[str, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at an instant: CLOCK_MONOTONIC, seconds."""

    at_s: float
    label: str
    bad: bool = False


@dataclass
class Series:
    """What was received: of each sample its time, and bytes so far by ``host/interface``."""

    times: list[float] = field(default_factory=list)
    counts: list[Counters] = field(default_factory=list)

    def mbit_s(self, name: str) -> list[tuple[float, float]]:
        """Return (time, rate) of one interface; one that was made again counts from zero."""
        found, before = list[tuple[float, float]](), self.counts[0].get(name, 0) if self.counts else 0
        for index in range(1, len(self.times)):
            count = self.counts[index].get(name, 0)
            moved = count - before if count >= before else count
            found.append((self.times[index], moved * 8 / 1e6 / (self.times[index] - self.times[index - 1])))
            before = count
        return found

    def names(self, host: str) -> list[str]:
        """Return the interfaces of a host, in the order of their numbers."""
        found = {name for counts in self.counts for name in counts if name.startswith(f"{host}/")}
        return sorted(found, key=lambda name: (len(name), name))


class Sampler:
    """Reads the counters of some namespaces until it is stopped."""

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.series, self.marks = Series(), list[Mark]()
        self._hosts = hosts
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def mark(self, label: str, bad: bool = False) -> None:
        """Note that something happens now."""
        self.marks.append(Mark(time.monotonic(), label, bad))

    def stop(self) -> None:
        """Read no more."""
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            files: dict[str, TextIOWrapper] = {}
            for host in self._hosts:
                with inside(host):  # the file shows the namespace in which it was opened
                    files[host] = stack.enter_context(open("/proc/thread-self/net/dev"))  # noqa: PTH123
            while True:
                now, counts = time.monotonic(), Counters()
                for host, file in files.items():
                    file.seek(0)
                    counts |= _counters(host, file.read())
                self.series.times.append(now)
                self.series.counts.append(counts)
                if self._over.wait(EVERY_S):
                    return


def _counters(host: str, text: str) -> Counters:
    """Return bytes received by ``host/interface`` from the text of /proc/net/dev."""
    rows = (line.partition(":") for line in text.splitlines()[2:])
    return {f"{host}/{name.strip()}": int(values.split()[0]) for name, _, values in rows if name.strip() != "lo"}
