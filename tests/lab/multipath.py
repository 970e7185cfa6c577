"""A campus that throttles every address by itself, and a server behind its gateway.

host namespace            LAN namespace                      server namespace
ens3 ────────────── lan0 10.8.0.1 · out0 192.0.2.254 ─────── eth0 192.0.2.10
neo1 … neoN               htb on out0: a class an address
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.lab import netns
from tests.lab.campus import Campus
from tests.lab.host import Host
from tests.lab.netns import ip, ip_batch, poll, run
from tests.lab.transfer import Transfer

SERVER, GATEWAY_OUT = "192.0.2.10", "192.0.2.254"
RECIPE = {"net/ipv4/tcp_wmem": "4096 16384 262144", "net/ipv4/tcp_rmem": "4096 16777216 134217728"}
"""Of docs/mptcp.md, for both ends: little in the queue of each path, much room for what comes early."""

QUEUE_PACKETS = 60
"""Of an address: 60 full packets are 72 ms at 10 Mbit/s, as a shaper with a sane buffer has. With the 1000 of a
default qdisc every path would have a second of latency."""


class Multipath(Campus):
    """The campus with the way out. ``throttle`` gives an address a class of its own; all others share one."""

    def __init__(self, n: int = 8, rate_mbit: float = 10.0, **kwargs: Any) -> None:
        super().__init__(n, bridge=False, quiet=True, **kwargs)
        self.rate_mbit = rate_mbit
        self.far = Host(netns.unique("server"), self.directory / "server", "eth0")
        self._classes: dict[str, int] = {}
        self.second_tries = 0  # of subflows that the server's kernel reset for no fault of ours
        self.inner = ""  # the server's namespace of the proxy role

    def __enter__(self) -> "Multipath":
        netns.create(self.far.ns)
        super().__enter__()
        try:
            self._way_out()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Take everything away."""
        self.far.close()
        for name in filter(None, (self.inner, self.far.ns)):
            netns.delete(name)
        super().close()

    def _way_out(self) -> None:
        ip(self.lan, "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", self.far.ns)
        ip_batch(self.lan, ["link set out0 up", f"address add {GATEWAY_OUT}/24 dev out0"])
        ip_batch(
            self.far.ns,
            ["link set eth0 up", f"address add {SERVER}/24 dev eth0", f"route add default via {GATEWAY_OUT}"],
        )
        with netns.inside(self.lan):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        self._tc("qdisc add dev out0 root handle 1: htb default 2")
        self._class(2, self.rate_mbit)

    def _tc(self, *lines: str) -> None:
        run("nsenter", f"--net=/run/netns/{self.lan}", "tc", "-b", "-", stdin="\n".join(lines) + "\n")

    def _class(self, number: int, mbit: float, verb: str = "add") -> None:
        rate = f"rate {int(mbit * 1e6)}bit ceil {int(mbit * 1e6)}bit burst 15k cburst 15k quantum 1514"
        lines = [f"class {verb} dev out0 parent 1: classid 1:{number:x} htb {rate}"]
        if verb == "add":
            lines.append(f"qdisc add dev out0 parent 1:{number:x} pfifo limit {QUEUE_PACKETS}")
        self._tc(*lines)

    def throttle(self, addresses: Iterable[str]) -> None:
        """Give each address its own limit; those that have one keep it."""
        for address in addresses:
            if address in self._classes:
                continue
            number = self._classes[address] = len(self._classes) + 16
            self._class(number, self.rate_mbit)
            self._tc(
                f"filter add dev out0 parent 1: protocol ip prio 1 u32 match ip src {address} classid 1:{number:x}"
            )

    def choke(self, address: str, mbit: float = 0.001) -> None:
        """Throttle one address to next to nothing, without a word to anybody."""
        self._class(self._classes[address], mbit, "change")

    def leased(self) -> list[str]:
        """Return the addresses of the macvlans, by number."""
        seen = self.host.look()
        return [address for name in self.names() if (address := seen.address(name))]

    def multipath_file(self, manager: str = "kernel", more: str = "") -> str:
        """Return the host's file with MPTCP on all macvlans."""
        return self.file(more=f'[mptcp]\npath_manager = "{manager}"\n{more}').replace("mptcp = []\n", "")

    def start(self, manager: str = "kernel", more: str = "") -> list[str]:
        """Start neod, wait until it is converged, throttle every address, and return the addresses."""
        self.host.write_config(self.multipath_file(manager, more))
        self.host.start_neod()
        self.host.wait(60)
        addresses = self.leased()
        self.throttle(addresses)
        return addresses

    def serve(self, manager: str = "kernel") -> None:
        """Let the server accept what the host opens."""
        ip(self.far.ns, "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        if manager == "neod":
            self.far.write_config('[uplinks.eth0]\ntable = 77\nmptcp = ["signal"]\n[mptcp]\npath_manager = "neod"\n')
            self.far.start_neod()
            self.far.wait(30)
            managing = "neod is the path manager"
            poll(lambda: managing in self.far.ctl("status").out, 10, why=f"{managing}; {self.far.tail()}")

    def serve_inside(self, manager: str = "kernel") -> Transfer:
        """Make the server one of the proxy role; return a transfer from the host into its namespace."""
        self.inner = netns.unique("inner")
        self.far.write_config(
            f'[namespaces.{self.inner}]\nuplink = "eth0"\nsubnet = "10.254.0.0/30"\nexpose = ["tcp/5001"]\n'
            f'[mptcp]\npath_manager = "{manager}"\n'
        )
        self.far.start_neod()
        self.far.wait(30)
        return Transfer(self.inner, self.host.ns, SERVER, self.directory, listen="0.0.0.0")

    def tune(self) -> None:
        """Follow the recipe on both ends, in the namespace of the proxy role as well."""
        for name in filter(None, (self.host.ns, self.far.ns, self.inner)):
            with netns.inside(name):
                for path, value in RECIPE.items():
                    Path("/proc/sys", path).write_text(value)

    def transfer(self) -> Transfer:
        """Return a transfer from the host to the server."""
        return Transfer(self.far.ns, self.host.ns, SERVER, self.directory)
