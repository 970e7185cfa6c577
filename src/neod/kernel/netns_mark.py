"""The mark of a namespace that we made: the alias of its loopback, set before the namespace has a name.

It lives and dies with the namespace, whatever becomes of names and files. It says which name the namespace has, and to
the neod of which one it belongs: another /run, as in a container, has the same names for others.
"""

import os
import socket
import sys
from dataclasses import dataclass
from typing import Final

from neod.model.marks import LINK_GROUP, NETNS_ALIAS
from neod.netlink.attributes import attr_text, attr_u32, attrs, number, string
from neod.netlink.message import NLM_F_ACK, NetlinkError
from neod.netlink.netns import OWN
from neod.netlink.rtnetlink import IFINFO, RTM_GETLINK, RTM_NEWLINK, SKIP_STATS
from neod.netlink.socket import NETLINK_ROUTE, Connection

IFLA_IFALIAS, IFLA_GROUP = 20, 27
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
LOOPBACK_INDEX: Final = 1
SO_NETNS_COOKIE: Final = 71
"""A number that no other namespace of this boot has; since Linux 5.14. Source: asm-generic/socket.h."""

LOOK_BYTES: Final = 1 << 18


def cookie() -> int:
    """Return the number of the calling thread's namespace; 0 where the kernel gives none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder)
        except OSError:
            return 0


def mark_for(name: str) -> str:
    """Return the mark of the namespace *name* that belongs to the one of the calling thread."""
    home = cookie() or os.stat(OWN).st_ino  # noqa: PTH116  Path.stat would resolve the link
    return f"{NETNS_ALIAS}{name}@{home}"


def name_in(mark: str) -> str:
    """Return the name that a mark says; empty if it is not ours."""
    name = mark.removeprefix(NETNS_ALIAS).rpartition("@")[0]
    return name if name and mark == mark_for(name) else ""


@dataclass(frozen=True, slots=True)
class Interior:
    """What the links of a namespace say of it."""

    mark: str  # that of any neod; empty: none
    grouped: bool  # its loopback is in our group: 0.1.0 set no more
    in_use: bool  # a link is up that is neither a loopback nor ours
    links: int  # of ours


def look_inside() -> Interior:
    """Return what the calling thread's namespace looks like.

    Raises:
        OSError: it cannot be read.
    """
    with Connection(NETLINK_ROUTE, receive_buffer_bytes=LOOK_BYTES) as rtnl:
        payloads = [payload for _, payload in rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS)]
    alias, grouped, in_use, links = "", False, False, 0
    for payload in payloads:
        found, flags = attrs(payload, IFINFO.size), IFINFO.unpack_from(payload)[3]
        ours = number(found, IFLA_GROUP) == LINK_GROUP
        if flags & IFF_LOOPBACK:
            alias, grouped = string(found, IFLA_IFALIAS), ours
        else:
            links += ours
            in_use = in_use or bool(flags & IFF_UP and not ours)
    return Interior(alias if alias.startswith(NETNS_ALIAS) else "", grouped, in_use, links)


def set_mark(mark: str) -> None:
    """Mark the calling thread's namespace, and set its loopback up, in one message.

    Raises:
        OSError: the kernel refused.
    """
    loopback = IFINFO.pack(0, 0, LOOPBACK_INDEX, IFF_UP, IFF_UP) + attr_u32(IFLA_GROUP, LINK_GROUP)
    with Connection(NETLINK_ROUTE) as rtnl:
        (answer,) = rtnl.exchange([(RTM_NEWLINK, NLM_F_ACK, loopback + attr_text(IFLA_IFALIAS, mark))])
    if isinstance(answer, NetlinkError):
        raise answer
