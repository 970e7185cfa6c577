"""A host between two networks that have nothing to do with each other, and a container's network beside them.

outside eth0 192.0.2.66, 192.0.2.10 ── eth0 192.0.2.2   host   10.0.0.1 eth1 ── eth0 10.0.0.5 private
                                                      172.30.0.1 br-x ── eth0 172.30.0.5 container

Whatever is not on the host's network routes to it.
"""

import contextlib
import shutil
import socket
import tempfile
from pathlib import Path

from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import inside, ip_batch, run

SIX = {"192.0.2": "fd00:2", "10.0.0": "fd00:a", "172.30.0": "fd00:ac", "10.254.0": "fd00:254"}
NEIGHBOURS = {"outside": ("eth0", "192.0.2.66"), "private": ("eth1", "10.0.0.5")}
HOST = {"eth0": "192.0.2.2", "eth1": "10.0.0.1"}
TARGET, CONTAINER, INNER = "192.0.2.10", "172.30.0.5", "10.254.0.2"
SWITCHES = "grep -H . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv?/conf/*/*forwarding"
RULES = "nft -s list ruleset; iptables-legacy-save; ip6tables-legacy-save"


def six(address: str) -> str:
    """Return the IPv6 address that stands where an IPv4 address does."""
    network, _, number = address.rpartition(".")
    return f"{SIX[network]}::{number}"


def of(address: str, version: int) -> str:
    """Return the address of a version."""
    return address if version == 4 else six(address)


class Crossing:
    """The whole of it. Leaving takes everything away."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.gettempdir(), netns.unique("files"))
        self.ns = {name: netns.unique(name) for name in ("host", *NEIGHBOURS, "container")}
        self.inner = netns.unique("in")
        self.host = Host(self.ns["host"], self.directory / "host", nic="eth0")
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Crossing":
        try:
            for name in self.ns.values():
                netns.create(name)
                with inside(name):
                    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
            for name, (link, address) in NEIGHBOURS.items():
                self._wire(name, link, HOST[link], address)
            ip_batch(
                self.ns["outside"], [f"addr add {TARGET}/24 dev eth0", f"addr add {six(TARGET)}/64 dev eth0 nodad"]
            )
        except BaseException:
            self.close()
            raise
        return self

    def _wire(self, name: str, link: str, here: str, there: str) -> None:
        """Connect a namespace to *link* of the host, and let it route everything else to the host."""
        host, other = self.ns["host"], self.ns[name]
        ip_batch(host, [f"link add {link} type veth peer name eth0 netns {other}", f"link set {link} up"])
        ip_batch(other, ["link set eth0 up", *_addresses("eth0", there)])
        if not link.startswith("port"):
            ip_batch(host, _addresses(link, here))
        ip_batch(other, [f"route add default via {here}", f"route add default via {six(here)}"])

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything away."""
        for one in self._sockets:
            one.close()
        self.host.close()
        for name in (self.inner, *self.ns.values()):
            netns.delete(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, text: str) -> None:
        """Start neod on the host with this file, and wait until it says that it is converged."""
        self.host.write_config(text)
        self.host.start_neod()
        self.host.wait()

    def sh(self, command: str, check: bool = True) -> str:
        """Run a shell command on the host, as its operator would."""
        return run("nsenter", f"--net=/run/netns/{self.ns['host']}", "sh", "-c", command, check=check).stdout

    def left(self) -> tuple[str, list[str]]:
        """Return what could be left of neod: rules, and switches."""
        rules = [line for line in self.sh(RULES).splitlines() if not line.startswith(("#", ":", "*", "COMMIT"))]
        return self.sh(SWITCHES), rules

    def another_container_network(self, backend: str) -> None:
        """Do what docker does: a bridge, a container, forwarding for the host, translation, a policy of its own."""
        host = self.ns["host"]
        made = ["link add br-x type bridge forward_delay 0", "link set br-x up"]
        ip_batch(host, [*made, *_addresses("br-x", "172.30.0.1")])
        self._wire("container", "portx", "172.30.0.1", CONTAINER)
        ip_batch(host, ["link set portx master br-x"])
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.sh(f"echo 1 > /proc/sys/net/{path}")
        self.sh(CONTAINER_RULES[backend])

    # ── traffic ─────────────────────────────────────────────────────────────────────────────────

    def reaches(self, source: str, address: str, port: int, sink: str, arrives_at: int = 0) -> bool:
        """Whether a datagram from *source* to *address* arrives at *sink*, on *port* or another, and is answered."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.ExitStack() as until:
            with inside(self._netns(sink)):
                there = until.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                there.bind((self._address(sink, family), arrives_at or port))
            with inside(self._netns(source)):
                here = until.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            there.settimeout(1)
            here.settimeout(1)
            here.sendto(b"?", (address, port))
            try:
                _, sender = there.recvfrom(9)
                there.sendto(b"!", sender)
                return here.recvfrom(9)[0] == b"!"
            except TimeoutError:
                return False

    def arrives(self, source: str, address: str, sink: str, port: int = 7777) -> bool:
        """Whether a datagram arrives at all: one way is enough for an attack."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.ExitStack() as until:
            with inside(self._netns(sink)):
                there = until.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                there.bind(("", port))
            there.settimeout(0.1)
            with inside(self._netns(source)):
                until.enter_context(socket.socket(family, socket.SOCK_DGRAM)).sendto(b"?", (address, port))
            try:
                return bool(there.recvfrom(9))
            except TimeoutError:
                return False

    def connects(self, source: str, address: str, port: int, sink: str, arrives_at: int = 0) -> bool:
        """Whether a connection from *source* to *address* arrives at *sink*, and carries data both ways."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.ExitStack() as until:
            with inside(self._netns(sink)):
                server = until.enter_context(socket.socket(family, socket.SOCK_STREAM))
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((self._address(sink, family), arrives_at or port))
                server.listen()
            server.settimeout(1)
            with inside(self._netns(source)):
                client = until.enter_context(socket.socket(family, socket.SOCK_STREAM))
            client.settimeout(1)
            try:
                client.connect((address, port))
                there = until.enter_context(server.accept()[0])
                client.sendall(b"?")
                there.sendall(there.recv(9))
                return client.recv(9) == b"?"
            except OSError:
                return False

    def _netns(self, name: str) -> str:
        return self.inner if name == "inner" else self.ns["outside" if name == "target" else name]

    @staticmethod
    def _address(name: str, family: int) -> str:
        """Return what a server is bound to: of two addresses, the one that it must answer from."""
        bound = {"target": TARGET, "outside": NEIGHBOURS["outside"][1]}.get(name)
        return of(bound, 4 if family == socket.AF_INET else 6) if bound else ""


def _addresses(link: str, address: str) -> list[str]:
    return [f"addr add {address}/24 dev {link}", f"addr add {six(address)}/64 dev {link} nodad"]


CONTAINER_RULES = {
    "nftables": f"""nft -f - <<END
table ip other {{
    chain nat {{
        type nat hook postrouting priority 100
        ip saddr 172.30.0.0/24 oifname != "br-x" masquerade
    }}
    chain published {{
        type nat hook prerouting priority -100
        fib daddr type local udp dport 8080 dnat to {CONTAINER}:80
    }}
    chain forward {{
        type filter hook forward priority 0; policy drop
        ct state established,related accept
        ct status dnat accept
        iifname "br-x" accept
        ip daddr {CONTAINER} udp dport 81 accept
    }}
}}
END""",
    "iptables": f"""set -e
local="-p udp --dport 8080 -m addrtype --dst-type LOCAL"
iptables-legacy -t nat -A POSTROUTING -s 172.30.0.0/24 ! -o br-x -j MASQUERADE
iptables-legacy -t nat -A PREROUTING $local -j DNAT --to-destination {CONTAINER}:80
iptables-legacy -N OTHER
iptables-legacy -I FORWARD -j OTHER
iptables-legacy -A OTHER -o br-x -m conntrack --ctstate ESTABLISHED,RELATED,DNAT -j ACCEPT
iptables-legacy -A OTHER -i br-x -j ACCEPT
iptables-legacy -A OTHER -d {CONTAINER} -p udp --dport 81 -j ACCEPT
iptables-legacy -P FORWARD DROP""",
}
"""A container reaches the world, port 8080 of the host is its port 80, and who routes to it reaches its port 81."""
