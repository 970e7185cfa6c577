"""/proc/sys of the calling namespace, and the file of values found there before our first write."""

import errno
import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from neod.kernel.errors import from_os_error, refused, within_netns
from neod.kernel.files import write_atomically
from neod.model.errors import KernelError

ROOT: Final = "/proc/sys/"

SWITCHES: Final = ("/forwarding", "/force_forwarding")
"""Kept apart in the file: 0.1.0, which switches on for the host, does not know of them, and would put them back after
it has done so."""


def lifetime_of_sysctls() -> str:
    """Return a name for this boot and this namespace: with either, sysctls have their initial values."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.stat('/proc/thread-self/ns/net').st_ino}"  # noqa: PTH116


class ProcSysctls:
    """The port ``Sysctls``. *store* holds the originals; one from another boot is not used."""

    def __init__(self, store: Path, lifetime: str | None = None) -> None:
        self._store, self._lifetime = store, lifetime or lifetime_of_sysctls()
        self._originals: dict[str, str] = self._load()
        self.writes = 0

    def _load(self) -> dict[str, str]:
        try:
            stored = json.loads(self._store.read_bytes())
            found = {**stored["originals"], **stored.get("switches", {})}
            originals = {str(k): str(v) for k, v in found.items()}
            return originals if stored["lifetime"] == self._lifetime else {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # It cannot be restored from, but a person may still read it: rename it, do not overwrite it.
            with suppress(OSError):
                self._store.rename(self._store.with_name(f"{self._store.name}.bad"))
            return {}

    def read(self, paths: Collection[str]) -> Mapping[str, str]:
        values = ((path, self._read(path)) for path in paths)
        return {path: value for path, value in values if value is not None}

    @staticmethod
    def _read(path: str) -> str | None:
        try:
            fd = os.open(ROOT + path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise from_os_error(f"read {path}", error) from error
        try:
            return " ".join(os.read(fd, 4096).decode("ascii", "replace").split())
        except OSError as error:
            raise from_os_error(f"read {path}", error) from error
        finally:
            os.close(fd)

    def write(self, path: str, value: str) -> None:
        try:
            fd = os.open(ROOT + path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
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
        try:
            write_atomically(self._store, json.dumps(document).encode())
        except OSError as error:
            raise refused(f"write {self._store}", error.errno or errno.EIO) from error
        self._originals = merged


class NetnsSysctls(ProcSysctls):
    """Sysctls of another namespace: each call runs in a thread that enters it and ends."""

    def __init__(self, netns: Path, store: Path) -> None:
        self._netns = netns
        super().__init__(store, within_netns(netns, lifetime_of_sysctls))

    def read(self, paths: Collection[str]) -> Mapping[str, str]:
        return within_netns(self._netns, lambda: ProcSysctls.read(self, paths))

    def write(self, path: str, value: str) -> None:
        within_netns(self._netns, lambda: ProcSysctls.write(self, path, value))
