"""Sysctls below ``net``: the one kind with no mark in the kernel."""

from dataclasses import dataclass
from typing import ClassVar

from neod.model.key import within


@dataclass(frozen=True, slots=True)
class SysctlKey:
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
