"""The whole system in namespaces: a campus that throttles every address, the Internet, relays, a proxy server.

campus ── gate ── core ─┬─ relay1 203.0.113.11
 ens3     DHCP          ├─ relay2 203.0.113.12
          throttle      ├─ server 198.51.100.10 ── proxy (a namespace that neod makes)
                        └─ web    192.0.2.80
"""

import shutil
import threading
from ipaddress import IPv4Network
from pathlib import Path

from tests.lab import Host, Plan, netns, poll
from tests.lab.dhcp import Dnsmasq
from tests.lab.netns import inside, ip, ip_batch, run

HOSTS = ("campus", "relay1", "relay2", "server")
NAMESPACES = (*HOSTS, "gate", "core", "web")
INNER = "proxy"
PUBLIC = {"relay1": "203.0.113.11", "relay2": "203.0.113.12", "server": "198.51.100.10", "web": "192.0.2.80"}
NIC, NIC_ADDRESS = "ens3", "10.8.0.5"
WIRES = {  # host: (the core's end, the host's end)
    "gate": ("192.0.2.1/30", "192.0.2.2/30"),
    "relay1": ("203.0.113.10/31", "203.0.113.11/31"),
    "relay2": ("203.0.113.13/31", "203.0.113.12/31"),
    "server": ("198.51.100.1/24", "198.51.100.10/24"),
    "web": ("192.0.2.65/26", "192.0.2.80/26"),
}
RATE_MBIT = 4.0
"""What an address may have, each way: 25 of them are far from what two busy cores can move."""
QUEUE_PACKETS = 40
"""Of an address: 120 ms, as a shaper with a sane buffer has."""
DHCP_ANSWERS = "u32 match ip protocol 17 0xff match ip sport 67 0xffff"
"""A gateway does not drop its own answers behind what it throttles."""
RENEW_S = 5
"""T1 of every lease: short, so that one sees renewals."""


class CampusDhcp(Dnsmasq):
    """dnsmasq of the campus gateway: leases of an hour, renewed every few seconds, and reservations by MAC."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.reservations = directory / "dnsmasq.hosts"
        self.reservations.write_text("")
        super().__init__("gate", "lan0", plan, directory)

    def _argv(self, link: str, plan: Plan, quiet: bool) -> list[str]:
        more = [f"--dhcp-option=58,{RENEW_S}", f"--dhcp-hostsfile={self.reservations}"]
        return [*super()._argv(link, plan, quiet), *more]

    def reserve(self, mac: str, address: str) -> None:
        """From now on this MAC gets this address; the next renewal of another one is refused."""
        self.reservations.write_text(f"{mac},{address}\n")
        self.program.signal(1)  # SIGHUP: reads the reservations again

    def leased(self) -> list[str]:
        """Return the addresses that are leased."""
        lines = self.leases.read_text().splitlines() if self.leases.exists() else []
        return [line.split()[2] for line in lines if len(line.split()) >= 4]


class Throttle:
    """The campus gateway's limit: a class an address, each way; an address gets it with its lease."""

    def __init__(self, dhcp: CampusDhcp, fixed: str) -> None:
        self._dhcp, self._fixed, self.classes = dhcp, fixed, dict[str, int]()
        self._over = threading.Event()
        self._lock = threading.Lock()
        for dev in ("lan0", "wan0"):
            self._tc(f"qdisc add dev {dev} root handle 1: htb default 2", *self._class(dev, 2))
        self._tc(f"filter add dev lan0 parent 1: protocol ip prio 1 {DHCP_ANSWERS} classid 1:2")
        self.look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Give every leased address its class."""
        with self._lock:
            for address in (self._fixed, *self._dhcp.leased()):
                if address not in self.classes:
                    self._add(address)

    def _add(self, address: str) -> None:
        number = self.classes[address] = len(self.classes) + 16
        lines = []
        for dev, side in (("lan0", "dst"), ("wan0", "src")):
            lines += self._class(dev, number)
            match = f"u32 match ip {side} {address} classid 1:{number:x}"
            lines.append(f"filter add dev {dev} parent 1: protocol ip prio 1 {match}")
        self._tc(*lines)

    def _class(self, dev: str, number: int) -> list[str]:
        rate = f"{int(RATE_MBIT * 1e6)}bit"
        htb = f"htb rate {rate} ceil {rate} burst 15k cburst 15k quantum 1514"
        return [
            f"class add dev {dev} parent 1: classid 1:{number:x} {htb}",
            f"qdisc add dev {dev} parent 1:{number:x} pfifo limit {QUEUE_PACKETS}",
        ]

    def _tc(self, *lines: str) -> None:
        run("nsenter", "--net=/run/netns/gate", "tc", "-b", "-", stdin="\n".join(lines) + "\n")

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            try:
                self.look()
            except (RuntimeError, OSError):  # the gateway is being taken away
                return

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join(5)


class DemoNetwork:
    """The whole topology. Leaving takes everything away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan = Plan(IPv4Network("10.8.0.0/16"))
        nics = dict.fromkeys(HOSTS, "eth0") | {"campus": NIC}
        self.hosts = {name: Host(name, directory / name, nics[name]) for name in HOSTS}
        self.dhcp: CampusDhcp | None = None
        self.throttle: Throttle | None = None

    def __enter__(self) -> "DemoNetwork":
        try:
            for name in NAMESPACES:
                netns.create(name)
            self._campus()
            for name, (near, far) in WIRES.items():
                self._wire(name, near, far)
            # Large packets are cut here: a shaper counts what a wire would carry, and its queue is not a second long.
            ip("core", "link", "set", "gate", "gso_max_segs", "1")
            ip("core", "route", "add", str(self.plan.network), "via", WIRES["gate"][1].split("/")[0])
            for name in ("gate", "core"):
                with inside(name):
                    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            self.dhcp = CampusDhcp(self.directory, self.plan)
            self.throttle = Throttle(self.dhcp, NIC_ADDRESS)
        except BaseException:
            self.close()
            raise
        return self

    def _campus(self) -> None:
        prefix = self.plan.network.prefixlen
        ip("campus", "link", "add", NIC, "type", "veth", "peer", "name", "lan0", "netns", "gate")
        ip_batch("gate", ["link set lan0 up", f"address add {self.plan.gateway}/{prefix} dev lan0"])
        ip_batch(
            "campus",
            [
                f"link set {NIC} up",
                f"address add {NIC_ADDRESS}/{prefix} dev {NIC}",
                f"route add default via {self.plan.gateway} dev {NIC}",
            ],
        )

    def _wire(self, name: str, near: str, far: str) -> None:
        nic = "wan0" if name == "gate" else "eth0"
        ip(name, "link", "add", nic, "type", "veth", "peer", "name", name, "netns", "core")
        ip_batch("core", [f"link set {name} up", f"address add {near} dev {name}"])
        commands = [f"link set {nic} up", f"address add {far} dev {nic}"]
        ip_batch(name, [*commands, f"route add default via {near.split('/')[0]}"])

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything away."""
        if self.throttle:
            self.throttle.stop()
        for host in self.hosts.values():
            host.close()
        if self.dhcp:
            self.dhcp.stop()
        for name in (INNER, *NAMESPACES):
            netns.delete(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    # ── what one asks of it ─────────────────────────────────────────────────────────────────────

    def sh(self, host: str, command: str) -> str:
        """Run a command on a host, as somebody there would."""
        return run("nsenter", f"--net=/run/netns/{host}", "sh", "-c", command).stdout

    def addresses(self) -> dict[str, str]:
        """Return the address of each interface of the campus host that can carry data, NIC first."""
        seen = self.hosts["campus"].look()
        names = sorted((link.name for link in seen.owned().links), key=lambda name: (len(name), name))
        found = {name: seen.address(name) for name in names}
        return {NIC: NIC_ADDRESS} | {name: address for name, address in found.items() if address}

    def throttled(self, timeout_s: float = 5.0) -> None:
        """Wait until every address of the campus host has its own limit."""
        assert self.throttle is not None
        classes = self.throttle.classes
        poll(lambda: set(self.addresses().values()) <= set(classes), timeout_s, why="every address is throttled")
