"""No path of a sysctl leads out of /proc/sys/net, to read or to write, whatever a name in it says."""

import errno
import os
from pathlib import Path

import pytest
from tests.lab.netns import namespace

from neod.kernel.files import StateFile
from neod.kernel.sysctls import NetnsSysctls
from neod.model.errors import KernelError
from neod.netlink import libc

pytestmark = pytest.mark.kernel
HERE = "net/ipv4/conf/lo/arp_ignore"
OUT = [
    "net/../kernel/hostname",
    "net/ipv4/conf/../../../kernel/hostname",
    "kernel/hostname",
    "/proc/sys/kernel/hostname",
    "net//etc/hostname",
    "net/ipv4/conf/lo/../../../../vm/swappiness",
    "../../etc/hostname",
]


@pytest.fixture(params=["openat2", "step by step"])
def sysctls(request, tmp_path, monkeypatch):
    if os.geteuid():
        pytest.skip("needs root")
    if request.param != "openat2":
        monkeypatch.setattr(libc, "OPENAT2", 100_000)  # a call that no kernel has
    with namespace("sys") as name:
        yield NetnsSysctls(Path("/run/netns") / name, StateFile(tmp_path / "sysctls.json"))


@pytest.mark.parametrize("path", OUT)
def test_nothing_outside_is_read_or_written(sysctls, path):
    assert sysctls.read([path, HERE]) == {HERE: "0"}
    refusals = sysctls.change({path: "neo-was-here", HERE: "1"})
    assert isinstance(refusals[path], KernelError)
    assert refusals[HERE] is None
    assert sysctls.read([HERE]) == {HERE: "1"}


def test_a_nul_ends_no_path(sysctls):
    (refusal,) = sysctls.change({"net/ipv4/ip_forward\0x": "1"}).values()
    assert refusal is not None


def test_a_link_on_the_way_is_not_followed(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").write_text("1")
    (tmp_path / "inside" / "link").symlink_to("../outside")
    (tmp_path / "inside" / "all").symlink_to("..")
    root = os.open(tmp_path / "inside", os.O_PATH | os.O_DIRECTORY)
    try:
        for path in ("link", "all/outside", "../outside", str(tmp_path / "outside")):
            for look in (libc.open_beneath, libc.walk_beneath):
                with pytest.raises(OSError, match=r".") as refused:
                    look(root, path, os.O_RDONLY)
                assert refused.value.errno in (errno.EXDEV, errno.ELOOP, errno.ENOTDIR)
    finally:
        os.close(root)
