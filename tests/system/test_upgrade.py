"""A running 0.1.0 is replaced by this version, and back: nothing that neo owns is written, no lease changes.

``release/neod-0.1.0.tar.xz`` holds the source of the release as it was published.
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.lab import poll
from tests.lab.netns import delete, run
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
    host.lan = campus.lan
    yield host
    host.kill9()
    delete(netns)


def translation(netns):
    """Return the rules with their handles, which change when a rule is written again, but without counters."""
    handles = run("ip", "netns", "exec", netns, "nft", "-a", "-s", "list", "ruleset", check=False).stdout
    legacy = run("ip", "netns", "exec", netns, "iptables-legacy-save", check=False).stdout
    return handles, [line.split("[")[0] for line in legacy.splitlines() if not line.startswith("#")]


def everything(host):
    """Return what must not change: all objects, the rules, the endpoints of both namespaces."""
    endpoints = [run("ip", "-n", ns, "mptcp", "endpoint", "show").stdout for ns in (host.ns, host.inner)]
    return translation(host.ns), endpoints, poll(lambda: settled_addresses(host.inner), 10, why="addresses are settled")


def settled_addresses(netns):
    """Return the addresses; nothing while the kernel still looks whether another host has one of them."""
    shown = run("ip", "-n", netns, "-o", "address", "show").stdout
    return "" if " tentative" in shown else shown


def beyond_link_local(lines):
    """Return the differences but for what the kernel makes with IPv6, which 0.1.0 left on for its links."""
    return [line for line in lines if "'fe80::" not in line and "'ff00::/8'" not in line]


def converge(host):
    """Wait until neod has started, and says that all is as the file says."""
    host.ready()
    host.wait()


def leases_on_disk(host):
    """Whether every macvlan's lease is in the file that the next start reads."""
    path = host.state / "leases.json"
    return path.exists() and len(json.loads(path.read_text())["body"]["leases"]) == COUNT


@pytest.mark.parametrize("how", ["SIGTERM", "kill -9"])
def test_a_running_release_is_replaced_without_a_write_or_a_new_lease(host, old, how):
    host.start_neod(command=old.neod)
    converge(host)
    poll(lambda: leases_on_disk(host), 10, why="leases on disk")
    before, objects = everything(host), host.look()
    with Writes(host.ns) as writes, Writes(host.inner) as inner, Wire(host.lan) as wire:
        if how == "kill -9":
            host.kill9()
        else:
            assert host.stop() == 0
        host.start_neod()
        converge(host)
        assert writes.count() == {}
        assert inner.count() == {}
        assert wire.count()["DISCOVER"] == 0
    assert beyond_link_local(objects.difference(host.look())) == []
    assert everything(host) == before


def test_the_release_takes_over_again_without_a_write_or_a_new_lease(host, old):
    host.start_neod()
    converge(host)
    before, objects = everything(host), host.look()
    assert host.stop() == 0
    with Writes(host.ns) as writes, Wire(host.lan) as wire:
        host.start_neod(command=old.neod)
        converge(host)
        assert writes.count() == {}
        assert wire.count()["DISCOVER"] == 0
    assert beyond_link_local(objects.difference(host.look())) == []
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
