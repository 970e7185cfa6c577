"""The process that writes legacy tables: what it lacks is named, and what it said last is not lost."""

import asyncio
import logging
import os

import pytest
from tests.lab.netns import namespace

from neod.kernel.clock import SystemClock
from neod.kernel.netfilter.legacy import tables
from neod.kernel.netfilter.port import KernelNetfilter
from neod.model.errors import KernelError
from neod.netlink.netns import NAMED

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
SEPARATOR = "import sys, runpy; sys.path[:] = sys.argv.pop(1).splitlines(); "
ORDER = (4, "nat", {})


def written(monkeypatch, first=""):
    """Return what becomes of an order to a process that runs *first* of all the lines *first*."""
    monkeypatch.setattr(tables, "BOOT", tables.BOOT.replace(SEPARATOR, SEPARATOR + first))

    async def go():
        with namespace("worker") as name:
            netfilter = KernelNetfilter(NAMED / name, SystemClock())
            try:
                await netfilter.legacy_write(*ORDER)
            finally:
                netfilter.close()
                await asyncio.sleep(0)

    asyncio.run(go())


def test_a_missing_library_is_named_with_its_package(monkeypatch):
    lacking = "from neod.kernel.netfilter.legacy import libraries as l, worker as w; find = l.find_library; "
    lacking += "l.find_library = lambda name: None if name.endswith('ip6tc') else find(name); "
    with pytest.raises(KernelError, match=r"without libip6tc\.so.*iptables, or libip6tc2") as refused:
        written(monkeypatch, lacking + "import ctypes.util; w.find_library = l.find_library; ")
    assert not refused.value.transient


def test_a_missing_python_module_is_named(monkeypatch):
    with pytest.raises(KernelError, match=r"python-iptables cannot be loaded: .*iptc"):
        written(monkeypatch, "sys.modules['iptc'] = None; ")


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("raise RuntimeError('no more room'); ", "ended with status 1: RuntimeError: no more room"),
        ("import os; os.write(2, b'killed by the house\\n'); os.kill(os.getpid(), 9); ", "signal 9: killed by the h"),
        ("sys.exit(7); ", "ended with status 7: it said nothing"),
    ],
    ids=["raises", "killed", "silent"],
)
def test_the_last_words_of_a_process_that_ended_are_in_the_error(monkeypatch, caplog, first, told):
    with caplog.at_level(logging.DEBUG), pytest.raises(KernelError, match=told) as refused:
        written(monkeypatch, first)
    assert refused.value.transient
    assert "nknown child process" not in caplog.text


def test_a_namespace_that_cannot_be_entered_is_named(monkeypatch):
    async def go():
        await tables.Writer(NAMED / "never-made").ask({})

    with pytest.raises(KernelError, match=r"nsenter: .*never-made"):
        asyncio.run(go())
