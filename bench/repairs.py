"""Breaks things and times their return, in a process of its own.

``python -m bench.repairs NS`` reads one order a line, ``["rule", "neo3"]``, and
answers with seconds: from just before the deletion was asked for, to the
arrival of the last object that had to come back, exactly as it was; and how
much of that the kernel took for the deletion alone, holding its lock (a link
goes in some 10 ms).
"""

import json
import select
import struct
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address

from tests.lab import rtnl
from tests.lab.kernel import (
    MARK,
    Address,
    Link,
    Route,
    Rule,
    Snapshot,
    look_with,
    parse_address,
    parse_link,
    parse_route,
    parse_rule,
)
from tests.lab.rtnl import Rtnl, attr

from bench.figures import now

KINDS = ("link", "rule", "route", "address")
PATIENCE_S = 20.0
GROUPS = (rtnl.GROUP_LINK, rtnl.GROUP_ADDR4, rtnl.GROUP_ROUTE4, rtnl.GROUP_RULE4)
Thing = Link | Address | Route | Rule


class Breaker:
    """The other side: orders one deletion after another."""

    def __init__(self, ns: str) -> None:
        argv = [sys.executable, "-m", "bench.repairs", ns]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Breaker":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)

    def repair_s(self, kind: str, link: str) -> tuple[float, float]:
        """Delete one object; return how long it took to come back, and how much of it the deletion."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([kind, link]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"missing": "the breaker died"}')
        if "missing" in answer:
            raise TimeoutError(f"{kind} of {link} not repaired: {answer['missing']}")
        return answer["repaired_s"], answer["deleted_s"]


class Things:
    """What stood before anything was broken, by interface."""

    def __init__(self, seen: Snapshot) -> None:
        owned = seen.owned()
        self.names = {link.index: link.name for link in seen.links}
        self.links = {link.name: link for link in owned.links}
        self.addresses = {a.link: a for a in owned.addresses}
        self.routes: dict[str, list[Route]] = {}
        for route in owned.routes:
            self.routes.setdefault(route.link, []).append(route)
        self.rules = {rule.source: rule for rule in owned.rules}

    def rule(self, link: str) -> Rule:
        """Return the rule of an interface's address."""
        return self.rules[f"{self.addresses[link].ip}/32"]

    def default(self, link: str) -> Route:
        """Return the default route of an interface."""
        return next(route for route in self.routes[link] if route.dst == "default")

    def lost_with(self, kind: str, link: str) -> set[Thing]:
        """Return what the kernel removes when the *kind* of an interface is deleted."""
        if kind == "rule":
            return {self.rule(link)}
        if kind == "route":
            return {self.default(link)}
        dependent: set[Thing] = {self.addresses[link], *self.routes[link]}
        return dependent | {replace(self.links[link], index=0)} if kind == "link" else dependent

    def arrived(self, kind: int, body: memoryview) -> Thing | None:
        """Return what an event says is there now, as :meth:`lost_with` writes it."""
        if kind == rtnl.NEWLINK:
            link = parse_link(body)
            self.names[link.index] = link.name
            return replace(link, index=0)
        if kind == rtnl.NEWADDR:
            return parse_address(body, self.names)
        if kind == rtnl.NEWROUTE:
            return parse_route(body, self.names)
        return parse_rule(body) if kind == rtnl.NEWRULE else None


def default_route(route: Route) -> bytes:
    """Pack what names a default route of ours."""
    head = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 0, MARK, route.scope, 1, 0)
    return head + attr(15, struct.pack("=I", route.table))


def deletion(things: Things, kind: str, link: str) -> tuple[int, bytes]:
    """Return the request that deletes one object, as ``ip`` would send it."""
    if kind == "link":
        return rtnl.DELLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attr(3, link.encode() + b"\0")
    if kind == "address":
        address = things.addresses[link]
        index = next(i for i, name in things.names.items() if name == link)
        packed = IPv4Address(address.ip).packed
        return rtnl.DELADDR, struct.pack("=BBBBI", 2, address.prefix_length, 0, 0, index) + attr(2, packed)
    if kind == "route":
        return rtnl.DELROUTE, default_route(things.default(link))
    rule = things.rule(link)
    source = IPv4Address(rule.source.partition("/")[0]).packed
    head = struct.pack("=BBBBBxxBI", 2, 0, 32, 0, 0, 1, 0)
    priority, table = struct.pack("=I", rule.priority), struct.pack("=I", rule.table)
    return rtnl.DELRULE, head + attr(2, source) + attr(6, priority) + attr(15, table)


def break_and_wait(events: Rtnl, requests: Rtnl, kind: str, link: str) -> dict[str, object]:
    """Delete one object; return the seconds until all of it is back, or what is not."""
    things = Things(look_with(requests))
    missing = things.lost_with(kind, link)
    order = deletion(things, kind, link)
    events.events()
    started = now()
    requests.request(order[0], 0, order[1])
    deleted_s = now() - started
    while missing:
        if not select.select([events.socket], [], [], PATIENCE_S)[0]:
            return {"missing": [str(thing) for thing in missing]}
        arrived_at = now()
        for number, _port, body in events.events():
            missing.discard(things.arrived(number, body))  # type: ignore[arg-type]
    return {"repaired_s": arrived_at - started, "deleted_s": deleted_s}


def main() -> None:
    """Take orders until the other side ends."""
    with Rtnl(sys.argv[1], GROUPS) as events, Rtnl(sys.argv[1]) as requests:
        for line in sys.stdin:
            kind, link = json.loads(line)
            print(json.dumps(break_and_wait(events, requests, kind, link)), flush=True)


if __name__ == "__main__":
    main()
