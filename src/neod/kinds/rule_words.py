"""Policy rules of every shape, in the words of ``ip rule``. Pure.

neo makes rules that select by source and nothing else. Others make any; their
words are for people, and tell whether a rule can take a path's packets.

Source: linux/fib_rules.h; net/core/fib_rules.c, fib_rule_match.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from struct import Struct
from typing import Final

from neod.netlink.attributes import Ip, attrs, family_of, number, text, u32
from neod.netlink.rtnetlink import RULEHDR

FRA_DST, FRA_SRC, FRA_IIFNAME, FRA_GOTO, FRA_PRIORITY = 1, 2, 3, 4, 6
FRA_FWMARK, FRA_SUPPRESS_IFGROUP, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_FWMASK, FRA_OIFNAME = 10, 13, 14, 15, 16, 17
FRA_L3MDEV, FRA_UID_RANGE, FRA_PROTOCOL, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE = 19, 20, 21, 22, 23, 24
FR_ACT_TO_TBL, FR_ACT_GOTO, FR_ACT_NOP, FR_ACT_UNREACHABLE = 1, 2, 3, 7
REFUSALS: Final = {6: "blackhole", FR_ACT_UNREACHABLE: "unreachable", 8: "prohibit"}
FIB_RULE_INVERT: Final = 2
NO_SUPPRESSION: Final = 0xFFFFFFFF
RANGE16: Final = Struct("=HH")
RANGE32: Final = Struct("=II")
MAIN: Final = 254
TABLES: Final = {253: "default", MAIN: "main", 255: "local"}
PROGRAMS: Final = {
    11: "FRR",
    12: "BIRD",
    16: "a DHCP client",
    18: "keepalived",
    42: "babeld",
    **dict.fromkeys(range(186, 199), "FRR"),
}
"""Who writes which rule or route protocol. Source: iproute2's rt_protos; 2 to 4 are anybody's."""

TAILSCALE: Final = range(5210, 5271)
NOT_OF_A_PLAIN_SOCKET: Final = (FRA_IIFNAME, FRA_OIFNAME, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE)
"""What a packet that is only known to come from an address need not have."""


@dataclass(frozen=True, slots=True)
class RuleSeen:
    """One rule as the kernel reported it."""

    version: int
    priority: int
    source: IPv4Network | IPv6Network
    to: IPv4Network | IPv6Network
    tos: int
    action: int
    table: int
    protocol: int  # who made it, where that program has a number
    inverted: bool  # it matches what its selectors do not
    found: Mapping[int, memoryview]

    @property
    def mark(self) -> tuple[int, int]:
        """The packet mark that it selects, and the mask; (0, 0) for none."""
        mark = number(self.found, FRA_FWMARK)
        return mark, number(self.found, FRA_FWMASK, default=0xFFFFFFFF if mark else 0)

    @property
    def refuses(self) -> bool:
        """Whether what matches is dropped or refused."""
        return self.action in REFUSALS

    @property
    def by_vrf(self) -> bool:
        """Whether it sends packets to the table of the VRF that their link is in."""
        return FRA_L3MDEV in self.found

    @property
    def owner(self) -> str:
        """The program that made it, as far as its protocol or its form tell; empty where they do not."""
        if self.protocol in PROGRAMS:
            return PROGRAMS[self.protocol]
        if self.by_vrf:
            return "the VRF"
        suppress = number(self.found, FRA_SUPPRESS_PREFIXLEN, default=NO_SUPPRESSION)
        if (self.inverted and self.mark[0] and self.mark[0] == self.table) or (self.table == MAIN and not suppress):
            return "wg-quick"
        return "tailscale" if self.priority in TAILSCALE else ""

    def takes(self, ip: Ip, *, bound: bool = False) -> bool:
        """Whether packets without a mark that this host sends from *ip* match, wherever they go to.

        *bound*: the socket is bound to a link in a VRF.
        """
        if ip.version != self.version:
            return False
        mark, _ = self.mark
        selects = (ip in self.source, not self.to.prefixlen, not self.tos, not mark)
        first, _ = RANGE32.unpack(self.found[FRA_UID_RANGE]) if FRA_UID_RANGE in self.found else (0, 0)
        vrf = not self.by_vrf or bound
        plain = all(selects) and not first and vrf and self.found.keys().isdisjoint(NOT_OF_A_PLAIN_SOCKET)
        return plain is not self.inverted

    def __str__(self) -> str:
        """Return it as ``ip rule`` writes it, without the priority."""
        parts = ["not"] if self.inverted else []
        parts += [f"from {_net(self.source)}", *([f"to {_net(self.to)}"] if self.to.prefixlen else [])]
        parts += [f"tos {self.tos:#x}"] if self.tos else []
        mark, mask = self.mark
        parts += [f"fwmark {mark:#x}" + (f"/{mask:#x}" if mask != 0xFFFFFFFF else "")] if mask else []
        parts += [f"{word} {text(self.found[n])}" for word, n in LINKS.items() if n in self.found]
        parts += [f"ipproto {self.found[FRA_IP_PROTO][0]}"] if FRA_IP_PROTO in self.found else []
        for word, (type_, layout) in RANGES.items():
            if type_ in self.found:
                parts.append(f"{word} {'-'.join(map(str, layout.unpack(self.found[type_])))}")
        return " ".join((*parts, self._does()))

    def _does(self) -> str:
        if self.action == FR_ACT_GOTO:
            return f"goto {number(self.found, FRA_GOTO)}"
        if self.action != FR_ACT_TO_TBL:
            return REFUSALS.get(self.action, "nop")
        if FRA_L3MDEV in self.found:
            return "lookup [l3mdev-table]"
        shortest = number(self.found, FRA_SUPPRESS_PREFIXLEN, default=NO_SUPPRESSION)
        suppress = "" if shortest == NO_SUPPRESSION else f" suppress_prefixlength {shortest}"
        return f"lookup {TABLES.get(self.table, self.table)}{suppress}"


LINKS: Final = {"iif": FRA_IIFNAME, "oif": FRA_OIFNAME}
RANGES: Final = {"uidrange": (FRA_UID_RANGE, RANGE32), "sport": (FRA_SPORT_RANGE, RANGE16),
                 "dport": (FRA_DPORT_RANGE, RANGE16)}  # fmt: skip


def _net(net: IPv4Network | IPv6Network) -> str:
    if not net.prefixlen:
        return "all"
    return str(net.network_address if net.prefixlen == net.max_prefixlen else net)


def rule_seen(payload: memoryview) -> RuleSeen:
    """Return the rule that an RTM_NEWRULE payload describes."""
    family, to_length, length, tos, table, _, _, action, flags = RULEHDR.unpack_from(payload)
    found = attrs(payload, RULEHDR.size)
    nothing = bytes(4 if family == family_of(4) else 16)

    def net(type_: int, length: int) -> IPv4Network | IPv6Network:
        return ip_network((bytes(found[type_]) if type_ in found else nothing, length))

    return RuleSeen(
        4 if family == family_of(4) else 6,
        number(found, FRA_PRIORITY),
        net(FRA_SRC, length),
        net(FRA_DST, to_length),
        tos,
        action,
        u32(found[FRA_TABLE]) if FRA_TABLE in found else table,
        found[FRA_PROTOCOL][0] if FRA_PROTOCOL in found else 0,
        bool(flags & FIB_RULE_INVERT),
        found,
    )
