"""Metrics of neo-race and their page for Prometheus. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from neod.observability.exposition import Metric, Sample, by, number, plain
from neod.observability.exposition import page as page_of
from neod.race.order import AddressPair

K = TypeVar("K", bound=Hashable)

CONNECT_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Counts observations up to each bound; the last bucket has none."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = CONNECT_BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def samples(self, labels: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Yield suffix, labels and value of each line."""
        running = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            yield "_bucket", {**labels, "le": number(bound)}, running
        yield "_sum", labels, self.total
        yield "_count", labels, running


@dataclass(slots=True)
class RaceStats:
    """Counters of one race since the start. Dictionaries count by their keys."""

    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # why
    won: dict[tuple[str, str, str], int] = field(default_factory=dict)  # upstream, source, protocol
    lost: dict[str, int] = field(default_factory=dict)  # reason
    failed: dict[tuple[str, str, str], int] = field(default_factory=dict)  # upstream, source, errno name
    closed: dict[str, int] = field(default_factory=dict)  # how
    slower: int = 0  # attempts of races that another one won
    unanswered: dict[tuple[str, str, str], int] = field(default_factory=dict)  # upstream, source, what it did
    bytes_up: int = 0  # of closed connections
    bytes_down: int = 0
    connect: Histogram = field(default_factory=Histogram)

    def note_failure(self, candidate: AddressPair, error: str) -> None:
        """Count one attempt that failed."""
        count(self.failed, (candidate.upstream, candidate.source, error))


@dataclass(frozen=True, slots=True)
class RaceGauges:
    """Current values of one race."""

    open: int
    candidates: int
    live_up: int  # bytes of open connections
    live_down: int


def count(counts: dict[K, int], key: K) -> None:
    counts[key] = counts.get(key, 0) + 1


def exposition(races: Mapping[str, tuple[RaceStats, RaceGauges]]) -> str:
    """Return the page: every family with its help, then a line a race and label."""
    return page_of(Metric(name, kind, text, list(_of_races(races, samples))) for name, kind, text, samples in METRICS)


def _of_races(races: Mapping[str, tuple[RaceStats, RaceGauges]], samples: "Samples") -> Iterator[Sample]:
    for race, (stats, gauges) in sorted(races.items()):
        for suffix, labels, value in samples(stats, gauges):
            yield suffix, {"race": race, **labels}, value


def _won(stats: RaceStats, _: RaceGauges) -> Iterable[Sample]:
    for (upstream, source, protocol), value in sorted(stats.won.items()):
        yield "", {"upstream": upstream, "source": source, "protocol": protocol}, value


def _failed(stats: RaceStats, _: RaceGauges) -> Iterable[Sample]:
    for (upstream, source, error), value in sorted(stats.failed.items()):
        yield "", {"upstream": upstream, "source": source, "error": error}, value


def _unanswered(stats: RaceStats, _: RaceGauges) -> Iterable[Sample]:
    for (upstream, source, why), value in sorted(stats.unanswered.items()):
        yield "", {"upstream": upstream, "source": source, "why": why}, value


def _bytes(stats: RaceStats, gauges: RaceGauges) -> Iterable[Sample]:
    yield from plain(stats.bytes_up + gauges.live_up, direction="to_upstream")
    yield from plain(stats.bytes_down + gauges.live_down, direction="to_client")


Samples = Callable[[RaceStats, RaceGauges], Iterable[Sample]]

METRICS: Final[tuple[tuple[str, str, str, Samples], ...]] = (
    ("neo_race_accepted_total", "counter", "Connections accepted.", lambda s, _: plain(s.accepted)),
    ("neo_race_refused_total", "counter", "Connections refused, by limit.", lambda s, _: by(s.refused, "why")),
    ("neo_race_won_total", "counter", "Races won, by upstream, source address and protocol.", _won),
    ("neo_race_lost_total", "counter", "Races that nobody won.", lambda s, _: by(s.lost, "reason")),
    ("neo_race_attempts_failed_total", "counter", "Attempts that failed before the race was decided.", _failed),
    (
        "neo_race_attempts_slower_total",
        "counter",
        "Attempts that another one was faster than.",
        lambda s, _: plain(s.slower),
    ),
    ("neo_race_unanswered_total", "counter", "Connections that the upstream took and did not answer.", _unanswered),
    ("neo_race_closed_total", "counter", "Connections ended, by how.", lambda s, _: by(s.closed, "how")),
    ("neo_race_bytes_total", "counter", "Bytes forwarded.", _bytes),
    ("neo_race_connections_open", "gauge", "Connections open now, races included.", lambda _, g: plain(g.open)),
    ("neo_race_candidates", "gauge", "Sources times upstreams now.", lambda _, g: plain(g.candidates)),
    (
        "neo_race_connect_seconds",
        "histogram",
        "From SYN to established, of winners.",
        lambda s, _: s.connect.samples({}),
    ),
)
