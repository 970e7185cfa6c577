"""The probe of a server on real sockets: one that speaks MPTCP, one that does not, one that is silent."""

import os
import socket
import threading

import pytest
from tests.lab import netns
from tests.lab.netns import inside, ip

from neod.daemon.doctor.context import ProbeContext, ProbedPath
from neod.daemon.doctor.server import check_server_mptcp

pytestmark = pytest.mark.kernel
ADDRESS = "198.18.7.1"


@pytest.fixture
def namespace():
    if os.geteuid():
        pytest.skip("needs root")
    with netns.namespace("probe") as name:
        ip(name, "address", "add", f"{ADDRESS}/24", "dev", "lo")
        yield name


def listening(name, protocol):
    with inside(name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    sock.bind((ADDRESS, 0))
    sock.listen()
    threading.Thread(target=_accept, args=(sock,), daemon=True).start()
    return sock


def _accept(sock):
    try:
        while True:
            sock.accept()
    except OSError:
        return


def tried(name, server):
    context = ProbeContext(paths=(ProbedPath("neo1", ADDRESS),), server=server)
    found = []
    with inside(name):  # threads of a pool begin in the namespace of who starts them
        found += check_server_mptcp(context)
    return found[0]


def test_a_server_that_speaks_mptcp_is_fine(namespace):
    with listening(namespace, socket.IPPROTO_MPTCP if hasattr(socket, "IPPROTO_MPTCP") else 262) as server:
        assert tried(namespace, server.getsockname()).verdict == "fine"


def test_a_server_of_plain_tcp_is_told(namespace):
    with listening(namespace, socket.IPPROTO_TCP) as server:
        finding = tried(namespace, server.getsockname())
    assert (finding.verdict, "plain TCP" in finding.evidence) == ("fault", True)


def test_nobody_there_is_told(namespace):
    finding = tried(namespace, (ADDRESS, 9))
    assert (finding.verdict, "refused" in finding.evidence) == ("fault", True)
    assert "nothing listens" in finding.remedy
