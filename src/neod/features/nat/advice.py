"""What of the host is in the way of translation, or is taken away by it: warnings, for it may change. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from neod.features.intents import Intents
from neod.features.nat.compile import AnswersFragment, NatSettings
from neod.features.parts import Leaving, NatPart, PathInfo
from neod.model.host import HostView, ListeningSocket, MarkUse
from neod.model.nat import Dnat, Ip, NatRule, SnatFrom, SnatTo
from neod.model.want import Origin

MOST_NAMED: Final = 4


def targets_outside(intents: Intents) -> frozenset[Ip]:
    """Return the addresses that forwards lead to."""
    placed = (one for part in intents.of(NatPart) for one in part.rules)
    return frozenset(rule.to for rule, path in placed if path[0] == "forwards" and isinstance(rule, Dnat))


def taken(intents: Intents, host: HostView) -> list[ListeningSocket]:
    """Return the sockets of this host that what comes to their ports does not reach any more."""
    placed = [rule for part in intents.of(NatPart) for rule, _ in part.rules]
    rules = [rule for rule in placed if isinstance(rule, Dnat)]
    return [one for one in host.listeners if any(_takes(rule, one, host) for rule in rules)]


def advice(intents: Intents, host: HostView) -> tuple[str, ...]:
    """Return one line for each."""
    lines = [line for part in intents.of(NatPart) for line in _of_part(part, host)]
    more = (*_of_answers(intents, host), *of_marks(intents, host.marks), *_of_backend(intents, host))
    return tuple(dict.fromkeys((*lines, *_of_leaving(intents, host), *more)))


def _of_part(part: NatPart, host: HostView) -> Iterator[str]:
    dnats = [rule for rule, _ in part.rules if isinstance(rule, Dnat)]
    if taken := [one for one in host.listeners if any(_takes(rule, one, host) for rule in dnats)]:
        yield _line(part.origin, _taken(taken, host))
    for rule, path in part.rules:
        for text in _of_rule(rule, str(path[0]), host):
            yield _line(part.origin, text)


def _line(origin: Origin, text: str) -> str:
    return f"{origin}: {text}"


def _taken(listeners: list[ListeningSocket], host: HostView) -> str:
    names = dict.fromkeys(_named(one, host) for one in sorted(listeners, key=lambda one: one.port))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    shown = ", ".join(list(names)[:MOST_NAMED])
    return f"connections to {shown}{more} of this host itself are handed on: leave out the port, or name an interface"


def _named(one: ListeningSocket, host: HostView) -> str:
    program = host.programs.get(one.inode, "")
    return f"{one.protocol}/{one.port}" + (f" ({program})" if program else "")


def _takes(rule: Dnat, one: ListeningSocket, host: HostView) -> bool:
    """Whether the rule takes what comes to a socket of this host."""
    fits = rule.first <= one.port <= rule.last and one.takes(rule.protocol, rule.to.version)
    link = host.addresses.get(one.ip, rule.interface)
    elsewhere = rule.interface and not one.ip.is_unspecified and link not in (rule.interface, "lo")
    return fits and not one.ip.is_loopback and not elsewhere


def _of_rule(rule: NatRule, table: str, host: HostView) -> Iterator[str]:
    match rule:
        case Dnat():
            if rule.interface and rule.interface not in host.links:
                yield f"there is no interface {rule.interface} now: nothing comes in by it"
            if table == "forwards" and rule.to in host.addresses:
                yield f"{rule.to} is an address of this host ({host.addresses[rule.to]}): the packets stay here"
            elif rule.to in host.unreachable:
                yield f"there is no route to {rule.to} now"
        case SnatTo():
            if rule.by is not None and rule.by not in host.addresses:
                yield f"snat {rule.by} is not an address of this host: answers to it do not come back here"
        case SnatFrom():
            if rule.by is not None and rule.by in host.addresses:
                where = host.addresses[rule.by]
                yield f"relay_snat uses {rule.by}, which {where} has: the kernel drops packets from its own addresses"


def _answers(intents: Intents) -> list[AnswersFragment]:
    return [one for one in intents.fragments if isinstance(one, AnswersFragment)]


def _of_leaving(intents: Intents, host: HostView) -> Iterator[str]:
    """Yield whose packets the main table leads out by another link than theirs, which has no table of its own."""
    tables = {path.name for path in intents.of(PathInfo)}
    for one in intents.of(Leaving):
        if host.default not in ("", one.link) and one.link not in tables:
            text = f"what comes from {one.source} leaves by {host.default}, as the main table says, not by {one.link}"
            yield _line(one.origin, f"{text}: write [uplinks.{one.link}] with a table, or name the other uplink")


def _of_answers(intents: Intents, host: HostView) -> Iterator[str]:
    for one in _answers(intents):
        link = one.by.interface
        if link in host.strict:
            remedy = f'write "net.ipv4.conf.{link}.rp_filter" = 2 in [sysctl]'
            text = (
                f"rp_filter of {link} is strict and drops what is handed on, but from hosts that the main table reaches"
            )
            yield _line(one.path.origin, f"{text} by {link}; {remedy}")


def of_marks(intents: Intents, uses: Iterable[MarkUse]) -> Iterator[str]:
    """Yield who else uses bits that are neo's, where marks are used at all."""
    for answers in _answers(intents)[:1]:
        for use in uses:
            if overlap := use.bits & answers.by.mask:
                text = f"conflict: {use.who} uses the bits {overlap:#x} of marks, which mark_mask says are neo's"
                yield f"[nat]: {text}; write another mark_mask, or change that rule"


def _of_backend(intents: Intents, host: HostView) -> Iterator[str]:
    backend = intents.settings(NatSettings).backend
    if host.lacking and backend == "iptables" and intents.of(NatPart):
        yield f"[nat]: {host.lacking}"
