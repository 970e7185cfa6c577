"""The page of metrics: what it says is so, where it is follows the file, and no reader harms the daemon."""

import json
import socket
import urllib.request

import pytest
from tests.lab import Campus, poll
from tests.lab.netns import inside

pytestmark = pytest.mark.kernel

N = 3


@pytest.fixture
def campus():
    with Campus(N) as made:
        yield made


def listen(campus, where):
    """Put a file in place whose metrics are there."""
    campus.host.write_config(campus.file(more=f'[metrics]\nlisten = "{where}"\n'))


def notes(campus):
    """Return what status says of metrics."""
    found = json.loads(campus.host.ctl("status", "--json").out)["notes"]
    return [note for note in found if note.startswith("metrics: ")]


def served(campus):
    """Return where status says that metrics are."""
    found = poll(lambda: [n for n in notes(campus) if "http://" in n], 10, why="metrics are served")
    return found[0].removeprefix("metrics: ")


def scrape(campus, url):
    """Return every sample, by its name with labels."""
    with inside(campus.host.ns):
        page = urllib.request.urlopen(url, timeout=10).read().decode()
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def dial(campus, url):
    """Return a connection to the page on which nothing was said."""
    host, _, port = url.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    with inside(campus.host.ns):
        return socket.create_connection((host, int(port)), timeout=15)


def test_the_page_says_what_is_desired_what_was_repaired_and_how_leases_stand(campus):
    listen(campus, "127.0.0.1:0")
    campus.host.start_neod()
    campus.host.wait()
    url = served(campus)
    seen = scrape(campus, url)
    assert seen["neod_converged"] == 1
    assert seen['neod_mode{mode="running"}'] == 1
    assert seen['neod_resources{kind="link",phase="in-sync"}'] == N
    assert seen['neod_leases{state="bound"}'] == N
    assert 0 < seen["neod_lease_expiry_seconds"] < 1e6
    assert seen['neod_writes_total{kind="link",op="create"}'] == N
    assert not [name for name in seen if name.startswith("neod_repairs_total")]
    campus.host.ip("link", "del", "neo2")
    repaired = 'neod_repairs_total{kind="link",drift="missing"}'
    poll(lambda: scrape(campus, url).get(repaired) == 1, 20, why="the repair is counted")
    campus.host.write_config("nonsense")
    assert campus.host.ctl("reload").status == 78
    seen = scrape(campus, url)
    assert (seen['neod_reloads_total{result="invalid"}'], seen["neod_file_stale"]) == (1, 1)


def test_a_reload_moves_the_page_and_takes_it_away(campus):
    campus.host.write_config(campus.file())
    campus.host.start_neod()
    campus.host.wait()
    assert notes(campus) == []
    listen(campus, "127.0.0.1:9110")
    assert campus.host.ctl("reload").status in (0, 1)
    assert served(campus) == "http://127.0.0.1:9110/metrics"
    listen(campus, "[::1]:9111")
    assert campus.host.ctl("reload").status in (0, 1)
    poll(lambda: notes(campus) == ["metrics: http://[::1]:9111/metrics"], 10, why="the page has moved")
    assert scrape(campus, "http://[::1]:9111/metrics")["neod_converged"] == 1
    with pytest.raises(OSError):
        dial(campus, "http://127.0.0.1:9110/metrics")
    campus.host.write_config(campus.file())
    assert campus.host.ctl("reload").status in (0, 1)
    poll(lambda: notes(campus) == [], 10, why="the page is gone")
    with pytest.raises(OSError):
        dial(campus, "http://[::1]:9111/metrics")


def test_a_port_that_is_taken_is_told_and_asked_for_again(campus):
    with inside(campus.host.ns):
        holder = socket.create_server(("127.0.0.1", 9110))
    with holder:
        listen(campus, "127.0.0.1:9110")
        campus.host.start_neod()
        campus.host.wait()
        found = poll(lambda: notes(campus), 10, why="the note")
        assert found == ["metrics: cannot listen on 127.0.0.1:9110: Address already in use; tried again"]
    assert served(campus) == "http://127.0.0.1:9110/metrics"


def test_readers_that_say_nothing_keep_neither_the_daemon_nor_later_readers_waiting(campus):
    listen(campus, "127.0.0.1:0")
    campus.host.start_neod()
    campus.host.wait()
    url = served(campus)
    silent = [dial(campus, url) for _ in range(40)]
    try:
        assert campus.host.ctl("status").status == 0
        turned_away = silent[-1]
        assert _ended(turned_away)
        poll(lambda: all(_ended(sock) for sock in silent), 30, why="all are hung up on")
        assert scrape(campus, url)["neod_converged"] == 1
    finally:
        for sock in silent:
            sock.close()


def _ended(sock):
    """Whether the daemon has hung up."""
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
