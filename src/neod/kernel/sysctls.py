"""/proc/sys of the calling namespace, and the file of values found there before our first write."""

import errno
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from neod.kernel.errors import from_os_error, kernel_call, refused, within_netns
from neod.kernel.files import StateFile
from neod.model.errors import KernelError
from neod.netlink.libc import open_beneath

ROOT: Final = "/proc/sys/net"
"""Nothing outside of it is read or written, whatever a path says: a name in one may come from the file, a lease, or
the kernel."""

BELOW: Final = "net/"
OUTSIDE: Final = (errno.EXDEV, errno.ELOOP)
NOT_HERE: Final = (errno.ENOENT, errno.ENOTDIR, *OUTSIDE)

SWITCHES: Final = ("/forwarding", "/force_forwarding")
"""Kept apart in the file: 0.1.0, which switches on for the host, does not know of them, and would put them back after
it has done so."""


def lifetime_of_sysctls() -> str:
    """Return a name for this boot and this namespace: with either, sysctls have their initial values."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.stat('/proc/thread-self/ns/net').st_ino}"  # noqa: PTH116


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
        return " ".join(os.read(fd, 4096).decode("ascii", "replace").split())
    except OSError as error:
        raise from_os_error(f"read {path}", error) from error
    finally:
        os.close(fd)


class ProcSysctls:
    """The port ``Sysctls``. *store* holds the originals; one from another boot is not used."""

    def __init__(self, store: StateFile, lifetime: str | None = None) -> None:
        self._store, self._lifetime = store, lifetime or lifetime_of_sysctls()
        self._originals = store.load(self._decode) or {}
        self.writes = 0

    def _decode(self, content: bytes) -> dict[str, str]:
        stored = json.loads(content)
        found = {**stored["originals"], **stored.get("switches", {})}
        return {str(k): str(v) for k, v in found.items()} if stored["lifetime"] == self._lifetime else {}

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
        switches = {path: value for path, value in merged.items() if path.endswith(SWITCHES)}
        originals = {path: value for path, value in merged.items() if path not in switches}
        document = {"version": 1, "lifetime": self._lifetime, "originals": originals, "switches": switches}
        self._store.save(json.dumps(document).encode())  # the network does not wait for a disk; status says so
        self._originals = merged


class NetnsSysctls(ProcSysctls):
    """Sysctls of another namespace: each call runs in a thread that enters it and ends."""

    def __init__(self, netns: Path, store: StateFile) -> None:
        self._netns = netns
        super().__init__(store, within_netns(netns, lifetime_of_sysctls))

    def read(self, paths: Collection[str]) -> Mapping[str, str]:
        return within_netns(self._netns, lambda: ProcSysctls.read(self, paths))

    def write(self, path: str, value: str) -> None:
        within_netns(self._netns, lambda: ProcSysctls.write(self, path, value))
