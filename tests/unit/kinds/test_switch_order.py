"""What a switch for all interfaces overwrites is written back in the order in which it was looked at."""

import asyncio
from types import SimpleNamespace

from neod.kinds.sysctl import SysctlDriver, SysctlKey, SysctlSpec

LINKS = [f"eth{number}" for number in range(12)]
BY_LINK = [f"net/ipv4/conf/{link}/forwarding" for link in LINKS]
FOR_ALL = "net/ipv4/ip_forward"


class Sysctls:
    """Every interface is open, and nothing is ours."""

    def __init__(self):
        self.values, self.read_paths, self.changed = {**dict.fromkeys(BY_LINK, "1"), FOR_ALL: "1"}, [], []
        self.kept = {}

    def read(self, paths):
        self.read_paths += paths
        return {path: self.values[path] for path in paths}

    def originals(self):
        return self.kept

    def remember(self, values):
        self.kept = {path: value for path, value in {**self.kept, **values}.items() if value is not None}

    def change(self, values):
        self.changed += values
        return dict.fromkeys(values)


def looked_at():
    sysctls = Sysctls()
    rtnl = SimpleNamespace(index_of=lambda link: None, name_of=lambda index: None)
    driver = SysctlDriver(SimpleNamespace(netns="", sysctls=sysctls, rtnl=rtnl))
    asyncio.run(driver.observe_all([SysctlKey("", path) for path in BY_LINK]))
    return sysctls, driver


def test_a_full_look_reads_in_the_order_of_what_is_wanted():
    sysctls, _ = looked_at()
    assert sysctls.read_paths == BY_LINK


def test_what_the_switch_overwrites_is_written_back_in_that_order():
    sysctls, driver = looked_at()
    assert asyncio.run(driver.put([(SysctlKey("", FOR_ALL), SysctlSpec("0"), SysctlSpec("1"))])) == [None]
    assert sysctls.changed == [FOR_ALL, *BY_LINK]
