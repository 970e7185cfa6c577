"""neo-race as a service: start, reload, stop, what it tells, and the exit statuses."""

# ruff: noqa: SIM117 (nested: the outer stand for what is there, the inner for what happens)

import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from tests.lab import netns
from tests.lab.netns import inside, ip_batch, namespace, poll
from tests.lab.process import catches
from tests.lab.race.racer import KERNEL, NEO_RACE, Racer, Server, dial, echo, named, read_all, run_in

pytestmark = KERNEL


@pytest.fixture
def ns():
    with namespace("race") as name:
        yield name


def race(name, listen, *upstreams, keys=""):
    listed = ", ".join(f'"{upstream}"' for upstream in upstreams)
    return f'[races.{name}]\nlisten = "{listen}"\nupstreams = [{listed}]\n{keys}\n'


def talks(client):
    client.sendall(b"x")
    return client.recv(1) == b"x"


def test_a_reload_keeps_what_is_open_and_goes_by_the_new_file(ns):
    with Server(ns, echo) as first, Server(ns, named("new")) as second:
        with Racer(ns, race("r", "127.0.0.1:4000", first.upstream)) as racer:
            with dial(ns, ("127.0.0.1", 4000)) as old:
                assert talks(old)
                racer.reload(race("r", "127.0.0.1:4000", second.upstream))
                with dial(ns, ("127.0.0.1", 4000)) as new:
                    assert read_all(new) == b"new"
                assert talks(old)
            assert racer.told("RELOADING=1") == 1


def test_a_reload_moves_listening_and_connections_do_not_notice(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        with dial(ns, ("127.0.0.1", 4000)) as old:
            assert talks(old)
            racer.reload(race("r", "127.0.0.1:4001", server.upstream))
            with dial(ns, ("127.0.0.1", 4001)) as new:
                assert talks(new)
            with pytest.raises(ConnectionRefusedError):
                dial(ns, ("127.0.0.1", 4000))
            racer.reload(race("other", "127.0.0.1:4002", server.upstream))
            with pytest.raises(ConnectionRefusedError):
                dial(ns, ("127.0.0.1", 4001))
            assert talks(old)


def test_two_races_may_exchange_their_addresses(ns):
    with Server(ns, named("a")) as a, Server(ns, named("b")) as b:
        before = race("a", "127.0.0.1:4000", a.upstream) + race("b", "127.0.0.1:4001", b.upstream)
        after = race("a", "127.0.0.1:4001", a.upstream) + race("b", "127.0.0.1:4000", b.upstream)
        with Racer(ns, before) as racer:
            racer.reload(after)
            for port, name in ((4000, b"b"), (4001, b"a")):
                with dial(ns, ("127.0.0.1", port)) as client:
                    assert read_all(client) == name


def test_listening_may_become_mptcp_on_the_same_port(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        with dial(ns, ("127.0.0.1", 4000)) as old:
            assert talks(old)
            racer.reload(race("r", "127.0.0.1:4000", server.upstream, keys="listen_mptcp = true"))
            with dial(ns, ("127.0.0.1", 4000), proto=262) as new:
                assert talks(new)
                new.getsockopt(284, 1, 16)  # MPTCP_INFO: refused after a fall-back
            assert talks(old)


def test_an_invalid_file_changes_nothing_and_is_told(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        racer.reload('[races.r]\nlisten = "127.0.0.1"\nupstreams = []\n')
        problems = [str(record["problem"]) for record in racer.records("file invalid; the races go on as they are")]
        assert len(problems) == 2
        assert "races.r.listen" in problems[0]
        with dial(ns, ("127.0.0.1", 4000)) as client:
            assert talks(client)


def test_a_reload_that_is_asked_for_during_the_start_is_done_after_it(ns):
    with Racer(ns, race("r", "127.0.0.1:4000", "127.0.0.1:9")) as racer:
        racer.program.kill()
        racer.begin()
        poll(lambda: catches(racer.pid, signal.SIGHUP), 20, 0.001, "it catches the signal")
        racer.program.signal(signal.SIGHUP)
        poll(lambda: racer.records("reloaded"), 20, why="the reload")


def test_an_address_that_comes_later_is_listened_on_then(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "10.96.0.1:4000", server.upstream)) as racer:
        assert poll(lambda: racer.records("cannot listen"), 5)
        ip_batch(ns, ["addr add 10.96.0.1/32 dev lo"])
        with dial(ns, racer.address("r")) as client:
            assert talks(client)


def test_an_address_that_goes_and_comes_is_listened_on_at_once_and_what_is_in_the_way_is_told_with_what_to_do(ns):
    with Server(ns, echo, ("127.0.0.1", 4001)) as taken:
        text = race("r", "10.96.0.1:4000", taken.upstream) + race("s", "127.0.0.1:4001", "127.0.0.1:9")
        with Racer(ns, text) as racer:
            told = {str(r["why"]): str(r["next"]) for r in poll(lambda: racer.records("cannot listen")[:2], 5)}
            assert "as soon as it comes" in told["10.96.0.1:4000: Cannot assign requested address"]
            assert "ss -ltnp" in told["127.0.0.1:4001: Address already in use"]
            time.sleep(4.0)  # the tries are at 0, 0.5, 1.5, 3.5 and 7.5 s
            ip_batch(ns, ["addr add 10.96.0.1/32 dev lo"])
            poll(lambda: racer.records("listening"), 2.5, why="it does not wait for the next try")


def test_a_reload_without_races_leaves_it_running_and_says_so(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        with dial(ns, ("127.0.0.1", 4000)) as open_:
            assert talks(open_)
            racer.reload("")
            assert racer.records("no races")
            assert talks(open_)
        assert racer.told("STATUS=no races in the file, 1 connections") == 1
        racer.reload(race("r", "127.0.0.1:4000", server.upstream))
        with dial(ns, ("127.0.0.1", 4000)) as client:
            assert talks(client)


def test_a_stop_lets_connections_end_by_themselves_for_a_while(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        with dial(ns, ("127.0.0.1", 4000)) as client:
            assert talks(client)
            racer.program.signal(signal.SIGTERM)
            poll(lambda: racer.told("STOPPING=1"), 5)
            with pytest.raises(ConnectionRefusedError):
                dial(ns, ("127.0.0.1", 4000))
            assert talks(client)
        assert racer.program.process.wait(10) == 0


def test_a_stop_does_not_wait_for_clients_that_have_said_nothing(ns):
    text = race("r", "127.0.0.1:4000", "127.0.0.1:9", keys='dial = "first-byte"')
    with Racer(ns, text) as racer, dial(ns, ("127.0.0.1", 4000)) as client:
        poll(lambda: racer.total("neo_race_accepted_total") == 1, 5, 0.05)
        racer.program.signal(signal.SIGTERM)
        assert racer.program.process.wait(4) == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_second_stop_resets_what_is_still_open(ns):
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        with dial(ns, ("127.0.0.1", 4000)) as client:
            assert talks(client)
            racer.program.signal(signal.SIGTERM)
            poll(lambda: racer.told("STOPPING=1"), 5)
            racer.program.signal(signal.SIGTERM)
            assert racer.program.process.wait(3) == 0
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_only_the_named_races_are_run(ns):
    with Server(ns, echo) as server:
        text = race("a", "127.0.0.1:4000", server.upstream) + race("b", "127.0.0.1:4001", server.upstream)
        with Racer(ns, text, "b"):
            with dial(ns, ("127.0.0.1", 4001)) as client:
                assert talks(client)
            with pytest.raises(ConnectionRefusedError):
                dial(ns, ("127.0.0.1", 4000))


def test_the_watchdog_is_fed(ns, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with Server(ns, echo) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        poll(lambda: racer.told("WATCHDOG=1") >= 5, 10)
        poll(lambda: any(note.startswith("STATUS=1 races") for note in racer.notes), 5)


def test_a_race_is_told_with_winner_time_and_losers(ns):
    with Server(ns, named("x")) as server:
        with Racer(ns, race("r", "127.0.0.1:4000", "127.0.0.9:9", server.upstream)) as racer:
            for _ in range(4):
                with dial(ns, ("127.0.0.1", 4000)) as client:
                    read_all(client)
            record = poll(lambda: racer.records("race won"), 5)[0]
            assert record["winner"] == server.upstream
            assert 0 < float(record["connect_ms"]) < 5000
            assert any("127.0.0.9:9" in str(r["losers"]) for r in racer.records("race won"))
            assert racer.total("neo_race_connect_seconds_count") == 4


def test_many_races_are_told_in_sum(ns):
    with Server(ns, named("x")) as server, Racer(ns, race("r", "127.0.0.1:4000", server.upstream)) as racer:
        for _ in range(100):
            with dial(ns, ("127.0.0.1", 4000)) as client:
                read_all(client)
        poll(lambda: racer.records("more races") or len(racer.records("race won")) == 100, 5)
        told = len(racer.records("race won")) + sum(int(r["count"]) for r in racer.records("more races"))
        assert told <= 100


@pytest.mark.parametrize(
    ("text", "argv", "status", "says"),
    [
        ('[races.r]\nlisten = "1"\nupstreams = ["a:1"]', [], 78, "races.r.listen"),
        ('[races.r]\nlisten = "127.0.0.1:1"\nupstreams = ["a:1"]', ["x"], 10, "no race x; it has r"),
        ("[daemon]", [], 10, "no races; write a table [races.NAME]"),
        ("[daemon]", ["x"], 10, "no race x; write a table [races.NAME]"),
        ('[races.r]\nlisten = "127.0.0.1:1"\nupstreams = ["a:1"]', ["--nonsense"], 2, "no such option"),
        ('[races.r]\nlisten = "127.0.0.1:1"\nupstreams = ["a:1"]', ["connect"], 2, "takes the name of one race"),
    ],
    ids=["file invalid", "no such race", "no races", "no races, but a name", "usage", "connect without a name"],
)
def test_the_exit_status_says_what_is_wrong(ns, tmp_path, text, argv, status, says):
    file = tmp_path / "neo.toml"
    file.write_text(text)
    command = (
        [*NEO_RACE, *argv[:1], "--config", str(file)]
        if argv == ["connect"]
        else [*NEO_RACE, "--config", str(file), *argv]
    )
    done = run_in(ns, *command)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


# ── connect ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def proxy_command(ns, tmp_path):
    """Return a function that starts ``neo-race connect r``, with pipes or a socket as its standard streams."""

    def start(*upstreams, stdin=subprocess.PIPE, stdout=subprocess.PIPE, keys=""):
        file = tmp_path / "neo.toml"
        file.write_text(race("r", "127.0.0.1:0", *upstreams, keys=keys))
        argv = netns.argv_in(ns, *NEO_RACE, "connect", "--config", str(file), "--runtime-dir", str(tmp_path), "r")
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)

    return start


def test_connect_joins_the_winner_to_standard_input_and_output(ns, proxy_command):
    stuff = os.urandom(3_000_000)
    with Server(ns, echo) as server:
        process = proxy_command("127.0.0.9:9", server.upstream)
        out, err = process.communicate(stuff, timeout=30)
    assert (process.returncode, out, err) == (0, stuff, b"")


def test_connect_works_over_a_socket_as_ssh_gives_it(ns, proxy_command):
    stuff = os.urandom(300_000)
    mine, theirs = socket.socketpair()
    with Server(ns, echo) as server, mine:
        process = proxy_command(server.upstream, stdin=theirs, stdout=theirs)
        theirs.close()
        threading.Thread(target=lambda: (mine.sendall(stuff), mine.shutdown(socket.SHUT_WR)), daemon=True).start()
        assert read_all(mine) == stuff
        assert process.wait(10) == 0
        process.stderr.close()


def test_connect_reads_a_file_and_appends_to_one(ns, proxy_command, tmp_path):
    source, sink = tmp_path / "in", tmp_path / "out"
    source.write_bytes(os.urandom(200_000))
    with Server(ns, echo) as server, source.open("rb") as stdin, sink.open("ab") as stdout:
        process = proxy_command(server.upstream, stdin=stdin, stdout=stdout)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert sink.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(("closed", "out"), [("<&-", b""), ("<&- >&-", b""), (">&-", b"")])
def test_connect_takes_a_closed_stream_as_an_empty_one(ns, tmp_path, closed, out):
    file = tmp_path / "neo.toml"
    with Server(ns, echo) as server:
        file.write_text(race("r", "127.0.0.1:0", server.upstream))
        words = ["connect", "--config", str(file), "--runtime-dir", str(tmp_path), "r"]
        argv = netns.argv_in(ns, "sh", "-c", f'exec "$@" {closed}', "sh", *NEO_RACE, *words)
        done = subprocess.run(argv, input=b"hello", capture_output=True, check=False, timeout=30)
        assert (done.returncode, done.stdout, done.stderr) == (0, out, b"")


def test_connect_says_why_its_input_cannot_be_read(ns, proxy_command):
    with Server(ns, echo) as server, subprocess.Popen(["sleep", "30"]) as other:
        with open(f"/proc/{other.pid}/mem", "rb") as unreadable:
            process = proxy_command(server.upstream, stdin=unreadable)
            _, err = process.communicate(timeout=30)
        other.kill()
    assert process.returncode == 1
    assert b"connection lost: Input/output error" in err


def test_connect_says_why_there_is_no_connection(proxy_command):
    process = proxy_command("127.0.0.9:9")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"Connection refused" in err
    assert b"Traceback" not in err


def test_connect_that_hears_nothing_times_out(ns, proxy_command):
    run_in(ns, "nft", "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o drop")
    process = proxy_command("127.0.0.9:9", keys='timeout = "200ms"')
    process.communicate(timeout=30)
    assert process.returncode == 3


def test_connect_ends_with_a_failure_when_the_far_end_resets(ns, proxy_command):
    def serve(sock):
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with Server(ns, serve) as server:
        process = proxy_command(server.upstream)
        process.stdin.write(b"xyz")
        process.stdin.flush()
        assert process.wait(10) == 1
        process.stdin.close()
        process.stdout.close()
        process.stderr.close()


def test_metrics_are_next_to_those_of_neod_and_a_port_that_is_taken_is_asked_for_again(ns):
    with inside(ns):
        holder = socket.create_server(("127.0.0.1", 9111))
    with Server(ns, echo) as server:
        racer = Racer(ns, race("r", "127.0.0.1:4000", server.upstream))
        racer.metrics_listen = "127.0.0.1:9110"
        with racer:
            with holder:
                assert [r["why"] for r in racer.records("cannot serve metrics")] == [
                    "127.0.0.1:9111: Address already in use"
                ]
                assert racer.told("STATUS=1 races, 0 connections; metrics: 127.0.0.1:9111: Address already in use")
            poll(lambda: racer.records("serving metrics"), 20, why="the port is asked for again")
            assert racer.records("serving metrics")[0]["address"] == "127.0.0.1:9111"
            assert racer.total("neo_race_candidates") == 1
