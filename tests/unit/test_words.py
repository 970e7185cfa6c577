"""Sentences about several links at once, and which links have the same reason."""

import pytest

from neod.model.words import folded, maker, wait_for, waited_for


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["neo1"], "neo1"),
        (["neo2", "neo1"], "neo1, neo2"),
        ([f"neo{n}" for n in range(9, 0, -1)], "neo1 … neo9"),
        (["neo1", "neo2", "neo3", "neo5", "b7", "ens3"], "b7, ens3, neo1 … neo3, neo5"),
        ([f"neo{n}" for n in (8, 9, 10, 11)], "neo8 … neo11"),
        (["lan", "neo1", "neo2", "neo3"], "lan, neo1 … neo3"),
        (["ens3.100", "ens3.101", "ens3.102"], "ens3.100 … ens3.102"),
        ([], ""),
    ],
)
def test_names_with_numbers_in_a_row_are_told_by_the_first_and_the_last(names, text):
    assert folded(names) == text


def test_leading_zeros_are_kept_apart():
    assert folded(["eth01", "eth02", "eth03"]) == "eth01, eth02, eth03"


def test_nine_equal_waits_are_one_line():
    links = [f"neo{n}" for n in range(1, 10)]
    assert wait_for(links, *waited_for("no carrier on ens3")) == "neo1 … neo9 wait for a lease: no carrier on ens3"
    assert wait_for(["neo1"], *waited_for("")) == "neo1 waits for a lease"


def test_a_reason_that_says_what_is_waited_for_is_said_once():
    reason = "waits for a router: 127.0.0.1 is a loopback address, says 10.8.0.1"
    assert wait_for(["neo1"], *waited_for(reason)) == f"neo1 {reason}"


def test_what_no_link_waits_for_is_said_alone():
    assert wait_for([], "room for 2 more MPTCP endpoints") == "room for 2 more MPTCP endpoints"


@pytest.mark.parametrize(
    ("drift", "by", "detail", "who"),
    [
        ("missing", "ip[812]", "", "ip[812]"),
        ("missing", "", "", "another program"),
        ("modified", "", "mtu: 1400 → 1500", "another program"),
        ("missing", "", "went with link:neo1", ""),
        ("orphan", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_who_is_said_where_it_is_known_and_honestly_where_it_is_not(drift, by, detail, who):
    assert maker(drift, by, detail) == who
