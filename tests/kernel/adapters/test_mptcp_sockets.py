"""Subflows of a server on ``::`` and of one on an IPv4 address, as the kernel tells of them and finds them again."""

import asyncio
import os
import socket
from functools import partial

import pytest
from tests.lab.netns import inside, namespace, poll, run

from neod.daemon.views.paths import fallback_reason
from neod.kernel import mptcp
from neod.kernel.mptcp import NetlinkMptcp, PathEvents
from neod.mptcp.connection import from_dump, from_event
from neod.mptcp.path_manager import request
from neod.mptcp.policy import DestroySubflow, SetPriority
from neod.netlink.mptcp_pm import EVENT_ESTABLISHED
from neod.netlink.netns import NAMED, in_netns
from neod.netlink.sock_diag import FLOW_BACKUP_LOC
from neod.netlink.socket import open_socket

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
IPPROTO_MPTCP = 262


@pytest.fixture
def ns():
    with namespace("mapped") as name:
        run("ip", "netns", "exec", name, "sh", "-ec", "ip link set lo up; echo 1 > /proc/sys/net/mptcp/pm_type")
        yield name


def connected(ns, listen, host, protocol=IPPROTO_MPTCP):
    """Return both ends of a connection to a server that listens there."""
    with inside(ns):
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, protocol)
        client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    with listener:
        listener.bind((listen, 0))
        listener.listen()
        client.connect((host, listener.getsockname()[1]))
        there = listener.accept()[0]
    client.sendall(b"x")
    assert there.recv(1) == b"x"
    there.sendall(b"y")
    assert client.recv(1) == b"y"
    return client, there


@pytest.mark.parametrize(
    ("listen", "host", "mapped"),
    [("::", "127.0.0.1", True), ("127.0.0.1", "127.0.0.1", False), ("::", "::1", False)],
)
def test_a_servers_subflow_is_told_with_its_address_made_a_backup_and_closed(ns, listen, host, mapped):
    def opener(*what):
        return in_netns(NAMED / ns, partial(open_socket, *what))

    ports, told = NetlinkMptcp(opener), []

    async def play():
        events = PathEvents(told.append, lambda: None, await ports.group(), opener)
        ends = connected(ns, listen, host)
        events.read()
        (event,) = [e for e in told if e.what == EVENT_ESTABLISHED and e.server]
        assert (str(event.local), event.mapped, from_event(event).first.mapped) == (host, mapped, mapped)
        seen = {one.token: one for one in mptcp.dump_connections(opener)}
        (flow,) = from_dump(seen[event.token]).flows.values()
        assert (str(flow.local), str(flow.remote), flow.mapped) == (host, host, mapped)
        assert await ports.send([request(event.token, SetPriority(flow, True))]) == [None]
        told_the_peer = {one.token: one for one in mptcp.dump_connections(opener)}[event.token].flows[0]
        assert told_the_peer.flags & FLOW_BACKUP_LOC
        assert await ports.send([request(event.token, DestroySubflow(flow))]) == [None]
        poll(lambda: not any(one.token == event.token and one.flows for one in mptcp.dump_connections(opener)), 5)
        for sock in (*ends, events.sock):
            sock.close()

    asyncio.run(play())
    ports.close()


PLAIN, MPTCP = socket.IPPROTO_TCP, IPPROTO_MPTCP
STRIP, DROP = "reset tcp option mptcp", "tcp option 30 exists drop"


@pytest.mark.parametrize(
    ("server", "rule", "why"),
    [
        pytest.param(PLAIN, "", "does not speak MPTCP, or something on the way", id="a server of plain TCP"),
        pytest.param(
            MPTCP, f"tcp flags & (syn|ack) == (syn|ack) {STRIP}", "does not speak MPTCP, or something", id="stripped"
        ),
        pytest.param(MPTCP, f"tcp flags & syn == 0 {STRIP}", "agreed and then given up", id="stripped from data"),
        pytest.param(MPTCP, f"tcp flags & (syn|ack) == syn {DROP}", "SYNs that do got no answer", id="dropped"),
    ],
)
def test_a_fallback_is_told_with_what_the_handshake_says_of_why(ns, server, rule, why):
    def opener(*what):
        return in_netns(NAMED / ns, partial(open_socket, *what))

    if rule:
        lines = ["table ip t {", "chain o {", "type filter hook output priority 0", rule, "}", "}", ""]
        run("ip", "netns", "exec", ns, "nft", "-f", "-", stdin="\n".join(lines))
    ends = connected(ns, "127.0.0.1", "127.0.0.1", server)
    (one,) = [seen for seen in mptcp.dump_connections(opener) if seen.local_port == ends[0].getsockname()[1]]
    assert (one.fallback, one.server) == (True, False)
    assert why in fallback_reason(one, set())
    if not one.agreed:
        assert "another connection" in fallback_reason(one, {(one.remote, one.remote_port)})
    for sock in ends:
        sock.close()
