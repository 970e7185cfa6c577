"""Calls of libc that Python does not wrap."""

import ctypes
import errno
import os
import struct
from typing import Final

libc: Final = ctypes.CDLL(None, use_errno=True)

OPENAT2: Final = 437
"""The same on every architecture of Debian. Source: scripts/syscall.tbl, since Linux 5.6."""

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
BENEATH: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
NOT_OFFERED: Final = (errno.ENOSYS, errno.EPERM)
"""An older kernel; a seccomp filter that does not know the call. A file that may not be opened says EPERM, too, and the
walk after it says so again."""


def check(call: str, result: int) -> None:
    """Raise the error of a call that failed.

    Raises:
        OSError: *result* is not 0.
    """
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Return a descriptor of *path* below *directory*; nothing that leads out of there is opened, and no link followed.

    Raises:
        OSError: EXDEV where *path* leads out, ELOOP where there is a link, else as ``open``.
    """
    name = os.fsencode(path)
    if b"\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, BENEATH)
    found = int(libc.syscall(OPENAT2, directory, name, how, len(how)))
    if found >= 0:
        return found
    if (code := ctypes.get_errno()) in NOT_OFFERED:
        return walk_beneath(directory, path, flags)
    raise OSError(code, os.strerror(code))


def walk_beneath(directory: int, path: str, flags: int) -> int:
    """Do what :func:`open_beneath` does a directory at a time, for kernels without ``openat2``."""
    *parents, last = path.split("/")
    if any(part in ("", "..") for part in (*parents, last)):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    here = os.dup(directory)
    for part, how in (*((one, os.O_PATH | os.O_DIRECTORY) for one in parents), (last, flags)):
        try:
            below = os.open(part, how | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here
