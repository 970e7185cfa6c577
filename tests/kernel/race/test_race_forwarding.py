"""Bytes through neo-race on a real kernel: ends, resets, back-pressure, urgent data, rationed pipes."""

import os
import socket
import threading
import time

import pytest
from tests.lab.netns import namespace, poll, run
from tests.lab.race.racer import KERNEL, Racer, Server, dial, echo, named, read_all, reset

pytestmark = KERNEL


@pytest.fixture
def ns():
    with namespace("race") as name:
        yield name


def race(server, *keys):
    return "\n".join([f'[races.r]\nlisten = "127.0.0.1:0"\nupstreams = ["{server.upstream}"]', *keys])


def test_what_is_sent_comes_back_from_an_echo(ns):
    stuff = os.urandom(5_000_000)
    with Server(ns, echo) as server, Racer(ns, race(server)) as racer, dial(ns, racer.address("r")) as client:
        sender = threading.Thread(target=lambda: (client.sendall(stuff), client.shutdown(socket.SHUT_WR)))
        sender.start()
        assert read_all(client) == stuff
        sender.join()
        poll(lambda: racer.total("neo_race_closed_total", how="finished") == 1, 5)
        assert racer.total("neo_race_bytes_total", direction="to_upstream") == len(stuff)
        assert racer.total("neo_race_bytes_total", direction="to_client") == len(stuff)


def test_a_server_that_speaks_first_is_heard(ns):
    serve = named("220 hello")
    with Server(ns, serve) as server, Racer(ns, race(server)) as racer, dial(ns, racer.address("r")) as client:
        assert read_all(client) == b"220 hello"


def test_one_way_may_end_long_before_the_other(ns):
    def serve(sock):
        asked = read_all(sock)
        sock.sendall(b"answer to " + asked)

    with Server(ns, serve) as server, Racer(ns, race(server)) as racer, dial(ns, racer.address("r")) as client:
        client.sendall(b"a question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"answer to a question"


def test_a_request_that_ends_before_the_race_does_is_delivered(ns):
    heard = []
    with Server(ns, lambda sock: heard.append(read_all(sock))) as server, Racer(ns, race(server)) as racer:
        with dial(ns, racer.address("r")) as client:
            client.sendall(b"fire and forget")
        poll(lambda: heard, 5)
        assert heard == [b"fire and forget"]


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_arrives_as_a_reset(ns, who):
    ended = []

    def serve(sock):
        sock.sendall(b"x")
        if who == "server":
            sock.recv(1)
            reset(sock)
            return
        try:
            ended.append(read_all(sock))
        except ConnectionResetError:
            ended.append("reset")

    with Server(ns, serve) as server, Racer(ns, race(server)) as racer:
        client = dial(ns, racer.address("r"))
        assert client.recv(1) == b"x"
        if who == "client":
            reset(client)
            poll(lambda: ended, 5)
            assert ended == ["reset"]
        else:
            client.sendall(b"y")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        how = "client_reset" if who == "client" else "upstream_reset"
        poll(lambda: racer.total("neo_race_closed_total", how=how) == 1, 5)


def test_what_came_before_a_reset_is_delivered_first(ns):
    stuff = os.urandom(300_000)

    def serve(sock):
        sock.recv(1)
        sock.sendall(stuff)
        assert sock.recv(1) == b"!"
        reset(sock)

    with Server(ns, serve) as server, Racer(ns, race(server)) as racer, dial(ns, racer.address("r")) as client:
        client.sendall(b"?")
        got = b""
        while len(got) < len(stuff) - 1:
            got += client.recv(1 << 16)
        client.sendall(b"!")
        with pytest.raises(ConnectionResetError):
            while True:
                got += client.recv(1)
                assert len(got) <= len(stuff)
        assert got == stuff


def test_a_stopped_reader_stops_the_writer_and_costs_neither_memory_nor_time(ns):
    go = threading.Event()
    heard = []

    def serve(sock):
        go.wait(60)
        heard.append(len(read_all(sock)))

    with Server(ns, serve) as server, Racer(ns, race(server)) as racer, dial(ns, racer.address("r")) as client:
        poll(lambda: server.peers, 5)
        client.setblocking(False)
        sent, full = 0, 0
        before_mb = racer.rss_mb()
        while full < 20:  # nothing went out for a fifth of a second
            try:
                sent += client.send(bytes(1 << 16))
                full = 0
            except BlockingIOError:
                full += 1
                time.sleep(0.01)
        racer.wait_at_rest(0.02, over_s=0.5)
        assert racer.rss_mb() - before_mb < 4
        go.set()
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        poll(lambda: heard, 20)
        assert heard == [sent]


def test_single_bytes_against_a_stopped_reader_spin_nowhere(ns):
    """A pipe is full after as many bytes as it has slots: EAGAIN then says nothing of the socket."""
    go = threading.Event()
    heard = []

    def serve(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        go.wait(60)
        heard.append(read_all(sock))

    stuff = os.urandom(3000)
    with Server(ns, serve) as server, Racer(ns, race(server)) as racer, dial(ns, racer.address("r")) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(bytes(300_000))  # makes the flow one that is spliced, and fills what there is to fill
        for byte in stuff:
            client.send(bytes([byte]))
        racer.wait_at_rest(0.02, over_s=0.5)
        go.set()
        client.shutdown(socket.SHUT_WR)
        poll(lambda: heard, 20)
        assert heard == [bytes(300_000) + stuff]


@pytest.mark.parametrize("keys", ["", "listen_mptcp = true"])
def test_urgent_bytes_keep_their_place(ns, keys):
    with (
        Server(ns, echo) as server,
        Racer(ns, race(server, keys)) as racer,
        dial(ns, racer.address("r")) as client,
    ):
        client.send(b"abc")
        client.send(b"!", socket.MSG_OOB)
        client.send(b"def")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"abc!def"


def test_where_pipes_run_out_bytes_are_copied_and_none_is_lost(ns):
    """Of 80 descriptors pipes may take 20: too few for all that are stuck at the same time."""
    stuff = os.urandom(2_000_000)
    go = threading.Event()

    def serve(sock):
        go.wait(60)
        echo(sock)

    with Server(ns, serve) as server, Racer(ns, race(server), wrap=("prlimit", "--nofile=80")) as racer:
        clients = [dial(ns, racer.address("r")) for _ in range(16)]
        threads = [threading.Thread(target=_send_all, args=(client, stuff)) for client in clients]
        for thread in threads:
            thread.start()
        poll(lambda: racer.total("neo_race_connections_open") == len(clients), 20)
        racer.wait_at_rest(0.02, over_s=0.3)  # all of them are stuck, each with a pipe or a copy
        go.set()
        for client in clients:
            with client:
                assert read_all(client) == stuff
        for thread in threads:
            thread.join()


def _send_all(client, stuff):
    client.sendall(stuff)
    client.shutdown(socket.SHUT_WR)


def test_a_path_that_dies_is_given_up_and_the_client_hears_of_it(ns):
    with Server(ns, echo, ("127.0.0.7", 0)) as server, Racer(ns, race(server, 'user_timeout = "1s"')) as racer:
        with dial(ns, racer.address("r")) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            chain = "add chain ip t o { type filter hook output priority 0; }"
            rules = f"add table ip t\n{chain}\nadd rule ip t o ip daddr 127.0.0.7 drop\n"
            run("ip", "netns", "exec", ns, "nft", "-f", "-", stdin=rules)
            client.sendall(b"y")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        assert racer.total("neo_race_closed_total", how="upstream_lost") == 1
