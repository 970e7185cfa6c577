"""Requests and dumps on an event loop: batches, turns, and what is too slow for the loop."""

import asyncio
import errno
import threading

import pytest
from tests.doubles.scripted_socket import INTR, ack, done, message, scripted

from neod.netlink.async_connection import BATCH, AsyncConnection
from neod.netlink.message import NLM_F_ACK, NetlinkError
from neod.netlink.socket import DUMP_PAUSES_S, NETLINK_ROUTE, Connection

NEW, DELETE, GET = 16, 17, 18


def connection(*scripts):
    opener, sockets = scripted(*scripts)
    return AsyncConnection(Connection(NETLINK_ROUTE, opener), slow=[DELETE]), sockets[0]


def acks(numbers):
    return [ack(number, number) for number in numbers]


async def test_many_requests_go_in_batches_and_the_answers_are_in_order():
    made, sock = connection(*[acks] * 3)
    answers = await made.exchange([(NEW, NLM_F_ACK, b"")] * (2 * BATCH + 1))
    assert [answer.code for answer in answers] == list(range(1, 2 * BATCH + 2))
    assert [len(sent) for sent in sock.sent] == [BATCH, BATCH, 1]


async def test_the_loop_turns_between_batches():
    made, sock = connection(*[acks] * 3)
    seen = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(sock.sent)))
    await made.exchange([(NEW, NLM_F_ACK, b"")] * 3 * BATCH)
    assert seen == [1]


@pytest.mark.parametrize(("type_", "on_the_loop"), [(NEW, True), (DELETE, False)])
async def test_only_what_is_slow_leaves_the_loop(type_, on_the_loop):
    threads = []

    def script(numbers):
        threads.append(threading.current_thread() is threading.main_thread())
        return acks(numbers)

    made, _ = connection(script)
    await made.exchange([(NEW, NLM_F_ACK, b""), (type_, NLM_F_ACK, b"")])
    assert threads == [on_the_loop]


async def test_one_exchange_at_a_time_though_one_is_in_a_thread():
    begun, may_end = threading.Event(), threading.Event()

    def slow(numbers):
        begun.set()
        assert may_end.wait(10)
        return acks(numbers)

    made, sock = connection(slow, lambda n: [done(n[0])])
    first = asyncio.create_task(made.exchange([(DELETE, NLM_F_ACK, b"")]))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.create_task(made.dump(GET, b""))
    await asyncio.sleep(0.05)
    assert (len(sock.sent), second.done()) == (1, False)
    may_end.set()
    assert (len(await first), await second) == (1, [])


async def test_an_interrupted_dump_is_read_again_and_others_have_their_turn_meanwhile():
    made, sock = connection(
        lambda n: [message(NEW, n[0], b"old", INTR), done(n[0])],
        acks,
        lambda n: [message(NEW, n[0], b"new"), done(n[0])],
    )
    dump = asyncio.create_task(made.dump(GET, b""))
    await asyncio.sleep(0)
    assert len(await made.exchange([(NEW, NLM_F_ACK, b"")])) == 1
    assert [bytes(payload) for _, payload in await dump] == [b"new"]
    assert [sent[0][0] for sent in sock.sent] == [GET, NEW, GET]


async def test_a_dump_that_never_settles_is_an_error():
    made, sock = connection(*[lambda n: [done(n[0], INTR)]] * len(DUMP_PAUSES_S))
    with pytest.raises(NetlinkError) as raised:
        await made.dump(GET, b"")
    assert (raised.value.code, len(sock.sent)) == (errno.EINTR, len(DUMP_PAUSES_S))
