"""``[sysctl]``: what the file asks for beyond what the roles imply. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.want import Facts, Fragment, Origin, Want


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
