"""One throw-away namespace a test, with ``up0``, one end of a veth, and foreign neighbours on purpose."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from tests.doubles.kernel import Fixed
from tests.lab.netns import delete, namespace

from neod.kernel.clock import SystemClock
from neod.kernel.errors import within_netns
from neod.kernel.files import StateFile
from neod.kernel.moved_links import NetlinkMovedLinks
from neod.kernel.mptcp import NetlinkMptcp
from neod.kernel.netfilter.port import KernelNetfilter
from neod.kernel.netns_files import NamedNamespaces
from neod.kernel.rtnl import NetlinkRtnl
from neod.kernel.sysctls import ProcSysctls
from neod.kinds import REGISTRY
from neod.model.ports import Ports


def ip(netns, *words):
    done = subprocess.run(["ip", "-n", netns, *words], capture_output=True, text=True)
    if "FIB table does not exist" in done.stderr:
        return ""
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


class RealKernel:
    """A namespace, and a way to run coroutines inside it with the real ports."""

    def __init__(self, name, state_dir):
        self.name, self._state_dir = name, state_dir

    def ip(self, *words):
        return ip(self.name, *words)

    def run(self, work):
        """Return what ``await work(drivers, ports)`` returns, run by a thread inside the namespace."""

        async def go():
            rtnl = NetlinkRtnl()
            sysctls = ProcSysctls(StateFile(self._state_dir / "sysctls.json"))
            mptcp = NetlinkMptcp()
            netfilter = KernelNetfilter(None, SystemClock())
            namespaces = NamedNamespaces(self._state_dir / "netns")
            ports = Ports("", SystemClock(), rtnl, sysctls, NetlinkMovedLinks(), mptcp, netfilter, namespaces)
            drivers = Fixed({("", entry.kind.name): entry.driver(ports) for entry in REGISTRY})
            try:
                await drivers["", "link"].observe_all(())
                return await work(drivers, ports)
            finally:
                rtnl.close()
                mptcp.close()
                netfilter.close()

        return within_netns(Path("/run/netns") / self.name, lambda: asyncio.run(go()))


@pytest.fixture
def real(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with namespace("contract") as name:
        for words in (
            "link add up0 type veth peer name up1",
            "link set up0 up",
            "link set up1 up",
            "link add foreign1 link up0 type macvlan mode private",
            "addr add 192.0.2.9/24 dev up0",
            "rule add from 192.0.2.9 lookup 99 priority 999",
        ):
            ip(name, *words.split())
        try:
            yield RealKernel(name, tmp_path)
        finally:
            delete(f"neoc-{os.getpid()}-made")
