"""The daemon's centre: facts in, desired state out, one pass after the other.

What happens here happens on one loop; the reconciler alone writes to the kernel.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from neod.daemon.follow import Follow
from neod.daemon.journal import Journal
from neod.daemon.leasing import Leasing
from neod.daemon.reconcile import Reconciler
from neod.daemon.wakeup import Hints, Wakeup
from neod.dhcp.runner import DhcpService
from neod.intents.desired import Desired
from neod.intents.unit import Fact, FactKey, Intents
from neod.kinds import REGISTRY
from neod.kinds.link import IFLA_IFNAME
from neod.kinds.link import from_wire as link_from_wire
from neod.model.change import Actor, Report
from neod.model.facts import Lease
from neod.model.key import Key, LinkKey
from neod.model.marks import PROTOCOL
from neod.ports import Ports
from neod.wire import IFINFO, RTM_DELADDR, RTM_DELLINK, RTM_NEWLINK, attrs, text

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
POLL_SHARE: Final = 0.001
"""Of a core, the most that looking for changes without events may cost: it sets how often we look."""


class Core:
    """Desired state, facts and passes of one host. ``adopt`` gives it a file, ``step`` makes passes."""

    def __init__(
        self,
        ports: Ports,
        wakeup: Wakeup,
        journal: Journal,
        dhcp: DhcpService,
        facts: dict[FactKey, Fact],
    ) -> None:
        clock = ports.clock
        self.clock, self.wakeup, self.journal, self.dhcp = clock, wakeup, journal, dhcp
        self.ports, self.facts = ports, facts
        self.kinds = {entry.kind.name: entry.kind for entry in REGISTRY}
        self._touched = {type_: touched for entry in REGISTRY for type_, touched in entry.touched.items()}
        drivers = {(ports.netns, entry.kind.name): entry.driver(ports) for entry in REGISTRY}
        self.reconciler = Reconciler(self.kinds, drivers, clock, wakeup)
        self.reconciler.learn = self._learn
        self.follow, self.leasing = Follow(ports.rtnl), Leasing(dhcp)
        self.intents = Intents(())
        self.desired = Desired(self.intents)
        self.passed = asyncio.Condition()  # notified after every pass
        self._polls: dict[tuple[str, str], float] = {}  # next look at what sends no event
        self._next_resync = 0.0

    # ------------------------------------------------------------ desired state

    def adopt(self, intents: Intents, cause: str) -> None:
        """Work from *intents* from now on."""
        self.intents = intents
        changed = self.desired.replace(intents, self.facts)
        self._take(changed, cause)
        self.reconciler.desire.explain_anew(self.desired.wants)
        self.follow.want(intents.follow)
        self.leasing.want(intents.dhcp)
        for uplink in intents.follow:
            self.wakeup.hint(LinkKey("", uplink), cause)
        self.leasing.looked_at(None, self.reconciler.observed)

    @property
    def tables(self) -> Iterable[int]:
        """Return the routing tables that are ours by the file."""
        return [path.table for path in self.intents.paths]

    def leased(self, link: str, lease: Lease | None) -> None:
        """Take over what the DHCP client says of *link*."""
        key = FactKey("lease", link)
        if lease is None:
            self.facts.pop(key, None)
            self.journal.note("lease lost", object=f"link:{link}")
        else:
            if self.facts.get(key) is None:
                self.journal.note("leased", object=f"link:{link}", detail=f"{lease.ip} from {lease.server}")
            self.facts[key] = lease
        self._take(self.desired.update([key], self.facts), "lease")

    def _take(self, changed: Iterable[Key], cause: str) -> set[Key]:
        keys = self.reconciler.desire_changed(changed, self.desired.wants)
        for key in keys:
            self.wakeup.hint(key, cause)
        return keys

    async def _learn(self) -> set[Key]:
        """Turn what others configured on followed uplinks into facts; return the desired keys that changed."""
        changed = await self.follow.refresh(self.reconciler.observed)
        for link, fact in changed.items():
            self.facts[FactKey("followed", link)] = fact
        keys = self.desired.update([FactKey("followed", link) for link in changed], self.facts)
        return self.reconciler.desire_changed(keys, self.desired.wants)

    # ------------------------------------------------------------ events

    def event(self, type_: int, payload: memoryview, actor: Actor | None) -> None:
        """Turn one netlink message into hints. Nothing in it is believed."""
        touched = self._touched.get(type_)
        if touched is None or (type_ == RTM_NEWLINK and self._known_already(payload)):
            return
        rtnl, reconciler = self.ports.rtnl, self.reconciler
        gone = type_ == RTM_DELADDR or (type_ in (RTM_NEWLINK, RTM_DELLINK) and self._is_down(type_, payload))
        for key, owned in touched("", payload, rtnl.name_of):
            followed = self.follow.concerns(key)
            self.follow.dirty |= followed
            watched = key in reconciler.desire.specs or key in reconciler.observed or reconciler.desire.needed(key)
            if owned or watched or (followed and key.kind != "route"):
                self.wakeup.hint(key, f"{key.kind} event", actor, deep=gone)
                if gone and type_ == RTM_DELADDR:
                    self.wakeup.hint(LinkKey("", getattr(key, "link", "")), f"{key.kind} event", actor, deep=True)
            elif followed:
                self.wakeup.hint_facts("default route event")
        if type_ in (RTM_NEWLINK, RTM_DELLINK):
            self._learn_link(type_, payload)

    def _known_already(self, payload: memoryview) -> bool:
        """Whether a link event tells what was read before: a new link sends several, and its carrier more."""
        found = attrs(payload, IFINFO.size)
        reading = link_from_wire(payload, found, self.ports.rtnl.name_of)
        self.leasing.carrier(reading.seen.spec.name, bool(IFINFO.unpack_from(payload)[3] & IFF_LOWER_UP))
        seen = self.reconciler.observed.get(LinkKey("", reading.seen.spec.name))
        same_index = self.ports.rtnl.index_of(reading.seen.spec.name) == reading.index
        return same_index and reading.seen.spec.up and seen == reading.seen

    @staticmethod
    def _is_down(type_: int, payload: memoryview) -> bool:
        """Whether the link lost its routes: the kernel drops them with it and tells nobody."""
        return type_ == RTM_DELLINK or not IFINFO.unpack_from(payload)[3] & IFF_UP

    def _learn_link(self, type_: int, payload: memoryview) -> None:
        _, _, index, flags, _ = IFINFO.unpack_from(payload)
        found = attrs(payload, IFINFO.size)
        name = text(found[IFLA_IFNAME]) if IFLA_IFNAME in found else None
        self.ports.rtnl.learn(index, None if type_ == RTM_DELLINK else name)
        if name is not None:
            self.leasing.carrier(name, type_ == RTM_NEWLINK and bool(flags & IFF_LOWER_UP))

    # ------------------------------------------------------------ passes

    async def step(self) -> None:
        """Wait until something asks for a pass, and make it."""
        now = self.clock.boottime()
        hints = await self.wakeup.take(max(0.0, self._next_due() - now))
        self._add_what_is_due(hints)
        if hints:
            await self._pass(hints)

    async def _pass(self, hints: Hints) -> None:
        report = await self.reconciler.run(hints)
        if hints.everything:
            self._next_resync = self.clock.boottime() + self.intents.daemon.resync_s
        self._plan_polls(hints)
        self._tell(report, hints)
        self.leasing.looked_at(self._links_of(report, hints), self.reconciler.observed)
        for waiter in hints.waiters:
            if not waiter.done():
                waiter.set_result(None)
        async with self.passed:
            self.passed.notify_all()

    def _tell(self, report: Report, hints: Hints) -> None:
        changes = [outcome.change for outcome in report.outcomes]
        actors = {str(c.key): actor for c in changes if (actor := self.reconciler.actor_of(c, hints))}
        self.journal.report(report, hints, self.reconciler.drifts, actors)
        self.journal.calm(self.reconciler.ledger)

    @staticmethod
    def _links_of(report: Report, hints: Hints) -> set[str] | None:
        """Return the names of the links that a pass looked at; None for all."""
        if hints.everything or any(kind == "link" for _, kind in hints.kinds):
            return None
        keys = [*hints.keys, *(change.key for change in report.plan.changes)]
        return {key.name for key in keys if isinstance(key, LinkKey)}

    def _next_due(self) -> float:
        retry = self.reconciler.ledger.next_due()
        return min([self._next_resync, *self._polls.values(), *([] if retry is None else [retry])])

    def _add_what_is_due(self, hints: Hints) -> None:
        """Add retries, polls and the periodic full look whose time has come."""
        now = self.clock.boottime()
        for key in self.reconciler.ledger.overdue(now):
            hints.keys.setdefault(key, None)
            hints.causes.append("retry")
        for place, at in self._polls.items():
            if at <= now and not hints.everything:
                hints.kinds.add(place)
                hints.causes.append("poll")
        if self._next_resync <= now:
            hints.everything = True
            hints.causes.append("resync")

    def _plan_polls(self, hints: Hints) -> None:
        """Set when to look next at kinds without events: as often as is cheap."""
        now = self.clock.boottime()
        for name, kind in self.kinds.items():
            place = (self.ports.netns, name)
            if kind.poll_s is None:
                continue
            if hints.everything or place in hints.kinds or place not in self._polls:
                self._polls[place] = now + max(kind.poll_s, self.reconciler.reading_s(place) / POLL_SHARE)

    def filter_arguments(self) -> tuple[int, Iterable[int]]:
        """Return what the event socket's filter lets through: our protocol, our tables."""
        return PROTOCOL, self.tables

    @property
    def converged(self) -> bool:
        """Whether the kernel is what the file says, and nothing is waited for."""
        return self.ready and not self.reconciler.ledger.troubles and not self.waiting()

    @property
    def ready(self) -> bool:
        """Whether one complete pass is over."""
        return self.reconciler.complete

    def waiting(self) -> Mapping[str, tuple[str, ...]]:
        """Return the units that wait for a fact, and for what."""
        return {} if self.reconciler.down else self.desired.waiting()
