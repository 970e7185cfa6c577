"""Requests and dumps against a socket that says what we want it to say."""

import asyncio
import errno

import pytest
from tests.doubles.scripted_socket import ack, done, message, scripted

from neod.kernel.rtnl import NetlinkRtnl
from neod.model.errors import KernelError
from neod.netlink.message import NLM_F_DUMP_INTR
from neod.netlink.rtnetlink import RTM_GETLINK, RTM_NEWLINK, RTM_NEWRULE


def rtnl(*scripts):
    opener, sockets = scripted(*scripts)
    return NetlinkRtnl(opener), sockets


def link(number):
    return message(RTM_NEWLINK, number, bytes(16))


def run(work):
    async def go():
        return await work()

    return asyncio.run(go())


def test_answers_are_matched_by_number_whatever_their_order():
    async def work():
        made, _ = rtnl(lambda n: [ack(n[2], errno.EEXIST) + ack(n[0]), ack(n[1], errno.ENODEV)])
        return await made.send([(RTM_NEWRULE, 0, b"")] * 3)

    answers = run(work)
    assert [answer and answer.code for answer in answers] == [None, errno.ENODEV, errno.EEXIST]


def test_an_inconsistent_dump_is_read_again():
    async def work():
        made, _ = rtnl(
            lambda n: [message(RTM_NEWLINK, n[0], bytes(16), NLM_F_DUMP_INTR), done(n[0])],
            lambda n: [link(n[0]), done(n[0], NLM_F_DUMP_INTR)],
            lambda n: [link(n[0]) + link(n[0]), done(n[0])],
        )
        return await made.dump(RTM_GETLINK, b"")

    assert len(run(work)) == 2


def test_a_dump_that_never_settles_is_an_error_and_not_an_answer():
    async def work():
        made, _ = rtnl(*[lambda n: [link(n[0]), done(n[0], NLM_F_DUMP_INTR)]] * 5)
        await made.dump(RTM_GETLINK, b"")

    with pytest.raises(KernelError) as refused:
        run(work)
    assert refused.value.code == errno.EINTR
    assert refused.value.transient


@pytest.mark.parametrize("failure", [OSError(errno.ENOBUFS, "overrun"), None], ids=["overrun", "lost answer"])
def test_a_lost_answer_fails_only_what_it_answered_and_the_next_request_has_a_new_socket(failure):
    async def work():
        made, sockets = rtnl(lambda n: [ack(n[0]), *([failure] if failure else [])], lambda n: [ack(n[0])])
        first = await made.send([(RTM_NEWRULE, 0, b"")] * 2)
        second = await made.send([(RTM_NEWRULE, 0, b"")])
        return first, second, sockets

    first, second, sockets = run(work)
    assert first[0] is None
    assert first[1] is not None
    assert first[1].transient
    assert list(second) == [None]
    assert [socket.closed for socket in sockets] == [True, False]


def test_late_answers_of_a_broken_exchange_are_not_taken_for_new_ones():
    async def work():
        made, _ = rtnl(lambda n: [ack(n[0] - 1, errno.EPERM) + ack(n[0])])
        return await made.send([(RTM_NEWRULE, 0, b"")])

    assert list(run(work)) == [None]
