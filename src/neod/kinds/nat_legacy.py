"""Address translation in the legacy tables: ``NEO-*`` chains, and one jump to each.

Every rule carries the digest of what was asked of it; the jump comes first in
its chain, so that nobody else's rules take what is neo's.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import product
from typing import Any, Final

from neod.model.nat import AnswerBy, Dnat, Guard, Ip, NatRule, Ruleset, SnatFrom, SnatTo, digest_of, targets, version_of
from neod.model.ports import LegacyTable, Netfilter

Rule = dict[str, Any]  # fields, matches, target, comment: see ``neod.kernel.netfilter.legacy.worker``
Chains = dict[str, dict[str, Any]]  # by name: the chain it is jumped to from, and its rules

VERSIONS: Final = (4, 6)
TABLES: Final = ("filter", "mangle", "nat")  # what accepts and marks comes before what translates
OURS: Final = "NEO-"
PREFIX: Final = "neo "
LOOPBACK: Final = {4: "127.0.0.0/8", 6: "::1/128"}
CHAINS: Final = {
    "NEO-PREROUTING": ("nat", "PREROUTING"),
    "NEO-OUTPUT": ("nat", "OUTPUT"),
    "NEO-POSTROUTING": ("nat", "POSTROUTING"),
    "NEO-FORWARD": ("filter", "FORWARD"),
    "NEO-CAME-IN": ("mangle", "FORWARD"),
    "NEO-ANSWERS": ("mangle", "PREROUTING"),
}


def _ports(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}:{last}"


def _target(by: Ip | None) -> tuple[str, dict[str, str]]:
    return ("SNAT", {"to_source": str(by)}) if by else ("MASQUERADE", {})


def _rule(fields: dict[str, str], matches: list[Any], target: tuple[str, dict[str, str]]) -> Rule:
    rule: Rule = {"fields": {k: v for k, v in fields.items() if v}, "matches": matches, "target": target}
    return {**rule, "comment": PREFIX + digest_of(repr(rule))}


def _forward(protocol: str, to: Ip, ports: str) -> Iterator[tuple[str, Rule]]:
    """Accept, both ways, what was sent on to *to*: a policy or a rule of others may drop it."""
    accept: tuple[str, dict[str, str]] = ("ACCEPT", {})
    there = [(protocol, {"dport": ports}), ("conntrack", {"ctstate": "DNAT"})]
    back = [(protocol, {"sport": ports}), ("conntrack", {"ctstate": "DNAT"})]
    yield "NEO-FORWARD", _rule({"protocol": protocol, "dst": str(to)}, there, accept)
    yield "NEO-FORWARD", _rule({"protocol": protocol, "src": str(to)}, back, accept)


def _dnat(rule: Dnat) -> Iterator[tuple[str, Rule]]:
    host = f"[{rule.to}]" if rule.to.version == 6 and rule.to_port else str(rule.to)
    target = ("DNAT", {"to_destination": f"{host}:{rule.to_port}" if rule.to_port else host})
    matches = [(rule.protocol, {"dport": _ports(rule.first, rule.last)}), ("addrtype", {"dst_type": "LOCAL"})]
    fields = {"protocol": rule.protocol, "in_interface": rule.interface}
    yield "NEO-PREROUTING", _rule(fields, matches, target)
    if rule.hairpin:
        away = {"protocol": rule.protocol, "dst": f"!{LOOPBACK[rule.to.version]}"}
        yield "NEO-OUTPUT", _rule(away, matches, target)
    last = rule.to_port or rule.last
    yield from _forward(rule.protocol, rule.to, _ports(rule.to_port or rule.first, last))


def _snat(rule: SnatTo | SnatFrom) -> Iterator[tuple[str, Rule]]:
    if isinstance(rule, SnatTo):
        ports = (rule.protocol, {"dport": _ports(rule.first, rule.last)})
        fields = {"protocol": rule.protocol, "dst": str(rule.to)}
        yield "NEO-POSTROUTING", _rule(fields, [ports, ("conntrack", {"ctstate": "DNAT"})], _target(rule.by))
        return
    yield "NEO-POSTROUTING", _rule({"src": str(rule.source), "out_interface": rule.interface}, [], _target(rule.by))
    if rule.by is None:
        accept: tuple[str, dict[str, str]] = ("ACCEPT", {})
        answers = [("conntrack", {"ctstate": "ESTABLISHED,RELATED"})]
        yield "NEO-FORWARD", _rule({"src": str(rule.source), "out_interface": rule.interface}, [], accept)
        yield "NEO-FORWARD", _rule({"dst": str(rule.source), "in_interface": rule.interface}, answers, accept)


def _marks(rules: Iterable[NatRule], version: int) -> Iterator[tuple[str, Rule]]:
    """Yield what marks connections by the interface that they came in by, and their answers."""
    answers = [rule for rule in rules if isinstance(rule, AnswerBy)]
    sent_on = {key: links for key, links in targets(rules).items() if key[1].version == version}
    for rule in answers if sent_on else ():
        value = {"set_xmark": f"{rule.mark:#x}/{rule.mask:#x}"}
        for (protocol, to, first, last), links in sent_on.items():
            if "" in links or rule.interface in links:
                matches = [(protocol, {"dport": _ports(first, last)}), ("conntrack", {"ctstate": "DNAT"})]
                matches[1][1]["ctdir"] = "ORIGINAL"
                fields = {"protocol": protocol, "in_interface": rule.interface, "dst": str(to)}
                yield "NEO-CAME-IN", _rule(fields, matches, ("CONNMARK", value))
        seen = [("connmark", {"mark": value["set_xmark"]}), ("conntrack", {"ctstate": "DNAT", "ctdir": "REPLY"})]
        yield "NEO-ANSWERS", _rule({}, seen, ("MARK", value))


def _guard(rule: Guard) -> Iterator[tuple[str, Rule]]:
    """Drop the first packets of a connection that nobody translates; a rule matches one pair of interfaces."""
    pairs = [("", link) for link in rule.inside] + list(product(rule.entries, rule.exits))
    begun = [("conntrack", {"ctstate": "!ESTABLISHED,RELATED"}), ("conntrack", {"ctstate": "!DNAT"})]
    for entry, exit_ in pairs:
        yield "NEO-FORWARD", _rule({"in_interface": entry, "out_interface": exit_}, begun, ("DROP", {}))


@lru_cache(maxsize=8192)  # of a thousand forwards, a reload changes one
def _entries(rule: Dnat | SnatTo | SnatFrom | Guard) -> tuple[tuple[str, Rule], ...]:
    match rule:
        case Dnat():
            return tuple(_dnat(rule))
        case Guard():
            return tuple(_guard(rule))
        case _:
            return tuple(_snat(rule))


def _order(rule: NatRule) -> tuple[int, str]:
    """What asks for an interface or an address comes before what asks for less.

    What drops comes after what accepts by connection, and before what accepts by source, which anybody can write.
    """
    match rule:
        case Dnat():
            return int(not rule.interface), str(rule)
        case Guard():
            return 2, str(rule)
        case SnatFrom(by=None):
            return 3, str(rule)
    return 0, str(rule)


def chains(rules: Iterable[NatRule], version: int) -> Mapping[str, Chains]:
    """Return the chains of IP *version* by table; all tables are always named, empty where nothing is asked."""
    found: dict[str, Chains] = {table: {} for table in TABLES}
    rules = tuple(rules)
    of_version = [r for r in rules if not isinstance(r, AnswerBy) and version_of(r) == version]
    entries = [entry for rule in sorted(of_version, key=_order) for entry in _entries(rule)]
    for name, entry in (*entries, *_marks(rules, version)):
        table, builtin = CHAINS[name]
        found[table].setdefault(name, {"from": builtin, "rules": []})["rules"].append(entry)
    for ours in found.values():
        for chain in ours.values():
            chain["rules"] = list({rule["comment"]: rule for rule in chain["rules"]}.values())
    return found


def marked(ruleset: Ruleset) -> Mapping[int, Mapping[str, Chains]]:
    """Return all chains by version and table; a last rule that changes nothing says what was asked."""
    found = {version: chains(ruleset.rules, version) for version in VERSIONS}
    used = "".join(str(version) for version in VERSIONS if any(found[version].values()))
    for tables in found.values():
        if ours := {name: chain["rules"] for table in tables.values() for name, chain in table.items()}:
            mark = f"{PREFIX}{ruleset.digest} {used} {_shape({name: _comments(ours[name]) for name in ours})}"
            last = ours[_marked_chain(ours)]
            last.append({"fields": {}, "matches": [], "target": ("RETURN", {}), "comment": mark})
    return found


def _marked_chain(ours: Iterable[str]) -> str:
    """Return the chain that holds the mark: one of those that translate, where there is one."""
    return min(ours, key=lambda name: (CHAINS.get(name, ("",))[0] != "nat", name))


def _comments(rules: Iterable[Rule]) -> list[str]:
    return [rule["comment"] for rule in rules]


def _shape(chains: Mapping[str, list[str]]) -> str:
    return digest_of("\n".join(line for name in sorted(chains) for line in (name, *chains[name])))


def digest_in(tables: Mapping[str, LegacyTable]) -> tuple[str, str] | None:
    """Return what was asked, and of which IP versions; nothing in them if it is not whole, None if there is nothing."""
    ours = {
        name: [rule.comment for rule in chain.rules]
        for table in tables.values()
        for name, chain in table.items()
        if name.startswith(OURS)
    }
    if not ours:
        return None
    marked_chain = ours[_marked_chain(ours)]
    mark = marked_chain.pop() if marked_chain else ""
    fields = mark.removeprefix(PREFIX).split(" ")
    if len(fields) != 3 or fields[2] != _shape(ours) or not all(_jumped_to(tables, name) for name in ours):
        return "", ""
    return fields[0], fields[1]


def _jumped_to(tables: Mapping[str, LegacyTable], name: str) -> bool:
    """Whether one rule jumps to the chain, and comes before all that is not ours."""
    table, builtin = CHAINS[name]
    targets = [rule.target for rule in tables[table][builtin].rules]
    return targets.count(name) == 1 and all(target.startswith(OURS) for target in targets[: targets.index(name)])


class LegacyNat:
    def __init__(self, port: Netfilter) -> None:
        self._port = port
        self._whole: tuple[str, object] = ("", None)  # what was found whole first, and all that it said

    async def read(self) -> str | None:
        """Return the digest of what is there, empty if it is not whole; None if there is nothing."""
        marks = {version: mark for version in VERSIONS if (mark := digest_in(self._tables(version))) is not None}
        if not marks:
            return None
        there = "".join(map(str, marks))
        digests = {digest for digest, used in marks.values() if used == there}
        whole = len(digests) == 1 and all(used == there for _, used in marks.values())
        return self._unchanged(digests.pop()) if whole else ""

    def _unchanged(self, digest: str) -> str:
        """Return *digest*; nothing if a rule says something else under the comment of ours."""
        chains = [
            (name, chain) for v in VERSIONS for table in self._tables(v).values() for name, chain in table.items()
        ]
        content = [(name, rule.content) for name, chain in chains if name.startswith(OURS) for rule in chain.rules]
        if digest and digest != self._whole[0]:
            self._whole = digest, content
        return digest if content == self._whole[1] else ""

    def _tables(self, version: int) -> Mapping[str, LegacyTable]:
        read = ((table, self._port.legacy_read(version, table)) for table in TABLES)
        return {table: chains for table, chains in read if chains is not None}

    async def replace(self, ruleset: Ruleset) -> None:
        """Put *ruleset* in place of whatever is there: one transaction a table, and translation is one table.

        Raises:
            KernelError: refused.
        """
        for version, tables in marked(ruleset).items():
            for table, wanted in tables.items():
                if wanted or self._has_ours(version, table):
                    await self._port.legacy_write(version, table, wanted)
        self._whole = "", None
        await self.read()  # at once: what somebody else turns it into before the next look is not what was written

    async def remove(self) -> None:
        """Take our chains and the jumps to them away; tables without any are not touched."""
        for version in VERSIONS:
            for table in reversed(TABLES):
                if self._has_ours(version, table):
                    await self._port.legacy_write(version, table, {})

    def _has_ours(self, version: int, table: str) -> bool:
        chains = self._port.legacy_read(version, table)
        return chains is not None and any(name.startswith(OURS) for name in chains)

    async def obstacles(self) -> tuple[str, ...]:
        """Return what drops forwarded packets though our chain accepts them."""
        advice = "accept there what is translated: ct status dnat accept, ct state established,related accept"
        return tuple(
            f"{chain} drops by default what is forwarded; {advice}" for chain in self._port.nft_forward_drops()
        )
