"""The lock of a network namespace: who holds it, and what is left of it."""

import os
from pathlib import Path

import pytest

from neod.daemon.lock import AlreadyRunning, hold_namespace

OURS = Path("/proc/self/ns/net")


@pytest.fixture
def locks(tmp_path):
    return tmp_path / "run" / "locks"


def test_second_holder_is_refused_and_told_of_the_first(locks):
    first = hold_namespace(OURS, Path("/run/one"), locks)
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}, runtime directory /run/one"):
        hold_namespace(OURS, Path("/run/two"), locks)
    first.release()
    hold_namespace(OURS, Path("/run/two"), locks).release()


def test_release_leaves_no_file(locks):
    hold_namespace(OURS, Path("/run/one"), locks).release()
    assert list(locks.iterdir()) == []


def test_file_of_a_dead_process_stops_nobody(locks):
    lock = hold_namespace(OURS, Path("/run/one"), locks)
    os.close(lock.fd)  # as the kernel does when a process ends
    hold_namespace(OURS, Path("/run/two"), locks).release()


def test_file_is_named_by_device_and_inode(locks, tmp_path):
    other = tmp_path / "another"
    other.touch()
    held = [hold_namespace(place, Path("/run/one"), locks) for place in (OURS, other)]
    for place, lock in zip((OURS, other), held, strict=True):
        found = place.stat()
        assert lock.path.name == f"netns-{found.st_dev}-{found.st_ino}"
        lock.release()


def test_directory_that_others_may_enter_is_closed_to_them(locks):
    locks.mkdir(mode=0o777, parents=True)
    locks.chmod(0o777)
    hold_namespace(OURS, Path("/run/one"), locks).release()
    assert locks.stat().st_mode & 0o777 == 0o700


def test_directory_of_somebody_else_is_refused(locks, monkeypatch):
    locks.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: locks.stat().st_uid + 1)
    with pytest.raises(PermissionError) as refused:
        hold_namespace(OURS, Path("/run/one"), locks)
    assert refused.value.filename == str(locks)


def test_link_in_the_place_of_the_directory_is_refused(locks, tmp_path):
    locks.parent.mkdir()
    locks.symlink_to(tmp_path)
    with pytest.raises(OSError):
        hold_namespace(OURS, Path("/run/one"), locks)
