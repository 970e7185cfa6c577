"""One daemon a runtime directory, and one a network namespace.

A second neod with other directories takes what the first one made for orphans, since the marks in the kernel are the
same. The lock of a namespace is a file lock, which ends with the process however that ends, in a directory that only
root can enter: whoever could open the file could hold it.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neod.kernel.files import set_aside
from neod.model.errors import NeoError
from neod.netlink.netns import OWN

LOCKS: Final = Path("/run/neo-lock")
"""Not in the unit's RuntimeDirectory, which systemd removes, nor in /run/lock, where everybody may write. Second copies
of the values to restore are in it as well."""

BEACON: Final = "\0neo/neod"
"""An abstract socket name. The kernel keeps these by network namespace, and so shows a neod that has another /run."""

UCRED: Final = struct.Struct("3i")
BYTES: Final = 4096


class AlreadyRunning(NeoError):
    """Another neod holds the runtime directory, or the network namespace."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A file lock that is held."""

    fd: int
    path: Path

    def release(self) -> None:
        """Let the next one have it; the file goes first, so that none stays behind."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self.fd)


@contextlib.contextmanager
def hold(runtime_dir: Path) -> Iterator[None]:
    """Hold the directory, and the network namespace that this process is in, until the block ends.

    Raises:
        AlreadyRunning: somebody holds one of them; the message names the process.
        OSError: a directory cannot be used.
    """
    with contextlib.ExitStack() as stack:
        directory = _take(runtime_dir / "lock", str(os.getpid()))
        if isinstance(directory, str):
            raise AlreadyRunning(f"{runtime_dir} is in use by another neod (pid {directory or 'unknown'})")
        stack.callback(directory.release)
        stack.callback(hold_namespace(OWN, runtime_dir).release)
        if beacon := _light_beacon():
            stack.callback(beacon.close)
        yield


def hold_namespace(netns: Path, runtime_dir: Path, locks: Path = LOCKS) -> Lock:
    """Return a lock on the network namespace at *netns*, named by its device and inode; it tells who holds it.

    Raises:
        AlreadyRunning: another neod keeps the namespace.
        OSError: the directory *locks* cannot be used, or is not root's.
    """
    found = netns.stat()
    _make_private(locks)
    lock = _take(locks / f"netns-{found.st_dev}-{found.st_ino}", f"{os.getpid()} {runtime_dir}")
    if isinstance(lock, Lock):
        return lock
    pid, _, directory = lock.partition(" ")
    raise _refusal(f"pid {pid or 'unknown'}, runtime directory {directory or 'unknown'}")


def _refusal(holder: str) -> AlreadyRunning:
    problem = f"this network namespace is kept by another neod ({holder})"
    return AlreadyRunning(f"{problem}; stop that one first, or start this one in a namespace of its own")


def _make_private(directory: Path) -> None:
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user; remove it", str(directory))
        os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def _take(path: Path, holder: str) -> Lock | str:
    """Return the lock on *path* with *holder* written in it; or what is written there by who holds it."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            set_aside(path)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, BYTES, 0).decode("utf-8", "replace").strip()
            os.close(fd)
            return holder
        if _is_at(fd, path):
            os.ftruncate(fd, 0)
            os.pwrite(fd, os.fsencode(f"{holder}\n"), 0)
            return Lock(fd, path)
        os.close(fd)  # who held it took the file away between our two calls


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _light_beacon() -> socket.socket | None:
    """Return the bound socket; None where somebody without privilege took the name, which stops nobody.

    Raises:
        AlreadyRunning: root's process has the name, so it is another neod, which does not share our /run.
    """
    beacon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        beacon.bind(BEACON)
        beacon.listen(1)
    except OSError:
        beacon.close()
        if (pid := _pid_of_root_at_beacon()) is not None:
            raise _refusal(f"pid {pid or 'unknown'}, in a container or with another /run") from None
        return None
    return beacon


def _pid_of_root_at_beacon() -> int | None:
    """Return the process, 0 for one that our process namespace does not show; None if it is not root's, or gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
        try:
            asking.connect(BEACON)
            credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
        except OSError:
            return None
    pid, uid, _ = UCRED.unpack(credentials)
    return pid if uid == 0 else None
