"""``[nat]``: the NAT rules of all tables together, as one resource a namespace. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from neod.features.forwarding import NOTHING, Openings
from neod.features.intents import Intents
from neod.features.parts import PathInfo
from neod.features.path import EVERYWHERE, RULE
from neod.kinds.nat import NatKey, NatSpec
from neod.kinds.rule import RuleKey
from neod.model.marks import MARK_MASK, RULE_PRIORITY_BASE
from neod.model.nat import AnswerBy, Dnat, NatRule, Ruleset
from neod.model.want import FORWARDING, HOST, FactKey, Facts, Fragment, Origin, Want


@dataclass(frozen=True, slots=True)
class NatSettings:
    """What ``[nat]`` says beside the rules."""

    backend: str = "auto"  # auto | nftables | iptables
    mark_mask: int = MARK_MASK
    established: str = "keep"  # keep | cut: what becomes of TCP connections that new rules contradict


@dataclass(frozen=True, slots=True)
class NatFragment(Fragment):
    """All rules of one namespace."""

    netns: str
    rules: tuple[NatRule, ...]
    backend: str  # auto | nftables | iptables
    origin: Origin
    openings: Openings = NOTHING

    @property
    def name(self) -> str:
        return f"nat/{self.netns}" if self.netns else "nat"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return what is known of interfaces, where any is opened."""
        return (HOST, FORWARDING) if self.openings.all else ()

    def compile(self, facts: Facts) -> Iterator[Want]:
        backend = "" if self.backend == "auto" else self.backend
        rules = (*self.rules, *self.openings.guards(facts))
        yield Want(NatKey(self.netns), NatSpec(Ruleset(rules), backend), self.origin)


@dataclass(frozen=True, slots=True)
class AnswersFragment(Fragment):
    """The rule that leads answers out by the path that the connection came in by."""

    path: PathInfo
    by: AnswerBy

    @property
    def name(self) -> str:
        """Return ``nat/answers/eth1``."""
        return f"nat/answers/{self.path.name}"

    @property
    def needs(self) -> tuple[FactKey, ...]:
        """Return what the table of the path is made of."""
        return self.path.needs

    def compile(self, facts: Facts) -> Iterator[Want]:
        """Yield the rule, where the table has routes."""
        if self.path.has_routes(facts):
            key = RuleKey("", RULE_PRIORITY_BASE, EVERYWHERE, self.path.table, self.by.mark, self.by.mask)
            yield Want(key, RULE, self.path.origin)


def marks_in_words(intents: Intents) -> str:
    """Return the mask of marks, and who has which."""
    marks = [f"{one.by.interface} {one.by.mark:#x}" for one in intents.fragments if isinstance(one, AnswersFragment)]
    mask = f"mark_mask is {intents.settings(NatSettings).mark_mask:#010x}"
    return f"{mask}: {', '.join(marks)}" if marks else f"{mask}; no connection needs a mark"


def marks_in(mask: int) -> range:
    """Return the marks that fit in the adjacent bits of *mask*."""
    lowest = mask & -mask
    return range(lowest, mask + 1, lowest)


def came_in_by(rules: Iterable[NatRule], paths: Sequence[PathInfo]) -> Sequence[PathInfo]:
    """Return the paths that connections which are sent on may come in by; one alone has no other to be mistaken for."""
    links = {rule.interface for rule in rules if isinstance(rule, Dnat)}
    return [path for path in paths if "" in links or path.name in links] if len(paths) > 1 else []


def answering(paths: Iterable[PathInfo], mask: int) -> list[tuple[PathInfo, AnswerBy]]:
    """Return *paths*, each with a mark of its own, as many as there are marks."""
    return [(path, AnswerBy(path.name, mark, mask)) for path, mark in zip(paths, marks_in(mask), strict=False)]
