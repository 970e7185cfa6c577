"""What neo needs from the outside, as Protocols. Nothing here touches the system."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from neod.model.errors import KernelError

T = TypeVar("T")


class Clock(Protocol):
    """The only source of time. ``boottime()`` and ``cpu()`` are monotonic; ``wall()`` may jump."""

    def boottime(self) -> float:
        """Return seconds of CLOCK_BOOTTIME, which runs on while the machine sleeps."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch, for people and files; it may jump."""
        ...

    def cpu(self) -> float:
        """Return the seconds of processor time that this thread has used: what a thing costs on a busy machine too."""
        ...


class Rtnl(Protocol):
    """rtnetlink of one namespace. Requests and answers are netlink payloads (no nlmsghdr)."""

    async def send(self, requests: Sequence[tuple[int, int, bytes]]) -> Sequence[KernelError | None]:
        """Send ``(type, flags, payload)`` requests in few system calls; one answer each, in order."""
        ...

    async def dump(self, type_: int, payload: bytes) -> Sequence[tuple[int, memoryview]]:
        """Return ``(type, payload)`` of every object of a dump that was consistent.

        Raises:
            KernelError: the kernel returned an error (errno in ``code``), or interrupted every try (EINTR).
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

    def note_moved(self, link: str) -> None:
        """Note that somebody moved a link of ours to another namespace."""
        ...

    def take_moved(self, link: str) -> bool:
        """Whether somebody moved the link to another namespace; asked again, it says no."""
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
            KernelError: the kernel returned an error; ENOENT where there is no such sysctl.
        """
        ...

    def change(self, values: Mapping[str, str]) -> Mapping[str, KernelError | None]:
        """Set every value, once what was there is safe on disk; one answer each, by path."""
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


class MovedLinks(Protocol):
    """Links that are in other namespaces, and their parents in this one."""

    async def remove(self, links: Collection[tuple[str, int]]) -> Collection[tuple[str, int]]:
        """Delete ours of *links*, each an alias and the index of its parent; return those that were found."""
        ...

    async def holders(self, parent_index: int) -> Mapping[str, str]:
        """Return who has which MAC on a parent, from other namespaces: "eth0 in the namespace web", by MAC."""
        ...


class MptcpPort(Protocol):
    """The kernel's MPTCP path manager in one namespace. Payloads are attributes (see ``neod.netlink.mptcp_pm``)."""

    @property
    def release(self) -> tuple[int, int]:
        """Return the kernel's version: older ones take flags that they do not know, and say nothing."""
        ...

    async def send(self, requests: Sequence[tuple[int, bytes]]) -> Sequence[KernelError | None]:
        """Send ``(command, attributes)`` in few system calls; one answer each, in order."""
        ...

    async def dump(self, command: int) -> Sequence[memoryview]:
        """Return the attributes of every object of a dump.

        Raises:
            KernelError: the kernel returned an error; EOPNOTSUPP where this kernel has no MPTCP.
        """
        ...

    async def get(self, command: int) -> memoryview:
        """Return the attributes of the one answer to *command*.

        Raises:
            KernelError: the kernel returned an error; EOPNOTSUPP where this kernel has no MPTCP.
        """
        ...


@dataclass(frozen=True, slots=True)
class LegacyRule:
    """One rule of a legacy table, as far as it is looked at."""

    target: str  # a chain, ACCEPT, or the name of an extension
    comment: str = ""
    content: int = 0  # tells it from others, in this process; 0 where it jumps to a chain


@dataclass(frozen=True, slots=True)
class LegacyChain:
    rules: tuple[LegacyRule, ...] = ()
    policy: str = ""  # ACCEPT | DROP; empty: not one of the table's own


LegacyTable = Mapping[str, LegacyChain]


ArpElement = tuple[str, str]
"""``("nic", name of a link)`` or ``("address", IPv4 address)``."""


class Netfilter(Protocol):
    """Packet filter and translation of one namespace: nftables, and the legacy tables of iptables."""

    async def nft_read(self) -> Sequence[Mapping[str, Any]] | None:
        """Return what ``nft -j`` lists of the table ``inet neo``; None if there is no such table.

        Raises:
            KernelError: it could not be read.
        """
        ...

    async def nft_replace(self, script: str) -> None:
        """Fill the table anew with the commands of *script*, all or nothing; others cannot write in it afterwards.

        Raises:
            KernelError: the kernel returned an error; what was there stands.
        """
        ...

    async def nft_remove(self) -> None:
        """Delete the table; already gone counts as done.

        Raises:
            KernelError: the kernel returned an error.
        """
        ...

    def arp_read(self) -> Mapping[ArpElement, bool]:
        """Return what is in the table ``arp neo``, each with whether the rules of the table are all there.

        On the NICs in it the kernel neither answers ARP requests for the addresses in it nor asks with them.

        Raises:
            KernelError: it could not be read.
        """
        ...

    def arp_change(self, add: Collection[ArpElement], remove: Collection[ArpElement]) -> bool:
        """Change what is in the table, all or nothing: it is made with the first element, and goes with the last.

        Returns:
            False where the kernel has no such tables; nothing is done then.

        Raises:
            KernelError: the kernel returned an error; what was there stands.
        """
        ...

    def nft_tables(self) -> Sequence[str]:
        """Return the tables of others that hold chains, as ``inet filter``."""
        ...

    def nft_forward_drops(self) -> Sequence[str]:
        """Return the chains of others that drop by default what is forwarded."""
        ...

    def legacy_names(self, version: int) -> Sequence[str]:
        """Return the legacy tables that exist for IP *version*. Looking into another would make it."""
        ...

    def legacy_read(self, version: int, table: str) -> LegacyTable | None:
        """Return the chains of a legacy table; None if it does not exist.

        Raises:
            KernelError: it could not be read.
        """
        ...

    def legacy_forward_drops(self) -> bool:
        """Whether a legacy table drops by default what is forwarded."""
        ...

    async def legacy_preload(self) -> None:
        """Be ready to write legacy tables without delay."""
        ...

    async def legacy_write(self, version: int, table: str, chains: Mapping[str, Mapping[str, Any]]) -> None:
        """Make the ``NEO-*`` chains of a table exactly *chains*, in one transaction; nothing of others is lost.

        Raises:
            KernelError: the kernel returned an error, or the lock stayed taken; what was there stands.
        """
        ...


@dataclass(frozen=True, slots=True)
class NetnsSeen:
    """What a name below /run/netns stands for."""

    ours: bool = False  # it bears our mark, or is noted as the one that we made
    marked: bool = True  # the mark is there
    known: bool = False  # not ours, but we gave the name, to another one
    inhabited: bool = False  # not ours, and somebody uses it; or it is no namespace at all
    older: bool = False  # one of ours has lost the name, and programs live in it; nobody lives in what has it now


@dataclass(frozen=True, slots=True)
class Dweller:
    """A process that lives in a namespace, or holds it open."""

    pid: int
    program: str
    unit: str = ""  # of the service manager that it belongs to; empty: none


class Disk(Protocol):
    """One small file."""

    problem: str  # what the last load or save stumbled over, for people; empty: nothing

    def load(self, decode: Callable[[bytes], T]) -> T | None:
        """Return what *decode* makes of the content; None where there is none that can be used."""
        ...

    def keep_only(self, data: bytes, why: str) -> None:
        """Set the file aside and write *data*, what makes sense of it."""
        ...

    def save(self, data: bytes) -> str:
        """Replace the content durably; return what went wrong, or nothing. What could not be written is tried again."""
        ...


class Namespaces(Protocol):
    """Named network namespaces, as ``ip netns`` keeps them."""

    def names(self) -> Sequence[str]:
        """Return the names of those that we made."""
        ...

    def standing(self) -> Sequence[str]:
        """Return the names of those that have them still: the others leave nothing to remove."""
        ...

    async def look(self, name: str) -> NetnsSeen | None:
        """Return what the name stands for; None if there is nothing.

        Raises:
            KernelError: it could not be read.
        """
        ...

    async def make(self, name: str) -> None:
        """Make the namespace, or take over the one that has its name now.

        Raises:
            KernelError: the kernel returned an error; EEXIST where something else has the name.
        """
        ...

    async def restore(self, name: str) -> None:
        """Give the name back to the one of ours in which programs live; make a new one where there is none any more.

        Raises:
            KernelError: the kernel returned an error; EEXIST where something else has the name.
        """
        ...

    async def dwellers(self, names: Collection[str]) -> Mapping[str, Sequence[Dweller]]:
        """Return who lives in those that have the names, or holds them open, by name; empty ones are left out."""
        ...

    async def dwellers_of_older(self) -> Mapping[str, Sequence[Dweller]]:
        """Return who lives in one of ours that has lost its name, by that name."""
        ...

    async def remove(self, name: str) -> None:
        """Take the name away, and with it all that lives only there; already gone counts as done.

        Raises:
            KernelError: the kernel returned an error.
        """
        ...

    def open(self, name: str) -> int:
        """Return a descriptor of the namespace, for the caller to close.

        Raises:
            KernelError: there is none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """One namespace, as drivers see it."""

    netns: str
    clock: Clock
    rtnl: Rtnl
    sysctls: Sysctls
    moved_links: MovedLinks
    mptcp: MptcpPort
    netfilter: Netfilter
    namespaces: Namespaces | None  # None inside of one: namespaces are made from neod's own
