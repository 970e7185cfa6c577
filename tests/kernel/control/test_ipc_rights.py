"""Every verb, called by every kind of caller, over a real socket file with its real owner, groups and mode."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.doubles.control import FakeControl, serving

from neod.control.access import Groups
from neod.control.varlink import VERBS

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")]

NEO, NEO_READ, OTHER = 54321, 54322, 54323  # gids that nothing else has

READ = (
    ("Diff", {}),
    ("Doctor", {}),
    ("Events", {}),
    ("Leases", {}),
    ("Paths", {}),
    ("Plan", {}),
    ("Show", {"which": "desired"}),
    ("Status", {}),
    ("Status", {"object": "neo1"}),
    ("Wait", {}),
    ("Why", {"object": "neo1"}),
)
WRITE = (
    ("Apply", {}),
    ("Confirm", {}),
    ("Doctor", {"server": "192.0.2.1:443"}),  # it connects
    ("Down", {}),
    ("Pause", {}),
    ("Plan", {"file": "/etc/shadow"}),  # a root process opens the file, and quotes from it
    ("Reload", {}),
    ("Resume", {}),
)

CALLS = """
import json, os, sys
directory, uid, gid, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
from neod.control.client import ControlClient
from neod.control.errors import ControlError
os.setgroups([gid])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
for method, parameters in calls:
    try:
        with ControlClient(directory) as client:
            if method == "Events":
                list(client.stream(method, **parameters))
            else:
                client.call(method, 10.0, **parameters)
        print("answered")
    except ControlError as exc:
        print(type(exc).__name__)
"""


async def calls_as(directory: str, uid: int, gid: int, calls: tuple[object, ...]) -> list[str]:
    """Return what comes of each of *calls* by a process of another user."""
    argv = (sys.executable, "-c", CALLS, directory, str(uid), str(gid), json.dumps(calls))
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode().split()


@pytest.fixture
def public_dir():
    """A directory that every user can reach; pytest's own are closed."""
    directory = tempfile.mkdtemp(prefix="neo-ipc-")
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory)


def test_the_table_has_every_verb():
    assert {name for name, _ in (*READ, *WRITE)} == set(VERBS)


@pytest.mark.parametrize(
    ("uid", "gid", "reads", "writes"),
    [
        pytest.param(0, 0, "answered", "answered", id="root"),
        pytest.param(65534, NEO, "answered", "answered", id="group neo"),
        pytest.param(65534, NEO_READ, "answered", "NotAllowed", id="group neo-read"),
        pytest.param(65534, OTHER, "NoAccess", "NoAccess", id="anybody else"),
    ],
)
async def test_every_verb_by_every_kind_of_caller(public_dir, uid, gid, reads, writes):
    control = FakeControl()
    async with serving(control, Path(public_dir), groups=Groups(NEO, NEO_READ)):
        assert await calls_as(public_dir, uid, gid, READ) == [reads] * len(READ)
        assert await calls_as(public_dir, uid, gid, WRITE) == [writes] * len(WRITE)
    answered = (READ if reads == "answered" else ()) + (WRITE if writes == "answered" else ())
    assert [verb for verb, *_ in control.calls] == [name.lower() for name, _ in answered]


@pytest.mark.parametrize(
    ("groups", "mode", "gid"),
    [
        pytest.param(Groups(), 0o600, os.getegid(), id="no group: root only"),
        pytest.param(Groups(NEO), 0o660, NEO, id="as in 0.1.0"),
        pytest.param(Groups(NEO, NEO_READ), 0o660, NEO, id="both"),
    ],
)
async def test_mode_and_group_of_the_socket(public_dir, groups, mode, gid):
    async with serving(FakeControl(), Path(public_dir), groups=groups) as server:
        status = server.path.stat()
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (mode, 0, gid)


async def test_readers_alone_are_no_writers(public_dir):
    async with serving(FakeControl(), Path(public_dir), groups=Groups(None, NEO_READ)):
        calls = (("Status", {}), ("Down", {}))
        assert await calls_as(public_dir, 65534, NEO_READ, calls) == ["answered", "NotAllowed"]
        assert await calls_as(public_dir, 65534, 0, calls) == ["NoAccess", "NoAccess"]
