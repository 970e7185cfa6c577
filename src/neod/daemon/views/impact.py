"""What a plan takes away, and which open connections are on it. Pure but for the sockets, which are read now."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from neod.control.verbs.plan import ImpactRow
from neod.daemon.controller import Controller
from neod.features.intents import Intents
from neod.features.parts import PathInfo, paths_by_table
from neod.model.change import Change, Op, Plan
from neod.model.errors import KernelError
from neod.model.facts import DhcpClient
from neod.model.key import AddressKey, NetnsKey
from neod.model.nat import unmapped
from neod.netlink.attributes import Ip
from neod.netlink.sock_diag import OpenSocket

ENDS: Final = (Op.DELETE, Op.RECREATE)

Place = tuple[str, str]  # namespace, link


@dataclass(frozen=True, slots=True)
class Losses:
    """What goes with a plan."""

    leases: tuple[str, ...]
    paths: tuple[str, ...]
    addresses: Mapping[str, frozenset[Ip]]  # by namespace: connections from these are lost, or leave otherwise


@dataclass(frozen=True, slots=True)
class Caller:
    """Where the caller's terminal comes in. *local* None: only the peer is known."""

    peer: Ip
    local: Ip | None = None


def caller_of(text: str | None) -> Caller | None:
    """Return what ``SSH_CONNECTION``, or the address of a peer alone, says; None for anything else."""
    words = (text or "").split()
    try:
        ends = [_plain(word) for word in words[::2]]
    except ValueError:
        return None
    return Caller(*ends[:2]) if len(words) in (1, 4) else None


def _plain(word: str) -> Ip:
    return unmapped(ip_address(word.partition("%")[0]))


async def impact_of(controller: Controller, plan: Plan, intents: Intents, caller: Caller | None) -> ImpactRow:
    """Return what becomes of leases, paths and open connections if *plan*, towards *intents*, is carried out.

    Without anything that goes, and a caller whose address is known, no socket is looked at.
    """
    lost = losses(controller, plan, intents)
    changed = _changed(controller, plan, intents)
    ops = Counter(change.op for change in plan.changes)
    objects, recreated = ops[Op.DELETE], ops[Op.RECREATE]
    try:
        sockets = await _sockets(controller, lost.addresses, caller)
    except KernelError:
        return ImpactRow(objects, recreated, lost.leases, lost.paths, None, 0, _fate(controller, changed, lost, caller))
    on_it = [(netns, one) for netns, one in sockets if one.local in lost.addresses.get(netns, ())]
    subflows = [(netns, one.token) for netns, one in on_it if one.token]
    connections = len(on_it) - len(subflows) + len(set(subflows))
    fate = _fate(controller, changed, lost, _found(caller, sockets))
    return ImpactRow(objects, recreated, lost.leases, lost.paths, connections, len(subflows), fate)


def losses(controller: Controller, plan: Plan, intents: Intents) -> Losses:
    """Return which leases, paths and addresses go."""
    stay = {path.name for path in intents.of(PathInfo)}
    paths = [] if controller.state.desired.suspended else [path.name for path in controller.intents.of(PathInfo)]
    leases = tuple(_leases_lost(controller, intents))
    ends = [change for change in plan.changes if change.op in ENDS]
    single = {change.key for change in ends if isinstance(change.key, AddressKey)}
    cut = {("", name) for name in (*leases, *paths) if name in leases or name not in stay}
    cut |= {place for change in ends if change.key not in single for place in _links_of(controller, change, {})}
    whole = {change.key.name for change in ends if isinstance(change.key, NetnsKey)}
    lost = {netns: frozenset(_addresses(controller, netns, cut, single, whole)) for netns in controller.mptcp.netnses()}
    broken = {*cut, *((key.netns, key.link) for key in single)}
    return Losses(leases, tuple(p for p in paths if ("", p) in broken), {n: ips for n, ips in lost.items() if ips})


def _addresses(
    controller: Controller, netns: str, cut: Collection[Place], single: Collection[object], whole: Collection[str]
) -> Iterator[Ip]:
    for key in controller.state.observed.named_by(AddressKey, netns):
        gone = (netns, key.link) in cut or key in single or netns in whole
        if gone and not key.ip.is_loopback:
            yield key.ip


def _leases_lost(controller: Controller, intents: Intents) -> Iterator[str]:
    """Yield the links that have a lease, and no client with the same MAC any more."""
    after = {client.link: client for client in intents.of(DhcpClient)}
    held = {status.link for status in controller.dhcp.service.status() if status.lease is not None}
    for client in controller.intents.of(DhcpClient):
        new = after.get(client.link)
        if client.link in held and (new is None or new.mac != client.mac):
            yield client.link


def _links_of(controller: Controller, change: Change, tables: Mapping[int, str]) -> set[Place]:
    kind = controller.state.kind_of(change.key)
    specs = [spec for spec in (change.before, change.after) if spec is not None]
    return {(change.key.netns, link) for spec in specs for link in kind.carries(change.key, spec, tables)}


async def _sockets(
    controller: Controller, lost: Mapping[str, Collection[Ip]], caller: Caller | None
) -> list[tuple[str, OpenSocket]]:
    """Return the open sockets by what goes, and those of a caller of whom only the peer is known."""
    peer = caller.peer if caller is not None and caller.local is None else None
    found: list[tuple[str, OpenSocket]] = []
    for netns in controller.mptcp.netnses() if peer else lost:
        wanted = _wanted(lost.get(netns, ()), peer)
        found += [(netns, one) for one in await controller.mptcp.open_sockets(netns, wanted)]
    return found


def _wanted(lost: Collection[Ip], peer: Ip | None) -> Callable[[Ip, Ip], bool]:
    return lambda local, remote: local in lost or remote == peer


def _found(caller: Caller | None, sockets: Collection[tuple[str, OpenSocket]]) -> Caller | None:
    """Return the caller with the address that a connection from there comes in by."""
    if caller is None or caller.local is not None:
        return caller
    return Caller(caller.peer, next((one.local for _, one in sockets if one.remote == caller.peer), None))


def _changed(controller: Controller, plan: Plan, intents: Intents) -> set[Place]:
    """Return the links whose packets go otherwise, or not at all."""
    tables = paths_by_table(intents) | paths_by_table(controller.intents)
    return {place for change in plan.changes for place in _links_of(controller, change, tables)}


def _fate(controller: Controller, changed: Collection[Place], lost: Losses, caller: Caller | None) -> str:
    """Return how the caller's connection comes in; empty where that neither goes nor changes."""
    if caller is None or caller.local is None:
        return ""
    for netns in controller.mptcp.netnses():
        for key in controller.state.observed.named_by(AddressKey, netns):
            if key.ip == caller.local:
                goes = key.ip in lost.addresses.get(netns, ())
                if goes or (netns, key.link) in changed:
                    return f"from {caller.peer} by {key.link} ({key.ip}), which {'goes' if goes else 'changes'}"
    return ""
