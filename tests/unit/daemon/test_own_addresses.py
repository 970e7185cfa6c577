"""Which connections are ours, when the addresses that they began with are gone."""

from ipaddress import IPv4Address

from neod.daemon.mptcp_controller import REMEMBERED, OwnAddresses

OLD, NEW, OTHER = (IPv4Address(f"10.8.0.{number}") for number in (1, 2, 3))


def test_an_address_that_our_link_had_still_counts():
    ours = OwnAddresses([])
    ours.take([OLD], [OLD, OTHER])
    assert ours.take([NEW], [NEW, OTHER]) == {OLD, NEW}


def test_what_was_leased_before_the_start_counts():
    assert OwnAddresses([OLD]).take([NEW], [NEW]) == {OLD, NEW}


def test_an_address_that_somebody_else_has_now_counts_no_more():
    ours = OwnAddresses([OLD])
    assert ours.take([NEW], [NEW, OLD]) == {NEW}


def test_what_others_have_never_counts():
    assert OwnAddresses([]).take([NEW], [NEW, OTHER]) == {NEW}


def test_the_oldest_are_forgotten():
    first = IPv4Address("10.0.0.0")
    ours = OwnAddresses(first + number for number in range(REMEMBERED))
    kept = ours.take([NEW], [NEW])
    assert len(kept) == REMEMBERED
    assert first not in kept
