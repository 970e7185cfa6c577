"""The arithmetic of RFC 2131, and what it does with absurd numbers."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neod.dhcp import timers

INF = float("inf")


@pytest.mark.parametrize(
    ("granted", "seconds"),
    [
        pytest.param(3600, 3600, id="usual"),
        pytest.param(None, 600, id="left out"),
        pytest.param(0, 600, id="zero"),
        pytest.param(1, 10, id="one second"),
        pytest.param(10, 10, id="the shortest"),
        pytest.param(2**32 - 1, INF, id="for ever"),
        pytest.param(2**32 - 2, 2**32 - 2, id="nearly for ever"),
    ],
)
def test_lease_times_are_accepted_within_bounds(granted, seconds):
    assert timers.lease_seconds(granted) == seconds


@pytest.mark.parametrize(
    ("t1", "t2", "expected"),
    [
        pytest.param(None, None, (1800, 3150), id="defaults"),
        pytest.param(600, 1200, (600, 1200), id="the server's"),
        pytest.param(0, 0, (1800, 3150), id="zeros"),
        pytest.param(1, None, (1800, 3150), id="T1 of one second"),
        pytest.param(1200, 600, (480, 600), id="T1 after T2"),
        pytest.param(7000, 7200, (1800, 3150), id="both after the end"),
        pytest.param(None, 1000, (800, 1000), id="T2 before the default T1"),
        pytest.param(3500, None, (1800, 3150), id="T1 after the default T2"),
        pytest.param(3, 6, (3, 6), id="very short but possible"),
    ],
)
def test_renewal_times_are_the_servers_where_they_make_sense(t1, t2, expected):
    renew_s, rebind_s = timers.renewal_times(3600, t1, t2, Random(1))
    assert rebind_s == expected[1]
    assert expected[0] * 0.95 <= renew_s <= expected[0]


NUMBER = st.none() | st.integers(0, 2**32 - 1)


@given(NUMBER, NUMBER, NUMBER, st.randoms(use_true_random=False))
def test_t1_is_always_before_t2_and_t2_before_the_end(granted, t1, t2, rng):
    lease_s = timers.lease_seconds(granted)
    renew_s, rebind_s = timers.renewal_times(lease_s, t1, t2, rng)
    if lease_s == INF:
        assert (renew_s, rebind_s) == (INF, INF)
    else:
        assert 1.5 <= renew_s < rebind_s < lease_s


def test_a_lease_without_end_is_never_renewed():
    assert timers.renewal_times(INF, 10, 20, Random(1)) == (INF, INF)


def test_retries_grow_and_stay_at_a_minute():
    rng = Random(1)
    waits = [timers.retry_after(attempt, rng) for attempt in range(13)]
    for wait, base in zip(waits, [1, 1, 2, 2, 4, 4, 8, 8, 16, 32, 64, 64, 64], strict=True):
        assert abs(wait - base) <= min(1, base / 4)
    assert len(set(waits)) == len(waits), "spread"


def test_naks_in_a_row_slow_down_to_a_minute():
    rng = Random(1)
    pauses = [timers.nak_pause(naks, rng) for naks in range(1, 12)]
    assert pauses[0] == 1
    assert all(1 <= pause <= 60 for pause in pauses)
    assert all(pause >= 48 for pause in pauses[6:])


@pytest.mark.parametrize(
    ("now", "until", "lease_s", "again"),
    [
        pytest.param(1800, 3150, 3600, 2475, id="half the time left"),
        pytest.param(3100, 3150, 3600, 3150, id="not beyond the end"),
        pytest.param(3060, 3150, 3600, 3120, id="a minute at least"),
        pytest.param(60, 105, 120, 82.5, id="a short lease: half"),
        pytest.param(100, 105, 120, 105, id="a short lease: a sixteenth at least, here beyond the end"),
    ],
)
def test_renewals_are_repeated_at_half_the_time_left(now, until, lease_s, again):
    assert timers.renew_again_at(now, until, lease_s) == again


@given(st.floats(0, 1e6), st.floats(0.1, 1e6), st.floats(10, 1e7))
def test_repeats_are_never_immediate(now, left, lease_s):
    again = timers.renew_again_at(now, now + left, lease_s)
    assert again <= now + left
    assert again == now + left or again - now >= min(1.0, lease_s / 16) * 0.999
