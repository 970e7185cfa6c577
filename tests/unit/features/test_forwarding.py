"""Which interfaces are opened for what the file asks, and what the guard beside the translation drops."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from neod.features.forwarding import FOR_ALL, ForwardingFragment, Opening, Openings
from neod.kinds.nat import NatKey
from neod.kinds.sysctl import SysctlSpec
from neod.model.facts import Forwarding, Host
from neod.model.nat import Guard
from neod.model.want import FORWARDING, HOST, Origin

ORIGIN = Origin("forwards.web", 1)
TO, SIX = ip_address("198.51.100.10"), ip_address("fd00::10")
ON = SysctlSpec("1", needs=(NatKey(""),))
FACT = Forwarding(("eth0", "eth1"), ("br-x", "eth0", "eth1"), ((TO, "eth1"), (SIX, "eth1")))
NAMED = Openings((Opening(4, ORIGIN, ("eth0",), TO),))
ANYWHERE = Openings((Opening(4, ORIGIN, (), TO, anywhere=True),), ("eth0", "neo1"), frozenset({"neo1"}))
NAMESPACE = Openings((Opening(4, ORIGIN, ("eth0", "neo-px"), inside="neo-px"),))


def facts(fact=FACT, by_link=True):
    return {FORWARDING: fact, HOST: Host("id", force_forwarding=by_link)}


def switches(openings, *given, **how):
    wants = ForwardingFragment(openings).compile(facts(*given, **how))
    return {want.key.path: want.spec for want in wants}


def guard(openings, *given, **how):
    (one,) = openings.guards(facts(*given, **how))
    return one


def test_an_interface_that_the_file_names_is_opened_and_what_leads_to_the_target():
    wanted = {f"net/ipv4/conf/{link}/forwarding": ON for link in ("eth0", "eth1")}
    assert switches(NAMED) == wanted
    here = replace(FACT, exits=((TO, "eth0"),))
    assert switches(NAMED, here) == {"net/ipv4/conf/eth0/forwarding": ON}


def test_without_a_name_every_nic_and_every_path_is_opened_and_no_network_of_others():
    assert sorted(switches(ANYWHERE)) == [f"net/ipv4/conf/{link}/forwarding" for link in ("eth0", "eth1", "neo1")]


def test_what_comes_in_by_what_neo_opened_leaves_by_nothing_that_was_closed():
    assert guard(NAMED, replace(FACT, exits=())) == Guard(4, ("eth0",), ("br-x", "eth0", "eth1"))
    assert guard(ANYWHERE) == Guard(4, ("eth0", "eth1", "neo1"), ("br-x", "eth0", "eth1"))
    assert guard(NAMESPACE, replace(FACT, exits=())).inside == ("neo-px",)


def test_what_others_opened_is_not_guarded_on_either_side():
    fact = replace(FACT, routing=frozenset({(4, "br-x"), (4, "eth1"), (6, "eth0")}))
    assert guard(NAMED, fact) == Guard(4, ("eth0",), ("eth0",))
    assert switches(NAMED, fact) == {"net/ipv4/conf/eth0/forwarding": ON}  # nor is it ours to close


@pytest.mark.parametrize("path", [FOR_ALL[4], "net/ipv4/conf/eth0/forwarding"])
def test_the_file_opens_what_it_says_itself(path):
    openings = replace(NAMED, explicit=((path, "1"),))
    assert "eth0" not in guard(openings).entries
    assert path not in switches(openings)


def test_the_end_of_a_namespace_is_guarded_whatever_the_file_opens():
    openings = replace(NAMESPACE, explicit=((FOR_ALL[4], "1"),))
    assert guard(openings) == Guard(4, (), (), ("neo-px",))


def test_ipv6_is_opened_by_interface_where_the_kernel_can():
    openings = Openings((Opening(6, ORIGIN, ("eth0",), SIX),))
    assert switches(openings) == {f"net/ipv6/conf/{link}/force_forwarding": ON for link in ("eth0", "eth1")}


def test_where_only_the_whole_host_forwards_routers_are_kept_and_everything_is_guarded():
    openings = Openings((Opening(6, ORIGIN, ("eth0", "neo-px"), inside="neo-px"),))
    keep = SysctlSpec("2", instead_of="1")
    assert switches(openings, by_link=False) == {
        **{f"net/ipv6/conf/{link}/accept_ra": keep for link in ("default", "br-x", "eth0", "eth1")},
        FOR_ALL[6]: ON,
    }
    assert guard(openings, by_link=False) == Guard(6, ("br-x", "eth0", "eth1"), ("br-x", "eth0", "eth1"), ("neo-px",))


def test_what_an_older_neo_opened_for_the_host_is_kept_where_others_may_rely_on_it():
    assert switches(NAMED, replace(FACT, kept=(4,)))[FOR_ALL[4]] == ON
