"""Every kind, on the real kernel, through the real daemon: another process changes an object, and neod notices."""

import json
import os
import re
import shutil
import subprocess

import pytest
from tests.kernel.contract.samples import DISTURBANCES, FILE, SPACE, Disturbance
from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import poll

from neod.kinds import KINDS

pytestmark = pytest.mark.kernel

WHO = re.compile(r"(ip|sh|nft)\[\d+\]|pid \d+ \(ended\)")
"""The kernel tells the process; its name is known only while that runs, and ip does not run long."""

AT_LAST_S = 20.0
"""The file asks for no periodic pass within an hour: what is repaired at all was noticed. How fast: `make bench`."""


def sh(host, command):
    return subprocess.run(netns.argv_in(host.ns, "sh", "-c", command), capture_output=True, text=True, timeout=20)


def wire(ns):
    netns.create(ns)
    pairs = ("link add up0 type veth peer name up1", "link add nic1 type veth peer name nic2")
    for words in (*pairs, "link set up0 up", "link set up1 up"):
        netns.ip(ns, *words.split())


def need_tools(*tools):
    if os.geteuid():
        pytest.skip("needs root")
    if absent := [tool for tool in tools if not shutil.which(tool)]:
        pytest.skip(f"not installed: {' '.join(absent)}")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A host in a namespace of its own, converged on a file that asks for an object of every kind."""
    need_tools("ip", "nsenter", "nft", "iptables-legacy")
    made = Host(netns.unique("kinds"), tmp_path_factory.mktemp("host"), nic="up0")
    wire(made.ns)
    try:
        made.write_config(FILE)
        made.start_neod()
        made.wait()
        yield made
    finally:
        made.close()
        netns.delete(SPACE)
        netns.delete(made.ns)


def events(host):
    return [json.loads(line) for line in host.ctl("events", "--json", "--since", "1h").out.splitlines()]


def repaired(host, disturbance):
    """Disturb, wait until it is undone, and return the records of the repair."""
    before, seen = sh(host, disturbance.look).stdout, len(events(host))
    assert before, disturbance.look
    done = sh(host, disturbance.command)
    assert done.returncode == 0, done.stderr
    poll(lambda: sh(host, disturbance.look).stdout == before, AT_LAST_S, 0.01, f"{disturbance}; {host.tail()}")
    host.wait()
    records = events(host)[seen:]
    return [one for one in records if one["what"] == "repaired" and one["object"] == disturbance.object]


def noticed_by(kind):
    return ("event", "poll") if kind.poll else ("event",)


PLACES = [(name, number) for name in KINDS for number in range(len(DISTURBANCES.get(name, ())) or 1)]
EVERY = [pytest.param(name, number, id=f"{name}-{number}") for name, number in PLACES]


def disturbance_of(name, number):
    """Return a disturbance with a macvlan of its own; neo1 and neo2 are for MPTCP."""
    one, n = DISTURBANCES[name][number], 3 + PLACES.index((name, number))
    texts = (text.format(n=n) for text in (one.command, one.object, one.look, one.path))
    return Disturbance(*texts, one.attributed)


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_what_another_process_does_is_noticed_repaired_and_attributed(host, name, number):
    disturbance = disturbance_of(name, number)
    records = repaired(host, disturbance)
    assert records, f"{disturbance.object}: repaired, and no event says so"
    assert all(any(word in one["cause"] for word in noticed_by(KINDS[name])) for one in records), records
    if disturbance.attributed:
        assert [one["by"] for one in records if WHO.fullmatch(one["by"])], records


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_it_is_shown_under_its_path(host, name, number):
    disturbance = disturbance_of(name, number)
    shown = json.loads(host.ctl("status", disturbance.path or disturbance.object, "--json").out)
    assert disturbance.object in [one["object"] for one in shown["objects"]]
