"""Policy rules: packets from an address look into that address's table."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar

from neod.model.key import within


@dataclass(frozen=True, slots=True)
class RuleKey:
    """All of a rule: the kernel cannot change one in place, and accepts two that differ in any of this."""

    kind: ClassVar[str] = "rule"
    netns: str
    priority: int
    source: IPv4Network | IPv6Network
    table: int

    def __str__(self) -> str:
        return f"rule:{within(self.netns)}{self.priority}/from {self.source} lookup {self.table}"


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """Nothing is left to control: the key says it all."""
