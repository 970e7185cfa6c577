"""A pair of neo-race makes any TCP program multipath: plain curl gets the sum of all addresses.

The rates themselves are for ``bench/race_pair.py``.
"""

import socket
import time

import pytest
from tests.lab.race.campus import ENTRANCE, FAR, campus, pair
from tests.lab.race.racer import KERNEL, Racer, Server, dial, read_all, run_in

pytestmark = KERNEL

MBIT = 4


@pytest.fixture
def lab():
    with campus(MBIT) as made:
        yield made


def web(size):
    """Return a server that answers any request with *size* bytes."""

    def serve(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    return serve


def curl(ns, where):
    """Return the rate at which curl received, in Mbit/s."""
    url = f"http://{where[0]}:{where[1]}/"
    done = run_in(ns, "curl", "-sS", "-o", "/dev/null", "-w", "%{size_download} %{speed_download}", url)
    assert done.returncode == 0, done.stderr
    size, speed = done.stdout.split()
    return int(size), float(speed) * 8 / 1e6


def fetch(ns, where):
    """Return the rate at which a program that speaks MPTCP itself receives, in Mbit/s."""
    with dial(ns, where, proto=262) as client:
        began = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return len(read_all(client)) * 8 / 1e6 / (time.monotonic() - began)


def test_plain_curl_through_a_pair_gets_the_sum_of_eight_throttled_addresses(lab):
    size = 12_000_000
    with (
        Server(lab.server, web(size), ("127.0.0.1", 0)) as site,
        Server(lab.server, web(size // 16), (FAR, 0)) as direct,
        Server(lab.server, web(size), (FAR, 0), proto=262) as able,
    ):
        near, far = pair(site.upstream)
        with Racer(lab.server, far), Racer(lab.client, near) as racer:
            _, alone = curl(lab.client, direct.address)
            limit = fetch(lab.client, able.address)
            before = lab.sent()
            got, together = curl(lab.client, ENTRANCE)
            assert got == size
            assert racer.total("neo_race_won_total", protocol="mptcp") == 1
            used = {address: total - before[address] for address, total in lab.sent().items()}
    print(f"Mbit/s: one address {alone:.1f}, a program with MPTCP {limit:.1f}, curl through the pair {together:.1f}")
    assert len(used) == 8
    assert min(used.values()) > size / 8 / 2, used
    assert together > 3 * alone
    assert together > limit / 3


def test_a_client_without_mptcp_support_on_the_way_still_gets_through(lab):
    """A middlebox that strips the option: the connection is plain TCP, and complete."""
    rules = "add table ip t; add chain ip t f { type filter hook input priority -300; };"
    rules += "add rule ip t f tcp option mptcp exists reset tcp option mptcp"
    stripped = run_in(lab.server, "nft", rules)
    if stripped.returncode:
        pytest.skip("this kernel cannot strip a TCP option")
    size = 200_000
    with Server(lab.server, web(size), ("127.0.0.1", 0)) as site:
        near, far = pair(site.upstream)
        with Racer(lab.server, far), Racer(lab.client, near) as racer:
            got, _ = curl(lab.client, ENTRANCE)
            assert got == size
            assert racer.total("neo_race_won_total", protocol="tcp") == 1
