"""Links of ``[links]`` on this kernel, which has bridges: made, used, repaired, and given back."""

import json
import os
from contextlib import ExitStack

import pytest
from tests.lab import Campus, poll
from tests.lab.netns import ip, ip_batch

pytestmark = pytest.mark.kernel

FILE = """[links.br0]
kind = "bridge"
ports = ["ens4"]
[macvlans.neo]
parent = "br0"
count = 2
mptcp = []
"""
BRIDGE_DRIFTS = {
    "bridge deleted": "link del br0",
    "bridge renamed": "link set br0 down; link set br0 name other",
    "bridge down": "link set br0 down",
    "spanning tree": "link set br0 type bridge stp_state 1",
    "MAC": "link set br0 address 02:00:00:00:99:04",
    "port taken out": "link set ens4 nomaster",
    "port down": "link set ens4 down",
}


class Bridged:
    """A campus host with a second NIC, which is to be the port of a bridge."""

    def __init__(self, campus: Campus) -> None:
        self.campus, self.host = campus, campus.host
        ip(self.host.ns, "link", "add", "ens4", "type", "veth", "peer", "name", "port1", "netns", campus.lan)
        ip_batch(campus.lan, ["link set port1 master lan0", "link set port1 up"])
        ip(self.host.ns, "link", "set", "ens4", "up")

    def start(self, file: str = FILE, **surroundings: str) -> None:
        self.host.write_config(file)
        self.host.start_neod(env=surroundings)
        self.host.wait()

    def link(self, name: str) -> dict[str, object]:
        return next(iter(json.loads(self.host.ip_fails("-j", "-d", "link", "show", "dev", name) or "[]")), {})

    def port(self) -> tuple[object, bool, tuple[str, ...]]:
        """Return what ens4 is a port of, whether it is up, and its other names."""
        seen = self.link("ens4")
        return seen.get("master"), "UP" in seen["flags"], tuple(seen.get("altnames", ()))

    def leases(self) -> dict[str, str]:
        seen = json.loads(self.host.ip("-j", "-4", "address", "show", "type", "macvlan"))
        return {link["ifname"]: link["addr_info"][0]["local"] for link in seen if link.get("addr_info")}

    def bridge(self) -> tuple[object, ...]:
        """Return what has to be so of br0."""
        seen = self.link("br0")
        if not seen:
            return ()
        told = seen["linkinfo"]["info_data"]
        flags = "UP" in seen["flags"], "MULTICAST" in seen["flags"]
        return (seen["group"], seen["address"], flags, seen["ifalias"], told["stp_state"])


@pytest.fixture
def bridged(laboratory):
    with ExitStack() as stack:
        yield Bridged(stack.enter_context(Campus(2)))


def test_macvlans_on_a_bridge_of_ours_lease_through_its_port_and_down_gives_the_port_back(bridged):
    before = bridged.port()
    assert before == (None, True, ())
    bridged.start()
    assert set(bridged.leases()) == {"neo1", "neo2"}
    group, mac, flags, alias, stp = bridged.bridge()
    assert (group, flags, alias, stp) == ("110", (True, True), "neo:br0", 0)
    assert mac.startswith("02:")
    master, up, (mark,) = bridged.port()
    assert (master, up) == ("br0", True)
    assert mark.startswith("neo-port-up-")
    assert bridged.host.ctl("down").status == 0
    assert (bridged.bridge(), bridged.port()) == ((), before)
    assert "group 110" not in bridged.host.ip("link")


def test_a_bridge_that_lost_its_group_gets_it_back_and_nothing_else_is_asked_of_the_kernel(bridged):
    bridged.start()
    before = bridged.bridge()
    bridged.host.ip("link", "set", "br0", "group", "0")
    poll(lambda: bridged.bridge() == before, 5, why="the group")
    bridged.host.wait()
    assert "failed" not in bridged.host.ctl("events").out


def test_a_port_that_was_down_is_down_again_when_the_file_no_longer_names_it(bridged):
    bridged.host.ip("link", "set", "ens4", "down")
    bridged.start()
    assert bridged.port()[:2] == ("br0", True)
    bridged.host.write_config(FILE.replace('ports = ["ens4"]\n', ""))
    assert bridged.host.ctl("reload").status == 0
    assert bridged.port() == (None, False, ())
    assert bridged.bridge(), "the bridge stays"


def test_macvlans_with_static_addresses_go_from_one_nic_to_another(bridged):
    """Each address waits for the NIC that its macvlan is on now, and no longer for the one before."""
    static = FILE + 'ipv4 = ["10.8.250.1/16", "10.8.250.2/16"]\ngateway = "10.8.0.1"\n'
    bridged.start(static)
    for parent in ("ens3", "br0"):
        bridged.host.write_config(static.replace('parent = "br0"', f'parent = "{parent}"'))
        assert bridged.host.ctl("reload").status == 0
        bridged.host.wait()
        assert bridged.link("neo1")["link"] == parent
        assert bridged.leases() == {"neo1": "10.8.250.1", "neo2": "10.8.250.2"}


@pytest.mark.parametrize("drift", BRIDGE_DRIFTS)
def test_what_others_change_of_a_bridge_and_its_port_is_repaired(bridged, drift):
    bridged.start()
    before, leases = (bridged.bridge(), bridged.port()), bridged.leases()
    for words in BRIDGE_DRIFTS[drift].split("; "):
        bridged.host.ip(*words.split())
    poll(lambda: (bridged.bridge(), bridged.port()) == before, 5, why="as before")
    bridged.host.wait()
    assert poll(lambda: bridged.leases() == leases, 10, why="the same leases")


def test_another_process_starts_and_writes_nothing(bridged):
    bridged.start()
    before = bridged.link("br0")["ifindex"], bridged.port(), bridged.leases()
    bridged.host.kill9()
    bridged.start()
    assert (bridged.link("br0")["ifindex"], bridged.port(), bridged.leases()) == before
    assert bridged.host.ctl("plan", "--json").json["changes"] == []
    assert "repair" not in bridged.host.ctl("events").out


def test_a_port_of_somebody_elses_bridge_is_a_conflict_that_names_it(bridged):
    bridged.host.ip("link", "add", "br9", "type", "bridge")
    bridged.host.ip("link", "set", "ens4", "master", "br9")
    bridged.host.write_config(FILE)
    bridged.host.start_neod()
    bridged.host.ready()
    status = poll(lambda: conflicts(bridged.host.ctl("status", "--json").json), 10, why="the conflict is shown")
    assert status == ["it is a port of br9, and neod did not put it there; take it out, or write another NIC"]
    assert bridged.port()[0] == "br9"
    bridged.host.ip("link", "set", "ens4", "nomaster")
    poll(lambda: bridged.port()[0] == "br0", 5, why="it is free, and taken")
    bridged.host.wait()


def conflicts(status):
    return [row["reason"] for row in status["drifts"] if row["phase"] == "conflict"]


SHIM = """import importlib, os, sys
open({seen!r}, "w").close()
sys.path.remove({place!r})
del sys.modules["pyroute2"]
importlib.import_module("pyroute2")
"""
"""Stands for pyroute2, notes that it was imported, and makes way for it."""


def test_pyroute2_is_imported_for_links_that_need_it_and_for_no_others(bridged, tmp_path):
    seen, place = tmp_path / "seen", tmp_path / "shim"
    (place / "pyroute2").mkdir(parents=True)
    (place / "pyroute2" / "__init__.py").write_text(SHIM.format(seen=str(seen), place=str(place)))
    path = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
    proxy = '[namespaces.proxy]\nuplink = "ens3"\nsubnet = "10.254.0.0/30"\nrelay_addresses = ["203.0.113.11"]\n'
    proxy += 'relay_link = "bridge"\nrelay_snat = "10.254.1.0/24"\n'
    file = bridged.campus.file(more=proxy.replace("proxy]", f"{bridged.host.ns}-p]"))
    for _ in range(2):  # with nothing there, and with all of it
        bridged.start(file, PYTHONPATH=path)
        assert not seen.exists(), "the first pass of a file without [links] must not pay for it"
        bridged.host.stop()
    bridged.start(file + FILE.split("[macvlans")[0], PYTHONPATH=path)
    assert seen.exists()
    assert bridged.host.ctl("down").status == 0
