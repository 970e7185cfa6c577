"""Sysctls below ``net``: the one kind with no mark in the kernel.

What we changed is known by the value to restore, which is on disk before the first write.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed, Key, LinkKey, within
from neod.model.kind import Entry, Kind, Mention, Names, Poll
from neod.model.names import SWITCHES
from neod.model.ports import Ports
from neod.model.shown import IF_UNUSUAL, NEVER
from neod.netlink.attributes import attrs, u32
from neod.netlink.rtnetlink import RTM_NEWNETCONF, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF

NETCONFA_IFINDEX: Final = 1
NETCONF_NAMES: Final = {2: "forwarding", 3: "rp_filter", 5: "proxy_arp"}
FORCE_FORWARDING: Final = "force_forwarding"
NETCONF_HEADER_BYTES: Final = 4
NOT_LINKS: Final = frozenset(("all", "default"))

FOR_ALL: Final = {
    "net/ipv4/ip_forward": ("net/ipv4/conf/", ("/forwarding",)),
    "net/ipv4/conf/all/forwarding": ("net/ipv4/conf/", ("/forwarding",)),
    "net/ipv6/conf/all/forwarding": ("net/ipv6/conf/", SWITCHES),
}
"""Where a change is copied to all interfaces: beginning and end of their paths.

Source: net/ipv4/devinet.c, inet_forward_change; net/ipv6/addrconf.c, addrconf_forward_change.
"""

ACCEPT_RA: Final = "/accept_ra"

LINK: Final = "link/"
"""What begins the note of a switch: the index of its link, IP version, switch. No path of a sysctl does."""

NOTE: Final = re.compile(f"{LINK}([0-9]{{1,9}})/")
NOTED_DEPTH: Final = 4
"""Slashes in the path of a switch."""


@dataclass(frozen=True, slots=True)
class SysctlKey(Hashed):
    """A sysctl by its path below /proc/sys, ``net/ipv4/conf/neo1/arp_ignore``.

    The path form, because interface names may hold dots.
    """

    kind: ClassVar[str] = "sysctl"
    netns: str
    path: str

    def __str__(self) -> str:
        return f"sysctl:{within(self.netns)}{self.path}"


@dataclass(frozen=True, slots=True)
class SysctlSpec:
    """The value, as the kernel prints it."""

    value: str
    at_least: bool = field(default=False, metadata=IF_UNUSUAL)  # any larger number is left alone
    instead_of: str = ""  # only this value is changed, any other is left alone
    needs: tuple[Key, ...] = field(default=(), metadata=NEVER)  # what must exist before it is written

    def __str__(self) -> str:
        return self.value


class SysctlKind(Kind[SysctlKey, SysctlSpec]):
    """Values that exist anyway: written over, whoever wrote them, and polled, since only three notify of changes."""

    name: ClassVar[str] = "sysctl"
    groups: ClassVar[tuple[int, ...]] = (RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF)
    messages: ClassVar[tuple[int, ...]] = (RTM_NEWNETCONF,)
    takes_over_foreign: ClassVar[bool] = True
    poll: ClassVar[Poll | None] = Poll(1.0, at_most=256)

    def normalize(self, key: SysctlKey, spec: SysctlSpec) -> tuple[SysctlKey, SysctlSpec]:
        """Return the pair with the kernel's spacing."""
        return key, replace(spec, value=" ".join(spec.value.split()))

    def opens(self, key: SysctlKey, dead_ends: Collection[str]) -> bool:
        return key.path.endswith(SWITCHES)

    def matches(self, have: SysctlSpec, want: SysctlSpec) -> bool:
        """Whether the value is the wanted one, or large enough, or none that is to be changed."""
        if want.instead_of and have.value != want.instead_of:
            return True
        if want.at_least and have.value.isdigit() and want.value.isdigit():
            return int(have.value) >= int(want.value)
        return have.value == want.value

    def requires(self, key: SysctlKey, spec: SysctlSpec) -> Iterable[Key]:
        """The sysctls of a link need the link."""
        parts = key.path.split("/")
        if len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in NOT_LINKS:
            return (LinkKey(key.netns, parts[3]), *spec.needs)
        return spec.needs

    def path(self, key: SysctlKey, spec: SysctlSpec | None, tables: Mapping[int, str]) -> str:
        """The sysctls of a link are its path's."""
        parts = key.path.split("/")
        return parts[3] if len(parts) == 5 else ""

    def names(self, key: SysctlKey, spec: SysctlSpec | None) -> Iterable[str]:
        """The path, and the names that ``sysctl`` takes: with dots, which a link's name then has as slashes."""
        swapped = key.path.translate({ord("/"): ".", ord("."): "/"})
        return (key.path, f"/proc/sys/{key.path}", swapped, key.path.replace("/", "."))

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the sysctls that an RTM_NEWNETCONF message is about: only three of them send one.

        Source: net/ipv4/devinet.c, devinet_conf_proc.
        """
        found = attrs(payload, NETCONF_HEADER_BYTES)
        link = names(u32(found[NETCONFA_IFINDEX])) if NETCONFA_IFINDEX in found else None
        if link is None:
            return ()
        family = "ipv4" if payload[0] == 2 else "ipv6"
        changed = [name for number, name in NETCONF_NAMES.items() if number in found]
        if family == "ipv6" and (not changed or "forwarding" in changed):  # of that one it tells no more than the link
            changed.append(FORCE_FORWARDING)
        return [Mention(SysctlKey(netns, f"net/{family}/conf/{link}/{name}"), False) for name in changed]


def copies(path: str, to: str) -> bool:
    """Whether a change of *path* changes *to*, of an interface, as well."""
    begin, ends = FOR_ALL[path]
    return to.endswith(ends) and to.startswith(begin) and to not in FOR_ALL


def _write_order(path: str) -> int:
    """What keeps routers comes before what makes the host one, and interfaces after what is copied to all of them."""
    return 0 if path.endswith(ACCEPT_RA) else 1 if path in FOR_ALL else 2


def _note_of(index: int | None, path: str) -> str:
    """Return what says, among the originals, which link a switch is of: that keeps its index under any name."""
    parts = path.split("/")
    return f"{LINK}{index}/{parts[1]}/{parts[4]}"


def _named(path: str, link: str) -> str:
    parts = path.split("/")
    return "/".join((*parts[:3], link, *parts[4:]))


def moved(originals: Mapping[str, str], name_of: Callable[[int], str | None]) -> Mapping[str, str | None]:
    """Return what of the originals is another: switches whose links have another name, also each other's."""
    gone, come = dict[str, None](), dict[str, str]()
    for note, path in originals.items():
        if (noted := NOTE.match(note)) and path in originals and path.count("/") == NOTED_DEPTH:
            now = name_of(int(noted[1]))
            if now and (there := _named(path, now)) != path:
                gone[path] = None
                come |= {note: there, there: originals[path]}
    return {**gone, **come}


class SysctlDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._sysctls, self._rtnl = ports.netns, ports.sysctls, ports.rtnl
        self._overwritable: dict[str, None] = {}  # what is looked at and a switch for all would change

    async def observe(self, keys: Collection[SysctlKey]) -> Mapping[SysctlKey, Seen[SysctlSpec]]:
        """Read *keys*; one of ours has a value to restore."""
        if copied := dict.fromkeys(key.path for key in keys if key.path.endswith(SWITCHES)):
            self._overwritable |= copied
            self._follow_links()
        values = self._sysctls.read([key.path for key in keys])
        owned = self._sysctls.originals()
        return {key: Seen(SysctlSpec(values[key.path]), key.path in owned) for key in keys if key.path in values}

    async def observe_all(self, wanted: Collection[SysctlKey]) -> Mapping[SysctlKey, Seen[SysctlSpec]]:
        """Read *wanted* and everything that has a value to restore."""
        self._overwritable.clear()
        self._follow_links()
        ours = (SysctlKey(self._netns, path) for path in self._sysctls.originals())
        return await self.observe(dict.fromkeys((*wanted, *ours)))

    def _follow_links(self) -> None:
        """Have what was found of a switch go with its link to another name."""
        if changed := moved(self._sysctls.originals(), self._rtnl.name_of):
            self._sysctls.remember(changed)

    def _note_links(self, paths: Iterable[str]) -> None:
        """Keep which links the switches are of, with what is found of them, in one write."""
        owned, notes = self._sysctls.originals(), dict[str, str]()
        for path in paths:
            if path.endswith(SWITCHES) and (index := self._rtnl.index_of(path.split("/")[3])) is not None:
                notes[_note_of(index, path)] = path
        if fresh := {note: path for note, path in notes.items() if owned.get(note) != path}:
            found = self._sysctls.read([path for path in fresh.values() if path not in owned])
            self._sysctls.remember({**dict.fromkeys(self._notes({*fresh.values()})), **found, **fresh})

    def _notes(self, paths: Collection[str]) -> Iterable[str]:
        return [note for note, path in self._sysctls.originals().items() if note.startswith(LINK) and path in paths]

    async def put(
        self, items: Sequence[tuple[SysctlKey, SysctlSpec, SysctlSpec | None]]
    ) -> Sequence[KernelError | None]:
        """Set every value, once its original is safe on disk."""
        answers = self._change({key.path: spec.value for key, spec, _ in items}, backwards=False)
        return [answers[key.path] for key, _, _ in items]

    def _change(self, values: Mapping[str, str], *, backwards: bool) -> Mapping[str, KernelError | None]:
        """Write the values; what a switch for all overwrites of interfaces is written back at once."""
        ordered: dict[str, str] = {}
        try:
            for path in sorted(values, key=_write_order, reverse=backwards):
                ordered[path] = values[path]
                if path in FOR_ALL:
                    ordered |= self._kept(path, values)
            self._note_links(ordered)
        except KernelError as error:
            return dict.fromkeys(values, error)
        return self._sysctls.change(ordered)

    def _kept(self, path: str, values: Mapping[str, str]) -> Mapping[str, str]:
        """Return what is wanted of interfaces and would be overwritten: ours from now on, with that to restore."""
        standing = self._sysctls.read([o for o in self._overwritable if copies(path, o) and o not in values])
        kept = {other: now for other, now in standing.items() if now != values[path]}
        owned = self._sysctls.originals()
        self._sysctls.remember({other: values[path] for other in kept if other not in owned})
        return kept

    def _is_switched_on(self, path: str, original: str) -> bool:
        """Whether somebody switched on for all interfaces what we had switched on for this one: theirs is kept."""
        switches = [switch for switch in FOR_ALL if copies(switch, path) and not path.endswith(FORCE_FORWARDING)]
        return original == "0" and "1" in self._sysctls.read(switches).values()

    async def drop(self, keys: Sequence[SysctlKey]) -> Sequence[KernelError | None]:
        """Put back every value found before our first write; one whose link is gone is done.

        What was found of a switch is kept then: the link may have another name now, and be open under that.
        """
        originals = self._sysctls.originals()
        for key in keys:
            self._overwritable.pop(key.path, None)
        try:
            standing = self._sysctls.read([key.path for key in keys if key.path in originals])
            restored = {path: originals[path] for path in standing if not self._is_switched_on(path, originals[path])}
        except KernelError as error:
            return [error] * len(keys)
        answered = self._change(restored, backwards=True)
        answers = [answered.get(key.path) for key in keys]
        over = ((key.path, error is None) for key, error in zip(keys, answers, strict=True))
        done = {path: None for path, fine in over if fine and (path in standing or not path.endswith(SWITCHES))}
        try:
            self._sysctls.remember({**done, **dict.fromkeys(self._notes(done))})
        except KernelError as error:
            return [error if answer is None else answer for answer in answers]
        return answers


ENTRIES: Final = (Entry(SysctlKind(), SysctlDriver),)
