"""A plan reads the kernel as a pass does, and takes nothing away from the pass that is to repair what it saw."""

import asyncio

from tests.doubles.kernel import FakeClock
from tests.doubles.reconciling import Reconciling

from neod.kinds import KINDS
from neod.kinds.nat import NatKey, NatSpec
from neod.model.change import Seen
from neod.model.nat import Ruleset
from neod.reconcile.queue import Hints

PLACE = ("", "nat")
KEY, WHOLE, BROKEN = NatKey(""), NatSpec(Ruleset((), "whole")), NatSpec(Ruleset((), ""))


class Probed:
    """One place whose driver tells cheaply whether what is there is the same."""

    def __init__(self):
        self.there = {KEY: Seen(WHOLE, True)}

    def places(self):
        return iter([PLACE])

    def driver(self, place):
        return self

    def close_stale(self):
        return ()

    def fingerprint(self):
        return dict(self.there)

    async def observe_all(self, wanted):
        return dict(self.there)

    async def observe(self, keys):
        return dict(self.there)

    async def put(self, items):
        self.there = {key: Seen(spec, True) for key, spec, _ in items}
        return [None] * len(items)


def in_sync_once(clock=None):
    probed = Probed()
    made = Reconciling(KINDS, probed, clock or FakeClock(), [(KEY, WHOLE)])
    asyncio.run(made.run(Hints(everything=True)))
    assert made.reconciler.looks.is_unchanged(PLACE)
    return made, probed


def test_a_change_that_a_plan_read_is_as_new_to_the_poll_as_before():
    made, probed = in_sync_once()
    probed.there = {KEY: Seen(BROKEN, True)}
    plan = asyncio.run(made.reconciler.preview())
    assert [str(change.key) for change in plan.changes] == ["nat:main"]
    assert not made.reconciler.looks.is_unchanged(PLACE)


def test_what_a_plan_is_the_first_to_see_is_looked_at_by_the_next_pass():
    made, probed = in_sync_once()
    probed.there = {KEY: Seen(BROKEN, True)}
    asyncio.run(made.reconciler.preview())
    asyncio.run(made.run(asyncio.run(made.queue.take(0))))
    assert probed.there[KEY].spec == WHOLE


def test_so_is_what_the_plan_of_another_file_sees():
    made, probed = in_sync_once()
    probed.there = {KEY: Seen(BROKEN, True)}
    other = Reconciling(KINDS, probed, FakeClock(), []).state.desired
    asyncio.run(made.reconciler.preview(other))
    assert made.queue.pending


def test_what_is_known_to_differ_makes_no_pass_at_each_plan():
    made, probed = in_sync_once()
    made.reconciler.pause()
    probed.there = {KEY: Seen(BROKEN, True)}
    asyncio.run(made.run(Hints(everything=True)))
    asyncio.run(made.reconciler.preview())
    assert not made.queue.pending


def test_a_plan_of_what_did_not_change_asks_for_no_pass():
    made, _ = in_sync_once()
    assert not asyncio.run(made.reconciler.preview()).changes
    assert not made.queue.pending


def test_what_was_there_before_our_write_is_a_change_when_somebody_brings_it_back():
    made, probed = in_sync_once()
    snapshot = dict(probed.there)
    made.want([(KEY, NatSpec(Ruleset((), "another")))])
    asyncio.run(made.run(Hints(keys={KEY: None})))
    assert probed.there != snapshot
    probed.there = snapshot
    assert not made.reconciler.looks.is_unchanged(PLACE)


def test_so_is_what_was_there_before_others_changed_it_and_a_pass_saw_that():
    made, probed = in_sync_once()
    made.reconciler.writing = False  # paused: the change is seen and stays
    snapshot, probed.there = dict(probed.there), {KEY: Seen(BROKEN, True)}
    asyncio.run(made.run(Hints(keys={KEY: None})))
    probed.there = snapshot
    assert not made.reconciler.looks.is_unchanged(PLACE)
