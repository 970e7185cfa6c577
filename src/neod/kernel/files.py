"""Small state files that survive kill -9 and power loss, read so that nothing under their names can harm."""

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final, TypeVar

import structlog

T = TypeVar("T")

MOST_BYTES: Final = 16 << 20
"""Ten thousand leases take 4 MB."""

NO_FILE: Final = frozenset({errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO, errno.ENODEV})
"""What has the name is no regular file, or no file of ours: it can never be read. Else it may be later."""

SENSELESS: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

log = structlog.get_logger("neod.kernel")


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
            aside = path.with_name(f"{path.name}.bad.{time.time_ns()}")
        path.rename(aside)
    except OSError as error:
        return f"it stays there: {error.strerror or error}"
    return f"kept as {aside.name}"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the content of *path* by *data*: a reader sees the old or the new content, also after a crash.

    A directory that was removed is made again.

    Raises:
        OSError: it could not be written; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.new")
    fd = _created(temporary)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        try:
            temporary.rename(path)
        except IsADirectoryError:
            set_aside(path)
            temporary.rename(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _created(path: Path) -> int:
    """Return a new file, open; what a crash or anybody else left at *path* goes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        path.unlink()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, flags, 0o600)


class StateFile:
    """One small file. What cannot be written now is written later; what makes no sense is set aside, and said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""  # what the last load or save stumbled over, for people
        self._unsaved: bytes | None = None
        self._lock = threading.Lock()  # the last write at exit may meet one still under way

    def load(self, decode: Callable[[bytes], T]) -> T | None:
        """Return what *decode* makes of the content; None where there is none that can be used."""
        try:
            return decode(read_small(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in NO_FILE:
                self.refuse(error.strerror or str(error))
            else:
                self._say(f"{self.path}: cannot be read: {error.strerror or error}")
        except SENSELESS as error:
            self.refuse(f"{type(error).__name__}: {error}"[:200])
        return None

    def refuse(self, why: str) -> None:
        """Set the file aside."""
        self._say(f"{self.path}: {why}; {set_aside(self.path)}")

    def keep_only(self, data: bytes, why: str) -> None:
        """Set the file aside and write *data*, what makes sense of it; that is told until the next write."""
        self.refuse(why)
        problem = self.problem
        self.save(data)
        self.problem = self.problem or problem

    def _say(self, problem: str) -> None:
        self.problem = problem
        log.warning("state file not used", problem=problem)

    def save(self, data: bytes) -> str:
        """Replace the content durably; return what went wrong, or nothing. Safe in any thread."""
        with self._lock:
            self._unsaved = data
            return self._write()

    def remove(self) -> None:
        """Have no file."""
        with self._lock:
            self._unsaved, self.problem = None, ""
            with suppress(OSError):
                self.path.unlink()

    def save_again(self) -> None:
        """Write what could not be written, if there is such."""
        with self._lock:
            if self._unsaved is not None:
                self._write()

    def _write(self) -> str:
        assert self._unsaved is not None
        try:
            write_atomically(self.path, self._unsaved)
        except OSError as error:
            self.problem = f"{self.path}: cannot be written: {error.strerror or error}"
        else:
            self._unsaved, self.problem = None, ""
        return self.problem


class StateDirectory:
    """The files of one directory, each made once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, StateFile] = {}

    def file(self, name: str) -> StateFile:
        return self._files.setdefault(name, StateFile(self.path / name))

    @property
    def problems(self) -> list[str]:
        """Return what is wrong with any of them."""
        return [file.problem for file in list(self._files.values()) if file.problem]

    def save_again(self) -> None:
        """Write what could not be written."""
        for file in list(self._files.values()):
            file.save_again()
