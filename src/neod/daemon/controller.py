"""Facts in, desired state out, one pass after the other.

What happens here happens on one loop; the reconciler alone writes to the kernel.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from neod.daemon.dhcp_binding import DhcpBinding
from neod.daemon.dwellers import Dwellers
from neod.daemon.effective_routes import EffectiveRoutes
from neod.daemon.event_log import EventLog
from neod.daemon.fact_collector import FactCollector
from neod.daemon.flow_cutter import FlowCutter
from neod.daemon.mptcp_controller import MptcpController
from neod.features.daemon.compile import DaemonSettings
from neod.features.intents import Intents
from neod.features.parts import PathInfo, followed_links, paths_by_table
from neod.model.change import Report
from neod.model.errors import KernelError
from neod.model.facts import FOREVER, DhcpClient, Lease
from neod.model.key import Key, LinkKey
from neod.model.kind import path_of
from neod.model.ports import Clock
from neod.model.want import Fact, FactKey
from neod.reconcile.polls import Polls
from neod.reconcile.ports import Drivers
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.reconciler import Reconciler
from neod.reconcile.state import HostState


class Controller:
    """Passes of one host. ``adopt`` gives it a file, ``step`` makes passes."""

    def __init__(
        self,
        *,
        clock: Clock,
        queue: HintQueue,
        event_log: EventLog,
        state: HostState,
        drivers: Drivers,
        dhcp: DhcpBinding,
        mptcp: MptcpController,
        facts: FactCollector,
        flows: FlowCutter,
        dwellers: Dwellers,
        routes: EffectiveRoutes,
    ) -> None:
        self.clock, self.queue, self.event_log, self.state = clock, queue, event_log, state
        self.dhcp, self.mptcp, self.facts, self.flows = dhcp, mptcp, facts, flows
        self.dwellers, self.routes = dwellers, routes
        self.reconciler = Reconciler(state, drivers, clock, queue, facts)
        self.intents = Intents(())
        self.passed = asyncio.Condition()  # notified after every pass
        self._polls = Polls(state, drivers, self.reconciler.looks)
        self._next_resync = 0.0

    async def observe_first(self) -> None:
        """Learn what can be known before the first pass, so that desired state is not compiled twice.

        What cannot be read now is read by that pass, which tells of it.
        """
        for place in (("", name) for name, kind in self.state.kinds.items() if kind.read_first):
            with suppress(KernelError):
                self.state.observed.replace(place, await self.reconciler.drivers.driver(place).observe_all(()))
        self.facts.learn_all_nics()

    def adopt(self, intents: Intents, cause: str) -> None:
        self.intents = intents
        self.event_log.name_tables(paths_by_table(intents))
        changed = self.facts.adopt(intents)
        self.queue.hint_keys((*changed, *(LinkKey("", uplink) for uplink in followed_links(intents))), cause)
        self.dhcp.want(intents.of(DhcpClient), intents.of(PathInfo))
        self.mptcp.want(intents)
        self.flows.want(intents)
        self.dwellers.want(intents)
        self.routes.want(intents)
        self.dhcp.on_pass_done(None, self.state.observed, self.state.desired.specs)

    def expect(self) -> None:
        """A file is to be read and put to work: say nothing of what is in force as if it were the last word."""
        self.queue.expected += 1

    async def expected(self) -> None:
        """What ``expect`` announced has been adopted, or cannot be."""
        self.queue.expected -= 1
        async with self.passed:
            self.passed.notify_all()

    def revert(self, intents: Intents) -> None:
        """Work from *intents* again, or stay down: the reload after that was not confirmed."""
        self.event_log.note("not confirmed", detail="the file before is in force again")
        self.event_log.counters.reloads["unconfirmed"] += 1
        self.adopt(intents, "not confirmed")
        self.reconciler.go_back()
        self.release()

    def hold(self) -> None:
        """Do nothing that cannot be undone, until ``release``."""
        self.reconciler.hold()
        self.flows.hold()
        self.dhcp.service.returns.hold()

    def release(self) -> None:
        """What is in force is final: do what waited for that."""
        self.flows.release()
        self.dhcp.service.returns.let_go()

    def _apply_facts(self, hints: Hints) -> None:
        """Take over the facts that came with *hints*, and look at what is desired otherwise because of them."""
        if not hints.facts:
            return
        for key, fact in hints.facts.items():
            self._note_lease(key, fact)
        for changed in self.facts.update(hints.facts):
            hints.keys.setdefault(changed, None)

    def _note_lease(self, key: FactKey, fact: Fact | None) -> None:
        if fact is None:
            self.event_log.note("lease lost", object=f"link:{key.name}", detail=self.dhcp.trouble(key.name))
        elif isinstance(fact, Lease) and key not in self.facts.known:
            detail = f"{fact.ip} from {fact.server}"
            self.event_log.note("leased", object=f"link:{key.name}", detail=detail, quiet=True)

    async def step(self) -> None:
        """Wait until something asks for a pass, and make it."""
        now = self.clock.boottime()
        hints = await self.queue.take(max(0.0, self._next_due() - now))
        self._apply_facts(hints)
        self._add_what_is_due(hints)
        if hints:
            await self._pass(hints)
        else:
            self.queue.done(hints)

    async def _pass(self, hints: Hints) -> None:
        if hints.everything:
            self.facts.look_again()
        report = await self.reconciler.run(hints)
        if hints.everything:
            self._next_resync = self.clock.boottime() + self.intents.settings(DaemonSettings).resync_s
        if self.facts.concern(outcome.change.key for outcome in report.outcomes):
            self.queue.hint_facts("our own changes")
        self._polls.plan(hints, self.clock.boottime())
        self._publish(report, hints)
        keys = _keys_of(report, hints)
        self.dhcp.on_pass_done(self._links_of(keys), self.state.observed, self.state.desired.specs)
        self.flows.on_pass_done(report, self.state.desired.specs)
        self.dwellers.on_pass_done(report, self.reconciler.drifts)
        self.dhcp.guard(keys, self.state.observed)
        self.mptcp.on_pass_done(report, hints, self.state.observed, self.facts.known)
        await self.routes.on_pass_done(hints, (change.key for change in report.plan.changes))
        self.queue.done(hints)
        async with self.passed:
            self.passed.notify_all()

    def _publish(self, report: Report, hints: Hints) -> None:
        attributed = any(hints.keys.values())
        changes = [outcome.change for outcome in report.outcomes] if attributed else []
        actors = {str(c.key): actor for c in changes if (actor := self.reconciler.actor_of(c, hints))}
        refused = (outcome.change.key for outcome in report.outcomes if outcome.error)
        stale = {str(key) for key in refused if self.state.status.is_stale(key)}
        self.event_log.report(report, hints, self.reconciler.drifts, actors, self.reconciler.gone_with, stale)
        self.event_log.forget_resolved_conflicts(self.state.status)

    def _links_of(self, keys: Iterable[Key] | None) -> set[str] | None:
        """Return the names of the links that *keys* are of; None for all."""
        return None if keys is None else {path_of(self.state.kind_of(key), key, None, {}) for key in keys}

    def _next_due(self) -> float:
        retry = self.state.status.next_due()
        return min(self._next_resync, self._polls.next_due(), FOREVER if retry is None else retry)

    def _add_what_is_due(self, hints: Hints) -> None:
        """Add retries, polls and the periodic full look whose time has come."""
        now = self.clock.boottime()
        for key in self.state.status.overdue(now):
            hints.keys.setdefault(key, None)
            hints.causes.append("retry")
        self._polls.add_due(hints, now)
        if self._next_resync <= now:
            hints.add_everything("resync")

    @property
    def converged(self) -> bool:
        """True if every object is in sync, nobody fights over one, and no part of the file waits for a fact.

        Not while a file is being read to be put to work: what is in sync is with the one before.
        """
        return self.ready and not self.queue.expected and self.state.is_converged()

    @property
    def in_sync(self) -> bool:
        """Whether the kernel is what the file says now, though somebody may keep undoing it."""
        return self.ready and not self.queue.expected and self.state.is_in_sync()

    @property
    def settled(self) -> bool:
        """Whether no pass is in progress or asked for: what is known is not about to change."""
        return not self.queue.pending and not self.queue.in_progress

    @property
    def ready(self) -> bool:
        """Whether one complete pass is over."""
        return self.reconciler.complete

    def waiting(self) -> Mapping[str, tuple[str, ...]]:
        """Return which facts each incomplete part of the file waits for, by its name."""
        return self.state.desired.waiting()


def _keys_of(report: Report, hints: Hints) -> list[Key] | None:
    """Return what a pass looked at; None for everything."""
    return None if hints.everything else [*hints.keys, *(change.key for change in report.plan.changes)]
