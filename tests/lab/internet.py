"""What lies beyond the campus gateway: a server, and a limit on the bandwidth of each campus address.

LAN namespace                          Internet namespace
lan0 ─ (forwards) ─ wan0 198.51.100.1 ───── inet0 198.51.100.10
                    └ htb: one class an address
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tests.lab import netns
from tests.lab.campus import Campus
from tests.lab.netns import inside, ip, ip_batch, run

NETWORK = IPv4Network("198.51.100.0/24")
ROUTER, SERVER = NETWORK[1], NETWORK[10]


class Internet:
    """A namespace behind the gateway of a campus. Use it with ``with``, inside that of the campus."""

    def __init__(self, campus: Campus) -> None:
        self.ns, self._lan, self._campus_network = netns.unique("inet"), campus.lan, campus.plan.network

    def __enter__(self) -> "Internet":
        netns.create(self.ns)
        ip(self._lan, "link", "add", "wan0", "type", "veth", "peer", "name", "inet0", "netns", self.ns)
        ip_batch(self._lan, [f"address add {ROUTER}/{NETWORK.prefixlen} dev wan0", "link set wan0 up"])
        ip_batch(
            self.ns,
            [
                f"address add {SERVER}/{NETWORK.prefixlen} dev inet0",
                "link set inet0 up",
                f"route add {self._campus_network} via {ROUTER}",
            ],
        )
        with inside(self._lan):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        return self

    def __exit__(self, *_: object) -> None:
        ip(self._lan, "link", "del", "wan0", check=False)
        netns.delete(self.ns)

    def throttle(self, addresses: Iterable[str], rate: str = "10mbit") -> None:
        """Limit what each campus address may send; others are not limited."""
        lines = ["qdisc replace dev wan0 root handle 1: htb"]
        for number, address in enumerate(map(IPv4Address, addresses), 1):
            lines.append(f"class add dev wan0 parent 1: classid 1:{number:x} htb rate {rate} burst 15k")
            match = f"u32 match ip src {address}/32 flowid 1:{number:x}"
            lines.append(f"filter add dev wan0 parent 1: protocol ip prio 1 {match}")
        run("tc", "-n", self._lan, "-batch", "-", stdin="\n".join(lines) + "\n")
