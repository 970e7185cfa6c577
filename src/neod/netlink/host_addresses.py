"""The addresses of the calling thread's network namespace, by one dump."""

import socket
from dataclasses import dataclass

from neod.netlink.attributes import Ip, attrs, ip
from neod.netlink.rtnetlink import IFADDR, RTM_GETADDR
from neod.netlink.socket import NETLINK_ROUTE, Connection

IFA_ADDRESS, IFA_LOCAL = 1, 2


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One address of an interface."""

    link: str
    ip: Ip
    prefix_length: int


def host_addresses() -> list[HostAddress]:
    """Return every address with its interface.

    Raises:
        OSError: they cannot be read.
    """
    with Connection(NETLINK_ROUTE) as connection:
        found = [_address(payload) for _, payload in connection.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0))]
    return [one for one in found if one is not None]


def _address(payload: memoryview) -> HostAddress | None:
    _, length, _, _, index = IFADDR.unpack_from(payload)
    found = attrs(payload, IFADDR.size)
    given = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
    try:
        return HostAddress(socket.if_indextoname(index), ip(given), length) if given else None
    except OSError:  # the interface went meanwhile
        return None
