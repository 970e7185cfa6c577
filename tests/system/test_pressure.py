"""Fights that end, descriptors that run out, strangers at the socket: the network is kept, and root is answered."""

import json
import multiprocessing
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import poll

pytestmark = pytest.mark.kernel

TEXT = '[links.br7]\nkind = "bridge"\n[metrics]\nlisten = "127.0.0.1:0"\n'
NOBODY = 65534
CALL = b'{"method":"org.neo.Control1.Status"}\0' * 20


def be_a_stranger(directory: Path, uid: int) -> None:
    """Open what can be opened; half of it asks and never reads, half never ends its request."""
    os.chdir(directory)
    os.setgroups([])
    os.setuid(uid)
    held: list[socket.socket] = []
    while True:
        try:
            if len(held) < 30:
                one = socket.socket(socket.AF_UNIX)
                one.connect("neod.sock")
                one.setblocking(False)
                held.append(one)
        except OSError:
            pass
        for one in list(held):
            try:
                one.send(CALL if len(held) % 2 else b"{")
            except BlockingIOError:
                pass
            except OSError:
                held.remove(one)
        time.sleep(0.002)


@pytest.fixture
def host(laboratory, tmp_path) -> Iterator[Host]:
    with netns.namespace("press") as ns:
        netns.ip(ns, "link", "set", "lo", "up")
        host = Host(ns, tmp_path / "host")
        host.write_config(TEXT)
        try:
            host.start_neod()
            host.wait(15)
            yield host
        finally:
            host.close()


def has_bridge(host: Host) -> bool:
    return "br7" in host.ip("-br", "link")


def test_what_was_fought_over_is_back_within_seconds_of_the_end(host):
    for _ in range(5):
        poll(lambda: has_bridge(host), 10, 0.01, "repaired")
        host.ip_fails("link", "del", "br7")
    poll(lambda: has_bridge(host), 6, 0.05, "repaired after the fight")
    assert "contested" in host.ctl("status", "--json").out


def test_without_descriptors_it_lives_says_so_in_lines_and_recovers(host):
    pid = host.neod.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
    clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for client in clients:
        client.connect(str(host.runtime / "neod.sock"))
    poll(lambda: "the system refuses" in host.log.read_text(), 10, why="it is said")
    host.ip("link", "del", "br7")
    host.write_config(TEXT.replace("br7", "br8"))
    host.reload()
    poll(lambda: "file not used" in host.log.read_text(), 10, why="the reload has no room for the reader")
    for client in clients:
        client.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    poll(lambda: "br8" in host.ip("link") and host.ctl("status").status == 0, 15, 0.1, host.tail())
    assert "Traceback" not in host.log.read_text()


def test_strangers_at_the_socket_starve_neither_root_nor_the_network(host):
    (host.runtime / "neod.sock").chmod(0o666)
    host.runtime.chmod(0o755)
    forked = multiprocessing.get_context("fork")
    strangers = [forked.Process(target=be_a_stranger, args=(host.runtime, NOBODY - n), daemon=True) for n in range(3)]
    try:
        for one in strangers:
            one.start()
        poll(lambda: "connections refused" in host.log.read_text(), 10, why="they are too many")
        assert host.ctl("status", timeout_s=10).status == 0
        host.ip("link", "del", "br7")
        poll(lambda: has_bridge(host), 5, why="repaired")
        assert len(os.listdir(f"/proc/{host.neod.pid}/fd")) < 120
    finally:
        for one in strangers:
            one.kill()
            one.join()


def test_metrics_clients_that_say_nothing_do_not_shut_others_out(host):
    notes = json.loads(host.ctl("status", "--json").out)["notes"]
    port = int(next(note for note in notes if note.startswith("metrics")).rsplit(":", 1)[1].split("/")[0])
    with netns.inside(host.ns):
        silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(60)]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"200" in client.recv(64)
    for one in silent:
        one.close()
