"""Hostile clients on the control socket: each is dropped or held, and an honest one is still answered.

Whatever a client does, nothing may reach the loop's exception handler; the
fixture holds every test to that.
"""

import array
import asyncio
import gc
import json
import os
import random
import socket
from contextlib import ExitStack

import pytest
from tests.doubles.control import FakeControl, serving, until

from neod.control.stream import ClientLimits
from neod.control.verbs.events import EventRecord

LEASES = b'{"method":"org.neo.Control1.Leases"}\0'
STATUS = b'{"method":"org.neo.Control1.Status"}\0'
FOLLOW = b'{"method":"org.neo.Control1.Events","parameters":{"follow":true},"more":true}\0'


@pytest.fixture
async def control():
    """A control, and the promise that the loop never saw an exception of ours."""
    raised = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: raised.append(context))
    yield FakeControl()
    gc.collect()  # futures complain when they are collected
    await asyncio.sleep(0)
    assert raised == []


async def connect(server):
    return await asyncio.open_unix_connection(server.path, limit=1 << 26)


async def honest(server):
    """Ask as a good client does, within a bound."""
    reader, writer = await connect(server)
    writer.write(LEASES)
    answer = await asyncio.wait_for(reader.readuntil(b"\0"), 10)
    writer.close()
    assert json.loads(answer[:-1]) == {"parameters": {"leases": []}}


async def dropped(reader):
    """Return what came before the server hung up; fail if it does not."""
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


async def push(server, data, most):
    """Send *data* over and over without reading, until dropped or *most* bytes are through; return how many were."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, str(server.path))
        sent = 0
        while sent < most:
            try:
                await asyncio.wait_for(loop.sock_sendall(sock, data), 2)
            except (TimeoutError, BrokenPipeError, ConnectionResetError):
                return sent
            sent += len(data)
        return sent


async def test_eight_megabytes_without_an_end_are_not_taken(control, tmp_path):
    async with serving(control, tmp_path) as server:
        assert await push(server, b"a" * 4096, most=8 << 20) < 1 << 20
        await honest(server)


async def test_a_frame_may_come_byte_by_byte(control, tmp_path):
    async with serving(control, tmp_path) as server:
        reader, writer = await connect(server)
        for byte in LEASES:
            writer.write(bytes([byte]))
            await writer.drain()
        assert b"leases" in await asyncio.wait_for(reader.readuntil(b"\0"), 10)
        writer.close()


async def test_a_frame_must_be_complete_in_time(control, tmp_path):
    async with serving(control, tmp_path, ClientLimits(frame_s=0.05)) as server:
        reader, writer = await connect(server)
        writer.write(LEASES[:5])
        assert await dropped(reader) == b""
        writer.close()
        await honest(server)


async def test_who_says_nothing_is_dropped(control, tmp_path):
    async with serving(control, tmp_path, ClientLimits(idle_s=0.05)) as server:
        reader, writer = await connect(server)
        assert await dropped(reader) == b""
        writer.close()


async def test_who_follows_events_may_be_silent(control, tmp_path):
    async with serving(control, tmp_path, ClientLimits(idle_s=0.05, frame_s=0.05)) as server:
        reader, writer = await connect(server)
        writer.write(FOLLOW)
        await until(lambda: control.calls)
        quiet, _ = await connect(server)
        await dropped(quiet)  # the idle time is over for somebody who came later
        control.feed.append(EventRecord(0, "2026-05-01T12:00:00.000+02:00", "repaired"), wall=1.0)
        assert b"repaired" in await asyncio.wait_for(reader.readuntil(b"\0"), 10)
        writer.close()


async def test_calls_whose_answers_are_not_read_are_not_carried_out(control, tmp_path):
    async with serving(control, tmp_path, ClientLimits(stall_s=0.3)) as server:
        await push(server, STATUS * 100, most=64 << 20)
        await until(lambda: not server._open)
        answer = len(json.dumps({"parameters": {}})) + 400  # bytes; a status with one path
        assert len(control.calls) * answer < 4 << 20  # what socket buffers hold, not what was asked
        await honest(server)


async def test_pipelining_is_fair(control, tmp_path):
    """An honest client is answered before 1000 calls that were there first."""
    async with serving(control, tmp_path) as server:
        reader, writer = await connect(server)
        writer.write(STATUS * 1000)
        await honest(server)
        before = len(control.calls)
        assert before < 1000
        for _ in range(1000):
            await asyncio.wait_for(reader.readuntil(b"\0"), 10)
        writer.close()


@pytest.mark.slow
async def test_three_thousand_connections_are_turned_away_with_a_word(control, tmp_path):
    async with serving(control, tmp_path) as server:
        with ExitStack() as held:
            for number in range(1, 3001):
                reader, writer = await connect(server)
                held.callback(writer.close)
                if number > 64:
                    assert b"org.neo.Control1.Overrun" in await dropped(reader)
                else:
                    await until(lambda: server._open.total() == number)  # noqa: B023
            assert server._open.total() == 64
        await until(lambda: not server._open)
        await honest(server)


async def test_a_flood_of_connections_at_once_leaves_the_server_whole(control, tmp_path):
    loop = asyncio.get_running_loop()

    async def one():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            for _ in range(1000):
                try:
                    await loop.sock_connect(sock, str(server.path))
                    return
                except BlockingIOError:  # the backlog is full
                    await asyncio.sleep(0.01)

    async with serving(control, tmp_path) as server:
        await asyncio.gather(*(one() for _ in range(500)))
        await until(lambda: not server._open)
        await honest(server)


NONSENSE = {
    "empty": b"",
    "no JSON": b"hello",
    "bad UTF-8": b'{"method":"\xff\xfe"}',
    "no object": b"[]",
    "a number": b"7",
    "deep lists": b"[" * 20_000,
    "deep objects": b'{"a":' * 4_000 + b"1" + b"}" * 4_000,
    "deep parameters": b'{"method":"org.neo.Control1.Status","parameters":{"object":'
    + b"[" * 7_000
    + b"]" * 7_000
    + b"}}",
    "a long number": b'{"method":' + b"9" * 20_000 + b"}",
    "NUL bytes": b"\0\0\0\0",
}


@pytest.mark.parametrize("frame", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_answered_by_hanging_up(control, tmp_path, frame):
    async with serving(control, tmp_path) as server:
        reader, writer = await connect(server)
        writer.write(frame + b"\0" + LEASES)
        assert await dropped(reader) == b""
        writer.close()
        await honest(server)
    assert [name for name, *_ in control.calls] == ["leases"]


async def test_passed_descriptors_are_closed_unseen(control, tmp_path):
    async with serving(control, tmp_path) as server:
        await honest(server)
        with socket.socket(socket.AF_UNIX) as sock, open(os.devnull) as null:
            sock.connect(str(server.path))
            before = len(os.listdir("/proc/self/fd"))
            descriptors = array.array("i", [null.fileno()] * 253)
            sock.sendmsg([LEASES], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            sock.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(sock, 4096)
            assert b"leases" in answer
            # the server's end of this connection was opened since
            assert len(os.listdir("/proc/self/fd")) <= before + 1


async def test_a_stream_that_is_not_read_is_dropped_and_queues_nothing(control, tmp_path):
    async with serving(control, tmp_path, ClientLimits(stall_s=0.3)) as server:
        reader, writer = await asyncio.open_unix_connection(server.path, limit=1024)
        writer.write(FOLLOW)
        await until(lambda: control.calls)
        fat = EventRecord(0, "2026-05-01T12:00:00.000+02:00", "repaired", detail="x" * 1000)
        for _ in range(200):
            for _ in range(20):
                control.feed.append(fat, wall=1.0)
            await asyncio.sleep(0)
        await until(lambda: control.cancelled == ["events"])
        await until(lambda: not server._open)
        received = await dropped(reader)
        assert len(received) < 2 << 20  # of 4 MB: what the socket held, and one batch
        writer.close()
        await honest(server)


async def test_random_bytes_and_broken_calls_harm_nobody(control, tmp_path):
    chance = random.Random(110)
    calls = [LEASES, STATUS, FOLLOW, b'{"method":"org.varlink.service.GetInfo"}\0']
    async with serving(control, tmp_path) as server:
        for _ in range(300):
            frame = bytearray(chance.choice(calls) * chance.randint(1, 3))
            for _ in range(chance.randint(0, 8)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            _, writer = await connect(server)
            writer.write(bytes(frame))
            if chance.random() < 0.5:
                writer.write_eof()
            await asyncio.sleep(0)
            writer.close()
        await until(lambda: not server._open)
        await honest(server)


async def test_the_end_of_the_server_hangs_up_on_everybody(control, tmp_path):
    control.endless = {"wait"}
    async with serving(control, tmp_path) as server:
        waiting, one = await connect(server)
        one.write(b'{"method":"org.neo.Control1.Wait"}\0')
        following, two = await connect(server)
        two.write(FOLLOW)
        idle, three = await connect(server)
        await until(lambda: len(control.calls) == 2 and server._open.total() == 3)
    assert [await dropped(reader) for reader in (waiting, following, idle)] == [b"", b"", b""]
    for writer in (one, two, three):
        writer.close()
