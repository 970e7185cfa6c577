"""The default route of a followed uplink, in every way that others write one; read from the kernel."""

import asyncio
import os
import subprocess
from ipaddress import ip_address

import pytest
from tests.lab.netns import RUN_NETNS, namespace

from neod.daemon.uplink_follower import UplinkFollower
from neod.kernel.clock import SystemClock
from neod.kernel.errors import within_netns
from neod.kernel.rtnl import NetlinkRtnl
from neod.kinds import KINDS
from neod.kinds.address import AddressDriver
from neod.kinds.link import LinkDriver
from neod.model.ports import Ports
from neod.reconcile.observed import Observed

pytestmark = pytest.mark.kernel

TWO = "nexthop via 10.8.0.1 dev ens3 nexthop via 10.9.0.1 dev ens4"
OBJECTS = ("nexthop add id 10 via 10.8.0.1 dev ens3", "nexthop add id 11 via 10.9.0.1 dev ens4")
ON_THE_LINK = "0.0.0.0"

DEFAULTS = {  # commands -> gateways of ens3 and ens4
    "one": (("route add default via 10.8.0.1",), "10.8.0.1", None),
    "several hops": ((f"route add default {TWO}",), "10.8.0.1", "10.9.0.1"),
    "several hops with weights": (
        ("route add default nexthop via 10.9.0.1 weight 9 nexthop via 10.8.0.1 weight 1",), "10.8.0.1", "10.9.0.1"),
    "two hops by one link": (
        ("route add default nexthop via 10.8.0.7 dev ens3 nexthop via 10.8.0.8 dev ens3",), "10.8.0.7", None),
    "a nexthop object": ((OBJECTS[0], "route add default nhid 10"), "10.8.0.1", None),
    "a nexthop group": ((*OBJECTS, "nexthop add id 20 group 10/11", "route add default nhid 20"),
                        "10.8.0.1", "10.9.0.1"),
    "the device alone": (("route add default dev ens3",), ON_THE_LINK, None),
    "hops without gateways": (("route add default nexthop dev ens3 nexthop dev ens4",), ON_THE_LINK, ON_THE_LINK),
    "an object without a gateway": (("nexthop add id 10 dev ens3", "route add default nhid 10"), ON_THE_LINK, None),
    "IPv6 as the gateway": (("-4 route add default via inet6 fe80::1 dev ens3",), "fe80::1", None),
    "IPv6 among hops": (
        ("-4 route add default nexthop via inet6 fe80::1 dev ens3 nexthop via inet 10.9.0.1 dev ens4",),
        "fe80::1", "10.9.0.1"),
    "an IPv6 object": (("nexthop add id 10 via fe80::1 dev ens3", "route add default nhid 10"), "fe80::1", None),
    "metrics": (("route add default via 10.8.0.9 metric 200", "route add default via 10.8.0.1 metric 100",
                 "route add default via 10.9.0.1 metric 50"), "10.8.0.1", "10.9.0.1"),
    "a refusal": (("route add unreachable default", "route add default via 10.8.0.1 metric 9"), "10.8.0.1", None),
    "ours": (("route add default via 10.8.0.1 proto 110",), None, None),
    "a type of service": (("route add default tos 0x10 via 10.8.0.1",), None, None),
    "on the link": (("route add default via 172.31.1.1 dev ens3 onlink",), "172.31.1.1", None),
}  # fmt: skip


@pytest.fixture
def host():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with namespace("followed") as name:
        setup = ["link add ens3 type veth peer name ens4", "link set ens3 up", "link set ens4 up",
                 "addr add 10.8.0.5/24 dev ens3", "addr add 10.8.0.6/24 dev ens3",
                 "addr add 10.9.0.5/24 dev ens4"]  # fmt: skip
        run(name, setup)
        yield name


def run(name, commands):
    for words in commands:
        subprocess.run(["ip", "-n", name, *words.split()], check=True)


def followed(name):
    async def go():
        rtnl = NetlinkRtnl()
        ports = Ports("", SystemClock(), rtnl, *(None,) * 5)
        try:
            await LinkDriver(ports).observe_all(())
            observed = Observed(lambda key: KINDS[key.kind])
            observed.replace(("", "address"), await AddressDriver(ports).observe_all(()))
            follower = UplinkFollower()
            follower.want(("ens3", "ens4"))
            return await follower.refresh(observed, rtnl)
        finally:
            rtnl.close()

    return within_netns(RUN_NETNS / name, lambda: asyncio.run(go()))


WITH_OBJECTS = [case for case, (commands, *_) in DEFAULTS.items() if any("nhid" in line for line in commands)]


@pytest.mark.parametrize(("case", "by_object"), [*((c, False) for c in DEFAULTS), *((c, True) for c in WITH_OBJECTS)])
def test_each_uplink_gets_its_own_hop_of_the_default_route(host, case, by_object):
    """*by_object*: the route names its nexthop object and not what is in it."""
    commands, *gateways = DEFAULTS[case]
    if by_object:
        subprocess.run(["ip", "netns", "exec", host, "sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0"], check=True)
    run(host, commands)
    facts = followed(host)
    seen = [facts[link].gateway for link in ("ens3", "ens4")]
    assert seen == [ip_address(one) if one else None for one in gateways]


def test_source_mtu_and_on_link_are_taken_over(host):
    run(host, ["-4 route add default via inet6 2001:db8::1 dev ens3 onlink src 10.8.0.6 mtu 1400"])
    fact = followed(host)["ens3"]
    assert (str(fact.gateway), str(fact.source), fact.mtu, fact.on_link) == ("2001:db8::1", "10.8.0.6", 1400, True)
