"""The DHCP client against a server that sends false replies, stalls, refuses and floods, on a real kernel."""

import contextlib
import os
import struct
import threading
import time
from ipaddress import IPv4Address

import pytest
from tests.doubles.dhcp_messages import answer, datagram
from tests.lab.dhcp_segment import SERVER_IP, Hostile, Lab, mac_of, netns

from neod.dhcp.packet import ACK, DECLINE, DISCOVER, NAK, OFFER, REQUEST

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

POOL = int(IPv4Address("10.77.1.0"))


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path) as lab:
        yield lab


def frame_to(request, kind, *, ip=None, xid=None, mac=None, checksum=None, **options):
    """Return the whole frame of an answer to *request*."""
    ip = POOL + request.mac[-1] if ip is None else ip
    xid = int.from_bytes(request.xid, "big") if xid is None else xid
    payload = answer(kind, xid=xid, ip=0 if kind == NAK else ip, mac=mac or request.mac, **options)
    whole = datagram(payload, dst=0xFFFFFFFF if kind == NAK else ip, checksum=checksum)
    return (b"\xff" * 6 if kind == NAK else request.mac) + whole[6:]


def honest(request, **options):
    """Answer as a server should."""
    kind = {DISCOVER: OFFER, REQUEST: ACK}.get(request.kind)
    return [frame_to(request, kind, **options)] if kind else []


def refusing(request):
    kind = {DISCOVER: OFFER, REQUEST: NAK}.get(request.kind)
    return [frame_to(request, kind)] if kind else []


def hostile(lab, script):
    return lab.enter(Hostile(lab, script))


def ip_of(lease):
    return int(IPv4Address(lease["ip"])) - POOL


def test_an_honest_script_is_served(lab):
    """The control: what the other tests break works as it is."""
    links = lab.add_macvlans(3)
    hostile(lab, honest)
    client = lab.client(links)
    client.ready()
    assert {link: ip_of(lease) for link, lease in client.wait_bound().items()} == {"m1": 1, "m2": 2, "m3": 3}


def _wrong(request):
    """Every lie about one request, with an address that must never be taken."""
    kind = {DISCOVER: OFFER, REQUEST: ACK}[request.kind]
    xid = int.from_bytes(request.xid, "big")
    lie = {"ip": POOL + 200}
    good = frame_to(request, kind, **lie)
    yield frame_to(request, kind, xid=xid ^ 1, **lie)
    yield frame_to(request, kind, mac=bytes.fromhex("024e0000ffff"), **lie)
    yield frame_to(request, kind, checksum=0x1234, **lie)
    yield frame_to(request, kind, o54=None, **lie)
    yield frame_to(request, kind, o53=None, **lie)
    yield frame_to(request, kind, o51=b"\xff\xff\xff", **lie)
    yield frame_to(request, kind, o61=b"\x01\x02\x03", **lie)
    yield frame_to(request, 9, **lie)
    yield good[:12] + b"\x81\x00\x00\x05" + good[12:]  # on VLAN 5
    yield good[:100]
    yield good[:20] + b"\x20\x00" + good[22:]  # a fragment
    yield good[:42] + os.urandom(len(good) - 42)


def test_false_replies_are_dropped_and_the_true_one_behind_them_is_taken(lab):
    links = lab.add_macvlans(5)
    server = hostile(lab, lambda request: [*_wrong(request), *honest(request)])
    client = lab.client(links)
    client.ready()
    leases = client.wait_bound()
    assert {link: ip_of(lease) for link, lease in leases.items()} == {f"m{n}": n for n in range(1, 6)}
    assert (server.count(DISCOVER), server.count(REQUEST), len(server.heard)) == (5, 5, 10), "no lie had an effect"
    counters = client.counters()
    assert counters["malformed"] >= 10 * 5, "an ACK need not say its server, but it has to give what was offered"
    assert counters["late"] == 10


def test_false_replies_alone_lead_to_no_lease(lab):
    lab.add_macvlans(1)
    server = hostile(lab, lambda request: list(_wrong(request)))
    client = lab.client(["m1"])
    client.ready()
    netns.poll(lambda: server.count(DISCOVER) >= 3, 10)
    assert client.leases == {}
    assert server.count(REQUEST) == 0


def test_one_refusal_is_followed_by_a_lease_within_two_seconds_on_the_servers_clock(lab):
    links = lab.add_macvlans(10)
    refused = set()

    def once(request):
        if request.kind == REQUEST and request.mac not in refused:
            refused.add(request.mac)
            return refusing(request)
        return honest(request)

    server = hostile(lab, once)
    client = lab.client(links)
    client.ready()
    client.wait_bound()
    assert (server.count(DISCOVER), server.count(REQUEST)) == (20, 20)


def test_a_server_that_always_refuses_is_asked_ever_more_rarely(lab):
    lab.add_macvlans(1)
    server = hostile(lab, refusing)
    client = lab.client(["m1"])
    client.ready()
    netns.poll(lambda: client.counters()["naks"] >= 4, 20)
    assert client.leases == {}
    status = client.status("m1")
    assert status["next_at"] - client.call("boottime") > 4
    assert "refused" in status["last_error"]
    assert server.count(REQUEST) == 4


def test_answers_that_come_late_are_taken(lab):
    links = lab.add_macvlans(5)

    def slow(request):
        server.later(2.5, *honest(request))
        return []

    server = hostile(lab, slow)
    client = lab.client(links)
    client.ready()
    client.wait_bound()
    assert server.count(DISCOVER) <= 5 * 4
    assert server.count(REQUEST) <= 5 * 4


def test_an_address_given_to_two_of_our_links_is_taken_by_one(lab):
    links = lab.add_macvlans(2)
    hostile(lab, lambda request: honest(request, ip=POOL + 7))
    client = lab.client(links)
    client.ready()
    client.wait_bound(1)
    netns.poll(lambda: client.counters()["refused"] >= 3, 20)
    (owner,) = client.leases
    loser = client.status("m2" if owner == "m1" else "m1")
    assert f"which {owner} has" in loser["last_error"]
    assert client.counters()["declines"] == 0, "declining would take the address from its owner"


@pytest.mark.parametrize(
    ("options", "lasts_s"),
    [
        pytest.param({"o51": bytes(4)}, 600, id="zero"),
        pytest.param({"o51": None}, 600, id="left out"),
        pytest.param({"o51": b"\0\0\0\x01"}, 10, id="one second"),
        pytest.param({"o51": b"\xff\xff\xff\xff"}, float("inf"), id="for ever"),
        pytest.param({"o58": b"\0\0\xff\xff", "o59": b"\0\0\0\x05"}, 3600, id="T1 after T2 after the end"),
    ],
)
def test_absurd_lease_times_are_put_right(lab, options, lasts_s):
    lab.add_macvlans(1)
    server = hostile(lab, lambda request: honest(request, **options))
    client = lab.client(["m1"])
    client.ready()
    lease = client.wait_bound()["m1"]
    assert lease["expires_at"] - lease["bound_at"] == pytest.approx(lasts_s)
    assert lease["bound_at"] < lease["renew_at"] <= lease["rebind_at"] <= lease["expires_at"]
    assert len(server.heard) == 2


def test_a_lease_of_one_second_is_renewed_at_a_bounded_rate(lab):
    lab.add_macvlans(1)
    server = hostile(lab, lambda request: honest(request, o51=b"\0\0\0\x01"))
    client = lab.client(["m1"])
    client.ready()
    begun = time.monotonic()
    netns.poll(lambda: server.count(REQUEST) >= 3, 20)
    assert time.monotonic() - begun >= 8, "two renewals, each at half of ten seconds"
    assert None not in [lease for _, _, lease in client.events]


def test_renumbering_by_renewal_swaps_the_lease(lab):
    lab.add_macvlans(1)
    move = threading.Event()

    def moving(request):
        times = {"o51": b"\0\0\x00\x3c", "o58": b"\0\0\0\x02", "o59": b"\0\0\0\x04"}
        if not move.is_set():
            return honest(request, **times)
        if int(request.ciaddr) == POOL + 1:
            return refusing(request)
        return honest(request, ip=POOL + 99, **times)

    hostile(lab, moving)
    client = lab.client(["m1"])
    client.ready()
    client.wait_bound()
    move.set()
    client.wait(lambda leases: ip_of(leases["m1"]) == 99, 15)
    assert None not in [lease for _, _, lease in client.events], "the old one held until the new one was there"


def test_a_lease_that_nobody_extends_ends_and_is_reported(lab):
    lab.add_macvlans(1)
    mute = threading.Event()
    hostile(lab, lambda request: [] if mute.is_set() else honest(request, o51=b"\0\0\0\x0a"))
    client = lab.client(["m1"])
    client.ready()
    lease = client.wait_bound()["m1"]
    mute.set()
    client.wait(lambda leases: not leases, 20)
    gone_at = client.events[-1][0]
    assert lease["expires_at"] <= gone_at < lease["expires_at"] + 0.5
    mute.clear()
    client.wait_bound()


def test_the_offer_of_a_second_server_does_not_win_over_the_last_one(lab):
    """A rogue answers first; the server of the lease is preferred when it must be asked again."""
    lab.add_macvlans(1)
    rogue = {"o54": IPv4Address("10.77.0.66").packed, "ip": POOL + 66}
    ended = threading.Event()

    def both(request):
        if int(request.ciaddr):
            return []  # so that the lease ends
        bait = [frame_to(request, OFFER, **rogue)] if ended.is_set() and request.kind == DISCOVER else []
        return [*bait, *honest(request, o51=b"\0\0\0\x0a")]

    hostile(lab, both)
    client = lab.client(["m1"])
    client.ready()
    client.wait_bound()
    netns.poll(lambda: client.status("m1")["state"] == "rebinding", 20)
    ended.set()
    client.wait(lambda leases: any(lease is None for _, _, lease in client.events) and leases, 20)
    assert ip_of(client.leases["m1"]) == 1
    assert [name for name, _ in client.logs if name == "dhcp.several_servers"] == ["dhcp.several_servers"]


def test_a_conflict_that_shows_before_the_ack_is_declined(lab):
    lab.add_macvlans(1)
    taken = IPv4Address(POOL + 1)
    netns.ip(lab.server, "addr", "add", f"{taken}/16", "dev", "srv0")

    def slow_ack(request):
        if request.kind == REQUEST:
            server.later(0.4, *honest(request, ip=int(request.requested)))
            return []
        tried = any(heard.kind == DECLINE for heard in server.heard)
        return honest(request, ip=POOL + 2) if tried else honest(request)

    server = hostile(lab, slow_ack)
    client = lab.client(["m1"])
    client.ready()
    netns.poll(lambda: server.count(DECLINE), 10)
    assert client.leases == {}
    assert "answers for 10.77.1.1" in client.status("m1")["last_error"]
    assert ip_of(client.wait_bound(timeout_s=15)["m1"]) == 2


def test_a_flood_of_answers_for_others_and_of_garbage_does_not_keep_leases_away(lab):
    links = lab.add_macvlans(100)
    hostile(lab, honest)
    stop = threading.Event()
    flood = threading.Thread(target=_flood, args=(lab, stop), daemon=True)
    client = lab.client(links)
    flood.start()
    try:
        netns.poll(lambda: client.counters()["foreign"] > 100, 5, why="the flood has begun")
        client.ready()
        client.wait_bound(timeout_s=60)
    finally:
        stop.set()
        flood.join(10)
    counters = client.counters()
    assert counters["late"] > 0, "answers to nothing"


def _flood(lab, stop):
    """Send answers for foreign clients, and broken ones for ours, as fast as one thread can."""
    import socket

    with netns.inside(lab.server):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind(("srv0", 0))
    ours = bytes.fromhex(mac_of(1).replace(":", ""))
    foreign = datagram(answer(ACK, mac=b"\x02\0\0\0\0\x09"))
    broken = datagram(answer(ACK, mac=ours, o1=b"\xff"))
    spoofed = datagram(answer(ACK, mac=ours, xid=12345))
    with contextlib.closing(sock):
        while not stop.is_set():
            for frame in (foreign,) * 30 + (broken, spoofed):
                with contextlib.suppress(OSError):
                    sock.send(b"\xff" * 6 + frame[6:])
            time.sleep(0.0005)


def test_after_a_sleep_of_the_machine_leases_are_confirmed(lab):
    links = lab.add_macvlans(5)
    server = hostile(lab, honest)
    client = lab.client(links)
    client.ready()
    client.wait_bound()
    asked = server.count(REQUEST)
    client.call("sleep", 100)
    netns.poll(lambda: server.count(REQUEST) == asked + 5, 15)
    for link in links:
        client.wait_state(link, "bound")
    assert server.count(DISCOVER) == 5


def test_without_a_server_a_restart_keeps_the_lease_where_the_gateway_answers(lab):
    """The same network: INIT-REBOOT goes unanswered, the gateway's ARP does not."""
    lab.add_macvlans(1)
    mute = threading.Event()
    server = hostile(lab, lambda request: [] if mute.is_set() else honest(request))
    first = lab.client(["m1"])
    first.ready()
    lease = first.wait_bound()["m1"]
    lab.give(first.leases)
    first.terminate()
    mute.set()
    second = lab.client(["m1"])
    second.ready()
    second.wait_state("m1", "bound", 20)
    assert second.leases["m1"] == lease
    assert server.count(DISCOVER) == 1


def test_without_server_and_gateway_a_restart_discovers_and_keeps_the_lease_meanwhile(lab):
    lab.add_macvlans(1)
    mute = threading.Event()
    server = hostile(lab, lambda request: [] if mute.is_set() else honest(request))
    first = lab.client(["m1"])
    first.ready()
    lease = first.wait_bound()["m1"]
    first.terminate()
    netns.ip(lab.server, "addr", "del", f"{SERVER_IP}/16", "dev", "srv0")
    mute.set()
    second = lab.client(["m1"])
    second.ready()
    second.wait_state("m1", "selecting", 20)
    assert second.leases["m1"] == lease
    assert server.count(DISCOVER) == 2


def test_a_datagram_to_port_68_provokes_no_icmp(lab):
    links = lab.add_macvlans(1)
    hostile(lab, honest)
    client = lab.client(links)
    client.ready()
    lab.give(client.wait_bound())
    sniffer = lab.sniff()
    payload = struct.pack("!I", 7) * 10
    script = f"printf '{payload.hex()}' | socat -u - UDP4-SENDTO:{client.leases['m1']['ip']}:{{}}"
    netns.run(*netns.argv_in(lab.server, "sh", "-c", script.format(68)))
    netns.run(*netns.argv_in(lab.server, "sh", "-c", script.format(69)))
    netns.poll(lambda: sniffer.icmp(), 5, why="an ICMP for port 69, which nobody holds: the control")
    ports = {struct.unpack("!H", frame[14 + 20 + 8 + 22 : 14 + 20 + 8 + 24])[0] for frame in sniffer.icmp()}
    assert ports == {69}
