"""One pass: observe, diff, order, apply, record. The only writer to the kernel."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

from neod.model.change import Actor, Change, Op, Outcome, Plan, Report, Seen
from neod.model.errors import KernelError
from neod.model.key import Key, NetnsKey
from neod.model.kind import Driver, Kind, needs_of
from neod.model.ports import Clock
from neod.model.status import DriftKind, Phase
from neod.model.want import Want
from neod.reconcile.apply import apply
from neod.reconcile.desired import Desire
from neod.reconcile.diff import diff
from neod.reconcile.observed import Observed, Place
from neod.reconcile.order import World, order
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.status import StatusTable

Learn = Callable[[], Awaitable[Iterable[Key]]]
"""Called after the kernel was read: turns what was seen into facts, returns the desired keys that changed."""


async def nothing_to_learn() -> Iterable[Key]:
    """Return no keys."""
    return ()


READ_AGAIN_S = 0.25


def no_prune_guard(key: Key) -> bool:
    """Return False: every orphan goes."""
    return False


class Drivers(Protocol):
    """The open namespaces and their drivers; see ``neod.daemon.netns``."""

    def places(self) -> Iterator[Place]: ...
    def driver(self, place: Place) -> Driver[Any, Any]: ...
    def leave_stale(self) -> Iterable[str]: ...


class Reconciler:
    """Makes the kernel what is desired, as far as hints say to look, one pass at a time.

    ``writing`` false: observe and report only. A pass never raises for a
    resource; its report says what came of each.
    """

    def __init__(
        self, kinds: Mapping[str, Kind[Any, Any]], namespaces: Drivers, clock: Clock, queue: HintQueue
    ) -> None:
        self._kinds, self._namespaces, self._clock, self._queue = kinds, namespaces, clock, queue
        self._ranks = {name: rank for rank, name in enumerate(kinds)}
        self.desire = Desire(kinds)
        self.observed = Observed(self._kind_of)
        self.status = StatusTable()
        self.learn: Learn = nothing_to_learn
        self.prune_guard: Callable[[Key], bool] = no_prune_guard
        self.writing = True
        self.down = False  # nothing is desired, whatever the file says
        self.complete = False  # one look at everything has succeeded
        self.number = 0
        self._turn = asyncio.Lock()
        self._busy_since: float | None = None
        self.drifts: dict[str, DriftKind] = {}  # of the last pass: what its repairs repaired, by key text
        self._unread: dict[Place, KernelError] = {}
        self._reading_s: dict[Place, float] = {}

    def _kind_of(self, key: Key) -> Kind[Any, Any]:
        return self._kinds[key.kind]

    @property
    def specs(self) -> Mapping[Key, object]:
        """What is desired now, by key."""
        return {} if self.down else self.desire.specs

    def stuck(self, limit_s: float) -> bool:
        """Whether a pass has been running for longer than *limit_s*."""
        return self._busy_since is not None and self._clock.boottime() - self._busy_since > limit_s

    @property
    def unread(self) -> Iterable[KernelError]:
        """Return why kinds could not be read; nothing is decided about those."""
        return self._unread.values()

    def is_relevant(self, place: Place) -> bool:
        """Whether anything of a kind is desired or ours in a namespace; nothing else is worth a poll."""
        return bool(self.desire.of(place)) or any(seen.owned for seen in self.observed.of(place).values())

    def relevant_keys(self, place: Place) -> Collection[Key]:
        """Return what is desired or ours of a kind in a namespace."""
        ours = (key for key, seen in self.observed.of(place).items() if seen.owned)
        return dict.fromkeys([*self.desire.of(place), *ours])

    def count(self, place: Place) -> int:
        """Return how much of a kind was seen in a namespace."""
        return len(self.observed.of(place))

    def reading_s(self, place: Place) -> float:
        """Return the processor time that the last full read of a kind took."""
        return self._reading_s.get(place, 0.0)

    def desire_changed(self, keys: Iterable[Key], wants: Mapping[Key, Want]) -> set[Key]:
        """Take over what is newly desired of *keys*; the caller hints at what is returned."""
        changed = self.desire.change(keys, wants)
        for key in changed:
            self.status.note_requested(key, key in self.desire.specs)
        return changed

    async def run(self, hints: Hints) -> Report:
        """Run one pass over what *hints* name and return its report."""
        async with self._turn:
            begun, wall = self._clock.boottime(), self._clock.wall()
            self._busy_since, self.number = begun, self.number + 1
            self.status.note_actors(hints.keys)
            scope = await self._look(hints)
            plan = self._plan(scope, begun, insist=bool(hints.waiters))
            outcomes: tuple[Outcome, ...] = ()
            if self.writing:
                outcomes = await apply(plan, self._namespaces.driver, self._kinds)
            self._settle(scope, plan, outcomes, hints)
            self.complete = self.complete or (hints.everything and not self._unread)
            self._busy_since = None
            return Report(self.number, wall, self._clock.boottime() - begun, hints.cause, plan, outcomes)

    # ------------------------------------------------------------ observe

    async def _look(self, hints: Hints) -> set[Key]:
        """Read what the hints name and return the keys that this pass decides on."""
        scope: set[Key] = set()
        self._believe_deletions(hints.gone)
        asked = {key for key in hints.keys if not self._is_news(key)}
        scope |= hints.keys.keys() - asked
        for netns in self._namespaces.leave_stale():
            self.observed.forget(netns)
            gone = NetnsKey("", netns)
            asked |= {
                gone,
                *self._wanted_in(netns),
                *(one for one, _ in self.desire.dependents_of(gone) if not self.down),
            }
        for place in list(self._namespaces.places()):
            if hints.everything or place in hints.kinds:
                scope |= await self._look_at_all(place)
        if hints.everything:
            scope |= await self._look_into_namespaces()
        for key in hints.deep:
            asked.update(dependent for dependent, _ in self.desire.dependents_of(key))
        scope |= await self._look_at(asked - scope)
        learnt = {key for key in await self.learn() if key not in scope}
        return scope | await self._look_at(learnt) | self._unblocked()

    def _believe_deletions(self, keys: Iterable[Key]) -> None:
        """Take what the kernel said it deleted as gone, where making it anew is refused if it is not.

        Rules can only be read all at once: looking for one of a thousand
        would take longer than its repair.
        """
        for key in keys:
            if self._kind_of(key).create_fails_if_exists and key in self.specs and not key.netns:
                self.observed.discard(key)

    def _is_news(self, key: Key) -> bool:
        """Whether *key* is desired and was not there: the kernel refuses a second one, which is better than a look."""
        known = key in self.observed or key in self.status.out_of_sync or bool(key.netns)
        return not known and key in self.specs and self._kind_of(key).create_fails_if_exists

    def _wanted_in(self, netns: str) -> set[Key]:
        return set() if self.down else {k for kind in self._kinds for k in self.desire.of((netns, kind))}

    async def _look_into_namespaces(self) -> set[Key]:
        """Read namespaces that are wanted, there, and not open yet; what is wanted in others is not there."""
        scope: set[Key] = set()
        opened = {netns for netns, _ in self._namespaces.places()}
        for netns in sorted(self.desire.namespaces() - opened):
            if self._present(NetnsKey("", netns)):
                for name, kind in self._kinds.items():
                    if not kind.only_in_main:
                        scope |= await self._look_at_all((netns, name))
            else:
                self.observed.forget(netns)
                scope |= self._wanted_in(netns)
        return scope

    async def _look_at_all(self, place: Place) -> set[Key]:
        begun = self._clock.cpu()
        wanted = () if self.down else self.desire.of(place)
        try:
            seen = await self._read_all(self._namespaces.driver(place), wanted)
        except KernelError as error:
            self._cannot_read(place, error)
            return set()
        self._unread.pop(place, None)
        self._reading_s[place] = self._clock.cpu() - begun
        self.observed.replace(place, seen)
        return {*wanted, *seen}

    async def _read_all(self, driver: Driver[Any, Any], wanted: Collection[Key]) -> dict[Key, Seen[Any]]:
        """Read a kind; what foreign objects hold is read by name, since a full read may leave them out."""
        seen = dict(await driver.observe_all(wanted))
        if held := [key for key in wanted if self.status.maybe_foreign(key)]:
            seen |= await driver.observe(held)
        return seen

    async def _look_at(self, keys: Iterable[Key]) -> set[Key]:
        """Read single keys; a link that went, came or changed its state takes its dependents along."""
        scope: set[Key] = set()
        waiting = set(keys)
        while waiting:
            by_place: defaultdict[Place, set[Key]] = defaultdict(set)
            for key in waiting:
                by_place[key.netns, key.kind].add(key)
            scope |= waiting
            waiting = set()
            for place in sorted(by_place, key=self._rank):  # links first: they name the indexes
                seen, also = await self._read(place, by_place[place])
                scope |= seen
                waiting |= also - scope
        return scope

    async def _read(self, place: Place, keys: set[Key]) -> tuple[set[Key], set[Key]]:
        """Return the keys that were read, and those that must be read because of them."""
        kind, before = self._kinds[place[1]], {key: self.observed.get(key) for key in keys}
        if place[0] and not self._present(NetnsKey("", place[0])):
            self.observed.forget(place[0])
            return set(), set()
        try:
            seen = await self._namespaces.driver(place).observe(keys)
        except KernelError as error:
            self._cannot_read(place, error)
            return set(), set()
        self._unread.pop(place, None)
        self.observed.update(keys, seen)
        also: set[Key] = set()
        for key, old in before.items():
            if kind.loses_dependents(old, self.observed.get(key)):
                also.update(dependent for dependent, _ in self.desire.dependents_of(key))
        return set(seen), also

    def _cannot_read(self, place: Place, error: KernelError) -> None:
        """Decide nothing about what could not be read, and look again soon."""
        self._unread[place] = error
        loop = asyncio.get_running_loop()
        loop.call_later(READ_AGAIN_S, self._queue.hint_kind, place, f"could not read: {error}")

    def _unblocked(self) -> set[Key]:
        """Return what was blocked and is so no longer."""
        blocked = self.status.blocked_keys()
        return {key for key, needs in blocked.items() if any(self._present(need) for need in needs)}

    def _rank(self, place: Place) -> tuple[str, int]:
        """Order places: our own namespace first, and kinds as registered."""
        return place[0], self._ranks[place[1]]

    # ------------------------------------------------------------ decide

    def _in_conflict(self, key: Key) -> bool:
        status = self.status.out_of_sync.get(key)
        return status is not None and status.phase is Phase.CONFLICT

    def _present(self, key: Key) -> bool:
        return self.observed.present(key) and not self._in_conflict(key)

    def _world(self) -> World:
        return World(self._kind_of, self._present, self.desire.dependents_of)

    def _plan(self, scope: set[Key], now: float, *, insist: bool) -> Plan:
        readable = [key for key in scope if (key.netns, key.kind) not in self._unread]
        changes = diff(readable, self.specs, self.observed, self._kind_of)
        due = [c for c in changes if c.op is Op.CONFLICT or self.status.due(c, now, insist=insist)]
        return order([c for c in due if not self._is_spared(c)], self._world())

    def _is_spared(self, change: Change) -> bool:
        """Whether an orphan must stay until what is desired of its path is known."""
        return (
            change.op is Op.DELETE and self.status.drift_of(change) is DriftKind.ORPHAN and self.prune_guard(change.key)
        )

    async def preview(self, wants: Mapping[Key, Want] | None = None) -> Plan:
        """Return the plan of a full pass now, or of one with other *wants*; writes nothing, remembers nothing."""
        async with self._turn:
            desire = self.desire
            if wants is not None:
                desire = Desire(self._kinds)
                desire.change(wants, wants)
            specs = desire.specs if wants is not None or not self.down else {}
            seen = Observed(self._kind_of)
            for place in list(self._namespaces.places()):
                wanted = desire.of(place) if specs else ()
                seen.replace(place, await self._read_all(self._namespaces.driver(place), wanted))
            changes = diff({*specs, *seen}, specs, seen, self._kind_of)
            return order(changes, World(self._kind_of, seen.present, desire.dependents_of))

    # ------------------------------------------------------------ record

    def _settle(self, scope: set[Key], plan: Plan, outcomes: tuple[Outcome, ...], hints: Hints) -> None:
        now = self._clock.boottime()
        touched = {change.key for change in (*plan.changes, *plan.conflicts)} | set(plan.blocked)
        for key in scope - touched:
            self._settle_untouched(key, now)
        blocked = {c.key: c for c in diff(plan.blocked, self.specs, self.observed, self._kind_of)}
        for key, change in blocked.items():
            self.status.blocked(change, plan.blocked[key])
        for change in plan.conflicts:
            self.status.conflict(change)
        drifts = ((change.key, self.status.drift_of(change)) for change in plan.changes)
        self.drifts = {str(key): drift for key, drift in drifts if drift is not None}
        for outcome in outcomes:
            self._note(outcome)
            self.status.settle(outcome, now, hints.keys.get(outcome.change.key))
        self._encourage(outcomes, now)
        if not self.writing:
            for change in plan.changes:
                self.status.waiting(change, hints.keys.get(change.key))
        self.status.expire_contests(now)

    def _encourage(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Try again what was refused while something it needs was away: an address that is flushed goes twice."""
        refused = self.status.refused_keys() - {o.change.key for o in outcomes if o.error or o.skipped}
        if not refused:
            return
        made: set[Key] = set()
        for outcome in outcomes:
            key = outcome.change.key
            if outcome.error is None and not outcome.skipped and outcome.change.op is not Op.DELETE:
                made |= {key, *self._kind_of(key).provides(key)}
        specs = ((key, self.specs[key]) for key in refused if key in self.specs)
        needs = ((key, needs_of(self._kind_of(key), key, spec)) for key, spec in specs)
        self.status.retry_now([key for key, needed in needs if not made.isdisjoint(needed)], now)

    def _settle_untouched(self, key: Key, now: float) -> None:
        want, seen = self.specs.get(key), self.observed.get(key)
        if want is not None and seen is not None and self._kind_of(key).matches(seen.spec, want):
            self.status.in_sync(key, now)
        elif want is None and seen is None:
            self.status.note_absent(key)

    def _note(self, outcome: Outcome) -> None:
        """Carry a change that was made over into what was observed."""
        change = outcome.change
        if outcome.error is not None or outcome.skipped:
            return
        if change.op is Op.DELETE:
            self.observed.discard(change.key)
        else:
            if change.op is Op.RECREATE:
                self._discard_fallen(change)
            self.observed.set(change.key, Seen(change.after, True))

    def _discard_fallen(self, change: Change) -> None:
        for dependent, _ in self.desire.dependents_of(change.key):
            self.observed.discard(dependent)

    def actor_of(self, change: Change, hints: Hints) -> Actor | None:
        """Return who made the drift that *change* repairs: of the object itself, or of what it needs."""
        if actor := hints.keys.get(change.key):
            return actor
        spec = change.after if change.op is not Op.DELETE else change.before
        needs = needs_of(self._kind_of(change.key), change.key, spec)
        return next((actor for need in needs if (actor := hints.keys.get(need))), None)
