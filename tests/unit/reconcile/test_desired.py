"""Desired state kept up to date fragment by fragment is what compiling everything again would give."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.doubles import builders
from tests.doubles.reconciling import Pairs

from neod.config.contradictions import contradictions
from neod.kinds import KINDS
from neod.kinds.address import AddressSpec
from neod.kinds.sysctl import SysctlKey, SysctlKind, SysctlSpec
from neod.model.facts import Host
from neod.model.key import AddressKey, ArpKey, LinkKey
from neod.model.want import FactKey, Origin, Want
from neod.reconcile.desired import DesiredState

KEYS = tuple(SysctlKey("", f"net/x/{number}") for number in range(6))
FACT_KEYS = tuple(FactKey("fact", str(number)) for number in range(3))


@dataclass(frozen=True)
class Part:
    """A unit that wants some keys always, and more of them with the value of each of its facts."""

    name: str
    always: tuple[SysctlKey, ...]
    by_fact: tuple[tuple[FactKey, SysctlKey], ...]

    @property
    def needs(self):
        return tuple(dict.fromkeys(fact for fact, _ in self.by_fact))

    def compile(self, facts):
        wants = dict.fromkeys(self.always, "always")
        wants |= {key: facts[fact].machine_id for fact, key in self.by_fact if fact in facts}
        return [Want(key, SysctlSpec(value), Origin(self.name, 1)) for key, value in wants.items()]

    def waits_for(self, facts):
        return tuple(f"{fact.name}" for fact in self.needs if fact not in facts)


PARTS = st.builds(
    Part,
    st.sampled_from("abcd"),
    st.lists(st.sampled_from(KEYS), max_size=3, unique=True).map(tuple),
    st.lists(st.tuples(st.sampled_from(FACT_KEYS), st.sampled_from(KEYS)), max_size=3).map(tuple),
)
FRAGMENTS = st.lists(PARTS, max_size=4, unique_by=lambda part: part.name).map(tuple)
FACTS = st.dictionaries(st.sampled_from(FACT_KEYS), st.sampled_from("xyz").map(Host))


def judged(fragments, facts):
    """The same by the shortest way: for each key the first unit by name."""
    wants = {}
    for unit in sorted(fragments, key=lambda unit: unit.name):
        for want in unit.compile(facts):
            wants.setdefault(want.key, want)
    return wants


def differing(before, after):
    return {
        key
        for key in before.keys() | after.keys()
        if (key in before) != (key in after) or before[key].spec != after[key].spec
    }


class Walk(RuleBasedStateMachine):
    """Facts come, change and go, files are replaced, in any order."""

    @initialize(fragments=FRAGMENTS, facts=FACTS)
    def start(self, fragments, facts):
        self.fragments, self.facts = fragments, dict(facts)
        self.desired = DesiredState(KINDS)
        assert self.desired.replace(fragments, facts) == set(judged(fragments, facts))

    @rule(facts=FACTS)
    def facts_change(self, facts):
        keys = [key for key in FACT_KEYS if self.facts.get(key) != facts.get(key)]
        self.moved(lambda: self.desired.update(keys, facts), self.fragments, facts)

    @rule(facts=FACTS, fragments=FRAGMENTS)
    def file_is_replaced(self, facts, fragments):
        self.moved(lambda: self.desired.replace(fragments, facts), fragments, facts)

    @rule()
    def all_is_compiled_again(self):
        self.moved(lambda: self.desired.replace(self.fragments, self.facts), self.fragments, self.facts)

    def moved(self, move, fragments, facts):
        before = judged(self.fragments, self.facts)
        changed = move()
        self.fragments, self.facts = fragments, dict(facts)
        assert changed == differing(before, judged(fragments, facts))

    @invariant()
    def wants_are_those_of_a_fresh_start(self):
        assert dict(self.desired.wants) == judged(self.fragments, self.facts)

    @invariant()
    def the_index_says_what_the_wants_say(self):
        wants = self.desired.wants
        assert dict(self.desired.specs) == {key: want.spec for key, want in wants.items()}
        assert set(self.desired.of(("", "sysctl"))) == set(wants)

    @invariant()
    def who_waits_says_for_what(self):
        assert self.desired.waiting() == {
            unit.name: unit.waits_for(self.facts) for unit in self.fragments if unit.waits_for(self.facts)
        }


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


@given(FRAGMENTS, FACTS, st.randoms())
def test_the_order_of_units_changes_nothing(fragments, facts, rng):
    shuffled = list(fragments)
    rng.shuffle(shuffled)
    one, other = DesiredState(KINDS), DesiredState(KINDS)
    one.replace(fragments, facts)
    other.replace(shuffled, facts)
    assert one.wants == other.wants


@dataclass(frozen=True)
class Fixed:
    """A unit that wants the same whatever the facts."""

    name: str
    wants: tuple[Want, ...]
    needs = ()

    def compile(self, facts):
        return self.wants

    def waits_for(self, facts):
        return ()


class Counted(Part):
    compiled = 0

    def compile(self, facts):
        Counted.compiled += 1
        return super().compile(facts)


def test_an_update_compiles_only_the_units_that_need_the_fact():
    units = tuple(Counted(f"unit{n}", (), ((FactKey("fact", str(n)), KEYS[n]),)) for n in range(6))
    desired = DesiredState(KINDS)
    desired.replace(units, {})
    Counted.compiled = 0
    fact = FactKey("fact", "3")
    assert desired.update([fact], {fact: Host("x")}) == {KEYS[3]}
    assert Counted.compiled == 1


def test_another_reason_for_the_same_thing_is_no_change():
    desired = DesiredState(KINDS)
    desired.replace([Part("a", (KEYS[0],), ())], {})
    assert desired.replace([Part("b", (KEYS[0],), ())], {}) == set()
    assert desired.wants[KEYS[0]].origin.path == "b"


def test_a_spec_that_equals_the_one_before_may_require_something_else():
    def wanted(nic):
        key = AddressKey("", "neo1", IPv4Address("10.9.0.1"), 24)
        return [Fixed("neo1", (Want(key, AddressSpec(nic=nic), Origin("neo1", 1)),))]

    desired, of = DesiredState(KINDS), {nic: ArpKey("", "nic", nic) for nic in ("ens3", "br0")}
    desired.replace(wanted("ens3"), {})
    assert desired.replace(wanted("br0"), {}) == set(), "nothing that the kernel would show"
    assert [spec.nic for spec in desired.specs.values()] == ["br0"]
    assert (desired.is_required(of["ens3"]), desired.is_required(of["br0"])) == (False, True)


def test_wants_cannot_be_written_from_outside():
    assert not hasattr(DesiredState(KINDS).wants, "__setitem__")


@given(FRAGMENTS)
def test_equal_wants_of_two_units_are_no_contradiction(fragments):
    assert list(contradictions(fragments)) == []


def test_different_wants_for_one_key_are_told_once():
    host = FactKey("host")
    units = (Part("a", (KEYS[0],), ()), Part("b", (), ((host, KEYS[0]),)), Part("c", (), ((host, KEYS[0]),)))
    ((one, other),) = contradictions(units)
    assert {one.origin.path, other.origin.path} == {"a", "b"}


def test_the_index_follows_what_requires_what():
    link, (key, spec) = builders.macvlan("neo1"), builders.address("neo1", "10.0.0.1", 24)
    desired = DesiredState(KINDS)
    desired.replace([Pairs((link, (key, spec)))], {})
    assert desired.is_required(link[0])
    assert list(desired.dependents_of(LinkKey("", "up0"))) == [link[0], key]
    assert desired.replace([Pairs((link,))], {}) == {key}
    assert not desired.is_required(link[0])
    assert list(desired.of(("", "address"))) == []


def test_another_spelling_of_one_object_is_one_object():
    class Folding(SysctlKind):
        def normalize(self, key, spec):
            return SysctlKey(key.netns, key.path.lower()), spec

    one, other = (SysctlKey("", path) for path in ("net/x", "net/X"))
    desired = DesiredState({"sysctl": Folding()})
    desired.replace([Pairs(((one, SysctlSpec("1")),), "a"), Pairs(((other, SysctlSpec("1")),), "b")], {})
    assert desired.replace([Pairs(((other, SysctlSpec("1")),), "b")], {}) == set()
    assert dict(desired.specs) == {one: SysctlSpec("1")}


def test_while_suspended_nothing_is_desired_and_the_file_is_still_known():
    desired = DesiredState(KINDS)
    desired.replace([Part("a", KEYS[:2], ((FACT_KEYS[0], KEYS[2]),))], {})
    desired.suspend()
    assert (dict(desired.specs), list(desired.of(("", "sysctl"))), desired.waiting()) == ({}, [], {})
    assert desired.update([FACT_KEYS[0]], {FACT_KEYS[0]: Host("x")}) == {KEYS[2]}
    assert set(desired.wants) == set(KEYS[:3])
    desired.reinstate()
    assert set(desired.specs) == set(KEYS[:3])
