"""Forwarding loops: a race whose upstream leads back to it, directly or through other races of this process. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

Target = tuple[str, int]  # address and port


@dataclass(frozen=True, slots=True)
class RaceNode:
    """One race: where it listens and what it would connect to, each in a namespace."""

    listens: Target | None
    listen_netns: str
    targets: tuple[Target, ...]
    netns: str


def looping_targets(
    nodes: Mapping[str, RaceNode], local: Mapping[str, Collection[str]]
) -> dict[str, frozenset[Target]]:
    """Return, for each race, the targets that lead back to it.

    A race may forward to another one, as in a pair on one host, but not back
    to itself. *local*: the addresses of each namespace, ours by an empty name.
    """
    feeds = {
        name: {target: _listeners(nodes, target, node.netns, local.get(node.netns, ())) for target in node.targets}
        for name, node in nodes.items()
    }
    return {
        name: frozenset(target for target, fed in found.items() if _reaches(feeds, fed, name))
        for name, found in feeds.items()
    }


def _listeners(nodes: Mapping[str, RaceNode], target: Target, netns: str, local: Collection[str]) -> frozenset[str]:
    return frozenset(
        name
        for name, node in nodes.items()
        if node.listens is not None and node.listen_netns == netns and _accepts(node.listens, target, local)
    )


def _accepts(listens: Target, target: Target, local: Collection[str]) -> bool:
    if listens[1] != target[1]:
        return False
    here, there = ip_address(listens[0].partition("%")[0]), ip_address(target[0].partition("%")[0])
    if not here.is_unspecified:
        return here == there or (there.is_unspecified and here.is_loopback)
    return there.is_loopback or there.is_unspecified or str(there) in local


def _reaches(feeds: Mapping[str, Mapping[Target, Iterable[str]]], start: Iterable[str], goal: str) -> bool:
    seen: set[str] = set()
    todo = list(start)
    while todo:
        name = todo.pop()
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            todo += [other for fed in feeds[name].values() for other in fed]
    return False
