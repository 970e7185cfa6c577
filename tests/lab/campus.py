"""A campus in namespaces: a host with one NIC, a LAN with a gateway that leases addresses.

host namespace                LAN namespace
ens3 (veth) ───────────────── port0 ─ lan0 (bridge) 10.8.0.1: gateway, DHCP, UDP echo
neo1 … neoN on ens3
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from tests.lab import netns
from tests.lab.dhcp import Dnsmasq, Kea, Plan
from tests.lab.host import Host
from tests.lab.judge import Judge, Wanted
from tests.lab.kernel import Snapshot, look_with
from tests.lab.netns import ip, ip_batch, poll
from tests.lab.rtnl import Rtnl
from tests.lab.scripted import Scripted

Server = Literal["dnsmasq", "kea", "scripted"]
NIC_MAC = "02:00:5e:10:00:05"


class Campus:
    """The whole topology. Use it with ``with``: leaving takes everything away."""

    def __init__(
        self,
        n: int = 8,
        server: Server | None = "dnsmasq",
        plan: Plan | None = None,
        table_base: int | None = None,
        bridge: bool = True,
        quiet: bool = False,
    ) -> None:
        self.n, self.plan, self.bridge, self.quiet = n, plan or Plan(), bridge, quiet
        self.table_base = (1000 if n > 252 else 0) if table_base is None else table_base
        self.lan = netns.unique("lan")
        self.directory = Path(tempfile.gettempdir(), netns.unique("files"))
        self.host = Host(netns.unique("host"), self.directory / "host")
        self.server: Dnsmasq | Kea | Scripted | None = None
        self._server_name = server

    # ── building and taking away ────────────────────────────────────────────────────────────────

    def __enter__(self) -> "Campus":
        try:
            netns.create(self.lan)
            netns.create(self.host.ns)
            self._wire()
            if self._server_name is not None:
                self.start_server(self._server_name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything away, in an order that waits for what the kernel does late."""
        self.host.close()
        self.stop_server()
        with contextlib.suppress(RuntimeError):
            ip(self.host.ns, "link", "del", "group", "110", check=False)
            ip(self.host.ns, "link", "del", self.host.nic, check=False)
        for name in (self.host.ns, self.lan):
            netns.delete(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _wire(self) -> None:
        if self.bridge:
            ip_batch(self.lan, ["link add lan0 type bridge forward_delay 0", "link set lan0 up"])
        self.plug()
        ip(self.lan, "address", "add", f"{self.plan.gateway}/{self.plan.network.prefixlen}", "dev", "lan0")

    def plug(self) -> None:
        """Give the host its NIC: always with the same MAC, each time with another index."""
        peer = "port0" if self.bridge else "lan0"
        ip(self.host.ns, "link", "add", self.host.nic, "address", NIC_MAC, "type", "veth",
           "peer", "name", peer, "netns", self.lan)  # fmt: skip
        commands = (
            [f"link set {peer} up"] if not self.bridge else [f"link set {peer} master lan0", f"link set {peer} up"]
        )
        ip_batch(self.lan, commands)
        ip_batch(
            self.host.ns,
            [
                f"link set {self.host.nic} up",
                f"address add {self.plan.nic}/{self.plan.network.prefixlen} dev {self.host.nic}",
                f"route add default via {self.plan.gateway} dev {self.host.nic}",
            ],
        )

    def unplug(self) -> None:
        """Take the NIC away; its macvlans go with it."""
        ip(self.host.ns, "link", "del", self.host.nic)

    def carrier(self, up: bool) -> None:
        """Pull the cable at the far end, or put it back."""
        ip(self.lan, "link", "set", "port0" if self.bridge else "lan0", "up" if up else "down")

    # ── the DHCP server ─────────────────────────────────────────────────────────────────────────

    def start_server(self, server: Server) -> None:
        """Start leasing addresses."""
        if server == "scripted":
            self.server = Scripted(self.lan, "lan0", self.plan.gateway, self.plan.network)
            return
        kind = {"dnsmasq": Dnsmasq, "kea": Kea}[server]
        self.server = kind(self.lan, "lan0", self.plan, self.directory, self.quiet)

    def stop_server(self) -> None:
        """Stop leasing; the leases it wrote stay for the next start."""
        if self.server is not None:
            self.server.stop()
        self.server = None

    @property
    def scripted(self) -> Scripted:
        """The server that does as it is told."""
        assert isinstance(self.server, Scripted)
        return self.server

    @property
    def dnsmasq(self) -> Dnsmasq:
        """The dnsmasq that serves."""
        assert isinstance(self.server, Dnsmasq)
        return self.server

    # ── the host's file, and whether it came true ───────────────────────────────────────────────

    def file(self, n: int | None = None, more: str = "", daemon: str = "") -> str:
        """Return the host's file: N macvlans with a lease each, and *more*."""
        base = f"table_base = {self.table_base}\n" if self.table_base else ""
        return (
            f"[macvlans.neo]\nparent = \"{self.host.nic}\"\ncount = {n or self.n}\n"
            f"mode = \"private\"\nipv4 = \"dhcp\"\n{base}mptcp = []\n{more}\n[daemon]\n{daemon}\n"
        )  # fmt: skip

    def names(self, n: int | None = None) -> tuple[str, ...]:
        """Return the names of the macvlans."""
        return tuple(f"neo{i}" for i in range(1, (n or self.n) + 1))

    def judge(self, names: Iterable[str] | None = None) -> Judge:
        """Return the judge of what :meth:`file` asks for."""
        wanted = Wanted(
            names=tuple(names or self.names()),
            parent=self.host.nic,
            network=self.plan.network,
            gateway=self.plan.gateway,
            pool=self.plan.pool,
            table_base=self.table_base,
        )
        return Judge(wanted)

    def converged(self) -> list[str]:
        """Return what the kernel does not hold as the file says; empty when converged."""
        return self.judge().problems(self.host.look())

    def wait_converged(self, timeout_s: float = 12.0, judge: Judge | None = None) -> Snapshot:
        """Wait until the kernel holds what the file says, and return what it holds."""
        judge = judge or self.judge()
        last: list[str] = ["never looked"]
        with Rtnl(self.host.ns) as socket:

            def settled() -> Snapshot | None:
                nonlocal last
                last = judge.problems(seen := look_with(socket))
                return None if last else seen

            try:
                return poll(settled, timeout_s, 0.03, "converged")  # type: ignore[return-value]
            except TimeoutError as late:
                shown = "\n".join(last[:12])
                raise TimeoutError(f"{late}\n{len(last)} problems:\n{shown}\n{self.host.tail()}") from None


@contextlib.contextmanager
def campus(*args: object, **kwargs: object) -> Iterator[Campus]:
    """Make a campus and start neod on its file; leave with nothing left."""
    with Campus(*args, **kwargs) as made:  # type: ignore[arg-type]
        made.host.write_config(made.file())
        made.host.start_neod()
        yield made
