"""The directories of a running or starting neod, in the hands of others: it goes on, and is asked as before."""

import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from tests.lab import netns
from tests.lab.host import Host
from tests.lab.netns import ip, poll
from tests.lab.process import catches

pytestmark = pytest.mark.kernel

NAMES = ("leases.json", "sysctls.json", "translation.json", "machine-id", "last-good.toml", "unconfirmed")
TEXT = '[links.br7]\nkind = "bridge"\n'


@pytest.fixture
def host(laboratory, tmp_path) -> Iterator[Host]:
    with netns.namespace("files") as ns:
        host = Host(ns, tmp_path / "host")
        host.write_config(TEXT)
        try:
            yield host
        finally:
            host.close()


@pytest.fixture
def started(host) -> Host:
    host.start_neod()
    host.wait(15)
    return host


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_start_goes_on_whatever_has_the_names_of_its_files(host, put):
    for path in (*(host.state / name for name in NAMES), host.runtime / "lock", host.runtime / "neod.sock"):
        put(path)
    host.start_neod()
    host.ready(15)
    assert host.ctl("status").status == 0
    assert (host.state / "leases.json.bad").exists() or (host.state / "leases.json.bad").is_symlink()
    assert "kept as sysctls.json.bad" in host.log.read_text()


def replace_by_a_file(host: Host) -> None:
    shutil.rmtree(host.runtime)
    host.runtime.write_text("not a directory")


LOSSES = {
    "the socket file": lambda host: (host.runtime / "neod.sock").unlink(),
    "the directory": lambda host: shutil.rmtree(host.runtime),
    "rights": lambda host: (host.runtime / "neod.sock").chmod(0),
    "a file in its place": replace_by_a_file,
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES.keys())
def test_a_control_socket_that_is_taken_away_is_made_again(started, lose):
    mode = (started.runtime / "neod.sock").stat().st_mode
    lose(started)

    def is_back() -> bool:
        path = started.runtime / "neod.sock"
        return path.exists() and path.stat().st_mode == mode and started.ctl("status").status == 0

    poll(is_back, 10, 0.2, started.tail())
    assert started.neod.running


def test_a_state_directory_that_cannot_be_written_stops_no_repair(started):
    """Root may write whatever its mode is; a file in the place of the directory stops it, too."""
    shutil.rmtree(started.state)
    started.state.write_text("in the way")
    started.write_config(TEXT + '[sysctl]\n"net.ipv4.tcp_ecn" = "0"\n')
    started.reload()
    poll(lambda: started.sysctl("ipv4/tcp_ecn") == "0", 5, why="the sysctl is set")
    started.ip("link", "del", "br7")
    poll(lambda: "br7" in started.ip("link"), 5, why="the link is back")
    assert "cannot be written" in started.ctl("status").out
    started.state.unlink()
    poll(lambda: (started.state / "sysctls.json").exists(), 10, why="written when it can be")
    assert "cannot be written" not in started.ctl("status").out


def test_a_reload_ends_nothing_whatever_goes_away_meanwhile(started):
    started.config.unlink()
    started.reload()
    poll(lambda: "file not used" in started.log.read_text(), 10, why="it is said")
    started.write_config(TEXT)
    for _ in range(10):
        started.neod.signal(signal.SIGHUP)
        started.ip_fails("link", "del", "br7")
    poll(lambda: "br7" in started.ip("link"), 10, why="the link is back")
    assert started.neod.running


@pytest.mark.parametrize("lost", ["while it was stopped", "before it could be written"])
def test_old_values_come_back_without_the_state_directory(started, lost):
    """Those of sysctls, and the limits of MPTCP."""

    def values() -> tuple[str, str]:
        return started.sysctl("ipv4/tcp_ecn"), ip(started.ns, "mptcp", "limits", "show")

    before = values()
    if lost == "before it could be written":
        shutil.rmtree(started.state)
        started.state.write_text("in the way")
    started.write_config(TEXT + '[mptcp]\nsubflows = 7\n[sysctl]\n"net.ipv4.tcp_ecn" = "0"\n')
    assert started.ctl("reload").status == 0
    started.wait(15)
    assert all(now != then for now, then in zip(values(), before, strict=True))
    started.stop()
    shutil.rmtree(started.state) if started.state.is_dir() else started.state.unlink()
    started.start_neod()
    started.wait(15)
    assert started.ctl("down").status == 0
    assert values() == before


def test_a_reload_that_is_asked_for_during_the_start_is_done_after_it(host):
    neod = host.start_neod()
    poll(lambda: catches(neod.pid, signal.SIGHUP), 10, 0.001, "it keeps the signal")
    neod.signal(signal.SIGHUP)
    poll(lambda: "reload detail" in host.log.read_text(), 20, why=f"the reload; {host.tail()}")
    host.wait(15)
