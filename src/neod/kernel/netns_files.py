"""The names below /run/netns: made, repaired and removed exactly as ``ip netns`` does.

Ours bear our mark on the loopback inside: the link group, and an alias that says from which namespace they were made,
for named ones are seen by every neod of a machine. The mark is in place before the name is, so that there is no moment
when a namespace of ours looks like another's. A file of the same name in the runtime directory says that a name is
being made or was: 0.1.0 knew its own by that alone, and an empty file that a kill left is told by it.
"""

import asyncio
import ctypes
import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from neod.kernel.errors import from_os_error, refused
from neod.kernel.files import read_small, write_atomically
from neod.model.marks import LINK_GROUP
from neod.model.ports import NetnsSeen
from neod.netlink.attributes import attr, attr_u32, attrs, text, u32
from neod.netlink.libc import check, libc
from neod.netlink.message import NLM_F_ACK, NetlinkError
from neod.netlink.netns import NAMED, OWN, in_netns, in_new_netns, opener_in
from neod.netlink.rtnetlink import IFINFO, RTM_GETLINK, RTM_NEWLINK, SKIP_STATS
from neod.netlink.socket import NETLINK_ROUTE, Connection

MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 0x100000
MNT_DETACH: Final = 2
IFLA_IFALIAS, IFLA_GROUP = 20, 27
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
LOOPBACK_INDEX: Final = 1
SO_NETNS_COOKIE: Final = 71
"""A number that no other namespace of this boot has; since Linux 5.14. Source: asm-generic/socket.h."""

MARK: Final = "neo-netns:"
LOOK_BYTES: Final = 1 << 18

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Inside:
    """What the links of a namespace tell of it."""

    marked: bool  # its loopback has our group
    maker: str  # the namespace that it was made from; empty: not noted
    in_use: bool  # a link is up that is neither a loopback nor ours


def _mount(source: Path, target: Path, flags: int) -> None:
    check("mount", libc.mount(os.fsencode(source), os.fsencode(target), b"none", ctypes.c_ulong(flags), None))


def _own_number() -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            return str(int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder))
        except OSError:
            return str(os.stat(OWN).st_ino)  # noqa: PTH116


def _links_tell(links: Iterable[memoryview]) -> Inside:
    marked, maker, in_use = False, "", False
    for link in links:
        _, _, index, flags, _ = IFINFO.unpack_from(link)
        found = attrs(link, IFINFO.size)
        ours = IFLA_GROUP in found and u32(found[IFLA_GROUP]) == LINK_GROUP
        if index == LOOPBACK_INDEX:
            alias = text(found[IFLA_IFALIAS]) if IFLA_IFALIAS in found else ""
            marked, maker = ours, alias.removeprefix(MARK) if alias.startswith(MARK) else ""
        elif flags & IFF_UP and not flags & IFF_LOOPBACK and not ours:
            in_use = True
    return Inside(marked, maker, in_use)


def _is_leftover(found: os.stat_result) -> bool:
    """Whether it is the empty file that a namespace is mounted on, without one."""
    return S_ISREG(found.st_mode) and found.st_size == 0


def _look_inside(path: Path) -> Inside:
    """Return what the namespace at *path* is like.

    Raises:
        OSError: it cannot be entered or read.
    """
    with Connection(NETLINK_ROUTE, opener_in(path), receive_buffer_bytes=LOOK_BYTES) as connection:
        dump = connection.dump(RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0) + SKIP_STATS)
    return _links_tell(payload for _, payload in dump)


class NamedNamespaces:
    """The port ``Namespaces``. *marks* is a directory whose files are valid only in the boot that wrote them."""

    def __init__(self, marks: Path, named: Path = NAMED) -> None:
        self._marks, self._named = marks, named
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._nsfs = os.stat(OWN).st_dev  # noqa: PTH116
        self._number = _own_number()
        self._verified: dict[str, Identity] = {}  # those whose inside this process has seen to be marked
        self._known: set[str] | None = None  # names that bear our mark; None: nobody has looked yet
        self.writes = 0

    def names(self) -> Sequence[str]:
        if self._known is None:
            self._known = set(self._found())
        return sorted(self._known | set(self._noted()))

    def _noted(self) -> list[str]:
        with suppress(OSError):
            return [path.name for path in self._marks.iterdir() if not path.name.startswith(".")]
        return []

    def _found(self) -> Iterator[str]:
        """Yield the names with our mark inside; an empty file that a kill of ours left goes."""
        for path in self._named.iterdir() if self._named.is_dir() else ():
            with suppress(OSError):
                found = path.lstat()
                if found.st_dev == self._nsfs:
                    inside = _look_inside(path)
                    if inside.marked and inside.maker == self._number:
                        yield path.name
                elif _is_leftover(found) and (self._marks / path.name).exists():
                    path.unlink()

    def _noted_as(self, name: str) -> Identity | None:
        try:
            mark = json.loads(read_small(self._marks / name))
            return (int(mark["dev"]), int(mark["ino"])) if mark["boot"] == self._boot else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _is_known(self, name: str) -> bool:
        return name in (self._known or ()) or self._noted_as(name) is not None

    async def look(self, name: str) -> NetnsSeen | None:
        path = self._named / name
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(f"look at {path}", error) from error
        if found.st_dev != self._nsfs:
            return None if _is_leftover(found) else NetnsSeen(inhabited=True)
        identity = found.st_dev, found.st_ino
        if self._verified.get(name) == identity:
            return NetnsSeen(ours=True)
        try:
            inside = await asyncio.to_thread(_look_inside, path)
        except OSError:
            return NetnsSeen(inhabited=True)
        if inside.marked and inside.maker in ("", self._number):
            self._verified[name] = identity
            return NetnsSeen(ours=True)
        noted = not inside.maker and not inside.in_use and self._noted_as(name) == identity
        ours, known = noted or inside.maker == self._number, self._is_known(name)
        return NetnsSeen(ours, marked=False, known=known, inhabited=inside.in_use)

    async def make(self, name: str) -> None:
        """Make the namespace, or take over the empty one that has its name; its loopback is up and ours."""
        self.writes += 1
        path = self._named / name
        try:
            self._verified[name] = await asyncio.to_thread(self._make, path)
        except OSError as error:
            raise from_os_error(f"make {path}", error) from error
        if self._known is not None:
            self._known.add(name)

    def _make(self, path: Path) -> Identity:
        """Return which namespace the name stands for now. Killed at any point, the next attempt finishes it."""
        with self._shared():
            try:
                found = path.lstat()
            except FileNotFoundError:
                return in_new_netns(lambda: self._name_this(path))
            if found.st_dev == self._nsfs:
                return in_netns(path, lambda: self._mark(path.name))
            if not _is_leftover(found):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            return in_new_netns(lambda: self._name_this(path))

    def _mark(self, name: str) -> Identity:
        """Mark the namespace of the calling thread, and note it; return which one it is."""
        mark = attr_u32(IFLA_GROUP, LINK_GROUP) + attr(IFLA_IFALIAS, f"{MARK}{self._number}".encode())
        with Connection(NETLINK_ROUTE) as connection:
            body = IFINFO.pack(0, 0, LOOPBACK_INDEX, IFF_UP, IFF_UP) + mark
            (answer,) = connection.exchange([(RTM_NEWLINK, NLM_F_ACK, body)])
        if isinstance(answer, NetlinkError):
            raise answer
        found = os.stat(OWN)  # noqa: PTH116
        note = {"boot": self._boot, "dev": found.st_dev, "ino": found.st_ino}
        with suppress(OSError):  # the mark inside is what counts
            self._marks.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(self._marks / name, json.dumps(note).encode() + b"\n")
        return found.st_dev, found.st_ino

    def _name_this(self, path: Path) -> Identity:
        """Mark the namespace of the calling thread, and only then give it its name."""
        identity = self._mark(path.name)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0))
        try:
            _mount(OWN, path, MS_BIND)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        return identity

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
        """Take the name away, if it still stands for a namespace of ours."""
        self.writes += 1
        path = self._named / name
        seen = await self.look(name)
        if seen is not None and seen.ours:
            try:
                await asyncio.to_thread(self._remove, path)
            except OSError as error:
                raise from_os_error(f"remove {path}", error) from error
        self._verified.pop(name, None)
        if self._known is not None:
            self._known.discard(name)
        with suppress(OSError):
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
