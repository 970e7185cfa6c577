"""The DHCP client against real servers, on a real kernel: dnsmasq and kea."""

import shutil
import time
from ipaddress import IPv4Address, IPv4Network

import pytest
from tests.lab.dhcp_segment import SERVER_IP, Lab, mac_of, netns

from neod.dhcp.conflict_check import DECLINE_PAUSE_S
from neod.dhcp.packet import DECLINE, DISCOVER, REQUEST

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not shutil.which("dnsmasq") or not shutil.which("kea-dhcp4"), reason="needs dnsmasq and kea"),
]

SUBNET = IPv4Network("10.77.0.0/16")
SHORT = {  # a lease whose T1 comes soon; what is left is enough for the test
    "dnsmasq": {"options": ["--dhcp-option=option:T1,3", "--dhcp-option=option:T2,6"]},
    "kea": {"valid-lifetime": 60, "renew-timer": 3, "rebind-timer": 6},
}


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path) as lab:
        yield lab


@pytest.fixture(params=["dnsmasq", "kea"])
def server(request):
    return request.param


def ips(leases):
    return {link: lease["ip"] for link, lease in leases.items()}


def test_200_links_get_200_leases_with_two_requests_each(lab, server):
    links = lab.add_macvlans(200)
    lab.serve(server)
    sniffer = lab.sniff()
    client = lab.client(links)
    client.ready()
    leases = client.wait_bound()
    assert len(set(ips(leases).values())) == 200
    for lease in leases.values():
        assert IPv4Address(lease["ip"]) in SUBNET
        assert (lease["prefix_length"], lease["gateway"], lease["server"]) == (16, SERVER_IP, SERVER_IP)
    kinds = [request.kind for request in sniffer.requests()]
    assert (kinds.count(DISCOVER), kinds.count(REQUEST), len(kinds)) == (200, 200, 400)
    assert {request.flags for request in sniffer.requests()} == {b"\0\0"}, "no broadcast flag"
    counters = client.counters()
    assert (counters["malformed"], counters["dropped"], counters["send_errors"]) == (0, 0, 0)


def test_frames_are_those_of_an_rfc_2131_client(lab, server):
    links = lab.add_macvlans(1)
    lab.serve(server)
    sniffer = lab.sniff()
    client = lab.client(links)
    client.ready()
    lease = client.wait_bound()["m1"]
    discover, request = sniffer.requests()
    for sent in (discover, request):
        assert (sent.dst_mac, sent.src_mac) == ("ff:ff:ff:ff:ff:ff", mac_of(1))
        assert (str(sent.src), str(sent.dst), int(sent.ciaddr)) == ("0.0.0.0", "255.255.255.255", 0)
        assert sent.mac.hex(":") == mac_of(1)
        assert sent.options[61] == b"\x01" + sent.mac
    assert discover.xid == request.xid
    assert str(request.requested) == lease["ip"]
    assert request.options[54] == IPv4Address(SERVER_IP).packed
    arps = [frame for frame in sniffer.frames() if frame[12:14] == b"\x08\x06" and frame[6:12].hex(":") == mac_of(1)]
    probe, announcement = arps
    ip = IPv4Address(lease["ip"]).packed
    assert (probe[28:32], probe[38:42]) == (bytes(4), ip)
    assert (announcement[28:32], announcement[38:42]) == (ip, ip)


def test_a_restart_confirms_every_lease_and_discovers_nothing(lab, server):
    links = lab.add_macvlans(50)
    lab.serve(server)
    first = lab.client(links)
    first.ready()
    before = ips(first.wait_bound())
    first.terminate()
    sniffer = lab.sniff()
    second = lab.client(links)
    assert ips(second.wait_bound()) == before, "told before anything was asked"
    second.ready()
    for link in links:
        second.wait_state(link, "bound")
    assert ips(second.leases) == before
    assert [request.kind for request in sniffer.requests()] == [REQUEST] * 50
    assert all(54 not in request.options for request in sniffer.requests())


def test_after_kill_9_and_without_a_file_the_address_on_the_link_is_asked_for(lab, server):
    lab.add_macvlans(1)
    lab.serve(server)
    first = lab.client(["m1"])
    first.ready()
    before = first.wait_bound()["m1"]["ip"]
    first.kill()
    sniffer = lab.sniff()
    second = lab.client(["m1"], state=lab.directory / "other-state")
    second.ready(held=before)
    assert second.wait_bound()["m1"]["ip"] == before
    assert [request.kind for request in sniffer.requests()] == [REQUEST]


def test_a_renewal_is_unicast_and_answered_without_icmp(lab, server):
    links = lab.add_macvlans(3)
    lab.serve(server, **SHORT[server])
    sniffer = lab.sniff()
    client = lab.client(links)
    client.ready()
    leases = client.wait_bound()
    lab.give(leases)
    server_mac = netns.ip(lab.server, "-br", "link", "show", "srv0").split()[2]
    netns.poll(lambda: sum(request.ciaddr != IPv4Address(0) for request in sniffer.requests()) >= 3, 10)
    netns.poll(lambda: (client.poll(), len(client.events) >= 6)[1], 10, why="three leases extended")
    renewals = [request for request in sniffer.requests() if int(request.ciaddr)][:3]
    for renewal in renewals:
        link = f"m{renewal.mac[-1]}"
        assert (str(renewal.src), str(renewal.dst)) == (leases[link]["ip"], SERVER_IP)
        assert (renewal.dst_mac, renewal.src_mac) == (server_mac, mac_of(renewal.mac[-1]))
        assert not {50, 54} & renewal.options.keys()
    extended = {link: lease for _, link, lease in client.events[3:6]}
    assert ips(extended) == ips(leases)
    assert all(extended[link]["expires_at"] > leases[link]["expires_at"] for link in links)
    assert sniffer.icmp() == []


def test_a_dead_server_costs_no_lease_and_its_return_is_noticed(lab, server):
    links = lab.add_macvlans(20)
    process = lab.serve(server, **SHORT[server])
    client = lab.client(links[:10])
    client.ready()
    before = ips(client.wait_bound())
    lab.give(client.leases)
    lab.stop(process)
    client.want(links)
    client.ready()
    netns.poll(lambda: client.counters()["discovers"] >= 10 + 3 * 10, 20, why="the new links try in vain")
    assert ips(client.leases) == before
    lab.serve(server, **SHORT[server])
    leases = client.wait_bound(timeout_s=30)
    assert before.items() <= ips(leases).items()
    assert len(set(ips(leases).values())) == 20


def test_with_a_third_of_all_frames_lost_everybody_gets_a_lease(lab, server):
    """Lost in each direction: half of all exchanges fail. The bound is that of the slowest of 20 in bad luck."""
    links = lab.add_macvlans(20)
    lab.serve(server)
    lab.lose(30)
    client = lab.client(links)
    client.ready()
    leases = client.wait_bound(timeout_s=110)
    assert len(set(ips(leases).values())) == 20


def test_carrier_lost_and_back_confirms_the_leases(lab, server):
    links = lab.add_macvlans(5)
    lab.serve(server)
    client = lab.client(links)
    client.ready()
    before = ips(client.wait_bound())
    netns.ip(lab.server, "link", "set", "srv0", "down")
    client.call("carrier", False)
    assert {row["state"] for row in client.status().values()} == {"stopped"}
    netns.ip(lab.server, "link", "set", "srv0", "up")
    sniffer = lab.sniff()
    client.call("carrier", True)
    for link in links:
        client.wait_state(link, "bound")
    assert ips(client.leases) == before
    assert None not in [lease for _, _, lease in client.events]
    assert [request.kind for request in sniffer.requests()] == [REQUEST] * 5


def test_a_parent_that_was_recreated_is_served_again(lab, server):
    links = lab.add_macvlans(5)
    process = lab.serve(server)
    client = lab.client(links)
    client.ready()
    before = ips(client.wait_bound())
    netns.ip(lab.host, "link", "del", "up0")
    for link in links:
        client.call("gone", link)
    lab.stop(process)
    netns.poll(lambda: "cannot listen on up0" in client.call("degraded"), 10)
    lab.add_parent()
    netns.ip(lab.server, "addr", "add", f"{SERVER_IP}/16", "dev", "srv0")
    lab.add_macvlans(5)
    lab.serve(server)
    client.ready()
    for link in links:
        client.wait_state(link, "bound", 30)
    assert client.call("degraded") == ""
    if server == "dnsmasq":  # it chooses addresses by MAC; this kea has no memory
        assert ips(client.leases) == before


def test_an_address_that_another_host_uses_is_declined(lab, server):
    pools = {
        "dnsmasq": {"pool": "10.77.1.5,10.77.1.6,255.255.0.0,1h"},
        "kea": {"pool": "10.77.1.5 - 10.77.1.6"},
    }
    lab.add_macvlans(1)
    lab.serve(server, **pools[server])
    used = _offered(lab)
    netns.ip(lab.server, "addr", "add", f"{used}/16", "dev", "srv0")
    sniffer = lab.sniff()
    client = lab.client(["m1"])
    client.ready()
    begun = time.monotonic()
    lease = client.wait_bound(timeout_s=DECLINE_PAUSE_S + 10)["m1"]
    assert lease["ip"] != str(used)
    assert time.monotonic() - begun >= DECLINE_PAUSE_S
    (decline,) = sniffer.requests(DECLINE)
    assert (decline.requested, int(decline.ciaddr), str(decline.dst)) == (used, 0, "255.255.255.255")
    assert decline.options[54] == IPv4Address(SERVER_IP).packed


def _offered(lab):
    """Return the address that the server has in mind for m1."""
    client = lab.client(["m1"], state=lab.directory / "scout")
    sniffer = lab.sniff()
    client.ready()
    netns.poll(lambda: sniffer.requests(REQUEST), 10)
    client.kill()
    return sniffer.requests(REQUEST)[0].requested


@pytest.mark.parametrize("mode", ["private", "vepa", "bridge"])
def test_our_own_frames_coming_back_are_no_conflict(lab, mode):
    """A switch port in hairpin mode reflects every broadcast, our probes and announcements included."""
    links = lab.add_macvlans(20, mode=mode)
    netns.ip(lab.server, "addr", "flush", "dev", "srv0")
    netns.ip_batch(
        lab.server,
        [
            "link add br0 type bridge forward_delay 0",
            "link set srv0 master br0",
            "link set srv0 type bridge_slave hairpin on",
            "link set br0 up",
            f"addr add {SERVER_IP}/16 dev br0",
        ],
    )
    lab.serve("dnsmasq", link="br0")
    sniffer = lab.sniff()
    client = lab.client(links)
    client.ready()
    leases = client.wait_bound()
    lab.give(leases)
    client.call("guard", {link: [mac_of(int(link[1:])), lease["ip"]] for link, lease in leases.items()})
    own = bytes.fromhex(netns.ip(lab.host, "-br", "link", "show", "up0").split()[2].replace(":", ""))
    asked = own + b"\x08\x06"
    netns.poll(
        lambda: sum(frame[6:14] == asked for frame in sniffer.frames()) >= 2 * 20, 10, why="asked, and reflected"
    )
    reflected = [frame for frame in sniffer.frames() if frame[12:14] == b"\x08\x06"]
    assert len(reflected) >= 2 * 40, "every one of our ARP frames is seen twice on this port"
    assert client.counters()["conflicts"] == 0
    assert not [rest for name, rest in client.logs if name in ("cloned MAC", "address conflict")]


def test_renumbering_brings_the_new_addresses_before_the_old_ones_end(lab, server):
    """dnsmasq refuses the renewal of an address out of its range; kea keeps silent, and refuses INIT-REBOOT."""
    links = lab.add_macvlans(3)
    process = lab.serve(server, **SHORT[server])
    client = lab.client(links)
    client.ready()
    lab.give(client.wait_bound())
    lab.stop(process)
    pool = {"dnsmasq": "10.77.251.0,10.77.251.254,255.255.0.0,1h", "kea": "10.77.251.0 - 10.77.251.254"}
    lab.serve(server, pool=pool[server], **SHORT[server])
    if server == "kea":
        client.call("carrier", False)
        client.call("carrier", True)
    new = IPv4Network("10.77.251.0/24")
    client.wait(lambda leases: all(IPv4Address(lease["ip"]) in new for lease in leases.values()), 30)
    assert set(client.leases) == set(links)
    assert None not in [lease for _, _, lease in client.events], "the new replaced the old; none was withdrawn"


def test_an_uplink_leases_an_address_for_itself(lab, server):
    mac = netns.ip(lab.host, "-br", "link", "show", "up0").split()[2]
    lab.serve(server)
    client = lab.client(["up0"])
    client.call("ready", {"up0": mac}, None)
    lease = client.wait_bound()["up0"]
    assert IPv4Address(lease["ip"]) in SUBNET
    assert client.status("up0")["mac"] == mac
