"""A restart, an upgrade and a ``kill -9`` lose nothing: no lease, no address, no packet."""

import shutil
from ipaddress import IPv4Address

import pytest
from tests.lab import Campus, poll, rtnl
from tests.lab.probe import Echo, Probe
from tests.lab.rtnl import EVERYTHING, Rtnl
from tests.lab.taps import Wire, Writes

pytestmark = pytest.mark.kernel
IFA_LOCAL, IFA_LABEL = 2, 3


class Leased:
    """The addresses that the daemon has put on its links so far, by the kernel's announcements."""

    def __init__(self, campus: Campus) -> None:
        self._events = Rtnl(campus.host.ns, (rtnl.GROUP_ADDR4,))
        self._found: dict[str, str] = {}

    def addresses(self) -> dict[str, str]:
        """Return them by link."""
        for kind, _port, body in self._events.events():
            about = rtnl.attributes(body[8:])
            name = rtnl.text(about.get(IFA_LABEL))
            if kind == rtnl.NEWADDR and name.startswith("neo"):
                self._found[name] = str(IPv4Address(bytes(about[IFA_LOCAL])))
        return dict(self._found)


def end(campus: Campus, how: str) -> None:
    """End the daemon politely or not."""
    if how == "kill -9":
        campus.host.kill9()
    else:
        assert campus.host.stop() == 0


@pytest.mark.parametrize("how", ["SIGTERM", "kill -9"])
def test_restart_writes_nothing_and_asks_for_no_new_lease(running, how):
    campus = running(16)
    before = campus.host.look()
    with Writes(campus.host.ns) as writes, Wire(campus.lan) as wire:
        end(campus, how)
        campus.host.start_neod()
        campus.host.ready()
        campus.host.wait()
        assert writes.count() == {}
        assert wire.count()["DISCOVER"] == 0
    assert before.difference(campus.host.look()) == []


def test_no_probe_is_lost_over_restarts(running):
    campus = running(8)
    sources = [campus.host.look().address(name) for name in campus.names()]
    echo = Echo(campus.lan, str(campus.plan.gateway))
    try:
        with Probe(campus.host.ns, sources, str(campus.plan.gateway)) as probe:
            for how in ("SIGTERM", "kill -9", "SIGTERM"):
                end(campus, how)
                probe.goes_on()
                campus.host.start_neod()
                campus.host.ready()
                campus.host.wait()
                probe.goes_on()
            assert probe.finish() == []
    finally:
        echo.stop()


@pytest.mark.parametrize("after", [1, 5, 11, 16])
def test_killed_the_moment_an_address_appears_it_asks_for_no_other_lease(new_campus, after):
    """*after* counts the leased addresses in use then; their links go as well, so only the disk knows."""
    campus = new_campus(16)
    campus.host.write_config(campus.file())
    leased = Leased(campus)
    campus.host.start_neod()
    poll(lambda: len(leased.addresses()) >= after, 15, 0.0002, f"{after} addresses")
    campus.host.kill9()
    in_use, macs = leased.addresses(), {link.name: link.mac for link in campus.host.look().owned().links}
    campus.host.ip("link", "del", "group", "110")
    with Wire(campus.lan) as wire:
        campus.host.start_neod()
        now = campus.wait_converged()
        asked = {mac for kind, mac in wire.messages() if kind == "DISCOVER"}
    assert asked.isdisjoint({macs[name] for name in in_use})
    assert {name: now.address(name) for name in in_use} == in_use


def test_without_a_state_directory_the_addresses_on_the_links_are_asked_for(running):
    campus = running(6)
    before = {name: campus.host.look().address(name) for name in campus.names()}
    campus.host.kill9()
    shutil.rmtree(campus.host.state)
    with Wire(campus.lan) as wire:
        campus.host.start_neod()
        campus.host.ready()
        campus.host.wait()
        assert wire.count()["DISCOVER"] == 0
    after = campus.wait_converged()
    assert {name: after.address(name) for name in campus.names()} == before


@pytest.mark.parametrize("after", [1, 5, 20, 40, 60, 90])
def test_kill_in_the_middle_of_a_pass_and_start_again_converges(new_campus, after):
    """*after* counts the changes that the kernel announced when the daemon died."""
    campus = new_campus(16)
    campus.host.write_config(campus.file())
    with Rtnl(campus.host.ns, EVERYTHING) as events:
        campus.host.start_neod()
        seen = 0

        def enough() -> bool:
            nonlocal seen
            seen += len(events.events())
            return seen >= after

        poll(enough, 15, 0.0005, f"{after} changes")
        campus.host.kill9()
    half = {link.name: (link.mac, link.index) for link in campus.host.look().owned().links}
    campus.host.start_neod()
    whole = campus.wait_converged()
    campus.host.wait()
    assert half.items() <= {link.name: (link.mac, link.index) for link in whole.links}.items()


def test_drift_while_the_daemon_was_away_is_repaired_at_start(running):
    campus = running(6)
    before = campus.host.look()
    campus.host.kill9()
    campus.host.ip("link", "del", "neo1")
    campus.host.ip("route", "flush", "table", "2")
    campus.host.ip("address", "flush", "dev", "neo3")
    campus.host.ip("link", "set", "neo4", "down")
    campus.host.start_neod()
    after = campus.wait_converged()
    assert {n: after.address(n) for n in campus.names()} == {n: before.address(n) for n in campus.names()}
    assert {n: after.link(n).mac for n in campus.names()} == {n: before.link(n).mac for n in campus.names()}


def test_leases_survive_the_loss_of_all_links(running):
    """After a reboot the links are gone and the leases on disk are not: the same addresses are asked for."""
    campus = running(6)
    before = {name: campus.host.look().address(name) for name in campus.names()}
    campus.host.kill9()
    campus.host.ip("link", "del", "group", "110")
    campus.host.ip("rule", "flush")
    with Wire(campus.lan) as wire:
        campus.host.start_neod()
        after = campus.wait_converged()
        assert wire.count()["DISCOVER"] == 0
    assert {name: after.address(name) for name in campus.names()} == before


def test_corrupt_state_is_no_reason_to_stop(running):
    campus = running(3)
    campus.host.kill9()
    spoiled = [path for path in campus.host.state.rglob("*") if path.is_file()]
    assert spoiled
    for path in spoiled:
        path.write_bytes(b"\0\xff{ not what it was")
    campus.host.start_neod()
    campus.wait_converged()
    campus.host.wait()


def test_fewer_interfaces_in_the_file_than_at_the_last_life_are_removed(running):
    campus = running(5)
    campus.host.kill9()
    campus.host.write_config(campus.file(3))
    campus.host.start_neod()
    campus.wait_converged(judge=campus.judge(campus.names(3)))
