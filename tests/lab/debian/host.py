"""A campus host that is a proxy server as well, in a machine: what the tests ask of it."""

import json
from typing import Any

from tests.lab.debian.machine import Machine

FILE = """[macvlans.neo]
parent = "ens3"
count = {count}
mptcp = ["subflow"]

[namespaces.proxy]
uplink = "ens3"
subnet = "10.254.0.0/30"
expose = ["tcp/443"]
relay_addresses = ["203.0.113.11", "203.0.113.12"]
relay_link = "dummy"
relay_snat = "10.254.1.0/24"
mptcp = ["signal"]
{more}"""

PROXY = """[Unit]
Description=A proxy program
[Service]
Type=exec
ExecStart=/usr/bin/python3 -u -m http.server 443
[Install]
WantedBy=multi-user.target
"""
"""A unit that knows nothing of neo; the example drop-in is what puts it into the namespace."""

WAIT_S = 240.0


class Host(Machine):
    """The machine with neo on it."""

    def configure(self, count: int = 4, more: str = "") -> None:
        """Write the file."""
        self.write("/etc/neo/neo.toml", FILE.format(count=count, more=more))

    def settle(self) -> None:
        """Enable neod and a proxy program in its namespace, and wait until all is there."""
        self.configure()
        self.write("/etc/systemd/system/proxy.service", PROXY)
        self.write("/etc/netns/proxy/resolv.conf", "nameserver 127.0.0.1\n")
        self.ok(
            "mkdir /etc/systemd/system/proxy.service.d && "
            "cp /usr/share/doc/neo/examples/proxy-in-namespace.conf /etc/systemd/system/proxy.service.d/neo.conf && "
            "systemctl daemon-reload && systemctl enable --quiet --now neod neo-wait-online proxy",
            timeout_s=WAIT_S,
        )
        self.converged()

    def converged(self) -> None:
        """Wait until the daemon says that all is as its file says."""
        self.ok(f"neodctl wait --timeout {WAIT_S:.0f}s || {{ neodctl status; exit 1; }}", timeout_s=WAIT_S + 30)

    def reload(self) -> None:
        """Have the file read again, and wait until all is as it says; a SIGHUP would not tell when it was read."""
        self.ok("neodctl reload", timeout_s=WAIT_S)
        self.converged()

    def json(self, script: str) -> Any:
        """Return what a command says in JSON."""
        return json.loads(self.ok(script))

    def leases(self) -> dict[str, str]:
        """Return the address of each macvlan, as the kernel has it."""
        seen = self.json("ip -j -4 address show type macvlan")
        return {link["ifname"]: info["local"] for link in seen for info in link.get("addr_info", ())}

    def macs(self) -> dict[str, str]:
        """Return the MAC of each macvlan."""
        return {link["ifname"]: link["address"] for link in self.json("ip -j link show type macvlan")}

    def stored(self) -> set[str]:
        """Return the addresses whose leases are on disk."""
        found = self.run(r"""grep -oE '"ip": *"[0-9.]+"' /var/lib/neo/leases.json""").out
        return {line.split('"')[3] for line in found.splitlines()}

    def count(self, message: str) -> int:
        """Return how many DHCP messages of a type the server has seen or sent."""
        return int(self.run(f"grep -c '{message}(' /var/log/lan.log").out)

    def show(self, key: str, unit: str = "neod") -> str:
        """Return a property of a unit."""
        return self.ok('systemctl show --value -p "$1" "$2"', key, unit).strip()

    def pid(self) -> int:
        """Return the daemon's process number; 0 when there is none."""
        return int(self.show("MainPID"))
