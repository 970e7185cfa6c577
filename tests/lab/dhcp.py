"""DHCP servers for the campus: dnsmasq, kea, and one that does as it is told."""

import json
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tests.lab.netns import poll
from tests.lab.process import Program


@dataclass(frozen=True, slots=True)
class Plan:
    """The addresses of a campus: room for thousands of clients behind one gateway.

    The pool is large because dnsmasq picks addresses by a hash of the MAC and
    forgets its offers: two clients that ask together for one free address are
    both offered it, and the slower one is refused. That happens to one in a
    thousand here, and to one in ten in a pool of 8192.
    """

    network: IPv4Network = field(default_factory=lambda: IPv4Network("10.8.0.0/16"))
    lease_s: int = 3600
    first: int = 16 * 256  # offset of the first leased address
    size: int = 200 * 256

    @property
    def gateway(self) -> IPv4Address:
        """The campus gateway, which is also the DHCP server."""
        return self.network[1]

    @property
    def nic(self) -> IPv4Address:
        """The static address of the host's NIC."""
        return self.network[5]

    @property
    def pool(self) -> tuple[IPv4Address, IPv4Address]:
        """First and last address that is leased."""
        return self.network[self.first], self.network[self.first + self.size - 1]

    def leased(self, address: str) -> bool:
        """Whether an address is one that the server hands out."""
        first, last = self.pool
        return first <= IPv4Address(address) <= last


class Dnsmasq:
    """dnsmasq on one link; what it did stands in ``log``."""

    def __init__(self, ns: str, link: str, plan: Plan, directory: Path, quiet: bool = False) -> None:
        self.leases, self.log = directory / "dnsmasq.leases", directory / "dnsmasq.log"
        self.program = Program(ns, self._argv(link, plan, quiet), directory / "dnsmasq.out")
        poll(lambda: "DHCP" in self.printed(), 5, why="dnsmasq serves")

    def _argv(self, link: str, plan: Plan, quiet: bool) -> list[str]:
        first, last = plan.pool
        return [
            "dnsmasq",
            "--no-daemon",  # in the foreground and as who we are: a user namespace has no groups to change to
            "--conf-file=/dev/null",
            "--port=0",
            f"--interface={link}",
            "--bind-interfaces",
            f"--dhcp-range={first},{last},{plan.network.netmask},{plan.lease_s}",
            f"--dhcp-option=3,{plan.gateway}",
            "--dhcp-authoritative",
            "--no-ping",
            "--dhcp-lease-max=20000",
            f"--dhcp-leasefile={self.leases}",
            f"--log-facility={self.log}",
            "--pid-file=",
            *(["--quiet-dhcp", "--leasefile-ro"] if quiet else []),
        ]

    def printed(self) -> str:
        """Return its log."""
        if not self.program.running:
            said = self.log.read_text() if self.log.exists() else ""
            raise RuntimeError(f"dnsmasq ended: {self.program.printed()}{said}")
        return self.log.read_text() if self.log.exists() else ""

    def count(self, message: str) -> int:
        """Return how many messages of a type it saw or sent: ``DHCPDISCOVER``."""
        return self.printed().count(f"{message}(")

    def stop(self) -> None:
        """End the server."""
        self.program.stop()


class Kea:
    """kea-dhcp4 on one link, leases in memory only."""

    def __init__(self, ns: str, link: str, plan: Plan, directory: Path, quiet: bool = False) -> None:
        del quiet
        config = directory / "kea.json"
        config.write_text(json.dumps(self._config(link, plan)))
        places = {"KEA_PIDFILE_DIR": str(directory), "KEA_LOCKFILE_DIR": str(directory)}
        self.log = directory / "kea.out"
        self.program = Program(ns, ["kea-dhcp4", "-c", str(config)], self.log, places)
        poll(self._serves, 10, why="kea serves")

    def _serves(self) -> bool:
        if not self.program.running:
            raise RuntimeError(f"kea ended: {self.program.printed()}")
        return "DHCP4_STARTED" in self.program.printed()

    @staticmethod
    def _config(link: str, plan: Plan) -> dict[str, object]:
        first, last = plan.pool
        subnet = {
            "subnet": str(plan.network),
            "id": 1,
            "pools": [{"pool": f"{first} - {last}"}],
            "option-data": [{"name": "routers", "data": str(plan.gateway)}],
        }
        return {
            "Dhcp4": {
                "interfaces-config": {"interfaces": [link], "dhcp-socket-type": "raw"},
                "lease-database": {"type": "memfile", "persist": False},
                "valid-lifetime": plan.lease_s,
                "calculate-tee-times": True,
                "authoritative": True,
                "subnet4": [subnet],
                "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
            }
        }

    def stop(self) -> None:
        """End the server."""
        self.program.stop()
