"""Two relays and a proxy server, with a client on the other side of a router: all in namespaces.

client ── internet ─┬─ relay1 203.0.113.11
                    ├─ relay2 198.18.0.12
                    └─ proxy 198.51.100.10 ── <namespace> 10.254.0.2
"""

import contextlib
import os
import shutil
import socket
import struct
import tempfile
from pathlib import Path

from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import inside, ip, ip_batch, poll, run

IPPROTO_MPTCP, SOL_MPTCP, MPTCP_INFO = 262, 284, 1
NETWORKS = {
    "client": ("192.0.2.{}", "fd00:2::{}", 2),
    "relay1": ("203.0.113.{}", "fd00:11::{}", 11),
    "relay2": ("198.18.0.{}", "fd00:12::{}", 12),
    "proxy": ("198.51.100.{}", "fd00:10::{}", 10),
}
HOSTS = ("relay1", "relay2", "proxy")


def address(name: str, version: int = 4) -> str:
    """Return the public address of a host."""
    v4, v6, number = NETWORKS[name]
    return v4.format(number) if version == 4 else v6.format(number)


class Relays:
    """The whole topology. Leaving takes everything away."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.gettempdir(), netns.unique("files"))
        self.ns = {name: netns.unique(name) for name in ("internet", *NETWORKS)}
        self.inner = netns.unique("in")
        self.hosts = {name: Host(self.ns[name], self.directory / name, nic="eth0") for name in HOSTS}
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> "Relays":
        try:
            for name in self.ns.values():
                netns.create(name)
            with inside(self.ns["internet"]):
                Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
                Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
            for name in NETWORKS:
                self._wire(name)
            ip(self.ns["client"], "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        except BaseException:
            self.close()
            raise
        return self

    def _wire(self, name: str) -> None:
        v4, v6, number = NETWORKS[name]
        here, router = self.ns[name], self.ns["internet"]
        ip(here, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", router)
        ip_batch(
            router,
            [
                f"link set {name} up",
                f"addr add {v4.format(1)}/24 dev {name}",
                f"addr add {v6.format(1)}/64 dev {name} nodad",
            ],
        )
        ip_batch(
            here,
            [
                "link set eth0 up",
                f"addr add {v4.format(number)}/24 dev eth0",
                f"addr add {v6.format(number)}/64 dev eth0 nodad",
                f"route add default via {v4.format(1)}",
                f"route add default via {v6.format(1)}",
            ],
        )

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything away."""
        for one in self.sockets:
            one.close()
        for host in self.hosts.values():
            host.close()
        for name in (self.inner, *self.ns.values()):
            netns.delete(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    # ── the files ───────────────────────────────────────────────────────────────────────────────

    def relay_file(self, backend: str = "auto", more: str = "") -> str:
        """Return a relay's file."""
        return f"""
[forwards.proxy]
ports = [443]
interface = "eth0"
to = "{address("proxy")}"

[forwards.names]
protocol = "udp"
ports = ["5300-5310"]
to = "{address("proxy")}:53"

[forwards.six]
ports = [443]
to = "{address("proxy", 6)}"
{more}
[nat]
backend = "{backend}"
"""

    def proxy_file(self, backend: str = "auto", snat: bool = True, more: str = "") -> str:
        """Return the proxy server's file."""
        relay_snat = 'relay_snat = ["10.254.1.0/24", "fd00:254:1::/64"]' if snat else ""
        return f"""
[namespaces.{self.inner}]
uplink = "eth0"
subnet = ["10.254.0.0/30", "fd00:254::/126"]
expose = ["tcp/443", "udp/53"]
relay_addresses = ["{address("relay1")}", "{address("relay2")}"]
relay_link = "bridge"
{relay_snat}
{more}
[nat]
backend = "{backend}"
"""

    def start(self, backend: str = "auto", snat: bool = True) -> None:
        """Start neod on the three hosts, and wait until each says that it is converged."""
        for name, host in self.hosts.items():
            host.write_config(self.proxy_file(backend, snat) if name == "proxy" else self.relay_file(backend))
            host.start_neod()
        for host in self.hosts.values():
            host.wait()

    # ── traffic ─────────────────────────────────────────────────────────────────────────────────

    def listen(self, version: int = 4, port: int = 443, protocol: int = IPPROTO_MPTCP) -> socket.socket:
        """Return a listener in the proxy's namespace."""
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with inside(self.inner):
            server = self._keep(socket.socket(family, socket.SOCK_STREAM, protocol))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("0.0.0.0" if version == 4 else "::", port))
            server.listen(16)
        server.settimeout(10)
        return server

    def connect(self, to: str, port: int = 443, protocol: int = IPPROTO_MPTCP) -> socket.socket:
        """Return a connection that the client made."""
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with inside(self.ns["client"]):
            client = self._keep(socket.socket(family, socket.SOCK_STREAM, protocol))
            client.settimeout(10)
            client.connect((to, port))
        return client

    def datagrams(self, where: str) -> socket.socket:
        """Return a UDP socket of the client, or of the proxy's namespace, there on port 53."""
        with inside(self.inner if where == "inner" else self.ns[where]):
            made = self._keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            if where == "inner":
                made.bind(("0.0.0.0", 53))
        made.settimeout(5)
        return made

    def _keep(self, made: socket.socket) -> socket.socket:
        self.sockets.append(made)
        return made

    def sh(self, name: str, command: str, check: bool = True) -> str:
        """Run a shell command on a host, as its operator would."""
        return run("nsenter", f"--net=/run/netns/{self.ns[name]}", "sh", "-c", command, check=check).stdout


def subflows(connection: socket.socket) -> int:
    """Return how many subflows an MPTCP connection has, its first among them.

    Ask the one who accepted: who connects counts those that are not answered, too.
    """
    info = connection.getsockopt(SOL_MPTCP, MPTCP_INFO, 128)
    return 1 + struct.unpack_from("=B", info)[0]


def settled(connection: socket.socket, wanted: int, timeout_s: float = 10.0) -> int:
    """Return the number of subflows once it is *wanted*, or what it is after the time."""
    with contextlib.suppress(TimeoutError):
        poll(lambda: subflows(connection) == wanted, timeout_s)
    return subflows(connection)


def echo(connection: socket.socket, server: socket.socket, text: bytes = b"hello") -> bytes:
    """Send over a connection, and return what came out at the other end."""
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        part = server.recv(len(text) - len(got))
        assert part, "the connection ended"
        got += part
    return got


def inode(name: str) -> int:
    """Return which namespace a name stands for."""
    return os.stat(f"/run/netns/{name}").st_ino
