"""Which candidate to try first, from what became of it lately. Pure.

Not for: connecting, or deciding who wins. The race decides that; this only
says who may start when not all can.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp2, log2
from typing import Final, NamedTuple, Protocol, TypeVar

WEIGHT: Final = 0.25
"""Share of a new result in the smoothed time: after three results the path as it is now decides."""

HALF_LIFE_S: Final = 30.0
"""A failure counts half after this long: a rebooted relay is tried early again within minutes."""

FORGET_S: Final = 600.0
"""Results older than this say nothing."""

UNKNOWN_S: Final = 0.3
"""Taken for a candidate without results: behind what is known to be quick, before what is known to be bad.
About the patience of RFC 8305 (250 ms) and of Go's dialer (300 ms)."""

PENALTY_S: Final = 4.0
"""What one fresh failure adds: more than a lost SYN (1 s) and its second copy (2 s more) cost."""

EXPLORE_EVERY: Final = 8
"""One race in this many lets the candidate start that was not heard of for longest."""

STEPS_PER_DOUBLING: Final = 2
NOISE_S: Final = 0.01
"""Candidates whose times differ by less than about 40 %, or by the few milliseconds that a busy machine adds, count
as equal and take turns: that every address carries its share matters more."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source address and an upstream address: one way to connect."""

    source: str  # empty: the kernel chooses
    host: str  # an address, never a name
    port: int

    @property
    def upstream(self) -> str:
        """The far end, as people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.source} → {self.upstream}" if self.source else self.upstream


class Score(NamedTuple):
    """What became of a candidate lately; instants in seconds of one clock."""

    smoothed_s: float | None = None
    failures: float = 0.0  # as of ``at_s``
    at_s: float = float("-inf")


class Scored(Protocol):
    """Something that can start in a race."""

    candidate: Candidate
    score: Score


S = TypeVar("S", bound=Scored)


def candidates(sources: Sequence[str] | None, targets: Iterable[tuple[str, int]]) -> list[Candidate]:
    """Return source × target, of one address family each; *sources* None leaves the source to the kernel."""
    if sources is None:
        return [Candidate("", host, port) for host, port in targets]
    return [
        Candidate(source, host, port)
        for host, port in targets
        for source in sources
        if (":" in source) == (":" in host)
    ]


def connected(score: Score, took_s: float, now_s: float) -> Score:
    """Return the score after a connection that took *took_s*: its failures are forgiven."""
    return Score(_smooth(score, took_s, now_s), 0.0, now_s)


def outrun(score: Score, waited_s: float, now_s: float) -> Score:
    """Return the score of a candidate that another beat after *waited_s*: it takes at least that long."""
    known = _known(score, now_s)
    if known is not None and known >= waited_s:
        return score
    return Score(_smooth(score, waited_s, now_s), _aged(score, now_s), now_s)


def failed(score: Score, now_s: float) -> Score:
    """Return the score after a refusal or a silence."""
    return Score(score.smoothed_s, _aged(score, now_s) + 1.0, now_s)


def estimate_s(score: Score, now_s: float, unknown_s: float = UNKNOWN_S) -> float:
    """Return how long a connection would probably take, failures priced in; *unknown_s* where nothing is known."""
    known = _known(score, now_s)
    return (unknown_s if known is None else known) + PENALTY_S * _aged(score, now_s)


def arrange(entrants: Sequence[S], turn: int, now_s: float) -> list[S]:
    """Return *entrants* in the order in which to start them, as the *turn*-th race.

    Best first; between one and the next every other upstream comes once, each
    over another source, so that neither one dead upstream nor one dead source
    holds up a race by more than one step. Equals take turns. A source that has
    not been tried with an upstream counts as good as those that have.
    """
    upstreams = by_upstream(entrants)
    ranked: dict[int, int] = {}
    for lane in upstreams:
        unknown_s = min((s for e in lane if (s := _known(e.score, now_s)) is not None), default=UNKNOWN_S)
        ranked |= {id(e): _rank(estimate_s(e.score, now_s, unknown_s)) for e in lane}
    lanes = [_by_rank(lane, turn + shift, ranked) for shift, lane in enumerate(upstreams)]
    lanes.sort(key=lambda lane: ranked[id(lane[0])])
    rounds = max(map(len, lanes), default=0)
    return [lane[at] for at in range(rounds) for lane in lanes if at < len(lane)]


def by_upstream(entrants: Iterable[S]) -> list[list[S]]:
    """Return *entrants* in lanes, one for each upstream."""
    lanes: dict[tuple[str, int], list[S]] = {}
    for entrant in entrants:
        lanes.setdefault((entrant.candidate.host, entrant.candidate.port), []).append(entrant)
    return list(lanes.values())


def window(lanes: Sequence[Sequence[S]], turn: int, most: int) -> list[S]:
    """Return about *most* of all, of each lane those whose turn it is."""
    each = max(1, most // len(lanes))
    found: list[S] = []
    for lane in lanes:
        first = turn * each % len(lane)
        piece = lane[first : first + each]
        found += [*piece, *lane[: min(each - len(piece), first)]]
    return found


def starters(arranged: Sequence[S], turn: int, together: int) -> int:
    """Return how many of *arranged* to start at once: *together*, one more in an exploring race."""
    return min(len(arranged), together + (1 if explores(turn) else 0))


def explores(turn: int) -> bool:
    """Whether the *turn*-th race also tries one that would not be its turn."""
    return turn % EXPLORE_EVERY == EXPLORE_EVERY - 1


def with_explorer(arranged: list[S], place: int) -> list[S]:
    """Return *arranged* with the longest unheard of those from *place* on moved to *place*."""
    if place >= len(arranged):
        return arranged
    stalest = min(range(place, len(arranged)), key=lambda at: arranged[at].score.at_s)
    return [*arranged[:place], arranged[stalest], *arranged[place:stalest], *arranged[stalest + 1 :]]


def _by_rank(lane: list[S], shift: int, ranked: dict[int, int]) -> list[S]:
    at = shift % len(lane)
    return sorted([*lane[at:], *lane[:at]], key=lambda entrant: ranked[id(entrant)])


def _rank(estimated_s: float) -> int:
    return int(STEPS_PER_DOUBLING * log2(1.0 + estimated_s / NOISE_S))


def _known(score: Score, now_s: float) -> float | None:
    return score.smoothed_s if now_s - score.at_s <= FORGET_S else None


def _smooth(score: Score, new_s: float, now_s: float) -> float:
    known = _known(score, now_s)
    return new_s if known is None else known + WEIGHT * (new_s - known)


def _aged(score: Score, now_s: float) -> float:
    if score.failures == 0.0:
        return 0.0
    return score.failures * exp2((score.at_s - now_s) / HALF_LIFE_S)
