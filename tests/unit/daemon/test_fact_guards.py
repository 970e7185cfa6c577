"""What stays as long as it is not known which address a server gives again."""

from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace

import pytest

from neod.daemon.fact_collector import FactCollector
from neod.kinds.address import AddressKind, AddressSpec
from neod.kinds.arp import ArpKind
from neod.kinds.rule import RuleKey, RuleKind
from neod.model.change import Seen
from neod.model.key import AddressKey, ArpKey
from neod.reconcile.observed import Observed

IP = IPv4Address("10.8.1.7")
ADDRESS = AddressKey("", "neo1", IP, 16)
ABOUT_IT = [ArpKey("", "address", str(IP)), RuleKey("", 32765, IPv4Network(int(IP)), 0)]
KINDS = {"address": AddressKind(), "arp": ArpKind(), "rule": RuleKind()}


def collector(*seen):
    observed = Observed(lambda key: KINDS[key.kind])
    for key, owned in seen:
        observed.set(key, Seen(AddressSpec(), owned))
    state = SimpleNamespace(
        observed=observed, kind_of=lambda key: KINDS[key.kind], desired=SimpleNamespace(suspended=False)
    )
    facts = FactCollector(state, {}, None, None, None, None)
    facts._leased = frozenset(("neo1",))
    return facts


@pytest.mark.parametrize("key", ABOUT_IT, ids=["answers of the NIC", "end of the way"])
def test_what_goes_with_an_address_stays_as_long_as_the_address_does(key):
    assert collector((ADDRESS, True)).guards(key)
    assert not collector().guards(key)
    assert not collector((ADDRESS, False)).guards(key), "somebody else's address"


def test_a_link_inside_a_namespace_that_has_the_name_of_a_leased_one_waits_for_no_lease():
    inside = AddressKey("proxy", "neo1", IP, 16)
    collected = collector((ADDRESS, True), (inside, True))
    assert collected.guards(ADDRESS)
    assert not collected.guards(inside)
    assert not collected.guards(RuleKey("proxy", 32765, IPv4Network(int(IP)), 0))
