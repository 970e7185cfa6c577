"""Translation on paper: what is written for which rules, and when what is read counts as whole."""

import asyncio
import random
from dataclasses import replace
from ipaddress import ip_address, ip_network
from unittest.mock import MagicMock

import pytest

from neod.kinds import nat_legacy, nat_nft
from neod.kinds.nat import NatDriver, NatKey, NatKind, NatSpec
from neod.model.nat import AnswerBy, Dnat, Guard, Ruleset, SnatFrom, SnatTo
from neod.model.ports import LegacyChain, LegacyRule

KEY, KIND = NatKey(""), NatKind()
TO, SIX = ip_address("198.51.100.10"), ip_address("fd00::10")
RULES = (
    Dnat("tcp", 443, 443, TO, interface="eth0"),
    Dnat("udp", 8000, 8010, TO, 53, hairpin=True),
    Dnat("tcp", 443, 443, SIX),
    SnatTo("tcp", 443, 443, TO),
    SnatTo("udp", 53, 53, TO, ip_address("192.0.2.1")),
    SnatFrom(ip_network("10.254.0.0/30"), "eth0"),
    SnatFrom(ip_network("203.0.113.11/32"), "neo-proxy", ip_address("10.254.1.1")),
    Guard(4, ("eth0", "eth1"), ("eth0", "eth1"), ("neo-proxy",)),
    Guard(6, (), (), ("neo-proxy",)),
)


def normal(rules, backend=""):
    return KIND.normalize(KEY, NatSpec(Ruleset(tuple(rules)), backend))[1]


@pytest.mark.parametrize("seed", range(10))
def test_the_order_and_the_number_of_times_in_which_rules_are_given_say_nothing(seed):
    rules = [*RULES, *RULES]
    random.Random(seed).shuffle(rules)
    assert normal(rules) == normal(RULES)
    assert nat_nft.script(normal(rules).ruleset) == nat_nft.script(normal(RULES).ruleset)
    assert nat_legacy.marked(normal(rules).ruleset) == nat_legacy.marked(normal(RULES).ruleset)


@pytest.mark.parametrize(
    "changed",
    [
        replace(RULES[0], first=442),
        replace(RULES[0], interface=""),
        replace(RULES[0], to_port=444),
        replace(RULES[0], hairpin=True),
        replace(RULES[0], protocol="udp"),
        replace(RULES[0], to=ip_address("198.51.100.11")),
    ],
    ids=["port", "interface", "target port", "hairpin", "protocol", "target"],
)
def test_whatever_is_asked_differently_has_another_digest(changed):
    want, other = normal(RULES), normal((changed, *RULES[1:]))
    seen = NatSpec(Ruleset((), want.ruleset.digest), "nftables")
    assert KIND.matches(seen, want)
    assert not KIND.matches(seen, other)


def test_a_named_backend_is_insisted_on_and_any_does_where_none_is_named():
    seen = NatSpec(Ruleset((), normal(RULES).ruleset.digest), "iptables")
    assert KIND.matches(seen, normal(RULES, "iptables"))
    assert not KIND.matches(seen, normal(RULES, "nftables"))


def test_what_is_not_whole_fits_nothing():
    assert not KIND.matches(NatSpec(Ruleset((), ""), "nftables"), normal(RULES))


# ── nftables ────────────────────────────────────────────────────────────────────


def test_a_thousand_forwards_are_one_rule():
    many = [Dnat("tcp", port, port, TO) for port in range(1, 1001)]
    rules = [line for line in nat_nft.script(normal(many).ruleset).splitlines() if line.startswith("add rule")]
    assert len(rules) == 2  # the mark, and the lookup


def test_what_asks_for_an_interface_or_a_relay_is_asked_first():
    names = list(nat_nft.lookups(normal((*RULES, Dnat("tcp", 80, 80, TO))).ruleset.rules))
    assert names.index("tcp4_on") < names.index("tcp4")
    assert names.index("ip_from_by") < names.index("ip_from_masq")


def listing():
    """What nft shows of one forward with its masquerading, shortened to what is looked at."""
    ruleset = normal((Dnat("tcp", 443, 443, TO), SnatTo("tcp", 443, 443, TO))).ruleset
    mark = next(line for line in nat_nft.script(ruleset).splitlines() if "return comment" in line).split('"')[1]
    return ruleset, [
        {"map": {"name": "tcp4", "elem": [[443, str(TO)]]}},
        {"set": {"name": "tcp4_to_masq", "elem": [{"concat": [str(TO), 443]}]}},
        {"chain": {"name": "asked"}},
        {"chain": {"name": "prerouting", "type": "nat", "hook": "prerouting", "prio": -105, "policy": "accept"}},
        {"chain": {"name": "postrouting", "type": "nat", "hook": "postrouting", "prio": 95, "policy": "accept"}},
        {"rule": {"chain": "asked", "comment": mark}},
        {"rule": {"chain": "prerouting", "comment": "tcp4"}},
        {"rule": {"chain": "postrouting", "comment": "tcp4_to_masq"}},
    ]


def test_a_whole_table_tells_what_was_asked():
    ruleset, shown = listing()
    assert nat_nft.digest_in(shown) == ruleset.digest


@pytest.mark.parametrize("gone", range(8))
def test_a_table_with_anything_missing_is_not_whole(gone):
    _, shown = listing()
    del shown[gone]
    assert nat_nft.digest_in(shown) == ""


@pytest.mark.parametrize(("part", "value"), [("policy", "drop"), ("prio", -104), ("type", "filter"), ("hook", "input")])
def test_a_chain_that_does_something_else_is_not_whole(part, value):
    _, shown = listing()
    shown[3]["chain"][part] = value
    assert nat_nft.digest_in(shown) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"rule": {"chain": "prerouting"}},
        {"rule": {"chain": "prerouting", "comment": "tcp4"}},
        {"chain": {"name": "forward", "hook": "forward", "prio": 0}},
        {"rule": {"chain": "aside", "comment": "tcp4"}},
        {"chain": {"name": "aside"}},
        {"set": {"name": "other", "elem": [1]}},
        {"set": {"name": "empty"}},
        {"map": {"name": "verdicts", "map": "verdict"}},
        {"counter": {"name": "c", "packets": 0}},
        {"flowtable": {"name": "f"}},
        {"dormant": {}},
    ],
    ids=lambda more: " ".join((*more, *(str(value) for body in more.values() for value in body.values()))),
)
def test_a_table_with_anything_added_is_not_whole(more):
    _, shown = listing()
    assert nat_nft.digest_in([*shown, more]) == ""


def test_an_element_that_was_changed_is_seen():
    _, shown = listing()
    shown[0]["map"]["elem"] = [[443, "198.51.100.66"]]
    assert nat_nft.digest_in(shown) == ""


# ── the legacy tables ───────────────────────────────────────────────────────────


def as_read(ruleset, version=4):
    """The tables as the kernel would show them, with somebody else's rule after our jump."""
    tables = {}
    for table, chains in nat_legacy.marked(ruleset)[version].items():
        tables[table] = {
            name: LegacyChain(tuple(LegacyRule(r["target"][0], r["comment"]) for r in chain["rules"]))
            for name, chain in chains.items()
        } | {
            chain["from"]: LegacyChain((LegacyRule(name), LegacyRule("ACCEPT", "foreign")), "ACCEPT")
            for name, chain in chains.items()
        }
    return tables


def test_whole_tables_tell_what_was_asked_and_of_which_versions():
    ruleset = normal(RULES).ruleset
    for version in (4, 6):
        assert nat_legacy.digest_in(as_read(ruleset, version)) == (ruleset.digest, "46")


def test_tables_without_ours_are_nothing():
    assert nat_legacy.digest_in({"nat": {"PREROUTING": LegacyChain((), "ACCEPT")}}) is None


@pytest.mark.parametrize("chain", ["NEO-PREROUTING", "NEO-POSTROUTING", "NEO-OUTPUT", "NEO-FORWARD"])
@pytest.mark.parametrize("change", ["flushed", "shortened", "not jumped to", "jumped to twice", "jumped to late"])
def test_tables_that_were_tampered_with_are_not_whole(chain, change):
    tables = as_read(normal(RULES).ruleset)
    table, builtin = nat_legacy.CHAINS[chain]
    rules, jumps = tables[table][chain].rules, tables[table][builtin].rules
    match change:
        case "flushed":
            tables[table][chain] = LegacyChain(())
        case "shortened":
            tables[table][chain] = LegacyChain(rules[1:])
        case "not jumped to":
            tables[table][builtin] = LegacyChain(jumps[1:], "ACCEPT")
        case "jumped to twice":
            tables[table][builtin] = LegacyChain((*jumps, jumps[0]), "ACCEPT")
        case "jumped to late":
            tables[table][builtin] = LegacyChain(tuple(reversed(jumps)), "ACCEPT")
    assert nat_legacy.digest_in(tables) == ("", "")


def test_what_drops_comes_after_what_accepts_translated_connections_and_before_what_anybody_can_write():
    rules = nat_legacy.marked(normal(RULES).ruleset)[4]["filter"]["NEO-FORWARD"]["rules"]
    targets = [rule["target"][0] for rule in rules]
    drops = [place for place, target in enumerate(targets) if target == "DROP"]
    by_source = [place for place, rule in enumerate(rules) if rule["fields"].get("src") == "10.254.0.0/30"]
    by_port = [place for place, rule in enumerate(rules) if "protocol" in rule["fields"]]
    assert max(by_port) < min(drops)
    assert max(drops) < min(by_source)
    assert len(drops) == 5


def test_rules_that_only_drop_carry_the_mark_too():
    ruleset = normal((Guard(6, inside=("neo-proxy",)),)).ruleset
    assert nat_legacy.digest_in(as_read(ruleset, 6)) == (ruleset.digest, "6")


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
@pytest.mark.parametrize("name", ['a"; flush ruleset; "', "a*", "a+", "a b", "a\nb", "../a", "é", "a" * 16, "a\\"])
@pytest.mark.parametrize(
    "rule",
    [
        lambda name: Dnat("tcp", 443, 443, TO, interface=name),
        lambda name: SnatFrom(ip_network("10.254.0.0/30"), name),
        lambda name: AnswerBy(name, 0x100000, 0xF00000),
        lambda name: Guard(4, ("eth0",), (name,), ()),
        lambda name: Guard(6, (), (), (name,)),
    ],
    ids=["dnat", "snat", "answers", "guard", "inside"],
)
def test_no_name_that_is_more_than_one_interface_reaches_a_tool(backend, name, rule):
    ports = MagicMock(netns="")
    spec = NatSpec(Ruleset((rule(name),)), backend)
    (refusal,) = asyncio.run(NatDriver(ports).put([(KEY, spec, None)]))
    assert refusal is not None
    assert "names no interface" in str(refusal)
    assert str(refusal).isprintable()
    assert not ports.netfilter.method_calls
