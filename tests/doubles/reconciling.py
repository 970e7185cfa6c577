"""A reconciler by itself: desired state as pairs of key and spec, no facts, no daemon."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.doubles.builders import Pair

from neod.model.change import Report
from neod.model.key import Key
from neod.model.ports import Clock
from neod.model.want import FactKey, Facts, Origin, Want
from neod.reconcile.ports import Drivers
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.reconciler import Reconciler
from neod.reconcile.state import HostState


@dataclass(frozen=True)
class Pairs:
    """A fragment that wants exactly *pairs*."""

    pairs: tuple[Pair, ...]
    name: str = "test"
    needs: tuple[FactKey, ...] = ()

    def compile(self, facts: Facts) -> Iterable[Want]:
        """Return a want for each pair."""
        return [Want(key, spec, Origin("test", 1)) for key, spec in self.pairs]

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return nothing: no fact is needed."""
        return ()


class NoFacts:
    """No facts: every orphan goes."""

    async def refresh(self) -> Iterable[Key]:
        """Return no keys."""
        return ()

    def guards(self, key: Key) -> bool:
        """Return False."""
        return False


class Reconciling:
    """HostState and reconciler on *drivers*."""

    def __init__(self, kinds: object, drivers: Drivers, clock: Clock, pairs: Iterable[Pair] = ()) -> None:
        self.state = HostState(kinds)  # type: ignore[arg-type]
        self.queue = HintQueue(clock)
        self.reconciler = Reconciler(self.state, drivers, clock, self.queue, NoFacts())
        self.want(pairs)

    def want(self, pairs: Iterable[Pair]) -> None:
        """Desire exactly *pairs*."""
        self.state.note_requested(self.state.desired.replace([Pairs(tuple(pairs))], {}))

    async def run(self, hints: Hints) -> Report:
        """Run one pass."""
        return await self.reconciler.run(hints)
