"""The daemon's centre: facts in, desired state out, one pass after the other.

What happens here happens on one loop; the reconciler alone writes to the kernel.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from neod.daemon.dhcp_binding import DhcpBinding
from neod.daemon.event_log import EventLog
from neod.daemon.mptcp_controller import MptcpController
from neod.daemon.uplink_follower import UplinkFollower
from neod.dhcp.runner import DhcpService
from neod.features.desired import Desired
from neod.features.intents import Intents
from neod.kinds import KINDS
from neod.model.change import Report
from neod.model.facts import FOREVER, Lease, Nic
from neod.model.key import AddressKey, Key, LinkKey
from neod.model.ports import Clock, Ports, Rtnl
from neod.model.want import Fact, FactKey
from neod.reconcile.observed import Observed
from neod.reconcile.polls import Polls
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.reconciler import Drivers, Reconciler

if TYPE_CHECKING:
    from neod.observability.metrics_server import MetricsServer


class Controller:
    """Desired state, facts and passes of one host. ``adopt`` gives it a file, ``step`` makes passes."""

    def __init__(
        self,
        namespaces: Drivers,
        rtnl: Rtnl,
        clock: Clock,
        queue: HintQueue,
        event_log: EventLog,
        dhcp: DhcpService,
        facts: dict[FactKey, Fact],
    ) -> None:
        self.clock, self.queue, self.event_log, self.dhcp = clock, queue, event_log, dhcp
        self.facts, self.namespaces = facts, namespaces
        self.ports: Ports | None = None  # of neod's own namespace, for probes; set by who builds us
        self.kinds = KINDS
        self.reconciler = Reconciler(self.kinds, namespaces, clock, queue)
        self.reconciler.learn = self._learn
        self.reconciler.prune_guard = self._awaiting_lease
        self._tables: dict[int, str] = {}
        self._leased: frozenset[str] = frozenset()
        self._parents: frozenset[str] = frozenset()
        self.follower, self.dhcp_binding = UplinkFollower(rtnl), DhcpBinding(dhcp)
        self.intents = Intents(())
        self.desired = Desired(self.intents)
        self.passed = asyncio.Condition()  # notified after every pass
        self._polls = Polls(self.kinds, namespaces, self.reconciler)
        self._next_resync = 0.0
        self.mptcp: MptcpController | None = None
        self.metrics_server: MetricsServer | None = None  # once the file asks for metrics

    # ------------------------------------------------------------ desired state

    def adopt(self, intents: Intents, cause: str) -> None:
        """Work from *intents* from now on."""
        self.intents = intents
        self._tables = {path.table: path.name for path in intents.paths}
        self._leased = frozenset(client.link for client in intents.dhcp)
        self._parents = frozenset(path.parent for path in intents.paths if path.parent)
        changed = self.desired.replace(intents, self.facts)
        self._queue_changed(changed, cause)
        self.reconciler.desire.update_origins(self.desired.wants)
        self.follower.want(intents.follow)
        self.dhcp_binding.want(intents.dhcp)
        if self.mptcp:
            self.mptcp.want(intents)
        for uplink in intents.follow:
            self.queue.hint(LinkKey("", uplink), cause)
        self.dhcp_binding.on_pass_done(None, self.reconciler.observed)

    def _awaiting_lease(self, key: Key) -> bool:
        """Whether *key* is of a path whose lease is still asked for: it may be the very address that comes back."""
        seen = self.reconciler.observed.get(key)
        name = self.kinds[key.kind].path(key, seen.spec if seen else None, self._tables)
        return name in self._leased and FactKey("lease", name) not in self.facts and not self.reconciler.down

    async def observe_links(self) -> None:
        """Learn what can be known before the first pass, so that desired state is not compiled twice.

        Raises:
            KernelError: the links or addresses cannot be read.
        """
        observed = self.reconciler.observed
        for kind in (LinkKey.kind, AddressKey.kind):  # without a stored lease, the address on the link is asked for
            observed.replace(("", kind), await self.namespaces.driver(("", kind)).observe_all(()))
        self._parents = frozenset(seen.spec.name for seen in observed.of(("", LinkKey.kind)).values())
        self.facts |= self._nics(observed)

    def _nics(self, observed: Observed) -> dict[FactKey, Fact]:
        """Return the facts about parents that are new."""
        seen = {link: observed.get(LinkKey("", link)) for link in self._parents}
        found = {FactKey("nic", n): Nic(n, s.spec.mtu) for n, s in seen.items() if s and not s.owned and s.spec.mtu}
        return {key: nic for key, nic in found.items() if self.facts.get(key) != nic}

    @property
    def tables(self) -> Iterable[int]:
        """Return the routing tables that are ours by the file."""
        return [path.table for path in self.intents.paths]

    def leased(self, link: str, lease: Lease | None) -> None:
        """Take over what the DHCP client says of *link*."""
        key = FactKey("lease", link)
        if lease is None:
            self.facts.pop(key, None)
            self.event_log.note("lease lost", object=f"link:{link}")
        else:
            if self.facts.get(key) is None:
                self.event_log.note(
                    "leased", object=f"link:{link}", detail=f"{lease.ip} from {lease.server}", quiet=True
                )
            self.facts[key] = lease
        self._queue_changed(self.desired.update([key], self.facts), "lease")

    def _queue_changed(self, changed: Iterable[Key], cause: str) -> set[Key]:
        keys = self.reconciler.desire_changed(changed, self.desired.wants)
        for key in keys:
            self.queue.hint(key, cause)
        return keys

    async def _learn(self) -> set[Key]:
        """Turn what others configured on followed uplinks into facts; return the desired keys that changed."""
        changed = await self.follower.refresh(self.reconciler.observed)
        learnt: dict[FactKey, Fact] = {FactKey("followed", link): fact for link, fact in changed.items()}
        learnt |= self._nics(self.reconciler.observed)
        if self.mptcp:
            learnt |= self.mptcp.refresh(self.reconciler.observed, self.facts)
        self.facts.update(learnt)
        keys = self.desired.update(learnt, self.facts)
        return self.reconciler.desire_changed(keys, self.desired.wants)

    # ------------------------------------------------------------ passes

    async def step(self) -> None:
        """Wait until something asks for a pass, and make it."""
        now = self.clock.boottime()
        hints = await self.queue.take(max(0.0, self._next_due() - now))
        self._add_what_is_due(hints)
        if hints:
            await self._pass(hints)

    async def _pass(self, hints: Hints) -> None:
        report = await self.reconciler.run(hints)
        if hints.everything:
            self._next_resync = self.clock.boottime() + self.intents.daemon.resync_s
        self._polls.plan(hints, self.clock.boottime())
        self._publish(report, hints)
        self.dhcp_binding.on_pass_done(self._links_of(report, hints), self.reconciler.observed)
        if self.mptcp:
            self.mptcp.on_pass_done(report, hints, self.reconciler.observed, self.facts)
        for waiter in hints.waiters:
            if not waiter.done():
                waiter.set_result(None)
        async with self.passed:
            self.passed.notify_all()

    def _publish(self, report: Report, hints: Hints) -> None:
        told = any(hints.keys.values())
        changes = [outcome.change for outcome in report.outcomes] if told else []
        actors = {str(c.key): actor for c in changes if (actor := self.reconciler.actor_of(c, hints))}
        refused = (outcome.change.key for outcome in report.outcomes if outcome.error)
        stale = {str(key) for key in refused if self.reconciler.status.is_stale(key)}
        self.event_log.report(report, hints, self.reconciler.drifts, actors, stale)
        self.event_log.forget_resolved_conflicts(self.reconciler.status)

    def _links_of(self, report: Report, hints: Hints) -> set[str] | None:
        """Return the names of the links that a pass looked at something of; None for all."""
        if hints.everything:
            return None
        keys = [*hints.keys, *(change.key for change in report.plan.changes)]
        return {self.kinds[key.kind].path(key, None, {}) for key in keys}

    def _next_due(self) -> float:
        retry = self.reconciler.status.next_due()
        return min(self._next_resync, self._polls.next_due(), FOREVER if retry is None else retry)

    def _add_what_is_due(self, hints: Hints) -> None:
        """Add retries, polls and the periodic full look whose time has come."""
        now = self.clock.boottime()
        for key in self.reconciler.status.overdue(now):
            hints.keys.setdefault(key, None)
            hints.causes.append("retry")
        self._polls.add_due(hints, now)
        if self._next_resync <= now:
            hints.everything = True
            hints.causes.append("resync")

    @property
    def converged(self) -> bool:
        """Whether the kernel is what the file says, and nothing is waited for."""
        return self.ready and not self.reconciler.status.out_of_sync and not self.waiting()

    @property
    def settled(self) -> bool:
        """Whether no pass runs or is asked for: what is known is not about to change."""
        return not self.queue.pending and not self.reconciler.stuck(0.0)

    @property
    def ready(self) -> bool:
        """Whether one complete pass is over."""
        return self.reconciler.complete

    def waiting(self) -> Mapping[str, tuple[str, ...]]:
        """Return the units that wait for a fact, and for what."""
        return {} if self.reconciler.down else self.desired.waiting()
