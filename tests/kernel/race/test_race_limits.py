"""Clients that are many, slow, silent or hostile: what they may take, and that the others do not notice."""

import contextlib
import socket
import threading
import time

import pytest
from tests.lab.netns import inside, namespace, poll, run
from tests.lab.race.racer import KERNEL, Racer, Server, dial, echo, read_all

pytestmark = KERNEL


@pytest.fixture
def ns():
    with namespace("race") as name:
        yield name


def race(server, keys=""):
    return f'[races.r]\nlisten = "127.0.0.1:0"\nupstreams = ["{server.upstream}"]\n{keys}\n'


def echoes(ns, racer, timeout_s=20.0):
    with dial(ns, racer.address("r"), timeout_s) as client:
        client.sendall(b"x")
        return client.recv(1) == b"x"


def is_reset(client):
    try:
        return client.recv(1) == b"never"
    except ConnectionResetError:
        return True


def hold(ns, racer, count, source="127.0.0.1"):
    """Open *count* connections that say nothing."""
    with inside(ns):
        held = [socket.socket() for _ in range(count)]
    for client in held:
        client.settimeout(20)
        client.bind((source, 0))
        client.connect(racer.address("r"))
    return contextlib.ExitStack(), held


def close(held):
    for client in held:
        client.close()


def test_who_never_says_a_word_is_reset(ns):
    with Server(ns, echo) as server, Racer(ns, race(server, 'first_byte_timeout = "300ms"')) as racer:
        with dial(ns, racer.address("r")) as silent, dial(ns, racer.address("r")) as talking:
            talking.sendall(b"x")
            assert talking.recv(1) == b"x"
            assert is_reset(silent)
            talking.sendall(b"y")
            assert talking.recv(1) == b"y"
        assert racer.total("neo_race_closed_total", how="first_byte_timeout") == 1


def test_who_falls_silent_is_reset_and_who_talks_is_not(ns):
    with Server(ns, echo) as server, Racer(ns, race(server, 'idle_timeout = "2s"')) as racer:
        with dial(ns, racer.address("r")) as silent, dial(ns, racer.address("r")) as talking:
            silent.sendall(b"x")
            assert silent.recv(1) == b"x"
            done = threading.Event()
            threading.Thread(target=lambda: done.set() if is_reset(silent) else None, daemon=True).start()
            end = time.monotonic() + 20
            while not done.is_set() and time.monotonic() < end:
                talking.sendall(b"y")
                assert talking.recv(1) == b"y"
                time.sleep(0.05)
            assert done.is_set()
        assert racer.total("neo_race_closed_total", how="idle_timeout") == 1


def test_one_address_cannot_take_more_than_its_share(ns):
    with Server(ns, echo) as server, Racer(ns, race(server, "max_connections_per_client = 5")) as racer:
        _, held = hold(ns, racer, 5)
        with dial(ns, racer.address("r")) as more:
            assert is_reset(more)
        _, others = hold(ns, racer, 1, source="127.0.0.2")
        others[0].sendall(b"x")
        assert others[0].recv(1) == b"x"
        close(held)
        poll(lambda: racer.total("neo_race_connections_open") == 1, 5)
        assert echoes(ns, racer)
        assert racer.total("neo_race_refused_total", why="per_client") == 1
        close(others)


def test_beyond_the_total_clients_wait_and_are_served_when_there_is_room(ns):
    with Server(ns, echo) as server, Racer(ns, race(server, "max_connections = 4")) as racer:
        _, held = hold(ns, racer, 4)
        poll(lambda: racer.total("neo_race_connections_open") == 4, 5)
        with dial(ns, racer.address("r")) as waiting:
            waiting.sendall(b"x")
            waiting.settimeout(0.3)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            held.pop().close()
            waiting.settimeout(20)
            assert waiting.recv(1) == b"x"
        close(held)


def test_when_descriptors_run_out_nothing_spins_and_service_comes_back(ns):
    wrap = ("prlimit", "--nofile=128")
    with Server(ns, echo) as server, Racer(ns, race(server), wrap=wrap) as racer:
        _, held = hold(ns, racer, 400)  # most of them in the kernel's queue
        poll(lambda: racer.total("neo_race_connections_open") > 30, 10)
        racer.wait_at_rest(0.1, over_s=1.0)
        for client in held[:5]:  # who is in is served all the while
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        close(held)
        assert echoes(ns, racer)
        assert racer.running


def test_a_thousand_idle_clients_cost_no_time_little_memory_and_nobody_else_waits(ns):
    with Server(ns, lambda sock: sock.recv(1)) as server, Racer(ns, race(server)) as racer:
        assert not echoes_nothing(ns, racer)
        before_mb = racer.rss_mb()
        _, held = hold(ns, racer, 1000)
        poll(lambda: racer.total("neo_race_connections_open") >= 1000, 20)
        assert racer.rss_mb() - before_mb < 12
        racer.wait_at_rest(0.03, over_s=1.0)
        close(held)
        poll(lambda: racer.total("neo_race_connections_open") == 0, 20)


def echoes_nothing(ns, racer):
    with dial(ns, racer.address("r")) as client:
        client.sendall(b"x")
        return read_all(client)


def test_a_trickle_of_bytes_from_many_clients_holds_up_nobody(ns):
    """Slowloris: each says a byte now and then. They cost descriptors, which are limited, and nothing else."""
    keys = "max_connections_per_client = 200"
    with Server(ns, echo) as server, Racer(ns, race(server, keys)) as racer:
        _, held = hold(ns, racer, 200, source="127.0.0.66")
        cpu_s, begun, stop = racer.cpu_s(), time.monotonic(), threading.Event()

        def trickle():
            while not stop.wait(0.2):
                for client in held:
                    client.send(b".")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        assert all(echoes(ns, racer) for _ in range(20))
        time.sleep(1)
        stop.set()
        thread.join()
        used_s = racer.cpu_s() - cpu_s
        assert used_s < (time.monotonic() - begun) / 2, "it sleeps between the bytes"
        close(held)


def test_a_reader_of_metrics_that_never_ends_its_request_is_let_go(ns):
    with Server(ns, echo) as server, Racer(ns, race(server)) as racer:
        host, _, port = str(racer.records("serving metrics")[-1]["address"]).rpartition(":")
        with dial(ns, (host, int(port))) as endless, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(20_000):
                endless.sendall(b"GET /" + b"x" * 1000)
                time.sleep(0.001)
            raise AssertionError("it went on listening")
        with dial(ns, (host, int(port))) as wrong:
            wrong.sendall(b"POST /metrics HTTP/1.1\r\n\r\n")
            assert read_all(wrong).startswith(b"HTTP/1.1 405")
        assert racer.total("neo_race_connections_open") == 0


def test_an_upstream_of_a_connection_that_lasts_is_asked_whether_it_lives(ns):
    """Not from the start, as a short connection needs none of it; so all the more to be seen."""
    with Server(ns, echo) as server, Racer(ns, race(server, 'keepalive = "3s"')) as racer:
        _, held = hold(ns, racer, 150)

        def asked():
            argv = f"ip netns exec {ns} ss -Htno state established dport".split()
            return run(*argv, f"= :{server.address[1]}").stdout.count("timer:(keepalive,")

        try:
            poll(lambda: asked() == len(held), 10, why="all upstreams have a keepalive timer")
        finally:
            close(held)
