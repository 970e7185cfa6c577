"""The concurrency limit: how many exchanges are in progress, and which is next."""

import pytest

from neod.dhcp.concurrency_limit import HOLD_S, RETRY_ALL_EVERY_S, SILENCE_S, ConcurrencyLimit


def full(size=3):
    window = ConcurrencyLimit(size)
    for holder in range(size):
        window.enter(holder, holder * 0.1)
    return window


def test_no_more_than_its_size_are_in_flight():
    window = full()
    assert not window.has_room
    window.leave(1)
    assert window.has_room


def test_leaving_twice_frees_one_place():
    window = full()
    window.leave(1)
    window.leave(1)
    window.leave("stranger")
    assert len(window) == 2


def test_entering_again_takes_no_second_place_and_renews_the_first():
    window = full()
    window.enter(0, 0.3)
    assert len(window) == 3
    window.lapse(0.2 + HOLD_S)
    assert len(window) == 1, "the two others were older"


def test_who_is_not_answered_loses_the_place():
    window = full()
    assert window.next_lapse() == HOLD_S
    window.lapse(HOLD_S - 0.01)
    assert len(window) == 3
    window.lapse(HOLD_S + 0.1)
    assert len(window) == 1
    assert window.next_lapse() == 0.2 + HOLD_S
    window.lapse(99)
    assert window.next_lapse() == float("inf")


def silent_then_heard(window, lost_at, heard_at):
    window.enter("x", lost_at)
    window.lapse(lost_at + HOLD_S)
    return window.heard(heard_at)


def test_the_first_answer_after_a_silence_is_reported():
    window = ConcurrencyLimit()
    window.heard(100.0)
    assert silent_then_heard(window, 101.0, 100.0 + SILENCE_S)
    assert not window.heard(100.1 + SILENCE_S)


def test_quiet_without_a_loss_is_no_silence():
    window = ConcurrencyLimit()
    window.heard(100.0)
    assert not window.heard(500.0)


def test_a_loss_among_answers_is_no_silence():
    window = ConcurrencyLimit()
    window.heard(100.0)
    assert not silent_then_heard(window, 100.0, 100.6)


@pytest.mark.parametrize(("after_s", "told"), [(RETRY_ALL_EVERY_S - 1, False), (RETRY_ALL_EVERY_S + 1, True)])
def test_silences_that_end_often_are_reported_seldom(after_s, told):
    window = ConcurrencyLimit()
    assert silent_then_heard(window, 100.0, 110.0)
    assert silent_then_heard(window, 111.0, 110.0 + after_s) is told
