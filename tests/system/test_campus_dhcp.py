"""The DHCP server is dead, slow, refusing or renumbering; the host copes."""

import json
import time
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from tests.lab import Campus, ip, poll
from tests.lab.scripted import DISCOVER, REQUEST

pytestmark = pytest.mark.kernel
EARLIEST_S = (0, 0.75, 1.5, 3, 4.5, 7.5, 10.5, 17.5, 24.5)  # when the first, second ... DISCOVER may be sent


def test_dead_server_blocks_paths_and_nothing_else_and_its_return_is_noticed(new_campus):
    campus = new_campus(4, None)
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.ready()
    answer = poll(lambda: _blocked(campus, 4), 10, why="four paths wait for a lease")
    assert all(row["waits_for"] and all("lease" in word for word in row["waits_for"]) for row in answer)
    campus.start_server("dnsmasq")
    campus.wait_converged(25)


def _blocked(campus: Campus, n: int) -> list[dict[str, list[str]]]:
    rows = [row for row in campus.host.ctl("status", "--json").json["drifts"] if row["phase"] == "blocked"]
    return rows if len(rows) == n else []


def test_server_that_dies_takes_no_address_with_it(running):
    campus = running(4, "scripted")
    before = campus.host.look()
    campus.scripted.mute = True
    campus.carrier(False)
    poll(lambda: "NO-CARRIER" in campus.host.ip("link", "show", campus.host.nic), 5, why="no carrier")
    campus.carrier(True)
    poll(lambda: campus.scripted.count(REQUEST) > 4, 15, why="the client asks whether the lease still holds")
    after = campus.wait_converged()
    assert before.owned().addresses == after.owned().addresses
    assert before.owned().rules == after.owned().rules


def test_slow_server_is_waited_for(new_campus):
    campus = new_campus(8, "scripted")
    campus.scripted.delay_s = 1.5
    campus.host.write_config(campus.file())
    begun = time.monotonic()
    campus.host.start_neod()
    campus.wait_converged(30)
    for mac in campus.scripted.senders(DISCOVER):
        seen_at = [m.at - begun for m in campus.scripted.saw if m.mac == mac and m.type == DISCOVER]
        allowed = sum(earliest_s <= seen_at[-1] for earliest_s in EARLIEST_S)
        assert len(seen_at) <= allowed, f"a slow server is not hurried: {mac} {seen_at}"


def test_one_refusal_each_at_start_leads_to_another_lease(new_campus):
    campus = new_campus(4, "scripted")
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.wait_converged()
    macs = {link.mac for link in campus.host.look().owned().links}
    campus.host.kill9()
    campus.host.ip("link", "del", "group", "110")
    campus.scripted.refuse_once = set(macs)
    since = time.monotonic()
    campus.host.start_neod()
    poll(lambda: macs == campus.scripted.senders(DISCOVER, since), 25, why="who was refused looks for another lease")
    campus.wait_converged(25)


def test_server_that_always_refuses_is_asked_at_a_bounded_rate(new_campus):
    campus = new_campus(4, "scripted")
    campus.scripted.refuse = True
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.ready()
    poll(lambda: campus.scripted.count(REQUEST) >= 4, 15, why="every client was refused once")
    since = time.monotonic()
    time.sleep(3)
    tries = campus.scripted.types(since).total()
    assert tries <= 4 * 2 * (time.monotonic() - since) + 8, "more than one try a second each"
    campus.scripted.refuse = False
    campus.wait_converged(75)


def test_renumbering_at_renewal_brings_the_new_in_and_takes_the_old_out(new_campus):
    campus = new_campus(4, "scripted")
    campus.scripted.renew_s = 3
    campus.scripted.rebind_s = 6
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    before = campus.wait_converged()
    campus.scripted.first += 1000
    campus.wait_converged(40, _other_addresses(campus, before))
    assert {link.name: link.mac for link in campus.host.look().owned().links} == {
        link.name: link.mac for link in before.owned().links
    }


def _other_addresses(campus: Campus, before):
    judge = campus.judge()
    first = campus.plan.network[campus.plan.first + 1000]
    judge.wanted = replace(judge.wanted, pool=(first, judge.wanted.pool[1]))
    return judge


def test_renewal_with_another_gateway_moves_the_default_route_without_a_gap(new_campus):
    campus = new_campus(3, "scripted")
    campus.scripted.renew_s = 3
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    before = campus.wait_converged()
    gateway = campus.plan.network[2]
    campus.scripted.gateway = gateway
    judge = campus.judge()
    judge.wanted = replace(judge.wanted, gateway=gateway)
    after = campus.wait_converged(20, judge)
    assert before.owned().addresses == after.owned().addresses
    assert before.owned().links == after.owned().links


def test_a_pause_longer_than_the_lease_keeps_the_address_while_the_server_renews_it(new_campus):
    campus = new_campus(1, "scripted")
    campus.scripted.lease_s, campus.scripted.renew_s = 40, 6
    campus.host.write_config(campus.file() + f'[uplinks.{campus.host.nic}]\nipv4 = "dhcp"\ntable = 99\n')
    campus.host.start_neod()
    poll(lambda: len(_seconds_left(campus)) == 2, 10, why="macvlan and uplink have their addresses")
    campus.host.ctl("pause")
    poll(lambda: min(_seconds_left(campus).values()) < 36, 10, why="the leases run")
    poll(lambda: min(_seconds_left(campus).values()) > 36, 10, why="both are prolonged in the kernel")
    campus.scripted.mute = True
    campus.host.ip("rule", "del", "table", "1")
    poll(lambda: "rule:11001" in campus.host.ctl("status").out, 5, why="the drift is seen")
    assert "lookup 1" not in campus.host.ip("rule", "show"), "and nothing else is changed"


def _seconds_left(campus: Campus) -> dict[str, int]:
    """Return how long the kernel will keep each leased address."""
    links = json.loads(campus.host.ip("-json", "-4", "address", "show"))
    return {
        link["ifname"]: one["valid_life_time"]
        for link in links
        for one in link["addr_info"]
        if one["valid_life_time"] < 1000
    }


def test_another_network_after_the_carrier_was_gone(running):
    """The host is plugged in elsewhere: what it had is refused there, and it takes what is given."""
    campus = running(3, "scripted")
    network = IPv4Network("10.9.0.0/16")
    campus.carrier(False)
    poll(lambda: "NO-CARRIER" in campus.host.ip("link", "show", campus.host.nic), 5, why="no carrier")
    campus.stop_server()
    ip(campus.lan, "address", "flush", "dev", "lan0")
    ip(campus.lan, "address", "add", "10.9.0.1/16", "dev", "lan0")
    campus.plan = replace(campus.plan, network=network)
    campus.start_server("scripted")
    campus.carrier(True)
    campus.wait_converged(40)


def test_kea_and_dnsmasq_take_turns(running):
    """Another server takes over the same network: leases are asked for again and the host converges."""
    campus = running(4, "kea")
    campus.stop_server()
    campus.host.stop()
    campus.start_server("dnsmasq")
    campus.host.start_neod()
    campus.wait_converged(25)
