"""Between passes and MPTCP: what the kernel's path manager leaves to us, and neod as the path manager itself."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from neod.daemon.event_log import EventLog
from neod.daemon.netns import NamespaceContext, NamespaceRegistry
from neod.features.intents import Intents
from neod.features.mptcp.compile import PathManagement, address_of, best_first
from neod.features.parts import Candidate, PathInfo
from neod.kernel import mptcp
from neod.kernel.mptcp import PathEvents
from neod.kinds import KINDS
from neod.kinds.mptcp import EndpointKey
from neod.model.change import Report
from neod.model.errors import KernelError
from neod.model.facts import Host, Lease, Multipath
from neod.model.key import AddressKey, LocalKey
from neod.model.ports import Clock
from neod.model.want import Fact, FactKey, Facts
from neod.mptcp.path_manager import PathManager
from neod.mptcp.policy import LocalPath, Policy
from neod.netlink.attributes import Ip
from neod.netlink.sock_diag import ConnectionSeen, OpenSocket
from neod.reconcile.observed import Observed
from neod.reconcile.queue import HintQueue, Hints

TRY_AGAIN_S: Final = 60.0
REMEMBERED: Final = 8192
"""Addresses that links of ours had, the newest: a connection seldom outlives that many leases."""


class OwnAddresses:
    """The addresses by which a connection is known as ours: those of our links, and those they had.

    When all leases change at once while neod starts, open connections have no address left that is there, and must be
    moved to the new ones. An address that is on somebody else's link now is not ours any more.
    """

    def __init__(self, leased: Iterable[Ip]) -> None:
        self._ever = dict.fromkeys(leased)

    def take(self, ours: Iterable[Ip], here: Collection[Ip]) -> frozenset[Ip]:
        """Return all that count, now that *ours* are on our links and *here* on any."""
        now = dict.fromkeys(ours)
        self._ever = {ip: None for ip in [*self._ever, *now] if ip not in now} | now
        for ip in list(self._ever)[: max(0, len(self._ever) - REMEMBERED)]:
            del self._ever[ip]
        return frozenset(ip for ip in self._ever if ip in now or ip not in here)


@dataclass(slots=True)
class RunningManager:
    """The path manager of one namespace, running."""

    namespace: NamespaceContext
    manager: PathManager
    events: PathEvents
    task: asyncio.Task[None]


class MptcpController:
    """Facts for the units of ``[mptcp]``, and a ``PathManager`` a namespace where the file asks for it."""

    def __init__(
        self,
        namespaces: NamespaceRegistry,
        clock: Clock,
        queue: HintQueue,
        event_log: EventLog,
        stored: Iterable[Lease] = (),
    ) -> None:
        self._namespaces, self._clock, self._queue, self._event_log = namespaces, clock, queue, event_log
        self._ours = OwnAddresses(lease.ip for lease in stored)
        self._candidates: dict[str, tuple[Candidate, ...]] = {}
        self._wanted: dict[str, PathManagement] = {}
        self._known_links: frozenset[str] = frozenset()
        self._policies: dict[str, Policy] = {}
        self._impossible: dict[str, str] = {}  # why neod cannot be the path manager, by namespace
        self.managed: dict[str, RunningManager] = {}
        self._changed = asyncio.Event()
        self._stale = True

    def want(self, intents: Intents) -> None:
        by_netns: dict[str, list[Candidate]] = {}
        for one in intents.of(Candidate):
            by_netns.setdefault(one.netns, []).append(one)
        self._candidates = {netns: best_first(found) for netns, found in by_netns.items()}
        self._wanted = {one.netns: one for one in intents.of(PathManagement)}
        links = (name for path in intents.of(PathInfo) for name in (path.name, path.parent))
        self._known_links = frozenset(filter(None, links))
        self._impossible = {n: why for n, why in self._impossible.items() if n in self._wanted}
        self._stale = True
        self._changed.set()

    def refresh(self, observed: Observed, facts: Facts) -> Mapping[FactKey, Fact]:
        """Return the facts that changed: who else holds endpoints, and where neod cannot be the path manager."""
        host = facts.get(FactKey("host"))
        able = isinstance(host, Host) and not {"path_manager", "pm_type"}.isdisjoint(host.mptcp)
        changed: dict[FactKey, Fact] = {}
        for netns in {**self._candidates, **self._wanted}:
            seen = observed.named_by(EndpointKey, netns)
            foreign = sorted((key.ip for key, one in seen.items() if not one.owned), key=str)
            why = self._impossible.get(netns, "") if able else "this kernel has no userspace path manager"
            fact = Multipath(netns, tuple(foreign), why if netns in self._wanted else "")
            if facts.get(FactKey("mptcp", netns), Multipath(netns)) != fact:
                changed[FactKey("mptcp", netns)] = fact
        return changed

    def on_pass_done(self, report: Report, hints: Hints, observed: Observed, facts: Facts) -> None:
        """Take note of the addresses after a pass that could have moved some."""
        if not self._wanted and not self.managed:
            return
        self._changed.set()
        keys = (*hints.keys, *(outcome.change.key for outcome in report.outcomes))
        if not (self._stale or hints.everything or any(KINDS[key.kind].moves_addresses for key in keys)):
            return
        self._stale = False
        for netns, settings in self._wanted.items():
            self._policies[netns] = self._policy(netns, settings, observed, facts)
            if netns in self.managed:
                self.managed[netns].manager.want(self._policies[netns], settings.max_total)

    def _policy(self, netns: str, settings: PathManagement, observed: Observed, facts: Facts) -> Policy:
        keys = list(observed.named_by(AddressKey, netns))
        here = frozenset(key.ip for key in keys)
        ours = here if netns else self._ours.take([key.ip for key in keys if key.link in self._known_links], here)
        return Policy(tuple(self._paths(netns, observed, facts)), ours, here, settings.exclude, settings.max_subflows)

    def _paths(self, netns: str, observed: Observed, facts: Facts) -> Iterator[LocalPath]:
        """Yield the addresses that are there; their rules send the packets, so that no device is named."""
        seen: set[Ip] = set()
        for one in self._candidates.get(netns, ()):
            found = address_of(one, facts)
            if found and found[0] not in seen and observed.present(LocalKey(netns, found[0])):
                seen.add(found[0])
                yield LocalPath(found[0], one.flags)

    async def run(self) -> None:
        """Keep a path manager running in each namespace that asks for one, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._start_and_stop(group)
                    await self._wait_for_change()
        finally:
            for netns in list(self.managed):
                self._stop(netns)

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(TRY_AGAIN_S if self._impossible else None):
                await self._changed.wait()
        except TimeoutError:
            self._impossible.clear()

    async def _start_and_stop(self, group: asyncio.TaskGroup) -> None:
        for netns, one in list(self.managed.items()):
            if netns not in self._wanted or self._namespaces.opened(netns) is not one.namespace:
                self._stop(netns)
        for netns, settings in self._wanted.items():
            namespace = self._namespaces.opened(netns)
            if netns in self.managed or netns in self._impossible or namespace is None or netns not in self._policies:
                continue
            try:
                await self._start(group, namespace, settings)
            except KernelError as error:
                self._impossible[netns] = str(error)
                self._event_log.note("path manager", detail=f"the kernel's is used instead: {error}")
                self._queue.hint_facts("path manager")

    async def _start(self, group: asyncio.TaskGroup, namespace: NamespaceContext, settings: PathManagement) -> None:
        netns = namespace.ports.netns
        manager = PathManager(namespace.mptcp, partial(self.dump_connections, netns), self._clock)
        events = PathEvents(manager.take, manager.lost, await namespace.mptcp.group(), namespace.opener)
        events.start(asyncio.get_running_loop())
        manager.want(self._policies[netns], settings.max_total)
        task = group.create_task(manager.run(), name=f"paths {netns or 'main'}")
        self.managed[netns] = RunningManager(namespace, manager, events, task)
        self._event_log.note("path manager", detail=f"neod, {len(self._policies[netns].paths)} addresses", quiet=True)

    def _stop(self, netns: str) -> None:
        one = self.managed.pop(netns)
        self._policies.pop(netns, None)
        self._stale = True
        one.events.close(asyncio.get_running_loop())
        one.task.cancel()

    async def dump_connections(self, netns: str) -> list[ConnectionSeen]:
        """Return the connections of a namespace, none of one that is not open; the sockets are read in a thread.

        Raises:
            KernelError: they could not be read.
        """
        namespace = self._namespaces.opened(netns)
        return [] if namespace is None else await asyncio.to_thread(mptcp.dump_connections, namespace.opener)

    async def open_sockets(self, netns: str, wanted: Callable[[Ip, Ip], bool]) -> list[OpenSocket]:
        """Return the open TCP sockets of a namespace whose local and remote address are *wanted*, as above.

        Raises:
            KernelError: they could not be read.
        """
        namespace = self._namespaces.opened(netns)
        return [] if namespace is None else await asyncio.to_thread(mptcp.open_sockets, namespace.opener, wanted)

    def notes(self) -> tuple[str, ...]:
        """Return what people should know."""
        found = []
        for netns, why in self._impossible.items():
            where = f" in {netns}" if netns else ""
            found.append(f"mptcp{where}: the kernel's path manager is used, because neod cannot be it: {why}")
        for netns, one in self.managed.items():
            where = f" in {netns}" if netns else ""
            manager = one.manager
            parts = [f"{manager.managed} of {len(manager.connections)} connections, {manager.subflows} subflows"]
            parts += [f"{manager.refused_connections} refused by the peer"] if manager.refused_connections else []
            parts += [f"last refusal: {manager.last_refusal}"] if manager.last_refusal else []
            found.append(f"mptcp{where}: neod is the path manager ({', '.join(parts)})")
        return tuple(found)

    def netnses(self) -> tuple[str, ...]:
        """Return the namespaces whose MPTCP connections can be shown; neod's own first."""
        return tuple(dict.fromkeys(["", *(netns for netns, _ in self._namespaces.places())]))
