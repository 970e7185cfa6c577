"""Leases on disk: never half of a file, never a lease of another boot taken for one of this."""

import errno
import json
import os
import random
import signal
import stat
import time
import zlib
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neod.dhcp.store import LeaseStore, StoredLease
from neod.kernel.files import StateFile
from neod.model.facts import FOREVER, Lease


class Clock:
    def __init__(self, boottime=1000.0, wall=1_700_000_000.0):
        self.boot_s, self.wall_s = boottime, wall

    def boottime(self):
        return self.boot_s

    def wall(self):
        return self.wall_s


LEASE = Lease(
    "m1",
    IPv4Address("10.77.1.5"),
    16,
    IPv4Address("10.77.0.1"),
    IPv4Address("10.77.0.2"),
    bound_at=900.0,
    renew_at=2700.5,
    rebind_at=4050.0,
    expires_at=4500.0,
    dns=(IPv4Address("10.0.0.53"),),
    domain="campus.example",
    mtu=1400,
    routes=(("192.168.0.0/16", IPv4Address("10.77.0.9")),),
)
ENTRY = StoredLease(LEASE, "02:4e:00:00:00:01", "02:4e:00:00:00:ff")


@pytest.fixture
def boot_id(tmp_path):
    path = tmp_path / "boot_id"
    path.write_text("first-boot\n")
    return path


@pytest.fixture
def store(tmp_path, boot_id):
    (tmp_path / "state").mkdir()

    def make(clock=None):
        return LeaseStore(StateFile(tmp_path / "state" / "leases.json"), clock or Clock(), boot_id=boot_id)

    return make


def path_of(tmp_path):
    return tmp_path / "state" / "leases.json"


def test_what_was_saved_is_loaded(store):
    bare = StoredLease(
        replace(LEASE, link="m2", gateway=None, mtu=None, dns=(), routes=(), domain="", expires_at=FOREVER),
        "02:aa:00:00:00:01",
    )
    assert store().save({"m1": ENTRY, "m2": bare}) == ""
    assert store().load() == {"m1": ENTRY, "m2": bare}


def test_a_missing_file_is_no_lease_and_no_problem(store):
    fresh = store()
    assert fresh.load() == {}
    assert fresh.problem == ""


def test_a_lease_that_has_ended_is_not_loaded(store):
    store().save({"m1": ENTRY})
    assert store(Clock(boottime=4499.0)).load() == {"m1": ENTRY}
    assert store(Clock(boottime=4500.0)).load() == {}


def test_the_wall_clock_does_not_matter_within_a_boot(store):
    store().save({"m1": ENTRY})
    for wall in (0.0, 4e9):
        assert store(Clock(wall=wall)).load() == {"m1": ENTRY}


@pytest.mark.parametrize(
    ("away_s", "left_s"),
    [
        pytest.param(60, 3440, id="a minute away"),
        pytest.param(3499, 1, id="nearly too long"),
        pytest.param(3500, None, id="too long"),
        pytest.param(-1e6, 3500, id="a wall clock that went backwards counts as no time"),
    ],
)
def test_after_a_reboot_the_time_away_is_the_wall_clocks(store, boot_id, away_s, left_s):
    store().save({"m1": ENTRY})  # 3500 s left
    boot_id.write_text("second-boot\n")
    loaded = store(Clock(boottime=7.0, wall=1_700_000_000.0 + away_s)).load()
    if left_s is None:
        assert loaded == {}
    else:
        lease = loaded["m1"].lease
        assert lease.expires_at - 7.0 == pytest.approx(left_s)
        assert lease.expires_at - lease.renew_at == pytest.approx(4500 - 2700.5)


def test_a_lease_without_end_survives_a_reboot(store, boot_id):
    endless = replace(LEASE, renew_at=FOREVER, rebind_at=FOREVER, expires_at=FOREVER)
    store().save({"m1": StoredLease(endless, "02:aa:00:00:00:01")})
    boot_id.write_text("second-boot\n")
    assert store(Clock(boottime=7.0)).load()["m1"].lease.expires_at == FOREVER


def test_only_the_owner_may_read_it(store, tmp_path):
    store().save({"m1": ENTRY})
    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o600
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == ["leases.json"]


def damaged(content):
    body = json.loads(content)
    yield "empty", b""
    yield "half", content[: len(content) // 2]
    yield "zeros", bytes(len(content))
    yield "not JSON", b"leases"
    yield "another shape", b"[]"
    yield "null", b"null"
    yield "no body", b'{"version":1}'
    yield "another version", content.replace(b'"version":1', b'"version":2')
    yield "one digit changed", content.replace(b"10.77.1.5", b"10.77.1.6")
    yield "another checksum", json.dumps(body | {"crc32": 5}).encode()
    yield "deep", b"[" * 100_000
    yield "not UTF-8", b"\xff\xfe" + content


def test_a_damaged_file_is_set_aside_and_taken_for_none(store, tmp_path):
    store().save({"m1": ENTRY})
    path = path_of(tmp_path)
    for name, content in damaged(path.read_bytes()):
        path.write_bytes(content)
        fresh = store()
        assert fresh.load() == {}, name
        assert "leases.json.bad" in fresh.problem, name
        assert not path.exists(), name
        assert path.with_name("leases.json.bad").read_bytes() == content, name


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5000), st.integers(1, 255))
def test_no_single_changed_byte_goes_unnoticed(store, tmp_path, at, change):
    store().save({"m1": ENTRY})
    content = bytearray(path_of(tmp_path).read_bytes())
    content[at % len(content)] ^= change
    path_of(tmp_path).write_bytes(content)
    assert store().load() in ({}, {"m1": ENTRY})


def test_a_crash_while_writing_leaves_the_old_file(store, tmp_path, monkeypatch):
    store().save({"m1": ENTRY})
    before = path_of(tmp_path).read_bytes()

    def die(fd):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        store().save({})
    monkeypatch.undo()
    assert path_of(tmp_path).read_bytes() == before
    assert store().save({}) == "", "what the crash left behind is no hindrance"
    assert store().load() == {}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_disk_that_fails_is_reported_and_the_old_file_stays(store, tmp_path, monkeypatch, code, call):
    keeper = store()
    keeper.save({"m1": ENTRY})

    def fail(*_args, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    assert os.strerror(code) in keeper.save({})
    assert keeper.problem
    monkeypatch.undo()
    assert store().load() == {"m1": ENTRY}
    assert keeper.save({}) == keeper.problem == ""


def test_a_planted_link_is_not_followed(store, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "state" / "leases.json.tmp").symlink_to(victim)
    store().save({"m1": ENTRY})
    assert victim.read_text() == "precious"
    assert store().load() == {"m1": ENTRY}


def _write_for_ever(store):
    sizes = [{f"m{n}": replace(ENTRY, lease=replace(LEASE, link=f"m{n}")) for n in range(size)} for size in (30, 300)]
    while True:
        for leases in sizes:
            if store.save(leases):
                os._exit(1)


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_one_of_the_two_files(store):
    rng = random.Random(5)
    seen = set()
    rounds = 0
    while rounds < 60 or (not {30, 300} <= seen and rounds < 600):  # a busy machine needs longer for both
        rounds += 1
        writer = os.fork()
        if writer == 0:
            _write_for_ever(store())
        time.sleep(rng.uniform(0.005, 0.04 + rounds / 2000))
        os.kill(writer, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(writer, 0)[1])
        fresh = store()
        seen.add(len(fresh.load()))
        assert fresh.problem == ""
    assert {30, 300} <= seen <= {0, 30, 300}


def test_a_directory_that_was_removed_is_made_again(tmp_path):
    store = LeaseStore(StateFile(tmp_path / "nowhere" / "leases.json"), Clock())
    assert store.load() == {}
    assert store.save({"m1": ENTRY}) == ""
    assert store.load() == {"m1": ENTRY}


def test_a_directory_that_cannot_be_made_is_a_problem_and_no_exception(tmp_path):
    (tmp_path / "nowhere").write_text("a file")
    store = LeaseStore(StateFile(tmp_path / "nowhere" / "leases.json"), Clock())
    assert store.load() == {}
    assert store.save({"m1": ENTRY})


SENSELESS = {
    "prefix": {"prefix_length": 99},
    "prefix of a text": {"prefix_length": "24"},
    "half of the Internet": {"prefix_length": 1},
    "no address": {"ip": "0.0.0.0"},
    "loopback": {"ip": "127.0.0.1"},
    "multicast": {"ip": "224.0.0.1"},
    "a number": {"ip": 17},
    "router is the address": {"gateway": "10.77.1.5"},
    "router is multicast": {"gateway": "239.1.1.1"},
    "not a number": {"times": [float("nan"), 1, 2, 3]},
    "never ends": {"times": [900.0, 1000.0, 1100.0, 1e300]},
    "not begun": {"times": [1e12, 1e12, 1e12, 1e12]},
    "three times": {"times": [1, 2, 3]},
    "times of texts": {"times": ["a", "b", "c", "d"]},
    "MTU": {"mtu": 7},
    "route": {"routes": [["10.0.0.0/99", "10.77.0.9"]]},
    "list": {"dns": 5},
    "no MAC": {"mac": 5},
    "half a MAC": {"mac": "02:aa"},
    "a server's MAC of letters": {"server_mac": "zz"},
    "a path as link": {"parent": "../eth0"},
    "a domain of half a letter": {"domain": "\ud800"},
    "a reason of half a letter": {"left_out": ["\ud800"]},
}


@pytest.mark.parametrize("wrong", SENSELESS.values(), ids=SENSELESS.keys())
def test_a_lease_that_cannot_be_costs_the_others_nothing(store, tmp_path, wrong):
    store().save({"m1": ENTRY, "m2": replace(ENTRY, lease=replace(LEASE, link="m2"))})
    file = json.loads(path_of(tmp_path).read_text())
    file["body"]["leases"]["m1"] |= wrong
    file["crc32"] = zlib.crc32(json.dumps(file["body"], separators=(",", ":")).encode())
    path_of(tmp_path).write_text(json.dumps(file))
    fresh = store()
    assert list(fresh.load()) == ["m2"]
    assert "lease of 'm1'" in fresh.problem
    assert path_of(tmp_path).with_name("leases.json.bad").exists()
    assert list(store().load()) == ["m2"], "and is on disk"
