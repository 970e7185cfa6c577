"""Sysctls below ``net``: the one kind with no mark in the kernel.

What we changed is known by the value to restore, which is on disk before the first write.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed, Key, LinkKey, within
from neod.model.kind import Entry, Kind, Mention, Names, Poll
from neod.model.ports import Ports
from neod.model.shown import IF_UNUSUAL, NEVER
from neod.netlink.attributes import attrs, u32
from neod.netlink.rtnetlink import RTM_NEWNETCONF, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF

NETCONFA_IFINDEX: Final = 1
NETCONF_NAMES: Final = {2: "forwarding", 3: "rp_filter", 5: "proxy_arp"}
FORCE_FORWARDING: Final = "force_forwarding"
NETCONF_HEADER_BYTES: Final = 4
NOT_LINKS: Final = frozenset(("all", "default"))

COPIED: Final = ("/forwarding", "/force_forwarding")

FOR_ALL: Final = {
    "net/ipv4/ip_forward": ("net/ipv4/conf/", ("/forwarding",)),
    "net/ipv4/conf/all/forwarding": ("net/ipv4/conf/", ("/forwarding",)),
    "net/ipv6/conf/all/forwarding": ("net/ipv6/conf/", COPIED),
}
"""Where a change is copied to all interfaces: beginning and end of their paths.

Source: net/ipv4/devinet.c, inet_forward_change; net/ipv6/addrconf.c, addrconf_forward_change.
"""

ACCEPT_RA: Final = "/accept_ra"


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
        return key.path.endswith(COPIED)

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


def _switch(link: str | None, version: str, leaf: str) -> str:
    return f"net/{version}/conf/{link}/{leaf}"


class SysctlDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._sysctls, self._rtnl = ports.netns, ports.sysctls, ports.rtnl
        self._opened: dict[tuple[int, str, str], str] = {}  # our switches by index of the link, IP version and leaf
        self._overwritable: set[str] = set()  # what is looked at and a switch for all would change

    async def observe(self, keys: Collection[SysctlKey]) -> Mapping[SysctlKey, Seen[SysctlSpec]]:
        """Read *keys*; one of ours has a value to restore."""
        self._overwritable |= {key.path for key in keys if key.path.endswith(COPIED)}
        values = self._sysctls.read([key.path for key in keys])
        self._follow_links(path for path in values if path.endswith(COPIED))
        owned = self._sysctls.originals()
        return {key: Seen(SysctlSpec(values[key.path]), key.path in owned) for key in keys if key.path in values}

    async def observe_all(self, wanted: Collection[SysctlKey]) -> Mapping[SysctlKey, Seen[SysctlSpec]]:
        """Read *wanted* and everything that has a value to restore."""
        self._overwritable.clear()
        self._follow_links([_switch(self._rtnl.name_of(index), *rest) for index, *rest in self._opened])
        return await self.observe({*wanted, *(SysctlKey(self._netns, path) for path in self._sysctls.originals())})

    def _follow_links(self, switches: Iterable[str]) -> None:
        """Note the links of those that we switched on; what was found of one goes with its link to another name."""
        owned = self._sysctls.originals()
        for path in switches:
            _, version, _, link, leaf = path.split("/")
            if (index := self._rtnl.index_of(link)) is None:
                continue
            before = self._opened.get((index, version, leaf), path)
            if path in owned:
                self._opened[index, version, leaf] = path
            elif before in owned and not self._sysctls.read([before]):
                self._sysctls.remember({before: None, path: owned[before]})
                self._opened[index, version, leaf] = path
                owned = self._sysctls.originals()

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
        self._overwritable -= {key.path for key in keys}
        try:
            standing = self._sysctls.read([key.path for key in keys if key.path in originals])
            restored = {path: originals[path] for path in standing if not self._is_switched_on(path, originals[path])}
        except KernelError as error:
            return [error] * len(keys)
        answered = self._change(restored, backwards=True)
        answers = [answered.get(key.path) for key in keys]
        over = ((key.path, error is None) for key, error in zip(keys, answers, strict=True))
        done = {path: None for path, fine in over if fine and (path in standing or not path.endswith(COPIED))}
        try:
            self._sysctls.remember(done)
        except KernelError as error:
            return [error if answer is None else answer for answer in answers]
        return answers


ENTRIES: Final = (Entry(SysctlKind(), SysctlDriver),)
