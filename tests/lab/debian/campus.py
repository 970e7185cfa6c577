"""A campus whose host is a booted Debian: its NIC is a veth to a LAN that leases addresses."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.lab import Judge, Plan, Snapshot, Wanted, look, netns, poll
from tests.lab.debian.container import Container
from tests.lab.dhcp import Dnsmasq
from tests.lab.netns import ip, ip_batch

NIC = "ens3"
FILE = '[macvlans.neo]\nparent = "ens3"\ncount = {count}\nmptcp = []\n{more}'


class BootedCampus:
    """A host in a container, a LAN beside it. The NIC and the DHCP server come when asked for."""

    def __init__(self, *trees: Path) -> None:
        self.plan, self.host = Plan(), Container(*trees)
        self.lan, self.directory = netns.unique("lan"), Path(tempfile.gettempdir(), netns.unique("files"))
        self.dnsmasq: Dnsmasq | None = None
        self.directory.mkdir()
        netns.create(self.lan)
        ip_batch(self.lan, ["link add lan0 type bridge forward_delay 0", "link set lan0 up"])
        ip(self.lan, "address", "add", f"{self.plan.gateway}/{self.plan.network.prefixlen}", "dev", "lan0")

    def plug(self) -> None:
        """Give the host its NIC, with an address of its own."""
        ip(self.lan, "link", "add", "port0", "type", "veth", "peer", "name", NIC, "netns", str(self.host.pid))
        ip_batch(self.lan, ["link set port0 master lan0", "link set port0 up"])
        nic = f"{self.plan.nic}/{self.plan.network.prefixlen}"
        ip_batch(self.host.ns, [f"link set {NIC} up", f"address add {nic} dev {NIC}"])

    def serve(self) -> None:
        """Start leasing addresses."""
        self.dnsmasq = Dnsmasq(self.lan, "lan0", self.plan, self.directory)

    def count(self, message: str) -> int:
        """Return how many DHCP messages of a type the server has seen or sent."""
        assert self.dnsmasq
        return self.dnsmasq.count(message)

    def close(self) -> None:
        """Take everything away."""
        self.host.close()
        if self.dnsmasq:
            self.dnsmasq.stop()
        netns.delete(self.lan)
        shutil.rmtree(self.directory, ignore_errors=True)

    # ── neod on it ──────────────────────────────────────────────────────────────────────────────

    def configure(self, count: int = 4, more: str = "") -> None:
        """Write the host's file."""
        self.host.write("/etc/neo/neo.toml", FILE.format(count=count, more=more))

    def converged(self, count: int = 4) -> Snapshot:
        """Wait until the kernel holds what the file asks for, and return what it holds."""
        names = tuple(f"neo{number}" for number in range(1, count + 1))
        judge = Judge(Wanted(names, NIC, self.plan.network, self.plan.gateway, self.plan.pool, 0))
        problems: list[str] = []

        def settled() -> Snapshot | None:
            seen = look(self.host.ns)
            problems[:] = judge.problems(seen)
            return None if problems else seen

        try:
            return poll(settled, 30, 0.05)  # type: ignore[return-value]
        except TimeoutError:
            raise TimeoutError("\n".join([*problems[:12], self.journal()])) from None

    def stored(self) -> None:
        """Wait until the leases are on disk: a tenth of a second after they came."""
        poll(lambda: self.host.run("test -s /var/lib/neo/leases.json").status == 0, 10, why="leases are on disk")

    def addresses(self, count: int = 4) -> list[str]:
        """Return the leased addresses, in the order of their interfaces."""
        seen = look(self.host.ns)
        return [str(seen.address(f"neo{number}")) for number in range(1, count + 1)]

    def show(self, key: str, unit: str = "neod") -> str:
        """Return a property of a unit."""
        return self.host.ok('systemctl show --value -p "$1" "$2"', key, unit).strip()

    def pid(self) -> int:
        """Return the daemon's process number, inside; 0 when there is none."""
        return int(self.show("MainPID"))

    def status(self) -> Any:
        """Return what ``neodctl status --json`` says."""
        return json.loads(self.host.run("neodctl status --json").out)

    def journal(self, unit: str = "neod") -> str:
        """Return what the journal has of a unit."""
        return self.host.run('journalctl --no-pager -q -u "$1" | tail -n 40', unit).out
