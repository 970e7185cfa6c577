"""``neodctl paths`` as a terminal shows it: golden pages, rates between two looks, bars."""

from dataclasses import replace
from pathlib import Path

import pytest

from neod.cli.render_paths import BAR_COLUMNS, bar, mbit, paths, rated, size
from neod.cli.text import Screen, page
from neod.control.verbs.paths import ConnectionRow, PathsReply, SubflowRow

GOLDEN = Path(__file__).parent / "golden/paths"


def flow(number, state="established", sent=0, received=0, rate=0.0, rtt_ms=36.2, **more):
    return SubflowRow(
        **{
            "path": f"neo{number}",
            "source": f"10.8.0.{10 + number}",
            "source_port": 40000 + number,
            "to": "192.0.2.10",
            "to_port": 443,
            "id": number,
            "state": state,
            "rtt_ms": rtt_ms,
            "sent_bytes": sent,
            "received_bytes": received,
            "rate_bytes_s": rate,
            **more,
        }
    )


def connection(*flows, state="established", side="client", netns="", token=7):
    sums = sum(f.sent_bytes for f in flows), sum(f.received_bytes for f in flows)
    return ConnectionRow(token, netns, "10.8.0.11:49925", "192.0.2.10:443", side, state, *sums, flows)


FLOWS = (
    flow(1, sent=14_300_000, rate=1_175_000.0),
    flow(2, sent=14_700_000, rate=1_187_500.0, rtt_ms=4.25),
    flow(3, state="stalled", sent=2_000, rate=0.0, rtt_ms=812.0),
    flow(4, state="backup", received=51_200_000_000, rate=6_250.0),
    flow(5, state="connecting", path="", rtt_ms=0.0),
)
INSIDE = replace(flow(1, sent=700, received=5_000), path="", source="10.254.0.2", to="2001:db8:ffff:ffff::1234")
WHY = "the server does not speak MPTCP, or something on the way removes it; by every address: neodctl doctor"
PAGES = {
    "none": PathsReply(10.0),
    "one": PathsReply(10.0, (connection(*FLOWS),)),
    "fallback": PathsReply(10.0, (replace(connection(flow(1, sent=100), state="fallback"), reason=WHY),)),
    "two-namespaces": PathsReply(
        10.0, (connection(*FLOWS[:2]), connection(INSIDE, side="server", netns="proxy", token=8, state="closing"))
    ),
}


@pytest.mark.parametrize("name", PAGES)
def test_page_of_paths_is_the_golden_one(name):
    assert page(paths, PAGES[name], Screen(100)) == (GOLDEN / f"{name}.txt").read_text()


def test_every_golden_page_of_paths_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(PAGES)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("name", PAGES)
def test_no_line_of_paths_is_wider_than_the_terminal(name, width):
    lines = page(paths, PAGES[name], Screen(width)).splitlines()
    assert max(map(len, lines)) <= max(width, 80)


def test_rates_are_those_between_two_looks():
    before = PathsReply(10.0, (connection(flow(1, sent=1_000, received=500)),))
    after = PathsReply(12.0, (connection(flow(1, sent=5_000, received=700, rate=99.0)),))
    (row,) = rated(before, after).connections
    assert row.subflows[0].rate_bytes_s == (4_000 + 200) / 2


def test_a_subflow_that_is_new_or_another_by_its_port_keeps_the_rate_of_the_kernel():
    before = PathsReply(10.0, (connection(flow(1, sent=1_000, source_port=1)),))
    after = PathsReply(12.0, (connection(flow(1, sent=5, rate=99.0)),))
    assert rated(before, after).connections[0].subflows[0].rate_bytes_s == 99.0


def test_two_looks_at_one_instant_divide_by_nothing():
    reply = PAGES["one"]
    assert rated(reply, reply) == reply


@pytest.mark.parametrize(
    ("value", "largest", "shown"),
    [(0, 10, ""), (10, 10, "█" * BAR_COLUMNS), (5, 10, "█" * (BAR_COLUMNS // 2)), (0, 0, ""), (10 / 24 / 2, 10, "▌")],
)
def test_bars_have_eighths_of_a_column(value, largest, shown):
    assert bar(value, largest) == shown.ljust(BAR_COLUMNS)


@pytest.mark.parametrize(
    ("bytes_s", "text"),
    [(0, "0.0 Mbit/s"), (1_175_000, "9.4 Mbit/s"), (6_250, "50 kbit/s"), (151_250_000, "1.21 Gbit/s")],
)
def test_rates_are_bits(bytes_s, text):
    assert mbit(bytes_s) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (51_200_000, "51.2 MB"), (2 * 10**12, "2.00 TB")]
)
def test_sizes_are_decimal(number, text):
    assert size(number) == text
