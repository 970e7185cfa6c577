"""``[nat]``: the backend of the NAT rules, and whether the parts of all tables fit together."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, TypeVar

from neod.features.intents import Intents
from neod.features.nat.compile import NatFragment
from neod.features.parts import NatPart
from neod.features.table import Table
from neod.features.validation.context import Context
from neod.features.validation.fields import Section, one_of, toml_key
from neod.features.validation.text import Path, path_text
from neod.model.nat import Dnat, NatRule, SnatTo, ports_text

Placed = tuple[NatRule, Path]
R = TypeVar("R", Dnat, SnatTo)


class Nat(Section):
    """Address translation."""

    backend: str = toml_key("auto", one_of("auto", "iptables", "nftables"), "auto").says(
        "Where the rules are kept. auto: nftables, unless the host uses legacy tables and no nftables. iptables: the "
        "legacy tables, written with python-iptables. nftables: a table of its own."
    )


def finalize(intents: Intents, context: Context) -> Iterator[NatFragment]:
    """Yield one fragment for each namespace with NAT; report what does not fit together."""
    section: Nat = context.sections.get("nat", Nat())
    parts: defaultdict[str, list[NatPart]] = defaultdict(list)
    for part in intents.of(NatPart):
        parts[part.netns].append(part)
    for netns in sorted(parts):
        placed = [one for part in parts[netns] for one in part.rules]
        _report_overlaps(placed, context)
        yield NatFragment(netns, tuple(rule for rule, _ in placed), section.backend, parts[netns][0].origin)


def _report_overlaps(placed: Iterable[Placed], context: Context) -> None:
    """No port may be sent to two places, and what goes to one place needs one source."""
    placed = list(placed)
    dnats = [(rule, path) for rule, path in placed if isinstance(rule, Dnat)]
    for (rule, path), (other, there) in overlaps(dnats, lambda rule: (rule.protocol, rule.to.version)):
        apart = rule.interface and other.interface and rule.interface != other.interface
        if not apart:
            ports = ports_text(max(rule.first, other.first), min(rule.last, other.last))
            problem = f"{rule.protocol} port {ports} goes to {other.to} already, says {path_text(there)}"
            context.problem(path, problem, "send each port to one place", once=True)
    snats = [(rule, path) for rule, path in placed if isinstance(rule, SnatTo)]
    for (snat, path), (before, there) in overlaps(snats, lambda rule: (rule.protocol, rule.to)):
        if snat.by != before.by:
            problem = f"what goes to {snat.to} would have two sources: {path_text(there)} says another"
            context.problem((*path[:2], "snat"), problem, "write the same snat in both", once=True)


def overlaps(
    placed: list[tuple[R, Path]], group: Callable[[R], Hashable]
) -> Iterator[tuple[tuple[R, Path], tuple[R, Path]]]:
    """Yield the pairs whose port ranges overlap, the later one in the file's order of names first."""
    groups: defaultdict[Hashable, list[tuple[R, Path]]] = defaultdict(list)
    for one in placed:
        groups[group(one[0])].append(one)
    for members in groups.values():
        open_: list[tuple[R, Path]] = []
        for one in sorted(members, key=lambda one: (one[0].first, one[0].last, str(one[1]))):
            open_ = [other for other in open_ if other[0].last >= one[0].first]
            for other in open_:
                yield (one, other) if str(one[1]) > str(other[1]) else (other, one)
            open_.append(one)


TABLE: Final = Table(
    about="Address translation, which [forwards] and [namespaces] ask for: who keeps the rules.",
    section=Nat,
    finalize=finalize,
)
