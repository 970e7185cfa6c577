"""A running 0.1.0 is replaced by this version, and back: connections and leases stay.

What 0.1.0 did not have is written: the rules that lead answers, the guard of forwarding beside the translation, and
forwarding by interface in place of that for the host.

``release/neod-0.1.0.tar.xz`` holds the source of the release as it was published.
"""

import json
import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.lab import poll
from tests.lab.netns import delete, inside, run
from tests.lab.taps import Wire, Writes

pytestmark = pytest.mark.kernel

RELEASE = Path(__file__).with_name("release") / "neod-0.1.0.tar.xz"
COUNT = 8
EVERY_ROLE = """
[uplinks.ens3]
table = 33
mptcp = ["subflow"]

[macvlans.neo]
parent = "ens3"
count  = {count}
mptcp  = ["subflow"]

[mptcp]
path_manager = "kernel"

[sysctl]
"net.ipv4.tcp_slow_start_after_idle" = 0

[nat]
backend = "{backend}"

[forwards.web]
protocol = "tcp"
ports    = [8443]
to       = "198.51.100.10:443"
snat     = "masquerade"

[namespaces."{netns}"]
uplink = "ens3"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]
masquerade = true
relay_addresses = ["203.0.113.11", "203.0.113.12"]
relay_link = "bridge"
relay_snat = "10.254.1.0/24"
mptcp = ["signal"]
"""


class Old:
    """The release: its programs, run from the unpacked source by the interpreter that runs us."""

    def __init__(self, directory):
        with tarfile.open(RELEASE) as archive:
            archive.extractall(directory, filter="data")
        self.source = directory / "neod-0.1.0" / "src"

    def command(self, module):
        return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(self.source)!r}); "
                f"from {module} import main; sys.exit(main())"]  # fmt: skip

    @property
    def neod(self):
        return self.command("neod.__main__")

    def ctl(self, host, *argv):
        command = [*self.command("neod.cli.main"), "--runtime-dir", str(host.runtime), *argv]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return Old(tmp_path_factory.mktemp("release"))


@pytest.fixture(params=["nftables", "iptables"])
def host(new_campus, request):
    """A campus host that is relay and proxy server too, with nothing running on it yet."""
    campus = new_campus(COUNT)
    host = campus.host
    netns = f"{host.ns}-in"
    host.write_config(EVERY_ROLE.format(count=COUNT, backend=request.param, netns=netns))
    host.inner = netns
    host.lan, host.nic_address = campus.lan, str(campus.plan.nic)
    yield host
    host.kill9()
    delete(netns)


def translation(netns):
    """Return the rules with their handles, which change when a rule is written again, but without counters."""
    handles = run("ip", "netns", "exec", netns, "nft", "-a", "-s", "list", "ruleset", check=False).stdout
    legacy = run("ip", "netns", "exec", netns, "iptables-legacy-save", check=False).stdout
    return handles, [line.split("[")[0] for line in legacy.splitlines() if not line.startswith("#")]


def everything(host):
    """Return what must not change: the endpoints of both namespaces, and the addresses inside."""
    endpoints = [run("ip", "-n", ns, "mptcp", "endpoint", "show").stdout for ns in (host.ns, host.inner)]
    return endpoints, poll(lambda: settled_addresses(host.inner), 10, why="addresses are settled")


def settled_addresses(netns):
    """Return the addresses; nothing while the kernel still looks whether another host has one of them."""
    shown = run("ip", "-n", netns, "-o", "address", "show").stdout
    return "" if " tentative" in shown else shown


class Visitor:
    """A connection from the LAN to what the namespace exposes."""

    def __init__(self, host):
        with inside(host.inner):
            listener = socket.create_server(("10.254.0.2", 443))
        with listener:
            with inside(host.lan):
                self.client = socket.create_connection((host.nic_address, 443), 5)
            self.server = listener.accept()[0]

    def is_answered(self):
        self.client.settimeout(5)
        self.client.sendall(b"?")
        self.server.sendall(self.server.recv(1))
        return self.client.recv(1) == b"?"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.close()


def more_than_answers(objects, other):
    """Return what differs but for the rules that lead answers and exits, and the IPv6 that 0.1.0 left on for links."""
    less = ("priority=11000, source='all'", "priority=11001, source='10.254.", "priority=11002, source='10.254.")
    less += ("'fe80::", "'ff00::/8'")
    return [line for line in objects.difference(other) if not any(text in line for text in less)]


def converge(host):
    """Wait until neod has started, and says that all is as the file says."""
    host.ready()
    host.wait()


def leases_on_disk(host):
    """Whether every macvlan's lease is in the file that the next start reads."""
    path = host.state / "leases.json"
    return path.exists() and len(json.loads(path.read_text())["body"]["leases"]) == COUNT


@pytest.mark.parametrize("how", ["SIGTERM", "kill -9"])
def test_a_running_release_is_replaced_without_cutting_a_connection_or_a_new_lease(host, old, how):
    host.start_neod(command=old.neod)
    converge(host)
    poll(lambda: leases_on_disk(host), 10, why="leases on disk")
    before, objects, visitor = everything(host), host.look(), Visitor(host)
    with visitor, Writes(host.ns) as writes, Writes(host.inner) as inner, Wire(host.lan) as wire:
        if how == "kill -9":
            host.kill9()
        else:
            assert host.stop() == 0
        host.start_neod()
        converge(host)
        assert writes.count().keys() <= {"rule"}
        assert inner.count() == {}
        assert wire.count()["DISCOVER"] == 0
        assert visitor.is_answered()
    assert more_than_answers(objects, host.look()) == []
    assert everything(host) == before
    assert host.sysctl("ipv4/ip_forward") == "0"
    assert host.sysctl("ipv4/conf/ens3/forwarding") == "1"
    rules = translation(host.ns)
    with Writes(host.ns) as writes:
        assert host.stop() == 0
        host.start_neod()
        converge(host)
        assert writes.count() == {}
    assert translation(host.ns) == rules
    assert host.ctl("down").status == 0
    assert host.sysctl("ipv4/conf/ens3/forwarding") == "0"


def test_the_release_takes_over_again_without_cutting_a_connection_or_a_new_lease(host, old):
    host.start_neod()
    converge(host)
    before, objects, visitor = everything(host), host.look(), Visitor(host)
    assert host.stop() == 0
    with visitor, Writes(host.ns) as writes, Wire(host.lan) as wire:
        host.start_neod(command=old.neod)
        converge(host)
        assert writes.count().keys() <= {"rule", "rule-"}
        assert wire.count()["DISCOVER"] == 0
        assert visitor.is_answered()
    assert more_than_answers(objects, host.look()) == []
    assert everything(host) == before


def test_the_old_client_understands_the_new_daemon(host, old):
    host.start_neod()
    converge(host)
    for argv in (["status"], ["status", "neo3"], ["leases"], ["diff"], ["show", "desired"], ["why", "neo3"], ["wait"]):
        theirs = old.ctl(host, *argv)
        assert theirs.returncode == 0, (argv, theirs.stderr)
        assert theirs.stderr == ""
        reply, ours = json.loads(old.ctl(host, "--json", *argv).stdout), host.ctl("--json", *argv).json
        assert reply.keys() == ours.keys()


def test_the_new_client_understands_the_old_daemon(host, old):
    host.start_neod(command=old.neod)
    converge(host)
    for argv in (["status"], ["leases"], ["diff"], ["show", "desired"], ["why", "neo3"], ["wait"]):
        answer = host.ctl(*argv)
        assert (answer.status, answer.err) == (0, ""), argv
