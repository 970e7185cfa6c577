"""Subscriptions: bounded portions, senders, and what was lost."""

import errno

import pytest
from tests.doubles.scripted_socket import message

from neod.netlink.multicast import PORTION, Subscription

OVERRUN = OSError(errno.ENOBUFS, "No buffer space available")


class Feed:
    """A socket of datagrams with their senders, or errors."""

    def __init__(self, items):
        self.items, self.joined, self.closed = list(items), [], False

    def setblocking(self, on):
        assert not on

    def fileno(self):
        return 3

    def setsockopt(self, level, name, value):
        self.joined.append((level, name, value))

    def close(self):
        self.closed = True

    def recvfrom(self, _):
        if not self.items:
            raise BlockingIOError
        item = self.items.pop(0)
        if isinstance(item, OSError):
            raise item
        return item


class Loop:
    """Remembers who reads what."""

    def __init__(self):
        self.readers = {}

    def add_reader(self, fd, read):
        self.readers[fd] = read

    def remove_reader(self, fd):
        del self.readers[fd]


def event(number, sender=0):
    return message(16, number, port=number), (sender, 1)


def subscribed(*items):
    taken, lost = [], []
    made = Subscription(Feed(items), [1, 5], lambda ms: taken.append([m[2] for m in ms]), lambda: lost.append(True))
    return made, taken, lost


def test_it_joins_its_groups_and_leaves_nothing_behind():
    made, _, _ = subscribed()
    loop = Loop()
    made.start(loop)
    assert (made.sock.joined, list(loop.readers)) == ([(270, 1, 1), (270, 1, 5)], [3])
    made.close(loop)
    assert (loop.readers, made.sock.closed) == ({}, True)


def test_a_datagram_can_hold_many_messages_and_garbage_none():
    two = message(16, 1) + message(16, 2)
    made, taken, _ = subscribed((two, (0, 1)), (b"garbage", (0, 1)), (b"", (0, 1)), event(3))
    made.read()
    assert (taken, made.received) == ([[1, 2, 3]], 3)


def test_a_storm_is_read_in_portions():
    made, taken, _ = subscribed(*[event(1)] * (PORTION + 1))
    made.read()
    assert (len(taken[0]), len(made.sock.items)) == (PORTION, 1)
    made.read()
    assert len(taken[1]) == 1


def test_an_overrun_is_reported_and_what_follows_is_still_read():
    made, taken, lost = subscribed(event(1), OVERRUN, event(2))
    made.read()
    assert (taken, len(lost), made.overruns) == ([[1, 2]], 1, 1)


def test_only_the_kernel_is_listened_to():
    made, taken, _ = subscribed(event(1, sender=4711), event(2))
    made.read()
    assert (taken, made.spoofed) == ([[2]], 1)


def test_other_errors_are_raised():
    made, _, _ = subscribed(OSError(errno.EBADF, "gone"))
    with pytest.raises(OSError, match="gone"):
        made.read()
