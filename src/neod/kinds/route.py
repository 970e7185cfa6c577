"""Unicast routes in tables that neo owns."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar

from neod.model.key import within


@dataclass(frozen=True, slots=True)
class RouteKey:
    """What makes two routes *the same* route to the kernel."""

    kind: ClassVar[str] = "route"
    netns: str
    table: int
    dst: IPv4Network | IPv6Network
    metric: int = 0

    def __str__(self) -> str:
        dst = "default" if self.dst.prefixlen == 0 else str(self.dst)
        metric = f"@{self.metric}" if self.metric else ""
        return f"route:{within(self.netns)}{self.table}/{dst}{metric}"


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What that route should be. Equality here *is* "in sync"."""

    link: str  # a name: an ifindex does not survive a re-create
    gateway: IPv4Address | IPv6Address | None = None  # None: scope link
    source: IPv4Address | IPv6Address | None = None  # preferred source; must be on a link already
    mtu: int | None = None  # bytes; None leaves the kernel's choice alone
    on_link: bool = False  # the gateway is reachable though no subnet holds it
