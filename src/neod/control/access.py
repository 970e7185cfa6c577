"""Access control of the socket file: which groups may connect.

A file has one group. The second is admitted by a POSIX access control list:
mode 0666 would admit everybody. What a connected peer may call: see ``peer``.
"""

import os
import struct
from dataclasses import dataclass
from grp import getgrnam
from pathlib import Path
from typing import Final

import structlog

READ_WRITE: Final = 6  # to connect is to write to the file
UNNAMED: Final = 0xFFFFFFFF
USER_OBJ, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x04, 0x08, 0x10, 0x20
"""Source: linux/posix_acl_xattr.h, version 2, little-endian."""

log = structlog.get_logger("neod.control")


@dataclass(frozen=True, slots=True)
class Groups:
    """The gids of those who may connect; None: there is no such group."""

    writers: int | None = None  # neo: every verb
    readers: int | None = None  # neo-read: what needs the right to read


def groups_of_host() -> Groups:
    """Return the groups as the host has them now."""
    return Groups(_gid("neo"), _gid("neo-read"))


def _gid(group: str) -> int | None:
    try:
        return getgrnam(group).gr_gid
    except KeyError:
        return None


def admit(path: Path, groups: Groups) -> None:
    """Let members of *groups* connect to the socket at *path*, beside its owner.

    Raises:
        OSError: the file's group or mode cannot be set.
    """
    if groups.writers is not None:
        os.chown(path, -1, groups.writers)
        path.chmod(0o660)
    if groups.readers is not None:
        try:
            os.setxattr(path, "system.posix_acl_access", _acl(groups))
        except OSError as error:  # a file system without access control lists
            log.warning("group neo-read cannot connect", error=error.strerror or str(error))


def _acl(groups: Groups) -> bytes:
    entries = (
        (USER_OBJ, READ_WRITE, UNNAMED),
        (GROUP_OBJ, READ_WRITE if groups.writers is not None else 0, UNNAMED),
        (GROUP, READ_WRITE, groups.readers),
        (MASK, READ_WRITE, UNNAMED),
        (OTHER, 0, UNNAMED),
    )
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
