"""The names below /run/netns: made, repaired and removed exactly as ``ip netns`` does.

Which of them are ours, the namespaces say themselves, see ``netns_mark``. A file of the same name in the runtime
directory says it, too: 0.1.0 knows no other mark. Of each of ours we hold a descriptor, so that one that loses its name
goes on for whoever lives in it; after a restart it is found by its processes.
"""

import asyncio
import errno
import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ctypes import c_ulong
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

from neod.kernel.dwellers import has_sockets, named, where_processes_are
from neod.kernel.errors import from_os_error, kernel_call
from neod.kernel.files import read_small, write_atomically
from neod.kernel.netns_mark import look_inside, mark_for, name_in, set_mark
from neod.model.ports import Dweller, NetnsSeen
from neod.netlink.libc import check, libc
from neod.netlink.netns import NAMED, OWN, in_netns, in_new_netns

MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 0x100000
MNT_DETACH: Final = 2

Identity = tuple[int, int]


def _mount(source: Path, target: Path, flags: int) -> None:
    check("mount", libc.mount(os.fsencode(source), os.fsencode(target), b"none", c_ulong(flags), None))


def _unmount(path: Path) -> None:
    check("umount2", libc.umount2(os.fsencode(path), MNT_DETACH))


def _path_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")


@dataclass(frozen=True, slots=True)
class Held:
    """A namespace, kept by a descriptor: while it is open, no other can have its inode.

    It is not opened by its name: that would hold the mount, and ``umount`` would fail.
    """

    identity: Identity
    descriptor: int


@dataclass(frozen=True, slots=True)
class Older:
    """One of ours that has lost its name, and in which somebody lives."""

    held: Held
    programs: int
    links: int  # of ours in it


class NamedNamespaces:
    """The port ``Namespaces``. *marks* is a directory whose files are valid only in the boot that wrote them."""

    def __init__(self, marks: Path, named: Path = NAMED) -> None:
        self._marks, self._named = marks, named
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._nsfs = os.stat(OWN).st_dev  # noqa: PTH116
        self._ours: dict[str, Held] = {}
        self._looked = False  # for what bears our mark
        self.writes = 0

    def names(self) -> Sequence[str]:
        if not self._looked:
            self._looked = True
            self._look_for_marks()
        return sorted({*self._ours, *self._files()})

    def standing(self) -> Sequence[str]:
        return [name for name in self.names() if self._identity(name)]

    def _look_for_marks(self) -> None:
        """Keep what bears our mark; an empty file that a kill of ours left goes."""
        for name in sorted(path.name for path in self._named.glob("*")):
            with suppress(OSError):
                if self._identity(name):
                    if in_netns(self._named / name, look_inside).mark == mark_for(name):
                        self._keep(name)
                elif self._is_leftover(name) and (self._marks / name).exists():
                    (self._named / name).unlink()

    def _files(self) -> list[str]:
        with suppress(OSError):
            return [path.name for path in self._marks.iterdir() if not path.name.startswith(".")]
        return []

    def _filed(self, name: str) -> Identity | None:
        """Return what the file of a name says that it stood for."""
        try:
            mark = json.loads(read_small(self._marks / name))
            return (int(mark["dev"]), int(mark["ino"])) if mark["boot"] == self._boot else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _made(self, name: str) -> Identity | None:
        held = self._ours.get(name)
        return held.identity if held else self._filed(name)

    def _identity(self, name: str) -> Identity | None:
        """Return the namespace that a name stands for; None where there is none."""
        try:
            found = (self._named / name).lstat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if found.st_dev == self._nsfs else None

    def _is_leftover(self, name: str) -> bool:
        """Whether a name is the empty file that a namespace is mounted on, without one."""
        try:
            found = (self._named / name).lstat()
        except OSError:
            return False
        return S_ISREG(found.st_mode) and not found.st_size and found.st_dev != self._nsfs

    async def look(self, name: str) -> NetnsSeen | None:
        try:
            found = (self._named / name).lstat()
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise from_os_error(f"look at {self._named / name}", error) from error
        if found is not None and found.st_dev == self._nsfs:
            identity, held = (found.st_dev, found.st_ino), self._ours.get(name)
            if held is not None and held.identity == identity:
                return NetnsSeen(ours=True)
            return await asyncio.to_thread(self._examine, name, identity)
        if found is not None and not self._is_leftover(name):
            return NetnsSeen(marked=False, inhabited=True)
        return NetnsSeen(older=True) if await asyncio.to_thread(self._has_older, name) else None

    def _examine(self, name: str, identity: Identity) -> NetnsSeen:
        """Look at a namespace that has the name and is not known as ours.

        0.1.0 marked with the group alone. Somebody else uses it if a link is up in it that is no loopback and not ours,
        or it cannot be read. Links of ours are in it when ``ip netns add`` mounted its namespace over the one that we
        had just made: we filled what the name stood for then.
        """
        path, mark, filed = self._named / name, mark_for(name), self._filed(name)
        try:
            inside = in_netns(path, look_inside)
            if inside.mark == mark or (inside.grouped and not inside.mark):
                self._keep(name)
                return NetnsSeen(ours=True)
        except OSError:
            return NetnsSeen(marked=False, inhabited=True)
        if identity == filed and not inside.mark and not inside.in_use:
            return NetnsSeen(ours=True, marked=False)
        known, in_use = name in self._ours or filed is not None, inside.in_use or bool(inside.mark)
        empty = known and not in_use and identity[1] not in where_processes_are()
        return NetnsSeen(marked=False, known=known, inhabited=in_use, older=empty and self._has_older(name))

    def _has_older(self, name: str) -> bool:
        with ExitStack() as until:
            return self._likeliest(name, until) is not None

    def _likeliest(self, name: str, until: ExitStack) -> Held | None:
        """Return the one of ours that has lost the name and in which somebody lives, open until *until* ends.

        Of several it is the one that had the name last, then the one with most of what we put there.
        """
        last, found = self._made(name), self._older(name, until)
        best = max(found, key=lambda one: (one.held.identity == last, one.links, one.programs), default=None)
        return best.held if best else None

    def _older(self, name: str, until: ExitStack) -> Iterator[Older]:
        at, current, held = where_processes_are(descriptors=True), self._identity(name), self._ours.get(name)
        mark, last = mark_for(name), self._made(name)
        for inode, paths in at.items():
            with suppress(OSError):
                one = _opened(next(iter(paths.values())), inode, until)
                if one.identity != current:
                    inside = in_netns(_path_of(one.descriptor), look_inside)
                    if inside.mark == mark or (not inside.mark and inside.grouped and one.identity == last):
                        yield Older(one, len(paths), inside.links)
        if held and held.identity != current and held.identity[1] not in at:
            with suppress(OSError):
                if in_netns(_path_of(held.descriptor), has_sockets):
                    yield Older(_opened(str(_path_of(held.descriptor)), held.identity[1], until), 0, 0)

    async def dwellers(self, names: Collection[str]) -> Mapping[str, Sequence[Dweller]]:
        return await asyncio.to_thread(self._dwellers, names) if names else {}

    def _dwellers(self, names: Collection[str]) -> Mapping[str, Sequence[Dweller]]:
        at = where_processes_are(descriptors=True)
        identities = ((name, self._identity(name)) for name in names)
        return {name: named(at[found[1]]) for name, found in identities if found and found[1] in at}

    async def dwellers_of_older(self) -> Mapping[str, Sequence[Dweller]]:
        return await asyncio.to_thread(self._dwellers_of_older)

    def _dwellers_of_older(self) -> Mapping[str, Sequence[Dweller]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        current = {identity[1] for name in self.names() if (identity := self._identity(name))}
        for inode, paths in where_processes_are().items():
            with suppress(OSError):
                if inode not in current and (
                    name := name_in(in_netns(Path(next(iter(paths.values()))), look_inside).mark)
                ):
                    found[name] += paths
        return {name: named(pids) for name, pids in found.items()}

    async def make(self, name: str) -> None:
        """Make the namespace, or take over the empty one that has its name; its loopback is up and ours."""
        await self._put(name, self._make)

    async def restore(self, name: str) -> None:
        await self._put(name, self._restore)

    async def _put(self, name: str, put: Callable[[str], None]) -> None:
        self.writes += 1
        with kernel_call(f"make {self._named / name}"):
            await asyncio.to_thread(put, name)
            self._keep(name)

    def _make(self, name: str) -> None:
        """Mark it before it has a name: whoever ends us in between leaves nothing that looks like another's."""
        path, mark = self._named / name, mark_for(name)

        def mount() -> None:
            set_mark(mark)
            _mount(OWN, path, MS_BIND)

        with self._shared():  # until it is mounted: an empty file is a leftover to everybody else
            if self._place_for(path):
                in_netns(path, lambda: set_mark(mark))
                return
            try:
                in_new_netns(mount)
            except OSError:
                with suppress(OSError):
                    path.unlink()
                raise

    def _restore(self, name: str) -> None:
        path = self._named / name
        with ExitStack() as until:
            held = self._likeliest(name, until)
            if held is None:
                self._make(name)
                return
            until.enter_context(self._shared())
            if self._place_for(path):
                _unmount(path)  # nobody lives in it; ours may be below
            if self._identity(name) != held.identity:
                self._place_for(path)
                _mount(_path_of(held.descriptor), path, MS_BIND)

    def _place_for(self, path: Path) -> bool:
        """Make the empty file that a namespace is mounted on; return whether one is mounted there already."""
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
        except FileExistsError:
            if path.lstat().st_dev == self._nsfs:
                return True
            if not self._is_leftover(path.name):
                raise
        return False

    def _keep(self, name: str) -> None:
        """Hold what the name stands for as ours, and note it for 0.1.0.

        Raises:
            OSError: the name stands for nothing.
        """
        descriptor = in_netns(self._named / name, lambda: os.open(OWN, os.O_RDONLY | os.O_CLOEXEC))
        found, old = os.fstat(descriptor), self._ours.get(name)
        self._ours[name] = Held((found.st_dev, found.st_ino), descriptor)
        if old is not None:
            os.close(old.descriptor)
        mark = {"boot": self._boot, "dev": found.st_dev, "ino": found.st_ino}
        with suppress(OSError):
            self._marks.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(self._marks / name, json.dumps(mark).encode() + b"\n")

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
        if made is not None and self._identity(name) == made:
            with kernel_call(f"remove {path}"):
                await asyncio.to_thread(self._remove, path)
        if (held := self._ours.pop(name, None)) is not None:
            os.close(held.descriptor)
        with suppress(OSError):
            (self._marks / name).unlink()

    @staticmethod
    def _remove(path: Path) -> None:
        _unmount(path)
        path.unlink(missing_ok=True)

    def open(self, name: str) -> int:
        with kernel_call(f"open {self._named / name}"):
            return os.open(self._named / name, os.O_RDONLY | os.O_CLOEXEC)


def _opened(path: str, inode: int, until: ExitStack) -> Held:
    """Return the namespace at *path*, open until *until* ends.

    Raises:
        OSError: it is gone, or another.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    until.callback(os.close, descriptor)
    found = os.fstat(descriptor)
    if found.st_ino != inode:
        raise FileNotFoundError(errno.ENOENT, "another namespace has its place", path)
    return Held((found.st_dev, found.st_ino), descriptor)
