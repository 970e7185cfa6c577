"""What an interface of the file comes to, given what the network told."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_address

import pytest

from neod.features.links.compile import LinkFragment
from neod.features.mac import derived_mac
from neod.features.macvlans.compile import MacvlanFragment, ParentFragment
from neod.features.macvlans.host import HostFragment
from neod.features.path import PathFragment, route_mtu
from neod.features.sysctl.compile import ImpliedFragment, SysctlFragment
from neod.features.uplinks.compile import FollowFragment
from neod.kinds.address import AddressKey, AddressKind, AddressSpec
from neod.kinds.arp import ArpKey, ArpSpec
from neod.kinds.link import LinkKey, LinkSpec
from neod.kinds.route import RouteKey, RouteSpec
from neod.kinds.rule import RuleKey, RuleSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import FOREVER, Followed, Host, Lease, Nic
from neod.model.want import FactKey, Origin

ORIGIN = Origin("macvlans.neo", 3)
HOST = {FactKey("host"): Host("0123456789abcdef")}
IP, GATEWAY, SERVER = IPv4Address("10.8.0.53"), IPv4Address("10.8.0.1"), IPv4Address("10.8.0.2")
ANYWHERE, SUBNET = IPv4Network("0.0.0.0/0"), IPv4Network("10.8.0.0/16")
LEASE = Lease("neo3", IP, 16, GATEWAY, SERVER, bound_at=10, renew_at=20, rebind_at=30, expires_at=40)

MACVLAN = MacvlanFragment("macvlans.neo/neo3", "neo3", "ens3", "private", "", None, ORIGIN)
PATH = PathFragment("macvlans.neo/neo3/path", "neo3", "ens3", None, None, 103, None, False, ORIGIN)


UNANSWERED = ArpKey("", "address", str(IP))


def leased(lease=LEASE, fragment=PATH):
    """Return what a lease comes to, but for what keeps the NIC below from answering for it."""
    wants = all_leased(lease, fragment)
    wants.pop(UNANSWERED, None)
    return wants


def all_leased(lease=LEASE, fragment=PATH):
    return compiled(fragment, {FactKey("lease", lease.link): lease})


def compiled(fragment, facts):
    wants = list(fragment.compile(facts))
    assert len({want.key for want in wants}) == len(wants), "one want a key"
    return {want.key: want.spec for want in wants}


def route(destination, table=103, metric=0):
    return RouteKey("", table, IPv4Network(destination), metric)


# ── the link ──────────────────────────────────────────────────────────────────


def test_a_macvlan_is_a_link_and_the_sysctls_of_many_addresses_on_one_segment():
    assert compiled(MACVLAN, HOST) == {
        LinkKey("", "neo3"): LinkSpec(
            "macvlan", "neo3", "ens3", "private", derived_mac("0123456789abcdef", "neo3"), None, True
        ),
        SysctlKey("", "net/ipv4/conf/neo3/arp_ignore"): SysctlSpec("1"),
        SysctlKey("", "net/ipv4/conf/neo3/arp_announce"): SysctlSpec("2"),
        SysctlKey("", "net/ipv4/conf/neo3/rp_filter"): SysctlSpec("2"),
        SysctlKey("", "net/ipv4/conf/neo3/promote_secondaries"): SysctlSpec("1"),
    }


def test_the_nic_below_answers_for_no_address_above_and_none_of_its_sysctls_is_set():
    assert compiled(ParentFragment("eth0.100", ORIGIN), {}) == {ArpKey("", "nic", "eth0.100"): ArpSpec()}


def test_an_address_of_a_macvlan_is_not_used_before_its_nic_is_silent_about_it():
    wants = all_leased()
    assert wants[UNANSWERED] == ArpSpec()
    key = AddressKey("", "neo3", IP, 16)
    needs = AddressKind().requires(key, wants[key])
    assert set(needs) == {LinkKey("", "neo3"), ArpKey("", "nic", "ens3"), ArpKey("", "address", str(IP))}


def test_a_derived_mac_is_locally_administered_and_the_same_for_ever():
    assert derived_mac("0123456789abcdef", "neo3") == "02:f5:e8:71:d7:ab"


def test_derived_macs_differ_by_interface_and_by_machine():
    macs = {derived_mac(machine, f"neo{n}") for machine in ("a", "b") for n in range(2000)}
    assert len(macs) == 4000
    assert all(mac.startswith("02:") for mac in macs)


@pytest.mark.parametrize("facts", [{}, {FactKey("host"): Host("")}], ids=["no host", "no machine id"])
def test_without_a_machine_id_there_is_no_link_for_all_hosts_would_have_the_same_mac(facts):
    assert compiled(MACVLAN, facts) == {}
    assert MACVLAN.waits_for(facts) == ("a machine id, for the MAC; see machine-id(5)",)


VLAN = LinkFragment("vlan3", "vlan", "ens3", (("id", "3"), ("protocol", "802.1q")), (), "", None, ORIGIN)


@pytest.mark.parametrize("fragment", [MACVLAN, VLAN], ids=["macvlan", "vlan"])
@pytest.mark.parametrize(
    ("parent", "file", "mtu"),
    [(9000, None, 9000), (9000, 1400, 1400), (1400, 9000, 1400), (1400, 1400, 1400), (None, 1400, 1400)],
)
def test_the_mtu_is_the_smaller_of_the_parents_and_the_files(fragment, parent, file, mtu):
    facts = {FactKey("host"): Host("0123456789abcdef")}
    if parent is not None:
        facts[FactKey("nic", "ens3")] = Nic("ens3", parent)
    assert FactKey("nic", "ens3") in fragment.needs
    fragment = replace(fragment, mtu=file)
    assert compiled(fragment, facts)[LinkKey("", fragment.link)].mtu == mtu
    told = (f"line 3 [macvlans.neo]: mtu = {file} is more than ens3 has, so its {parent} is used",)
    assert fragment.remarks(facts) == (told if file and parent and file > parent else ())


def test_a_mac_of_the_file_needs_no_machine_id():
    fragment = replace(MACVLAN, mac="02:00:00:00:00:01", mode="vepa", mtu=1400)
    assert FactKey("host") not in fragment.needs
    assert fragment.waits_for({}) == ()
    spec = compiled(fragment, {})[LinkKey("", "neo3")]
    assert (spec.mac, spec.mode, spec.mtu) == ("02:00:00:00:00:01", "vepa", 1400)


# ── a leased address ──────────────────────────────────────────────────────────


def test_a_lease_is_an_address_two_routes_and_a_rule():
    assert leased() == {
        AddressKey("", "neo3", IP, 16): AddressSpec(valid_until=40, prefix_route=False),
        route("0.0.0.0/0"): RouteSpec("neo3", GATEWAY, IP),
        route("10.8.0.0/16"): RouteSpec("neo3", None, IP),
        RuleKey("", 11103, IPv4Network("10.8.0.53/32"), 103): RuleSpec(),
    }


def test_what_a_lease_brought_says_so_and_where_the_file_asked_for_it():
    for want in PATH.compile({FactKey("lease", "neo3"): LEASE}):
        assert (want.origin, want.lease) == (ORIGIN, "lease from 10.8.0.2")


def test_without_a_lease_nothing_is_wanted_and_the_lease_is_waited_for():
    assert compiled(PATH, HOST) == {}
    assert PATH.waits_for(HOST) == ("a lease for neo3",)
    assert PATH.needs == (FactKey("lease", "neo3"), FactKey("nic", "ens3"))
    assert PATH.waits_for({FactKey("lease", "neo3"): LEASE}) == ()


def test_a_renewal_changes_the_address_alone():
    before, after = leased(), leased(replace(LEASE, expires_at=80))
    assert {key for key in before if before[key] != after[key]} == {AddressKey("", "neo3", IP, 16)}
    assert before.keys() == after.keys()


def test_a_lease_without_gateway_has_a_subnet_and_a_rule():
    wants = leased(replace(LEASE, gateway=None))
    assert route("0.0.0.0/0") not in wants
    assert route("10.8.0.0/16") in wants
    assert any(isinstance(key, RuleKey) for key in wants)


def test_a_gateway_outside_of_the_subnet_is_on_the_link():
    outside = IPv4Address("192.0.2.1")
    assert leased(replace(LEASE, gateway=outside))[route("0.0.0.0/0")] == RouteSpec("neo3", outside, IP, None, True)


def test_a_gateway_that_is_the_address_itself_means_that_all_is_on_the_link():
    assert leased(replace(LEASE, gateway=IP))[route("0.0.0.0/0")] == RouteSpec("neo3", None, IP)


def test_a_lease_of_one_address_has_no_subnet():
    wants = leased(replace(LEASE, prefix_length=32))
    assert set(wants) == {
        AddressKey("", "neo3", IP, 32),
        route("0.0.0.0/0"),
        RuleKey("", 11103, IPv4Network("10.8.0.53/32"), 103),
    }
    assert wants[route("0.0.0.0/0")].on_link


NO_WAY = RuleKey("", 32765, IPv4Network(IP), 0)


def test_a_lease_of_one_address_without_gateway_has_no_table_and_never_another_nics():
    assert set(leased(replace(LEASE, prefix_length=32, gateway=None))) == {AddressKey("", "neo3", IP, 32), NO_WAY}


@pytest.mark.parametrize("routes", [(), (("192.0.2.0/24", IPv4Address("10.8.0.9")),)])
def test_what_a_lease_without_a_default_route_has_no_route_for_is_unreachable(routes):
    assert NO_WAY in leased(replace(LEASE, gateway=None, routes=routes))
    assert NO_WAY not in leased(replace(LEASE, routes=routes and (*routes, ("0.0.0.0/0", IPv4Address(0)))))


def test_a_router_that_cannot_be_one_is_waited_for_with_its_reason():
    lease = replace(LEASE, gateway=None, no_router="10.8.1.5 is the address itself", left_out=("option 26 (MTU): 9",))
    facts = {FactKey("lease", "neo3"): lease}
    assert PATH.waits_for(facts) == (f"a router: 10.8.1.5 is the address itself, says {LEASE.server}",)
    assert PATH.remarks(facts) == (f"left out of the lease from {LEASE.server}: option 26 (MTU): 9",)
    assert PATH.remarks({}) == ()


@pytest.mark.parametrize(("told", "taken"), [(1279, None), (1280, 1280)])
def test_where_ipv6_is_on_an_mtu_that_it_cannot_live_with_is_left_out(told, taken):
    facts = {FactKey("lease", "neo3"): replace(LEASE, mtu=told)}
    path = replace(PATH, least_mtu=1280)
    assert {want.spec.mtu for want in path.compile(facts) if isinstance(want.spec, RouteSpec)} == {taken}
    assert any("option 26 (MTU): 1279, less than 1280" in text for text in path.remarks(facts)) is (taken is None)


@pytest.mark.parametrize(
    ("file", "nic", "told", "taken"),
    [(None, 9000, 4000, 4000), (1400, 9000, 1450, None), (9000, 1400, 1450, None), (None, 1400, 1300, 1300)],
)
def test_the_mtu_of_a_route_is_the_leases_where_that_is_less_than_the_links(file, nic, told, taken):
    facts = {FactKey("lease", "neo3"): replace(LEASE, mtu=told), FactKey("nic", "ens3"): Nic("ens3", nic)}
    for path in (replace(PATH, mtu=file), replace(PATH, mtu=file, main=True)):
        mtus = {want.spec.mtu for want in path.compile(facts) if isinstance(want.spec, RouteSpec)}
        assert mtus == {taken}


def test_classless_routes_go_into_the_table_and_their_default_counts_before_the_router():
    routes = (
        ("192.0.2.0/24", IPv4Address("10.8.0.9")),
        ("198.51.100.7/24", IPv4Address("0.0.0.0")),
        ("0.0.0.0/0", IPv4Address("10.8.0.8")),
        ("300.0.0.0/8", IPv4Address("10.8.0.7")),
    )
    wants = leased(replace(LEASE, routes=routes))
    assert wants[route("192.0.2.0/24")] == RouteSpec("neo3", IPv4Address("10.8.0.9"), IP)
    assert wants[route("198.51.100.0/24")] == RouteSpec("neo3", None, IP)
    assert wants[route("0.0.0.0/0")] == RouteSpec("neo3", IPv4Address("10.8.0.8"), IP)
    assert sum(isinstance(key, RouteKey) for key in wants) == 4


def test_a_classless_route_to_the_subnet_itself_counts_before_the_subnet():
    routes = (("10.8.0.0/16", GATEWAY),)
    assert leased(replace(LEASE, routes=routes))[route("10.8.0.0/16")] == RouteSpec("neo3", GATEWAY, IP)


@pytest.mark.parametrize(
    ("told", "link_mtu", "taken"),
    [
        (None, 1500, None),
        (1400, 1500, 1400),
        (576, 1500, 576),
        (1500, 1500, None),
        (9000, 1500, None),
        (4000, 9000, 4000),
    ],
)
def test_an_mtu_is_taken_if_it_is_smaller_than_the_links(told, link_mtu, taken):
    assert route_mtu(told, link_mtu) == taken


def test_the_mtu_of_a_lease_is_that_of_its_routes():
    wants = leased(replace(LEASE, mtu=1400))
    assert (wants[route("0.0.0.0/0")].mtu, wants[route("10.8.0.0/16")].mtu) == (1400, 1400)
    assert leased(replace(LEASE, mtu=1400), replace(PATH, mtu=1300))[route("0.0.0.0/0")].mtu is None


# ── static, uplinks ───────────────────────────────────────────────────────────


def test_a_static_address_is_there_for_ever_and_needs_no_fact():
    fragment = replace(PATH, ipv4=IPv4Interface("10.8.0.53/16"), gateway=GATEWAY)
    assert fragment.needs == ()
    assert fragment.waits_for({}) == ()
    assert compiled(fragment, {}) == all_leased(replace(LEASE, expires_at=FOREVER))


def test_an_uplink_that_neod_configures_is_reachable_through_the_main_table_too():
    fragment = replace(PATH, name="uplinks.neo3", main=True)
    extra = {key: spec for key, spec in leased(fragment=fragment).items() if key not in leased()}
    assert extra == {
        route("0.0.0.0/0", table=254, metric=1024 + 103): RouteSpec("neo3", GATEWAY, IP),
        SysctlKey("", "net/ipv4/conf/neo3/promote_secondaries"): SysctlSpec("1"),
    }
    assert leased(fragment=fragment)[AddressKey("", "neo3", IP, 16)].prefix_route


FOLLOW = FollowFragment("uplinks.ens3", "ens3", 33, ORIGIN)
FIRST, SECOND, OTHER = IPv4Address("10.8.0.5"), IPv4Address("10.8.0.6"), IPv4Address("192.0.2.5")


def followed(addresses, gateway=None):
    return compiled(FOLLOW, {FactKey("followed", "ens3"): Followed("ens3", tuple(addresses), gateway)})


def test_a_followed_uplink_gets_routes_and_a_rule_and_nothing_of_its_own_is_touched():
    assert followed([(FIRST, 16)], GATEWAY) == {
        route("0.0.0.0/0", 33): RouteSpec("ens3", GATEWAY, FIRST),
        route("10.8.0.0/16", 33): RouteSpec("ens3", None, FIRST),
        RuleKey("", 11033, IPv4Network("10.8.0.5/32"), 33): RuleSpec(),
    }


def test_every_followed_address_has_a_rule_and_the_gateways_own_subnet_gives_the_source():
    wants = followed([(OTHER, 24), (FIRST, 16), (SECOND, 16)], GATEWAY)
    assert wants[route("0.0.0.0/0", 33)].source == FIRST
    assert wants[route("10.8.0.0/16", 33)].source == FIRST
    assert wants[route("192.0.2.0/24", 33)].source == OTHER
    assert {str(key.source) for key in wants if isinstance(key, RuleKey)} == {
        "10.8.0.5/32",
        "10.8.0.6/32",
        "192.0.2.5/32",
    }


def test_a_followed_uplink_without_gateway_is_a_path_to_its_segment():
    wants = followed([(FIRST, 16)])
    assert route("0.0.0.0/0", 33) not in wants
    assert route("10.8.0.0/16", 33) in wants
    facts = {FactKey("followed", "ens3"): Followed("ens3", ((FIRST, 16),))}
    assert FOLLOW.waits_for(facts) == ()


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (Followed("ens3", ((FIRST, 16),), IPv4Address("0.0.0.0")), RouteSpec("ens3", None, FIRST)),
        (
            Followed("ens3", ((FIRST, 16), (SECOND, 16)), GATEWAY, source=SECOND, mtu=1400),
            RouteSpec("ens3", GATEWAY, SECOND, 1400),
        ),
        (
            Followed("ens3", ((FIRST, 32),), ip_address("fe80::1")),
            RouteSpec("ens3", ip_address("fe80::1"), FIRST),
        ),
        (
            Followed("ens3", ((FIRST, 32),), ip_address("2001:db8::1"), on_link=True),
            RouteSpec("ens3", ip_address("2001:db8::1"), FIRST, on_link=True),
        ),
    ],
    ids=["by the device", "source and MTU", "IPv6 link-local", "IPv6 on the link"],
)
def test_the_default_of_a_followed_uplink_is_what_others_wrote(fact, expected):
    wants = {want.key: want.spec for want in FOLLOW.compile({FactKey("followed", "ens3"): fact})}
    assert wants[RouteKey("", 33, IPv4Network("0.0.0.0/0"))] == expected


@pytest.mark.parametrize("facts", [{}, {FactKey("followed", "ens3"): Followed("ens3")}], ids=["unseen", "no address"])
def test_a_followed_uplink_without_address_waits_for_one(facts):
    assert compiled(FOLLOW, facts) == {}
    assert FOLLOW.waits_for(facts) == ("an IPv4 address on ens3",)


# ── host, sysctl ──────────────────────────────────────────────────────────────


def test_the_host_makes_room_for_neighbours_and_leaves_larger_values_alone():
    wants = compiled(HostFragment(1000, ORIGIN), HOST)
    assert {key.path.rpartition("/")[2]: (spec.value, spec.at_least) for key, spec in wants.items()} == {
        "gc_thresh1": ("4000", True),
        "gc_thresh2": ("8000", True),
        "gc_thresh3": ("16000", True),
    }


def test_only_the_first_network_namespace_has_neighbour_thresholds():
    inner = {FactKey("host"): Host("x", neighbour_thresholds=False)}
    assert compiled(HostFragment(1000, ORIGIN), inner) == {}
    assert HostFragment(1000, ORIGIN).waits_for(inner) == ()


def test_sysctls_of_the_file_are_wanted_each_at_its_line():
    line = Origin('sysctl."net.ipv4.ip_forward"', 7)
    (want,) = SysctlFragment((("net/ipv4/ip_forward", "1", line),)).compile({})
    assert (want.key, want.spec, want.origin) == (SysctlKey("", "net/ipv4/ip_forward"), SysctlSpec("1"), line)


# ── IPv6 of our own links ─────────────────────────────────────────────────────


def test_implied_sysctls_of_ipv6_are_for_hosts_that_have_it():
    fragment = ImpliedFragment((("net/ipv6/conf/neo3/disable_ipv6", "1", ORIGIN), ("net/core/somaxconn", "9", ORIGIN)))
    assert compiled(fragment, HOST) == {
        SysctlKey("", "net/ipv6/conf/neo3/disable_ipv6"): SysctlSpec("1"),
        SysctlKey("", "net/core/somaxconn"): SysctlSpec("9"),
    }
    without = {FactKey("host"): Host("x", ipv6=False)}
    assert list(compiled(fragment, without)) == [SysctlKey("", "net/core/somaxconn")]
