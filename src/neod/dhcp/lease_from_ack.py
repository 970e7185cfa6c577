"""What an ACK grants, as a lease: values checked and put right. Pure.

A value that cannot be is left out and named; what the server of a lease leaves out when it extends it stays as it was.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Final, NamedTuple

from neod.dhcp import packet
from neod.dhcp.packet import Reply
from neod.dhcp.timers import lease_seconds, renewal_times
from neod.model.facts import Lease

LEAST_MTU: Final = 576
"""Bytes: every IPv4 host takes datagrams of this size (RFC 791). A smaller option 26 (RFC 2132 allows 68) is a known
way to cripple a host; it is not believed."""

SHORTEST_PREFIX: Final = 8
"""No subnet is larger than the largest class; a mask of fewer bits would put half of the Internet on the link."""

DEFAULT: Final = "0.0.0.0/0"
ON_THE_LINK: Final = IPv4Address(0)
EVERYBODY: Final = IPv4Address("255.255.255.255")
OPTION_NAMES: Final = {
    packet.MASK: "mask",
    packet.ROUTER: "router",
    packet.DNS: "DNS",
    packet.DOMAIN: "domain",
    packet.MTU: "MTU",
    packet.T1: "T1",
    packet.T2: "T2",
    packet.ROUTES: "routes",
}


class Routing(NamedTuple):
    """What options 3 and 121 say together."""

    gateway: IPv4Address | None = None
    routes: tuple[tuple[str, IPv4Address], ...] = ()
    no_router: str = ""  # why there is no default route though the server named one


class Terms(NamedTuple):
    """What an OFFER or ACK says beside address, server and times, as far as it can be; None where it does not."""

    prefix_length: int | None
    routing: Routing
    mtu: int | None
    left_out: tuple[str, ...]


def terms_of(reply: Reply, prefix_length: int | None = None) -> Terms:
    """Return the usable terms of *reply*; *prefix_length* counts where it has no usable mask."""
    wrong: list[str] = [f"option {_name(code)}: {why}" for code, why in reply.malformed.items()]
    length = _prefix_length(reply, wrong)
    subnet = IPv4Network((reply.yiaddr, length or prefix_length or class_of(reply.yiaddr)), strict=False)
    routing = _routing(reply, subnet, wrong)
    return Terms(length, routing, _mtu(reply, wrong), tuple(wrong))


def lease_from(link: str, ack: Reply, sent_at: float, before: Lease | None, rng: Random) -> Lease:
    """Return the lease that *ack* grants for the request sent at *sent_at*.

    *before* is the lease that it extends, if it gives the same address.
    """
    kept = before if before is not None and int(before.ip) == ack.yiaddr else None
    terms = terms_of(ack, kept.prefix_length if kept else None)
    lease_s = lease_seconds(ack.number(packet.LEASE_TIME))
    renew_s, rebind_s = renewal_times(lease_s, ack.number(packet.T1), ack.number(packet.T2), rng)
    gateway, routes, no_router = _kept_routing(terms.routing, packet.ROUTES in ack.malformed, kept)
    return Lease(
        link=link,
        ip=IPv4Address(ack.yiaddr),
        prefix_length=terms.prefix_length or (kept.prefix_length if kept else class_of(ack.yiaddr)),
        gateway=gateway,
        server=IPv4Address(ack.server),
        bound_at=sent_at,
        renew_at=sent_at + renew_s,
        rebind_at=sent_at + rebind_s,
        expires_at=sent_at + lease_s,
        dns=ack.addresses(packet.DNS) or (kept.dns if kept else ()),
        domain=ack.domain() or (kept.domain if kept else ""),
        mtu=terms.mtu or (kept.mtu if kept else None),
        routes=routes,
        left_out=terms.left_out,
        no_router=no_router,
    )


def class_of(ip: int) -> int:
    """Return the prefix length that an address has by its class."""
    first = ip >> 24
    return 8 if first < 128 else 16 if first < 192 else 24


def _name(code: int) -> str:
    return f"{code} ({OPTION_NAMES[code]})" if code in OPTION_NAMES else str(code)


def _prefix_length(reply: Reply, wrong: list[str]) -> int | None:
    mask = reply.number(packet.MASK)
    if mask is None:
        return None
    wildcard = mask ^ 0xFFFFFFFF
    length = 32 - wildcard.bit_length()
    if not wildcard & (wildcard + 1) and length >= SHORTEST_PREFIX:  # ones, then zeros
        return length
    wrong.append(f"option 1 (mask): {IPv4Address(mask)}, which no subnet has")
    return None


def _mtu(reply: Reply, wrong: list[str]) -> int | None:
    mtu = reply.number(packet.MTU)
    if mtu is not None and mtu < LEAST_MTU:
        wrong.append(f"option 26 (MTU): {mtu}, less than {LEAST_MTU}")
        return None
    return mtu


# ── routers ────────────────────────────────────────────────────────────────────────────────────


def _kept_routing(said: Routing, routes_malformed: bool, kept: Lease | None) -> Routing:
    """Return what is said of routes, or was before where nothing usable is; routes outlive a malformed repetition."""
    if kept is None or said.routes:
        return said
    if not (kept.gateway or kept.routes) or (said.gateway and not (routes_malformed and kept.routes)):
        return said if said.gateway or said.no_router else said._replace(no_router=kept.no_router)
    return Routing(kept.gateway, kept.routes, kept.no_router)


def _routing(reply: Reply, subnet: IPv4Network, wrong: list[str]) -> Routing:
    """Return the default router and the routes. With option 121, option 3 is ignored.

    Source: RFC 3442, "MUST ignore the Router option".
    """
    refused: list[str] = []
    own = IPv4Address(reply.yiaddr)
    if packet.ROUTES in reply.options:
        routes = tuple(one for one in reply.routes() if not _refused(*one, own, subnet, refused, wrong))
        gateway = dict(routes).get(DEFAULT)
        found = Routing(gateway if gateway != ON_THE_LINK else None, routes)
    else:
        found = Routing(_router(reply.addresses(packet.ROUTER), own, subnet, refused))
        wrong += [f"option 3 (router): {one}" for one in refused]
    has_default = found.gateway or any(destination == DEFAULT for destination, _ in found.routes)
    return found if has_default else found._replace(no_router="; ".join(refused))


def _router(
    named: Sequence[IPv4Address], own: IPv4Address, subnet: IPv4Network, refused: list[str]
) -> IPv4Address | None:
    """Return the first router that can be one, of the subnet if there is one: any other is reached on the link."""
    usable = []
    for router in named:
        if why := not_a_router(router, own, subnet):
            refused.append(f"{router} {why}")
        else:
            usable.append(router)
    return next((one for one in usable if one in subnet), usable[0] if usable else None)


def _refused(
    destination: str, gateway: IPv4Address, own: IPv4Address, subnet: IPv4Network, refused: list[str], wrong: list[str]
) -> bool:
    """Whether a classless route cannot be used; then it is named.

    A gateway of zeros means that the destination is on the link; servers say the same with the client's own address.

    Source: RFC 3442 for the zeros; dhcpcd has learnt the other from servers.
    """
    network = IPv4Network(destination)
    first = int(network.network_address)
    is_default = destination == DEFAULT
    if network.prefixlen > SHORTEST_PREFIX and not packet.is_host(first):
        why = "no such destination"
    elif gateway == ON_THE_LINK or (gateway == own and not is_default):
        why = ""
    else:
        why = not_a_router(gateway, own, subnet)
    if why:
        wrong.append(f"option 121 (routes): {destination} via {gateway}: {why}")
        refused += [f"{gateway} {why}"] * is_default
    return bool(why)


def not_a_router(ip: IPv4Address, own: IPv4Address, subnet: IPv4Network) -> str:
    """Return why *ip* can be no router of a host with the address *own* in *subnet*; empty if it can."""
    if ip == own:
        return "is the address itself"
    if not packet.is_host(int(ip)):
        kinds = {"a loopback": ip.is_loopback, "a multicast": ip.is_multicast, "the broadcast": ip == EVERYBODY}
        return f"is {next((kind for kind, so in kinds.items() if so), 'no usable')} address"
    if subnet.prefixlen < 31 and ip == subnet.network_address:
        return f"is the network address of {subnet}"
    if subnet.prefixlen < 31 and ip == subnet.broadcast_address:
        return f"is the broadcast address of {subnet}"
    return ""
