"""A pair of neo-race makes any TCP program multipath: plain curl gets the sum of all addresses.

client namespace                                   server namespace
curl → neo-race ═ MPTCP over 10.94.0.1 … .8 ═ neo-race → an HTTP server
                    each address limited to 8 Mbit/s by the far end's htb
"""

import re
import socket
import time

import pytest
from tests.lab.netns import ip, ip_batch, run
from tests.netns.race_lab import KERNEL, Racer, Server, dial, namespace, read_all, run_in

pytestmark = KERNEL

ADDRESSES = [f"10.94.0.{n}" for n in range(1, 9)]
FAR = "10.94.0.100"
MBIT = 8


@pytest.fixture
def campus():
    with namespace("client") as client, namespace("server") as server:
        ip_batch(client, [f"link add up0 type veth peer name lan0 netns {server}"])
        ip_batch(client, [*(f"addr add {a}/24 dev up0" for a in ADDRESSES), "link set up0 up"])
        ip_batch(server, [f"addr add {FAR}/24 dev lan0", "link set lan0 up"])
        throttle(server)
        for ns in (client, server):
            ip(ns, "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        for address in ADDRESSES[1:]:
            ip(client, "mptcp", "endpoint", "add", address, "dev", "up0", "subflow")
        yield client, server


def throttle(ns):
    """One htb class an address, as the campus gateway has it."""
    lines = ["qdisc add dev lan0 root handle 1: htb default 99"]
    for n, address in enumerate(ADDRESSES, 1):
        lines.append(f"class add dev lan0 parent 1: classid 1:{n} htb rate {MBIT}mbit burst 15k")
        lines.append(f"qdisc add dev lan0 parent 1:{n} pfifo limit 50")  # a router's queue, not a second of it
        lines.append(f"filter add dev lan0 parent 1: protocol ip prio 1 u32 match ip dst {address}/32 flowid 1:{n}")
    run("ip", "netns", "exec", ns, "tc", "-batch", "-", stdin="\n".join(lines) + "\n")


def sent(ns):
    """Return the bytes that each address was sent."""
    text = run("ip", "netns", "exec", ns, "tc", "-s", "class", "show", "dev", "lan0").stdout
    return {int(n): int(total) for n, total in re.findall(r"class htb 1:(\d+) .*?Sent (\d+) bytes", text, re.DOTALL)}


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


def test_plain_curl_through_a_pair_gets_the_sum_of_eight_throttled_addresses(campus):
    client, server = campus
    size = 24_000_000
    with (
        Server(server, web(size), ("127.0.0.1", 0)) as site,
        Server(server, web(size // 16), (FAR, 0)) as direct,
        Server(server, web(size), (FAR, 0), proto=262) as able,
    ):
        far = f'[races.far]\nlisten = "{FAR}:4430"\nlisten_mptcp = true\nupstreams = ["{site.upstream}"]\n'
        keys = f'mptcp = true\nsources = ["{ADDRESSES[0]}"]\n'
        near = f'[races.near]\nlisten = "127.0.0.1:4430"\nupstreams = ["{FAR}:4430"]\n{keys}'
        with Racer(server, far), Racer(client, near) as racer:
            _, alone = curl(client, direct.address)
            limit = fetch(client, able.address)
            before = sent(server)
            got, together = curl(client, ("127.0.0.1", 4430))
            assert got == size
            assert racer.total("neo_race_won_total", protocol="mptcp") == 1
            used = {n: total - before[n] for n, total in sent(server).items() if n <= len(ADDRESSES)}
    print(f"Mbit/s: one address {alone:.1f}, a program with MPTCP {limit:.1f}, curl through the pair {together:.1f}")
    assert len(used) == 8
    assert min(used.values()) > size / 8 / 2, used
    assert together > 3 * alone
    assert together > limit / 3


def test_a_client_without_mptcp_support_on_the_way_still_gets_through(campus):
    """A middlebox that strips the option: the connection is plain TCP, and complete."""
    client, server = campus
    rules = "add table ip t; add chain ip t f { type filter hook input priority -300; };"
    rules += "add rule ip t f tcp option mptcp exists reset tcp option mptcp"
    stripped = run_in(server, "nft", rules)
    if stripped.returncode:
        pytest.skip("this kernel cannot strip a TCP option")
    size = 200_000
    with Server(server, web(size), ("127.0.0.1", 0)) as site:
        far = f'[races.far]\nlisten = "{FAR}:4430"\nlisten_mptcp = true\nupstreams = ["{site.upstream}"]\n'
        near = f'[races.near]\nlisten = "127.0.0.1:4430"\nmptcp = true\nupstreams = ["{FAR}:4430"]\nsources = "none"\n'
        with Racer(server, far), Racer(client, near) as racer:
            got, _ = curl(client, ("127.0.0.1", 4430))
            assert got == size
            assert racer.total("neo_race_won_total", protocol="tcp") == 1
