"""The server of the metrics page, on both loops that it runs on: asyncio's and neo-race's own."""

import asyncio
import contextlib
import socket

import pytest

from neod.observability import metrics_server
from neod.observability.metrics_server import MOST_EXCHANGES, MetricsServer
from neod.race.loop import Loop

PAGE = "a_metric 1\n" * 200_000  # more than any socket buffer takes at once


class Lines:
    """A log that keeps what is logged."""

    def __init__(self):
        self.lines = []

    def info(self, event, **fields):
        self.lines.append((event, fields))

    warning = info


class OnAsyncio:
    """Runs asyncio's loop as long as something is waited for."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def turn(self):
        self.loop.run_until_complete(asyncio.sleep(0.002))

    def close(self):
        self.turn()
        self.loop.close()


class OnOwnLoop:
    """Runs neo-race's loop as long as something is waited for."""

    def __init__(self):
        self.loop = Loop()

    def turn(self):
        self.loop.turn(0.002)

    def close(self):
        self.turn()
        self.loop.close()


@pytest.fixture(params=[OnAsyncio, OnOwnLoop])
def on(request):
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def log():
    return Lines()


@pytest.fixture
def server(on, log):
    made = MetricsServer(on.loop, lambda: PAGE, log)
    yield made
    made.close()


def connect(server):
    host, _, port = server.address.rpartition(":")
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
    sock.setblocking(False)
    return sock


def read_all(on, *socks):
    """Turn the loop until all sockets have ended; return what each has sent."""
    found, open_ = dict.fromkeys(socks, b""), set(socks)
    while open_:
        on.turn()
        for sock in list(open_):
            with contextlib.suppress(BlockingIOError):
                try:
                    chunk = sock.recv(1 << 16)
                except ConnectionResetError:
                    chunk = b""
                found[sock] += chunk
                if not chunk:
                    open_.discard(sock)
                    sock.close()
    return list(found.values())


def test_a_page_arrives_whole_however_slowly_it_is_read(on, server):
    server.serve_at("127.0.0.1:0")
    client = connect(server)
    for piece in (b"GET /met", b"rics HTTP/1.1\r\n", b"\r\n"):
        client.send(piece)
        for _ in range(3):
            on.turn()
    (answer,) = read_all(on, client)
    assert answer.partition(b"\r\n\r\n")[2].decode() == PAGE


def test_a_request_that_does_not_end_is_cut_off(on, server):
    server.serve_at("[::1]:0")
    client = connect(server)
    client.send(b"GET /" + b"x" * 9000)
    assert read_all(on, client) == [b""]


def test_clients_that_say_nothing_are_few_and_are_cut_off(on, server, monkeypatch):
    monkeypatch.setattr(metrics_server, "EXCHANGE_S", 0.05)
    server.serve_at("127.0.0.1:0")
    silent = []
    for _ in range(MOST_EXCHANGES + 4):
        silent.append(connect(server))
        on.turn()
    assert read_all(on, *silent) == [b""] * len(silent)
    client = connect(server)
    client.send(b"HEAD /metrics HTTP/1.0\r\n\r\n")
    assert read_all(on, client)[0].startswith(b"HTTP/1.1 200 OK\r\n")


def test_another_address_ends_the_one_before_and_what_it_was_serving(on, server, log):
    server.serve_at("127.0.0.1:0")
    first, client = server.address, connect(server)
    on.turn()
    server.serve_at("[::1]:0")
    assert read_all(on, client) == [b""]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(first.rpartition(":")[2])), timeout=5)
    assert [event for event, _ in log.lines] == ["serving metrics"] * 2
    server.serve_at("")
    assert server.address == ""


def test_a_port_that_is_taken_is_logged_once_and_tried_again(on, server, log, monkeypatch):
    monkeypatch.setattr(metrics_server, "RETRY_S", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        server.serve_at(address)
        for _ in range(5):
            on.turn()
        assert server.error == f"{address}: Address already in use"
        assert log.lines == [("cannot serve metrics", {"address": address, "why": server.error})]
    while not server.address:
        on.turn()
    assert (server.address, server.error) == (address, "")


def test_a_shortage_of_descriptors_is_waited_out(on, server, monkeypatch):
    monkeypatch.setattr(metrics_server, "SHORTAGE_PAUSE_S", 0.001)
    server.serve_at("127.0.0.1:0")
    listener, refusals = server._socket, []

    class Short:
        def fileno(self):
            return listener.fileno()

        def accept(self):
            refusals.append(1)
            if len(refusals) < 3:
                raise OSError(24, "Too many open files")
            return listener.accept()

        def getsockname(self):
            return listener.getsockname()

        def close(self):
            listener.close()

    server._socket = Short()
    client = connect(server)
    client.send(b"GET /x HTTP/1.0\r\n\r\n")
    assert read_all(on, client)[0].startswith(b"HTTP/1.1 404")
    assert len(refusals) == 3
