"""Reading legacy tables: two questions by getsockopt, on any raw socket of the namespace."""

import ctypes
import errno
import os
import socket
from typing import Final

from neod.kernel.netfilter.legacy import xtables
from neod.model.ports import LegacyTable
from neod.netlink.libc import libc

FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
LEVELS: Final = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
INFO_BYTES: Final = 84


def open_raw(version: int) -> socket.socket:
    """Return a socket that the legacy tables of the calling thread's namespace answer on."""
    return socket.socket(FAMILIES[version], socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)


def read_info(sock: socket.socket, version: int, table: str) -> xtables.Info:
    """Return entries and size of a table.

    Raises:
        OSError: there is no such table, and it cannot be made.
    """
    request = table.encode().ljust(INFO_BYTES, b"\0")
    return xtables.Info.parse(_getsockopt(sock, LEVELS[version], xtables.SO_GET_INFO, request))


def read_chains(
    sock: socket.socket, version: int, table: str, info: xtables.Info, known: xtables.Entries
) -> LegacyTable:
    """Return the chains of a table that *info* was just told of; what is in *known* need not be taken apart again.

    Raises:
        OSError: EAGAIN when it changed meanwhile.
    """
    head = table.encode().ljust(xtables.NAME_BYTES, b"\0") + info.size.to_bytes(4, "little")
    request = head.ljust(xtables.LAYOUTS[version].table_head + info.size, b"\0")
    answer = _getsockopt(sock, LEVELS[version], xtables.SO_GET_ENTRIES, request)
    return xtables.chains_of(answer[xtables.LAYOUTS[version].table_head :], info, version, known)


def _getsockopt(sock: socket.socket, level: int, option: int, request: bytes) -> bytes:
    """Ask with a request in the buffer that the answer comes in; Python's own getsockopt cannot."""
    buffer = ctypes.create_string_buffer(request, len(request))
    length = ctypes.c_uint32(len(request))
    if libc.getsockopt(sock.fileno(), level, option, buffer, ctypes.byref(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, "it changed while it was read" if code == errno.EAGAIN else os.strerror(code))
    return buffer.raw[: length.value]
