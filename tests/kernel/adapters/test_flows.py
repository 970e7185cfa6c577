"""Tracked connections on a real kernel: a flow that began before its rule goes where the rule says once it is cut."""

import asyncio
import os
import socket
from ipaddress import ip_address

import pytest
from tests.lab.netns import namespace, run

from neod.kernel.clock import SystemClock
from neod.kernel.netfilter.flows import cut_flows, tracked
from neod.kernel.netfilter.port import KernelNetfilter
from neod.kinds.nat import NatDriver, NatKey, NatKind, NatSpec
from neod.model.flows import Addresses, Contradictions
from neod.model.nat import Dnat, Ruleset
from neod.model.ports import Ports
from neod.netlink.attributes import AF_INET, AF_INET6
from neod.netlink.conntrack import IPPROTO_TCP
from neod.netlink.netns import NAMED, in_netns
from neod.netlink.socket import NETLINK_NETFILTER, Connection

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
KEY = NatKey("")
OWN = {4: "192.0.2.1", 6: "2001:db8::1"}
TARGET = {4: "192.0.2.2", 6: "2001:db8::2"}
FAMILY = {4: (AF_INET, socket.AF_INET), 6: (AF_INET6, socket.AF_INET6)}


@pytest.fixture
def ns():
    """A namespace with two addresses of each family of its own: what it sends to one may be sent on to the other."""
    with namespace("flows") as name:
        addresses = " ".join(f"ip addr add {ip} dev lo nodad;" for ip in (*OWN.values(), *TARGET.values()))
        tracking = "nft add table inet w; nft 'add chain inet w c { type filter hook output priority 0; }'; "
        tracking += "nft add rule inet w c ct state new counter"
        run("ip", "netns", "exec", name, "sh", "-ec", f"ip link set lo up; {addresses} {tracking}")
        yield name


def bound(family, ip, kind=socket.SOCK_DGRAM):
    sock = socket.socket(family, kind)
    sock.settimeout(2)
    sock.bind((ip, 5000 if ip in OWN.values() or ip in TARGET.values() else 0))
    return sock


def put(ns, spec):
    async def go():
        netfilter = KernelNetfilter(NAMED / ns, SystemClock())
        driver = NatDriver(Ports("", SystemClock(), None, None, None, None, netfilter, None))
        (error,) = await driver.put([(KEY, NatKind().normalize(KEY, spec)[1], None)])
        netfilter.close()
        assert error is None, str(error)

    asyncio.run(go())


def cut(ns, rules, *, tcp=False):
    def judge(host):
        addresses = Addresses(tuple((one.link, one.ip, one.prefix_length) for one in host))
        contradicts = Contradictions.between((), Ruleset(rules), addresses)
        return lambda flow: contradicts(flow) and (tcp or flow.protocol != IPPROTO_TCP)

    return cut_flows(NAMED / ns, judge)


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_flow_that_began_before_its_rule_follows_it_once_it_is_cut(ns, backend, version):
    _, family = FAMILY[version]
    rules = (Dnat("udp", 5000, 5000, ip_address(TARGET[version]), hairpin=True),)

    def play():
        own, target = bound(family, OWN[version]), bound(family, TARGET[version])
        old, other = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        old.connect((OWN[version], 5000))
        old.send(b"before")
        assert own.recv(9) == b"before"
        put(ns, NatSpec(Ruleset(rules), backend))
        old.send(b"still")
        assert own.recv(9) == b"still"  # the entry keeps what was decided for its first packet
        assert len(cut(ns, rules)) == 1
        assert cut(ns, rules) == []
        old.send(b"after")
        assert target.recv(9) == b"after"
        other.connect((OWN[version], 5000))
        other.send(b"new")
        assert target.recv(9) == b"new"
        assert cut(ns, rules) == []
        for sock in (own, target, old, other):
            sock.close()

    in_netns(NAMED / ns, play)


@pytest.mark.parametrize("version", [4, 6])
def test_an_open_tcp_connection_is_known_from_one_that_nobody_has_answered(ns, version):
    netlink_family, family = FAMILY[version]
    rules = (Dnat("tcp", 5000, 5000, ip_address(TARGET[version]), hairpin=True),)

    def play():
        server = socket.create_server((OWN[version], 5000), family=family)
        with server, socket.create_connection((OWN[version], 5000)) as open_:
            with Connection(NETLINK_NETFILTER) as connection:
                (flow,) = tracked(connection, netlink_family, lambda one: one.protocol == IPPROTO_TCP)
            assert (flow.half_open, flow.sent_to, flow.sent_from) == (False, None, None)
            assert flow.asked.source_port == open_.getsockname()[1]
            assert cut(ns, rules) == []
            assert cut(ns, rules, tcp=True) == [flow]

    in_netns(NAMED / ns, play)


def test_a_namespace_without_connections_has_none(ns):
    with namespace("empty") as empty:
        assert cut(empty, ()) == []
