"""Repairs slow down when somebody fights, and speed up again when it is over."""

from neod.reconcile.backoff import LONGEST_S, backoff
from neod.reconcile.contention import RepairHistory


def fight(repairs, every_s=0.01):
    churn, now = RepairHistory(), 100.0
    for _ in range(repairs):
        now = max(now + every_s, churn.hold_until(now))
        churn = churn.repaired(now)
    return churn, now


def test_the_first_two_repairs_are_immediate():
    churn = RepairHistory().repaired(100.0)
    assert churn.hold_until(100.1) == 100.1
    assert not churn.contested(100.1)


def test_the_third_repair_within_a_minute_waits():
    churn = RepairHistory().repaired(100.0).repaired(100.5)
    assert churn.hold_until(101.0) > 101.0


def test_a_fight_costs_a_write_in_four_seconds_and_is_mended_as_soon_when_it_ends():
    churn, now = fight(12)
    assert churn.contested(now)
    assert now - 100.0 > 30.0
    assert churn.hold_until(now) - now <= 4.0


def test_repairs_far_apart_are_never_held():
    churn, now = fight(10, every_s=61.0)
    assert not churn.contested(now)
    assert churn.hold_until(now + 61.0) == now + 61.0


def test_a_fight_is_forgotten():
    churn, now = fight(5)
    assert not churn.contested(now + 180.0)


def test_backoff_grows_to_a_minute():
    waits = [backoff(attempt) for attempt in range(1, 40)]
    assert waits == sorted(waits)
    assert waits[0] == 0.25
    assert waits[-1] == LONGEST_S
