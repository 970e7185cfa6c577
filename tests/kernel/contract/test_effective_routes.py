"""Who takes a path's packets elsewhere, asked of the kernel, in both families; and what is not asked again."""

import pytest
from tests.doubles import builders
from tests.doubles.reconciling import Reconciling

from neod.control.feed import Feed
from neod.daemon.effective_routes import EffectiveRoutes
from neod.daemon.event_log import EventLog
from neod.features.intents import gather
from neod.features.parts import PathInfo
from neod.kernel.clock import SystemClock
from neod.kinds import KINDS
from neod.model.want import Origin
from neod.observability import logs
from neod.reconcile.queue import HintQueue, Hints

pytestmark = pytest.mark.kernel

PATH = [
    builders.macvlan("neo1", 1),
    builders.address("neo1", "10.9.0.2", 16),
    builders.address("neo1", "fd00:9::2", 64),
    builders.route(7, "0.0.0.0/0", "neo1", gateway="10.9.0.1", source="10.9.0.2", on_link=True),
    builders.route(7, "fd00:9::/64", "neo1"),
    builders.route(7, "::/0", "neo1", gateway="fd00:9::1"),
    builders.rule("10.9.0.2/32", 7),
    builders.rule("fd00:9::2/128", 7),
]
OUT4, OUT6 = "route add default via 192.0.2.1 dev up0 table 500", "-6 route add default dev up0 table 500"
REFUSED = "comes first ({}): no packet leaves"
ELSEWHERE = "comes first ({}): packets leave by up0"

IN_FRONT = {  # commands -> what the reason says; empty: the path is not turned
    "nobody": ((), ""),
    "a table": ((OUT4, "rule add lookup 500 pref 100"), "rule 100 " + ELSEWHERE.format("from all lookup 500")),
    "a v6 table": ((OUT6, "-6 rule add lookup 500 pref 100"), "rule 100 " + ELSEWHERE.format("from all lookup 500")),
    "the table of a program": ((OUT4, "rule add lookup 500 pref 100 protocol bird"), "rule 100 from BIRD comes first"),
    "wg-quick": (("route add default via 192.0.2.1 dev up0 table 51820", "rule add not fwmark 51820 table 51820"),
                 "from wg-quick comes first (not from all fwmark 0xca6c lookup 51820): packets leave by up0"),
    "wg-quick, v6": (("-6 route add default dev up0 table 51820", "-6 rule add not fwmark 51820 table 51820"),
                     "from wg-quick comes first"),
    "unreachable": (("rule add from 10.9.0.0/16 unreachable pref 100",),
                    REFUSED.format("from 10.9.0.0/16 unreachable")),
    "blackhole": (("rule add blackhole pref 100",), REFUSED.format("from all blackhole")),
    "v6 prohibit": (("-6 rule add prohibit pref 100",), REFUSED.format("from all prohibit")),
    "by goto": ((OUT4, "rule add goto 400 pref 10", "rule add lookup 500 pref 400"), "rule 400 comes first"),
    "a table that refuses": (("route add unreachable default table 500", "rule add lookup 500 pref 100"),
                             "rule 100 comes first (from all lookup 500): no packet leaves: "),
    "an empty table": (("rule add lookup 500 pref 100",), ""),
    "behind ours": ((OUT4, "rule add lookup 500 pref 20000"), ""),
    "another source": ((OUT4, "rule add from 10.9.0.3 lookup 500 pref 100"), ""),
    "marked packets": ((OUT4, "rule add fwmark 1 lookup 500 pref 100"), ""),
    "main without default": (("rule add lookup main suppress_prefixlength 0 pref 100",), ""),
    "a route before ours": (("route prepend default via 10.9.0.77 dev neo1 onlink table 7",),
                            "table 7: packets go to 10.9.0.77, not to 10.9.0.1"),
}  # fmt: skip


class Asked:
    """The rtnetlink of *ports*; counts the questions."""

    def __init__(self, rtnl):
        self._rtnl, self.questions = rtnl, 0

    def __getattr__(self, name):
        return getattr(self._rtnl, name)

    async def get(self, requests):
        self.questions += len(requests)
        return await self._rtnl.get(requests)


async def routed(drivers, ports):
    host, clock = Reconciling(KINDS, drivers, SystemClock(), PATH), SystemClock()
    report = await host.run(Hints(everything=True))
    assert not [str(one.error) for one in report.outcomes if one.error]
    rtnl, log = Asked(ports.rtnl), EventLog(clock, Feed(), logs.configure("error", "json"))
    routes = EffectiveRoutes(host.state, rtnl, clock, HintQueue(clock), log)
    routes.want(gather([PathInfo("neo1", "up0", "static", 7, (), Origin("test", 1))]))
    return routes, rtnl, log


@pytest.mark.parametrize("case", IN_FRONT)
def test_a_rule_or_route_in_front_of_a_path_is_named_and_its_going_noticed(real, case):
    commands, reason = IN_FRONT[case]

    async def go(drivers, ports):
        routes, _, log = await routed(drivers, ports)
        for words in commands:
            real.ip(*words.split())
        await routes.on_pass_done(Hints(everything=True), ())
        turned = routes.condition("neo1")
        for words in commands:
            if " rule " in f" {words} " or "prepend" in words:
                real.ip(*words.replace(" add ", " del ").replace(" prepend ", " del ").split())
        await routes.on_pass_done(Hints(everything=True), ())
        return turned, routes.condition("neo1"), [record.what for record in log.feed.of("link:neo1")]

    turned, after, events = real.run(go)
    assert turned.status is (not reason)
    assert reason in turned.evidence
    assert after.status is True
    assert events == (["path down", "path up"] if reason else [])


def test_what_did_not_change_is_not_asked_again(real):
    async def go(drivers, ports):
        routes, rtnl, _ = await routed(drivers, ports)
        asked = []
        link, table_7 = PATH[0][0], PATH[3][0]
        other = builders.route(9, "0.0.0.0/0", "up0")[0]
        for hints, changed in (
            (Hints(everything=True), ()),
            (Hints(), ()),
            (Hints(keys={other: None}), (other,)),
            (Hints(keys={table_7: None}), ()),
            (Hints(), (link,)),
        ):
            await routes.on_pass_done(hints, changed)
            asked.append(rtnl.questions)
        return asked

    assert real.run(go) == [2, 2, 2, 4, 6]


def test_rules_that_others_change_without_end_are_looked_at_at_a_bounded_rate(real):
    async def go(drivers, ports):
        routes, rtnl, _ = await routed(drivers, ports)
        for _ in range(50):
            await routes.on_pass_done(Hints(rerouted=True), ())
        return rtnl.questions

    assert real.run(go) == 2
