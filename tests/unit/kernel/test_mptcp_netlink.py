"""Requests to the path manager, and its events, over sockets that say what we want them to say."""

import asyncio
import errno
import struct

import pytest

from neod.kernel.mptcp import NetlinkMptcp, PathEvents
from neod.model.errors import KernelError
from neod.netlink.attributes import attr, attr_text, attr_u32, nest
from neod.netlink.genl import GENL
from neod.netlink.message import HEADER, NLMSG_ERROR
from neod.netlink.mptcp_pm import CMD_ADD_ADDR, CMD_GET_LIMITS, EV_TOKEN, EVENT_CLOSED, limits, limits_of

FAMILY, GROUP = 31, 12


class Socket:
    """Answers what each send asks by the type of its messages; keeps what was sent."""

    def __init__(self, answers):
        self.answers, self.queue, self.sent, self.closed = answers, [], [], False

    def setsockopt(self, *_): ...
    def setblocking(self, _): ...
    def getsockname(self):
        return (1, 0)

    def close(self):
        self.closed = True

    def send(self, data):
        offset = 0
        while offset < len(data):
            length, type_, _, number, _ = HEADER.unpack_from(data, offset)
            self.sent.append((type_, data[offset + 16 : offset + length]))
            self.queue.append(self.answers(type_, number, data[offset + 16 : offset + length]))
            offset += (length + 3) & ~3

    def recv(self, _):
        if not self.queue:
            raise TimeoutError
        return self.queue.pop(0)


def message(type_, number, payload=b"", flags=0):
    return HEADER.pack(16 + len(payload), type_, flags, number, 0) + payload + b"\0" * (-len(payload) & 3)


def ack(number, code=0):
    return message(NLMSG_ERROR, number, struct.pack("=i", -code) + bytes(16), 0x100)


def family(number):
    group = nest(1, [attr_text(1, "mptcp_pm_events"), attr_u32(2, GROUP)])
    other = nest(2, [attr_text(1, "mptcp_pm_cmds"), attr_u32(2, GROUP - 1)])
    body = attr(1, struct.pack("=H", FAMILY)) + nest(7, [other, group])
    return message(16, number, GENL.pack(1, 2, 0) + body)


def kernel(code=0, answer=b""):
    def answers(type_, number, payload):
        if type_ == 16:
            return family(number)
        return message(FAMILY, number, GENL.pack(payload[0], 1, 0) + answer) if answer else ack(number, code)

    return Socket(answers)


def run(work):
    return asyncio.run(work)


def test_the_family_is_asked_for_once_and_nothing_is_opened_before_the_first_request():
    opened = []
    sock = kernel()

    def opener(*_):
        opened.append(sock)
        return sock

    port = NetlinkMptcp(opener)
    assert not opened

    async def twice():
        return [*await port.send([(CMD_ADD_ADDR, b"")] * 3), *await port.send([(CMD_ADD_ADDR, b"")])]

    assert run(twice()) == [None] * 4
    assert [type_ for type_, _ in sock.sent] == [16, FAMILY, FAMILY, FAMILY, FAMILY]
    assert (port.writes, len(opened)) == (4, 1)


def test_a_refusal_names_the_command_as_people_know_it():
    (refused,) = run(NetlinkMptcp(lambda *_: kernel(errno.ERANGE)).send([(CMD_ADD_ADDR, b"")]))
    assert (refused.code, "mptcp endpoint add" in str(refused)) == (errno.ERANGE, True)


def test_a_kernel_without_mptcp_is_one_clear_error_for_every_request():
    port = NetlinkMptcp(lambda *_: Socket(lambda _type, number, _payload: ack(number, errno.ENOENT)))
    answers = run(port.send([(CMD_ADD_ADDR, b""), (CMD_ADD_ADDR, b"")]))
    assert [answer.code for answer in answers] == [errno.EOPNOTSUPP] * 2
    assert "no MPTCP" in str(answers[0])


def test_the_answer_to_a_question_is_its_attributes():
    port = NetlinkMptcp(lambda *_: kernel(answer=limits(5, 3)))
    assert limits_of(run(port.get(CMD_GET_LIMITS))) == (5, 3)


def test_the_group_of_the_events_is_found_by_name_and_its_absence_said():
    assert run(NetlinkMptcp(lambda *_: kernel()).group()) == GROUP
    old = Socket(
        lambda _type, number, _payload: message(16, number, GENL.pack(1, 2, 0) + attr(1, struct.pack("=H", FAMILY)))
    )
    port = NetlinkMptcp(lambda *_: old)
    with pytest.raises(KernelError, match="sends no events"):
        run(port.group())


class Feed:
    """A socket of events: datagrams with their senders, or errors."""

    def __init__(self, *items):
        self.items, self.joined = list(items), []

    def setblocking(self, _): ...
    def fileno(self):
        return 3

    def setsockopt(self, level, name, value):
        self.joined.append(value)

    def recvfrom(self, _):
        if not self.items:
            raise BlockingIOError
        item = self.items.pop(0)
        if isinstance(item, OSError):
            raise item
        return item


class Loop:
    """Calls what is to read at once."""

    def add_reader(self, _fd, read):
        read()


def closed(token, sender=0):
    return message(FAMILY, 0, GENL.pack(EVENT_CLOSED, 1, 0) + attr_u32(EV_TOKEN, token)), (sender, 1)


def drained(*items):
    taken, lost = [], []
    feed = Feed(*items)
    events = PathEvents(taken.append, lambda: lost.append(True), GROUP, lambda *_: feed)
    events.start(Loop())
    assert feed.joined == [GROUP]
    return [event.token for event in taken], len(lost), events


def test_events_come_in_order_and_those_of_no_connection_are_passed_over():
    listener = message(FAMILY, 0, GENL.pack(15, 1, 0)), (0, 1)
    tokens, lost, events = drained(closed(1), listener, closed(2))
    assert (tokens, lost, events.received) == ([1, 2], 0, 3)


def test_an_overrun_is_told_and_what_follows_is_still_taken():
    tokens, lost, events = drained(closed(1), OSError(errno.ENOBUFS, "no room"), closed(2))
    assert (tokens, lost, events.overruns) == ([1, 2], 1, 1)


def test_only_the_kernel_speaks_for_the_kernel():
    assert drained(closed(1, sender=4711), closed(2))[0] == [2]


def test_other_errors_are_not_swallowed():
    with pytest.raises(OSError, match="gone"):
        drained(OSError(errno.EBADF, "gone"))
