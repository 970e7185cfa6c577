"""A proxy program that people use, unaware of MPTCP, in the namespace of neod: fetched through, over the relays."""

import shutil
import socket
import subprocess

import pytest
from tests.lab.netns import inside, poll, run
from tests.lab.process import Program
from tests.lab.relays import Relays, address

pytestmark = pytest.mark.kernel

SECRET = ["-k", "neo", "-m", "chacha20-ietf-poly1305", "-t", "60"]
HALF = bytes(range(256)) * 2048
RESPONSE = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(HALF))


@pytest.fixture
def relays(laboratory):
    absent = [tool for tool in ("ss-server", "ss-local", "mptcpize", "curl") if not shutil.which(tool)]
    if absent:
        pytest.skip(f"not installed: {' '.join(absent)}")
    with Relays() as made:
        yield made


@pytest.fixture
def started(relays):
    """Start a program in a namespace, as an operator would; it ends with the test."""
    programs = []

    def start(where, *argv):
        ns = relays.inner if where == "inner" else relays.ns[where]
        programs.append(Program(ns, list(argv), relays.directory / f"{argv[2]}.log"))
        return programs[-1]

    yield start
    for program in programs:
        program.stop()


def listens(ns, port):
    return run("nsenter", f"--net=/run/netns/{ns}", "ss", "-Hltn", f"sport = :{port}").stdout != ""


def peers(relays):
    """The other ends of the connections that reach the proxy program, as it sees them."""
    shown = run("nsenter", f"--net=/run/netns/{relays.inner}", "ss", "-Htn", "state", "established", "sport = :443")
    return {line.split()[3].rsplit(":", 1)[0].strip("[]").removeprefix("::ffff:") for line in shown.stdout.splitlines()}


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_shadowsocks_in_the_namespace_is_fetched_through_directly_and_over_both_relays(relays, started, backend):
    relays.start(backend)
    started("inner", "mptcpize", "run", "ss-server", "-s", "0.0.0.0", "-p", "443", *SECRET)
    server = ["-s", address("proxy"), "-p", "443"]
    started("client", "mptcpize", "run", "ss-local", *server, "-b", "127.0.0.1", "-l", "1080", *SECRET)
    poll(lambda: listens(relays.inner, 443) and listens(relays.ns["client"], 1080), 10, 0.05, "both ends listen")
    with inside(relays.ns["internet"]):
        origin = relays._keep(socket.create_server(("0.0.0.0", 8080)))
    origin.settimeout(20)
    curl = ["curl", "-sS", "--max-time", "60", "--socks5", "127.0.0.1:1080", "http://198.51.100.1:8080/"]
    with subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{relays.ns['client']}", *curl], stdout=subprocess.PIPE
    ) as asked:
        there, who = origin.accept()
        with there:
            there.recv(4096)
            there.sendall(RESPONSE + HALF)
            everywhere = {address("client"), "10.254.1.1", "10.254.1.2"}
            poll(lambda: peers(relays) == everywhere, 10, 0.1, f"a subflow each way; {peers(relays)}")
            there.sendall(HALF)
        assert asked.communicate()[0] == HALF * 2
    assert who[0] == address("proxy")  # masqueraded out of the namespace
