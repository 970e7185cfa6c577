"""The laws of a reconciler, over random states, walks and faults, on a kernel that is a dictionary."""

import asyncio
import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles import builders
from tests.doubles.kernel import FakeClock, FakeKernel
from tests.doubles.reconciling import Reconciling

from neod.kinds import KINDS
from neod.model.change import Op
from neod.reconcile.queue import Hints

pytestmark = pytest.mark.slow

PARENT = builders.macvlan("up0", 200, parent="")
POOL = [pair for number in (1, 2, 3) for pair in builders.campus(f"neo{number}", number)]
KEYS = [key for key, _ in POOL]
STATES = st.lists(st.sampled_from(POOL), unique_by=lambda pair: pair[0])
VERBS = st.sampled_from(["put", "drop", "observe"])
ERRNOS = st.sampled_from(
    [
        errno.EINTR,
        errno.ENOBUFS,
        errno.EBUSY,
        errno.EEXIST,
        errno.ENOENT,
        errno.ENODEV,
        errno.EPERM,
        errno.ENOMEM,
        errno.EOPNOTSUPP,
        errno.EINVAL,
        errno.ETIMEDOUT,
    ]
)


class Host:
    """A reconciler on a fake kernel."""

    def __init__(self, kernel=None):
        self.kernel = kernel or self._kernel()
        self.clock = FakeClock()
        self._reconciling = Reconciling(self.kernel.kinds, self.kernel.drivers(), self.clock)
        self.want, self.state, self.reconciler = (
            self._reconciling.want,
            self._reconciling.state,
            self._reconciling.reconciler,
        )

    @staticmethod
    def _kernel():
        kernel = FakeKernel(KINDS.values())
        kernel.add_foreign(*PARENT)
        return kernel

    def run(self, hints=None):
        async def go():
            return await self.reconciler.run(hints or Hints(everything=True))

        return asyncio.run(go())

    def settle(self, passes=4, seconds=61.0):
        for _ in range(passes):
            self.clock.advance(seconds)
            self.run()


def possible(pairs):
    """Return what of *pairs* can exist: what needs something not asked for stays blocked."""
    kinds = KINDS
    found, grown = {PARENT[0]}, True
    while grown:
        have = found | {p for key in found for p in kinds[key.kind].provides(key)}
        more = {k for k, s in pairs if k not in found and all(n in have for n in kinds[k.kind].requires(k, s))}
        found |= more
        grown = bool(more)
    return found - {PARENT[0]}


@given(STATES)
def test_one_pass_converges_and_a_second_writes_nothing(pairs):
    host = Host()
    host.want(pairs)
    host.run()
    assert {key for key, seen in host.kernel.objects.items() if seen.owned} == possible(pairs)
    writes = host.kernel.writes
    report = host.run()
    assert (host.kernel.writes, report.plan.changes) == (writes, ())


@pytest.mark.slow
@given(STATES, STATES, st.lists(st.sampled_from(KEYS), max_size=3))
def test_drift_is_repaired_and_what_is_in_sync_is_not_touched(pairs, _, victims):
    host = Host()
    host.want(pairs)
    host.run()
    before = dict(host.kernel.objects)
    for victim in victims:
        host.kernel.lose(victim)
    lost = set(before) - set(host.kernel.objects)
    report = host.run()
    assert host.kernel.objects == before
    assert {change.key for change in report.plan.changes} == lost


@given(STATES, STATES)
def test_foreign_objects_are_never_written(pairs, foreign):
    host = Host()
    standing = possible(foreign)  # a foreign address on a link of ours goes with the link
    kept = [(key, spec) for key, spec in foreign if key.kind != "sysctl" and key in standing]
    for key, spec in kept:
        host.kernel.add_foreign(key, spec)
    before = {key: host.kernel.objects[key] for key, _ in kept}
    host.want(pairs)
    host.run()
    host.want([])
    host.run()
    assert {key: host.kernel.objects.get(key) for key in before} == before


@pytest.mark.slow
@given(STATES)
def test_a_restart_writes_nothing_and_an_empty_file_removes_exactly_what_is_owned(pairs):
    host = Host()
    host.want(pairs)
    host.run()
    again = Host(host.kernel)
    again.want(pairs)
    writes = host.kernel.writes
    again.run()
    assert host.kernel.writes == writes
    again.want([])
    again.run()
    assert set(host.kernel.objects) == {PARENT[0]}


@pytest.mark.slow
@settings(max_examples=300)
@given(STATES, st.integers(0, 30), ERRNOS, VERBS)
def test_one_failing_call_holds_up_nothing_independent_and_is_made_good(pairs, when, code, verb):
    host = Host()
    host.want(pairs)
    calls = 0
    failed = []

    def fault(called, key):
        nonlocal calls
        if called != verb:
            return 0
        calls += 1
        if calls - 1 == when:
            failed.append(key)
            return code
        return 0

    host.kernel.fault = fault
    host.run()
    if failed and failed[0] is not None:
        without = possible([pair for pair in pairs if pair[0] != failed[0]])
        owned = {key for key, seen in host.kernel.objects.items() if seen.owned}
        assert without <= owned
    host.settle()
    assert {key for key, seen in host.kernel.objects.items() if seen.owned} == possible(pairs)


@pytest.mark.slow
@given(st.lists(STATES, min_size=1, max_size=4))
def test_any_walk_through_files_ends_in_the_state_of_the_last(states):
    host, straight = Host(), Host()
    states = [[pair for pair in pairs if pair[0] in possible(pairs)] for pairs in states]  # as units make them
    for pairs in states:
        host.want(pairs)
        host.run()
    straight.want(states[-1])
    straight.run()
    assert host.kernel.objects == straight.kernel.objects


@pytest.mark.slow
@given(STATES, st.data())
def test_a_pass_over_what_was_hinted_at_repairs_as_a_full_one_would(pairs, data):
    host = Host()
    host.want(pairs)
    host.run()
    before = dict(host.kernel.objects)
    if not before.keys() - {PARENT[0]}:
        return
    victim = data.draw(st.sampled_from(sorted(before.keys() - {PARENT[0]}, key=str)))
    host.kernel.lose(victim)
    report = host.run(Hints(keys={victim: None}))
    assert host.kernel.objects == before
    assert victim in {change.key for change in report.plan.changes}


def test_nothing_is_decided_about_what_could_not_be_read():
    host = Host()
    host.want(POOL)
    host.run()
    host.want([])
    host.kernel.fault = lambda verb, key: errno.EINTR if verb == "observe" else 0
    writes = host.kernel.writes
    host.run()
    assert host.kernel.writes == writes


def test_a_fight_becomes_contested_and_slow():
    host = Host()
    host.want(POOL)
    host.run()
    victim = KEYS[6]
    repairs = 0
    for _ in range(200):
        host.clock.advance(0.1)
        host.kernel.lose(victim)
        report = host.run(Hints(keys={victim: None}))
        repairs += sum(1 for o in report.outcomes if o.change.op is Op.CREATE)
    assert repairs < 10
    assert host.state.status.out_of_sync[victim].phase == "contested"


def test_paused_observes_and_reports_and_changes_nothing():
    host = Host()
    host.want(POOL)
    host.reconciler.pause()
    host.run()
    assert host.kernel.writes == 0
    assert {t.phase for t in host.state.status.out_of_sync.values()} == {"changing"}
