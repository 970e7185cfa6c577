"""Looking for what sends no event: all of it in turn, never much at a time, as often as is cheap."""

from dataclasses import dataclass
from types import SimpleNamespace

from neod.kinds.sysctl import SysctlKey
from neod.model.facts import FOREVER
from neod.model.kind import Poll
from neod.reconcile.polls import SHARE, Polls
from neod.reconcile.queue import Hints

PLACE = ("", "sysctl")


@dataclass
class Seen:
    """What the polls ask of the state and of the namespaces."""

    keys: list[SysctlKey]
    cost_s: float = 0.0
    unchanged: bool = False
    poll: Poll | None = None
    asked: int = 0

    @property
    def kinds(self):
        return {"sysctl": SimpleNamespace(poll=self.poll)}

    def places(self):
        return iter([PLACE])

    def is_relevant(self, place):
        return bool(self.keys)

    def relevant_keys(self, place):
        return self.keys

    def cpu_s(self, place):
        return self.cost_s

    def is_unchanged(self, place):
        self.asked += 1
        return self.unchanged

    @property
    def observed(self):
        return SimpleNamespace(of=lambda place: self.keys)


def polls_of(count, poll, cost_s=0.0):
    seen = Seen([SysctlKey("", f"net/ipv4/conf/if{n}/rp_filter") for n in range(count)], cost_s, poll=poll)
    return Polls(seen, seen, seen), seen


def looks(polls, seconds):
    """Return what each look reads, and when, in *seconds* of passes that find nothing."""
    told, now = [], 0.0
    polls.plan(Hints(everything=True), now)
    while (now := polls.next_due()) <= seconds:
        hints = Hints()
        polls.add_due(hints, now)
        told.append((now, hints))
        polls.plan(hints, now)
    return told


def test_every_object_is_looked_at_in_turn():
    polls, seen = polls_of(1000, Poll(1.0, at_most=256))
    first_round = [key for _, hints in looks(polls, 4.0) for key in hints.keys]
    assert sorted(map(str, first_round)) == sorted(map(str, seen.keys))


def test_a_look_reads_no_more_than_its_share():
    polls, _ = polls_of(1000, Poll(1.0, at_most=256))
    assert {len(hints.keys) <= 256 and not hints.kinds for _, hints in looks(polls, 20.0)} == {True}


def test_what_is_dear_is_looked_at_less_often():
    polls, _ = polls_of(1000, Poll(1.0, at_most=250), cost_s=0.04)
    times = [at for at, _ in looks(polls, 100.0)]
    assert times[1] - times[0] == 0.04 / 4 / SHARE


def test_what_is_cheap_is_looked_at_as_often_as_asked():
    polls, _ = polls_of(1000, Poll(0.4, cheap=True), cost_s=5.0)
    assert len(looks(polls, 4.01)) == 10


def test_what_shows_orphans_only_as_a_whole_is_read_as_a_whole():
    polls, _ = polls_of(3, Poll(1.0))
    assert {hints.kinds == {PLACE} and not hints.keys for _, hints in looks(polls, 5.0)} == {True}


def test_nothing_minded_is_not_polled():
    polls, seen = polls_of(3, Poll(1.0))
    polls.plan(Hints(everything=True), 0.0)
    seen.keys = []
    polls.plan(Hints(), 0.5)
    assert polls.next_due() == FOREVER


def test_a_full_look_counts_as_a_look():
    polls, _ = polls_of(3, Poll(1.0))
    polls.plan(Hints(everything=True), 7.0)
    assert polls.next_due() == 8.0


def test_what_can_tell_that_nothing_changed_costs_no_pass():
    polls, seen = polls_of(3, Poll(0.5, cheap=True))
    seen.unchanged = True
    assert not any(hints for _, hints in looks(polls, 5.0))
    seen.unchanged = False
    assert {hints.kinds == {PLACE} for _, hints in looks(polls, 5.0)} == {True}


def test_a_probe_is_asked_once_a_look():
    for unchanged in (False, True):
        polls, seen = polls_of(3, Poll(0.2, cheap=True))
        seen.unchanged = unchanged
        assert len(looks(polls, 4.01)) == seen.asked
