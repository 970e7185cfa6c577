"""What neo needs from the outside, as Protocols. Nothing here touches the system."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from neod.model.errors import KernelError


class Clock(Protocol):
    """The only source of time. Both never jump backwards but ``wall``."""

    def boottime(self) -> float:
        """Return seconds of CLOCK_BOOTTIME, which runs on while the machine sleeps."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch, for people and files; it may jump."""
        ...


class Rtnl(Protocol):
    """rtnetlink of one namespace. Requests and answers are netlink payloads (no nlmsghdr)."""

    async def send(self, requests: Sequence[tuple[int, int, bytes]]) -> Sequence[KernelError | None]:
        """Send ``(type, flags, payload)`` requests in few system calls; one answer each, in order."""
        ...

    async def dump(self, type_: int, payload: bytes) -> Sequence[tuple[int, memoryview]]:
        """Return ``(type, payload)`` of every object of a dump that was consistent.

        Raises:
            KernelError: refused, or still interrupted after several tries (EINTR).
        """
        ...

    async def get(self, requests: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, memoryview] | KernelError]:
        """Return one object, or the refusal, for each ``(type, payload)``."""
        ...

    def index_of(self, link: str) -> int | None:
        """Return the index last seen for the name of a link."""
        ...

    def name_of(self, index: int) -> str | None:
        """Return the name last seen for an index."""
        ...

    def known(self) -> int:
        """Return how many links have been seen: what a full read costs."""
        ...

    def learn(self, index: int, link: str | None) -> None:
        """Note what an index is called now; None forgets it."""
        ...


class Sysctls(Protocol):
    """/proc/sys of one namespace, and the values found there before our first write."""

    def read(self, paths: Collection[str]) -> Mapping[str, str]:
        """Return the values with single spaces, by path; what is absent does not exist.

        Raises:
            KernelError: one exists and cannot be read.
        """
        ...

    def write(self, path: str, value: str) -> None:
        """Set the value.

        Raises:
            KernelError: refused; ENOENT where there is no such sysctl.
        """
        ...

    def originals(self) -> Mapping[str, str]:
        """Return the values to restore, by path: having one means that we changed it."""
        ...

    def remember(self, values: Mapping[str, str | None]) -> None:
        """Keep these originals on disk before anything is written; None forgets one.

        Raises:
            KernelError: the disk refused; nothing must be written then.
        """
        ...


class Strays(Protocol):
    """Links of ours that somebody moved to another namespace."""

    async def remove(self, alias: str, mac: str, parent_index: int) -> bool:
        """Delete the link wherever a named namespace holds it; True if one was found."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """One namespace, as drivers see it."""

    netns: str
    clock: Clock
    rtnl: Rtnl
    sysctls: Sysctls
    strays: Strays
