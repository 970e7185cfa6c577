"""What an ACK grants, as a lease: values checked and put right. Pure."""

from ipaddress import IPv4Address
from random import Random
from typing import Final

from neod.dhcp import packet
from neod.dhcp.packet import Reply
from neod.dhcp.timers import lease_seconds, renewal_times
from neod.model.facts import Lease

MIN_MTU: Final = 576
"""Bytes. A smaller option 26 (RFC 2132 allows 68) is a known way to cripple a host; it is not believed."""


def lease_from(link: str, ack: Reply, sent_at: float, before: Lease | None, rng: Random) -> Lease:
    """Return the lease that *ack* grants for the request sent at *sent_at*.

    A router outside the subnet is no gateway: it could only be used with ``onlink``. Option 121 is kept
    as data; its default route counts as the gateway only where option 3 is missing.
    """
    lease_s = lease_seconds(ack.number(packet.LEASE_TIME))
    renew_s, rebind_s = renewal_times(lease_s, ack.number(packet.T1), ack.number(packet.T2), rng)
    prefix_length = _prefix_length(ack, before)
    routes = ack.routes()
    return Lease(
        link=link,
        ip=IPv4Address(ack.yiaddr),
        prefix_length=prefix_length,
        gateway=_gateway(ack, prefix_length, routes),
        server=IPv4Address(ack.server),
        bound_at=sent_at,
        renew_at=sent_at + renew_s,
        rebind_at=sent_at + rebind_s,
        expires_at=sent_at + lease_s,
        dns=ack.addresses(packet.DNS),
        domain=ack.domain(),
        mtu=_mtu(ack),
        routes=routes,
    )


def _prefix_length(ack: Reply, before: Lease | None) -> int:
    """Return the length of option 1; without a usable one that of the last lease, or of the address's class."""
    mask = ack.number(packet.MASK)
    if mask:
        wildcard = mask ^ 0xFFFFFFFF
        if not wildcard & (wildcard + 1):  # ones, then zeros
            return 32 - wildcard.bit_length()
    if before is not None and int(before.ip) == ack.yiaddr:
        return before.prefix_length
    first = ack.yiaddr >> 24
    return 8 if first < 128 else 16 if first < 192 else 24


def _gateway(ack: Reply, prefix_length: int, routes: tuple[tuple[str, IPv4Address], ...]) -> IPv4Address | None:
    routers = ack.addresses(packet.ROUTER)
    candidates = routers or tuple(gateway for destination, gateway in routes if destination == "0.0.0.0/0")
    shift = 32 - prefix_length
    for router in candidates:
        number = int(router)
        if number >> shift == ack.yiaddr >> shift and number != ack.yiaddr:
            return router
    return None


def _mtu(ack: Reply) -> int | None:
    mtu = ack.number(packet.MTU)
    return mtu if mtu is not None and mtu >= MIN_MTU else None
