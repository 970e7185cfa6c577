"""One pass: observe, diff, order, apply, record. The only writer to the kernel."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from neod.model.change import Actor, Change, Op, Outcome, Plan, Report, Seen
from neod.model.errors import KernelError
from neod.model.key import Key, NetnsKey
from neod.model.ports import Clock
from neod.model.status import DriftKind, ObjectPhase
from neod.reconcile.apply import apply
from neod.reconcile.desired import DesiredState
from neod.reconcile.diff import diff
from neod.reconcile.observed import Observed
from neod.reconcile.observer import Observer
from neod.reconcile.order import OrderContext, order
from neod.reconcile.polls import Looks
from neod.reconcile.ports import Drivers, FactSource
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.state import HostState


class Reconciler:
    """Makes the kernel what is desired, as far as hints say to look, one pass at a time.

    ``writing`` false: observe and report only; but what would end by itself (the lifetime of a leased address) is
    prolonged, since who pauses wants nothing to change. A pass never raises for a
    resource; its report says what came of each.
    """

    def __init__(self, state: HostState, drivers: Drivers, clock: Clock, queue: HintQueue, facts: FactSource) -> None:
        self._state, self.drivers, self._clock, self._facts = state, drivers, clock, facts
        self._queue = queue
        self._observer = Observer(state, drivers, clock, queue, facts)
        self._turn = asyncio.Lock()
        self.writing = True
        self.complete = False  # one look at everything has succeeded
        self.passes = 0
        self._was_down = False
        self.drifts: dict[str, DriftKind] = {}  # of the last pass: what its repairs repaired, by key text
        self.gone_with: dict[str, str] = {}  # of these, what went along with another, and with which

    @property
    def unreadable(self) -> Iterable[KernelError]:
        """Why kinds could not be read; nothing is decided about those."""
        return self._observer.unreadable.values()

    @property
    def looks(self) -> Looks:
        """Return what passes remember of their last look at each kind."""
        return self._observer

    @property
    def mode(self) -> str:
        """``running``, ``paused`` or ``down``."""
        return "down" if self._state.desired.suspended else "running" if self.writing else "paused"

    def pause(self) -> None:
        """Stop writing, go on observing."""
        self.writing = False

    def resume(self) -> None:
        """Write again, and desire again what the file says."""
        self.writing = True
        self.reinstate()

    def reinstate(self) -> None:
        """End what ``withdraw`` began."""
        self._state.reinstate()

    def hold(self) -> None:
        """Remember the mode, for the case that what comes is undone."""
        self._was_down = self.mode == "down"

    def go_back(self) -> None:
        """Be down again, if that was so at ``hold``."""
        if self._was_down:
            self.withdraw()
            self._queue.hint_everything("down again")

    def withdraw(self) -> None:
        """Desire nothing from now on, whatever the file says, and write."""
        self.writing = True
        self._state.withdraw()

    async def run(self, hints: Hints) -> Report:
        """Run one pass over what *hints* name and return its report."""
        async with self._turn:
            begun, wall = self._clock.boottime(), self._clock.wall()
            self.passes += 1
            self._state.status.note_actors(hints.keys)
            scope = await self._observer.observe(hints)
            scope |= self._state.retry_refused(self._observer.changed, begun)
            plan = self._plan(scope, begun, insist=bool(hints.waiters))
            self._state.status.take_in_hand(self._decided(scope, everything=hints.everything))
            doable = plan if self.writing else plan.only(self._prolongs)
            outcomes = await apply(doable, self.drivers.driver, self._state.kinds)
            self._observer.note_changed({(one.change.key.netns, one.change.key.kind) for one in outcomes})
            self._record(scope, plan, outcomes, hints)
            self._state.status.put_down()
            self.complete = self.complete or (hints.everything and not self._observer.unreadable)
            return Report(self.passes, wall, self._clock.boottime() - begun, hints.cause, plan, outcomes)

    async def preview(self, other: DesiredState | None = None) -> Plan:
        """Return the plan of a full pass now, or of one towards *other*; writes nothing, remembers nothing.

        Where the kernel differs from what the passes know, the next one looks there: what is shown is not left
        to a poll.

        Raises:
            KernelError: the kernel cannot be read.
        """
        async with self._turn:
            desired, kind_of = other or self._state.desired, self._state.kind_of
            seen = Observed(kind_of)
            for place in list(self.drivers.places()):
                seen.replace(place, await self._observer.read_all(place, desired.of(place)))
            changes = list(self._between(desired, seen))
            self._hint_news(changes if other is None else self._between(self._state.desired, seen))
            context = OrderContext(kind_of, seen.present, desired.dependents_of, desired.specs)
            return order([c for c in changes if other is not None or not self._is_guarded(c)], context)

    def _between(self, desired: DesiredState, seen: Observed) -> Iterator[Change]:
        keys = {*desired.specs, *seen}
        return diff(keys, desired.specs, seen, self._state.kind_of, self._state.observed.made)

    def _hint_news(self, changes: Iterable[Change]) -> None:
        """Have a pass look at what differs, and is not known to."""
        known = self._state.status.out_of_sync
        if news := [change.key for change in changes if change.key not in known and not self._is_guarded(change)]:
            self._queue.hint_keys(news, "a difference that a plan met")

    def _plan(self, scope: set[Key], now: float, *, insist: bool) -> Plan:
        state = self._state
        readable = [key for key in scope if (key.netns, key.kind) not in self._observer.unreadable]
        changes = state.differences(readable)
        due = [c for c in changes if c.op is Op.CONFLICT or state.status.due(c, now, insist=insist)]
        context = OrderContext(state.kind_of, state.present, state.desired.dependents_of, state.desired.specs)
        return order([c for c in due if not self._is_guarded(c)], context)

    def _decided(self, scope: set[Key], *, everything: bool) -> set[Key]:
        """Return of what was asked for that which a pass over *scope* decides; over all, also what nobody has."""
        asked, unreadable = self._state.status.asked, self._observer.unreadable
        found = asked & scope
        if everything:
            found |= asked - self._state.desired.specs.keys()
        return {key for key in found if (key.netns, key.kind) not in unreadable} if unreadable else found

    def _is_guarded(self, change: Change) -> bool:
        """Whether an orphan must stay until what is desired of its path is known."""
        orphan = change.op is Op.DELETE and self._state.status.drift_of(change) is DriftKind.ORPHAN
        return orphan and self._facts.guards(change.key)

    def _prolongs(self, change: Change) -> bool:
        seen = self._state.observed.get(change.key)
        ours = change.op is Op.UPDATE and seen is not None and seen.owned
        return ours and self._state.kind_of(change.key).prolongs(change.before, change.after)

    def _record(self, scope: set[Key], plan: Plan, outcomes: tuple[Outcome, ...], hints: Hints) -> None:
        status, now = self._state.status, self._clock.boottime()
        planned = {change.key for change in (*plan.changes, *plan.conflicts)} | set(plan.blocked)
        for key in scope - planned:
            self._record_unplanned(key, now)
        for change in self._state.differences(plan.blocked):
            status.blocked(change, plan.blocked[change.key])
        for change in plan.conflicts:
            status.conflict(change)
        drifted = [(one, drift) for one in plan.changes if (drift := status.drift_of(one)) is not None]
        self.drifts = {str(change.key): drift for change, drift in drifted}
        self.gone_with = dict(self._gone_with([change for change, _ in drifted]))
        for outcome in outcomes:
            self._carry_over(outcome)
            status.settle(outcome, now, hints.keys.get(outcome.change.key))
        self._retry_dependents(outcomes, now)
        self._watch_holders(outcomes)
        tried = {outcome.change.key for outcome in outcomes}
        for change in plan.changes:
            if change.key not in tried:
                status.waiting(change, hints.keys.get(change.key))
        status.expire_contests(now)

    def _gone_with(self, drifted: Sequence[Change]) -> Iterator[tuple[str, str]]:
        """Yield which of the missing objects the kernel took along with another, which they need, and with which."""
        state, lost = self._state, dict[Key, Key]()
        for change in drifted:
            kind, now = state.kind_of(change.key), Seen(change.before, True) if change.before else None
            took = change.op is Op.RECREATE or isinstance(change.key, NetnsKey)
            if took or kind.loses_dependents(Seen(change.after, True) if change.after else None, now):
                lost |= dict.fromkeys((change.key, *kind.provides(change.key)), change.key)
        for change in (one for one in drifted if one.op is Op.CREATE):
            status = state.status.out_of_sync.get(change.key)
            waited = status.waits_for if status is not None and status.phase is ObjectPhase.BLOCKED else ()
            needs = state.needs_of(change.key, change.after)
            if other := next((lost[need] for need in needs if need in lost), next(iter(waited), None)):
                yield str(change.key), str(other)

    def _record_unplanned(self, key: Key, now: float) -> None:
        want, seen = self._state.desired.specs.get(key), self._state.observed.get(key)
        if want is not None and seen is not None and self._state.kind_of(key).matches(seen.spec, want):
            self._state.status.in_sync(key, now)
        elif want is None:
            self._state.observed.give_up(key)
            if seen is None:
                self._state.status.note_absent(key)

    def _carry_over(self, outcome: Outcome) -> None:
        """Carry a change that was made over into what was observed."""
        change, observed = outcome.change, self._state.observed
        if outcome.error is not None or outcome.skipped:
            return
        if change.op is Op.DELETE:
            observed.discard(change.key)
            observed.give_up(change.key)
            return
        if change.op is Op.RECREATE:
            for dependent in self._state.desired.dependents_of(change.key):
                observed.discard(dependent)
            for provided in self._state.kind_of(change.key).provides(change.key):
                self._queue.hint_dependents(provided, "re-created")  # some kernels drop routes with their source
        hidden = change.op is Op.UPDATE and not observed.present(change.key)
        observed.set(change.key, Seen(change.after, True))
        if hidden:
            self._queue.hint_dependents(change.key, "of use again")

    def _retry_dependents(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Try again what was refused while something it needs was away: an address that is flushed goes twice."""
        made: set[Key] = set()
        for outcome in outcomes:
            key = outcome.change.key
            if outcome.error is None and not outcome.skipped and outcome.change.op is not Op.DELETE:
                made.add(key)
        refused = {outcome.change.key for outcome in outcomes if outcome.error or outcome.skipped}
        self._state.retry_refused(made, now, but=refused)

    def _watch_holders(self, outcomes: Iterable[Outcome]) -> None:
        """Look at what is in the way, so that its changes and its end are noticed.

        What objects only provide cannot be read; it changes with them.
        """
        holders = {h for o in outcomes if o.error and o.error.obstacle and (h := o.error.obstacle.holder)}
        readable = [holder for holder in holders if holder.kind in self._state.kinds]
        if unseen := [holder for holder in readable if holder not in self._state.observed]:
            self._queue.hint_keys(unseen, "in the way")

    def actor_of(self, change: Change, hints: Hints) -> Actor | None:
        """Return who made the drift that *change* repairs: of the object itself, or of what it needs."""
        if actor := hints.keys.get(change.key):
            return actor
        spec = change.after if change.op is not Op.DELETE else change.before
        needs = self._state.needs_of(change.key, spec)
        return next((actor for need in needs if (actor := hints.keys.get(need))), None)
