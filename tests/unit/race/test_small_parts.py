"""Limits, metrics, names, sources and log lines: the pure parts, one by one."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from neod.control.verbs.status import PathRow
from neod.race.addresses import LocalAddress
from neod.race.dialer import DialError, Winner
from neod.race.limits import ConnectionLimits, DescriptorBudget, client_of
from neod.race.main import FILE_INVALID, NO_SUCH
from neod.race.metrics import Histogram, RaceGauges, RaceStats, count, exposition
from neod.race.order import AddressPair
from neod.race.path_status import states
from neod.race.pipes import MIN_BYTES, PipePool
from neod.race.race_log import LINES_PER_SECOND, RaceLog, summed
from neod.race.resolve import ResolvedName as Resolved
from neod.race.resolve import UpstreamName, in_hosts, interleaved
from neod.race.sources import usable

# ── limits ──────────────────────────────────────────────────────────────────────────────────────


def test_a_client_gets_its_share_and_gives_it_back():
    limits = ConnectionLimits(3, 2)
    assert [limits.admit("a"), limits.admit("a"), limits.admit("a"), limits.admit("b")] == [True, True, False, True]
    assert limits.full
    limits.leave("a")
    assert not limits.full
    assert limits.admit("a")


def test_without_a_share_one_client_may_have_all():
    limits = ConnectionLimits(100, 0)
    assert all(limits.admit("a") for _ in range(100))


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_a_client_with_ipv6_is_its_network(host, client):
    assert client_of(host) == client


def test_descriptors_are_scarce_before_they_are_gone():
    assert not DescriptorBudget(1024).scarce(800)
    assert DescriptorBudget(1024).scarce(896)
    assert DescriptorBudget(64).scarce(48)


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_is_what_prometheus_reads():
    stats = RaceStats(accepted=3, bytes_up=10, bytes_down=20)
    count(stats.won, ("1.1.1.1:443", "10.0.0.1", "mptcp"))
    stats.note_failure(AddressPair("", "2.2.2.2", 1), "ECONNREFUSED")
    count(stats.lost, 'odd "reason"\n')
    page = exposition({"r": (stats, RaceGauges(1, 2, 5, 6))}).splitlines()
    assert 'neo_race_accepted_total{race="r"} 3' in page
    assert 'neo_race_won_total{race="r",upstream="1.1.1.1:443",source="10.0.0.1",protocol="mptcp"} 1' in page
    assert 'neo_race_attempts_failed_total{race="r",upstream="2.2.2.2:1",source="",error="ECONNREFUSED"} 1' in page
    assert 'neo_race_lost_total{race="r",reason="odd \\"reason\\"\\n"} 1' in page
    assert 'neo_race_bytes_total{race="r",direction="to_upstream"} 15' in page
    assert 'neo_race_bytes_total{race="r",direction="to_client"} 26' in page
    assert len([line for line in page if line.startswith("# TYPE neo_race_connect_seconds histogram")]) == 1


def test_a_histogram_counts_up_to_each_bound():
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(value)
    samples = [(suffix, labels.get("le"), value) for suffix, labels, value in histogram.samples({})]
    assert samples == [
        ("_bucket", "0.1", 2),
        ("_bucket", "1", 3),
        ("_bucket", "+Inf", 4),
        ("_sum", None, pytest.approx(3.65)),
        ("_count", None, 4),
    ]


# ── names ───────────────────────────────────────────────────────────────────────────────────────

HOSTS = """
127.0.0.1 localhost
10.0.0.1  Relay.example relay # the first
fd::1     relay.example
nonsense  relay.example
"""


def test_a_hosts_file_is_read_as_the_resolver_reads_it():
    assert in_hosts("relay.example", HOSTS) == ("10.0.0.1", "fd::1")
    assert in_hosts("RELAY", HOSTS) == ("10.0.0.1",)
    assert in_hosts("first", HOSTS) == ()


def test_families_take_turns_ipv6_first():
    assert interleaved(["1.1.1.1", "2.2.2.2", "a::1", "1.1.1.1"]) == ("a::1", "1.1.1.1", "2.2.2.2")


class Later:
    """A loop that does what is due only when it is told to."""

    now_s = 100.0

    def __init__(self):
        self.due = []

    def call_later(self, delay_s, call):
        self.due.append((delay_s, call))


def asked(*answers):
    """Return a name whose answers come at once, one after the other, and what was heard of it."""
    loop, received = Later(), []
    name = UpstreamName.__new__(UpstreamName)
    name.name, name.answer, name._loop, name._changed = "n", Resolved(), loop, lambda n: received.append(n.answer)
    name._retry_s, name._closed = 1.0, False
    for answer in answers:
        name._take(answer)
    return name, loop.due, received


def test_an_answer_is_asked_for_again_when_its_time_is_over():
    _, due, received = asked(Resolved(("1.1.1.1",), 300.0))
    assert [delay for delay, _ in due] == [300.0]
    assert received[0].addresses == ("1.1.1.1",)


def test_a_failure_leaves_what_was_known_and_is_repeated_ever_more_slowly():
    name, due, received = asked(Resolved(("1.1.1.1",), 300.0), *[Resolved(problem="no")] * 7)
    assert name.answer.addresses == ("1.1.1.1",)
    assert [delay for delay, _ in due] == [300.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert len(received) == 2


def test_the_same_answer_in_another_order_is_no_news():
    _, _, received = asked(Resolved(("1.1.1.1", "2.2.2.2"), 5.0), Resolved(("2.2.2.2", "1.1.1.1"), 5.0))
    assert len(received) == 1


# ── sources ─────────────────────────────────────────────────────────────────────────────────────

LOCAL = (
    LocalAddress("lo", "127.0.0.1", fit=True, loopback=True),
    LocalAddress("eth0", "192.0.2.9", fit=True),
    LocalAddress("neo1", "10.0.0.1", fit=True),
    LocalAddress("neo1", "2001:db8::1", fit=True),
    LocalAddress("neo2", "10.0.0.2", fit=True),
    LocalAddress("neo3", "10.0.0.3", fit=False),
)
PATHS = ("neo1", "neo2", "neo3")


def test_without_neod_every_fit_address_of_a_path_is_a_source():
    assert usable(PATHS, LOCAL, None) == ("10.0.0.1", "2001:db8::1", "10.0.0.2")


def test_what_neod_has_not_made_ready_is_no_source():
    told = {"neo1": ("10.0.0.1", "in-sync"), "neo2": ("10.0.0.2", "blocked"), "neo3": ("10.0.0.3", "in-sync")}
    assert usable(PATHS, LOCAL, told) == ("10.0.0.1", "2001:db8::1")


def test_if_nothing_is_ready_what_there_is_may_try():
    told = dict.fromkeys(("neo1", "neo2"), ("", "retrying"))
    assert usable(("neo2",), LOCAL, told) == ("10.0.0.2",)


def test_no_paths_no_sources():
    assert usable((), LOCAL, None) == ()


def test_a_malformed_status_is_read_as_far_as_it_goes():
    whole = asdict(PathRow("neo1", "ens3", "dhcp", "10.0.0.1/16", None, 11001, None, (), None, "in-sync"))
    rows = [whole | {"of a newer neod": 1}, {"name": 3}, whole | {"name": "neo2", "address": 3}, "x", None]
    assert states({"paths": rows}) == {"neo1": ("10.0.0.1", "in-sync")}
    assert states({"paths": None}) == states({"paths": 5}) == states({}) == {}


# ── pipes ───────────────────────────────────────────────────────────────────────────────────────


def test_a_pipe_is_used_again_and_no_more_are_made_than_allowed():
    pool = PipePool(2)
    one, two = pool.take(), pool.take()
    assert pool.take() is None
    pool.give(one)
    assert pool.take() is one
    pool.drop(two)
    assert pool.made == 1
    pool.drop(one)
    assert pool.made == 0


RATION = """
import json
from neod.race.pipes import PipePool
pool, rooms = PipePool(100_000), []
while (pipe := pool.take()) is not None:
    rooms.append(pipe.room)
again = pool.take() is None
print(json.dumps({"pipes": len(rooms), "least": min(rooms), "again": again}))
"""


def test_a_user_whose_pipes_are_rationed_gets_none_that_are_tiny():
    """In a user namespace of its own a process has no privilege over the ration, whoever runs the test."""

    argv = ["unshare", "-Ur", sys.executable, "-c", RATION]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    if "unshare" in done.stderr:
        pytest.skip(f"no user namespaces: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    assert found["least"] >= MIN_BYTES
    assert found["pipes"] <= 1024
    assert found["again"]


# ── the unit ────────────────────────────────────────────────────────────────────────────────────


def test_systemd_does_not_start_again_what_another_start_would_not_change():
    unit = (Path(__file__).parents[3] / "systemd/neo-race.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("RestartPreventExitStatus=")]
    assert set(line.partition("=")[2].split()) == {str(NO_SUCH), str(FILE_INVALID)}


def test_many_losers_are_a_sum_and_few_are_named():
    assert summed(("a: slower than 1.0 ms", "b: Connection refused")) == "a: slower than 1.0 ms, b: Connection refused"
    many = [*(f"{n} → x: slower than {n}.0 ms" for n in range(14)), "y: Connection refused"]
    assert summed(many) == "15: 14 slower, 1 Connection refused"


class Lines(list):
    """A log."""

    def info(self, event, **more):
        self.append((event, more))

    warning = info


PAIR = AddressPair("10.8.0.1", "192.0.2.1", 443)
WINNER = Winner(None, PAIR, 0.01, (), 0, 0)
TELL = {
    "race won": (lambda log: log.won("r", "c", WINNER, False), f"winner {PAIR}"),
    "race lost": (lambda log: log.lost("r", "c", DialError("timeout", ())), "lost timeout"),
    "not connected": (lambda log: log.unasked("r", "c", 2.0), "not connected: the client said nothing"),
    "not answered": (lambda log: log.unanswered("r", "c", PAIR, "no answer", 2.0), f"no answer {PAIR}"),
}


@pytest.mark.parametrize("event", TELL)
def test_what_has_no_line_of_its_own_in_its_second_is_told_in_sum(event):
    tell, summary = TELL[event]
    lines, loop = Lines(), Later()
    log = RaceLog(loop, lines)
    for _ in range(LINES_PER_SECOND + 3):
        tell(log)
    assert [name for name, _ in lines] == [event] * LINES_PER_SECOND
    ((_, in_sum),) = loop.due
    in_sum()
    assert lines[-1] == ("more races", {"race": "r", "count": 3, "by": f"3 {summary}"})
