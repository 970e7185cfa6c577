"""``[nat]``: the NAT rules of all tables together, as one resource a namespace. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from neod.kinds.nat import NatKey, NatSpec
from neod.model.nat import NatRule, Ruleset
from neod.model.want import Facts, Fragment, Origin, Want


@dataclass(frozen=True, slots=True)
class NatFragment(Fragment):
    """All rules of one namespace."""

    netns: str
    rules: tuple[NatRule, ...]
    backend: str  # auto | nftables | iptables
    origin: Origin

    @property
    def name(self) -> str:
        """Return ``nat``."""
        return f"nat/{self.netns}" if self.netns else "nat"

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the one resource."""
        backend = "" if self.backend == "auto" else self.backend
        yield Want(NatKey(self.netns), NatSpec(Ruleset(self.rules), backend), self.origin)
