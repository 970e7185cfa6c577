"""The judge must be able to say no, and the lab must leave nothing behind."""

import json
import socket
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.lab import Campus, poll
from tests.lab.internet import SERVER, Internet
from tests.lab.netns import RUN_NETNS, argv_in, inside, run, sweep
from tests.lab.taps import Wire, Writes

pytestmark = pytest.mark.kernel

RAW_LIMIT = Path(__file__).resolve().parents[2] / "bench" / "rawlimit.py"


@pytest.fixture(scope="module")
def made_by_hand(laboratory):
    """A campus that a script without a daemon brought to life."""
    with Campus(4) as campus, Wire(campus.lan) as wire:
        argv = [sys.executable, "-I", "-S", str(RAW_LIMIT), campus.host.nic, "4", "0"]
        subprocess.run(argv_in(campus.host.ns, *argv), check=True, timeout=20)
        yield campus, wire.count()


def test_raw_limit_does_the_whole_job(made_by_hand):
    campus, wire = made_by_hand
    assert campus.converged() == []
    assert wire == {"DISCOVER": 4, "REQUEST": 4}


@pytest.mark.parametrize(
    ("destroy", "restore"),
    [
        ("link set neo1 down", "link set neo1 up"),
        ("link set neo1 mtu 1400", "link set neo1 mtu 1500"),
        ("link set neo1 group 7", "link set neo1 group 110"),
        ("link set neo1 type macvlan mode vepa", "link set neo1 type macvlan mode private"),
        ("link set neo1 name other", "link set other name neo1"),
        ("address add 10.8.0.77/16 dev neo2", "address del 10.8.0.77/16 dev neo2"),
        ("route add 192.0.2.0/24 dev neo2 table 9 proto 110", "route del 192.0.2.0/24 table 9"),
        ("rule add from 10.8.0.77 table 2 protocol 110", "rule del from 10.8.0.77 table 2"),
        ("rule del from {address} table 2", "rule add from {address} table 2 priority 11002 protocol 110"),
        ("route del default table 2", "route add default via 10.8.0.1 dev neo2 table 2 proto 110"),
    ],
)
def test_judge_sees_what_is_wrong_and_what_is_right_again(made_by_hand, destroy, restore):
    campus, _ = made_by_hand
    address = campus.host.look().address("neo2")
    if destroy == "link set neo1 down":  # the routes of a link that goes down do not come back by themselves
        restore_more = ["route add 10.8.0.0/16 dev neo1 table 1 proto 110 scope link src " + _address(campus, "neo1"),
                        "route add default via 10.8.0.1 dev neo1 table 1 proto 110"]  # fmt: skip
    else:
        restore_more = []
    campus.host.ip(*destroy.format(address=address).split())
    assert campus.converged()
    for command in (restore.format(address=address), *restore_more):
        campus.host.ip(*command.split())
    assert campus.converged() == []


def _address(campus: Campus, name: str) -> str:
    address = campus.host.look().address(name)
    assert address is not None
    return address


def test_snapshot_agrees_with_ip(made_by_hand):
    campus, _ = made_by_hand
    seen, ns = campus.host.look(), campus.host.ns
    links = json.loads(run("ip", "-n", ns, "-j", "-d", "link").stdout)
    assert {(link["ifname"], link["address"], link["ifindex"]) for link in links} == {
        (link.name, link.mac, link.index) for link in seen.links
    }
    addresses = json.loads(run("ip", "-n", ns, "-j", "address").stdout)
    assert {(a["ifname"], i["local"], i["prefixlen"]) for a in addresses for i in a["addr_info"]} == {
        (a.link, a.ip, a.prefix_length) for a in seen.addresses
    }
    rules = json.loads(run("ip", "-n", ns, "-j", "rule").stdout)
    assert {rule["priority"] for rule in rules} <= {rule.priority for rule in seen.rules}
    routes = json.loads(run("ip", "-n", ns, "-j", "-4", "route", "show", "table", "3").stdout)
    assert {(r["dst"], r["dev"], r.get("gateway", ""), r.get("prefsrc", "")) for r in routes} == {
        (r.dst, r.link, r.gateway, r.source) for r in seen.routes if r.table == 3
    }


def test_taps_count_what_others_write(made_by_hand):
    campus, _ = made_by_hand
    with Writes(campus.host.ns) as writes:
        campus.host.ip("route", "add", "192.0.2.0/24", "dev", "neo3", "table", "3")
        campus.host.ip("route", "del", "192.0.2.0/24", "table", "3")
        assert writes.count() == {"route": 1, "route-": 1}
        assert writes.count() == {}


def test_sweep_removes_what_a_dead_process_left(laboratory):
    script = (
        "import os, signal; from tests.lab import Campus; c = Campus(1).__enter__(); "
        "print(c.lan, c.host.ns, c.directory, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).resolve().parents[2]
    dead = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=30)
    lan, host, directory = dead.stdout.split()
    assert (RUN_NETNS / lan).exists() and (RUN_NETNS / host).exists()
    assert {lan, host, Path(directory).name} <= set(sweep())
    assert not any(path.exists() for path in (RUN_NETNS / lan, RUN_NETNS / host, Path(directory)))


def test_throttle_limits_each_address_by_itself(made_by_hand):
    """Three addresses send for the same time, two of them under a limit."""
    campus, _ = made_by_hand
    first, second, free = (_address(campus, f"neo{i}") for i in (1, 2, 3))
    with Internet(campus) as beyond:
        beyond.throttle([first, second], "5mbit")
        with ExitStack() as stack:
            flows = {
                source: stack.enter_context(Flow(campus.host.ns, beyond.ns, source)) for source in (first, second, free)
            }
            poll(lambda: flows[first].received > 300_000 and flows[second].received > 300_000, 20)
            moved = {source: flow.received for source, flow in flows.items()}
    assert moved[free] > 4 * max(moved[first], moved[second])
    assert max(moved[first], moved[second]) < 3 * min(moved[first], moved[second])


class Flow:
    """One TCP connection that sends as fast as it may, from a source address to the server."""

    def __init__(self, host: str, beyond: str, source: str) -> None:
        self.received = 0
        with inside(beyond):
            self._listener = socket.create_server((str(SERVER), 0))
        with inside(host):
            self._sender = socket.socket()
        self._sender.bind((source, 0))
        self._sender.connect(self._listener.getsockname())
        self._receiver, _ = self._listener.accept()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._receive)]

    def __enter__(self) -> "Flow":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in (self._sender, self._receiver):  # what is still queued need not arrive
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in (self._sender, self._receiver, self._listener):
            each.close()

    def _send(self) -> None:
        while not self._over.is_set():
            try:
                self._sender.send(bytes(16384))
            except OSError:
                return

    def _receive(self) -> None:
        with suppress(ConnectionResetError):
            while data := self._receiver.recv(65536):
                self.received += len(data)
