"""One direction through socket pairs: order, ends, back-pressure, and pipes held no longer than needed."""

import contextlib
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neod.race.byte_flow import SCRATCH_BYTES, TURN_BYTES, ByteFlow, FlowBroken, SharedBuffers
from neod.race.pipes import PipePool


class Line:
    """writer → [source → flow → sink] → reader."""

    def __init__(self, pipes=4):
        self.writer, source = socket.socketpair()
        sink, self.reader = socket.socketpair()
        self.pool = PipePool(pipes)
        for sock in (self.writer, source, sink, self.reader):
            sock.setblocking(False)
        self.flow = ByteFlow(source, sink, SharedBuffers(self.pool))
        self.flow.writable = True
        self.sockets = (self.writer, source, sink, self.reader)

    def close(self):
        self.flow.drop()
        self.pool.close()
        for sock in self.sockets:
            sock.close()

    def arrive(self):
        """What epoll would say when there is something to read."""
        self.flow.readable = True
        return self.flow.pump()

    def drain(self):
        """Read what is there."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while data := self.reader.recv(1 << 16):
                parts.append(data)
        return b"".join(parts)

    def carry(self, stuff):
        """Write all of it, with a reader that keeps up, and return what was read."""
        rest, got = memoryview(stuff), b""
        while len(got) < len(stuff):
            if rest:
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self.writer.send(rest[: 1 << 16]) :]
            self.flow.writable = True
            while self.arrive():
                pass
            got += self.drain()
        return got


@pytest.fixture
def line():
    made = Line()
    yield made
    made.close()


def test_small_messages_need_no_pipe(line):
    assert line.carry(b"hello") == b"hello"
    assert line.pool.made == 0


def test_a_full_buffer_is_the_start_of_splicing_and_the_pipe_is_given_back(line):
    stuff = os.urandom(1_000_000)
    assert line.carry(stuff) == stuff
    assert line.pool.made == 1
    assert line.flow.pipe is None


def test_without_pipes_everything_is_copied():
    line = Line(pipes=0)
    stuff = os.urandom(1_000_000)
    assert line.carry(stuff) == stuff
    assert line.pool.refusals > 0
    line.close()


@pytest.mark.parametrize("pipes", [0, 4])
def test_a_reader_that_stops_holds_what_was_read_and_nothing_more_is(pipes):
    line = Line(pipes)
    written = 0
    for _ in range(200):
        try:
            written += line.writer.send(bytes(1 << 16))
        except BlockingIOError:
            break
        line.arrive()
    assert 0 < line.flow.held <= 1 << 18
    held, moved = line.flow.held, line.flow.moved
    assert not line.arrive()  # nothing happens, and nobody asks for another turn
    assert (line.flow.held, line.flow.moved) == (held, moved)
    got = 0
    while got < written:
        got += len(line.drain())
        line.flow.writable = True
        line.arrive()
    assert got == written
    assert line.flow.held == 0
    line.close()


def test_the_end_comes_after_the_last_byte(line):
    line.writer.sendall(b"last words")
    line.writer.shutdown(socket.SHUT_WR)
    line.flow.exact = True
    line.arrive()
    assert line.flow.done
    assert line.reader.recv(100) == b"last words"
    assert line.reader.recv(100) == b""


def test_the_end_waits_for_a_reader_that_has_stopped(line):
    line.flow.exact = True
    written = 0
    while line.flow.held == 0:
        written += line.writer.send(bytes(1 << 15))
        line.arrive()
    line.writer.shutdown(socket.SHUT_WR)
    line.arrive()
    assert not line.flow.done
    got = 0
    while got < written:
        got += len(line.drain())
        line.flow.writable = True
        line.flow.pump()
    assert line.flow.done
    assert line.reader.recv(1) == b""


def test_one_flow_does_not_take_a_whole_turn(line):
    line.flow.sink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    line.writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    written = 0
    with contextlib.suppress(BlockingIOError):
        while written < 3 * TURN_BYTES:
            written += line.writer.send(bytes(1 << 16))
    if written <= TURN_BYTES:
        pytest.skip("the kernel's socket buffers hold less than a turn")
    assert line.arrive()
    assert line.flow.moved <= TURN_BYTES + (1 << 18)


def test_whose_socket_broke_is_said(line):
    line.reader.close()
    line.writer.send(b"x")
    with pytest.raises(FlowBroken) as caught:
        line.arrive()
    assert caught.value.sock is line.flow.sink


def test_dropping_gives_up_what_is_held(line):
    while line.flow.held == 0:
        line.writer.send(bytes(1 << 15))
        line.arrive()
    line.flow.drop()
    assert line.flow.held == 0
    assert line.pool.made <= 1


@given(st.lists(st.integers(1, 3 * SCRATCH_BYTES), max_size=12), st.booleans())
def test_whatever_is_written_is_read_the_same(sizes, pipes):
    line = Line(4 if pipes else 0)
    try:
        stuff = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
        assert b"".join(line.carry(piece) for piece in stuff) == b"".join(stuff)
    finally:
        line.close()
