"""Who else has an address that a server gives, or that is in use: real ARP on a real segment."""

import os
import signal

import pytest
from tests.kernel.dhcp.test_dhcp_hostile import POOL, honest, hostile, ip_of
from tests.lab.arp import ArpHost
from tests.lab.dhcp_segment import Lab, mac_of, netns

from neod.dhcp.packet import DECLINE, DISCOVER, REQUEST

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

RIVAL = "02:aa:00:00:00:01"


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path) as lab:
        yield lab


def rival(lab, has=lambda ip: False, mac=RIVAL, delay_s=0.0):
    return lab.enter(ArpHost(lab.server, "srv0", mac, has, delay_s))


def text_of(ip):
    return f"10.77.1.{ip}"


def told(client, what):
    client.poll()
    return [rest for name, rest in client.logs if name == what]


def of_pool(ip):
    return str(ip).startswith("10.77.1.")


# ── one MAC that claims everything ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 8])
def test_a_mac_that_answers_for_everything_costs_no_lease_and_is_named(lab, count):
    links = lab.add_macvlans(count)
    proxy = rival(lab, has=of_pool)
    server = hostile(lab, honest)
    client = lab.client(links)
    client.ready()
    client.wait_bound()
    assert server.count(DECLINE) == 0, "the pool is left alone"
    ((_, sentence),) = told(client, "proxy ARP")
    assert RIVAL in sentence
    assert "proxy ARP" in client.call("degraded")
    assert len(proxy.asked) < 4 * count + 8


def test_a_restart_beside_it_interrupts_nothing(lab):
    links = lab.add_macvlans(3)
    rival(lab, has=of_pool)
    server = hostile(lab, honest)
    first = lab.client(links)
    first.ready()
    lab.give(first.wait_bound())
    first.terminate()
    second = lab.client(links)
    second.ready()
    for link in links:
        second.wait_state(link, "bound")
    netns.poll(lambda: told(second, "proxy ARP"), 5)
    assert None not in [lease for _, _, lease in second.events]
    assert server.count(DECLINE) == 0


def test_probe_off_asks_for_nothing(lab):
    lab.add_macvlans(1)
    proxy = rival(lab, has=lambda ip: True)
    hostile(lab, honest)
    client = lab.client([])
    client.call("want", ["m1"], "off")
    client.call("ready", {"m1": mac_of(1)}, None)
    client.wait(lambda leases: "m1" in leases)
    assert proxy.asked == []
    assert told(client, "proxy ARP") == []


# ── a real other host ──────────────────────────────────────────────────────────────────────────


def test_a_host_with_one_of_the_addresses_is_believed_and_named(lab):
    links = lab.add_macvlans(3)
    rival(lab, has=lambda ip: str(ip) == text_of(2))

    def serve(request):
        again = any(heard.kind == DECLINE and heard.mac == request.mac for heard in server.heard)
        return honest(request, ip=POOL + 50) if again else honest(request)

    server = hostile(lab, serve)
    client = lab.client(links)
    client.ready()
    assert {link: ip_of(lease) for link, lease in client.wait_bound(timeout_s=15).items()} == {
        "m1": 1,
        "m2": 50,
        "m3": 3,
    }
    ((link, sentence),) = told(client, "address declined")
    assert (link, sentence) == ("m2", f"another host, {RIVAL}, answers for {text_of(2)}")


def test_a_late_answer_withdraws_what_was_taken_while_we_were_away(lab):
    lab.add_macvlans(1)
    server = hostile(lab, honest)
    first = lab.client(["m1"])
    first.ready()
    first.wait_bound()
    first.terminate()
    rival(lab, has=of_pool_of_one, delay_s=0.5)
    second = lab.client(["m1"])
    second.ready()
    second.wait_state("m1", "bound")
    second.wait(lambda leases: not leases, 5, why="the other host answers after the ACK")
    (decline,) = [heard for heard in server.heard if heard.kind == DECLINE]
    assert str(decline.requested) == text_of(1)
    assert RIVAL in second.status("m1")["last_error"]


def of_pool_of_one(ip):
    return str(ip) == text_of(1)


def test_a_conflict_in_use_is_named_defended_and_over_when_it_is_over(lab):
    """Leased or static: what is on the link is guarded. Nothing is given up."""
    lab.add_macvlans(1)
    other = rival(lab, has=of_pool_of_one)
    client = lab.client([])
    client.call("guard", {"m1": [mac_of(1), text_of(1)]}, False)
    netns.poll(lambda: told(client, "address conflict"), 8)
    assert told(client, "address conflict") == [["m1", f"another host, {RIVAL}, answers for {text_of(1)}"]]
    assert client.call("trouble", "m1") == f"another host, {RIVAL}, answers for {text_of(1)}"
    sniffer = lab.sniff()
    netns.poll(lambda: (other.announce(text_of(1)), announcements(sniffer))[1], 8, 0.5, "the address is defended")
    other.announce(text_of(1))
    other.announce(text_of(1))
    assert len(announcements(sniffer)) == 1, "once in ten seconds"
    other.has = lambda ip: False
    client.call("release", "m1", text_of(1))
    client.call("guard", {"m1": [mac_of(1), text_of(1)]}, False)
    assert client.call("trouble", "m1") == ""


def announcements(sniffer):
    """Return our announcements."""
    arps = [frame for frame in sniffer.frames() if frame[12:14] == b"\x08\x06" and frame[6:12].hex(":") == mac_of(1)]
    return [frame for frame in arps if frame[28:32] == frame[38:42]]


def test_the_arp_of_others_is_dropped_by_the_kernel(lab):
    """Once nobody asks, only what names our addresses wakes the daemon."""
    lab.add_macvlans(1)
    other = rival(lab)
    client = lab.client([])
    client.call("guard", {"m1": [mac_of(1), text_of(1)]}, False)
    netns.poll(lambda: waiting(lab), 8, why="the guard listens")
    netns.poll(lambda: heard_asleep(lab, client, other, text_of(9)) == 0, 12, 0.5, "it hears no more than it needs")
    assert heard_asleep(lab, client, other, text_of(1)) > 0
    netns.poll(lambda: told(client, "address conflict"), 8)


def heard_asleep(lab, client, other, ip):
    """Return how many bytes of an announcement of *ip* wait for a client that is stopped."""
    client.process.send_signal(signal.SIGSTOP)
    try:
        other.announce(ip)
        return sum(waiting(lab))
    finally:
        client.process.send_signal(signal.SIGCONT)


def waiting(lab):
    """Return how many bytes wait in each socket for ARP (/proc/net/packet, Rmem)."""
    rows = netns.run(*netns.argv_in(lab.host, "cat", "/proc/net/packet")).stdout.splitlines()[1:]
    return [int(row.split()[6]) for row in rows if row.split()[3] == "0806"]


# ── a clone ────────────────────────────────────────────────────────────────────────────────────


def test_another_host_with_our_mac_is_named_and_nothing_is_declined(lab):
    """It is asked in the name of the parent: what it answers in our name would not reach us through a switch."""
    links = lab.add_macvlans(2)
    clone = rival(lab, mac=mac_of(1), has=of_pool_of_one)
    server = hostile(lab, honest)
    client = lab.client(links)
    client.ready()
    leases = client.wait_bound()
    lab.give(leases)
    client.call("guard", {link: [mac_of(int(link[1:])), lease["ip"]] for link, lease in leases.items()})
    netns.poll(lambda: told(client, "cloned MAC"), 10)
    ((link, sentence),) = told(client, "cloned MAC")
    assert (link, mac_of(1) in sentence) == ("m1", True)
    assert client.status("m1")["last_error"] == sentence
    assert client.status("m2")["last_error"] == ""
    assert server.count(DECLINE) == 0
    assert None not in [lease for _, _, lease in client.events]
    assert str(text_of(1)) in map(str, clone.asked)


# ── what this host has itself ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("holder", ["lo", "m2", "up0"])
def test_an_address_of_this_host_is_refused(lab, holder):
    lab.add_macvlans(2)
    netns.ip(lab.host, "link", "set", "lo", "up")
    netns.ip(lab.host, "addr", "add", f"{text_of(1)}/32", "dev", holder)
    hostile(lab, honest)
    client = lab.client(["m1"])
    client.ready()
    netns.poll(lambda: told(client, "address declined"), 10)
    assert told(client, "address declined") == [["m1", f"given {text_of(1)}, which {holder} of this host has"]]
    assert client.leases == {}


@pytest.mark.parametrize("answered", [DISCOVER, REQUEST], ids=["offer", "ack"])
def test_it_is_refused_in_the_offer_and_in_an_ack_that_changes_its_mind(lab, answered):
    lab.add_macvlans(1)
    netns.ip(lab.host, "link", "set", "lo", "up")
    netns.ip(lab.host, "addr", "add", f"{text_of(9)}/32", "dev", "lo")
    server = hostile(lab, lambda request: honest(request, ip=POOL + (9 if request.kind == answered else 1)))
    client = lab.client(["m1"])
    client.ready()
    netns.poll(lambda: server.count(DECLINE), 10)
    assert client.leases == {}
    assert "which lo of this host has" in client.status("m1")["last_error"]


def test_an_address_that_came_to_another_link_while_we_were_away_is_refused(lab):
    """INIT-REBOOT: the lease is on disk, and its address is on lo by now."""
    lab.add_macvlans(1)
    netns.ip(lab.host, "link", "set", "lo", "up")
    server = hostile(lab, honest)
    first = lab.client(["m1"])
    first.ready()
    first.wait_bound()
    first.terminate()
    netns.ip(lab.host, "addr", "add", f"{text_of(1)}/32", "dev", "lo")
    second = lab.client(["m1"])
    second.ready()
    netns.poll(lambda: server.count(DECLINE), 10)
    second.wait(lambda leases: not leases)


def test_our_own_address_on_our_own_link_is_confirmed(lab):
    lab.add_macvlans(1)
    server = hostile(lab, honest)
    first = lab.client(["m1"])
    first.ready()
    lab.give(first.wait_bound())
    first.kill()
    second = lab.client(["m1"])
    second.ready()
    second.wait_state("m1", "bound")
    assert server.count(DECLINE) == 0
