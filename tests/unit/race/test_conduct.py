"""Whom the end of a connection counts against, and for how long."""

import pytest

from neod.race.conduct import DOUBT, Conduct, Ending, fault, verdict
from neod.race.order import AddressPair

ONE, OTHER = AddressPair("10.8.0.1", "192.0.2.1", 443), AddressPair("10.8.0.2", "192.0.2.1", 443)


def ending(how="finished", left_first="", asked=0, answered=0, lasted_s=5.0, waited_s=0.0, at_s=100.0):
    return Ending(how, left_first, asked, answered, at_s - lasted_s, at_s, waited_s)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (ending("upstream_reset", asked=9), "reset without an answer"),
        (ending("upstream_lost", asked=9), "reset without an answer"),
        (ending("upstream_reset", lasted_s=0.1), "reset without an answer"),
        (ending("upstream_reset"), "reset without an answer"),
        (ending("upstream_reset", answered=9), ""),  # it greeted, and nobody said anything
        (ending("upstream_reset", "client", lasted_s=0.1), ""),  # a look whether the port is open
        (ending("upstream_reset", asked=9, answered=63), "reset after its first bytes"),
        (ending("upstream_reset", asked=9, answered=64), ""),
        (ending(left_first="upstream", lasted_s=0.1), "closed without an answer"),
        (ending(left_first="upstream"), "closed without an answer"),
        (ending(left_first="upstream", asked=9), "closed without an answer"),
        (ending(left_first="upstream", asked=9, answered=1), ""),
        (ending("first_byte_timeout", asked=9), "no answer"),
        (ending("first_byte_timeout"), "no answer"),
        (ending("idle_timeout", asked=9), "no answer"),
        (ending(left_first="client", asked=9, waited_s=1.0), "no answer"),
        (ending("client_reset", "client", asked=9, waited_s=3.0), "no answer"),
        (ending("client_reset", "client", asked=9, waited_s=0.5), ""),
        (ending(left_first="client", asked=9), ""),  # one way only
        (ending(left_first="client", waited_s=9.0), "no answer"),
        (ending(left_first="client"), ""),
        (ending("stopped", asked=9), ""),
    ],
)
def test_only_what_the_upstream_did_counts(end, why):
    assert fault(end, owed=True) == why


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (ending("upstream_reset"), ""),  # an idle one that nobody used
        (ending("upstream_reset", asked=9), "reset without an answer"),
        (ending("upstream_reset", lasted_s=0.1), "reset without an answer"),
        (ending(left_first="upstream"), ""),  # its own time-out for who says nothing
        (ending(left_first="upstream", asked=9), ""),  # a log server
        (ending(left_first="upstream", lasted_s=0.1), "closed without an answer"),
        (ending("first_byte_timeout"), ""),
        (ending("idle_timeout", asked=9), ""),
        (ending(left_first="client", waited_s=9.0), ""),
    ],
)
def test_where_no_answer_is_owed_only_a_reset_and_an_end_at_once_count(end, why):
    assert fault(end, owed=False) == why


def test_who_is_asked_owes_an_answer_and_who_is_not_one_unless_clients_are_known_to_speak_first():
    conduct, silent, asked = Conduct(), ending("first_byte_timeout"), ending("first_byte_timeout", asked=9)
    assert [conduct.owes(end, 60.0) for end in (silent, asked)] == [True, True]
    conduct.heard(0, 20.0)  # "408 Request Timeout": no greeting
    conduct.heard(9, 0.1)
    assert [conduct.owes(end, 60.0) for end in (silent, asked)] == [False, True]
    conduct.heard(0, 0.1)
    conduct.heard(9, 0.1)  # a client that did not wait for the greeting
    assert [conduct.owes(end, 60.0) for end in (silent, asked)] == [True, True]
    assert [conduct.owes(end, 0.0) for end in (silent, asked)] == [False, False]


def failed(conduct, pair, began_s, ended_s):
    conduct.note(pair, 1.0, ending("upstream_reset", asked=9, lasted_s=ended_s - began_s, at_s=ended_s))


def test_a_failure_counts_for_a_while_and_one_after_it_for_twice_as_long():
    conduct = Conduct()
    failed(conduct, ONE, 0.0, 1.0)
    assert [conduct.avoids(ONE, now) for now in (1.0, 30.9, 31.0)] == [True, True, False]
    failed(conduct, ONE, 40.0, 41.0)
    assert [conduct.avoids(ONE, now) for now in (41.0, 100.9, 101.0)] == [True, True, False]
    for turn in range(50):
        failed(conduct, ONE, 1000.0 * turn + 200.0, 1000.0 * turn + 201.0)
    assert [conduct.avoids(ONE, 49_201.0 + more) for more in (599.0, 600.0)] == [True, False]


def test_an_end_after_the_clients_is_a_doubt_and_the_second_in_a_row_a_failure():
    end = ending(left_first="client", asked=9, lasted_s=0.1)
    assert verdict(end, owed=True) == ("closed without an answer", DOUBT)
    assert verdict(end, owed=False) == verdict(end._replace(answered=1), owed=True) == ("", 0.0)
    assert verdict(ending("client_reset", "client", asked=9), owed=True) == ("", 0.0)
    assert verdict(ending("upstream_reset", asked=9), owed=True).weight == 1.0
    conduct = Conduct()
    conduct.note(ONE, DOUBT, ending(lasted_s=1.0, at_s=1.0))
    assert not conduct.avoids(ONE, 1.0)
    conduct.note(ONE, 0.0, ending(answered=1, lasted_s=1.0, at_s=2.0))
    conduct.note(ONE, DOUBT, ending(lasted_s=1.0, at_s=3.0))
    assert not conduct.avoids(ONE, 3.0)
    conduct.note(ONE, DOUBT, ending(lasted_s=1.0, at_s=4.0))
    assert [conduct.avoids(ONE, now) for now in (4.0, 33.9, 34.0)] == [True, True, False]
    assert not conduct.avoids(OTHER, 4.0)


def test_connections_that_break_together_are_one_failure():
    conduct = Conduct()
    for _ in range(100):
        failed(conduct, ONE, 0.0, 1.0)
    assert not conduct.avoids(ONE, 31.0)


def test_two_sources_that_fail_speak_against_the_upstream_and_one_does_not():
    conduct, third = Conduct(), AddressPair("10.8.0.3", "192.0.2.1", 443)
    failed(conduct, ONE, 0.0, 1.0)
    assert not conduct.avoids(third, 2.0)
    failed(conduct, OTHER, 2.0, 3.0)
    assert conduct.avoids(third, 4.0)
    assert not conduct.avoids(AddressPair("10.8.0.3", "192.0.2.1", 444), 4.0)


def test_an_answer_clears_pair_and_upstream_unless_it_is_older_than_the_failure():
    conduct = Conduct()
    failed(conduct, ONE, 1.0, 2.0)
    conduct.note(ONE, 0.0, ending(answered=9, lasted_s=3.0, at_s=3.0))
    assert conduct.avoids(ONE, 4.0)
    conduct.note(ONE, 0.0, ending(answered=9, lasted_s=0.5, at_s=4.0))
    assert not conduct
    assert not conduct.avoids(ONE, 4.0)


def test_what_is_no_candidate_any_longer_is_forgotten():
    conduct = Conduct()
    failed(conduct, ONE, 0.0, 1.0)
    conduct.forget_all_but([OTHER])
    assert not conduct.avoids(ONE, 2.0)
    conduct.forget_all_but([])
    assert not conduct
