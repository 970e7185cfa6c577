"""Killed at any write of a start, or of a removal, the next neod finishes it: no conflict, nothing left behind.

A choice of the points; between those of one kind the daemon does nothing else.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import RUN_NETNS, poll

pytestmark = pytest.mark.kernel

HOOK = (sys.executable, str(Path(__file__).with_name("killed.py")))
SETUP = (
    "link add eth9 type veth peer name eth9p",
    "link add eth8 type veth peer name eth8p",
    "link set eth9 up",
    "link set eth9p up",
    "addr add 192.0.2.5/24 dev eth9",
)
TEXT = """
[uplinks.eth9]
table = 33
mptcp = ["subflow"]
[macvlans.neo]
parent = "eth9"
count = 2
ipv4 = ["192.0.2.20/24", "192.0.2.21/24"]
gateway = "192.0.2.1"
[links.br7]
kind = "bridge"
ports = ["eth8"]
[namespaces.{name}]
uplink = "eth9"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]
relay_addresses = ["203.0.113.11"]
relay_snat = "10.254.1.0/24"
relay_link = "bridge"
"""

STARTS = (
    "unshare:1:after",
    "netlink:4:after",
    "mount:2:before",
    "mount:2:after",
    "netlink:8:before",
    "netlink:13:after",
    "netlink:17:after",
    "sysctl:5:before",
    "rename:5:after",
    "file:4:after",
)
REMOVALS = ("netlink:6:after", "umount:1:before", "umount:1:after")


@pytest.fixture
def host(laboratory, tmp_path) -> Iterator[Host]:
    with netns.namespace("kill") as ns:
        for line in SETUP:
            netns.ip(ns, *line.split())
        name = f"{ns}-s"
        host = Host(ns, tmp_path / "host")
        host.write_config(TEXT.format(name=name))
        try:
            yield host
        finally:
            host.close()
            netns.delete(name)
            (RUN_NETNS / name).unlink(missing_ok=True)


def killed(host: Host, point: str) -> None:
    neod = host.start_neod({"NEO_KILL": point}, command=HOOK)
    poll(lambda: not neod.running, 15, why=f"neod has come to {point}; {host.tail()}")


@pytest.mark.parametrize("point", STARTS)
def test_a_start_that_was_killed_is_finished_by_the_next(host, point):
    killed(host, point)
    host.start_neod()
    host.wait(15)
    assert host.ctl("status", "--json").json["converged"]


@pytest.mark.parametrize("point", REMOVALS)
def test_a_removal_that_was_killed_is_finished_by_the_next(host, point):
    host.start_neod()
    host.wait(15)
    host.stop()
    host.write_config("[daemon]\n")
    killed(host, point)
    host.start_neod()
    host.wait(15)
    assert not (RUN_NETNS / f"{host.ns}-s").exists()
    assert "proto 110" not in host.ip("route", "show", "table", "all") + host.ip("rule")


@pytest.mark.parametrize("lost", ["runtime", "runtime state"])
def test_what_is_ours_stays_ours_when_directories_are_lost_while_stopped(host, lost):
    host.start_neod()
    host.wait(15)
    host.stop()
    before = host.look()
    for directory in lost.split():
        shutil.rmtree(getattr(host, directory))
    host.start_neod()
    host.wait(15)
    assert before.difference(host.look()) == []
