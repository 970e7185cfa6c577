"""What the contract tests do with each kind. A new kind has its samples here, or the tests fail.

``SAMPLES``: what the objects of a kind need, and the objects themselves, each
field of a spec in use at least once.

``DISTURBANCES``: what another process does to an object of ``FILE``, and what
of the kernel shows that it is undone.
"""

import os
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from tests.doubles import builders

from neod.kernel.clock import SystemClock
from neod.model.nat import AnswerBy, Guard, SnatFrom, SnatTo

NEO1 = builders.macvlan("neo1", 1)
ADDRESS4 = builders.address("neo1", "10.9.0.2", 16)
ADDRESS6 = builders.address("neo1", "fd00:9::2", 64)
ROUTE = builders.route(7, "10.9.0.0/16", "neo1", source="10.9.0.2")
LEASE_ENDS = SystemClock().boottime() + 3600

SAMPLES = {
    "link": (
        [],
        [NEO1, builders.macvlan("neo2", 2, mode="bridge", mtu=1400), builders.macvlan("neo3", 3),
         builders.bridge("neobr"), builders.bridge("neostp", stp="on", vlan_filtering="off")],
    ),
    "port": ([builders.bridge("neoports", stp="off", vlan_filtering="off")], [builders.port("up1", "neoports")]),
    "arp": ([], [builders.arp("nic", "up0"), builders.arp("address", "10.9.0.2"), builders.arp("address", "10.9.0.3")]),
    "address": (
        [NEO1],
        [ADDRESS4, builders.address("neo1", "10.9.0.3", 16, LEASE_ENDS), builders.address("neo1", "10.9.0.3", 24),
         ADDRESS6, builders.address("neo1", "fd00:9::3", 64, LEASE_ENDS),
         builders.address("neo1", "10.44.0.2", 16, prefix_route=True),
         builders.address("neo1", "fd00:44::2", 64, prefix_route=True)],
    ),
    "route": (
        [NEO1, ADDRESS4, ADDRESS6],
        [
            ROUTE,
            builders.route(7, "0.0.0.0/0", "neo1", gateway="10.9.0.1", source="10.9.0.2", mtu=1300),
            builders.route(300, "10.9.0.0/16", "neo1"),
            builders.route(300, "10.0.0.0/8", "neo1", gateway="10.9.0.1"),
            builders.route(300, "172.16.0.0/12", "neo1", gateway="10.77.0.1", on_link=True),
            builders.route(7, "fd00:9::/64", "neo1"),
            builders.route(7, "::/0", "neo1", gateway="fd00:9::1", source="fd00:9::2"),
            builders.route(100000, "fd00:77::/32", "neo1", gateway="fe80::1", mtu=1280),
        ],
    ),
    "rule": (
        [NEO1, ADDRESS4, ADDRESS6, ROUTE, builders.route(7, "fd00:9::/64", "neo1"),
         builders.route(70000, "10.9.0.0/16", "neo1")],
        [builders.rule("10.9.0.2/32", 7), builders.rule("10.9.0.0/16", 70000), builders.rule("fd00:9::2/128", 7),
         builders.rule("0.0.0.0/0", 7, 0x200000, 0xF00000), builders.rule("::/0", 7, 0x100000, 0xF00000),
         builders.rule("10.9.0.2/32", 0), builders.rule("fd00:9::2/128", 0)],
    ),
    "sysctl": (
        [NEO1],
        [
            builders.sysctl("net/ipv4/conf/neo1/arp_ignore", "1"),
            builders.sysctl("net/ipv4/conf/up0/arp_announce", "2"),
            builders.sysctl("net/ipv4/ip_local_port_range", "20000 30000"),
            builders.sysctl("net/ipv4/conf/up0/forwarding", "1"),
            builders.sysctl("net/ipv6/conf/up0/force_forwarding", "1"),
        ],
    ),
    "netns": ([], [builders.netns(f"neoc-{os.getpid()}-made")]),
    "nat": (
        [],
        [
            builders.nat(
                builders.forward("443", "198.51.100.10", interface="up0"),
                builders.forward("8000-8010", "198.51.100.10", to_port=80, hairpin=True),
                builders.forward("443", "fd00:9::10"),
                SnatTo("tcp", 80, 80, ip_address("198.51.100.10")),
                SnatTo("tcp", 443, 443, ip_address("198.51.100.10"), ip_address("192.0.2.9")),
                SnatFrom(ip_network("10.254.0.0/30"), "up0"),
                SnatFrom(ip_network("203.0.113.11/32"), "neo-proxy", ip_address("10.254.1.1")),
                Guard(4, ("up0", "wlan0"), ("up0", "wlan0"), ("neo-proxy",)),
                Guard(6, inside=("neo-proxy",)),
                AnswerBy("up0", 0x100000, 0xF00000),
                AnswerBy("up1", 0xF00000, 0xF00000),
            )
        ],
    ),
    "endpoint": (
        [NEO1, ADDRESS4, ADDRESS6, ROUTE, builders.rule("10.9.0.2/32", 7), builders.address("neo1", "10.9.0.5", 16),
         builders.address("neo1", "fd00:9::5", 64), builders.address("neo1", "10.9.0.6", 16)],
        [
            builders.endpoint("10.9.0.2", 200, "subflow", link="neo1", table=7),
            builders.endpoint("10.9.0.5", 201, "signal"),
            builders.endpoint("10.9.0.6", 254, "subflow", "backup", "fullmesh", link="neo1"),
            builders.endpoint("fd00:9::2", 202, "subflow", "signal", link="neo1"),
            builders.endpoint("fd00:9::5", 203, "laminar"),
        ],
    ),
    "limits": ([], [builders.limits(8, 7)]),
}  # fmt: skip

SPACE = f"neoc-{os.getpid()}-space"
LINKS = 20
FILE = f"""
[macvlans.neo]
parent = "up0"
count = {LINKS}
ipv4 = {[f"10.9.0.{number}/16" for number in range(1, LINKS + 1)]}
gateway = "10.9.9.9"
mptcp = []

[macvlans.neo.override]
neo1 = {{ mptcp = ["subflow"] }}
neo2 = {{ mptcp = ["subflow"] }}

[forwards.web]
ports = [8080]
to = "198.51.100.10:80"

[namespaces.{SPACE}]
uplink = "neo1"
subnet = "10.254.9.0/30"

[nat]
backend = "iptables"

[mptcp]
subflows = 6

[sysctl]
"net.ipv4.ip_local_port_range" = "20000 30000"

[links.br1]
kind = "bridge"
ports = ["nic1"]

[daemon]
resync = "1h"
"""
"""A desired object of every kind. No periodic pass: what is repaired was noticed."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What another process does to one object, in the namespace that neod works in.

    ``{n}`` is the number of a macvlan of ``FILE`` that no other disturbance
    touches: neo{n}, 10.9.0.{n}, table {n}.
    """

    command: str  # for sh
    object: str  # the text of the key that is repaired
    look: str  # a command for sh that prints the same once all is as before
    path: str = "neo{n}"  # what of the file the object belongs to; empty: nothing with a name
    attributed: bool = True  # the kernel says which process it was: not of links, and not without events


LINK = "ip -o link show neo{n} | grep -oE 'mtu [0-9]+|ether [0-9a-f:]+|state UP'"
ADDRESS = "ip -o -4 addr show neo{n} | grep -o 'inet .*' | tr -d '\\\\'"
ROUTES = "ip route show table {n}"
RULES = "ip rule show priority 110{n:02}"
ENDPOINTS = "ip mptcp endpoint show | sed 's/ id [0-9]*//' | sort"
ARP = "nft -s list table arp neo"
SYSCTL = "/proc/sys/net/ipv4/conf/neo{n}"
RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
TRANSLATION = "iptables-legacy -t nat -S"

DISTURBANCES = {
    "link": (
        Disturbance("ip link del neo{n}", "link:neo{n}", LINK, attributed=False),
        Disturbance("ip link set neo{n} mtu 1300", "link:neo{n}", LINK, attributed=False),
        Disturbance("ip link set neo{n} down", "link:neo{n}", LINK, attributed=False),
        Disturbance("ip link set neo{n} name other{n}", "link:neo{n}", LINK, attributed=False),
    ),
    "port": (
        Disturbance("ip link set nic1 nomaster", "port:nic1", "ip -o link show master br1", "br1", attributed=False),
    ),
    "arp": (
        Disturbance("nft delete element arp neo addresses '{{ 10.9.0.{n} }}'", "arp:address/10.9.0.{n}", ARP),
        Disturbance("nft flush chain arp neo requests", "arp:address/10.9.0.{n}", ARP),
    ),
    "address": (
        Disturbance("ip addr del 10.9.0.{n}/16 dev neo{n}", "address:neo{n}/10.9.0.{n}/16", ADDRESS),
        Disturbance("ip addr flush dev neo{n}", "address:neo{n}/10.9.0.{n}/16", ADDRESS),
    ),
    "route": (
        Disturbance("ip route del default table {n}", "route:{n}/default", ROUTES),
        Disturbance("ip route flush table {n}", "route:{n}/10.9.0.0/16", ROUTES),
        Disturbance(
            "ip route replace default via 10.9.0.77 dev neo{n} table {n} proto 110", "route:{n}/default", ROUTES
        ),
    ),
    "rule": (
        Disturbance("ip rule del priority 110{n:02}", "rule:110{n:02}/from 10.9.0.{n} lookup {n}", RULES),
        Disturbance(
            "ip rule del priority 110{n:02}; ip rule add from 10.9.0.{n} lookup 99 priority 110{n:02} protocol 110",
            "rule:110{n:02}/from 10.9.0.{n} lookup {n}",
            RULES,
        ),
    ),
    "sysctl": (
        Disturbance(
            f"echo 0 > {SYSCTL}/arp_ignore",
            "sysctl:net/ipv4/conf/neo{n}/arp_ignore",
            f"cat {SYSCTL}/arp_ignore",
            attributed=False,
        ),
        Disturbance(
            f"echo 0 > {SYSCTL}/forwarding",
            "sysctl:net/ipv4/conf/neo{n}/forwarding",
            f"cat {SYSCTL}/forwarding",
            attributed=False,
        ),
        Disturbance(
            f"echo 1025 65000 > {RANGE}", "sysctl:net/ipv4/ip_local_port_range", f"cat {RANGE}", "", attributed=False
        ),
    ),
    "endpoint": (
        Disturbance("ip mptcp endpoint flush", "endpoint:10.9.0.1", ENDPOINTS, "neo1", attributed=False),
        Disturbance(
            "ip mptcp endpoint change id $(ip mptcp endpoint | sed -n 's/10.9.0.2 id \\([0-9]*\\).*/\\1/p') backup",
            "endpoint:10.9.0.2",
            ENDPOINTS,
            "neo2",
            attributed=False,
        ),
    ),
    "limits": (Disturbance("ip mptcp limits set subflow 1", "limits:mptcp", "ip mptcp limits", "", attributed=False),),
    "nat": (
        Disturbance("iptables-legacy -t nat -F NEO-PREROUTING", "nat:main", TRANSLATION, "web", attributed=False),
        Disturbance("iptables-legacy -t nat -F", "nat:main", TRANSLATION, "web", attributed=False),
    ),
    "netns": (
        Disturbance(
            f"ip netns del {SPACE}",
            f"netns:{SPACE}",
            f"ip -n {SPACE} -o -4 addr show scope global | grep -o 'inet .*'",
            SPACE,
            attributed=False,
        ),
    ),
}
