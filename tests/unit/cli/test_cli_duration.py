"""Durations and instants, as systemd writes them."""

import argparse
from datetime import datetime

import pytest

from neod.cli import text
from neod.cli.duration import duration_s, instant, positive_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60.0),
        ("10min", 600.0),
        ("1h 30min", 5400.0),
        ("1h30min", 5400.0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("90", 90.0),
        ("2 days", 172800.0),
        ("3 hrs", 10800.0),
        ("5secs", 5.0),
        ("0", 0.0),
        (" 7s ", 7.0),
    ],
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "10 parsecs", "5s later", "-5s", "1h-", "1e9", "٣s x"])
def test_what_is_no_duration(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no duration"):
        duration_s(text)


def test_nothing_is_not_positive():
    with pytest.raises(argparse.ArgumentTypeError):
        positive_s("0s")


NOW = datetime(2026, 5, 1, 12, 30).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10min", datetime(2026, 5, 1, 12, 20)),
        ("12:01", datetime(2026, 5, 1, 12, 1)),
        ("12:01:07", datetime(2026, 5, 1, 12, 1, 7)),
        ("2026-04-30", datetime(2026, 4, 30)),
        ("2026-04-30 23:59", datetime(2026, 4, 30, 23, 59)),
        ("2026-04-30T23:59:00.123", datetime(2026, 4, 30, 23, 59, 0, 123000)),
    ],
)
def test_instants_are_local(text, expected):
    assert instant(text, NOW) == expected.timestamp()


@pytest.mark.parametrize("text", ["10 min ago", "-10min", "10 minutes ago", "600 seconds"])
def test_what_has_been_is_said_as_to_journalctl(text):
    assert instant(text, NOW) == NOW - 600


@pytest.mark.parametrize(
    "printed",
    [
        "2026-03-29T01:59:59.999+01:00",  # a millisecond before the clock is put forward
        "2026-03-29T03:00:00.000+02:00",
        "2026-10-25T02:30:00.000+02:00",  # this hour comes twice
        "2026-10-25T02:30:00.000+01:00",
        "2026-10-25T00:30:00Z",
    ],
)
def test_what_is_printed_is_taken(printed):
    meant = datetime.fromisoformat(printed).timestamp()
    assert instant(printed, NOW) == meant
    taken = instant(f"{text.date(printed)} {text.clock(printed)}", NOW)
    assert meant - taken in (0, 3600)  # without an offset, the first of the two hours is meant
    assert instant(text.clock(printed), taken) == instant(text.clock(printed), meant) == taken
    assert instant(text.moment(printed), NOW) == int(taken)
    assert instant(text.date(printed), NOW) <= taken


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-13-01", "12-30"])
def test_what_is_no_instant(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no instant"):
        instant(text, NOW)
