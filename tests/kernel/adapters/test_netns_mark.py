"""A named namespace says itself whose it is: the mark is inside, whatever becomes of files beside it."""

import asyncio
import os
import subprocess
import uuid
from pathlib import Path

import pytest

from neod.kernel.errors import within_netns
from neod.kernel.netns_files import NamedNamespaces
from neod.kinds.netns import NetnsSpec, seen_as
from neod.model.change import Seen
from neod.netlink.netns import NAMED

pytestmark = pytest.mark.kernel

OURS, FOREIGN = Seen(NetnsSpec(), True), Seen(NetnsSpec(ours=False), False)


@pytest.fixture
def name():
    if os.geteuid():
        pytest.skip("needs root")
    name = f"neomark-{uuid.uuid4().hex[:6]}"
    yield name
    subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
    (NAMED / name).unlink(missing_ok=True)


def seen(names, name):
    return seen_as(asyncio.run(names.look(name)))


def ip(name, *words):
    return subprocess.run(["ip", "-n", name, *words], check=True, capture_output=True, text=True).stdout


def test_it_is_ours_when_the_runtime_directory_was_emptied(name, tmp_path):
    asyncio.run(NamedNamespaces(tmp_path / "before").make(name))
    names = NamedNamespaces(tmp_path / "after")
    assert names.names() == [name], "also where the file no longer asks for it"
    assert seen(names, name) == OURS
    asyncio.run(names.remove(name))
    assert not (NAMED / name).exists()


def test_one_that_a_neod_of_another_namespace_made_is_not(name, tmp_path):
    other = f"{name}-o"
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        within_netns(NAMED / other, lambda: asyncio.run(NamedNamespaces(tmp_path / "theirs").make(name)))
        names = NamedNamespaces(tmp_path / "ours")
        assert name not in names.names()
        assert seen(names, name) == FOREIGN
        asyncio.run(names.remove(name))
        assert (NAMED / name).exists()
    finally:
        subprocess.run(["ip", "netns", "del", other], check=True)


def test_one_that_only_the_file_of_0_1_0_knows_is_ours_and_gets_the_mark(name, tmp_path):
    asyncio.run(NamedNamespaces(tmp_path).make(name))
    ip(name, "link", "set", "lo", "group", "0", "alias", "")
    names = NamedNamespaces(tmp_path)
    assert seen(names, name) == Seen(NetnsSpec(marked=False), True)
    asyncio.run(names.make(name))
    assert seen(names, name) == OURS
    assert "group 110" in ip(name, "link", "show", "lo")


def test_one_of_0_1_0_with_its_group_alone_is_ours(name, tmp_path):
    asyncio.run(NamedNamespaces(tmp_path).make(name))
    ip(name, "link", "set", "lo", "alias", "")
    assert seen(NamedNamespaces(tmp_path / "lost"), name) == OURS


def test_the_number_of_a_namespace_that_went_is_no_mark(name, tmp_path):
    first = NamedNamespaces(tmp_path)
    asyncio.run(first.make(name))
    found = (NAMED / name).stat()
    note = (tmp_path / name).read_text()
    subprocess.run(["ip", "netns", "del", name], check=True)
    subprocess.run(["ip", "netns", "add", name], check=True)
    ip(name, "link", "add", "br0", "type", "bridge")
    ip(name, "link", "set", "br0", "up")
    (tmp_path / name).write_text(note.replace(str(found.st_ino), str((NAMED / name).stat().st_ino)))
    assert seen(NamedNamespaces(tmp_path), name) == FOREIGN, "somebody lives there"


def test_an_empty_file_that_a_kill_left_goes_and_that_of_others_stays(name, tmp_path):
    (NAMED / name).touch()
    assert NamedNamespaces(tmp_path).names() == []
    assert (NAMED / name).exists()
    Path(tmp_path / name).write_text("{}")
    NamedNamespaces(tmp_path).names()
    assert not (NAMED / name).exists()
