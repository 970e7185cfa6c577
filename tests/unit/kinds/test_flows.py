"""Which tracked connections contradict rules: those that new rules would treat otherwise, and never those of others."""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from neod.model.flows import Addresses, Contradictions
from neod.model.nat import Dnat, Guard, Ruleset, SnatFrom, SnatTo
from neod.netlink.conntrack import Ends, TrackedFlow


@dataclass(frozen=True)
class Family:
    """One IP version: addresses of who takes part."""

    client: str
    uplink: str  # of eth0
    second: str  # of eth1
    target: str
    other: str
    inner: str
    subnet: str
    relay: str
    relay_source: str


FOUR = Family(
    "192.0.2.77",
    "192.0.2.1",
    "203.0.113.1",
    "198.51.100.10",
    "198.51.100.11",
    "10.254.0.2",
    "10.254.0.0/30",
    "203.0.113.11",
    "10.254.1.1",
)
SIX = Family(
    "2001:db8::77",
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db8:9::10",
    "2001:db8:9::11",
    "fd00:254::2",
    "fd00:254::/126",
    "2001:db8:f::11",
    "fd00:255::1",
)
FAMILIES = pytest.mark.parametrize("f", [FOUR, SIX], ids=["IPv4", "IPv6"])
UDP, TCP = 17, 6


def host(f):
    long, links = (24, 30) if f is FOUR else (64, 126)
    outer = ip_address(f.inner) - 1
    found = [("eth0", f.uplink, long), ("eth1", f.second, long), ("neo-px", str(outer), links), ("lo", "127.0.0.1", 8)]
    return Addresses(tuple((link, ip_address(ip), length) for link, ip, length in found))


def packed(ip):
    return ip_address(ip).packed


def flow(source, target, port=5000, *, to=None, to_port=None, by=None, protocol=UDP):
    asked = Ends(packed(source), 40000, packed(target), port)
    answered = Ends(packed(to or target), to_port or port, packed(by or source), 40000)
    return TrackedFlow(protocol, asked, answered, False, b"")


def condemned(f, one, now, *before):
    return Contradictions.between([Ruleset(tuple(rules)) for rules in before], Ruleset(tuple(now)), host(f))(one)


def expose(f, interface="eth0", **more):
    return Dnat("udp", 5000, 5010, ip_address(f.inner), interface=interface, **more)


def forward(to, by=None, port=None):
    return [
        Dnat("udp", 5000, 5000, ip_address(to), port),
        SnatTo("udp", port or 5000, port or 5000, ip_address(to), by),
    ]


@FAMILIES
def test_a_flow_that_began_before_its_rule_contradicts_it(f):
    early = flow(f.client, f.uplink)
    assert condemned(f, early, [expose(f)])
    assert condemned(f, early, forward(f.target))
    assert not condemned(f, flow(f.client, f.uplink, to=f.inner), [expose(f)])
    assert not condemned(f, flow(f.client, f.uplink, 53), [expose(f)])  # another port
    assert not condemned(f, flow(f.client, f.target), [expose(f)])  # it only passes through
    assert not condemned(f, flow(f.client, f.uplink, protocol=TCP), [expose(f)])


@FAMILIES
def test_a_rule_of_one_interface_says_nothing_of_flows_to_another_ones_address(f):
    assert not condemned(f, flow(f.client, f.second), [expose(f)])
    assert condemned(f, flow(f.client, f.second), [expose(f, interface="")])


@FAMILIES
def test_what_the_host_itself_sends_is_concerned_with_hairpin_alone(f):
    own = flow(f.second, f.uplink)
    assert not condemned(f, own, [expose(f, interface="")])
    assert condemned(f, own, [expose(f, interface="", hairpin=True)])


@FAMILIES
@pytest.mark.parametrize("port", [None, 6000])
def test_a_target_that_changed(f, port):
    old = flow(f.client, f.uplink, to=f.target, to_port=port, by=f.second)
    assert condemned(f, old, forward(f.other, port=port))
    assert condemned(f, old, forward(f.target, port=6001))
    assert not condemned(f, old, forward(f.target, port=port))


@FAMILIES
def test_a_rule_that_went_takes_its_flows_along_and_nobody_elses(f):
    ours, foreign = (flow(f.client, f.uplink, to=to, by=f.second) for to in (f.target, f.other))
    assert condemned(f, ours, [], forward(f.target))
    assert not condemned(f, foreign, [], forward(f.target))
    assert not condemned(f, ours, [])  # nothing says that it was ours


@FAMILIES
def test_a_source_that_changed(f):
    one, two = ip_address(f.uplink), ip_address(f.second)
    masqueraded, plain = flow(f.client, f.uplink, to=f.target, by=f.second), flow(f.client, f.uplink, to=f.target)
    assert condemned(f, masqueraded, forward(f.target, one))
    assert not condemned(f, masqueraded, forward(f.target, two))
    assert condemned(f, plain, forward(f.target))
    assert condemned(f, masqueraded, forward(f.target)[:1], forward(f.target))  # snat = "none" now
    assert not condemned(f, masqueraded, forward(f.target)[:1])  # somebody else's rule may have masqueraded it
    assert condemned(f, flow(f.client, f.uplink, to=f.target, by=f.other), forward(f.target))  # an address that went


@FAMILIES
def test_a_namespaces_own_connections(f):
    masquerade = [SnatFrom(ip_network(f.subnet), "eth0")]
    out, hidden = flow(f.inner, f.target), flow(f.inner, f.target, by=f.uplink)
    assert condemned(f, out, masquerade)
    assert not condemned(f, hidden, masquerade)
    assert condemned(f, hidden, [], masquerade)
    near = str(ip_address(f.second) + 9)
    assert not condemned(f, flow(f.inner, near), masquerade)  # leaves by eth1, whose rule it is not
    assert not condemned(f, flow(f.inner, f.uplink), masquerade)  # to the host itself
    assert not condemned(f, flow(f.client, f.target), masquerade)
    moved = [SnatFrom(ip_network(f.subnet), "eth1")]
    assert condemned(f, hidden, moved, masquerade)


@FAMILIES
def test_a_relays_packets_enter_the_namespace_from_another_source(f):
    rule = SnatFrom(ip_network(f.relay), "neo-px", ip_address(f.relay_source))
    rules = [expose(f), rule]
    assert condemned(f, flow(f.relay, f.uplink, to=f.inner), rules)
    assert not condemned(f, flow(f.relay, f.uplink, to=f.inner, by=f.relay_source), rules)
    assert condemned(f, flow(f.relay, f.uplink, to=f.inner, by=f.relay_source), [expose(f)], rules)
    assert not condemned(f, flow(f.relay, f.target), rules)  # it does not enter the namespace


@FAMILIES
def test_flows_that_no_rule_of_ours_ever_concerned_stay(f):
    others = [
        flow(f.client, f.uplink, 22, protocol=TCP),
        flow(f.client, f.uplink, 8080, to="172.17.0.2" if f is FOUR else "fd17::2"),
        flow("172.17.0.2" if f is FOUR else "fd17::2", f.target, by=f.uplink),
        flow(f.uplink, f.target),
        flow(f.client, f.uplink, 0, protocol=1),
    ]
    rules = [expose(f), SnatFrom(ip_network(f.subnet), "eth0")]
    assert not any(condemned(f, one, rules, [], rules[:1]) for one in others)


@FAMILIES
def test_what_a_guard_would_drop_and_began_while_it_was_away(f):
    behind = str(ip_address(f.second) + 9)
    guard = Guard(4 if f is FOUR else 6, ("eth0",), ("eth0", "eth1"), ("neo-px",))
    across, closed = flow(f.client, behind), flow(f.client, f.inner, 22)
    assert condemned(f, across, [guard])
    assert condemned(f, closed, [guard])
    assert condemned(f, flow(behind, f.inner, 22), [guard])  # nobody begins one that leads inside
    for passes in (
        flow(behind, f.client),  # comes in by an interface that others opened
        flow(f.target, behind),  # from far away: by that one, perhaps
        flow(f.client, behind, by=f.second),  # somebody else's translation
        flow(f.client, f.target),  # leaves by the route of whoever made it
        flow(f.client, f.uplink),
        flow(f.uplink, f.inner, 22),  # from the host itself
        flow(f.inner, behind),
    ):
        assert not condemned(f, passes, [guard])
    assert condemned(f, flow(f.target, behind), [Guard(guard.version, ("eth0", "eth1"), ("eth1",), ("neo-px",))])
    assert not condemned(f, across, [Guard(10 - guard.version, guard.entries, guard.exits)])
    assert not condemned(f, across, [])
