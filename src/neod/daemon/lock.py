"""One daemon a runtime directory."""

import fcntl
import os
from pathlib import Path

from neod.model.errors import NeoError


class AlreadyRunning(NeoError):
    """Another neod holds the runtime directory."""


def hold(runtime_dir: Path) -> int:
    """Return a descriptor that holds the directory until the process ends, however it ends.

    Raises:
        AlreadyRunning: somebody holds it; the message names the process.
        OSError: the directory cannot be used.
    """
    path = runtime_dir / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise AlreadyRunning(f"{runtime_dir} is in use by another neod (pid {holder})") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
