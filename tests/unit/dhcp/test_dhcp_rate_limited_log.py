"""Reports: all of our own, and a bounded number of what others provoke."""

from neod.dhcp.rate_limited_log import BURST, PER_S, RateLimitedLog


class Clock:
    now = 0.0

    def boottime(self):
        return self.now

    def wall(self):
        return 0.0


def test_a_flood_is_reported_in_part_and_the_rest_is_counted():
    said, clock = [], Clock()
    sink = RateLimitedLog(lambda event, fields: said.append((event, fields)), clock)
    for number in range(1000):
        sink.limited("dhcp.conflict", number=number)
    assert len(said) == BURST
    clock.now += 1 / PER_S
    sink.limited("dhcp.conflict", number=1000)
    assert said[-1] == ("dhcp.conflict", {"number": 1000, "suppressed": 1000 - BURST})


def test_our_own_reports_are_not_limited():
    said = []
    sink = RateLimitedLog(lambda event, fields: said.append(event), Clock())
    for _ in range(1000):
        sink.say("dhcp.bound")
    assert len(said) == 1000


def test_without_a_listener_nothing_happens():
    RateLimitedLog(None, Clock()).say("dhcp.bound", link="m1")
