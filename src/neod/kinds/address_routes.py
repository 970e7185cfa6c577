"""The routes that the kernel makes with an address, and does not make again: to the address itself, and to its subnet.

`ip route flush table all` deletes them, and the address stays, with nothing that
leads to it. Of IPv4, what the kernel would make is made here just the same, with
its mark: it deletes it with the address, and a re-creation of the last address of
a link would flush the routes that others have there. Of IPv6 it would not delete
it, and a new address flushes nothing: such an address is made anew.

Source: net/ipv4/fib_frontend.c, fib_add_ifaddr; net/ipv6/addrconf.c, addrconf_prefix_route.
"""

import errno
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from neod.model.errors import KernelError
from neod.model.key import AddressKey
from neod.model.ports import Rtnl
from neod.netlink.attributes import attr, attr_u32, attrs, family_of, u32
from neod.netlink.message import NLM_F_APPEND, NLM_F_CREATE
from neod.netlink.rtnetlink import IFINFO, RTM_GETLINK, RTM_GETROUTE, RTM_NEWROUTE, RTMSG

RTA_DST, RTA_OIF, RTA_PREFSRC, RTA_TABLE = 1, 4, 7, 15
IFLA_MASTER: Final = 10
RTPROT_KERNEL: Final = 2
RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST = 1, 2, 3
MAIN, LOCAL = 254, 255
SCOPE_LINK, SCOPE_HOST = 253, 254
IFF_UP: Final = 1
LOOPBACK: Final = "lo"

Net = IPv4Network | IPv6Network
Told = tuple[int, Net]  # index of the link, destination


async def lacking(rtnl: Rtnl, subnets: Mapping[AddressKey, bool]) -> set[AddressKey]:
    """Return which addresses lack a route of theirs; *subnets*: whether one to its subnet belongs to it.

    Only such a one costs a look at its link: if that is down, it has no route to
    the subnet, and a VRF has tables of its own.

    Raises:
        KernelError: routes or links cannot be read.
    """
    missed = await _missed(rtnl, subnets)
    return await _judged(rtnl, missed) if missed else set()


async def _missed(rtnl: Rtnl, subnets: Mapping[AddressKey, bool]) -> dict[AddressKey, Net]:
    indexes = {rtnl.index_of(key.link) or 0 for key in subnets}
    only = indexes.pop() if len(indexes) == 1 else 0
    there: dict[int, set[Told]] = {}
    for version in {key.ip.version for key in subnets}:
        there[version] = await _routes(rtnl, version, LOCAL, RTN_LOCAL, only)
        if any(wanted and key.ip.version == version for key, wanted in subnets.items()):
            there[version] |= await _routes(rtnl, version, MAIN, RTN_UNICAST, only)
    return {
        key: net
        for key, wanted in subnets.items()
        for net in _nets(key, subnet=wanted)
        if (rtnl.index_of(key.link) or 0, net) not in there[key.ip.version]
    }


def _nets(key: AddressKey, *, subnet: bool) -> Iterator[Net]:
    """Yield what routes of the address lead to; the address last."""
    if subnet and key.prefix_length < key.ip.max_prefixlen:
        yield ip_network((key.ip, key.prefix_length), strict=False)
    yield ip_network(key.ip)


async def _routes(rtnl: Rtnl, version: int, table: int, type_: int, index: int) -> set[Told]:
    head = RTMSG.pack(family_of(version), 0, 0, 0, table, RTPROT_KERNEL, 0, type_, 0)
    out = attr_u32(RTA_OIF, index) if index else b""
    try:
        dumped = await rtnl.dump(RTM_GETROUTE, head + attr_u32(RTA_TABLE, table) + out)
    except KernelError as error:
        if error.code in (errno.ENOENT, errno.ENODEV):
            return set()
        raise
    found = ((payload[1], attrs(payload, RTMSG.size)) for _, payload in dumped)
    return {
        (u32(route[RTA_OIF]), ip_network((bytes(route[RTA_DST]), length)))
        for length, route in found
        if RTA_OIF in route and RTA_DST in route
    }


async def _judged(rtnl: Rtnl, missed: Mapping[AddressKey, Net]) -> set[AddressKey]:
    """Return those of *missed* whose link should have the route."""
    links = sorted({rtnl.index_of(key.link) or 0 for key in missed})
    answers = await rtnl.get([(RTM_GETLINK, IFINFO.pack(0, 0, index, 0, 0)) for index in links])
    state = {
        index: (bool(IFINFO.unpack_from(answer[1])[3] & IFF_UP), IFLA_MASTER in attrs(answer[1], IFINFO.size))
        for index, answer in zip(links, answers, strict=True)
        if not isinstance(answer, KernelError)
    }
    found = set()
    for key, net in missed.items():
        up, in_vrf = state.get(rtnl.index_of(key.link) or 0, (False, True))
        if not in_vrf and (up or net.prefixlen == net.max_prefixlen):
            found.add(key)
    return found


async def restore(rtnl: Rtnl, subnets: Mapping[AddressKey, bool]) -> None:
    """Make the kernel's routes of each IPv4 address as it makes them: behind those to the same that are there."""
    await rtnl.send([request for key, subnet in subnets.items() for request in _requests(rtnl, key, subnet)])


def _requests(rtnl: Rtnl, key: AddressKey, subnet: bool) -> Iterator[tuple[int, int, bytes]]:
    index = rtnl.index_of(key.link) or 0
    for net in reversed(list(_nets(key, subnet=subnet))):  # the source of a route has to be local
        if net.prefixlen == net.max_prefixlen or key.link == LOOPBACK:
            yield _request(key, net, index, LOCAL, RTN_LOCAL, SCOPE_HOST)
        else:
            yield _request(key, net, index, MAIN, RTN_UNICAST, SCOPE_LINK)
    if key.prefix_length < 31:
        last = ip_network((key.ip, key.prefix_length), strict=False).broadcast_address
        yield _request(key, ip_network(last), index, LOCAL, RTN_BROADCAST, SCOPE_LINK)


def _request(key: AddressKey, net: Net, index: int, table: int, type_: int, scope: int) -> tuple[int, int, bytes]:
    head = RTMSG.pack(family_of(4), net.prefixlen, 0, 0, table, RTPROT_KERNEL, scope, type_, 0)
    numbers = attr_u32(RTA_OIF, index) + attr_u32(RTA_TABLE, table)
    there = attr(RTA_DST, net.network_address.packed) + attr(RTA_PREFSRC, key.ip.packed)
    return RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, head + there + numbers
