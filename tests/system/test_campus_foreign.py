"""What others made stays as it is, whatever neod does, and ``down`` takes away exactly what is owned."""

import pytest
from tests.lab import Campus, poll

pytestmark = pytest.mark.kernel

FOREIGN = [
    "link add mine1 link ens3 address 02:00:00:00:77:01 type macvlan mode private",
    "link set mine1 up",
    "address add 10.8.1.1/16 dev mine1 noprefixroute",
    "link add mine2 type bridge",
    "link set mine2 up",
    "address add 192.0.2.1/24 dev mine2",
    "route add 10.8.0.0/16 dev mine1 table 77 proto static",
    "route add default via 10.8.0.1 dev mine1 table 77 proto static",
    "route add 198.51.100.0/24 via 10.8.0.9 dev ens3",
    "route add 203.0.113.0/24 via 10.8.0.9 dev ens3 table 3 metric 7 proto bird",
    "rule add from 10.8.1.1 table 77 priority 11077",
    "rule add to 203.0.113.0/24 table 3 priority 500 proto static",
]


@pytest.fixture
def shared(new_campus) -> Campus:
    """A host with somebody else's macvlan, bridge, addresses, routes and rules on it, and neod not started."""
    campus = new_campus(4)
    for command in FOREIGN:
        campus.host.ip(*command.split())
    campus.host.write_config(campus.file())
    return campus


def test_foreign_objects_survive_start_repair_reload_and_down(shared):
    before = shared.host.look().foreign()
    host = shared.host

    def unchanged() -> list[str]:
        return before.difference(host.look().foreign())

    host.start_neod()
    shared.wait_converged()
    assert unchanged() == []
    host.ip("route", "flush", "table", "2")
    host.ip("link", "del", "neo4")
    shared.wait_converged()
    assert unchanged() == []
    host.write_config(shared.file(2))
    assert host.ctl("reload").status == 0
    shared.wait_converged(judge=shared.judge(shared.names(2)))
    assert unchanged() == []
    assert host.ctl("down").status == 0
    left = host.look()
    assert not any((left.owned().links, left.owned().addresses, left.owned().routes, left.owned().rules))
    assert unchanged() == []


def test_down_sets_sysctls_back_and_stays_down(shared):
    name = f"ipv4/conf/{shared.host.nic}/arp_ignore"
    before = shared.host.sysctl(name)
    shared.host.write_config(shared.file(more=f'[sysctl]\n"net.ipv4.conf.{shared.host.nic}.arp_ignore" = 1\n'))
    shared.host.start_neod()
    shared.wait_converged()
    shared.host.wait()
    assert shared.host.sysctl(name) == "1" != before
    assert shared.host.ctl("down").status == 0
    assert shared.host.sysctl(name) == before
    assert shared.host.ctl("status", "--json").json["mode"] == "down"
    assert not shared.host.look().owned().links


def test_stop_leaves_everything_and_on_stop_remove_takes_only_what_is_owned(shared):
    before = shared.host.look().foreign()
    host = shared.host
    host.start_neod()
    alive = shared.wait_converged()
    assert host.stop() == 0
    assert alive.difference(host.look()) == []
    host.write_config(shared.file(daemon='on_stop = "remove"'))
    host.start_neod()
    host.ready()
    host.wait()
    assert host.stop() == 0
    left = host.look()
    assert not any((left.owned().links, left.owned().addresses, left.owned().routes, left.owned().rules))
    assert before.difference(left.foreign()) == []


def test_stranger_with_a_wanted_name_is_a_conflict_and_is_left_alone(shared):
    host = shared.host
    host.ip("link", "add", "neo3", "type", "bridge")
    stranger = host.look().link("neo3")
    host.start_neod()
    others = shared.judge([name for name in shared.names() if name != "neo3"])
    poll(lambda: not others.missing(host.look()), 15, why="the others are converged")
    status = poll(lambda: _with_conflict(shared, "link:neo3"), 10, why="the conflict shows")
    assert status == 1
    assert host.look().link("neo3") == stranger
    host.ip("link", "del", "neo3")
    shared.wait_converged()


def test_a_route_replaced_under_a_running_neod_comes_back(shared):
    host = shared.host
    host.start_neod()
    shared.wait_converged()
    host.ip("route", "replace", "default", "via", "10.8.0.9", "dev", "neo2", "table", "2")
    poll(lambda: "via 10.8.0.1 " in host.ip("route", "show", "default", "table", "2"), 10, why="the route comes back")
    shared.wait_converged()


def test_foreign_route_that_neod_finds_in_the_place_of_its_own_is_a_conflict_until_it_goes(shared):
    host = shared.host
    host.start_neod()
    shared.wait_converged()
    host.stop()
    host.ip("route", "replace", "default", "via", "10.8.0.9", "dev", "neo2", "table", "2")
    host.start_neod()
    poll(lambda: _with_conflict(shared, "route:2/default"), 10, why="the conflict shows")
    assert "via 10.8.0.9" in host.ip("route", "show", "table", "2")
    assert "(via 10.8.0.9 dev neo2)" in " ".join(host.ctl("status").out.split())
    host.ip("route", "del", "default", "table", "2")
    shared.wait_converged()


@pytest.mark.parametrize("others", [3, 8])
def test_endpoints_of_others_that_leave_no_room_are_named_and_watched(new_campus, others):
    campus = new_campus(8)
    host = campus.host
    for number in range(1, others + 1):
        host.ip("mptcp", "endpoint", "add", f"172.16.0.{number}", "id", str(number), "subflow")
    host.write_config(campus.file().replace("mptcp = []", 'mptcp = ["subflow"]'))
    host.start_neod()
    campus.wait_converged()
    why = f"room for {others} more MPTCP endpoints: other programs have {others} of the kernel's 8 (172.16.0.1, "
    waits = poll(lambda: [row for row in host.ctl("status", "--json").json["drifts"] if row["object"] == "mptcp"], 10)
    assert waits[0]["waits_for"][0].startswith(why)
    assert host.ctl("status").status == 1
    host.ip("mptcp", "endpoint", "flush")
    poll(lambda: host.ip("mptcp", "endpoint", "show").count("10.8.") == 8, 15, why="all slots are used")


def _with_conflict(campus: Campus, key: str) -> int:
    """Return the exit status of ``status`` once it shows *key* as a conflict; 0 before."""
    answer = campus.host.ctl("status", "--json")
    if answer.status == 8:
        return 0
    shown = {row["object"] for row in answer.json["drifts"] if row["phase"] == "conflict"}
    return answer.status if key in shown else 0
