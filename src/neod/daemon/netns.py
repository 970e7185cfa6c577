"""The namespaces that neod works in: ports, drivers and events of each, opened when first needed.

An open socket keeps a deleted namespace alive as a zombie that still answers;
so a namespace is compared with what its name stands for before it is used.
"""

import asyncio
import errno
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neod.daemon.lock import AlreadyRunning, Lock
from neod.daemon.outside import ClosingNetfilter, Outside
from neod.kernel.errors import kernel_call
from neod.kernel.events import EventSocket
from neod.kernel.mptcp import NetlinkMptcp
from neod.kernel.netfilter.nft.events import NftEvents
from neod.kernel.rtnl import NetlinkRtnl
from neod.model.change import Actor
from neod.model.errors import KernelError
from neod.model.key import Place
from neod.model.kind import Driver, Entry, Source
from neod.model.marks import PROTOCOL
from neod.model.ports import Ports, Rtnl
from neod.netlink.socket import Opener

Taker = Callable[[str, Rtnl, int, memoryview, Actor | None], None]  # netns, its requests, type, payload, who


@dataclass(frozen=True, slots=True)
class EventHandlers:
    """What is called with what happened. No message is taken as the state: it says where to look."""

    on_rtnetlink: Taker  # a message of rtnetlink
    on_change: Callable[[Source, str, Actor | None], None]  # of something that a source notifies of, in a namespace
    on_overrun: Callable[[], None]


@dataclass(slots=True)
class NamespaceContext:
    ports: Ports
    rtnl: NetlinkRtnl
    mptcp: NetlinkMptcp
    opener: Opener  # of netlink sockets inside
    events: EventSocket
    nft_events: NftEvents | None  # None where the kernel has no netfilter
    netfilter: ClosingNetfilter
    drivers: Mapping[str, Driver[Any, Any]]
    identity: tuple[int, int] | None  # (device, inode) of a named one
    lock: Lock | None  # of a named one: our own is held for as long as the process runs

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.events.start(loop)
        if self.nft_events is not None:
            self.nft_events.start(loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of the namespace."""
        self.events.close(loop)
        if self.nft_events is not None:
            self.nft_events.close(loop)
        self.netfilter.close()
        self.rtnl.close()
        self.mptcp.close()
        if self.lock is not None:
            self.lock.release()


class NamespaceRegistry:
    """All open namespaces by name; the empty name is neod's own and always open."""

    def __init__(self, registry: tuple[Entry, ...], outside: Outside, handlers: EventHandlers) -> None:
        self._registry, self._outside = registry, outside
        self._groups = sorted({group for entry in registry for group in entry.kind.groups})
        self._verbs = {type_: verb for entry in registry for type_, verb in entry.kind.verbs.items()}
        self._handlers = handlers
        self.named = outside.namespaces()
        self._mounts = outside.mounts(functools.partial(handlers.on_change, Source.MOUNT, "", None))
        self._open: dict[str, NamespaceContext] = {"": self._make("", None, None)}

    def _make(self, netns: str, identity: tuple[int, int] | None, lock: Lock | None) -> NamespaceContext:
        outside = self._outside
        opener = outside.opener(netns)
        rtnl = NetlinkRtnl(opener, self._verbs)
        events = EventSocket(
            self._groups, functools.partial(self._handlers.on_rtnetlink, netns, rtnl), self._handlers.on_overrun, opener
        )
        mptcp, netfilter = NetlinkMptcp(opener), outside.netfilter(netns)
        named = None if netns else self.named
        sysctls, moved = outside.sysctls(netns), outside.moved_links()
        ports = Ports(netns, outside.clock, rtnl, sysctls, moved, mptcp, netfilter, named)
        kinds = [entry for entry in self._registry if not netns or not entry.kind.only_in_main]
        return NamespaceContext(
            ports,
            rtnl,
            mptcp,
            opener,
            events,
            self._nft_events(netns, opener),
            netfilter,
            {entry.kind.name: entry.driver(ports) for entry in kinds},
            identity,
            lock,
        )

    def _nft_events(self, netns: str, opener: Opener) -> NftEvents | None:
        take = functools.partial(self._handlers.on_change, Source.NFTABLES, netns)
        try:
            return NftEvents(take, self._handlers.on_overrun, opener)
        except KernelError:
            return None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen in our own namespace, and for others that come and go, from now on."""
        self.main.start(loop)
        self._mounts.start(loop)

    @property
    def main(self) -> NamespaceContext:
        """Return neod's own namespace."""
        return self._open[""]

    def opened(self, netns: str) -> NamespaceContext | None:
        return self._open.get(netns)

    def places(self) -> Iterator[Place]:
        """Yield every kind of every open namespace; our own first, links before what needs their index."""
        for netns, namespace in list(self._open.items()):
            for kind in namespace.drivers:
                yield netns, kind

    def driver(self, place: Place) -> Driver[Any, Any]:
        netns, kind = place
        if netns not in self._open:
            self._open[netns] = self._enter(netns)
        return self._open[netns].drivers[kind]

    def _enter(self, netns: str) -> NamespaceContext:
        lock = self._hold(netns)
        try:
            namespace = self._make(netns, self._outside.identity(netns), lock)
        except BaseException:
            lock.release()
            raise
        namespace.events.filter(PROTOCOL, (), namespace.rtnl.port_id)
        namespace.start(asyncio.get_running_loop())
        return namespace

    def _hold(self, netns: str) -> Lock:
        try:
            with kernel_call(f"netns {netns}"):
                return self._outside.hold(netns)
        except AlreadyRunning as error:
            raise KernelError(f"netns {netns}", errno.EBUSY, str(error)) from None

    def close_stale(self) -> list[str]:
        stale = [n for n, namespace in self._open.items() if n and self._outside.identity(n) != namespace.identity]
        for netns in stale:
            self._open.pop(netns).close(asyncio.get_running_loop())
        return stale

    def close(self) -> None:
        """Let go of all."""
        self._mounts.close(asyncio.get_running_loop())
        for namespace in self._open.values():
            namespace.close(asyncio.get_running_loop())
