"""When to look next at what sends no event: as often as is cheap, and never at much at a time. No I/O."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from neod.model.facts import FOREVER
from neod.model.key import Key, Place
from neod.model.kind import Poll
from neod.reconcile.ports import Drivers
from neod.reconcile.queue import Hints
from neod.reconcile.state import HostState

SHARE: Final = 0.001
"""Of a core, the most that looking for changes of a kind without events may cost: it sets how often we look."""

TOGETHER_S: Final = 0.5


class Looks(Protocol):
    """What passes remember of their last full look at a kind."""

    def cpu_s(self, place: Place) -> float:
        """Return the processor time that it took."""
        ...

    def is_unchanged(self, place: Place) -> bool:
        """Whether a cheap probe says that nothing changed since."""
        ...


class Polls:
    """The next look at every kind without events, in every namespace where objects of it are relevant."""

    def __init__(self, state: HostState, drivers: Drivers, looks: Looks) -> None:
        self._state, self._drivers, self._looks = state, drivers, looks
        self._at: dict[Place, float] = {}
        self._rounds: dict[Place, deque[Key]] = {}  # what is left to look at until all has been seen once

    def next_due(self) -> float:
        """Return when the next look is due, CLOCK_BOOTTIME."""
        return min(self._at.values(), default=FOREVER)

    def add_due(self, hints: Hints, now: float) -> None:
        """Add what is due to *hints*; what is due soon comes along, for half of what a look costs is the pass."""
        soon = {} if hints.everything else {place: at for place, at in self._at.items() if at <= now + TOGETHER_S}
        due = self._changed([place for place, at in soon.items() if at <= now], now)
        if not due:
            return
        for place in due + self._changed([place for place, at in soon.items() if at > now], now):
            poll = self._poll_of(place)
            if poll is None or poll.at_most is None:
                hints.kinds.add(place)
                continue
            del self._at[place]  # set again after the pass
            for key in self._part(place, poll.at_most):
                hints.keys.setdefault(key, None)
        hints.causes.append("poll")

    def _changed(self, places: Sequence[Place], now: float) -> list[Place]:
        """Return *places* without those whose cheap probe says unchanged: they count as read."""
        unchanged = {place for place in places if self._looks.is_unchanged(place)}
        self._at |= {place: now + self._pause_s(place) for place in unchanged}
        return [place for place in places if place not in unchanged]

    def _part(self, place: Place, at_most: int) -> Iterator[Key]:
        """Yield what comes next of all that is desired or ours of a kind."""
        left = self._rounds.get(place)
        if not left:
            left = self._rounds[place] = deque(self._state.relevant_keys(place))
        for _ in range(min(at_most, len(left))):
            yield left.popleft()

    def plan(self, hints: Hints, now: float) -> None:
        """Set the next looks, after a pass over *hints*."""
        relevant = [
            place for place in self._drivers.places() if self._poll_of(place) and self._state.is_relevant(place)
        ]
        for place in self._at.keys() - set(relevant):
            del self._at[place]
            self._rounds.pop(place, None)
        for place in relevant:
            if hints.everything or place in hints.kinds or place not in self._at:
                self._at[place] = now + self._pause_s(place)

    def _poll_of(self, place: Place) -> Poll | None:
        return self._state.kinds[place[1]].poll

    def _pause_s(self, place: Place) -> float:
        poll = self._poll_of(place)
        assert poll is not None
        if poll.cheap:
            return poll.every_s
        cost_s = self._looks.cpu_s(place)
        if poll.at_most is not None:
            cost_s *= min(1.0, poll.at_most / max(1, len(self._state.observed.of(place))))
        return max(poll.every_s, cost_s / SHARE)
