"""Inputs that are not config: leases, and what the kernel reports.

Instants on this page are seconds of CLOCK_BOOTTIME, which goes on while the machine sleeps and never jumps.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Lease:
    """One bound DHCPv4 lease of one link."""

    link: str
    ip: IPv4Address
    prefix_length: int
    gateway: IPv4Address | None
    server: IPv4Address
    bound_at: float  # when the ACK's request was sent
    renew_at: float  # T1
    rebind_at: float  # T2
    expires_at: float  # inf never expires
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""
    mtu: int | None = None  # bytes, option 26
    routes: tuple[tuple[str, IPv4Address], ...] = ()  # option 121: (destination CIDR, gateway)
    left_out: tuple[str, ...] = ()  # what else the server said, and why it cannot be
    no_router: str = ""  # why there is no default route though the server named one


@dataclass(frozen=True, slots=True)
class Followed:
    """What somebody else configured on an uplink that neod only follows."""

    link: str
    addresses: tuple[tuple[IPv4Address, int], ...] = ()  # (address, prefix length)
    gateway: IPv4Address | IPv6Address | None = None  # zeros: everything is on the link. None: no default route by it
    on_link: bool = False  # the gateway is reachable though no subnet holds it
    source: IPv4Address | None = None  # the default route prefers it
    mtu: int | None = None  # bytes, of the default route


@dataclass(frozen=True, slots=True)
class Nic:
    """What macvlans take from the NIC below them."""

    link: str
    mtu: int  # bytes


@dataclass(frozen=True, slots=True)
class Host:
    """What this kernel, or this namespace of it, has."""

    machine_id: str
    neighbour_thresholds: bool = True  # net.ipv4.neigh.default.gc_thresh*: only the first namespace has them
    mptcp: tuple[str, ...] = ("enabled", "path_manager", "scheduler")  # sysctls below net/mptcp; none: no MPTCP
    ipv6: bool = True  # False: the kernel was built or started without it
    force_forwarding: bool = True  # IPv6 is forwarded by interface (Linux 6.17)


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What packets that pass through may come in and leave by."""

    nics: tuple[str, ...] = ()  # where clients come in if the file names no interface
    links: tuple[str, ...] = ()  # all that packets can leave by, but the loopback
    exits: tuple[tuple[IPv4Address | IPv6Address, str], ...] = ()  # what leads to the targets of forwards
    routing: frozenset[tuple[int, str]] = frozenset()  # IP version and link: it would pass packets on without us
    kept: tuple[int, ...] = ()  # IP versions that 0.1.0 switched on for the host, and others may rely on


@dataclass(frozen=True, slots=True)
class Multipath:
    """What limits MPTCP in one namespace."""

    netns: str
    foreign: tuple[IPv4Address | IPv6Address, ...] = ()  # endpoints of others: they take slots
    unmanageable: str = ""  # why neod cannot be the path manager there; empty: it can


class ProbePolicy(StrEnum):
    """What is asked by ARP about an address before and after it is used."""

    AUTO = (
        "auto"  # an address that we had before from the same server is used at once, another 0.2 s after the question
    )
    BEFORE = "before"  # every address waits
    OFF = "off"  # nothing is asked, and nothing that is heard counts


@dataclass(frozen=True, slots=True)
class DhcpClient:
    """One link whose IPv4 address neod leases."""

    link: str
    parent: str  # the link whose wire is used; the link itself for an uplink
    mac: str  # "02:…", or empty: whatever the link has
    probe: ProbePolicy = ProbePolicy.AUTO
    release: bool = True  # the lease is given back when the file gives it up
