"""Upstreams that take a connection and do not answer: what is learned, what is logged, and who is not blamed."""

import contextlib
import socket
import threading
import time

import pytest
from tests.lab.netns import inside, namespace, poll, run
from tests.lab.race.racer import KERNEL, Racer, Server, dial, echo, named, read_all, reset

pytestmark = KERNEL


@pytest.fixture
def ns():
    with namespace("race") as name:
        yield name


def race(*upstreams, keys="", listen="127.0.0.1:0"):
    listed = ", ".join(f'"{one.upstream}"' for one in upstreams)
    return f'[races.r]\nlisten = "{listen}"\nupstreams = [{listed}]\n{keys}\n'


def answers(client):
    """Say who it is once it was asked."""
    client.recv(100)
    named("good")(client)


def resets(client):
    client.recv(100)
    reset(client)


def resets_at_once(client):
    reset(client)


def closes_at_once(client):
    client.close()


def closes_when_asked(client):
    client.recv(100)


def swallows(client):
    while client.recv(1 << 16):
        pass
    time.sleep(2)


def resets_after_a_byte(client):
    client.recv(100)
    client.sendall(b"g")
    time.sleep(0.05)
    reset(client)


def closes_at_the_end(client):
    read_all(client)


def ask(ns, racer, says=b"hello", patience_s=20.0, ends=False):
    """Return what the race's upstream answered; *ends*: the client sends its FIN at once."""
    heard = b""
    with dial(ns, racer.address("r"), patience_s) as client, contextlib.suppress(OSError):
        client.sendall(says)
        if ends:
            client.shutdown(socket.SHUT_WR)
        while data := client.recv(1 << 16):
            heard += data
    return heard.decode()


BAD = {
    "resets": (resets, "reset without an answer"),
    "resets at once": (resets_at_once, "reset without an answer"),
    "closes at once": (closes_at_once, "closed without an answer"),
    "closes when asked": (closes_when_asked, "closed without an answer"),
    "swallows": (swallows, "no answer"),
    "resets after a byte": (resets_after_a_byte, "reset after its first bytes"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("stagger", ["0ms", "250ms"])
def test_who_takes_a_connection_and_does_not_answer_is_a_last_resort_from_then_on(ns, what, stagger):
    serve, why = BAD[what]
    keys = f'stagger = "{stagger}"\nfirst_byte_timeout = "300ms"'
    with Server(ns, serve) as bad, Server(ns, answers) as good, Racer(ns, race(bad, good, keys=keys)) as racer:
        heard = [ask(ns, racer) for _ in range(12)]
        assert heard.count("good") >= 11, heard
        asked = len(bad.peers)
        assert [ask(ns, racer) for _ in range(12)] == ["good"] * 12
        if what != "resets at once":  # which a race may notice before it is decided, and then it goes on without it
            assert len(bad.peers) == asked, "not even connected to"
        lines = racer.records("not answered")
        assert len(lines) == 12 - heard.count("good")
        for line in lines:
            assert (line["upstream"], line["race"]) == (bad.upstream, "r")
            assert line["why"] in (why, "reset without an answer")  # a FIN may be followed by a reset
            assert float(str(line["after_ms"])) >= 0
            assert racer.total("neo_race_unanswered_total", upstream=bad.upstream, why=str(line["why"])) == 1


@pytest.mark.parametrize("serve", [resets_at_once, closes_when_asked, closes_at_the_end, swallows])
@pytest.mark.parametrize("dial", ["accept", "first-byte"])
def test_a_client_that_sends_its_fin_with_its_request_is_served_by_who_answers(ns, serve, dial):
    keys = f'stagger = "250ms"\nfirst_byte_timeout = "300ms"\ndial = "{dial}"'
    with Server(ns, serve) as bad, Server(ns, answers) as good, Racer(ns, race(bad, good, keys=keys)) as racer:
        for _ in range(3):
            ask(ns, racer, ends=True)
        assert [ask(ns, racer, ends=True) for _ in range(6)] == ["good"] * 6
        assert len(racer.records("not answered")) <= 1


def test_failures_have_lines_of_their_own_among_many_races_that_are_won(ns):
    with Server(ns, swallows) as bad, Racer(ns, race(bad, keys='first_byte_timeout = "300ms"')) as racer:
        clients = [dial(ns, racer.address("r")) for _ in range(60)]
        for client in clients:
            client.sendall(b"hello")
        poll(lambda: racer.total("neo_race_unanswered_total") == 60, 10, 0.05, "all are judged")
        assert len(racer.records("not answered")) >= 20
        for client in clients:
            client.close()


def test_a_client_that_waited_in_vain_and_left_is_evidence(ns):
    with Server(ns, swallows) as bad, Racer(ns, race(bad)) as racer:
        assert ask(ns, racer, patience_s=1.2) == ""
        (line,) = poll(lambda: racer.records("not answered"), 5)
        assert line["why"] == "no answer"


def test_the_only_upstream_is_asked_again_however_it_failed(ns):
    with Server(ns, resets) as bad, Racer(ns, race(bad)) as racer:
        assert [ask(ns, racer) for _ in range(5)] == [""] * 5
        assert len(bad.peers) == 5
        assert racer.total("neo_race_unanswered_total", why="reset without an answer") == 5


def test_when_all_others_are_down_the_one_that_failed_is_tried(ns):
    with Server(ns, answers) as good, Server(ns, resets) as bad, Racer(ns, race(bad, good)) as racer:
        poll(lambda: ask(ns, racer) == "", 20, why="it won and reset")
        asked = len(bad.peers)
        good.__exit__()
        assert ask(ns, racer) == ""
        assert len(bad.peers) == asked + 1


def client_sends_nothing_and_leaves(ns, racer):
    dial(ns, racer.address("r")).close()


def client_asks_and_leaves_at_once(ns, racer):
    with dial(ns, racer.address("r")) as client:
        client.sendall(b"hello")


def client_asks_and_resets_at_once(ns, racer):
    client = dial(ns, racer.address("r"))
    client.sendall(b"hello")
    reset(client)


def client_sends_all_and_wants_no_reply(ns, racer):
    with dial(ns, racer.address("r")) as client:
        client.sendall(b"a line of a log")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""


@pytest.mark.parametrize(
    "client",
    [
        client_sends_nothing_and_leaves,
        client_asks_and_leaves_at_once,
        client_asks_and_resets_at_once,
        client_sends_all_and_wants_no_reply,
    ],
)
def test_what_a_client_does_counts_against_nobody(ns, client):
    with Server(ns, read_all) as server, Racer(ns, race(server, keys='first_byte_timeout = "500ms"')) as racer:
        client(ns, racer)
        poll(lambda: racer.total("neo_race_closed_total") == 1, 10, 0.05, "the end")
        assert racer.records("not answered") == []
        assert racer.total("neo_race_unanswered_total") == 0


def greets(client):
    client.sendall(b"220 mail.example ESMTP\r\n")
    client.recv(100)


def listens(ns, racer, patience_s=20.0):
    """Return what a client hears that says nothing."""
    with dial(ns, racer.address("r"), patience_s) as client, contextlib.suppress(OSError):
        return client.recv(100)
    return b""


def is_silent(client):
    time.sleep(3)


def resets_later(client):
    time.sleep(1.1)
    reset(client)


def closes_later(client):
    time.sleep(1.1)


def closes_silent_clients(client):
    client.settimeout(1.1)
    with contextlib.suppress(TimeoutError):
        answers(client)


@pytest.mark.parametrize("serve", [is_silent, resets_later, closes_later])
def test_who_does_not_greet_is_a_last_resort_where_clients_wait_for_a_greeting(ns, serve):
    keys = 'stagger = "250ms"\nfirst_byte_timeout = "1500ms"'
    with Server(ns, serve) as bad, Server(ns, greets) as good, Racer(ns, race(bad, good, keys=keys)) as racer:
        assert b"" in [listens(ns, racer) for _ in range(2)]
        assert all(listens(ns, racer).startswith(b"220") for _ in range(8))
        assert len(bad.peers) == len(racer.records("not answered")) == 1


def test_a_client_that_left_without_a_greeting_is_evidence(ns):
    with Server(ns, is_silent) as bad, Racer(ns, race(bad)) as racer:
        assert listens(ns, racer, 1.2) == b""
        (line,) = poll(lambda: racer.records("not answered"), 5)
        assert line["why"] == "no answer"


@pytest.mark.parametrize("serve", [answers, closes_silent_clients])
def test_where_clients_speak_first_one_that_says_nothing_is_owed_nothing(ns, serve):
    with Server(ns, serve) as server, Racer(ns, race(server, keys='first_byte_timeout = "1500ms"')) as racer:
        assert ask(ns, racer) == "good"
        assert listens(ns, racer, 1.2) == listens(ns, racer) == b""
        poll(lambda: racer.total("neo_race_closed_total") == 3, 10, 0.05, "the end")
        assert racer.records("not answered") == []


def test_without_a_time_for_the_first_byte_no_answer_is_missed(ns):
    with Server(ns, read_all) as server, Racer(ns, race(server, keys='first_byte_timeout = "0s"')) as racer:
        with dial(ns, racer.address("r")) as client:
            client.sendall(b"a line of a log")
            time.sleep(1.1)
        poll(lambda: racer.total("neo_race_closed_total") == 1, 10, 0.05, "the end")
        assert racer.records("not answered") == []


def test_a_server_that_speaks_first_needs_no_word_of_its_client(ns):
    with Server(ns, greets) as server, Racer(ns, race(server, keys='first_byte_timeout = "300ms"')) as racer:
        with dial(ns, racer.address("r")) as client:
            assert client.recv(100).startswith(b"220")
            client.settimeout(1.0)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert racer.records("not answered") == []


def test_the_first_byte_is_the_upstreams_and_a_trickle_of_the_clients_does_not_put_it_off(ns):
    with Server(ns, swallows) as bad, Racer(ns, race(bad, keys='first_byte_timeout = "400ms"')) as racer:
        with dial(ns, racer.address("r")) as client, pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(400):
                client.sendall(b"x")
                time.sleep(0.05)
        assert racer.total("neo_race_closed_total", how="first_byte_timeout") == 1


@pytest.mark.parametrize("key", ["first_byte_timeout", "idle_timeout"])
def test_a_reload_with_a_shorter_time_is_kept_by_open_connections_at_once(ns, key):
    listen = "127.0.0.1:4430"
    with (
        Server(ns, is_silent) as bad,
        Racer(ns, race(bad, listen=listen)) as racer,
        dial(ns, racer.address("r"), 2.5) as client,
    ):
        client.sendall(b"hello")
        racer.reload(race(bad, keys=f'{key} = "300ms"', listen=listen))
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_an_upload_is_answered_at_its_end_however_long_it_takes(ns):
    def counts(client):
        client.sendall(str(len(read_all(client))).encode())

    keys = 'first_byte_timeout = "400ms"'
    with (
        Server(ns, counts) as server,
        Racer(ns, race(server, keys=keys)) as racer,
        dial(ns, racer.address("r")) as client,
    ):
        for _ in range(12):
            client.sendall(bytes(100_000))
            time.sleep(0.1)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"1200000"


# ------------------------------------------------------------------ dialing on the first byte

FIRST_BYTE = 'dial = "first-byte"\n'


def test_on_the_first_byte_only_a_client_that_speaks_is_connected(ns):
    with Server(ns, echo) as server, Racer(ns, race(server, keys=FIRST_BYTE)) as racer:
        with dial(ns, racer.address("r")) as silent, dial(ns, racer.address("r")) as talking:
            talking.sendall(b"hello")
            talking.shutdown(socket.SHUT_WR)
            assert read_all(talking) == b"hello"
            assert len(server.peers) == 1
            silent.shutdown(socket.SHUT_WR)
            assert read_all(silent) == b""
        reset(dial(ns, racer.address("r")))
        poll(lambda: racer.total("neo_race_closed_total", how="client_gave_up") == 2, 5, 0.05)
        assert len(server.peers) == 1


def test_on_the_first_byte_who_never_speaks_is_reset(ns):
    keys = FIRST_BYTE + 'first_byte_timeout = "300ms"'
    with Server(ns, echo) as server, Racer(ns, race(server, keys=keys)) as racer:
        with dial(ns, racer.address("r")) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        assert racer.total("neo_race_closed_total", how="client_silent") == 1
        assert server.peers == []


def test_on_the_first_byte_clients_that_wait_for_a_greeting_are_told_of_until_one_speaks(ns):
    keys = FIRST_BYTE + 'first_byte_timeout = "1100ms"'
    with Server(ns, echo) as server, Racer(ns, race(server, keys=keys)) as racer:
        assert listens(ns, racer) == listens(ns, racer, 1.05) == b""
        told = poll(lambda: racer.records("not connected")[1:] and racer.records("not connected"), 5)
        assert all('leave dial = "first-byte" out' in str(line["next"]) for line in told)
        dial(ns, racer.address("r")).close()
        ask(ns, racer, ends=True)
        listens(ns, racer)
        assert len(racer.records("not connected")) == 2


def test_a_reload_changes_when_to_dial(ns):
    with (
        Server(ns, named("hello")) as server,
        Racer(ns, race(server, keys=FIRST_BYTE, listen="127.0.0.1:4430")) as racer,
        dial(ns, racer.address("r")) as waiting,
    ):
        racer.reload(race(server, listen="127.0.0.1:4430"))
        assert ask(ns, racer, b"") == "hello"
        waiting.sendall(b"x")
        assert read_all(waiting) == b"hello"


@pytest.mark.parametrize("mptcp", ["true", "false"])
def test_a_pair_of_races_makes_one_connection_at_the_program(ns, mptcp):
    with Server(ns, echo) as server:
        far = f'[races.far]\nlisten = "127.0.0.1:0"\nlisten_mptcp = {mptcp}\ndial = "first-byte"\nsources = "none"\n'
        with Racer(ns, f'{far}upstreams = ["{server.upstream}"]\n') as second:
            port = second.address("far")[1]
            sources = ", ".join(f'"127.0.0.{n}"' for n in range(1, 9))
            near = f'[races.r]\nlisten = "127.0.0.1:0"\nmptcp = {mptcp}\nsources = [{sources}]\n'
            with Racer(ns, f'{near}upstreams = ["127.0.0.1:{port}"]\n') as first:
                with dial(ns, first.address("r")) as client:
                    client.sendall(b"hello")
                    assert client.recv(100) == b"hello"
                assert len(server.peers) == 1
                (line,) = [r for r in poll(lambda: first.records("race won"), 5) if r][-1:]
                assert len(str(line["losers"])) < 60
                assert first.total("neo_race_attempts_slower_total") >= 1


# --------------------------------------------------------------------------------- read ahead


def test_what_is_read_ahead_on_loopback_stays_small_with_the_recipe_for_many_paths(ns):
    """Both ends of the race on loopback: what the client does not read stays with the program that sent it."""
    sent, done = [0], threading.Event()

    def floods(client):
        client.settimeout(3)
        with contextlib.suppress(OSError):
            while True:
                sent[0] += client.send(bytes(1 << 16))
        done.set()

    with inside(ns):
        run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 16777216 134217728")
    with Server(ns, floods) as server, Racer(ns, race(server)) as racer, inside(ns):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        with client:
            client.connect(racer.address("r"))
            assert done.wait(20)
            assert 1 << 16 < sent[0] < 6 << 20, sent
