"""The adapters of translation and namespaces on a real kernel: the hold, events, locks, races."""

import asyncio
import fcntl
import os
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.lab.netns import namespace

from neod.kernel.clock import SystemClock
from neod.kernel.mount_events import MountEvents
from neod.kernel.netfilter.nft.events import NftEvents
from neod.kernel.netfilter.port import KernelNetfilter
from neod.kernel.netns_files import NamedNamespaces
from neod.kinds.nat import NatDriver, NatKey, NatKind, NatSpec
from neod.model.nat import Dnat, Ruleset
from neod.model.ports import Ports
from neod.netlink.netns import opener_in

pytestmark = pytest.mark.kernel
KEY, KIND = NatKey(""), NatKind()
NAMED = Path("/run/netns")


@pytest.fixture
def ns():
    if os.geteuid():
        pytest.skip("needs root")
    with namespace("nat") as name:
        yield name


def sh(ns, command):
    argv = ["nsenter", f"--net={NAMED / ns}", "sh", "-c", command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def wanted(port, backend):
    rules = (Dnat("tcp", port, port, ip_address("198.51.100.10")),)
    return KIND.normalize(KEY, NatSpec(Ruleset(rules), backend))[1]


def driver(netfilter):
    return NatDriver(Ports("", SystemClock(), None, None, None, None, netfilter, None))


async def put(keeper, spec):
    have = (await keeper.observe([KEY])).get(KEY)
    (error,) = await keeper.put([(KEY, spec, have.spec if have else None)])
    assert error is None, str(error)


async def in_sync(keeper, spec):
    seen = (await keeper.observe([KEY])).get(KEY)
    return seen is not None and seen.owned and KIND.matches(seen.spec, spec)


def test_a_table_that_is_held_cannot_be_flushed_and_outlives_who_held_it(ns):
    async def go():
        first = KernelNetfilter(NAMED / ns, SystemClock(), claim=True)
        spec = wanted(443, "nftables")
        await put(driver(first), spec)
        if not first._ruleset.claim_table("neo"):
            pytest.skip("this kernel cannot hold a table (6.9 can)")
        assert sh(ns, "nft flush ruleset")[0] == 0
        assert sh(ns, "nft delete table inet neo")[0] != 0
        assert await in_sync(driver(first), spec)
        await put(driver(first), wanted(444, "nftables"))
        assert sh(ns, "nft flush chain inet neo prerouting")[0] != 0
        first.close()
        second = KernelNetfilter(NAMED / ns, SystemClock(), claim=True)
        try:
            assert await in_sync(driver(second), wanted(444, "nftables"))
            assert sh(ns, "nft flush ruleset")[0] == 0
            assert await in_sync(driver(second), wanted(444, "nftables"))
            assert await driver(second).drop([KEY]) == [None]
            assert sh(ns, "nft list tables")[1] == ""
        finally:
            second.close()

    asyncio.run(go())


def test_an_event_tells_who_touched_our_table_and_nothing_of_other_tables(ns):
    async def go():
        told = []
        events = NftEvents(told.append, lambda: None, opener_in(NAMED / ns))
        loop = asyncio.get_running_loop()
        events.start(loop)
        try:
            for command in ("nft add table ip other", "nft add chain ip other c", "nft add table inet neo"):
                assert (await asyncio.to_thread(sh, ns, command))[0] == 0
            async with asyncio.timeout(5):
                while not told:
                    await asyncio.sleep(0.01)
        finally:
            events.close(loop)
        assert [actor.name for actor in told] == ["nft"]

    asyncio.run(go())


def test_a_lock_that_stays_taken_fails_this_round_and_not_the_next(ns):
    async def go():
        netfilter = KernelNetfilter(NAMED / ns, SystemClock())
        keeper, spec = driver(netfilter), wanted(443, "iptables")
        held = os.open("/run/xtables.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            (error,) = await keeper.put([(KEY, spec, None)])
            assert error.transient
            assert "lock" in str(error)
        finally:
            os.close(held)
        try:
            await put(keeper, spec)
            assert await in_sync(keeper, spec)
        finally:
            netfilter.close()

    asyncio.run(go())


def test_counters_of_what_stays_survive_a_change_of_something_else(ns, backend="iptables"):
    async def go():
        netfilter = KernelNetfilter(NAMED / ns, SystemClock())
        keeper = driver(netfilter)
        rules = tuple(Dnat("tcp", port, port, ip_address("198.51.100.10")) for port in (443, 444))
        await put(keeper, KIND.normalize(KEY, NatSpec(Ruleset(rules[:1]), backend))[1])
        sh(ns, "ip link set lo up; iptables-legacy -t nat -I OUTPUT -j NEO-PREROUTING")
        sh(ns, "timeout 0.2 bash -c '</dev/tcp/127.0.0.1/443'")
        before = sh(ns, "iptables-legacy-save -c -t nat | grep 'dport 443'")[1]
        assert not before.startswith("[0:0]"), before
        await put(keeper, KIND.normalize(KEY, NatSpec(Ruleset(rules), backend))[1])
        assert sh(ns, "iptables-legacy-save -c -t nat | grep 'dport 443'")[1] == before
        netfilter.close()

    asyncio.run(go())


# ── namespaces ──────────────────────────────────────────────────────────────────


def test_many_who_make_one_namespace_at_once_mount_it_once(ns, tmp_path):
    name = f"{ns}-n"
    makers = [NamedNamespaces(tmp_path / "marks") for _ in range(20)]

    async def go():
        await asyncio.gather(*(maker.make(name) for maker in makers), return_exceptions=True)

    try:
        asyncio.run(go())
        mounts = Path("/proc/self/mountinfo").read_text()
        assert sum(line.split()[4] == str(NAMED / name) for line in mounts.splitlines()) == 1
        assert "LOOPBACK,UP" in subprocess.run(["ip", "-n", name, "link"], capture_output=True, text=True).stdout
        own = os.stat("/proc/self/ns/net").st_ino
        tasks = Path("/proc/self/task").iterdir()
        assert {(task / "ns/net").stat().st_ino for task in tasks} == {own}, "a thread is in the wrong namespace"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_only_the_one_that_we_made_is_removed(ns, tmp_path):
    name, names = f"{ns}-n", NamedNamespaces(tmp_path / "marks")
    try:
        asyncio.run(names.make(name))
        assert names.names() == [name]
        held = names.open(name)  # keeps its inode from being given to the next one
        subprocess.run(["ip", "netns", "del", name], check=True)
        subprocess.run(["ip", "netns", "add", name], check=True)
        asyncio.run(names.remove(name))
        os.close(held)
        assert (NAMED / name).exists()
        assert names.names() == []
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def test_a_namespace_that_comes_or_goes_is_told(ns):
    async def go():
        told = []
        events, loop = MountEvents(lambda: told.append(1)), asyncio.get_running_loop()
        events.start(loop)
        try:
            for command in (["add", f"{ns}-e"], ["del", f"{ns}-e"]):
                told.clear()
                await asyncio.to_thread(subprocess.run, ["ip", "netns", *command], check=True)
                async with asyncio.timeout(5):
                    while not told:
                        await asyncio.sleep(0.01)
        finally:
            events.close(loop)

    asyncio.run(go())


def test_our_own_tables_do_not_say_that_a_host_of_legacy_tables_uses_nftables(ns):
    sh(ns, "iptables-legacy -A FORWARD -j ACCEPT; nft 'add table arp neo; add chain arp neo c'")

    async def go():
        netfilter = KernelNetfilter(NAMED / ns, SystemClock())
        keeper = driver(netfilter)
        await put(keeper, wanted(443, ""))
        assert list(netfilter.nft_tables()) == []
        assert keeper.notes[0].startswith("nat: iptables (the host has legacy tables")
        netfilter.close()

    asyncio.run(go())
