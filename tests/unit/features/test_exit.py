"""What leads packets from inside a namespace out by its uplink."""

from ipaddress import IPv4Address, IPv4Network

from neod.features.namespaces.compile import ExitFragment
from neod.features.parts import Leaving, PathInfo
from neod.model.facts import Followed
from neod.model.want import FactKey, Origin

ORIGIN = Origin("namespaces.px", 3)
EXIT = ExitFragment(
    Leaving(IPv4Network("10.254.0.0/30"), "eth1", "namespaces.px", ORIGIN),
    PathInfo("eth1", "", "follow", 101, (), ORIGIN),
)


ADDRESSES = ((IPv4Address("203.0.113.2"), 24),)
ROUTER = IPv4Address("203.0.113.1")


def facts(gateway=None, addresses=ADDRESSES):
    return {FactKey("followed", "eth1"): Followed("eth1", addresses, gateway)}


def test_an_uplink_that_leads_out_gets_the_packets_that_no_other_network_is_for():
    told = [str(want.key) for want in EXIT.compile(facts(ROUTER))]
    assert told == [
        "rule:11001/from 10.254.0.0/30 lookup 254 suppress_prefixlength 0",
        "rule:11002/from 10.254.0.0/30 lookup 101",
    ]
    assert EXIT.remarks(facts(ROUTER)) == ()


def test_one_that_leads_nowhere_is_told_and_one_without_an_address_is_waited_for():
    assert "eth1 has no default route" in EXIT.remarks(facts())[0]
    assert list(EXIT.compile(facts(addresses=()))) == []
    assert EXIT.remarks({}) == ()
