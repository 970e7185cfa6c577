"""The order in which candidates start, from their recent results."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neod.race.order import (
    EXPLORE_EVERY,
    HALF_LIFE_S,
    MAX_AGE_S,
    PENALTY_S,
    UNTRIED_S,
    AddressPair,
    Score,
    address_pairs,
    after_failure,
    after_losing,
    after_success,
    by_upstream,
    estimate_s,
    explores,
    ranked_order,
    starters,
    window,
    with_explorer,
)


@dataclass
class DialCandidate:
    pair: AddressPair
    score: Score = field(default_factory=Score)


def candidates_of(sources, hosts):
    return [DialCandidate(pair) for pair in address_pairs(sources, [(host, 443) for host in hosts])]


def names(arranged):
    return [f"{e.pair.source}>{e.pair.host}" for e in arranged]


def test_every_source_meets_every_upstream_of_its_family():
    found = address_pairs(["10.0.0.1", "fd::1", "10.0.0.2"], [("1.1.1.1", 1), ("2::2", 2)])
    assert [str(c) for c in found] == ["10.0.0.1 → 1.1.1.1:1", "10.0.0.2 → 1.1.1.1:1", "fd::1 → [2::2]:2"]


def test_without_sources_each_upstream_is_one_candidate():
    assert address_pairs(None, [("1.1.1.1", 1)]) == [AddressPair("", "1.1.1.1", 1)]


def test_the_first_step_is_every_upstream_once_each_over_another_source():
    arranged = ranked_order(candidates_of(["a", "b", "c"], ["x", "y", "z"]), 0, 0.0)
    first = arranged[:3]
    assert {e.pair.host for e in first} == {"x", "y", "z"}
    assert {e.pair.source for e in first} == {"a", "b", "c"}


def test_equals_take_turns():
    starts = [ranked_order(candidates_of(["a", "b", "c", "d"], ["x"]), turn, 0.0)[0].pair.source for turn in range(8)]
    assert sorted(starts) == ["a", "a", "b", "b", "c", "c", "d", "d"]


def test_the_quick_upstream_comes_before_the_slow_one():
    slow, quick = candidates_of(None, ["slow", "quick"])
    slow.score, quick.score = after_success(Score(), 0.3, 0.0), after_success(Score(), 0.02, 0.0)
    assert names(ranked_order([slow, quick], 0, 1.0)) == [">quick", ">slow"]


def test_a_few_milliseconds_are_no_difference():
    one, two = candidates_of(["a", "b"], ["x"])
    one.score, two.score = after_success(Score(), 0.0002, 0.0), after_success(Score(), 0.003, 0.0)
    assert {ranked_order([one, two], turn, 1.0)[0].pair.source for turn in (0, 1)} == {"a", "b"}


def test_a_source_never_tried_counts_as_good_as_its_fellows():
    known, fresh = candidates_of(["known", "fresh"], ["x"])
    known.score = after_success(Score(), 0.02, 0.0)
    assert {ranked_order([known, fresh], turn, 1.0)[0].pair.source for turn in (0, 1)} == {"known", "fresh"}


def test_an_upstream_never_tried_comes_after_a_quick_one_and_before_a_failing_one():
    quick, fresh, failing = candidates_of(None, ["quick", "fresh", "failing"])
    quick.score, failing.score = (
        after_success(Score(), 0.02, 0.0),
        after_failure(after_success(Score(), 0.02, 0.0), 0.0),
    )
    assert names(ranked_order([failing, fresh, quick], 0, 1.0)) == [">quick", ">fresh", ">failing"]


def test_a_failure_is_forgiven_by_half_in_half_a_minute():
    score = after_failure(after_success(Score(), 0.1, 0.0), 0.0)
    assert estimate_s(score, 0.0) == pytest.approx(0.1 + PENALTY_S)
    assert estimate_s(score, HALF_LIFE_S) == pytest.approx(0.1 + PENALTY_S / 2)


def test_failures_add_up_as_they_age():
    score = after_failure(after_failure(Score(), 0.0), HALF_LIFE_S)
    assert score.failures == pytest.approx(1.5)


def test_a_connection_forgives_failures_at_once():
    assert estimate_s(after_success(after_failure(Score(), 0.0), 0.05, 1.0), 1.0) == pytest.approx(0.05)


def test_the_smoothed_time_follows_the_path():
    score = after_success(Score(), 0.01, 0.0)
    for at in range(8):
        score = after_success(score, 0.1, float(at))
    assert estimate_s(score, 8.0) == pytest.approx(0.1, rel=0.15)


def test_who_was_outrun_takes_at_least_as_long_as_was_waited():
    assert estimate_s(after_losing(Score(), 0.2, 0.0), 0.0) == pytest.approx(0.2)
    slower = after_success(Score(), 0.5, 0.0)
    assert after_losing(slower, 0.2, 1.0) == slower


def test_old_results_say_nothing():
    score = after_success(Score(), 5.0, 0.0)
    assert estimate_s(score, MAX_AGE_S + 1) == UNTRIED_S


def test_one_race_in_some_explores():
    assert sum(explores(turn) for turn in range(10 * EXPLORE_EVERY)) == 10
    arranged = candidates_of(["a", "b", "c"], ["x"])
    assert starters(arranged, EXPLORE_EVERY - 1, 1) == 2
    assert starters(arranged, 0, 1) == 1


def test_the_explorer_is_the_one_longest_unheard_of():
    arranged = candidates_of(["a", "b", "c"], ["x"])
    for candidate, at in zip(arranged, (3.0, 2.0, 1.0), strict=True):
        candidate.score = after_success(Score(), 0.1, at)
    assert names(with_explorer(arranged, 1)) == ["a>x", "c>x", "b>x"]
    assert with_explorer(arranged, 3) == arranged


SCORES = st.builds(Score, st.none() | st.floats(0, 10), st.floats(0, 20), st.floats(-1000, 1000, allow_nan=False))


@given(
    st.lists(st.sampled_from("abcdef"), unique=True, max_size=6),
    st.lists(st.sampled_from("uvwxyz"), unique=True, max_size=6),
    st.data(),
    st.integers(0, 1000),
)
def test_arranging_loses_nobody_and_invents_nobody(sources, hosts, data, turn):
    candidates = candidates_of(sources, hosts)
    for candidate in candidates:
        candidate.score = data.draw(SCORES)
    arranged = ranked_order(candidates, turn, 1000.0)
    assert sorted(names(arranged)) == sorted(names(candidates))
    assert sorted(names(with_explorer(arranged, 1))) == sorted(names(candidates))
    first = arranged[: len(hosts)]
    assert len({e.pair.host for e in first}) == len(first)


def test_of_very_many_each_has_its_turn_in_the_window():
    lanes = by_upstream(candidates_of([str(n) for n in range(1000)], ["x", "y", "z"]))
    seen: set[str] = set()
    for turn in range(60):
        found = window(lanes, turn, 64)
        assert len(found) <= 64
        assert {e.pair.host for e in found} == {"x", "y", "z"}
        assert len(names(found)) == len(set(names(found)))
        seen |= set(names(found))
    assert len(seen) == 3000


def test_a_window_larger_than_a_lane_holds_it_once():
    lanes = by_upstream(candidates_of(["a", "b", "c"], ["x"]))
    for turn in range(5):
        assert sorted(names(window(lanes, turn, 64))) == ["a>x", "b>x", "c>x"]
