"""Which open sockets are by an address: those that ``ss`` shows, IPv4 on IPv6 sockets too."""

import os
import socket
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address

import pytest
from tests.lab.netns import inside, namespace, run

from neod.kernel.mptcp import open_sockets
from neod.netlink.netns import NAMED, opener_in

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
IPPROTO_MPTCP = 262
ONE, TWO, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"


@pytest.fixture
def ns():
    with namespace("open") as name:
        addresses = f"ip addr add {ONE}/32 dev lo; ip addr add {TWO}/32 dev lo; ip addr add {SIX}/128 dev lo nodad"
        run("ip", "netns", "exec", name, "sh", "-ec", f"ip link set lo up; {addresses}")
        yield name


def connected(stack, ns, local, remote, listen, protocol=0):
    """Keep a connection from *local* to *remote*, where a server listens on *listen*."""
    families = [socket.AF_INET6 if ":" in text else socket.AF_INET for text in (listen, remote)]
    with inside(ns):
        listener, client = (stack.enter_context(socket.socket(one, socket.SOCK_STREAM, protocol)) for one in families)
    listener.bind((listen, 0))
    listener.listen()
    client.bind((local, 0))
    client.connect((remote, listener.getsockname()[1]))
    stack.enter_context(listener.accept()[0])


def by(ns, *addresses):
    wanted = {ip_address(text) for text in addresses}
    return open_sockets(opener_in(NAMED / ns), lambda local, remote: local in wanted)


def shown(ns, address):
    """Return how many sockets ``ss`` shows that have the address."""
    lines = run("ip", "netns", "exec", ns, "ss", "-Htn").stdout.splitlines()
    return sum(line.split()[3].rpartition(":")[0].strip("[]").removeprefix("::ffff:") == address for line in lines)


def test_they_are_those_that_ss_shows(ns):
    with ExitStack() as stack:
        connect = partial(connected, stack, ns)
        connect(ONE, TWO, TWO)
        connect(ONE, TWO, "::")  # the server's end is ::ffff:192.0.2.2
        connect(SIX, SIX, "::")
        assert [len(by(ns, one)) for one in (ONE, TWO, SIX)] == [shown(ns, one) for one in (ONE, TWO, SIX)] == [2, 2, 2]
        assert all(one.token == 0 for one in by(ns, ONE, TWO, SIX))
        assert by(ns, "192.0.2.9") == []  # listeners have none of these addresses, and are not connected


def test_the_subflows_of_one_connection_have_one_token(ns):
    with ExitStack() as stack:
        connected(stack, ns, ONE, TWO, "::", IPPROTO_MPTCP)
        (client,), (server,) = by(ns, ONE), by(ns, TWO)
        assert client.token and server.token
        assert client.token != server.token
