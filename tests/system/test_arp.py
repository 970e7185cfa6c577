"""Who asks for an address of a macvlan gets the macvlan's MAC alone; every other address of the host goes on being
answered for by whatever interface it was answered for by.
"""

import contextlib
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import Campus, netns, poll
from tests.lab.campus import NIC_MAC
from tests.lab.netns import inside, run

pytestmark = pytest.mark.kernel

ETH_P_ARP = 0x0806
ON_LO, ELSEWHERE, ON_BRIDGE, SECOND_NIC = "10.8.0.50", "198.51.100.7", "10.8.0.60", "10.8.0.70"
SERVICES = (ON_LO, ELSEWHERE, ON_BRIDGE, SECOND_NIC)


def answers(ns: str, link: str, ip: str, wait_s: float = 0.25) -> set[str]:
    """Return the MACs that answer a request for *ip*."""
    with inside(ns):
        asker = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        asker.bind((link, ETH_P_ARP))
    with asker:
        mac, wanted, found = asker.getsockname()[4], socket.inet_aton(ip), set()
        body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, socket.inet_aton("10.8.0.1"), b"", wanted)
        asker.send(b"\xff" * 6 + mac + b"\x08\x06" + body)
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            asker.settimeout(left)
            with contextlib.suppress(TimeoutError):
                frame = asker.recv(64)
                if frame[20:22] == b"\0\2" and frame[28:32] == wanted:
                    found.add(frame[22:28].hex(":"))
    return found


def tables(ns: str) -> str:
    return run("ip", "netns", "exec", ns, "nft", "list", "ruleset").stdout


def nft(ns: str, commands: str) -> None:
    run("ip", "netns", "exec", ns, "nft", "-f", "-", stdin=commands)


def serve(campus: Campus) -> None:
    """Give the host addresses that the segment reaches by the NIC though they are on other links."""
    host = campus.host
    for command in (
        f"address add {ON_LO}/32 dev lo",
        f"address add {ELSEWHERE}/32 dev lo",
        "link add br9 type bridge",
        "link set br9 up",
        f"address add {ON_BRIDGE}/32 dev br9",
        "link add nic2 type veth peer name nic2p",
        "link set nic2 up",
        f"address add {SECOND_NIC}/24 dev nic2 noprefixroute",
    ):
        host.ip(*command.split())


def reached(campus: Campus) -> dict[str, set[str]]:
    return {ip: answers(campus.lan, "lan0", ip) for ip in SERVICES}


def by_macvlan(campus: Campus) -> dict[str, tuple[set[str], str]]:
    """Return who answers for the address of each macvlan, beside who should."""
    seen = campus.host.look()
    return {name: (answers(campus.lan, "lan0", seen.address(name)), seen.link(name).mac) for name in campus.names()}


def all_right(campus: Campus) -> bool:
    return all(found == {mac} for found, mac in by_macvlan(campus).values())


@pytest.fixture
def served(new_campus) -> Campus:
    campus = new_campus(3, quiet=True)
    serve(campus)
    return campus


def start(campus: Campus) -> None:
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.wait()


def test_addresses_on_other_links_are_reached_before_with_and_after_neod(served):
    host, settings = served.host, ("arp_ignore", "arp_announce", "arp_filter", "rp_filter")
    before = reached(served), [host.sysctl(f"ipv4/conf/{host.nic}/{name}") for name in settings]
    assert before[0] == {ip: {NIC_MAC} for ip in SERVICES}
    start(served)
    assert (reached(served), [host.sysctl(f"ipv4/conf/{host.nic}/{name}") for name in settings]) == before
    assert all_right(served)
    assert host.ctl("down").status == 0
    assert reached(served) == before[0]
    assert tables(host.ns) == ""


def test_address_that_somebody_adds_later_is_answered_for(served):
    start(served)
    served.host.ip("address", "add", "10.8.0.99/32", "dev", "lo")
    assert answers(served.lan, "lan0", "10.8.0.99") == {NIC_MAC}


def test_table_holds_the_addresses_as_they_come_and_go(new_campus):
    campus = new_campus(2, "scripted")
    campus.scripted.renew_s = 2
    start(campus)
    before = {campus.host.look().address(name) for name in campus.names()}
    campus.scripted.first += 7

    def moved() -> bool:
        now = {campus.host.look().address(name) for name in campus.names()}
        return not now & before and all(ip in tables(campus.host.ns) for ip in now)

    poll(moved, 20, why="new addresses, which are in the table")
    assert all_right(campus)
    poll(lambda: not before & set(re.findall(r"[0-9.]+", tables(campus.host.ns))), 5, why="the old ones are not")


@pytest.mark.parametrize(
    "breaks",
    [
        "flush ruleset",
        "delete table arp neo",
        "flush chain arp neo requests",
        "flush set arp neo addresses",
        "flush set arp neo nics",
    ],
)
def test_what_others_break_is_repaired_and_their_own_table_stays(served, breaks):
    start(served)
    nft(served.host.ns, breaks)
    nft(served.host.ns, "table arp theirs { chain in { type filter hook input priority 1; }; }")
    poll(lambda: all_right(served), 10, why="only the macvlans answer again")
    assert "table arp theirs" in tables(served.host.ns)
    assert served.host.ctl("down").status == 0
    left = tables(served.host.ns)
    assert "table arp theirs" in left
    assert "neo" not in left


def test_what_an_older_neo_set_on_the_nic_is_put_back_once(served, tmp_path):
    from tests.system.test_upgrade import Old

    host, old = served.host, Old(tmp_path)
    host.write_config(served.file())
    host.start_neod(command=old.neod)
    host.wait()
    assert reached(served)[ON_LO] == set()
    assert host.stop() == 0
    host.start_neod()
    host.wait()
    assert reached(served) == {ip: {NIC_MAC} for ip in SERVICES}
    assert all_right(served)
    with inside(host.ns):
        Path(f"/proc/sys/net/ipv4/conf/{host.nic}/arp_ignore").write_text("1")  # somebody's own wish, from now on
    assert host.ctl("apply").status == 0
    assert host.sysctl(f"ipv4/conf/{host.nic}/arp_ignore") == "1"


def test_host_asks_nobody_by_its_nic_in_the_name_of_a_macvlan(served):
    start(served)
    assert not asks_by_the_nic(served, "10.8.77.77")
    assert served.host.ctl("pause").status == 0
    nft(served.host.ns, "delete table arp neo")
    assert asks_by_the_nic(served, "10.8.77.78"), "without the table it does: the question is one that would be seen"


def asks_by_the_nic(campus: Campus, neighbour: str) -> bool:
    """Whether the first datagram from a macvlan's address to *neighbour* makes the NIC ask for it in that name."""
    host = campus.host
    address = host.look().address("neo1")
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f" s.setsockopt(1, 25, b'{host.nic}'); s.bind(('{address}', 0)); s.sendto(b'x', ('{neighbour}', 9))"
    )
    with inside(campus.lan):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        tap.bind(("lan0", ETH_P_ARP))
    senders = set()
    with tap:
        subprocess.run(netns.argv_in(host.ns, sys.executable, "-c", code), check=True)
        time.sleep(0.2)
        tap.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while frame := tap.recv(64):
                senders.add((frame[22:28].hex(":"), frame[28:32]))
    return (NIC_MAC, socket.inet_aton(address)) in senders


def test_asymmetric_traffic_that_worked_goes_on_working(served):
    """With rp_filter 0 a packet of a source without any route is taken: 2 on the NIC would drop it."""
    host = served.host
    host.ip("route", "del", "default")
    with inside(host.ns):
        for name in ("all", host.nic):
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    with taken(served) as count:
        assert count() == 1
        start(served)
        assert count() == 1


@contextlib.contextmanager
def taken(campus: Campus) -> Iterator:
    """Yield what sends a datagram from a source that the host has no route to, and counts how many arrive."""
    with inside(campus.host.ns):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((str(campus.plan.nic), 7777))
    receiver.settimeout(0.3)
    netns.ip(campus.lan, "address", "add", "192.0.2.77/32", "dev", "lan0")
    with inside(campus.lan):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind(("192.0.2.77", 0))

    def count() -> int:
        sender.sendto(b"x", (str(campus.plan.nic), 7777))
        with contextlib.suppress(TimeoutError):
            return len(receiver.recv(9))
        return 0

    with receiver, sender:
        yield count
