"""Whatever another program does to our table or chains is seen, and put right by one write."""

import asyncio
import os
from ipaddress import ip_address

import pytest
from tests.doubles.reconciling import Reconciling
from tests.lab.netns import namespace, run

from neod.kernel.clock import SystemClock
from neod.kernel.netfilter.port import KernelNetfilter
from neod.kinds import KINDS
from neod.kinds.nat import NatDriver, NatKey, NatKind, NatSpec
from neod.model.nat import AnswerBy, Dnat, Ruleset, SnatTo
from neod.model.ports import Ports
from neod.netlink.netns import NAMED
from neod.reconcile.queue import Hints

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
KEY, KIND = NatKey(""), NatKind()
TO, SIX = ip_address("198.51.100.1"), ip_address("2001:db8::1")
RULES = (
    Dnat("tcp", 443, 443, TO),
    Dnat("tcp", 443, 443, SIX, 8443),
    SnatTo("tcp", 443, 443, TO),
    AnswerBy("e0", 0x100000, 0xF00000),
)
NFT = [
    "add rule inet neo prerouting counter",
    'add rule inet neo asked counter comment "tcp4"',
    "add chain inet neo aside",
    'add chain inet neo aside; add rule inet neo aside drop comment "tcp4"',
    "add chain inet neo drops { type filter hook input priority 0; policy drop; }",
    "add chain inet neo forward { type filter hook forward priority -5; policy drop; }",
    "add set inet neo other { type ipv4_addr; }",
    "add chain inet neo x; add map inet neo v { type ipv4_addr : verdict; elements = { 192.0.2.1 : jump x }; }",
    "add counter inet neo c; add quota inet neo q { over 5 bytes; }",
    'add ct helper inet neo h { type "ftp" protocol tcp; }',
    "add table inet neo { flags dormant; }",
    "add element inet neo tcp4_answered { 192.0.2.9 . 80 }",
]
LEGACY = [
    "iptables-legacy -t nat -A NEO-PREROUTING -j ACCEPT",
    "iptables-legacy -t nat -N NEO-ASIDE; iptables-legacy -t nat -A NEO-ASIDE -m comment --comment 'neo x' -j ACCEPT",
    "iptables-legacy -t mangle -N NEO-ASIDE",
    "ip6tables-legacy -t mangle -F NEO-ANSWERS",
    "iptables-legacy -t mangle -D FORWARD -j NEO-CAME-IN",
    "iptables-legacy -t mangle -I PREROUTING -j MARK --set-mark 7",
]


async def played(ns, backend, tamper, *, at_once=False):
    netfilter = KernelNetfilter(NAMED / ns, SystemClock(), claim=False)
    keeper = NatDriver(Ports("", SystemClock(), None, None, None, None, netfilter, None))
    spec = KIND.normalize(KEY, NatSpec(Ruleset(RULES), backend))[1]

    async def in_sync():
        return KIND.matches((await keeper.observe([KEY]))[KEY].spec, spec)

    async def put(have):
        (error,) = await keeper.put([(KEY, spec, have)])
        assert error is None, str(error)

    try:
        await put(None)
        assert at_once or await in_sync()
        tamper()
        assert not await in_sync()
        await put(spec)
        assert await in_sync()
        writes = netfilter.writes
        assert await in_sync()
        assert netfilter.writes == writes
    finally:
        netfilter.close()


def within(ns, *argv):
    return run("ip", "netns", "exec", ns, *argv)


@pytest.mark.parametrize("commands", NFT)
def test_what_is_put_into_our_nft_table_is_taken_out(commands):
    with namespace("tamper") as ns:
        asyncio.run(played(ns, "nftables", lambda: within(ns, "nft", commands)))
        assert within(ns, "nft", "list", "table", "inet", "neo").stdout.count("dormant") == 0


def test_a_rule_that_says_something_else_under_our_comment_is_replaced():
    def tamper():
        listed = within(ns, "nft", "-a", "list", "chain", "inet", "neo", "prerouting").stdout
        handle = next(line for line in listed.splitlines() if '"tcp4"' in line).rsplit(" ", 1)[1]
        within(ns, "nft", f'replace rule inet neo prerouting handle {handle} tcp dport 443 drop comment "tcp4"')

    with namespace("tamper") as ns:
        asyncio.run(played(ns, "nftables", tamper))


@pytest.mark.parametrize("commands", LEGACY)
def test_what_is_put_into_our_legacy_chains_is_taken_out(commands):
    with namespace("tamper") as ns:
        asyncio.run(played(ns, "iptables", lambda: within(ns, "sh", "-ec", commands)))


@pytest.mark.parametrize("at_once", [False, True], ids=["after a look", "before the first look"])
def test_a_legacy_rule_that_says_something_else_under_our_comment_is_replaced(at_once):
    def tamper():
        saved = within(ns, "iptables-legacy-save", "-t", "nat").stdout
        comment = next(line for line in saved.splitlines() if "DNAT" in line).split('"')[1]
        rule = ["-p", "tcp", "--dport", "443", "-m", "comment", "--comment", comment, "-j", "ACCEPT"]
        within(ns, "iptables-legacy", "-t", "nat", "-R", "NEO-PREROUTING", "1", *rule)

    with namespace("tamper") as ns:
        asyncio.run(played(ns, "iptables", tamper, at_once=at_once))


class Alone:
    """The driver of one place, for a reconciler."""

    def __init__(self, driver):
        self._driver = driver

    def places(self):
        return iter([("", "nat")])

    def driver(self, place):
        return self._driver

    def close_stale(self):
        return ()


FLUSHES = {"nftables": "nft flush chain inet neo prerouting", "iptables": "iptables-legacy -t nat -F PREROUTING"}


@pytest.mark.parametrize("backend", FLUSHES)
@pytest.mark.parametrize("other_file", [False, True], ids=["plan", "plan FILE"])
def test_what_a_plan_saw_is_repaired_by_the_next_pass(backend, other_file):
    async def go():
        netfilter = KernelNetfilter(NAMED / ns, SystemClock(), claim=False)
        drivers = Alone(NatDriver(Ports("", SystemClock(), None, None, None, None, netfilter, None)))
        made = Reconciling(KINDS, drivers, SystemClock(), [(KEY, NatSpec(Ruleset(RULES), backend))])
        try:
            for _ in range(2):  # the second reads what the first wrote
                await made.run(Hints(everything=True))
            assert made.state.is_converged()
            assert made.reconciler.looks.is_unchanged(("", "nat"))
            within(ns, "sh", "-ec", FLUSHES[backend])
            await made.reconciler.preview(
                Reconciling(KINDS, drivers, SystemClock()).state.desired if other_file else None
            )
            assert made.reconciler.looks.is_unchanged(("", "nat")) == (backend == "nftables")  # of those, events tell
            report = await made.run(await made.queue.take(0))
            assert [str(outcome.change.key) for outcome in report.outcomes] == ["nat:main"]
            assert made.state.is_converged()
        finally:
            netfilter.close()

    with namespace("tamper") as ns:
        asyncio.run(go())
