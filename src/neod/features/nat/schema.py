"""``[nat]``: the backend of the NAT rules, and whether the parts of all tables fit together."""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

from neod.features.forwarding import FOR_ALL, NOTHING, ForwardingFragment, Opening, Openings
from neod.features.intents import Intents
from neod.features.nat.compile import AnswersFragment, NatFragment, NatSettings, answering, came_in_by
from neod.features.parts import ExplicitSysctl, NatPart, PathInfo
from neod.features.table import Table
from neod.features.validation.checks import InvalidValue, integer
from neod.features.validation.context import Context
from neod.features.validation.fields import Section, Validator, one_of, toml_key
from neod.features.validation.text import Path, path_text
from neod.model.marks import MARK_MASK
from neod.model.nat import AnswerBy, Dnat, Ip, NatRule, SnatTo, aim, ports_text
from neod.model.want import Fragment

Placed = tuple[NatRule, Path]
PlacedDnat = tuple[Dnat, Path]
PlacedSnat = tuple[SnatTo, Path]
R = TypeVar("R", Dnat, SnatTo)


OF_ALL: Final = "net/ipv4/conf/all/forwarding"  # ip_forward by another name
ALL_BITS: Final = 0xFFFFFFFF
MASK_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": ALL_BITS},
        {"type": "string", "pattern": "^0x[0-9A-Fa-f]{1,8}$"},
    ]
}


def adjacent_bits(value: object) -> int:
    """Return bits of a mark, side by side; TOML's 0x00f00000, or the same in quotes, as variables have it."""
    if isinstance(value, str) and re.fullmatch("0x[0-9A-Fa-f]{1,8}", value):
        value = int(value, 16)
    mask = integer(1, ALL_BITS)(value)
    if (ones := mask // (mask & -mask)) & (ones + 1):
        raise InvalidValue(f"the bits of {mask:#x} are not side by side")
    return mask


def _one_way(section: Any, intents: Intents) -> str:
    rules = [rule for part in intents.of(NatPart) if not part.netns for rule, _ in part.rules]
    if came_in_by(tuple(rules), intents.of(PathInfo)):
        return ""
    return "no marks are used: there are not several uplinks or macvlans with tables that connections come in by"


class Nat(Section):
    """Address translation."""

    backend: str = toml_key("auto", one_of("auto", "iptables", "nftables"), "auto").says(
        "Where the rules are kept. auto: nftables, unless the host uses legacy tables and no nftables. iptables: the "
        "legacy tables, written with python-iptables. nftables: a table of its own."
    )
    mark_mask: int = toml_key(
        f"{MARK_MASK:#010x}", Validator(adjacent_bits, MASK_SCHEMA), "0x00f00000", validate_default=True, idle=_one_way
    ).says(
        "The bits of connection and packet marks that are neo's, side by side: no other is ever changed. They are "
        "used where several uplinks or macvlans have tables and connections are handed on, so that the answers leave "
        "by the one that the connection came in by. Four bits are enough for 15 of them."
    )
    established: str = toml_key("keep", one_of("keep", "cut"), "keep").says(
        "What becomes of TCP connections that are open when the rules change against them. keep: they go on as they "
        "are until they end. cut: they follow the new rules at once, which ends most of them. Others, such as UDP, "
        "always follow at once."
    )


def contribute(section: Nat, context: Context) -> Iterator[object]:
    """Yield the settings: other tables say what is translated."""
    yield NatSettings(section.backend, section.mark_mask, section.established)


def finalize(intents: Intents, context: Context) -> Iterator[Fragment]:
    """Yield a fragment a namespace with NAT, how answers leave, and what is open; report what does not fit together."""
    section = intents.settings(NatSettings)
    parts: defaultdict[str, list[NatPart]] = defaultdict(list)
    for part in intents.of(NatPart):
        parts[part.netns].append(part)
    openings = _openings(intents)
    if openings.all:
        yield ForwardingFragment(openings)
    for netns in sorted(parts):
        placed = [one for part in parts[netns] for one in part.rules]
        _report_overlaps(placed, context)
        rules = tuple(rule for rule, _ in placed)
        answers = _answers(rules, intents, section, context) if not netns else []
        yield from (AnswersFragment(path, by) for path, by in answers)
        with_answers = (*rules, *(by for _, by in answers))
        opened = NOTHING if netns else openings
        yield NatFragment(netns, with_answers, section.backend, parts[netns][0].origin, opened)


def _openings(intents: Intents) -> Openings:
    paths = intents.of(PathInfo)
    found = ((FOR_ALL[4] if one.path == OF_ALL else one.path, one) for one in intents.of(ExplicitSysctl))
    explicit = tuple((path, one.value) for path, one in found if not one.netns)
    macvlans = frozenset(path.name for path in paths if path.parent)
    return Openings(intents.of(Opening), tuple(path.name for path in paths), macvlans, explicit)


def _answers(
    rules: tuple[NatRule, ...], intents: Intents, section: NatSettings, context: Context
) -> list[tuple[PathInfo, AnswerBy]]:
    """Return how answers leave; warn where marks are too few."""
    concerned = came_in_by(rules, intents.of(PathInfo))
    answers = answering(concerned, section.mark_mask)
    if left := concerned[len(answers) :]:
        problem = f"{len(answers)} marks for {len(concerned)} paths: what comes in by {left[0].name} is answered"
        problem += " by whichever path the main table names; write a mask with more bits, e.g. mark_mask = 0x0fff0000"
        context.warn(("nat", "mark_mask"), problem)
    return answers


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
        elif rule.hairpin and other.hairpin and replace(rule, interface="") != replace(other, interface=""):
            problem = f"what this host itself sends to one port would go to {rule.to} and, says {path_text(there)}, to"
            hint = "with hairpin, which no interface tells apart, send each port to one place"
            context.problem((*path[:2], "hairpin"), f"{problem} {other.to}", hint, once=True)
    snats = [(rule, path) for rule, path in placed if isinstance(rule, SnatTo)]
    for (snat, path), (before, there) in overlaps(snats, lambda rule: (rule.protocol, rule.to)):
        if snat.by != before.by:
            problem = f"what goes to {snat.to} would have two sources: {path_text(there)} says another"
            context.problem((*path[:2], "snat"), problem, "write the same snat in both", once=True)
    _warn_of_caught(dnats, snats, context)


def _warn_of_caught(dnats: list[PlacedDnat], snats: list[PlacedSnat], context: Context) -> None:
    """Warn of connections that keep their source, but for the rule of another entry that goes to the same place."""
    with_source = {(path[:2], snat.protocol, snat.to) for snat, path in snats}
    kept = [(aim(rule), path) for rule, path in dnats if (path[:2], rule.protocol, rule.to) not in with_source]
    by_target: dict[tuple[str, Ip], list[PlacedSnat]] = {}
    for snat, path in snats if kept else ():
        by_target.setdefault((snat.protocol, snat.to), []).append((snat, path))
    for (protocol, to, first, last), path in kept:
        for snat, there in by_target.get((protocol, to), ()):
            if snat.first <= last and first <= snat.last:
                text = (
                    f"connections to {to} port {ports_text(max(first, snat.first), min(last, snat.last))} get another"
                )
                context.warn(
                    path, f"{text} source all the same: {path_text((*there[:2], 'snat'))} is for all that go there"
                )
                break


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


def _idle(section: Nat, intents: Intents) -> str:
    asked = any(part.rules for part in intents.of(NatPart))
    return "" if asked else "nothing is translated: no forward or namespace of the file asks for it"


TABLE: Final = Table(
    about="Address translation, which [forwards] and [namespaces] ask for: who keeps the rules.",
    section=Nat,
    contribute=contribute,
    finalize=finalize,
    idle=_idle,
)
