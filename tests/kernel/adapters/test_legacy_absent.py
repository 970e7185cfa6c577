"""A kernel that has not loaded the module of the legacy tables, as Debian's has not until somebody asks for them."""

import os
from pathlib import Path

import pytest

from neod.kernel.clock import SystemClock
from neod.kernel.errors import within_netns
from neod.kernel.netfilter.legacy import tables as iptables

pytestmark = pytest.mark.kernel


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_in_a_namespace_too_tables_that_are_not_there_are_none_and_no_error(monkeypatch):
    monkeypatch.setattr(iptables, "NAMES", {4: "/proc/thread-self/net/absent", 6: "/proc/thread-self/net/absent"})
    tables = iptables.LegacyTables(None, lambda call: within_netns(Path("/proc/self/ns/net"), call), SystemClock())
    assert (tables.names(4), tables.names(6)) == ((), ())
    assert tables.read(6, "nat") is None
