"""Credentials of the process at the other end of a unix socket, as the kernel reports them."""

import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from neod.control.verb import Right

SO_PEERGROUPS: Final = 59
"""Supplementary groups of the peer when it connected (Linux 4.13; asm-generic/socket.h). The
socket module has no name for it. Asking the user database instead would answer for now, not then."""

MOST_GROUPS: Final = 256  # Python's getsockopt takes 1024 bytes at most


@dataclass(frozen=True, slots=True)
class Peer:
    """The credentials of the process that connected, as they were then."""

    pid: int
    uid: int
    gids: frozenset[int]

    def trusted(self) -> bool:
        """Whether it is root, or the user neod runs as: it could do anything without asking us."""
        return self.uid in (0, os.geteuid())

    def may(self, right: Right, writers: int | None) -> bool:
        """Whether it has *right*; *writers* is the gid of the writers' group. A peer that could connect may read."""
        return right is Right.READ or self.trusted() or (writers is not None and writers in self.gids)


def peer_of(sock: socket.socket) -> Peer:
    """Return the credentials of the process that connected to *sock*."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("=iII"))
    pid, uid, gid = struct.unpack("=iII", credentials)
    return Peer(pid, uid, frozenset({gid, *_groups(sock)}))


def _groups(sock: socket.socket) -> list[int]:
    try:
        groups = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * MOST_GROUPS)
    except OSError as exc:
        if exc.errno != errno.ERANGE:
            raise
        return []  # in more groups than we can read: only the first group counts
    return [gid for (gid,) in struct.iter_unpack("=I", groups)]
