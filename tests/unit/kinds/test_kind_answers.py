"""What the rest of the daemon asks of kinds instead of knowing them."""

from ipaddress import ip_address, ip_network

import pytest

from neod.kinds import KINDS
from neod.kinds.link_port import PortKey
from neod.kinds.nat import NatSpec
from neod.kinds.route import RouteKey
from neod.kinds.sysctl import SysctlKey
from neod.model.key import AddressKey, Key, LinkKey, NetnsKey
from neod.model.nat import Ruleset

ENDS = frozenset(("neo1",))


def opens(key: Key) -> bool:
    return KINDS[key.kind].opens(key, ENDS)


@pytest.mark.parametrize(
    "key",
    [
        LinkKey("", "ens3"),
        AddressKey("", "ens3", ip_address("2001:db8::1"), 64),
        RouteKey("", 254, ip_network("0.0.0.0/0")),
        RouteKey("", 254, ip_network("::/0"), 1024),
        SysctlKey("", "net/ipv4/conf/ens3/forwarding"),
        SysctlKey("", "net/ipv6/conf/ens3/force_forwarding"),
    ],
)
def test_what_decides_over_forwarding(key: Key) -> None:
    assert opens(key)


@pytest.mark.parametrize(
    "key",
    [
        LinkKey("", "neo1"),
        AddressKey("", "neo1", ip_address("192.0.2.1"), 24),
        RouteKey("", 254, ip_network("192.0.2.0/24")),
        SysctlKey("", "net/ipv4/conf/ens3/arp_ignore"),
        NetnsKey("", "far"),
    ],
)
def test_what_does_not(key: Key) -> None:
    assert not opens(key)


def test_a_link_alone_is_an_interface() -> None:
    assert KINDS["link"].interface(LinkKey("", "ens3")) == "ens3"
    assert KINDS["port"].interface(PortKey("", "ens3")) == ""


def test_links_come_before_addresses_in_what_is_read_first() -> None:
    assert [name for name, kind in KINDS.items() if kind.read_first] == ["link", "address"]


def test_what_translates_has_rules() -> None:
    translating = [kind for kind in KINDS.values() if kind.translates]
    assert [kind.ruleset(NatSpec(Ruleset())) for kind in translating] == [Ruleset()]
