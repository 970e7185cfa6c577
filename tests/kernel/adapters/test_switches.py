"""Sysctls that are copied to all interfaces, on a real kernel: what is wanted of one of them stands meanwhile."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.lab.advertising import advertising
from tests.lab.netns import ip, ip_batch, namespace, poll

from neod.features.forwarding import ForwardingFragment, Opening, Openings
from neod.kernel.clock import SystemClock
from neod.kernel.files import StateFile
from neod.kernel.sysctls import NetnsSysctls
from neod.kinds.sysctl import SysctlDriver, SysctlKey, SysctlSpec
from neod.model.facts import Forwarding, Host
from neod.model.ports import Ports
from neod.model.want import FORWARDING, HOST, Origin

pytestmark = pytest.mark.kernel
V4, V6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"
ETH0 = {4: "net/ipv4/conf/eth0/forwarding", 6: "net/ipv6/conf/eth0/force_forwarding"}


@pytest.fixture
def pair():
    if os.geteuid():
        pytest.skip("needs root")
    with namespace("host") as host, namespace("router") as router:
        ip_batch(host, [f"link add eth0 type veth peer name r0 netns {router}", "link set eth0 up"])
        ip_batch(router, ["link set r0 up"])
        yield host, router


class Links:
    """What rtnetlink has told of the names of links."""

    def __init__(self, **indexes):
        self.index_of, self.indexes = indexes.get, indexes

    def name_of(self, index):
        return next((name for name, known in self.indexes.items() if known == index), None)


def opened(host, store, **links):
    sysctls, names = NetnsSysctls(Path("/run/netns", host), StateFile(store / "sysctls.json")), Links(**links)
    return sysctls, SysctlDriver(Ports("", SystemClock(), names, sysctls, None, None, None, None))


def put(driver, values):
    keys = {SysctlKey("", path): spec for path, spec in values.items()}
    seen = asyncio.run(driver.observe(keys))
    items = [(key, spec, seen[key].spec) for key, spec in keys.items() if key in seen]
    return asyncio.run(driver.put(items))


@pytest.mark.parametrize(("version", "switch"), [(4, V4), (6, V6)])
def test_an_interface_stays_open_when_the_switch_of_an_older_neo_is_put_back(pair, tmp_path, version, switch):
    sysctls, driver = opened(pair[0], tmp_path)
    if not sysctls.read([ETH0[version]]):
        pytest.skip("this kernel forwards IPv6 for the whole host alone")
    put(driver, {switch: SysctlSpec("1")})
    if sysctls.read([ETH0[version]])[ETH0[version]] == "0":
        put(driver, {ETH0[version]: SysctlSpec("1")})
    asyncio.run(driver.observe_all({SysctlKey("", ETH0[version])}))
    assert asyncio.run(driver.drop([SysctlKey("", switch)])) == [None]
    assert sysctls.read([switch, ETH0[version]]) == {switch: "0", ETH0[version]: "1"}
    again, driver = opened(pair[0], tmp_path)
    assert again.originals() == {ETH0[version]: "0"}
    assert asyncio.run(driver.drop([SysctlKey("", ETH0[version])])) == [None]
    assert again.read([ETH0[version]]) == {ETH0[version]: "0"}


def test_what_somebody_switched_on_for_all_later_is_not_switched_off_for_one(pair, tmp_path):
    sysctls, driver = opened(pair[0], tmp_path)
    put(driver, {ETH0[4]: SysctlSpec("1")})
    sysctls.write(V4, "1")
    assert asyncio.run(driver.drop([SysctlKey("", ETH0[4])])) == [None]
    assert (sysctls.read([ETH0[4]]), sysctls.originals()) == ({ETH0[4]: "1"}, {})


@pytest.mark.parametrize("alone", [False, True])
def test_a_default_route_by_advertisement_outlives_the_switch_for_the_host(pair, tmp_path, alone):
    """What kernels before 6.17 need: this one has the switch for the host as well."""
    host, router = pair
    sysctls, driver = opened(host, tmp_path)
    openings = Openings((Opening(6, Origin("forwards.web", 1), ("eth0",)),))
    facts = {HOST: Host("id", force_forwarding=False), FORWARDING: Forwarding(links=("eth0",))}
    wants = {want.key.path: want.spec for want in ForwardingFragment(openings).compile(facts)}
    with advertising(router, "r0"):
        poll(lambda: ip(host, "-6", "route", "show", "default"), 10, why="a default route")
    if alone:
        assert put(driver, {V6: wants[V6]}) == [None]
        assert ip(host, "-6", "route", "show", "default") == ""
        return
    assert put(driver, wants) == [None] * len(wants)
    assert sysctls.read([V6]) == {V6: "1"}
    assert "default via fe80::" in ip(host, "-6", "route", "show", "default")
    asyncio.run(driver.drop([SysctlKey("", path) for path in wants]))
    assert sysctls.read(wants) == {path: "0" if path == V6 else "1" for path in wants}
    assert "default via fe80::" in ip(host, "-6", "route", "show", "default")


@pytest.mark.parametrize("wanted", [False, True])
def test_a_switch_goes_with_its_link_to_another_name_and_is_put_back_there(pair, tmp_path, wanted):
    lan0 = ETH0[4].replace("eth0", "lan0")
    sysctls, driver = opened(pair[0], tmp_path, eth0=7)
    put(driver, {ETH0[4]: SysctlSpec("1")})
    sysctls, driver = opened(pair[0], tmp_path, eth0=7)  # as after a crash
    ip_batch(pair[0], ["link set eth0 down", "link set eth0 name lan0"])
    driver._rtnl.indexes.update(lan0=7)
    del driver._rtnl.indexes["eth0"]
    seen = asyncio.run(driver.observe([SysctlKey("", lan0)]) if wanted else driver.observe_all(()))
    assert [(str(key), one.owned) for key, one in seen.items()] == [(f"sysctl:{lan0}", True)]
    assert sysctls.originals() == {lan0: "0", "link/7/ipv4/forwarding": lan0}
    assert asyncio.run(driver.drop([SysctlKey("", lan0)])) == [None]
    assert (sysctls.read([lan0]), sysctls.originals()) == ({lan0: "0"}, {})
