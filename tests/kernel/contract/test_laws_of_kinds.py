"""Every kind of the registry, on the kernel that is a dictionary and on the real one."""

import asyncio

import pytest
from tests.doubles import builders
from tests.doubles.kernel import FakeKernel
from tests.doubles.reconciling import Reconciling
from tests.kernel.contract.samples import DISTURBANCES, SAMPLES

from neod.kernel.clock import SystemClock
from neod.kinds import KINDS
from neod.kinds.address import WORKQUEUE_S
from neod.reconcile.queue import Hints


def test_every_kind_has_samples_and_disturbances():
    assert SAMPLES.keys() == KINDS.keys()
    assert DISTURBANCES.keys() == KINDS.keys()


def fake_world():
    kernel = FakeKernel(KINDS.values())
    kernel.add_foreign(*builders.macvlan("up0", 200, parent=""))
    kernel.add_foreign(*builders.macvlan("up1", 201, parent=""))
    return kernel


async def put_all(drivers, pairs):
    for key, spec in pairs:
        (error,) = await drivers["", key.kind].put([(key, spec, None)])
        assert error is None, f"{key}: {error}"


async def round_trip(drivers, name):
    needed, samples = SAMPLES[name]
    await put_all(drivers, needed)
    normal = dict(KINDS[name].normalize(key, spec) for key, spec in samples)
    answers = await drivers["", name].put([(key, spec, None) for key, spec in normal.items()])
    assert set(answers) == {None}
    for seen in (await drivers["", name].observe(normal), await drivers["", name].observe_all(normal)):
        for key, spec in normal.items():
            assert key in seen
            assert seen[key].owned
            assert KINDS[name].matches(seen[key].spec, spec), (key, seen[key].spec, spec)
    return normal


async def drop_is_complete_and_repeatable(drivers, name, normal):
    for _ in range(2):
        assert set(await drivers["", name].drop(list(normal))) == {None}
    seen = await drivers["", name].observe(normal)
    assert not [key for key in normal if key in seen and seen[key].owned]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_put_is_observed_and_what_is_dropped_is_gone_on_the_fake(name):
    async def go():
        drivers = fake_world().drivers()
        await drop_is_complete_and_repeatable(drivers, name, await round_trip(drivers, name))

    asyncio.run(go())


@pytest.mark.kernel
@pytest.mark.parametrize("name", KINDS)
def test_what_is_put_is_observed_and_what_is_dropped_is_gone_on_the_kernel(real, name):
    async def go(drivers, ports):
        await drop_is_complete_and_repeatable(drivers, name, await round_trip(drivers, name))

    real.run(go)


def reconciler_on(drivers, pairs):
    return Reconciling(KINDS, drivers, SystemClock(), pairs)


def every_sample():
    return [pair for needed, samples in SAMPLES.values() for pair in (*needed, *samples)]


async def full(reconciler):
    return await reconciler.run(Hints(everything=True))


@pytest.mark.kernel
def test_a_pass_converges_a_second_and_a_restart_write_nothing(real):
    async def go(drivers, ports):
        reconciler = reconciler_on(drivers, every_sample())
        first = await full(reconciler)
        assert not [str(o.error) for o in first.outcomes if o.error]
        assert not first.plan.blocked
        writes = ports.rtnl.writes, ports.sysctls.writes
        assert (await full(reconciler)).plan.changes == ()
        assert (await full(reconciler_on(drivers, every_sample()))).plan.changes == ()
        assert (ports.rtnl.writes, ports.sysctls.writes) == writes

    real.run(go)


def foreign_state(real):
    links = [line.split(": ")[1] for line in real.ip("-o", "link").splitlines()]
    ports = real.ip("-d", "link", "show", "up1").splitlines()[0].split("qdisc")[0], "altname" in real.ip("link")
    rules = [line for line in real.ip("rule").splitlines() if line[:2] != "11"]
    return (
        [n for n in links if not n.startswith("neo")],
        ports,
        rules,
        real.ip("-o", "-4", "addr", "show", "dev", "up0").split()[3],
    )


@pytest.mark.kernel
def test_an_empty_file_removes_exactly_what_is_owned(real):
    async def go(drivers, ports):
        before = foreign_state(real), ports.sysctls.read(["net/ipv4/conf/up0/arp_announce"])
        await full(reconciler_on(drivers, every_sample()))
        await full(reconciler_on(drivers, []))
        assert (foreign_state(real), ports.sysctls.read(["net/ipv4/conf/up0/arp_announce"])) == before
        for table in ("7", "300", "100000"):
            assert real.ip("route", "show", "table", table) == ""
        assert "neo1" not in real.ip("link")
        assert ports.sysctls.originals() == {}

    real.run(go)


DRIFTS = {
    "link deleted": "link del neo1",
    "link down": "link set neo1 down",
    "link renamed": "link set neo1 name other1",
    "mac changed": "link set neo1 address 02:aa:bb:cc:dd:ee",
    "mtu changed": "link set neo2 mtu 1300",
    "option changed": "link set neostp type bridge stp_state 0",
    "bridge deleted": "link del neoports",
    "port taken out": "link set up1 nomaster",
    "port down": "link set up1 down",
    "port of another bridge of ours": "link set up1 master neostp",
    "mode changed": "link set neo1 type macvlan mode bridge",
    "address deleted": "addr del 10.9.0.2/16 dev neo1",
    "address flushed": "addr flush dev neo1",
    "route deleted": "route del default table 7",
    "route replaced": "route replace default via 10.9.0.77 dev neo1 table 7 proto 110",
    "table flushed": "route flush table 7",
    "rule deleted": "rule del priority 11007",
    "rules flushed": "rule flush protocol 110",
    "v6 route deleted": "-6 route del default table 7",
    "orphan rule": "rule add from 10.9.0.9 lookup 7 priority 11009 protocol 110",
    "endpoints flushed": "mptcp endpoint flush",
    "endpoint deleted": "mptcp endpoint delete id 200",
    "endpoint changed": "mptcp endpoint change id 254 nobackup",
    "endpoint replaced": "mptcp endpoint delete id 201; mptcp endpoint add 10.9.0.5 id 201 subflow",
    "endpoint id taken": "mptcp endpoint delete id 201; mptcp endpoint add 10.9.0.9 id 201 signal",
    "orphan endpoint": "mptcp endpoint add 10.9.0.9 id 240 subflow",
    "address of an endpoint deleted": "addr del 10.9.0.5/16 dev neo1",
    "limits changed": "mptcp limits set subflow 0 add_addr_accepted 0",
    "orphan route": "route add 10.1.0.0/16 dev neo1 table 12 proto 110",
    "route replaced by another program": "route replace default via 10.9.0.77 dev neo1 table 7",
    "route changed by another program": "route change default via 10.9.0.1 dev neo1 table 7",
    "route deleted and made by another program": "route del default table 7; route add blackhole default table 7",
    "v6 route replaced by another program": "-6 route replace default via fd00:9::77 dev neo1 table 7",
    "v6 route made a refusal": "-6 route del default table 7; -6 route add unreachable default table 7",
    "address replaced by another program": "addr replace 10.9.0.2/16 dev neo1 valid_lft 60 preferred_lft 60",
    "v6 address replaced by another program": "addr change fd00:9::2/64 dev neo1 noprefixroute",
    "prefix route of an address": "addr del 10.9.0.2/16 dev neo1; addr add 10.9.0.2/16 dev neo1",
    "rule deleted and made by another program": "rule del pref 11007; rule add from 10.9.0.2 lookup 7 pref 11007",
    "endpoint made by another program": "mptcp endpoint delete id 201; mptcp endpoint add 10.9.0.5 id 7 subflow",
    "local table flushed": "route flush table local",
    "v6 local table flushed": "-6 route flush table local",
    "all tables flushed": "route flush table all",
    "route to a subnet deleted": "route del 10.44.0.0/16 dev neo1",
    "v6 route to a subnet deleted": "-6 route del fd00:44::/64 dev neo1",
    "group of a link changed": "link set neo1 group 0",
    "route of ours behind another": "route append default via 10.9.0.77 dev neo1 table 7 proto 110",
    "hops of ours": "route replace default table 7 proto 110 nexthop via 10.9.0.7 nexthop via 10.9.0.8",
    **{f"orphan {type_} route": f"route add {type_} 10.1.0.0/16 table {table} proto 110"
       for type_, table in {"blackhole": 12, "unreachable": 7, "prohibit": 254, "throw": 70000}.items()},
    **{f"orphan v6 {type_} route": f"-6 route add {type_} fd00:1::/32 table 254 proto 110"
       for type_ in ("blackhole", "unreachable", "prohibit", "throw")},
    "orphan multicast route": "route add multicast 239.1.0.0/16 dev neo1 table 255 proto 110",
    "orphan local route": "route add local 10.1.0.1 dev neo1 table local proto 110",
    "orphan route of a type of service": "route add 10.1.0.0/16 tos 0x10 dev neo1 table 7 proto 110",
    "orphan v6 route by source": "-6 route add fd00:1::/32 from fd00:2::/32 dev neo1 table 7 proto 110",
    "orphan default in main": "route add default dev neo1 metric 77 proto 110",
    **{f"orphan rule, {words}": f"rule add {words} pref 77 protocol 110" for words in (
        "from all blackhole", "from all unreachable", "to 10.1.0.0/16 prohibit", "goto 99", "nop",
        "fwmark 0x1/0xff lookup 7", "iif neo1 lookup 7", "oif neo1 lookup 7", "uidrange 7-9 lookup 7",
        "ipproto tcp dport 80-81 lookup 7", "not from 10.1.0.1 lookup 7", "tos 0x10 lookup 7",
        "lookup main suppress_prefixlength 0", "from 10.9.0.2 lookup 7 suppress_prefixlength 8",
    )},
    "orphan v6 rule": "-6 rule add from fd00:1::/32 fwmark 0x1 prohibit pref 77 protocol 110",
}  # fmt: skip


IPV6_LATER = ("v6 local table flushed", "v6 route to a subnet deleted", "all tables flushed")
"""Of an IPv6 address that was just made nothing is said to be lost; one made anew takes itself out of routes."""


@pytest.mark.kernel
@pytest.mark.parametrize("drift", DRIFTS)
def test_every_drift_that_ip_can_make_is_repaired(real, drift):
    async def go(drivers, ports):
        reconciler = reconciler_on(drivers, every_sample())
        await full(reconciler)
        for words in DRIFTS[drift].split("; "):
            real.ip(*words.split())
        report = await full(reconciler)
        if drift in IPV6_LATER:
            clock = SystemClock()
            begun = clock.boottime()
            while clock.boottime() - begun < 4 * WORKQUEUE_S:
                later = await full(reconciler)
                report = later if later.plan.changes else report
        assert report.plan.changes, "the drift was not seen"
        assert not [f"{o.change.key}: {o.error}" for o in report.outcomes if o.error]
        again = await full(reconciler)
        assert again.plan.changes == ()
        assert again.plan.blocked == {}
        assert again.plan.conflicts == ()

    real.run(go)


CONFLICTS = {
    "link": ("link add neo1 link up0 type macvlan mode bridge",),
    "route": ("link add x1 link up0 type macvlan", "link set x1 up", "addr add 10.9.0.8/16 dev x1",
              "route add default via 10.9.0.9 dev x1 table 7"),
    "port": ("link add br9 type bridge", "link set up1 master br9"),
}  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize("kind", CONFLICTS)
def test_a_foreign_object_in_the_way_is_a_conflict_and_is_left_alone(real, kind):
    async def go(drivers, ports):
        for words in CONFLICTS[kind]:
            real.ip(*words.split())
        reconciler = reconciler_on(drivers, every_sample())
        await full(reconciler)
        before = real.ip("-d", "link", "show", "type", "macvlan"), real.ip("route", "show", "table", "7")
        conflicts = (await full(reconciler)).plan.conflicts
        writes = ports.rtnl.writes
        report = await full(reconciler)
        assert {change.key.kind for change in conflicts} == {kind}
        assert report.plan.conflicts == conflicts
        assert report.plan.changes == ()
        assert ports.rtnl.writes == writes
        assert (real.ip("-d", "link", "show", "type", "macvlan"), real.ip("route", "show", "table", "7")) == before

    real.run(go)


@pytest.mark.kernel
def test_a_link_moved_to_another_namespace_comes_back(real):
    async def go(drivers, ports):
        reconciler = reconciler_on(drivers, every_sample())
        await full(reconciler)
        import subprocess

        other = f"{real.name}-o"
        subprocess.run(["ip", "netns", "add", other], check=True)
        try:
            real.ip("link", "set", "neo1", "netns", other)
            for _ in range(3):
                report = await full(reconciler)
            assert not [f"{o.change.key}: {o.error}" for o in report.outcomes if o.error]
            assert (await full(reconciler)).plan.changes == ()
            assert "neo1" in real.ip("link", "show", "neo1")
        finally:
            subprocess.run(["ip", "netns", "del", other], check=False)

    real.run(go)


@pytest.mark.kernel
def test_a_parent_that_goes_and_comes_back_brings_everything_with_it(real):
    async def go(drivers, ports):
        reconciler = reconciler_on(drivers, builders.campus("neo1", 1))
        await full(reconciler)
        real.ip("link", "del", "up0")
        report = await full(reconciler)
        assert report.plan.changes == ()
        assert len(report.plan.blocked) >= 6
        for words in ("link add up0 type veth peer name up1", "link set up0 up", "link set up1 up"):
            real.ip(*words.split())
        assert not [o for o in (await full(reconciler)).outcomes if o.error]
        assert (await full(reconciler)).plan.blocked == {}

    real.run(go)
