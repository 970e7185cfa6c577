"""neo-race.service under the systemd of Debian: what its sandbox lets it do, and what it does not."""

from collections.abc import Iterator

import pytest
from tests.lab import poll
from tests.lab.debian.campus import BootedCampus
from tests.lab.race.racer import Server, dial, echo

LISTEN = ("127.0.0.1", 4430)


@pytest.fixture
def upstream(running: BootedCampus) -> Iterator[Server]:
    """A server on the LAN that echoes."""
    with Server(running.lan, echo, (str(running.plan.gateway), 443)) as server:
        yield server


@pytest.fixture
def racing(running: BootedCampus, upstream: Server) -> BootedCampus:
    """A host with neod converged and neo-race enabled."""
    configure(running, upstream.upstream)
    running.host.ok("systemctl reload neod && systemctl enable --now --quiet neo-race")
    return running


def configure(host: BootedCampus, *upstreams: str, keys: str = 'stagger = "250ms"') -> None:
    listed = ", ".join(f'"{upstream}"' for upstream in upstreams)
    race = f'[races.proxy]\nlisten = "127.0.0.1:4430"\nupstreams = [{listed}]\nmptcp = true\n{keys}\n'
    host.configure(more=race)


def talks(host: BootedCampus) -> bool:
    with dial(host.host.ns, LISTEN) as client:
        client.sendall(b"x" * 100_000)  # enough to be spliced
        got = 0
        while got < 100_000:
            got += len(client.recv(1 << 16))
        return True


def told(host: BootedCampus, text: str) -> bool:
    return text in host.journal("neo-race")


def test_it_serves_as_nobody_from_the_addresses_that_neod_keeps(racing: BootedCampus, upstream: Server) -> None:
    addresses = set(racing.addresses())
    poll(lambda: all(told(racing, address) for address in addresses), 20, why="it was told the addresses")
    assert all(talks(racing) for _ in range(24))
    assert {host for host, _ in upstream.peers} == addresses
    pid = racing.show("MainPID", "neo-race")
    assert racing.host.ok("stat -c %u /proc/$1", pid).strip() != "0"
    assert "CapPrm:\t0000000000000000" in racing.host.ok("cat /proc/$1/status", pid)
    assert "races" in racing.show("StatusText", "neo-race")
    assert "Traceback" not in racing.journal("neo-race")


def test_a_reload_keeps_what_is_open(racing: BootedCampus, upstream: Server) -> None:
    pid = racing.show("MainPID", "neo-race")
    with dial(racing.host.ns, LISTEN) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        configure(racing, upstream.upstream, keys='stagger = "0ms"')
        racing.host.ok("systemctl reload neo-race")
        poll(lambda: told(racing, "race changed"), 20, why="the file was read again")
        client.sendall(b"y")
        assert client.recv(1) == b"y"
    assert racing.show("MainPID", "neo-race") == pid


def test_the_watchdog_ends_one_that_hangs(racing: BootedCampus) -> None:
    racing.host.write("/etc/systemd/system/neo-race.service.d/fast.conf", "[Service]\nWatchdogSec=2\n")
    racing.host.ok("systemctl daemon-reload && systemctl restart neo-race")
    pid = racing.show("MainPID", "neo-race")
    racing.host.ok("kill -STOP $1", pid)
    poll(lambda: racing.show("MainPID", "neo-race") not in ("0", pid), 30, why="another process serves")
    poll(lambda: racing.show("SubState", "neo-race") == "running", 20, why="it is ready")
    assert talks(racing)


def test_a_restart_of_neod_goes_unnoticed(racing: BootedCampus) -> None:
    with dial(racing.host.ns, LISTEN) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        racing.host.ok("systemctl restart neod")
        assert talks(racing)
        client.sendall(b"y")
        assert client.recv(1) == b"y"


def test_its_exposure_is_within_bounds(racing: BootedCampus) -> None:
    assert racing.host.run("systemd-analyze security --threshold=15 neo-race.service").status == 0
