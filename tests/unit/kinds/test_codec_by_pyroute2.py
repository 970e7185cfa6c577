"""Our netlink codec, judged by another: what we pack, pyroute2 reads as we meant it."""

from ipaddress import ip_network

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from tests.doubles import builders

from neod.kinds import address, link, route, rule
from neod.model.marks import LINK_GROUP, PROTOCOL
from neod.netlink.message import HEADER


def read(kind, number, payload):
    message = kind(HEADER.pack(16 + len(payload), number, 0, 1, 0) + payload)
    message.decode()
    return message


def test_a_macvlan_is_made_as_asked():
    _, spec = builders.macvlan("neo3", 3, mode="vepa", mtu=1400)
    message = read(ifinfmsg, 16, link.create_request(spec, 7))
    told = {name: message.get_attr(f"IFLA_{name}") for name in ("IFNAME", "ADDRESS", "LINK", "MTU", "GROUP")}
    assert told == {"IFNAME": "neo3", "ADDRESS": "02:4e:65:6f:00:03", "LINK": 7, "MTU": 1400, "GROUP": LINK_GROUP}
    assert message["flags"] & message["change"] & 1
    info = message.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "macvlan"
    assert info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_MACVLAN_MODE") == "vepa"


@pytest.mark.parametrize(("ip", "length", "flags"), [("10.9.0.2", 16, 0x200), ("fd00:9::2", 64, 0x202)])
def test_an_address_has_mark_lifetime_and_no_route_of_its_own(ip, length, flags):
    key, spec = builders.address("neo3", ip, length, valid_until=1600.0)
    message = read(ifaddrmsg, 20, address.to_wire(key, spec, 7, now=1000.0))
    assert (message["index"], message["prefixlen"]) == (7, length)
    assert message.get_attr("IFA_LOCAL") == ip
    assert message.get_attr("IFA_FLAGS") == flags
    assert message.get_attr("IFA_PROTO") == PROTOCOL
    assert message.get_attr("IFA_CACHEINFO")["ifa_valid"] == 600


@pytest.mark.parametrize("table", [7, 300, 100000])
def test_a_route_is_what_it_says(table):
    key, spec = builders.route(table, "10.0.0.0/8", "neo3", gateway="10.9.0.1", source="10.9.0.2", mtu=1300)
    message = read(rtmsg, 24, route.to_wire(key, spec, 7))
    names = ("TABLE", "DST", "OIF", "GATEWAY", "PREFSRC")
    assert [message.get_attr(f"RTA_{n}") for n in names] == [table, "10.0.0.0", 7, "10.9.0.1", "10.9.0.2"]
    assert (message["dst_len"], message["proto"]) == (8, PROTOCOL)
    assert message.get_attr("RTA_METRICS").get_attr("RTAX_MTU") == 1300


@pytest.mark.parametrize("source", ["10.9.0.2/32", "fd00:9::2/128"])
def test_a_rule_is_what_it_says(source):
    key, _ = builders.rule(source, 300)
    message = read(fibmsg, 32, rule.to_wire(key))
    told = [message.get_attr(f"FRA_{name}") for name in ("SRC", "TABLE", "PRIORITY", "PROTOCOL")]
    assert told == [str(ip_network(source).network_address), 300, 11300, PROTOCOL]
