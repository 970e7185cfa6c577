"""The timer queue: each client is due once, at the moment last set."""

from hypothesis import given
from hypothesis import strategies as st

from neod.dhcp.timer_queue import TimerQueue

INF = float("inf")


class Who:
    def __init__(self):
        self.armed_at = INF


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1.0, 2.0, 3.0, INF])), max_size=30), st.integers(0, 4))
def test_who_is_due_is_who_was_set_last_to_a_moment_past(sets, now):
    agenda, crowd, expected = TimerQueue(), [Who() for _ in range(6)], {}
    for number, at in sets:
        agenda.set(crowd[number], at)
        expected[number] = at
    due = [number for number, at in expected.items() if at <= now]
    later = [at for at in expected.values() if at > now]
    assert sorted(crowd.index(who) for who in agenda.due(now)) == sorted(due)
    assert agenda.next_at() == min(later, default=INF)
    assert list(agenda.due(now)) == [], "nobody is due twice"


def test_who_is_due_comes_in_order_of_time():
    agenda, first, second = TimerQueue(), Who(), Who()
    agenda.set(second, 2.0)
    agenda.set(first, 1.0)
    assert list(agenda.due(5)) == [first, second]


def test_who_is_set_again_while_others_are_due_is_due_again():
    agenda, who = TimerQueue(), Who()
    agenda.set(who, 1.0)
    seen = []
    for due in agenda.due(5):
        seen.append(due)
        if len(seen) == 1:
            agenda.set(who, 4.0)
    assert seen == [who, who]
