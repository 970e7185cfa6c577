"""The order in which to try candidates, from their recent results. Pure.

It only matters when not all of them start at once. The race itself decides which one wins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp2, log2
from typing import Final, NamedTuple, Protocol, TypeVar

WEIGHT: Final = 0.25
"""Share of a new result in the smoothed time: after three results the path as it is now decides."""

HALF_LIFE_S: Final = 30.0
"""A failure counts half after this long: a rebooted relay is tried early again within minutes."""

MAX_AGE_S: Final = 600.0
"""Older results are ignored."""

UNTRIED_S: Final = 0.3
"""Assumed for a candidate without results: slower than known good ones, faster than known bad ones.
About the delay of RFC 8305 (250 ms) and of Go's dialer (300 ms)."""

PENALTY_S: Final = 4.0
"""What one fresh failure adds: more than a lost SYN (1 s) and its second copy (2 s more) cost."""

EXPLORE_EVERY: Final = 8
"""One race in this many also starts the candidate whose last result is oldest."""

STEPS_PER_DOUBLING: Final = 2
NOISE_S: Final = 0.01
"""Candidates whose times differ by less than about 40 %, or by the few milliseconds that a busy machine adds, count
as equal and take turns: that every address carries its share matters more."""


@dataclass(frozen=True, slots=True)
class AddressPair:
    """A source address and an upstream address: one way to connect."""

    source: str  # empty: the kernel chooses
    host: str  # an address, never a name
    port: int

    @property
    def upstream(self) -> str:
        """The upstream as ADDRESS:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.source} → {self.upstream}" if self.source else self.upstream


class Score(NamedTuple):
    """Recent results of a candidate; times in seconds of one clock."""

    smoothed_s: float | None = None
    failures: float = 0.0  # as of ``at_s``
    at_s: float = float("-inf")


class HasScore(Protocol):
    """Something that can start in a race."""

    pair: AddressPair
    score: Score


S = TypeVar("S", bound=HasScore)


def address_pairs(sources: Sequence[str] | None, targets: Iterable[tuple[str, int]]) -> list[AddressPair]:
    """Return source × target, of one address family each; *sources* None leaves the source to the kernel."""
    if sources is None:
        return [AddressPair("", host, port) for host, port in targets]
    return [
        AddressPair(source, host, port)
        for host, port in targets
        for source in sources
        if (":" in source) == (":" in host)
    ]


def after_success(score: Score, took_s: float, now_s: float) -> Score:
    """Return the score after a connection that took *took_s*: its failures are reset."""
    return Score(_smoothed_s(score, took_s, now_s), 0.0, now_s)


def after_losing(score: Score, waited_s: float, now_s: float) -> Score:
    """Return the score of a candidate that lost after *waited_s*: it takes at least that long."""
    known = _known_s(score, now_s)
    if known is not None and known >= waited_s:
        return score
    return Score(_smoothed_s(score, waited_s, now_s), _decayed_failures(score, now_s), now_s)


def after_failure(score: Score, now_s: float) -> Score:
    """Return the score after an error or a time-out."""
    return Score(score.smoothed_s, _decayed_failures(score, now_s) + 1.0, now_s)


def estimate_s(score: Score, now_s: float, unknown_s: float = UNTRIED_S) -> float:
    """Return the expected connect time with the penalty for failures; *unknown_s* without results."""
    known = _known_s(score, now_s)
    return (unknown_s if known is None else known) + PENALTY_S * _decayed_failures(score, now_s)


def ranked_order(candidates: Sequence[S], turn: int, now_s: float) -> list[S]:
    """Return *candidates* in the order in which the *turn*-th race starts them.

    Best first. Upstreams alternate, each time with another source, so that neither one dead upstream nor one dead
    source delays a race by more than one step. Candidates of equal rank rotate. A source without results for an
    upstream counts as good as the best one that has some.
    """
    upstreams = by_upstream(candidates)
    ranked: dict[int, int] = {}
    for lane in upstreams:
        unknown_s = min((s for e in lane if (s := _known_s(e.score, now_s)) is not None), default=UNTRIED_S)
        ranked |= {id(e): _rank(estimate_s(e.score, now_s, unknown_s)) for e in lane}
    lanes = [_by_rank(lane, turn + shift, ranked) for shift, lane in enumerate(upstreams)]
    lanes.sort(key=lambda lane: ranked[id(lane[0])])
    rounds = max(map(len, lanes), default=0)
    return [lane[at] for at in range(rounds) for lane in lanes if at < len(lane)]


def by_upstream(candidates: Iterable[S]) -> list[list[S]]:
    lanes: dict[tuple[str, int], list[S]] = {}
    for candidate in candidates:
        lanes.setdefault((candidate.pair.host, candidate.pair.port), []).append(candidate)
    return list(lanes.values())


def window(lanes: Sequence[Sequence[S]], turn: int, most: int) -> list[S]:
    """Return about *most* candidates, of each lane those whose turn it is."""
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
    """True if the *turn*-th race also starts the candidate with the oldest result."""
    return turn % EXPLORE_EVERY == EXPLORE_EVERY - 1


def with_explorer(arranged: list[S], place: int) -> list[S]:
    """Return *arranged* with the one of oldest result, from *place* on, moved to *place*."""
    if place >= len(arranged):
        return arranged
    stalest = min(range(place, len(arranged)), key=lambda at: arranged[at].score.at_s)
    return [*arranged[:place], arranged[stalest], *arranged[place:stalest], *arranged[stalest + 1 :]]


def _by_rank(lane: list[S], shift: int, ranked: dict[int, int]) -> list[S]:
    at = shift % len(lane)
    return sorted([*lane[at:], *lane[:at]], key=lambda candidate: ranked[id(candidate)])


def _rank(estimated_s: float) -> int:
    return int(STEPS_PER_DOUBLING * log2(1.0 + estimated_s / NOISE_S))


def _known_s(score: Score, now_s: float) -> float | None:
    return score.smoothed_s if now_s - score.at_s <= MAX_AGE_S else None


def _smoothed_s(score: Score, new_s: float, now_s: float) -> float:
    known = _known_s(score, now_s)
    return new_s if known is None else known + WEIGHT * (new_s - known)


def _decayed_failures(score: Score, now_s: float) -> float:
    if score.failures == 0.0:
        return 0.0
    return score.failures * exp2((score.at_s - now_s) / HALF_LIFE_S)
