"""Answers leave by the uplink that the connection came in by, and old flows follow new rules: neod and real packets."""

import socket
from contextlib import closing

import pytest
from tests.lab.crossing import Crossing, of
from tests.lab.netns import inside, ip_batch, poll

pytestmark = pytest.mark.kernel

BACKENDS = ("nftables", "iptables")
FAR = {"outside": "198.18.0.1", "private": "198.18.1.1"}
UPLINKS = "[uplinks.eth0]\ntable = 100\nmptcp = []\n[uplinks.eth1]\ntable = 101\nmptcp = []\n"
FORWARD = '[forwards.names]\nprotocol = "udp"\nports = [53]\nto = "192.0.2.10:{port}"\n'


@pytest.fixture
def crossing(laboratory):
    """Two uplinks, and behind the router of each a client that only its own uplink leads to rightly."""
    with Crossing() as made:
        for name, gateway in (("outside", "192.0.2.2"), ("private", "10.0.0.1")):
            far = FAR[name]
            lines = [f"addr add {far}/32 dev lo", "link set lo up", f"route replace default via {gateway} src {far}"]
            ip_batch(made.ns[name], lines)
        for line in ("default via 192.0.2.66 dev eth0", "default via 10.0.0.5 dev eth1 metric 100"):
            ip_batch(made.ns["host"], [f"route add {line}"])
        yield made


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_came_in_by_the_second_uplink_is_answered_by_it(crossing, backend):
    nat = f'[nat]\nbackend = "{backend}"\n'
    space = f'[namespaces."{crossing.inner}"]\nuplink = "eth1"\nsubnet = "10.254.0.0/30"\nexpose = ["udp/54"]\n'
    crossing.start(UPLINKS + FORWARD.format(port=5300) + space + nat)
    for source, near in (("private", "10.0.0.1"), ("outside", "192.0.2.2")):
        assert crossing.reaches(source, near, 53, "target", 5300), source
    assert crossing.reaches("private", "10.0.0.1", 54, "inner")
    rules = crossing.sh("ip rule show priority 11000")
    assert rules.count("fwmark") == 2, rules
    assert "eth0 0x100000, eth1 0x200000" in crossing.host.ctl("doctor").out
    crossing.sh("ip rule del priority 11000; nft flush ruleset; iptables-legacy -t mangle -F", check=False)
    poll(lambda: crossing.reaches("private", "10.0.0.1", 53, "target", 5300), 10, why="repaired")
    assert crossing.host.ctl("down").status == 0
    assert crossing.sh("ip rule show priority 11000") == ""


def test_flows_follow_a_reload_only_once_it_is_confirmed(crossing):
    crossing.start(FORWARD.format(port=5300))
    with inside(crossing.ns["outside"]):
        old, new = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        old.bind(("192.0.2.10", 5300))
        new.bind(("192.0.2.10", 5301))
    with inside(crossing.ns["private"]):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(old), closing(new), closing(client):
        for one in (old, new):
            one.settimeout(3)
        client.connect((of("10.0.0.1", 4), 53))
        client.send(b"before")
        assert old.recv(9) == b"before"
        crossing.host.write_config(FORWARD.format(port=5301))
        assert crossing.host.ctl("reload", "--confirm", "60s").status == 0
        assert crossing.host.ctl("wait").status == 0
        client.send(b"on trial")
        assert old.recv(9) == b"on trial"
        assert crossing.host.ctl("confirm").status == 0
        poll(lambda: "flows cut" in crossing.host.ctl("events").out, 10, why="cut")
        client.send(b"after")
        assert new.recv(9) == b"after"


def leaves_by(crossing, address="198.18.9.9"):
    """Return the link by which the host sends what comes from inside to *address*."""
    (veth,) = crossing.sh("ls /proc/sys/net/ipv4/conf | grep neo-").split()
    return crossing.sh(f"ip route get {address} from 10.254.0.2 iif {veth}").split(" dev ")[1].split()[0]


def space(crossing, uplink):
    return f'[namespaces."{crossing.inner}"]\nuplink = "{uplink}"\nsubnet = "10.254.0.0/30"\n'


def test_what_comes_from_inside_leaves_by_its_uplink_and_reaches_other_networks(crossing):
    crossing.start(UPLINKS + space(crossing, "eth1"))
    assert leaves_by(crossing) == "eth1"
    assert leaves_by(crossing, "192.0.2.10") == "eth0"
    ip_batch(crossing.ns["private"], ["addr add 198.18.9.9/32 dev lo"])
    with inside(crossing.ns["private"]):
        server = socket.create_server(("198.18.9.9", 99))
    with server, inside(crossing.inner), socket.create_connection(("198.18.9.9", 99), 3), server.accept()[0] as came:
        assert came.getpeername()[0] == "10.0.0.1"
    crossing.sh("ip rule del priority 11001; ip rule del priority 11002")
    poll(lambda: leaves_by(crossing) == "eth1" and leaves_by(crossing, "192.0.2.10") == "eth0", 5, why="repaired")
    crossing.sh("ip route del default dev eth1")
    poll(
        lambda: "eth1 has no default route: what comes from 10.254.0.0/30" in crossing.host.ctl("status").out,
        5,
        why="told",
    )
    assert crossing.host.ctl("down").status == 0
    assert "1100" not in crossing.sh("ip rule")


def test_an_uplink_without_a_table_that_is_not_the_default_is_told(crossing):
    crossing.start(space(crossing, "eth1"))
    assert leaves_by(crossing) == "eth0"
    assert "what comes from 10.254.0.0/30 leaves by eth0" in crossing.host.ctl("status").out
