"""Two programs make one namespace at the same time: whose mount is on top, and who lives in it."""

import asyncio
import os
import subprocess
import uuid

import pytest

from neod.kernel.netns_files import NamedNamespaces
from neod.kinds.netns import NetnsSpec, seen_as
from neod.model.change import Seen

pytestmark = pytest.mark.kernel


@pytest.fixture
def covered(tmp_path):
    """A namespace that we made, and one of somebody else mounted over it; its name, and our port."""
    if os.geteuid():
        pytest.skip("needs root")
    names, name, other = NamedNamespaces(tmp_path / "marks"), *(f"neocov-{uuid.uuid4().hex[:6]}-{x}" for x in "ab")
    try:
        asyncio.run(names.make(name))
        subprocess.run(["ip", "netns", "add", other], check=True)
        subprocess.run(["mount", "--bind", f"/run/netns/{other}", f"/run/netns/{name}"], check=True)
        yield name, names
    finally:
        subprocess.run(["umount", f"/run/netns/{name}"], check=False)
        for each in (name, other):
            subprocess.run(["ip", "netns", "del", each], check=False)


def link(name, *more):
    for words in (["add", "br0", *more, "type", "bridge"], ["set", "br0", "up"]):
        subprocess.run(["ip", "-n", name, "link", *words], check=True)


def test_a_namespace_in_which_only_links_of_ours_are_up_is_taken_over(covered):
    name, names = covered
    link(name, "group", "110")
    assert seen_as(asyncio.run(names.look(name))) is None, "nobody else's: to be made anew"
    asyncio.run(names.make(name))
    assert seen_as(asyncio.run(names.look(name))) == Seen(NetnsSpec(), True)


def test_a_namespace_in_which_a_link_of_somebody_else_is_up_is_left_alone(covered):
    name, names = covered
    link(name)
    assert seen_as(asyncio.run(names.look(name))) == Seen(NetnsSpec(ours=False), False)
