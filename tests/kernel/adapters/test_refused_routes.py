"""Why the kernel refuses a route whose source it does not take for an address of its own."""

import asyncio
import errno
import os
import subprocess
from ipaddress import ip_address, ip_network

import pytest
from tests.lab.netns import RUN_NETNS, namespace

from neod.kernel.clock import SystemClock
from neod.kernel.errors import within_netns
from neod.kernel.rtnl import NetlinkRtnl
from neod.kinds import KINDS
from neod.kinds.link import LinkDriver
from neod.kinds.route import RouteDriver, RouteKey, RouteSpec
from neod.model.ports import Ports

pytestmark = pytest.mark.kernel


@pytest.fixture
def host():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with namespace("refused") as name:
        ip(name, "link add ens3 type veth peer name ens4")
        for words in ("link set ens3 up", "addr add 10.8.0.5/24 dev ens3", "addr add 2001:db8::5/64 dev ens3 nodad"):
            ip(name, words)
        yield name


def ip(name, words):
    subprocess.run(["ip", "-n", name, *words.split()], check=True)


def obstacle(name, to, source, gateway=None):
    """Return code and obstacle of the route *to* from *source*, if it is refused."""

    async def go():
        rtnl = NetlinkRtnl()
        ports = Ports("", SystemClock(), rtnl, *(None,) * 5)
        try:
            await LinkDriver(ports).observe_all(())
            key = RouteKey("", 33, ip_network(to))
            spec = RouteSpec("ens3", gateway and ip_address(gateway), ip_address(source))
            driver = RouteDriver(ports)
            (error,) = await driver.put([(key, spec, None)])
            return error and (error.code, (await driver.explain([(key, spec, error)]))[0])
        finally:
            rtnl.close()

    return within_netns(RUN_NETNS / name, lambda: asyncio.run(go()))


def test_an_address_that_nothing_leads_to_is_named_with_what_to_do(host):
    assert obstacle(host, "10.8.0.0/24", "10.8.0.5") is None
    ip(host, "route flush table 33")
    ip(host, "route flush table local")
    code, told = obstacle(host, "10.8.0.0/24", "10.8.0.5")
    assert code == errno.EINVAL
    assert told.text.startswith("nothing leads to 10.8.0.5")
    assert told.holder.kind in KINDS  # it is looked at again: see ``HintQueue``
    ip(host, "route add local 10.8.0.5 dev ens3 table local proto static")
    assert obstacle(host, "10.8.0.0/24", "10.8.0.5") is None


def test_ipv6_takes_a_source_by_the_address_itself(host):
    ip(host, "-6 route flush table local")
    assert obstacle(host, "2001:db8:1::/64", "2001:db8::5") is None


def test_another_refusal_is_not_blamed_on_the_source(host):
    code, told = obstacle(host, "10.77.0.0/24", "10.8.0.5", "10.9.9.9")
    assert (code != errno.EINVAL, told) == (True, None)
