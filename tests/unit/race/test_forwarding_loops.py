"""What leads back to where a connection came in, and what only looks like it."""

import pytest

from neod.race.forwarding_loops import RaceNode, looping_targets

LOCAL = {"": {"10.0.0.1", "10.0.0.2", "fd00::1"}, "proxy": {"10.1.0.1"}}


def node(listens, *targets, listen_netns="", netns=""):
    return RaceNode(listens, listen_netns, targets, netns)


@pytest.mark.parametrize(
    ("listens", "target", "leads_back"),
    [
        pytest.param(("10.0.0.1", 80), ("10.0.0.1", 80), True, id="the same address and port"),
        pytest.param(("10.0.0.1", 80), ("10.0.0.1", 81), False, id="another port"),
        pytest.param(("10.0.0.1", 80), ("10.0.0.2", 80), False, id="another address"),
        pytest.param(("0.0.0.0", 80), ("10.0.0.2", 80), True, id="anywhere, and an address of this host"),
        pytest.param(("0.0.0.0", 80), ("127.0.0.5", 80), True, id="anywhere, and loopback"),
        pytest.param(("0.0.0.0", 80), ("192.0.2.1", 80), False, id="anywhere, and somebody else"),
        pytest.param(("::", 80), ("10.0.0.1", 80), True, id="anywhere in both families"),
        pytest.param(("fd00::1", 80), ("fd00:0::1", 80), True, id="the same, written differently"),
        pytest.param(None, ("10.0.0.1", 80), False, id="it does not listen yet"),
    ],
)
def test_a_race_knows_its_own_door(listens, target, leads_back):
    assert looping_targets({"r": node(listens, target)}, LOCAL)["r"] == (
        frozenset({target}) if leads_back else frozenset()
    )


def test_a_race_may_feed_another():
    nodes = {"a": node(("127.0.0.1", 1), ("127.0.0.1", 2)), "b": node(("127.0.0.1", 2), ("192.0.2.1", 9))}
    assert looping_targets(nodes, LOCAL) == {"a": frozenset(), "b": frozenset()}


def test_a_circle_of_three_is_cut_everywhere_and_nothing_else_is():
    nodes = {
        "a": node(("127.0.0.1", 1), ("127.0.0.1", 2), ("192.0.2.1", 9)),
        "b": node(("127.0.0.1", 2), ("127.0.0.1", 3)),
        "c": node(("127.0.0.1", 3), ("127.0.0.1", 1)),
        "d": node(("127.0.0.1", 4), ("127.0.0.1", 1)),
    }
    assert looping_targets(nodes, LOCAL) == {
        "a": frozenset({("127.0.0.1", 2)}),
        "b": frozenset({("127.0.0.1", 3)}),
        "c": frozenset({("127.0.0.1", 1)}),
        "d": frozenset(),
    }


def test_the_same_address_in_another_namespace_is_another_place():
    nodes = {"a": node(("10.0.0.1", 80), ("10.0.0.1", 80), netns="proxy")}
    assert looping_targets(nodes, LOCAL)["a"] == frozenset()
    nodes = {"a": node(("10.0.0.1", 80), ("10.0.0.1", 80), netns="proxy", listen_netns="proxy")}
    assert looping_targets(nodes, LOCAL)["a"] == frozenset({("10.0.0.1", 80)})


@pytest.mark.parametrize(("target", "leads_back"), [("10.0.0.2", False), ("10.1.0.1", True), ("127.0.0.1", True)])
def test_of_a_namespace_its_own_addresses_count(target, leads_back):
    nodes = {"a": node(("0.0.0.0", 80), (target, 80), netns="proxy", listen_netns="proxy")}
    assert bool(looping_targets(nodes, LOCAL)["a"]) is leads_back
