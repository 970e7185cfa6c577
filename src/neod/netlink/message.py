"""Netlink messages (struct nlmsghdr): packing, iterating, and what an error or the end of a dump carries. Pure.

All integers are of the host's byte order.

Source: linux/netlink.h; net/netlink/af_netlink.c for netlink_ack and netlink_dump_done.
"""

import errno
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final

from neod.netlink.attributes import attrs, text

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800
NLM_F_CAPPED: Final = 0x100  # on an error: the request is not repeated in it
NLM_F_ACK_TLVS: Final = 0x200  # on an error or a DONE: attributes follow

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLMSG_MIN_TYPE: Final = 16  # below are messages of netlink itself

NLMSGERR_ATTR_MSG: Final = 1

HEADER: Final = Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
ERRNO: Final = Struct("=i")
_PAD: Final = (b"", b"\0\0\0", b"\0\0", b"\0")

Message = tuple[int, int, int, int, memoryview]
"""Type, flags, sequence, port id, payload."""


class NetlinkError(OSError):
    """The kernel returned an error, or no answer: *code* is the errno, *text* the kernel's own words (extended ack)."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(code, text or os.strerror(code))

    @property
    def code(self) -> int:
        """Return the errno, positive."""
        return self.errno or errno.EIO

    @property
    def text(self) -> str:
        """Return the kernel's words; where it has none, those for the errno."""
        return str(self.strerror)


Request = tuple[int, int, bytes]  # type, flags, payload
Object = tuple[int, memoryview]  # type, payload
Answer = Object | NetlinkError | None  # None: acknowledged


def message(type_: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """Return one message, padded so that another may follow."""
    size = len(payload)
    return HEADER.pack(16 + size, type_, flags, sequence, 0) + payload + _PAD[size & 3]


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram; stops at the first malformed one."""
    view, offset, end = memoryview(data), 0, len(data)
    unpack = HEADER.unpack_from
    while offset + 16 <= end:
        length, type_, flags, sequence, port = unpack(data, offset)
        if length < 16 or offset + length > end:
            return
        yield type_, flags, sequence, port, view[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def error_of(type_: int, flags: int, payload: memoryview) -> NetlinkError | None:
    """Return what a NLMSG_ERROR or NLMSG_DONE reports; None for an acknowledgement or a dump that is complete."""
    if len(payload) < 4:
        return NetlinkError(errno.EBADMSG, "an error message without an error code")
    code = -ERRNO.unpack_from(payload)[0]
    if code == 0:
        return None
    return NetlinkError(code, _extended_ack(type_, flags, payload)) if code > 0 else NetlinkError(errno.EBADMSG)


def _extended_ack(type_: int, flags: int, payload: memoryview) -> str:
    """Return the kernel's explanation, which follows the code, and the request where that is repeated."""
    if not flags & NLM_F_ACK_TLVS:
        return ""
    found = attrs(payload, _extended_ack_offset(type_, flags, payload))
    return text(found[NLMSGERR_ATTR_MSG]) if NLMSGERR_ATTR_MSG in found else ""


def _extended_ack_offset(type_: int, flags: int, payload: memoryview) -> int:
    if type_ == NLMSG_DONE:
        return ERRNO.size
    if flags & NLM_F_CAPPED or len(payload) < 20:
        return ERRNO.size + HEADER.size
    repeated: int = HEADER.unpack_from(payload, ERRNO.size)[0]
    return ERRNO.size + ((repeated + 3) & ~3)
