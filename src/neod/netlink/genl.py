"""Generic netlink: the header of its messages, and families and their multicast groups found by name. Pure.

Source: linux/genetlink.h.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from neod.netlink.attributes import U16, attr_text, attrs, inner, number, string
from neod.netlink.message import NetlinkError, Request

GENL: Final = Struct("=BBH")  # genlmsghdr: command, version, reserved
GENL_ID_CTRL: Final = 16
CTRL_CMD_GETFAMILY: Final = 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 1, 2, 7
CTRL_ATTR_MCAST_GRP_NAME, CTRL_ATTR_MCAST_GRP_ID = 1, 2


@dataclass(frozen=True, slots=True)
class Family:
    """A generic netlink family as this kernel numbers it."""

    id: int  # the type of its messages
    groups: Mapping[str, int]


def genl(command: int, attributes: bytes = b"", version: int = 1) -> bytes:
    """Return the payload of a generic netlink message."""
    return GENL.pack(command, version, 0) + attributes


def family_request(name: str) -> Request:
    """Return the request whose answer is the family *name*; ENOENT where this kernel has none."""
    return GENL_ID_CTRL, 0, genl(CTRL_CMD_GETFAMILY, attr_text(CTRL_ATTR_FAMILY_NAME, name))


def family_in(payload: memoryview) -> Family:
    """Return the family that the answer to ``family_request`` describes.

    Raises:
        NetlinkError: the answer lacks what every family has (EBADMSG).
    """
    found = attrs(payload, GENL.size)
    id_ = number(found, CTRL_ATTR_FAMILY_ID, U16)
    if not id_:
        raise NetlinkError(errno.EBADMSG, "a generic netlink family without an id")
    groups = [attrs(entry) for entry in inner(found, CTRL_ATTR_MCAST_GROUPS).values()]
    return Family(id_, {string(g, CTRL_ATTR_MCAST_GRP_NAME): number(g, CTRL_ATTR_MCAST_GRP_ID) for g in groups})
