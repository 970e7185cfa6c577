"""The whole file, checked: what the daemon works from.

Values only; each table's ``compile`` says what its part is.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from neod.model.facts import DhcpClient
from neod.model.nat import NatRule
from neod.model.want import Fragment, Origin


@dataclass(frozen=True, slots=True)
class PathInfo:
    """One row of the path table in ``neodctl status``."""

    name: str
    parent: str  # empty for an uplink
    ipv4: str  # "dhcp", "follow" or "static"
    table: int
    mptcp: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address that can be an MPTCP path: what an endpoint, or neod's own path manager, makes of it."""

    name: str  # of the path, or of what the address belongs to
    netns: str
    link: str  # empty: wherever routing sends its packets
    ip: IPv4Address | IPv6Address | None  # None: *fact* tells
    fact: str  # "lease" or "followed" of the link; empty for a static address
    flags: tuple[str, ...]
    rank: tuple[int, int]  # the best first: uplinks (0, -), then macvlans (1, number)
    table: int  # its own routing table; 0: it has none
    origin: Origin


@dataclass(frozen=True, slots=True)
class PathManagement:
    """What ``[mptcp]`` says of one namespace, for neod as the path manager there."""

    netns: str
    exclude: tuple[IPv4Network | IPv6Network, ...] = ()  # peers that are left alone
    max_subflows: int = 0  # of one connection, the first among them; 0: as many as there are addresses
    max_total: int = 0  # of all connections; 0: no limit


@dataclass(frozen=True, slots=True)
class NatPart:
    """The translation that one entry of the file asks for; ``[nat]`` makes one whole of all parts."""

    rules: tuple[tuple[NatRule, tuple[str | int, ...]], ...]  # each with the path of what says it
    origin: Origin
    netns: str = ""


@dataclass(frozen=True, slots=True)
class ForwardInfo:
    """One row of the forwards in ``neodctl status``."""

    name: str
    protocol: str
    ports: tuple[str, ...]
    to: str
    snat: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """One row of the namespaces in ``neodctl status``."""

    name: str
    uplink: str
    subnet: str
    expose: tuple[str, ...]
    relay_addresses: tuple[str, ...]
    links: tuple[str, ...]  # in neod's own namespace
    origin: Origin


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """``[daemon]``, ``[metrics]``."""

    resync_s: float = 60.0
    on_stop: str = "keep"  # keep | remove
    log_level: str = "info"
    log_format: str = "auto"  # auto | json | console
    metrics_listen: str = ""  # "127.0.0.1:9110"; empty is off


@dataclass(frozen=True, slots=True)
class Intents:
    """The whole file, checked: what the daemon works from. Picklable."""

    fragments: tuple[Fragment, ...]
    paths: tuple[PathInfo, ...] = ()
    dhcp: tuple[DhcpClient, ...] = ()
    follow: tuple[str, ...] = ()  # uplinks whose foreign configuration is followed
    races: tuple[dict[str, object], ...] = ()  # for neo-race, as plain values; neod does not use them
    candidates: tuple[Candidate, ...] = ()  # for MPTCP; [mptcp] makes endpoints of them
    nat: tuple[NatPart, ...] = ()
    forwards: tuple[ForwardInfo, ...] = ()
    namespaces: tuple[NamespaceInfo, ...] = ()
    path_managers: tuple[PathManagement, ...] = ()  # one for each namespace where neod is the path manager
    daemon: DaemonSettings = DaemonSettings()
    warnings: tuple[str, ...] = ()  # one line each: file:line: text
    source: str = ""  # the file's path
