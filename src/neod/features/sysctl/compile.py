"""``[sysctl]``: what the file asks for beyond what the roles imply. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import Host
from neod.model.want import HOST, FactKey, Facts, Fragment, Origin, Want

IPV6: Final = "net/ipv6/"


@dataclass(frozen=True, slots=True)
class SysctlFragment(Fragment):
    """All of ``[sysctl]``."""

    values: tuple[tuple[str, str, Origin], ...]  # path below /proc/sys, value, the line that says it

    @property
    def name(self) -> str:
        return "sysctl"

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield every sysctl as the file says it."""
        for path, value, origin in self.values:
            yield Want(SysctlKey("", path), SysctlSpec(value), origin)


@dataclass(frozen=True, slots=True)
class ImpliedFragment(Fragment):
    """What other tables imply, and the file does not set itself."""

    values: tuple[tuple[str, str, Origin], ...]  # as above

    @property
    def name(self) -> str:
        """Return ``sysctl/implied``."""
        return "sysctl/implied"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return the host: it may have no IPv6."""
        return (HOST,)

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield every sysctl that this host has."""
        host = facts.get(HOST)
        for path, value, origin in self.values:
            if not path.startswith(IPV6) or (isinstance(host, Host) and host.ipv6):
                yield Want(SysctlKey("", path), SysctlSpec(value), origin)
