"""Sysctls below ``net``: the one kind with no mark in the kernel.

What we changed is known by the value to restore, which is on disk before the first write.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import Hashed, Key, LinkKey, within
from neod.model.kind import Entry, Kind, Mention, Names, Poll
from neod.model.ports import Ports
from neod.netlink.attributes import attrs, u32
from neod.netlink.rtnetlink import RTM_NEWNETCONF, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF

NETCONFA_IFINDEX: Final = 1
NETCONF_NAMES: Final = {2: "forwarding", 3: "rp_filter", 5: "proxy_arp"}
NETCONF_HEADER_BYTES: Final = 4
NOT_LINKS: Final = frozenset(("all", "default"))


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
    """The value, as the kernel prints it; *at_least* leaves any larger number alone."""

    value: str
    at_least: bool = False

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
        return key, SysctlSpec(" ".join(spec.value.split()), spec.at_least)

    def matches(self, have: SysctlSpec, want: SysctlSpec) -> bool:
        """Whether the value is the wanted one, or large enough."""
        if want.at_least and have.value.isdigit() and want.value.isdigit():
            return int(have.value) >= int(want.value)
        return have.value == want.value

    def requires(self, key: SysctlKey, spec: SysctlSpec) -> Iterable[Key]:
        """The sysctls of a link need the link."""
        parts = key.path.split("/")
        if len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in NOT_LINKS:
            return (LinkKey(key.netns, parts[3]),)
        return ()

    def path(self, key: SysctlKey, spec: SysctlSpec | None, tables: Mapping[int, str]) -> str:
        """The sysctls of a link are its path's."""
        parts = key.path.split("/")
        return parts[3] if len(parts) == 5 else ""

    def keys_of_event(self, netns: str, message: int, payload: memoryview, names: Names) -> Iterable[Mention]:
        """Return the sysctls that an RTM_NEWNETCONF message is about: only three of them send one.

        Source: net/ipv4/devinet.c, devinet_conf_proc.
        """
        found = attrs(payload, NETCONF_HEADER_BYTES)
        link = names(u32(found[NETCONFA_IFINDEX])) if NETCONFA_IFINDEX in found else None
        if link is None:
            return ()
        family = "ipv4" if payload[0] == 2 else "ipv6"
        return [
            Mention(SysctlKey(netns, f"net/{family}/conf/{link}/{name}"), False)
            for number, name in NETCONF_NAMES.items()
            if number in found
        ]


class SysctlDriver:
    def __init__(self, ports: Ports) -> None:
        self._netns, self._sysctls = ports.netns, ports.sysctls

    async def observe(self, keys: Collection[SysctlKey]) -> Mapping[SysctlKey, Seen[SysctlSpec]]:
        """Read *keys*; one of ours has a value to restore."""
        owned = self._sysctls.originals()
        values = self._sysctls.read([key.path for key in keys])
        return {key: Seen(SysctlSpec(values[key.path]), key.path in owned) for key in keys if key.path in values}

    async def observe_all(self, wanted: Collection[SysctlKey]) -> Mapping[SysctlKey, Seen[SysctlSpec]]:
        """Read *wanted* and everything that has a value to restore."""
        return await self.observe({*wanted, *(SysctlKey(self._netns, path) for path in self._sysctls.originals())})

    async def put(
        self, items: Sequence[tuple[SysctlKey, SysctlSpec, SysctlSpec | None]]
    ) -> Sequence[KernelError | None]:
        """Set every value, once its original is safe on disk."""
        answers = self._sysctls.change({key.path: spec.value for key, spec, _ in items})
        return [answers[key.path] for key, _, _ in items]

    def _write(self, path: str, value: str) -> KernelError | None:
        try:
            self._sysctls.write(path, value)
        except KernelError as error:
            return error
        return None

    async def drop(self, keys: Sequence[SysctlKey]) -> Sequence[KernelError | None]:
        """Put back every value found before our first write; one whose link is gone is done."""
        originals = self._sysctls.originals()
        try:
            standing = self._sysctls.read([key.path for key in keys if key.path in originals])
        except KernelError as error:
            return [error] * len(keys)
        answers = [self._write(key.path, originals[key.path]) if key.path in standing else None for key in keys]
        done = {key.path: None for key, error in zip(keys, answers, strict=True) if error is None}
        try:
            self._sysctls.remember(done)
        except KernelError as error:
            return [error if answer is None else answer for answer in answers]
        return answers


ENTRIES: Final = (Entry(SysctlKind(), SysctlDriver),)
