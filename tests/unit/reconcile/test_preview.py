"""A plan reads the kernel as a pass does, and takes nothing away from the pass that is to repair what it saw."""

import asyncio

from tests.doubles.kernel import FakeClock
from tests.doubles.reconciling import Reconciling

from neod.kinds import KINDS
from neod.kinds.nat import NatKey, NatSpec
from neod.model.change import Seen
from neod.model.nat import Ruleset
from neod.reconcile.queue import HintQueue
from neod.reconcile.reconciler import Reconciler

PLACE = ("", "nat")


class Probed:
    """One place whose driver knows that something changed until somebody reads it."""

    def __init__(self):
        self.changed, self.there = False, {}

    def places(self):
        return iter([PLACE])

    def driver(self, place):
        return self

    def close_stale(self):
        return ()

    def maybe_changed(self):
        return self.changed

    async def observe_all(self, wanted):
        self.changed = False
        return self.there


def previewed(*, changed):
    async def go():
        probed, clock = Probed(), FakeClock()
        probed.changed = changed
        probed.there = {NatKey(""): Seen(NatSpec(Ruleset((), "whole")), True)}
        base = Reconciling(KINDS, probed, clock)
        queue = HintQueue(clock)
        plan = await Reconciler(base.state, probed, clock, queue, None).preview()
        assert [str(change.key) for change in plan.changes] == ["nat:main"]
        assert not probed.changed
        return queue.pending

    return asyncio.run(go())


def test_a_change_that_a_plan_read_is_looked_at_by_a_pass_all_the_same():
    assert previewed(changed=True)


def test_a_plan_of_what_did_not_change_asks_for_no_pass():
    assert not previewed(changed=False)
