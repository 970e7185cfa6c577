"""Rules that overlap once translated: both backends take them, and send each connection to the same place."""

import asyncio
import os
import socket
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from tests.lab.netns import namespace, run

from neod.features.nat.compile import answering
from neod.features.parts import PathInfo
from neod.kernel.clock import SystemClock
from neod.kernel.netfilter.port import KernelNetfilter
from neod.kinds.nat import NatDriver, NatKey, NatKind, NatSpec
from neod.model.nat import Dnat, Ruleset, SnatTo
from neod.model.ports import Ports
from neod.model.want import Origin
from neod.netlink.netns import NAMED, in_netns

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
KEY, KIND = NatKey(""), NatKind()
BACKENDS = pytest.mark.parametrize("backend", ["nftables", "iptables"])
MARKS = tuple(by for _, by in answering([PathInfo(n, "", "static", 1, (), Origin("", 0)) for n in ("e0", "e1")], 0xF0))
X, SIX = ip_address("198.51.100.1"), ip_address("2001:db8::1")


def through(links, to, by=None):
    """Return forwards by two interfaces whose port ranges overlap."""
    ranges = ((8000, 8010), (8005, 8020))
    rules = [Dnat("tcp", *ports, to, interface=link) for link, ports in zip(links, ranges, strict=True)]
    return (*rules, *(SnatTo("tcp", *ports, to, by) for ports in ranges))


RULESETS = {
    "ranges of two interfaces": (*through(("e0", "e1"), X), *through(("e0", "e1"), SIX)),
    "ranges of two interfaces, one source": through(("e0", "e1"), X, ip_address("192.0.2.1")),
    "ranges of two interfaces, marked": (*through(("e0", "e1"), X), *through(("e0", "e1"), SIX), *MARKS),
    "many ports to one": (
        Dnat("tcp", 8000, 8010, X, 443),
        Dnat("tcp", 9000, 9000, X, 443),
        Dnat("tcp", 443, 443, X),
        SnatTo("tcp", 443, 443, X),
        *MARKS,
    ),
    "an interface and any": (
        Dnat("tcp", 1, 65535, X, interface="e0"),
        Dnat("tcp", 443, 443, SIX),
        Dnat("tcp", 80, 80, X),
    ),
}


def driver(ns):
    netfilter = KernelNetfilter(NAMED / ns, SystemClock())
    return netfilter, NatDriver(Ports("", SystemClock(), None, None, None, None, netfilter, None))


@BACKENDS
@pytest.mark.parametrize("rules", RULESETS.values(), ids=RULESETS)
def test_overlapping_rules_are_taken_and_found_whole(backend, rules):
    async def go(ns):
        netfilter, keeper = driver(ns)
        spec = KIND.normalize(KEY, NatSpec(Ruleset(rules), backend))[1]
        (error,) = await keeper.put([(KEY, spec, None)])
        assert error is None, str(error)
        seen = (await keeper.observe([KEY]))[KEY]
        netfilter.close()
        assert KIND.matches(seen.spec, spec)

    with namespace("overlaps") as ns:
        asyncio.run(go(ns))


@BACKENDS
def test_what_names_the_interface_comes_first_in_both(backend):
    """Of rules for one port, the one of the interface that a connection comes in by counts, then the one of any."""
    one, other = ip_address("192.0.2.11"), ip_address("192.0.2.12")
    rules = (Dnat("udp", 53, 53, other), Dnat("udp", 50, 60, one, interface="e0"))

    async def put(ns):
        netfilter, keeper = driver(ns)
        (error,) = await keeper.put([(KEY, KIND.normalize(KEY, NatSpec(Ruleset(rules), backend))[1], None)])
        netfilter.close()
        assert error is None, str(error)

    with namespace("host") as ns, namespace("peer") as peer:
        for name, number in (("e0", 1), ("e1", 2)):
            run("ip", "-n", ns, "link", "add", name, "type", "veth", "peer", "name", name, "netns", peer)
            for where, end in ((ns, 1), (peer, 2)):
                run("ip", "-n", where, "addr", "add", f"10.0.{number}.{end}/24", "dev", name)
                run("ip", "-n", where, "link", "set", name, "up")
        for ip in (one, other):
            run("ip", "-n", ns, "addr", "add", f"{ip}/32", "dev", "lo")
        run("ip", "-n", ns, "link", "set", "lo", "up")
        asyncio.run(put(ns))

        def listen():
            socks = {}
            for ip in (one, other):
                socks[ip] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                socks[ip].settimeout(3)
                socks[ip].bind((str(ip), 53))
            return socks

        def send(to):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(to.encode(), (to, 53))

        with ExitStack() as stack:
            socks = in_netns(NAMED / ns, listen)
            for sock in socks.values():
                stack.enter_context(sock)
            for number in (1, 2):
                in_netns(NAMED / peer, lambda number=number: send(f"10.0.{number}.1"))
            assert socks[one].recv(99) == b"10.0.1.1"
            assert socks[other].recv(99) == b"10.0.2.1"
