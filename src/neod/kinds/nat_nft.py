"""Address translation in nftables: the table ``inet neo``, where a thousand rules are one lookup.

Source: nft(8). Translation in the inet family needs Linux 5.2.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from operator import itemgetter
from typing import Any, Final

from neod.model.nat import (
    AnswerBy,
    Dnat,
    Guard,
    Ip,
    NatRule,
    Net,
    Ruleset,
    SnatFrom,
    SnatTo,
    digest_of,
    joined,
    ports_text,
    targets,
)
from neod.model.ports import Netfilter

MARK_CHAIN: Final = "asked"
HOOKS: Final = {
    "came_in": ("filter", "forward", -150),
    "answers": ("filter", "prerouting", -150),
    "forward": ("filter", "forward", -5),
    "prerouting": ("nat", "prerouting", -105),
    "output": ("nat", "output", -105),
    "postrouting": ("nat", "postrouting", 95),
}
"""Type, hook and priority of each chain. Just before filter, dstnat and srcnat, where others are: what is explicit
comes before what is general. Marks are written where others write them, before the route is looked up."""

BEGUN_FROM_OUTSIDE: Final = "ct state and (established | related) == 0 ct status and dnat == 0"
"""The first packets of a connection that nobody translates, and what belongs to none."""

COME_IN: Final = "came_in_by"
"""The chain that ``came_in`` goes on with: one rule an interface."""

FAMILY: Final = {4: "ip", 6: "ip6"}
LOOPBACK: Final = {4: "127.0.0.0/8", 6: "::1"}


@dataclass(slots=True)
class Lookup:
    """One set or map with the rule that asks it."""

    chain: str
    rule: str  # with %s where the lookup goes
    type: str
    elements: set[str] = field(default_factory=set)

    @property
    def is_map(self) -> bool:
        """Whether it answers with more than yes."""
        return ":" in self.type


def lookups(rules: Iterable[NatRule]) -> Mapping[str, Lookup]:
    """Return the sets and maps of *rules* by name, in the order in which they are to be asked."""
    found: dict[str, Lookup] = {}
    rules = tuple(rules)
    entries = [entry for rule in rules for entry in _entries(rule)]
    for name, lookup, element in (*entries, *_answered(rules)):
        found.setdefault(name, lookup).elements.add(element)
    return {name: found[name] for name in sorted(found, key=_rank)}


def _rank(name: str) -> tuple[int, str]:
    """The more a lookup asks, the earlier it comes."""
    order = ("from_by", "_on", "_port", "to_by", "to_masq", "from_masq")
    return next((i for i, part in enumerate(order) if part in name), 2), name


def _entries(rule: NatRule) -> Iterator[tuple[str, Lookup, str]]:
    match rule:
        case Dnat():
            yield from _dnat(rule)
        case SnatTo():
            yield _snat_to(rule)
        case SnatFrom():
            yield _snat_from(rule)
        case Guard():
            yield from _guard(rule)


def _answered(rules: Iterable[NatRule]) -> Iterator[tuple[str, Lookup, str]]:
    """Yield what finds the connections that are to be answered by the interface that they came in by."""
    if any(isinstance(rule, AnswerBy) for rule in rules):
        ranges: defaultdict[tuple[str, Ip], list[tuple[int, int]]] = defaultdict(list)
        for protocol, to, first, last in targets(rules):
            ranges[protocol, to].append((first, last))
        for protocol, to, first, last in ((*one, *each) for one, found in ranges.items() for each in joined(found)):
            family, element = FAMILY[to.version], f"{to} . {ports_text(first, last)}"
            ask = f"ct direction original ct status dnat {family} daddr . {protocol} dport %s jump {COME_IN}"
            lookup = Lookup("came_in", ask, f"ipv{to.version}_addr . inet_service")
            yield f"{protocol}{to.version}_answered", lookup, element


def marks(rules: Iterable[NatRule]) -> Iterator[tuple[str, str, str]]:
    """Yield chain, name and text of the rules that mark connections and their answers."""
    for rule in rules:
        if isinstance(rule, AnswerBy):
            others, name = 0xFFFFFFFF & ~rule.mask, f"{rule.interface} {rule.mark:#x}/{rule.mask:#x}"
            set_ = f"and {others:#010x} or {rule.mark:#010x}"
            yield COME_IN, name, f'iifname "{rule.interface}" ct mark set ct mark {set_}'
            seen = f"ct direction reply ct status dnat ct mark and {rule.mask:#010x} == {rule.mark:#010x}"
            yield "answers", name, f"{seen} meta mark set meta mark {set_}"


def _dnat(rule: Dnat) -> Iterator[tuple[str, Lookup, str]]:
    version, ports = rule.to.version, ports_text(rule.first, rule.last)
    name = f"{rule.protocol}{version}"
    value, value_type = str(rule.to), f"ipv{version}_addr"
    if rule.to_port:
        value, value_type = f"{value} . {rule.to_port}", f"{value_type} . inet_service"
    port = "_port" if rule.to_port else ""
    verdict = f"dnat {FAMILY[version]} to"
    if rule.interface:
        ask = f"fib daddr type local {verdict} iifname . {rule.protocol} dport map %s"
        lookup = Lookup("prerouting", ask, f"ifname . inet_service : {value_type}")
        yield f"{name}_on{port}", lookup, f"{rule.interface} . {ports} : {value}"
    else:
        ask = f"fib daddr type local {verdict} {rule.protocol} dport map %s"
        yield f"{name}{port}", Lookup("prerouting", ask, f"inet_service : {value_type}"), f"{ports} : {value}"
    if rule.hairpin:
        away = f"{FAMILY[version]} daddr != {LOOPBACK[version]} "
        ask = f"fib daddr type local {away}{verdict} {rule.protocol} dport map %s"
        yield f"{name}_itself{port}", Lookup("output", ask, f"inet_service : {value_type}"), f"{ports} : {value}"


def _snat_to(rule: SnatTo) -> tuple[str, Lookup, str]:
    family, address = FAMILY[rule.to.version], f"ipv{rule.to.version}_addr"
    target, key = f"{rule.to} . {ports_text(rule.first, rule.last)}", f"{family} daddr . {rule.protocol} dport"
    name = f"{rule.protocol}{rule.to.version}_to"
    if rule.by is None:
        lookup = Lookup("postrouting", f"ct status dnat {key} %s masquerade", f"{address} . inet_service")
        return f"{name}_masq", lookup, target
    ask = f"ct status dnat snat {family} to {key} map %s"
    return f"{name}_by", Lookup("postrouting", ask, f"{address} . inet_service : {address}"), f"{target} : {rule.by}"


def _snat_from(rule: SnatFrom) -> tuple[str, Lookup, str]:
    family, address = FAMILY[rule.source.version], f"ipv{rule.source.version}_addr"
    origin, key = f"{rule.interface} . {_net(rule.source)}", f"oifname . {family} saddr"
    if rule.by is None:
        lookup = Lookup("postrouting", f"{key} %s masquerade", f"ifname . {address}")
        return f"{family}_from_masq", lookup, origin
    lookup = Lookup("postrouting", f"snat {family} to {key} map %s", f"ifname . {address} : {address}")
    return f"{family}_from_by", lookup, f"{origin} : {rule.by}"


def _guard(rule: Guard) -> Iterator[tuple[str, Lookup, str]]:
    begun = f"meta nfproto ipv{rule.version} {BEGUN_FROM_OUTSIDE}"
    for link in rule.inside:
        yield f"into{rule.version}", Lookup("forward", f"{begun} oifname %s drop", "ifname"), link
    for pair in product(rule.entries, rule.exits):
        lookup = Lookup("forward", f"{begun} iifname . oifname %s drop", "ifname . ifname")
        yield f"between{rule.version}", lookup, " . ".join(pair)


def _net(net: Net) -> str:
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)


def shape(chains: Iterable[str], comments: Iterable[str], elements: Mapping[str, Iterable[str]]) -> str:
    """Return the digest of a table's content: its chains and sets, its rules in order, its elements."""
    lines = [*sorted(chains), *comments]
    lines += [f"{name} {element}" for name in sorted(elements) for element in sorted(elements[name])]
    return digest_of("\n".join(lines))


def script(ruleset: Ruleset) -> str:
    """Return the commands that fill an empty table ``inet neo``."""
    asked, marking = lookups(ruleset.rules), tuple(marks(ruleset.rules))
    used = {*(one.chain for one in asked.values()), *(chain for chain, _, _ in marking)}
    hooks = {chain: hook for chain, hook in HOOKS.items() if chain in used}
    chains = [f"chain {chain} {sort} {hook} {prio} accept" for chain, (sort, hook, prio) in hooks.items()]
    chains += [f"chain {chain}" for chain in (MARK_CHAIN, *(used - hooks.keys()))]
    chains += [f"{'map' if one.is_map else 'set'} {name}" for name, one in asked.items()]
    named = [*((one.chain, name) for name, one in asked.items()), *((chain, name) for chain, name, _ in marking)]
    comments = [f"{chain} {name}" for chain, name in sorted(named, key=itemgetter(0))]
    whole = shape(chains, comments, {name: lookup.elements for name, lookup in asked.items()})
    lines = [f"add chain inet neo {chain}" for chain in (MARK_CHAIN, *(sorted(used - hooks.keys())))]
    lines.append(f'add rule inet neo {MARK_CHAIN} return comment "neo {ruleset.digest} {whole}"')
    for chain, (sort, hook, prio) in hooks.items():
        lines.append(f"add chain inet neo {chain} {{ type {sort} hook {hook} priority {prio}; policy accept; }}")
    for name, lookup in asked.items():
        sort = "map" if lookup.is_map else "set"
        inner = ", ".join(_quoted(element, lookup.type) for element in sorted(lookup.elements))
        lines.append(f"add {sort} inet neo {name} {{ type {lookup.type}; flags interval; elements = {{ {inner} }}; }}")
        lines.append(f'add rule inet neo {lookup.chain} {lookup.rule % f"@{name}"} comment "{name}"')
    lines += [f'add rule inet neo {chain} {text} comment "{name}"' for chain, name, text in marking]
    return "\n".join(lines) + "\n"


def _quoted(element: str, type_: str) -> str:
    """Return an element for nft's parser: the name of an interface could be one of its words."""
    names = type_.count("ifname")  # they come first
    if not names:
        return element
    parts = element.split(" . ", names)
    return " . ".join([*(f'"{link}"' for link in parts[:names]), *parts[names:]])


def digest_in(listing: Iterable[Mapping[str, Any]]) -> str:
    """Return what was asked of the table that ``nft -j list table`` shows; empty if it is not whole."""
    chains, elements = [], {}
    comments: list[tuple[str, str]] = []
    for entry in listing:
        for sort, body in entry.items():
            if sort == "rule":
                comments.append((body["chain"], body.get("comment", "")))
                continue
            hook = [body.get(part) for part in ("type", "hook", "prio", "policy")] if "hook" in body else []
            chains.append(" ".join(map(str, (sort, body.get("name", ""), *hook))))
            if sort in ("set", "map"):
                elements[body["name"]] = [_element(element) for element in body.get("elem", ())]
    mark = next((comment for chain, comment in comments if chain == MARK_CHAIN), "")
    name, _, rest = mark.partition(" ")
    digest, _, whole = rest.partition(" ")
    rules = [f"{chain} {comment}" for chain, comment in sorted(comments, key=itemgetter(0)) if chain != MARK_CHAIN]
    return digest if name == "neo" and shape(chains, rules, elements) == whole else ""


def spelt(listing: Iterable[Mapping[str, Any]]) -> str:
    """Return all that a listing says but for handles, which every new rule has another of."""
    lines = []
    for entry in listing:
        for sort, body in entry.items():
            properties = {name: value for name, value in body.items() if name not in ("handle", "elem")}
            elements = sorted(map(_element, body.get("elem", ())))
            lines.append(json.dumps([sort, properties, elements], sort_keys=True))
    return "\n".join(lines)


def _element(element: Any) -> str:
    return " : ".join(map(_flat, element)) if isinstance(element, list) else _flat(element)


def _flat(value: Any) -> str:
    """Return a value of nft's JSON as its script language writes it."""
    match value:
        case {"concat": parts}:
            return " . ".join(map(_flat, parts))
        case {"range": [low, high]}:
            return f"{_flat(low)}-{_flat(high)}"
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"elem": {"val": inner}}:
            return _flat(inner)
        case _:
            return str(value)


class NftNat:
    def __init__(self, port: Netfilter) -> None:
        self._port = port
        self._known: tuple[object, str] = (None, "")  # the last listing and what it says
        self._whole: tuple[str, str] = ("", "")  # what was found whole first, and every word of it

    async def read(self) -> str | None:
        """Return the digest of what is there, empty if it is not whole; None if there is nothing."""
        listing = await self._port.nft_read()
        if listing is None:
            return None
        if listing is not self._known[0]:
            self._known = listing, self._digest(listing)
        return self._known[1]

    def _digest(self, listing: Sequence[Mapping[str, Any]]) -> str:
        """Return what was asked for; nothing if a rule says something else under the comment of ours."""
        digest, words = digest_in(listing), spelt(listing)
        if digest and digest != self._whole[0]:
            self._whole = digest, words
        return digest if words == self._whole[1] else ""

    async def replace(self, ruleset: Ruleset) -> None:
        """Put *ruleset* in place of whatever is there, in one transaction.

        Raises:
            KernelError: refused; what was there stands.
        """
        await self._port.nft_replace(script(ruleset))

    async def remove(self) -> None:
        """Take the table away."""
        await self._port.nft_remove()

    async def obstacles(self) -> tuple[str, ...]:
        """Return what drops forwarded packets that are ours: accepting them in our table does not help."""
        advice = "accept there what is translated: ct status dnat accept, ct state established,related accept"
        drops = [f"{chain} drops by default what is forwarded; {advice}" for chain in self._port.nft_forward_drops()]
        if self._port.legacy_forward_drops():
            drops.append('the legacy table filter drops by default what is forwarded; use [nat] backend = "iptables"')
        return tuple(drops)
