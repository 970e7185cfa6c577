"""Where programs of neo accept connections: no two at one place, and none open to everybody without a word. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product
from typing import Final

from neod.features.parts import Interim, NatPart
from neod.features.validation.context import Context
from neod.features.validation.text import Path, path_text
from neod.model.nat import Dnat, Ip, unmapped

EACH_ITS_OWN: Final = "every race has an address or a port of its own"


@dataclass(frozen=True, slots=True)
class ListenSocket(Interim):
    """One listening socket that the file asks for."""

    ip: Ip
    port: int  # 0: any that is free
    netns: str
    holder: str  # ``races.proxy``
    path: Path
    both: bool = False  # of ``::``, whether it takes IPv4 as well
    page: bool = False  # of metrics: where another listens, it alone is missing

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


def listening(host: str, port: int, netns: str, path: Path, *, both: bool = False, page: bool = False) -> ListenSocket:
    """Return the socket; an IPv4 address in IPv6's clothes is that address."""
    return ListenSocket(unmapped(ip_address(host)), port, netns, path_text(path[:-1]), path, both, page)


def clash(one: ListenSocket, other: ListenSocket) -> bool:
    """Whether the kernel refuses the second of both. Source: net/ipv4/inet_connection_sock.c, inet_csk_get_port."""
    if (one.netns, one.port) != (other.netns, other.port) or not one.port:
        return False
    return one.ip == other.ip or _holds(one, other.ip) or _holds(other, one.ip)


def _holds(one: ListenSocket, ip: Ip) -> bool:
    return one.ip.is_unspecified and (one.ip.version == ip.version or (one.both and ip.version == 4))


def check(sockets: Sequence[ListenSocket], parts: Iterable[NatPart], context: Context) -> None:
    """Report sockets that would be at one place; warn of those that are open to all, or get no connections."""
    by_port: dict[tuple[str, int], list[ListenSocket]] = {}
    for one in sockets:
        by_port.setdefault((one.netns, one.port), []).append(one)
        if one.port and not one.page:
            where = f"{one.netns}/{one}" if one.netns else str(one)
            context.claim("the address and port", where, one.holder, one.path, EACH_ITS_OWN)
        if one.ip.is_unspecified:
            text = f"{one} is open to everybody who reaches this host; for its own programs write 127.0.0.1 or ::1"
            context.warn(one.path, text)
    for same in by_port.values():
        for one, other in _not_claimed(same):
            page, race = (one, other) if one.page else (other, one)
            if not clash(one, other) or page.holder == race.holder:
                continue
            if page.page:
                text = f"{race.holder} listens on {race}, so there is no page of metrics at {page}"
                context.warn(page.path, f"{text}; write another port")
            elif str(one) != str(other):
                problem = f"{other} is also where {one.holder} listens ({one})"
                context.problem(other.path, problem, "write another port, or an address for each", once=True)
    _warn_of_caught(sockets, parts, context)


def _not_claimed(same: Sequence[ListenSocket]) -> Iterator[tuple[ListenSocket, ListenSocket]]:
    """Yield each two, the earlier first, that may clash beyond what they claimed: races clash by one address there."""
    wide = [place for place, one in enumerate(same) if one.page or one.ip.is_unspecified]
    pairs = {(min(pair), max(pair)) for pair in product(wide, range(len(same))) if pair[0] != pair[1]}
    yield from ((same[first], same[second]) for first, second in sorted(pairs))


def _warn_of_caught(sockets: Iterable[ListenSocket], parts: Iterable[NatPart], context: Context) -> None:
    """What a forward or a namespace takes never reaches the socket, but from this host itself."""
    caught = [(rule, path) for part in parts if not part.netns for rule, path in part.rules if isinstance(rule, Dnat)]
    for one in sockets:
        for rule, path in caught if not (one.ip.is_loopback or one.netns) else ():
            families = {4, 6} if one.both and one.ip.is_unspecified else {one.ip.version}
            if rule.protocol == "tcp" and rule.first <= one.port <= rule.last and rule.to.version in families:
                by = f" by {rule.interface}" if rule.interface else ""
                text = f"connections to port {one.port} that come in{by} go to {rule.to}, says {path_text(path)}"
                context.warn(one.path, text)
                break
