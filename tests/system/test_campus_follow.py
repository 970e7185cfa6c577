"""A NIC that somebody else configures: its address and gateway change under us, and neod goes with them."""

import pytest
from tests.lab import Campus, poll

pytestmark = pytest.mark.kernel

FILE = '[uplinks.ens3]\ntable = 33\nmptcp = []\n[macvlans.neo]\nparent = "ens3"\ncount = 2\nmptcp = []\n'


@pytest.fixture
def uplink(laboratory):
    """A campus host whose NIC has an address and a default route of somebody else's."""
    with Campus(2) as campus:
        campus.host.ip("address", "flush", "dev", "ens3")  # with it goes the route that the lab made
        campus.host.ip("address", "add", "10.8.250.5/16", "dev", "ens3")
        campus.host.ip("route", "add", "default", "via", "10.8.0.1", "dev", "ens3", "metric", "100")
        campus.host.write_config(FILE)
        campus.host.start_neod()
        campus.host.ready()
        yield campus


def table33(campus):
    return campus.host.ip("route", "show", "table", "33")


def rules(campus):
    return [line for line in campus.host.ip("rule").splitlines() if line.endswith("lookup 33 proto 110")]


def theirs(campus):
    return campus.host.ip("address", "show", "dev", "ens3"), campus.host.ip("route", "show", "table", "main")


def arrives(campus, *texts):
    poll(lambda: all(text in table33(campus) for text in texts), 5, why=f"table 33 has {texts}")


def test_the_uplinks_address_has_a_table_and_a_rule_of_its_own(uplink):
    arrives(uplink, "default via 10.8.0.1", "10.8.0.0/16", "src 10.8.250.5")
    assert [line.split()[2] for line in rules(uplink)] == ["10.8.250.5"]


def test_a_changed_address_is_followed_and_the_old_one_is_forgotten(uplink):
    arrives(uplink, "src 10.8.250.5")
    uplink.host.ip("address", "del", "10.8.250.5/16", "dev", "ens3")
    uplink.host.ip("address", "add", "10.8.250.6/16", "dev", "ens3")
    poll(lambda: [line.split()[2] for line in rules(uplink)] == ["10.8.250.6"], 5, why="the rule follows")


def test_a_changed_gateway_is_followed(uplink):
    arrives(uplink, "default via 10.8.0.1")
    uplink.host.ip("route", "replace", "default", "via", "10.8.0.77", "dev", "ens3", "metric", "100")
    arrives(uplink, "default via 10.8.0.77")


def test_nothing_of_the_uplink_is_ever_touched(uplink):
    arrives(uplink, "default via 10.8.0.1")
    before = theirs(uplink)
    assert uplink.host.ctl("down").status == 0
    assert theirs(uplink) == before
    assert rules(uplink) == []


def test_an_uplink_without_an_address_waits_and_holds_nothing_up(uplink):
    uplink.host.ip("address", "flush", "dev", "ens3")
    poll(lambda: not rules(uplink), 5, why="the rule goes")
    status = poll(lambda: _when_waiting(uplink), 10, why="the uplink waits")
    rows = {row["name"]: row["state"] for row in status["paths"]}
    assert rows == {"ens3": "blocked", "neo1": "in-sync", "neo2": "in-sync"}


def _when_waiting(campus):
    status = campus.host.ctl("status", "--json").json
    states = [row["state"] for row in status["paths"] if row["name"] != "ens3"]
    return status if states == ["in-sync"] * 2 else None
