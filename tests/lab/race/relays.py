"""The lab of the relays: three ways to one proxy, each slowed, silenced and refused in turn under load.

client ─ direct ─ proxy        each first hop can be made slow;
client ─ relay 1 ─ proxy       a relay forwards with DNAT and masquerading
client ─ relay 2 ─ proxy
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socket import socket

from tests.lab.netns import ip_batch, namespace, run
from tests.lab.race.paths import SlowPath
from tests.lab.race.racer import Racer, Server, dial, echo

PROXY = "10.95.9.9"
RATE = 200  # connections a second
WAYS = ("direct", "relay1", "relay2")
UPSTREAM = {"direct": f"{PROXY}:443", "relay1": "10.95.1.2:443", "relay2": "10.95.2.2:443"}
NAT = """
add table ip n
add chain ip n pre { type nat hook prerouting priority -100; }
add chain ip n post { type nat hook postrouting priority 100; }
add rule ip n pre tcp dport 443 dnat to 10.95.9.9
add rule ip n post masquerade
"""
TROUBLE = {
    "silent": "add rule ip t f ip daddr {host} tcp dport 443 drop",
    "refused": "add rule ip t f ip daddr {host} tcp dport 443 tcp flags & (syn|ack) == syn reject with tcp reset",
}


def nft(ns: str, text: str) -> None:
    """Put rules in place."""
    run("ip", "netns", "exec", ns, "nft", "-f", "-", stdin=text)


class Lab:
    """Client, two relays and the proxy, with a trouble-maker for each way."""

    def __init__(self, client: str, first_hops: dict[str, SlowPath]) -> None:
        self.client, self.first_hops = client, first_hops
        nft(client, "add table ip t\nadd chain ip t f { type filter hook output priority 0; }")

    @contextlib.contextmanager
    def trouble(self, way: str, kind: str) -> Iterator[None]:
        """Make one way slow (300 ms there and back), silent or refused."""
        if kind == "slow":
            self.first_hops[way].delay_s = 0.15
        else:
            nft(self.client, TROUBLE[kind].format(host=UPSTREAM[way].partition(":")[0]))
        yield
        self.first_hops[way].delay_s = 0.0
        nft(self.client, "flush chain ip t f")


@contextlib.contextmanager
def relays() -> Iterator[Lab]:
    """Make the namespaces, the relays and the proxy, and take them away."""
    with contextlib.ExitStack() as stack:
        client, proxy, *relays = (stack.enter_context(namespace(t)) for t in ("client", "proxy", "relay1", "relay2"))
        hops = {"direct": stack.enter_context(SlowPath("p0", (client, "10.95.0.1"), (proxy, "10.95.0.2"), 0))}
        ip_batch(proxy, [f"addr add {PROXY}/32 dev lo"])
        ip_batch(client, [f"route add {PROXY} via 10.95.0.2"])
        for n, relay in enumerate(relays, 1):
            ends = (client, f"10.95.{n}.1"), (relay, f"10.95.{n}.2")
            hops[f"relay{n}"] = stack.enter_context(SlowPath(f"r{n}", *ends, 0))
            ip_batch(relay, [f"link add up{n} type veth peer name down{n} netns {proxy}"])
            ip_batch(relay, [f"addr add 10.95.1{n}.1/24 dev up{n}", f"link set up{n} up"])
            ip_batch(proxy, [f"addr add 10.95.1{n}.2/24 dev down{n}", f"link set down{n} up"])
            ip_batch(relay, [f"route add {PROXY} via 10.95.1{n}.2"])
            run("ip", "netns", "exec", relay, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            nft(relay, NAT)
        with Server(proxy, echo, (PROXY, 443)):
            yield Lab(client, hops)


def file() -> str:
    """Return the file of a client that may take all three ways."""
    listed = ", ".join(f'"{UPSTREAM[way]}"' for way in WAYS)
    return f'[races.proxy]\nlisten = "127.0.0.1:4430"\nupstreams = [{listed}]\nsources = "none"\n'


def visit(ns: str) -> str:
    """Connect, say a word and hear it back; return what went wrong."""
    try:
        with dial(ns, ("127.0.0.1", 4430)) as client:
            client.sendall(b"hello")
            return "" if client.recv(5) == b"hello" else "ended early"
    except OSError as error:
        return str(error)


def crowd(ns: str, pool: ThreadPoolExecutor, seconds: float) -> tuple[list[str], int]:
    """Let clients come at a steady rate; return the visits that failed, and how many there were."""
    visits = []
    began = time.monotonic()
    while len(visits) < seconds * RATE:  # all of them, however late a slow machine is
        while len(visits) < min(seconds, time.monotonic() - began) * RATE:
            visits.append(pool.submit(visit, ns))
        time.sleep(0.002)
    return [wrong for visit in visits if (wrong := visit.result())], len(visits)


def story(racer: Racer) -> object:
    """Return what neo-race has to say about connections that failed."""
    ends = {name: value for name, value in racer.metrics().items() if "closed_total" in name or "lost" in name}
    return ends, racer.records("race lost")[:2], racer.records("a fault of neo-race")[:1]


def wins(racer: Racer) -> dict[str, float]:
    """Return how many races each way has won."""
    return {way: racer.total("neo_race_won_total", upstream=UPSTREAM[way]) for way in WAYS}


def speaks(client: socket) -> bool:
    """Whether an open connection still carries a byte there and back."""
    client.sendall(b"x")
    return client.recv(1) == b"x"


def opened_over(lab: Lab, racer: Racer, way: str) -> socket:
    """Open a connection while all other ways are slow, so that it goes over *way*."""
    with contextlib.ExitStack() as stack:
        for other in WAYS:
            if other != way:
                lab.first_hops[other].delay_s = 0.1
        before = wins(racer)[way]
        client = dial(lab.client, ("127.0.0.1", 4430))
        assert speaks(client)
        assert wins(racer)[way] == before + 1
        for hop in lab.first_hops.values():
            hop.delay_s = 0.0
        stack.pop_all()
    return client
