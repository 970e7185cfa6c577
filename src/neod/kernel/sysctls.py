"""/proc/sys of the calling namespace, and the file of values found there before our first write."""

import errno
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Final

from neod.kernel.errors import from_os_error, kernel_call, refused, within_netns
from neod.kernel.files import StateFile
from neod.kernel.netns_mark import cookie
from neod.model.errors import KernelError
from neod.model.names import SWITCHES
from neod.netlink.libc import open_beneath

ROOT: Final = "/proc/sys/net"
"""Nothing outside of it is read or written, whatever a path says: a name in one may come from the file, a lease, or
the kernel."""

BELOW: Final = "net/"
OUTSIDE: Final = (errno.EXDEV, errno.ELOOP)
LONGEST: Final = 4096
"""Bytes of a value, or a path."""

NOT_HERE: Final = (errno.ENOENT, errno.ENOTDIR, *OUTSIDE)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """This boot and this namespace: with either, sysctls have their initial values."""

    boot: str
    inode: int  # the next namespace may get it
    cookie: int  # no other has it; 0 before Linux 5.14

    @property
    def name(self) -> str:
        """Return what 0.1.0 compares, too."""
        return f"{self.boot}/{self.inode}"


def lifetime_here() -> Lifetime:
    """Return that of the calling thread's namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Lifetime(boot, os.stat("/proc/thread-self/ns/net").st_ino, cookie())  # noqa: PTH116


@contextmanager
def _root() -> Iterator[int]:
    """Open the directory anew for each use: what is in it is that of the namespace of whoever opens it."""
    with kernel_call(f"open {ROOT}"):
        fd = os.open(ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(root: int, path: str, flags: int) -> int:
    if not path.startswith(BELOW):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return open_beneath(root, path.removeprefix(BELOW), flags)


def _read(root: int, path: str) -> str | None:
    try:
        fd = _open(root, path, os.O_RDONLY)
    except OSError as error:
        if error.errno in NOT_HERE:
            return None
        raise from_os_error(f"read {path}", error) from error
    try:
        return " ".join(os.read(fd, LONGEST).decode("ascii", "replace").split())
    except OSError as error:
        raise from_os_error(f"read {path}", error) from error
    finally:
        os.close(fd)


def _is_sound(path: str, value: object) -> bool:
    """Whether *value* may have been read from *path*, or is a note of a kind of object."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST:
        return False
    try:
        parts = os.fsencode(path).split(b"/")
    except UnicodeEncodeError:
        return False
    return len(path) < LONGEST and all(b"\0" not in part for part in parts) and not {b"", b".", b".."} & {*parts}


@dataclass(frozen=True, slots=True)
class Copy:
    """The originals as one file has them."""

    alone: bool = False  # 0.1.0 wrote it, which knows of no second one: then that is older
    serial: int = 0
    values: Mapping[str, str] = field(default_factory=dict)
    refused: Sequence[str] = ()  # paths whose values cannot have been found


class ProcSysctls:
    """The port ``Sysctls``. *store* holds the originals; those from another boot or namespace are not used.

    A second copy is in *spares*, a directory that ends with the boot: the disk may refuse the first, or lose it while
    what was written is still in the kernel.
    """

    def __init__(self, store: StateFile, spares: Path | None = None, lifetime: Lifetime | None = None) -> None:
        self._store, self._lifetime = store, lifetime or lifetime_here()
        self._spare = StateFile(spares / f"sysctls-{self._lifetime.inode}") if spares else None
        found = [(one, file) for file in (store, self._spare) if file and (one := file.load(self._decode))]
        newest = max((copy for copy, _ in found), key=attrgetter("alone", "serial"), default=Copy())
        self._serial = max((copy.serial for copy, _ in found), default=0)
        self._originals: Mapping[str, str] = newest.values
        for copy, file in found:
            if copy.refused:
                file.keep_only(self._encode(newest.values), f"no value of a sysctl: {', '.join(copy.refused)}"[:200])
        self.writes = 0

    def _decode(self, content: bytes) -> Copy | None:
        stored, here = json.loads(content), self._lifetime
        if stored["lifetime"] != here.name or stored.get("cookie", here.cookie) != here.cookie:
            return None
        found = {**stored["originals"], **stored.get("switches", {})}
        sound = {path: value for path, value in found.items() if _is_sound(path, value)}
        refused = [ascii(path)[:40] for path in found if path not in sound]
        return Copy("serial" not in stored, int(stored.get("serial", 0)), sound, refused)

    def _encode(self, values: Mapping[str, str]) -> bytes:
        """Return the file. Switches stand apart: 0.1.0 switches on for the host, and then would put them back."""
        switches = {path: value for path, value in values.items() if path.endswith(SWITCHES)}
        originals = {path: value for path, value in values.items() if path not in switches}
        here = {"lifetime": self._lifetime.name, "cookie": self._lifetime.cookie, "serial": self._serial}
        return json.dumps({"version": 1, **here, "originals": originals, "switches": switches}).encode()

    def read(self, paths: Collection[str]) -> Mapping[str, str]:
        with _root() as root:
            values = ((path, _read(root, path)) for path in paths)
            return {path: value for path, value in values if value is not None}

    def write(self, path: str, value: str) -> None:
        with _root() as root:
            try:
                fd = _open(root, path, os.O_WRONLY)
            except OSError as error:
                if error.errno in OUTSIDE:
                    raise refused(f"write {path}", error.errno, f"it is not below {ROOT}") from error
                raise from_os_error(f"write {path}", error) from error
            try:
                os.write(fd, value.encode() + b"\n")
                self.writes += 1
            except OSError as error:
                raise from_os_error(f"write {path} = {value}", error) from error
            finally:
                os.close(fd)

    def change(self, values: Mapping[str, str]) -> Mapping[str, KernelError | None]:
        try:
            if found := self.read([path for path in values if path not in self._originals]):
                self.remember(found)
        except KernelError as error:
            return dict.fromkeys(values, error)
        return {path: self._try_to_write(path, value) for path, value in values.items()}

    def _try_to_write(self, path: str, value: str) -> KernelError | None:
        try:
            self.write(path, value)
        except KernelError as error:
            return error
        return None

    def originals(self) -> Mapping[str, str]:
        return self._originals

    def remember(self, values: Mapping[str, str | None]) -> None:
        merged = {path: value for path, value in {**self._originals, **values}.items() if value is not None}
        if merged == self._originals:
            return
        self._save(merged)
        self._originals = merged

    def _save(self, values: Mapping[str, str]) -> None:
        """Write both copies; the network does not wait for a disk, and status says so. Nothing needs no second one."""
        self._serial += 1
        data = self._encode(values)
        problem = self._store.save(data)
        if self._spare and (values or problem):
            self._spare.save(data)
        elif self._spare:
            self._spare.remove()


class NetnsSysctls(ProcSysctls):
    """Sysctls of another namespace: each call runs in a thread that enters it and ends."""

    def __init__(self, netns: Path, store: StateFile, spares: Path | None = None) -> None:
        self._netns = netns
        super().__init__(store, spares, within_netns(netns, lifetime_here))

    def read(self, paths: Collection[str]) -> Mapping[str, str]:
        return within_netns(self._netns, lambda: ProcSysctls.read(self, paths))

    def write(self, path: str, value: str) -> None:
        within_netns(self._netns, lambda: ProcSysctls.write(self, path, value))
