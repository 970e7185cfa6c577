"""Which subflows and announcements a connection should have: the decision, without the doing. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from neod.mptcp.connection import MptcpConnection, Pair, Subflow, locals_of
from neod.netlink.attributes import Ip

LAST_ID: Final = 254
"""Address ids have 8 bits; 0 is the first address of a connection."""


@dataclass(frozen=True, slots=True)
class LocalPath:
    """One address of this host that can carry subflows."""

    ip: Ip
    flags: tuple[str, ...]
    index: int = 0  # of its device; 0: wherever routing sends its packets


@dataclass(frozen=True, slots=True)
class Policy:
    """All that decides, beside the connection."""

    paths: tuple[LocalPath, ...] = ()  # the best first
    ours: frozenset[Ip] = frozenset()  # addresses that links of the file have, and had
    here: frozenset[Ip] = frozenset()  # every address of the namespace
    exclude: tuple[IPv4Network | IPv6Network, ...] = ()
    max_subflows: int = 0  # of a connection; 0: one a path


@dataclass(frozen=True, slots=True)
class CreateSubflow:
    pair: Pair
    local_id: int
    index: int
    backup: bool


@dataclass(frozen=True, slots=True)
class DestroySubflow:
    flow: Subflow


@dataclass(frozen=True, slots=True)
class AnnounceAddress:
    ip: Ip
    id: int
    index: int
    backup: bool


@dataclass(frozen=True, slots=True)
class WithdrawAddress:
    """Tell the peer that an address is gone."""

    ip: Ip
    id: int


@dataclass(frozen=True, slots=True)
class SetPriority:
    """Tell the peer that a subflow is a backup one from now on, or no longer (MP_PRIO)."""

    flow: Subflow
    backup: bool


Step = CreateSubflow | DestroySubflow | AnnounceAddress | WithdrawAddress | SetPriority


def concerns(connection: MptcpConnection, policy: Policy) -> bool:
    """Whether the connection is ours to manage.

    Not: what stays on this host, what goes out by addresses of others (a VPN,
    a bridge of containers), and peers that the file excludes.
    """
    remote = connection.remote
    if remote.is_loopback or remote in policy.here:
        return False
    if any(remote.version == network.version and remote in network for network in policy.exclude):
        return False
    return any(ip in policy.ours for ip in locals_of(connection))


def steps(connection: MptcpConnection, policy: Policy, now: float, room: int) -> list[Step]:
    """Return what brings the connection to what it should be, the new before the old goes.

    *room* is how many subflows may be opened over all connections.
    """
    if not connection.established or not concerns(connection, policy):
        return []
    found: list[Step] = [] if connection.server else list(_creations(connection, policy, now, room))
    if connection.server:
        found += _announcements(connection, policy, now)
    return [*found, *_priorities(connection, policy), *_departures(connection, policy)]


def targets(connection: MptcpConnection, paths: Sequence[LocalPath]) -> list[tuple[LocalPath, Ip, int]]:
    """Return what should be connected: every path to the peer's first address, and what it announced besides.

    An announced address gets one subflow, the paths in turn, or one of every
    path that says ``fullmesh``: as the kernel's manager does it. What is open
    or asked for stays the one when turns change, because others were withdrawn.
    """
    usable = [p for p in paths if "subflow" in p.flags and p.ip.version == connection.remote.version]
    usable = usable or [LocalPath(connection.local, ("subflow",))]  # of a family without paths: what it began with
    announced = announced_ends(connection)
    have = [*(flow.pair for flow in connection.flows.values()), *connection.pending]
    denied = connection.deny_join_id0 or connection.first.end in connection.withdrawn
    found = [] if denied else [(p, connection.remote, connection.remote_port) for p in usable]
    if denied and announced:  # all paths have to be spread over what was announced
        ends = [[end for end in announced if (p.ip, *end) in have] for p in usable]
        found = [(p, *(ends[i] or announced[i % len(announced) :])[0]) for i, p in enumerate(usable)]
    meshed = [p for p in usable if "fullmesh" in p.flags]
    for number, (ip, port) in enumerate(announced):
        turn = [p for p in usable if (p.ip, ip, port) in have] or usable[number % len(usable) :]
        found += [(p, ip, port) for p in meshed or (() if denied else turn[:1])]
    return list({(p.ip, ip, port): (p, ip, port) for p, ip, port in found}.values())


def announced_ends(connection: MptcpConnection) -> list[tuple[Ip, int]]:
    """Return what the peer announced beside the address that it began with, each once: it may have several ids."""
    ends = dict.fromkeys(end for _, end in sorted(connection.announced.items()))
    return [end for end in ends if end[0].version == connection.remote.version and end != connection.first.end]


def _creations(connection: MptcpConnection, policy: Policy, now: float, room: int) -> Iterator[CreateSubflow]:
    have = {flow.pair for flow in connection.flows.values()} | connection.pending.keys()
    limit = min(room, (policy.max_subflows or LAST_ID) - len(have))
    if connection.refusals.count:  # one at a time, until the peer accepts again
        limit = min(limit, 1 - len(connection.pending)) if now >= connection.refusals.next_at else 0
    ids = dict(connection.ids)
    for path, ip, port in targets(connection, policy.paths):
        pair = (path.ip, ip, port)
        if limit <= 0:
            return
        if pair in have or path.ip not in policy.here or _waits(connection, pair, now):
            continue
        number = free_id(path.ip, ids, connection, policy.paths)
        if number is None:
            return
        ids[path.ip] = number
        limit -= 1
        yield CreateSubflow(pair, number, path.index, "backup" in path.flags)


def _waits(connection: MptcpConnection, pair: Pair, now: float) -> bool:
    failed = connection.failures.get(pair)
    return failed is not None and failed.next_at > now


def free_id(ip: Ip, ids: Mapping[Ip, int], connection: MptcpConnection, paths: Sequence[LocalPath]) -> int | None:
    """Return the address id that *ip* has or can have in a connection; None when all are taken.

    The place among the paths is where the search begins, so that an address
    has the same id in all connections as long as nothing changes.
    """
    if ip in ids:
        return ids[ip]
    if ip == connection.local:
        return 0
    taken = connection.unusable_ids | set(ids.values())
    begin = next((number for number, path in enumerate(paths) if path.ip == ip), 0)
    order = (1 + (begin + n) % LAST_ID for n in range(LAST_ID))
    return next((number for number in order if number not in taken), None)


def _departures(connection: MptcpConnection, policy: Policy) -> Iterator[Step]:
    """Yield the subflows whose address is gone, no longer a path, or withdrawn by the peer; never the last one."""
    kept: Collection[Ip] = {path.ip for path in policy.paths if "subflow" in path.flags}
    flows = connection.flows.values()
    going = [flow for flow in flows if flow.local not in policy.here]
    if not connection.server:
        here = [flow for flow in flows if flow.local in policy.here]
        going += [flow for flow in here if _no_path(flow, kept, policy) or flow.end in connection.withdrawn]
        going += [flow for flow in _doubled(connection, policy) if flow not in going]
    for flow in going if len(going) < len(flows) else ():
        yield DestroySubflow(flow)
    if policy.max_subflows and not going:
        yield from releases(connection, policy, len(flows) - policy.max_subflows)


def _doubled(connection: MptcpConnection, policy: Policy) -> Iterator[Subflow]:
    """Yield what is too much at an announced address, as when a path no longer says ``fullmesh``."""
    announced = announced_ends(connection)
    flows = [flow for flow in connection.flows.values() if flow.end in announced] if announced else []
    if len(flows) > len({flow.end for flow in flows}):
        wanted = {(path.ip, ip, port) for path, ip, port in targets(connection, policy.paths)}
        served = {flow.end for flow in flows if flow.pair in wanted}
        yield from (flow for flow in flows if flow.end in served and flow.pair not in wanted)


def _priorities(connection: MptcpConnection, policy: Policy) -> Iterator[SetPriority]:
    """Yield the subflows of paths that have become backup ones, or are no longer, since these were opened."""
    backup = {path.ip: "backup" in path.flags for path in policy.paths}
    for flow in connection.flows.values():
        told = flow.pair in connection.backups
        if backup.get(flow.local, told) != told:
            yield SetPriority(flow, not told)


def _no_path(flow: Subflow, kept: Collection[Ip], policy: Policy) -> bool:
    """Whether its address is there, but no longer a path."""
    return flow.local not in kept and flow.local_id != 0 and flow.local in policy.ours


def releases(connection: MptcpConnection, policy: Policy, number: int) -> list[DestroySubflow]:
    """Return how a client gives up so many of its subflows: the worst paths first, never the one it began with."""
    if number <= 0 or connection.server:
        return []
    rank = {path.ip: place for place, path in enumerate(policy.paths)}
    others = [flow for flow in connection.flows.values() if flow.quad != connection.first.quad]
    others.sort(key=lambda flow: rank.get(flow.local, len(rank)), reverse=True)
    return [DestroySubflow(flow) for flow in others[: min(number, len(connection.flows) - 1)]]


def _announcements(connection: MptcpConnection, policy: Policy, now: float) -> Iterator[Step]:
    if connection.announce_at is not None and now < connection.announce_at:
        return
    signal = [p for p in policy.paths if "signal" in p.flags and p.ip.version == connection.local.version]
    ids = dict(connection.ids) | connection.announced_by_us
    for path in signal:
        if path.ip == connection.local or path.ip in connection.announced_by_us or path.ip not in policy.here:
            continue
        number = free_id(path.ip, ids, connection, policy.paths)
        if number is None:
            return
        ids[path.ip] = number
        yield AnnounceAddress(path.ip, number, path.index, "backup" in path.flags)
    for ip, number in connection.announced_by_us.items():
        if ip not in policy.here or all(path.ip != ip for path in signal):
            yield WithdrawAddress(ip, number)
