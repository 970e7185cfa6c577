"""When to look next at what sends no event: as often as is cheap, and never at much at a time. No I/O."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from neod.model.errors import KernelError
from neod.model.facts import FOREVER
from neod.model.key import Key
from neod.model.kind import CheapChangeProbe, Kind, Poll
from neod.reconcile.observed import Place
from neod.reconcile.queue import Hints
from neod.reconcile.reconciler import Drivers, Reconciler

SHARE: Final = 0.001
"""Of a core, the most that looking for changes of a kind without events may cost: it sets how often we look."""

TOGETHER_S: Final = 0.5


class Polls:
    """The next look at every kind without events, in every namespace where objects of it are relevant."""

    def __init__(self, kinds: Mapping[str, Kind[Any, Any]], namespaces: Drivers, reconciler: Reconciler) -> None:
        self._kinds, self._namespaces, self._reconciler = kinds, namespaces, reconciler
        self._at: dict[Place, float] = {}
        self._rounds: dict[Place, deque[Key]] = {}  # what is left to look at until all has been seen once

    def next_due(self) -> float:
        """Return when the next look is due, CLOCK_BOOTTIME."""
        return min(self._at.values(), default=FOREVER)

    def add_due(self, hints: Hints, now: float) -> None:
        """Add what is due to *hints*; what is due soon comes along, for half of what a look costs is the pass."""
        if hints.everything or not self._stirred(now, 0.0):
            return
        for place in self._stirred(now, TOGETHER_S):
            poll = self._poll_of(place)
            if poll is None or poll.at_most is None:
                hints.kinds.add(place)
                continue
            del self._at[place]  # anew after the pass
            for key in self._part(place, poll.at_most):
                hints.keys.setdefault(key, None)
        hints.causes.append("poll")

    def _stirred(self, now: float, ahead_s: float) -> list[Place]:
        """Return the places that are due by then; those that are calm have been looked at with that."""
        due = [place for place, at in self._at.items() if at <= now + ahead_s]
        calm = {place for place in due if self._is_calm(place)}
        self._at |= {place: now + self._pause_s(place) for place in calm}
        return [place for place in due if place not in calm]

    def _is_calm(self, place: Place) -> bool:
        try:
            driver = self._namespaces.driver(place)
        except KernelError:
            return False  # the pass says what is wrong
        return isinstance(driver, CheapChangeProbe) and not driver.maybe_changed()

    def _part(self, place: Place, at_most: int) -> Iterator[Key]:
        """Yield what comes next of all that is desired or ours of a kind."""
        left = self._rounds.get(place)
        if not left:
            left = self._rounds[place] = deque(self._reconciler.relevant_keys(place))
        for _ in range(min(at_most, len(left))):
            yield left.popleft()

    def plan(self, hints: Hints, now: float) -> None:
        """Set the next looks, after a pass over *hints*."""
        relevant = [
            place for place in self._namespaces.places() if self._poll_of(place) and self._reconciler.is_relevant(place)
        ]
        for place in self._at.keys() - set(relevant):
            del self._at[place]
            self._rounds.pop(place, None)
        for place in relevant:
            if hints.everything or place in hints.kinds or place not in self._at:
                self._at[place] = now + self._pause_s(place)

    def _poll_of(self, place: Place) -> Poll | None:
        return self._kinds[place[1]].poll

    def _pause_s(self, place: Place) -> float:
        poll = self._poll_of(place)
        assert poll is not None
        if poll.cheap:
            return poll.every_s
        cost_s = self._reconciler.reading_s(place)
        if poll.at_most is not None:
            cost_s *= min(1.0, poll.at_most / max(1, self._reconciler.count(place)))
        return max(poll.every_s, cost_s / SHARE)
