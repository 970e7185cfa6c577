"""Everything that ``ip`` can do to a host is undone, and nothing else is touched."""

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.lab import Campus, Snapshot, poll
from tests.lab.netns import inside

pytestmark = pytest.mark.kernel

WHO = re.compile(r"ip\[\d+\]|pid \d+ \(ended\)")
"""The kernel tells the process; its name is known only while it lives, and ip does not live long."""

N = 32


class Worn:
    """One campus for all these tests, each its own interface; a new one after a test that left it broken."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._campus: Campus | None = None

    def whole(self) -> Campus:
        """Return a campus that is converged."""
        if self._campus is not None and self._campus.converged():
            self.close()
        if self._campus is None:
            self._campus = campus = self._stack.enter_context(Campus(N))
            campus.host.write_config(campus.file())
            campus.host.start_neod()
            campus.wait_converged()
            campus.host.wait()
        return self._campus

    def close(self) -> None:
        """Take it away."""
        self._stack.close()
        self._campus = None


@pytest.fixture(scope="module")
def wardrobe(laboratory):
    """The place where the worn campus hangs between tests."""
    kept = Worn()
    yield kept
    kept.close()


@pytest.fixture
def worn(wardrobe):
    """A converged campus with 32 macvlans."""
    return wardrobe.whole()


def identities(seen: Snapshot) -> dict[str, tuple[str, str | None]]:
    """Return what must never change: MAC and address of every interface."""
    return {link.name: (link.mac, seen.address(link.name)) for link in seen.owned().links}


@dataclass(frozen=True)
class Drift:
    """One way to break interface *link*, whose address, table and network are filled in."""

    says: str
    link: str
    commands: tuple[str, ...]


DRIFTS = [
    Drift("link deleted", "neo1", ("link del {link}",)),
    Drift("link down", "neo2", ("link set {link} down",)),
    Drift("link renamed", "neo3", ("link set {link} name gone3",)),
    Drift("MAC changed", "neo4", ("link set {link} address 02:00:00:00:99:04",)),
    Drift("MTU changed", "neo5", ("link set {link} mtu 1280",)),
    Drift("mode changed", "neo6", ("link set {link} type macvlan mode vepa",)),
    Drift("addresses flushed", "neo7", ("address flush dev {link}",)),
    Drift("address deleted", "neo8", ("address del {address}/{prefix} dev {link}",)),
    Drift("address moved", "neo9", ("address del {address}/{prefix} dev {link}", "address add {address}/32 dev lo")),
    Drift("default route deleted", "neo10", ("route del default table {table}",)),
    Drift("subnet route deleted", "neo11", ("route del {network} table {table}",)),
    Drift("table flushed", "neo12", ("route flush table {table}",)),
    Drift("default route replaced", "neo13", ("route replace default via {nic} table {table} dev {link} proto 110",)),
    Drift("default route doubled", "neo14", ("route add default via {nic} table {table} metric 5 proto 110",)),
    Drift("rule deleted", "neo15", ("rule del from {address} table {table}",)),
    Drift("rule doubled", "neo16", ("rule add from {address} table {table} priority 900 proto 110",)),
    Drift(
        "rule moved",
        "neo17",
        ("rule del from {address} table {table}", "rule add from {address} table 33 priority 901 proto 110"),
    ),
    Drift("link down and up", "neo20", ("link set {link} down", "link set {link} up")),
]


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.says.replace(" ", "-"))
def test_drift_is_repaired(worn, drift):
    before = worn.wait_converged()
    names = {
        "link": drift.link,
        "address": before.address(drift.link),
        "table": worn.judge().wanted.table(drift.link),
        "prefix": worn.plan.network.prefixlen,
        "network": worn.plan.network,
        "nic": worn.plan.nic,
    }
    first, *rest = (command.format(**names).split() for command in drift.commands)
    worn.host.ip(*first)
    for command in rest:
        worn.host.ip_fails(*command)  # the repair may have come in between
    try:
        poll(lambda: not worn.converged() and identities(worn.host.look()) == identities(before), 10)
    except TimeoutError:
        assert (worn.converged(), identities(worn.host.look())) == ([], identities(before)), worn.host.tail()
    finally:
        if drift.says == "address moved":
            worn.host.ip("address", "del", f"{names['address']}/32", "dev", "lo")
    after = worn.host.look()
    untouched = [link for link in before.links if link.name != drift.link]
    assert set(untouched) <= after.links


def test_lifetime_that_was_cut_short_is_prolonged(worn):
    before = worn.wait_converged()
    address = before.address("neo19")
    lives = "valid_lft 4 preferred_lft 4"
    worn.host.ip(*f"address change {address}/{worn.plan.network.prefixlen} dev neo19 {lives}".split())
    poll(lambda: _lifetime(worn, "neo19") > 60, 15, why="neo19's lifetime is long again")
    assert identities(worn.wait_converged()) == identities(before)


def _lifetime(campus: Campus, name: str) -> int:
    return next((a.valid_s for a in campus.host.look().owned().addresses if a.link == name), 0)


def test_rename_is_undone_without_a_new_link(worn):
    before = worn.wait_converged().link("neo21")
    worn.host.ip("link", "set", "neo21", "down")
    worn.host.ip("link", "set", "neo21", "name", "other21")
    after = worn.wait_converged().link("neo21")
    assert after == before


def test_link_moved_to_another_namespace_comes_back(worn):
    before = worn.wait_converged()
    worn.host.ip("link", "set", "neo22", "netns", worn.lan)
    after = worn.wait_converged()
    assert identities(after) == identities(before)


def test_all_macvlans_deleted_together_come_back(worn):
    before = worn.wait_converged()
    worn.host.ip("link", "del", "group", "110")
    after = worn.wait_converged()
    assert identities(after) == identities(before)


def test_foreign_address_on_an_owned_link_stays(worn):
    worn.host.ip("address", "add", "192.0.2.23/24", "dev", "neo23")
    worn.host.ip("link", "set", "neo23", "down")
    worn.host.ip("address", "add", "192.0.2.24/24", "dev", "neo23")
    poll(lambda: _whole(worn, "neo23"), 10, why="neo23's routes are back")
    foreign = {a.ip for a in worn.host.look().addresses if a.link == "neo23" and a.protocol != 110}
    assert {"192.0.2.23", "192.0.2.24"} <= foreign
    worn.host.ip("address", "del", "192.0.2.23/24", "dev", "neo23")
    worn.host.ip("address", "del", "192.0.2.24/24", "dev", "neo23")
    worn.wait_converged()


def _whole(campus: Campus, name: str) -> bool:
    seen = campus.host.look()
    return seen.link(name).up and sum(route.link == name for route in seen.owned().routes) == 2


def test_sysctl_without_an_event_is_set_back(worn):
    with inside(worn.host.ns), open("/proc/sys/net/ipv4/conf/neo24/arp_ignore", "w") as file:
        file.write("0")
    poll(lambda: worn.host.sysctl("ipv4/conf/neo24/arp_ignore") == "1", 10, why="arp_ignore is 1 again")


def test_rules_flushed_come_back_and_foreign_ones_do_not(worn):
    before = worn.wait_converged()
    worn.host.ip("rule", "flush")
    after = worn.wait_converged()
    worn.host.ip("rule", "add", "from", "all", "table", "main", "priority", "32766")
    worn.host.ip("rule", "add", "from", "all", "table", "default", "priority", "32767")
    assert identities(after) == identities(before)
    assert after.owned().rules == before.owned().rules


def test_parent_down_and_up_leaves_everything(worn):
    before = worn.wait_converged()
    worn.host.ip("link", "set", worn.host.nic, "down")
    worn.host.ip("link", "set", worn.host.nic, "up")
    after = worn.wait_converged()
    assert identities(after) == identities(before)


def test_carrier_lost_and_back_leaves_everything(worn):
    before = worn.wait_converged()
    worn.carrier(False)
    poll(lambda: "NO-CARRIER" in worn.host.ip("link", "show", worn.host.nic), 5, why="no carrier")
    worn.carrier(True)
    after = worn.wait_converged()
    assert identities(after) == identities(before)


def test_parent_renamed_and_back_keeps_addresses(worn):
    before = worn.wait_converged()
    worn.host.ip("link", "set", worn.host.nic, "down")
    worn.host.ip("link", "set", worn.host.nic, "name", "elsewhere")
    worn.host.ip("link", "set", "elsewhere", "up")
    poll(lambda: worn.host.ctl("status").status == 1, 10, why="the missing parent shows")
    worn.host.ip("link", "set", "elsewhere", "down")
    worn.host.ip("link", "set", "elsewhere", "name", worn.host.nic)
    worn.host.ip("link", "set", worn.host.nic, "up")
    after = worn.wait_converged()
    assert identities(after) == identities(before)


def test_parent_deleted_and_back_brings_the_same_addresses(worn):
    before = worn.wait_converged()
    worn.unplug()
    poll(lambda: worn.host.ctl("status").status == 1, 10, why="the missing parent shows")
    worn.plug()
    after = worn.wait_converged(30)
    assert identities(after) == identities(before)


def test_repair_is_told_with_its_author_and_time(running):
    campus = running(2)
    rule = next(rule for rule in campus.host.look().owned().rules if rule.table == 2)
    campus.host.ip("rule", "del", "priority", str(rule.priority))
    campus.wait_converged()
    told = poll(lambda: _repairs(campus, "rule:"), 5, why="the repair is among the events")
    assert WHO.fullmatch(told[-1]["by"])
    assert told[-1]["drift"] == "missing"
    assert told[-1]["duration_ms"] > 0


def _repairs(campus: Campus, prefix: str) -> list[dict[str, object]]:
    answer = campus.host.ctl("events", "--json")
    assert answer.status == 0, answer
    records = [json.loads(line) for line in answer.out.splitlines()]
    return [record for record in records if record["drift"] and record["object"].startswith(prefix)]


def test_pause_observes_and_changes_nothing_until_resume(running):
    campus = running(2)
    assert campus.host.ctl("pause").status == 0
    campus.host.ip("route", "flush", "table", "2")
    status: Callable[[], dict[str, object]] = lambda: campus.host.ctl("status", "--json").json  # noqa: E731
    poll(lambda: not status()["converged"], 10, why="the drift shows while paused")
    assert campus.host.ctl("diff").status == 1
    assert campus.converged()
    assert campus.host.ctl("resume").status == 0
    campus.wait_converged()


def test_fight_slows_down_and_shows(running):
    """A program that undoes every repair is neither fought at full speed nor given up to."""
    campus = running(2)
    rule = next(rule for rule in campus.host.look().owned().rules if rule.table == 2)
    delete = ("rule", "del", "priority", str(rule.priority))
    for _ in range(2):
        campus.host.ip(*delete)
        campus.wait_converged()
    campus.host.ip(*delete)
    rows = poll(lambda: _drifts(campus, "contested"), 10, why="contested shows")
    assert rows[0]["object"].startswith("rule:")
    assert WHO.fullmatch(rows[0]["by"])
    assert rows[0]["next_attempt_s"] is not None
    campus.wait_converged(30)


def _drifts(campus: Campus, phase: str) -> list[dict[str, object]]:
    return [row for row in campus.host.ctl("status", "--json").json["drifts"] if row["phase"] == phase]
