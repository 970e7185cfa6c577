"""The names below /run/netns: made, repaired and removed exactly as ``ip netns`` does.

Ours are those with a file of the same name in the runtime directory: no mark
in the kernel exists. The file says which namespace it was, in which boot.
"""

import asyncio
import ctypes
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Final

from neod.kernel.errors import from_os_error, refused
from neod.kernel.files import write_atomically
from neod.kernel.rtnl import NetlinkRtnl
from neod.model.errors import KernelError
from neod.model.marks import LINK_GROUP
from neod.model.ports import NetnsSeen
from neod.netlink.attributes import attr_u32, attrs, u32
from neod.netlink.libc import check, libc
from neod.netlink.netns import NAMED, OWN, in_new_netns, opener_in
from neod.netlink.rtnetlink import IFINFO, RTM_GETLINK, RTM_NEWLINK

MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 0x100000
MNT_DETACH: Final = 2
IFLA_GROUP: Final = 27
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
LOOPBACK_INDEX: Final = 1

Identity = tuple[int, int]


def _mount(source: Path, target: Path, flags: int) -> None:
    check("mount", libc.mount(os.fsencode(source), os.fsencode(target), b"none", ctypes.c_ulong(flags), None))


def _is_in_use(link: memoryview) -> bool:
    """Whether a link is up that is neither a loopback nor ours."""
    flags, group = IFINFO.unpack_from(link)[3], attrs(link, IFINFO.size).get(IFLA_GROUP)
    ours = group is not None and u32(group) == LINK_GROUP
    return bool(flags & IFF_UP) and not flags & IFF_LOOPBACK and not ours


class NamedNamespaces:
    """The port ``Namespaces``. *marks* is a directory whose files are valid only in the boot that wrote them."""

    def __init__(self, marks: Path, named: Path = NAMED) -> None:
        self._marks, self._named = marks, named
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._nsfs = os.stat(OWN).st_dev  # noqa: PTH116
        self.writes = 0

    def names(self) -> Sequence[str]:
        with suppress(FileNotFoundError):
            return sorted(path.name for path in self._marks.iterdir() if not path.name.startswith("."))
        return ()

    def _made(self, name: str) -> Identity | None:
        try:
            mark = json.loads((self._marks / name).read_bytes())
            return (int(mark["dev"]), int(mark["ino"])) if mark["boot"] == self._boot else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    async def look(self, name: str) -> NetnsSeen | None:
        made = self._made(name)
        try:
            found = (self._named / name).lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(f"look at {self._named / name}", error) from error
        if found.st_dev != self._nsfs:
            leftover = S_ISREG(found.st_mode) and found.st_size == 0
            return NetnsSeen(None, made, inhabited=not leftover)
        identity = found.st_dev, found.st_ino
        return NetnsSeen(identity, made, identity != made and await self._inhabited(name))

    async def _inhabited(self, name: str) -> bool:
        """Whether somebody else uses it: a link is up that is no loopback and not ours, or it cannot be read.

        Links of ours are in it when ``ip netns add`` mounted its namespace over the one that we had just made: we
        filled what the name stood for then.
        """
        try:
            rtnl = self._rtnl(name)
        except KernelError:
            return True
        try:
            links = await rtnl.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0))
        finally:
            rtnl.close()
        return any(map(_is_in_use, (payload for _, payload in links)))

    def _rtnl(self, name: str) -> NetlinkRtnl:
        return NetlinkRtnl(opener_in(self._named / name))

    async def make(self, name: str) -> None:
        """Make the namespace, or take over the empty one that has its name; its loopback is up and ours."""
        self.writes += 1
        path = self._named / name
        try:
            await asyncio.to_thread(self._make, path)
            found = path.stat()
            self._marks.mkdir(mode=0o755, exist_ok=True)
            mark = {"boot": self._boot, "dev": found.st_dev, "ino": found.st_ino}
            write_atomically(self._marks / name, json.dumps(mark).encode() + b"\n")
        except OSError as error:
            raise from_os_error(f"make {path}", error) from error
        rtnl = self._rtnl(name)
        try:
            up = IFINFO.pack(0, 0, LOOPBACK_INDEX, IFF_UP, IFF_UP) + attr_u32(IFLA_GROUP, LINK_GROUP)
            (problem,) = await rtnl.send([(RTM_NEWLINK, 0, up)])
        finally:
            rtnl.close()
        if problem is not None:
            raise problem

    def _make(self, path: Path) -> None:
        with self._shared():
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
            except FileExistsError:
                found = path.lstat()
                if found.st_dev == self._nsfs:
                    return
                if not S_ISREG(found.st_mode) or found.st_size:
                    raise
            try:
                in_new_netns(lambda: _mount(OWN, path, MS_BIND))
            except OSError:
                with suppress(OSError):
                    path.unlink()
                raise

    @contextmanager
    def _shared(self) -> Iterator[None]:
        """Make the directory a shared mount of its own, so that all see what is mounted there; once, under a lock.

        Without the lock, two who do it at once mount it over and over. Source: ip/ipnetns.c; systemd issue 2741.
        """
        self._named.mkdir(mode=0o755, parents=True, exist_ok=True)
        held = os.open(self._named, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            try:
                _mount(Path(), self._named, MS_SHARED | MS_REC)
            except OSError as error:
                if error.errno != errno.EINVAL:  # it is no mount yet
                    raise
                _mount(self._named, self._named, MS_BIND | MS_REC)
                _mount(Path(), self._named, MS_SHARED | MS_REC)
            yield
        finally:
            os.close(held)

    async def remove(self, name: str) -> None:
        """Take the name away, if it is still the one that we made."""
        self.writes += 1
        path, made = self._named / name, self._made(name)
        try:
            found = path.lstat()
        except FileNotFoundError:
            pass
        else:
            if (found.st_dev, found.st_ino) == made:
                try:
                    await asyncio.to_thread(self._remove, path)
                except OSError as error:
                    raise from_os_error(f"remove {path}", error) from error
        with suppress(FileNotFoundError):
            (self._marks / name).unlink()

    @staticmethod
    def _remove(path: Path) -> None:
        check("umount2", libc.umount2(os.fsencode(path), MNT_DETACH))
        path.unlink(missing_ok=True)

    def open(self, name: str) -> int:
        try:
            return os.open(self._named / name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise refused(f"open {self._named / name}", error.errno or errno.EIO) from error
