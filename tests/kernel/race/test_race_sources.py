"""Where connections start from: the host's paths, as the kernel and neod see them, and names as DNS has them."""

import socket
import struct
import threading

import pytest
from tests.lab import Campus
from tests.lab.netns import inside, ip_batch, namespace, poll
from tests.lab.race.racer import KERNEL, Racer, Server, dial, named, read_all

pytestmark = KERNEL

STAGGER = 'stagger = "250ms"'  # one source after the other, so that each can be seen


@pytest.fixture
def ns():
    with namespace("race") as name:
        yield name


def race(*upstreams, keys=STAGGER):
    listed = ", ".join(f'"{upstream}"' for upstream in upstreams)
    return f'[races.r]\nlisten = "127.0.0.1:4000"\nupstreams = [{listed}]\n{keys}\n'


def ask(ns, times=1):
    for _ in range(times):
        with dial(ns, ("127.0.0.1", 4000)) as client:
            assert read_all(client)


def told_sources(racer):
    records = racer.records("sources")
    return set(str(records[-1]["addresses"]).split(", ")) if records else set()


def test_auto_follows_the_addresses_of_the_paths_and_of_nothing_else(ns):
    paths = '[macvlans.neo]\nparent = "up0"\ncount = 2\nipv4 = "dhcp"\n'
    with namespace("far") as far:
        ip_batch(ns, [f"link add up0 type veth peer name lan0 netns {far}", "link set up0 up"])
        ip_batch(ns, ["addr add 10.89.0.1/24 dev up0", "link add neo1 link up0 type macvlan", "link set neo1 up"])
        ip_batch(far, ["addr add 10.89.0.100/24 dev lan0", "link set lan0 up"])
        with Server(far, named("x"), ("10.89.0.100", 443)) as server, Racer(ns, paths + race(server.upstream)) as racer:
            ask(ns)
            assert server.peers[-1][0] == "10.89.0.1"
            ip_batch(ns, ["addr add 10.89.0.11/24 dev neo1", "addr add 10.89.0.12/24 dev neo1"])
            poll(lambda: told_sources(racer) == {"10.89.0.11", "10.89.0.12"}, 5)
            server.peers.clear()
            ask(ns, 32)
            assert {host for host, _ in server.peers} == {"10.89.0.11", "10.89.0.12"}
            ip_batch(ns, ["addr del 10.89.0.12/24 dev neo1"])
            poll(lambda: told_sources(racer) == {"10.89.0.11"}, 5)
            ip_batch(ns, ["link set neo1 down"])
            poll(lambda: told_sources(racer) == {"left to the kernel"}, 5)
            ask(ns)


def test_auto_takes_from_neod_which_paths_are_ready():
    with Campus(3) as campus, Server(campus.lan, named("x"), (str(campus.plan.gateway), 443)) as server:
        campus.host.write_config(campus.file(more=race(server.upstream)))
        text = campus.file(more=race(server.upstream)).partition("[daemon]")[0]
        with Racer(campus.host.ns, text, runtime=campus.host.runtime) as racer:
            campus.host.start_neod()
            campus.wait_converged()
            leased = {a.ip for a in campus.host.look().addresses if a.link.startswith("neo") and ":" not in a.ip}
            assert len(leased) == 3
            poll(lambda: told_sources(racer) == leased, 15, why=f"the sources are {leased}")
            server.peers.clear()
            ask(campus.host.ns, 32)
            assert {host for host, _ in server.peers} == leased
            campus.host.kill9()  # what it said last stands
            ask(campus.host.ns, 3)
            assert {host for host, _ in server.peers} == leased


# ── names ───────────────────────────────────────────────────────────────────────────────────────


class Dns:
    """Answers A for one name, with addresses and a TTL that a test may change; has no AAAA."""

    def __init__(self, ns: str) -> None:
        with inside(ns):
            self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.53", 53))
        self.addresses, self.ttl_s, self.asked, self.mute = ["127.0.0.1"], 1, 0, False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Dns":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.sendto(b"", self._sock.getsockname())
        self._thread.join(5)
        self._sock.close()

    def _serve(self) -> None:
        while True:
            query, peer = self._sock.recvfrom(512)
            if not query:
                return
            if not self.mute:
                self._sock.sendto(self._answer(query), peer)

    def _answer(self, query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        wants_a = query[end - 4 : end - 2] == b"\0\1"
        found = self.addresses if wants_a else []
        self.asked += wants_a
        head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
        records = [struct.pack("!HHHIH", 0xC00C, 1, 1, self.ttl_s, 4) + socket.inet_aton(a) for a in found]
        return head + query[12:end] + b"".join(records)


@pytest.fixture
def resolv(tmp_path):
    """Return the command that gives a program a resolv.conf of its own."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.53\noptions timeout:1\n")
    return ("unshare", "-m", "sh", "-c", f'mount --bind {conf} /etc/resolv.conf && exec "$@"', "sh")


def test_a_name_is_asked_again_when_its_time_to_live_is_over(ns, resolv):
    with (
        Dns(ns) as dns,
        Server(ns, named("one"), ("127.0.0.1", 443)),
        Server(ns, named("two"), ("127.0.0.2", 443)) as two,
        Racer(ns, race("proxy.example:443"), wrap=resolv) as racer,
    ):
        ask(ns)
        dns.addresses = ["127.0.0.2"]
        poll(lambda: "127.0.0.2" in str(racer.records("resolved")[-1:]), 15, why="the name was asked again")
        ask(ns)
        assert len(two.peers) == 1
        dns.mute = True  # what was known stands
        poll(lambda: racer.records("cannot resolve"), 30)
        ask(ns)


def test_all_addresses_of_a_name_race(ns, resolv):
    with Dns(ns) as dns, Server(ns, named("one"), ("127.0.0.1", 443)):
        dns.addresses, dns.ttl_s = ["127.0.0.3", "127.0.0.4", "127.0.0.1"], 3600
        with Racer(ns, race("proxy.example:443", keys=""), wrap=resolv) as racer:
            ask(ns)
            poll(lambda: racer.metrics()['neo_race_candidates{race="r"}'] == 3, 5)
            assert dns.asked == 1


def test_a_client_waits_for_the_first_answer(ns, resolv):
    with Dns(ns) as dns, Server(ns, named("one"), ("127.0.0.1", 443)):
        dns.mute = True
        text = race("proxy.example:443", keys='timeout = "60s"')
        with Racer(ns, text, wrap=resolv) as racer, dial(ns, ("127.0.0.1", 4000), 60) as client:
            poll(lambda: racer.total("neo_race_connections_open") == 1, 5)
            dns.mute = False
            assert read_all(client) == b"one"


def test_in_another_namespace_its_own_addresses_lead_back_and_not_those_of_the_host(ns):
    with namespace("far") as far:
        ip_batch(ns, [f"link add up0 type veth peer name in0 netns {far}", "link set up0 up"])
        ip_batch(ns, ["addr add 10.89.0.1/24 dev up0"])
        ip_batch(far, ["addr add 10.89.0.2/24 dev in0", "link set in0 up"])
        file = f'[races.r]\nlisten = "0.0.0.0:4000"\nlisten_netns = "{far}"\nnetns = "{far}"\n'
        file += 'upstreams = ["10.89.0.1:4000", "10.89.0.2:4000"]\n'
        with Server(ns, named("x"), ("10.89.0.1", 4000)) as server, Racer(ns, file) as racer:
            poll(lambda: racer.records("listening"), 5)
            with dial(far, ("10.89.0.2", 4000)) as client:
                assert read_all(client) == b"x"
            assert [host for host, _ in server.peers] == ["10.89.0.2"]
            (record,) = racer.records("not an upstream: it leads back to this race")
            assert record["upstream"] == "10.89.0.2 port 4000"
