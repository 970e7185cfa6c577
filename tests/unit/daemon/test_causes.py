"""What silence on some MACs of a NIC means."""

import pytest

from neod.daemon.views.causes import is_silent, why_silent
from neod.dhcp.runner import LeaseStatus


def client(link, *, leased=False, attempts=5, state="selecting", unanswered=None):
    lease = object() if leased else None
    unanswered = not leased if unanswered is None else unanswered
    return LeaseStatus(link, "ens3", "02:00:00:00:00:01", state, lease, "", attempts, 0.0, unanswered)


@pytest.mark.parametrize(
    ("answered", "has_address", "text"),
    [
        (["ens3"], False, "ens3 itself gets answers, and no macvlan on it does"),
        (["neo1"], False, "no answer, while neo1 on ens3 got one"),
        (["ens3", "neo1", "neo2"], True, "no answer, while ens3 and 2 more on ens3 got one"),
        ([], True, "no answer to any macvlan on ens3, which has an address"),
    ],
)
def test_a_port_that_admits_only_some_macs_is_told_by_those_that_are_answered(answered, has_address, text):
    cause = why_silent("ens3", [client("neo9"), *(client(link, leased=True) for link in answered)], has_address)
    assert cause.startswith(text)
    assert "port security" in cause


def test_where_nobody_is_answered_nothing_is_guessed():
    assert why_silent("ens3", [client("neo1"), client("neo2")], has_address=False) == ""


def test_a_lease_of_former_times_that_nobody_confirms_shows_no_port_that_admits_it():
    former = client("neo2", leased=True, state="bound", unanswered=True)
    assert why_silent("ens3", [client("neo1"), former], has_address=False) == ""


def test_a_client_is_silent_after_some_discovers_without_an_offer():
    assert is_silent(client("neo1"))
    assert not is_silent(client("neo1", attempts=2))
    assert not is_silent(client("neo1", leased=True))
    assert not is_silent(client("neo1", state="requesting"))
    assert not is_silent(client("neo1", unanswered=False))
