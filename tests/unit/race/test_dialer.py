"""Races between ways that answer, refuse, or say nothing. The sockets are pairs: no network is needed."""

import errno
import socket

import pytest

from neod.race.conduct import Ending
from neod.race.dialer import Dialer, DialError, Winner
from neod.race.loop import Loop
from neod.race.order import address_pairs
from neod.race.settings import HostPort, RaceSettings


class Clock:
    """Time that passes only when the test says so, but for what the loop has to wait."""

    def __init__(self):
        self.now_s = 1000.0

    def boottime(self):
        return self.now_s


class Ways:
    """What becomes of a connection to each host: answers, a refusal (an errno), or silence."""

    def __init__(self, **ways):
        self.ways, self.tried, self.far = ways, [], []

    def open(self, family, local, remote, mptcp):
        way = self.ways[NAMES[remote[0]]]
        self.tried.append(NAMES[remote[0]])
        if isinstance(way, int):
            raise OSError(way, "refused")
        near, far = socket.socketpair()
        near.setblocking(False)
        self.far.append(far)
        if way == "silence":  # a full buffer is never writable
            while True:
                try:
                    near.send(bytes(1 << 16))
                except BlockingIOError:
                    break
        return near


HOSTS = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "192.0.2.3", "d": "192.0.2.4"}
NAMES = {host: name for name, host in HOSTS.items()}


class Track:
    """One dialer, its loop, its clock, and what came of the races."""

    def __init__(self, ways, **settings):
        self.clock, self.ways, self.ended = Clock(), ways, []
        self.loop = Loop(self.clock.boottime)
        hosts = [HOSTS[name] for name in ways.ways]
        given = RaceSettings("r", HostPort("127.0.0.1", 1), tuple(HostPort(h, 1) for h in hosts), **settings)
        self.dialer = Dialer(self.loop, given, lambda netns: ways.open)
        self.dialer.set_candidates(address_pairs(None, [(host, 1) for host in hosts]))

    def start(self):
        return self.dialer.start(self.ended.append, self.ended.append)

    def after(self, seconds):
        """Let time pass, and do what is due."""
        self.clock.now_s += seconds
        for _ in range(5):
            self.loop.turn(0)

    def winner(self):
        (ended,) = self.ended
        assert isinstance(ended, Winner), ended
        ended.sock.close()
        return NAMES[ended.pair.host]

    def error(self):
        (ended,) = self.ended
        assert isinstance(ended, DialError), ended
        return ended


@pytest.fixture
def track():
    made = []

    def make(settings=None, **ways):
        made.append(Track(Ways(**ways), **(settings or {})))
        return made[-1]

    yield make
    for one in made:
        one.loop.close()
        for sock in one.ways.far:
            sock.close()


def test_all_start_at_once_and_the_first_wins(track):
    race = track(a="silence", b=errno.ECONNREFUSED, c="answers")
    race.start()
    assert sorted(race.ways.tried) == ["a", "b", "c"]
    race.after(0)
    assert race.winner() == "c"


def test_the_losers_are_closed(track):
    race = track(a="silence", b="answers")
    race.start()
    race.after(0)
    assert race.winner() == "b"
    silent = next(far for name, far in zip(race.ways.tried, race.ways.far, strict=True) if name == "a")
    silent.setblocking(True)
    while silent.recv(1 << 20):
        pass  # the end comes: nobody holds the other side


def test_nobody_calls_back_before_the_race_was_returned(track):
    race = track(a=errno.ECONNREFUSED)
    race.start()
    assert race.ended == []
    race.after(0)
    assert race.error().reason == "failed"
    assert "Connection refused" in race.error().losers[0]


def test_silence_is_given_up_at_the_time_out(track):
    race = track(a="silence")
    race.start()
    race.after(4.9)
    assert race.ended == []
    race.after(0.2)
    assert race.error().reason == "timeout"


def test_a_cancelled_race_says_nothing(track):
    race = track(a="silence")
    race.start().cancel()
    race.after(10)
    assert race.ended == []


def test_a_race_without_candidates_waits_for_some(track):
    race = track(a="answers")
    race.dialer.set_candidates([])
    race.start()
    race.after(1)
    assert race.ended == []
    race.dialer.set_candidates(address_pairs(None, [(HOSTS["a"], 1)]))
    race.after(0)
    assert race.winner() == "a"


def test_a_race_without_candidates_does_not_wait_for_ever(track):
    race = track(a="answers")
    race.dialer.set_candidates([])
    race.start()
    race.after(5.1)
    assert race.error().reason == "no_candidates"


def test_with_a_stagger_they_start_one_by_one(track):
    race = track({"stagger_s": 0.25}, a="silence", b="silence", c="answers")
    race.start()
    assert race.ways.tried == ["a"]
    race.after(0.2)
    assert race.ways.tried == ["a"]
    race.after(0.06)
    assert race.ways.tried == ["a", "b"]
    race.after(0.25)
    assert race.winner() == "c"


def test_with_a_stagger_a_refusal_lets_the_next_start_at_once(track):
    race = track({"stagger_s": 0.25}, a=errno.ENETUNREACH, b="answers")
    race.start()
    race.after(0)
    assert race.winner() == "b"


def test_no_more_are_under_way_than_allowed(track):
    race = track({"max_attempts": 2}, a="silence", b="silence", c="silence", d="answers")
    race.start()
    assert len(race.ways.tried) == 2
    race.after(0.5)
    assert len(race.ways.tried) == 2


def test_the_oldest_silent_one_makes_room(track):
    race = track({"max_attempts": 2}, a="silence", b="silence", c="silence", d="answers")
    for _ in range(8):  # whoever comes first
        race.ways.tried.clear()
        race.ended.clear()
        race.start()
        for _ in range(4):
            race.after(1.0)
        assert race.winner() == "d"


def test_a_shortage_of_descriptors_is_no_fault_of_the_candidate(track):
    race = track(a=errno.EMFILE)
    race.start()
    race.after(0)
    assert race.ended == []
    race.ways.ways["a"] = "answers"
    race.after(0.2)
    assert race.winner() == "a"
    assert race.dialer.candidates[0].score.failures == 0


def test_results_outlive_a_change_of_candidates(track):
    race = track(a="answers")
    race.start()
    race.after(0)
    race.winner()
    score = race.dialer.candidates[0].score
    race.dialer.set_candidates(address_pairs(None, [(HOSTS["b"], 1), (HOSTS["a"], 1)]))
    assert [candidate.score == score for candidate in race.dialer.candidates] == [False, True]


def test_of_very_many_the_only_live_one_is_found(track):
    race = track(a=errno.ENETUNREACH)
    hosts = [f"198.51.{n // 250}.{n % 250 + 1}" for n in range(600)]
    NAMES.update(dict.fromkeys(hosts, "a"))
    race.ways.ways["b"] = "answers"
    race.dialer.set_candidates(address_pairs(None, [(host, 1) for host in [*hosts, HOSTS["b"]]]))
    race.start()
    for _ in range(3):
        race.after(0)
    assert race.winner() == "b"


def distrusted(race, name):
    pair = next(c.pair for c in race.dialer.candidates if NAMES[c.pair.host] == name)
    now_s = race.clock.now_s
    race.dialer.conduct.note(pair, True, Ending("upstream_reset", "", 9, 0, now_s - 1.0, now_s, 0.0))


@pytest.mark.parametrize("stagger_s", [0.0, 0.25])
def test_who_did_not_answer_is_tried_when_all_others_refuse(track, stagger_s):
    race = track({"stagger_s": stagger_s}, a="answers", b=errno.ECONNREFUSED)
    distrusted(race, "a")
    race.start()
    assert race.ways.tried == ["b"]
    race.after(0)
    assert race.winner() == "a"


def test_who_did_not_answer_is_tried_after_half_the_time_that_others_are_silent(track):
    race = track({"timeout_s": 4.0}, a="answers", b="silence", c="silence")
    distrusted(race, "a")
    race.start()
    race.after(1.9)
    assert sorted(race.ways.tried) == ["b", "c"]
    race.after(0.2)
    assert race.winner() == "a"


def test_where_nobody_answered_all_are_tried_as_ever(track):
    race = track(a="answers", b="silence")
    for name in "ab":
        distrusted(race, name)
    race.start()
    assert sorted(race.ways.tried) == ["a", "b"]
    race.after(0)
    assert race.winner() == "a"
