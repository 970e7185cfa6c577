"""Marks on paper: which connections get one, which packets of them, and that no bit of others is touched."""

from ipaddress import ip_address, ip_network

import pytest

from neod.features.nat.compile import AnswersFragment, answering, came_in_by, marks_in
from neod.features.parts import PathInfo
from neod.kinds import nat_legacy, nat_nft
from neod.kinds.rule import RuleKey, RuleSpec, from_wire, to_wire
from neod.model.facts import Followed, Lease
from neod.model.nat import AnswerBy, Dnat, Ruleset
from neod.model.want import FactKey, Origin

TO, SIX = ip_address("10.254.0.2"), ip_address("fd00:254::2")
ORIGIN = Origin("uplinks.eth1", 1)
ETH0, ETH1 = AnswerBy("eth0", 0x100000, 0xF00000), AnswerBy("eth1", 0x200000, 0xF00000)
RULES = (Dnat("tcp", 443, 443, TO, interface="eth1"), Dnat("udp", 8000, 8010, SIX), ETH0, ETH1)


def path(name, ipv4="static", table=101):
    return PathInfo(name, "", ipv4, table, (), ORIGIN)


def test_without_answers_to_lead_nothing_marks():
    rules = Ruleset.of(RULES[:2])
    assert "mark set" not in nat_nft.script(rules)
    assert all(not tables["mangle"] for tables in nat_legacy.marked(rules).values())


def test_only_what_was_sent_on_is_marked_and_only_in_our_bits():
    lines = [line for line in nat_nft.script(Ruleset.of(RULES)).splitlines() if line.startswith("add rule")]
    assert [line for line in lines if "ct mark set" in line] == [
        'add rule inet neo came_in_by iifname "eth0" ct mark set ct mark and 0xff0fffff or 0x00100000 '
        'comment "eth0 0x100000/0xf00000"',
        'add rule inet neo came_in_by iifname "eth1" ct mark set ct mark and 0xff0fffff or 0x00200000 '
        'comment "eth1 0x200000/0xf00000"',
    ]
    leading = [line for line in lines if "jump came_in_by" in line]
    assert all("ct direction original ct status dnat" in line for line in leading)
    assert [line.split("@")[1].split()[0] for line in leading] == ["tcp4_answered", "udp6_answered"]
    restored = [line for line in lines if "meta mark set" in line]
    assert len(restored) == 2
    assert all("ct direction reply ct status dnat ct mark and" in line for line in restored)
    assert all("meta mark set meta mark and 0xff0fffff or" in line for line in restored)


def test_legacy_tables_mark_the_same_connections():
    four, six = (nat_legacy.marked(Ruleset.of(RULES))[version]["mangle"] for version in (4, 6))
    (only,) = four["NEO-CAME-IN"]["rules"]  # tcp/443 comes in by eth1 alone
    assert only["fields"] == {"protocol": "tcp", "in_interface": "eth1", "dst": str(TO)}
    assert only["matches"][1] == ("conntrack", {"ctstate": "DNAT", "ctdir": "ORIGINAL"})
    assert only["target"] == ("CONNMARK", {"set_xmark": "0x200000/0xf00000"})
    assert [rule["fields"]["in_interface"] for rule in six["NEO-CAME-IN"]["rules"]] == ["eth0", "eth1"]
    for chains in (four, six):
        restored = [(rule["matches"][0][1]["mark"], rule["target"]) for rule in chains["NEO-ANSWERS"]["rules"]]
        values = [f"{mark:#x}/0xf00000" for mark in (0x100000, 0x200000)]
        assert restored == [(value, ("MARK", {"set_xmark": value})) for value in values]


@pytest.mark.parametrize(("mask", "count", "first"), [(0xF00000, 15, 0x100000), (1, 1, 1), (0xFF000000, 255, 1 << 24)])
def test_a_mask_has_as_many_marks_as_its_bits_allow(mask, count, first):
    marks = marks_in(mask)
    assert (len(marks), marks[0], marks[-1]) == (count, first, mask)
    paths = [path(f"u{n}") for n in range(300)]
    assert len(answering(paths, mask)) == count


def test_paths_that_nothing_comes_in_by_need_no_marks_and_one_path_alone_needs_none():
    paths = [path("eth0"), path("eth1")]
    named, anywhere = Dnat("tcp", 443, 443, TO, interface="eth1"), Dnat("tcp", 80, 80, TO)
    assert came_in_by([named], paths) == paths[1:]
    assert came_in_by([named, anywhere], paths) == paths
    assert came_in_by([anywhere], paths[:1]) == []
    assert came_in_by([], paths) == []


LEASE = Lease("eth1", ip_address("10.0.0.5"), 24, None, ip_address("10.0.0.1"), 0, 1, 2, 3)


@pytest.mark.parametrize(
    ("kind", "fact", "there"),
    [
        ("static", None, True),
        ("dhcp", None, False),
        ("dhcp", LEASE, True),
        ("follow", Followed("eth1"), False),
        ("follow", Followed("eth1", ((ip_address("10.0.0.5"), 24),)), True),
    ],
)
def test_the_rule_of_a_path_is_there_when_its_table_has_routes(kind, fact, there):
    fragment = AnswersFragment(path("eth1", kind), ETH1)
    facts = {need: fact for need in fragment.needs if fact}
    key = RuleKey("", 11000, ip_network("0.0.0.0/0"), 101, 0x200000, 0xF00000)
    assert [want.key for want in fragment.compile(facts)] == ([key] if there else [])
    assert all(isinstance(need, FactKey) for need in fragment.needs)


@pytest.mark.parametrize("net", ["0.0.0.0/0", "::/0", "10.8.0.5/32"])
def test_a_rule_of_a_mark_comes_back_as_it_was_written(net):
    key = RuleKey("", 11101, ip_network(net), 101, 0x200000, 0xF00000)
    read, seen = from_wire("", memoryview(to_wire(key)))
    assert (read, seen.spec, seen.owned) == (key, RuleSpec(), True)
    assert str(key).endswith("fwmark 0x200000/0xf00000 lookup 101")
