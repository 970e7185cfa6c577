"""Small state files that survive kill -9 and power loss, read so that nothing under their names can harm."""

import errno
import os
import time
from pathlib import Path
from stat import S_ISREG
from typing import Final

MOST_BYTES: Final = 16 << 20
"""Ten thousand leases take 4 MB."""


def read_small(path: Path) -> bytes:
    """Return the content of the regular file at *path*; a FIFO, device or link is not waited for, nor followed.

    Raises:
        FileNotFoundError: nothing has the name.
        OSError: it cannot be read, is no regular file (EINVAL), or too large (EFBIG).
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(MOST_BYTES + 1)
    finally:
        os.close(fd)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MOST_BYTES >> 20} MiB", str(path))
    return content


def set_aside(path: Path) -> str:
    """Rename what cannot be used, so that a person may still look at it; return its new name, or why it stays."""
    aside = path.with_name(f"{path.name}.bad")
    try:
        if aside.is_dir() and not aside.is_symlink():  # nothing can be renamed to it
            aside.rename(aside.with_name(f"{aside.name}.{time.time_ns()}"))
        path.rename(aside)
    except OSError as error:
        return f"it stays: {error.strerror or error}"
    return f"kept as {aside.name}"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of *path* by *data*: a reader sees the old or the new content, also after a crash.

    Raises:
        OSError: it could not be written; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
