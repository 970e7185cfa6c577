"""Desired state kept up to date unit by unit is what compiling everything anew would give."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from neod.features.desired import Desired, contradictions
from neod.features.intents import Intents
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.facts import Host
from neod.model.want import FactKey, Origin, Want

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
INTENTS = st.lists(PARTS, max_size=4, unique_by=lambda part: part.name).map(lambda parts: Intents(tuple(parts)))
FACTS = st.dictionaries(st.sampled_from(FACT_KEYS), st.sampled_from("xyz").map(Host))


def judged(intents, facts):
    """The same by the shortest way: for each key the first unit by name."""
    wants = {}
    for unit in sorted(intents.fragments, key=lambda unit: unit.name):
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

    @initialize(intents=INTENTS, facts=FACTS)
    def start(self, intents, facts):
        self.intents, self.facts = intents, dict(facts)
        self.desired = Desired(intents)
        assert self.desired.compile_all(facts) == set(judged(intents, facts))

    @rule(facts=FACTS)
    def facts_change(self, facts):
        keys = [key for key in FACT_KEYS if self.facts.get(key) != facts.get(key)]
        self.moved(lambda: self.desired.update(keys, facts), self.intents, facts)

    @rule(facts=FACTS, intents=INTENTS)
    def file_is_replaced(self, facts, intents):
        self.moved(lambda: self.desired.replace(intents, facts), intents, facts)

    @rule()
    def all_is_compiled_again(self):
        self.moved(lambda: self.desired.compile_all(self.facts), self.intents, self.facts)

    def moved(self, move, intents, facts):
        before = judged(self.intents, self.facts)
        changed = move()
        self.intents, self.facts = intents, dict(facts)
        assert changed == differing(before, judged(intents, facts))

    @invariant()
    def wants_are_those_of_a_fresh_start(self):
        assert dict(self.desired.wants) == judged(self.intents, self.facts)

    @invariant()
    def who_waits_says_for_what(self):
        assert self.desired.waiting() == {
            unit.name: unit.waits_for(self.facts) for unit in self.intents.fragments if unit.waits_for(self.facts)
        }


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


@given(INTENTS, FACTS, st.randoms())
def test_the_order_of_units_changes_nothing(intents, facts, rng):
    shuffled = list(intents.fragments)
    rng.shuffle(shuffled)
    one, other = Desired(intents), Desired(Intents(tuple(shuffled)))
    one.compile_all(facts)
    other.compile_all(facts)
    assert one.wants == other.wants


class Counted(Part):
    compiled = 0

    def compile(self, facts):
        Counted.compiled += 1
        return super().compile(facts)


def test_an_update_compiles_only_the_units_that_need_the_fact():
    units = tuple(Counted(f"unit{n}", (), ((FactKey("fact", str(n)), KEYS[n]),)) for n in range(6))
    desired = Desired(Intents(units))
    desired.compile_all({})
    Counted.compiled = 0
    fact = FactKey("fact", "3")
    assert desired.update([fact], {fact: Host("x")}) == {KEYS[3]}
    assert Counted.compiled == 1


def test_another_reason_for_the_same_thing_is_no_change():
    desired = Desired(Intents((Part("a", (KEYS[0],), ()),)))
    desired.compile_all({})
    assert desired.replace(Intents((Part("b", (KEYS[0],), ()),)), {}) == set()
    assert desired.wants[KEYS[0]].origin.path == "b"


def test_wants_cannot_be_written_from_outside():
    assert not hasattr(Desired(Intents(())).wants, "__setitem__")


@given(INTENTS)
def test_equal_wants_of_two_units_are_no_contradiction(intents):
    assert list(contradictions(intents.fragments)) == []


def test_different_wants_for_one_key_are_told_once():
    host = FactKey("host")
    units = (Part("a", (KEYS[0],), ()), Part("b", (), ((host, KEYS[0]),)), Part("c", (), ((host, KEYS[0]),)))
    ((one, other),) = contradictions(units)
    assert {one.origin.path, other.origin.path} == {"a", "b"}
