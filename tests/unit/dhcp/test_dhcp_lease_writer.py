"""Leases are on disk before they are in use, and none that was given up is there after: in virtual time."""

import asyncio
import contextlib
import selectors
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neod.dhcp.lease_writer import FLUSH_S, LATER_S, RETRY_S, WAIT_S, LeaseWriter
from neod.dhcp.store import StoredLease
from neod.model.facts import Lease

LASTS_S = 3600.0


class _Skip(selectors.SelectSelector):
    """Moves the clock of the loop where a real one would wait."""

    loop = None

    def select(self, timeout=None):
        self.loop.now += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        selector = _Skip()
        super().__init__(selector)
        selector.loop, self.now = self, 0.0

    def time(self):
        return self.now


class Clock:
    def __init__(self, loop):
        self.boottime = loop.time


class Disk:
    """A disk that needs *takes_s* for a write; None: it hangs."""

    def __init__(self, takes_s=0.001):
        self.takes_s, self.fails, self.problem = takes_s, "", ""
        self.content, self.begun = {}, []

    def load(self):
        return self.content

    async def write(self, leases):
        assert isinstance(leases, dict)
        before = dict(leases)
        self.begun.append(asyncio.get_running_loop().time())
        await (asyncio.sleep(self.takes_s) if self.takes_s is not None else asyncio.Event().wait())
        assert leases == before, "what is being written stays as it is"
        self.problem = self.fails
        if not self.problem:
            self.content = leases
        return self.problem


class World:
    """A writer, its disk, and what would be found if the process were killed at each publication."""

    def __init__(self, disk=None):
        self.loop, self.disk = VirtualLoop(), disk or Disk()
        self.published, self.found = [], []
        self.writer = LeaseWriter(self.disk, Clock(self.loop), self._publish)

    def _publish(self, link, lease):
        self.published.append((link, lease, self.loop.now))
        self.found.append(self.disk.content.get(link))

    def lease(self, link="m1", ip=5, **more):
        now, address = self.loop.now, IPv4Address(f"10.77.1.{ip}")
        times = {"bound_at": now, "renew_at": now + 1800, "rebind_at": now + 3150, "expires_at": now + LASTS_S}
        gateway = server = IPv4Address("10.77.0.1")
        return Lease(**{"link": link, "ip": address, "prefix_length": 16, "gateway": gateway, "server": server}
                     | times | more)  # fmt: skip

    def keep(self, link="m1", ip=5, **more):
        lease = self.lease(link, ip, **more)
        self.writer.keep(link, StoredLease(lease, "02:4e:00:00:00:01"))
        return lease

    def shorten(self, link="m1", left_s=10.0):
        record = self.writer.records[link]
        self.writer.amend(link, replace(record, lease=replace(record.lease, expires_at=self.loop.now + left_s)))

    def withdraw_ended(self):
        """Do what the state machine does when a lease ends."""
        for link, record in list(self.writer.records.items()):
            if record.lease.expires_at <= self.loop.now:
                self.writer.withdraw(link)

    def play(self, script):
        """Run the coroutine function *script* beside the writer, then end the writer as the daemon does."""

        async def both():
            task = asyncio.ensure_future(self.writer.run())
            try:
                await script()
                assert not task.done(), task
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

        try:
            self.loop.run_until_complete(both())
        finally:
            self.loop.close()


@pytest.fixture
def world():
    return World()


OTHER_TERMS = [
    pytest.param({"ip": 6}, id="another address"),
    pytest.param({"prefix_length": 24}, id="another network"),
    pytest.param({"gateway": None}, id="no gateway any more"),
    pytest.param({"gateway": IPv4Address("10.77.0.9")}, id="another gateway"),
    pytest.param({"server": IPv4Address("10.77.0.9")}, id="another server"),
    pytest.param({"mtu": 1400}, id="another MTU"),
    pytest.param({"dns": (IPv4Address("10.77.0.9"),)}, id="another DNS server"),
    pytest.param({"domain": "campus.example"}, id="another domain"),
    pytest.param({"routes": (("10.0.0.0/8", IPv4Address("10.77.0.9")),)}, id="another route"),
]


def test_a_new_lease_is_on_disk_before_it_is_published(world):
    async def script():
        lease = world.keep()
        assert (world.published, world.disk.content) == ([], {})
        await asyncio.sleep(0.01)
        assert [(link, told) for link, told, _ in world.published] == [("m1", lease)]
        assert world.found[0].lease == lease

    world.play(script)


@pytest.mark.parametrize("other", OTHER_TERMS)
def test_other_terms_are_on_disk_before_they_are_published(world, other):
    async def script():
        world.keep()
        await asyncio.sleep(1)
        lease = world.keep(**other)
        await asyncio.sleep(1)
        assert world.published[1][1] == lease == world.found[1].lease

    world.play(script)


def test_what_comes_within_one_turn_is_one_write_and_what_comes_while_it_lasts_is_the_next(world):
    async def script():
        for n in range(100):
            world.keep(f"m{n}")
        await asyncio.sleep(0.0005)
        for n in range(100, 200):
            world.keep(f"m{n}")
        await asyncio.sleep(1)
        assert len(world.disk.begun) == 2
        assert len(world.published) == len(world.disk.content) == 200

    world.play(script)


def test_an_extension_is_published_at_once_and_written_before_the_record_on_disk_ends(world):
    async def script():
        first = world.keep()
        await asyncio.sleep(1800)
        extended = world.keep()
        assert world.published[-1] == ("m1", extended, world.loop.now)
        assert world.found[-1].lease == first, "of the same address, and it holds for half an hour"
        await asyncio.sleep(LATER_S - 1)
        assert world.disk.content["m1"].lease == first
        await asyncio.sleep(2)
        assert world.disk.content["m1"].lease == extended

    world.play(script)


@pytest.mark.parametrize("left_s", [0.1, 5.0, 50.0])
def test_an_extension_at_the_last_moment_is_written_in_what_is_left(world, left_s):
    async def script():
        first = world.keep()
        await asyncio.sleep(LASTS_S - left_s)
        extended = world.keep()
        while world.loop.now < first.expires_at:
            on_disk = world.disk.content["m1"].lease
            await asyncio.sleep(left_s / 20)
        assert on_disk == extended

    world.play(script)


def test_a_thousand_renewals_are_few_writes(world):
    async def script():
        for n in range(1000):
            world.keep(f"m{n}")
        await asyncio.sleep(1800)
        begun = len(world.disk.begun)
        for n in range(1000):
            world.keep(f"m{n}")
            await asyncio.sleep(0.1)
        assert len(world.published) == 2000
        assert len(world.disk.begun) - begun <= 4

    world.play(script)


def test_what_is_withdrawn_is_published_and_written_at_once(world):
    async def script():
        world.keep()
        await asyncio.sleep(1)
        world.writer.withdraw("m1")
        assert world.published[-1] == ("m1", None, world.loop.now)
        await asyncio.sleep(0.01)
        assert world.disk.content == {}

    world.play(script)


def test_a_lease_that_is_withdrawn_while_it_is_written_is_neither_published_nor_kept(world):
    async def script():
        world.keep()
        await asyncio.sleep(0.0005)
        world.writer.withdraw("m1")
        await asyncio.sleep(1)
        assert [lease for _, lease, _ in world.published] == [None]
        assert world.disk.content == {}

    world.play(script)


def test_of_two_leases_within_one_write_only_the_second_is_published(world):
    async def script():
        world.keep(ip=5)
        await asyncio.sleep(0.0005)
        second = world.keep(ip=6)
        await asyncio.sleep(1)
        assert [lease for _, lease, _ in world.published] == [second]
        assert world.found[0].lease == second

    world.play(script)


def test_the_extension_of_a_lease_that_is_not_on_disk_waits_as_well(world):
    async def script():
        world.keep()
        await asyncio.sleep(0.0005)
        extended = world.keep()
        assert world.published == []
        await asyncio.sleep(1)
        assert [lease for _, lease, _ in world.published] == [extended]

    world.play(script)


def test_a_shortened_lease_is_written_at_once_and_not_published(world):
    async def script():
        world.keep()
        await asyncio.sleep(100)
        world.shorten(left_s=10)
        await asyncio.sleep(0.01)
        assert world.disk.content["m1"].lease.expires_at == 110
        assert len(world.published) == 1

    world.play(script)


def test_a_disk_that_fails_is_shown_holds_up_nothing_and_is_tried_again(world):
    async def script():
        world.disk.fails = "leases.json: No space left on device"
        lease = world.keep()
        await asyncio.sleep(0.01)
        assert world.published[-1][1] == lease
        assert "No space left" in world.writer.problem
        more = world.keep("m2")
        assert world.published[-1][1] == more, "no lease waits for a disk that is known to fail"
        await asyncio.sleep(RETRY_S - 1)
        assert len(world.disk.begun) == 1
        world.disk.fails = ""
        await asyncio.sleep(2)
        assert (set(world.disk.content), world.writer.problem) == ({"m1", "m2"}, "")
        world.keep("m3")
        assert len(world.published) == 2
        await asyncio.sleep(1)
        assert world.found[-1].lease.link == "m3"

    world.play(script)


def test_a_disk_that_hangs_is_shown_and_holds_up_a_lease_for_a_bounded_time(world):
    async def script():
        world.disk.takes_s = 100
        lease = world.keep()
        await asyncio.sleep(0.1)
        second = world.keep("m2")
        await asyncio.sleep(WAIT_S)
        assert [(told, at) for _, told, at in world.published] == [(lease, WAIT_S), (second, WAIT_S)]
        assert "has not answered" in world.writer.problem
        third = world.keep("m3")
        assert world.published[-1][1] == third
        world.disk.takes_s = 0.001
        await asyncio.sleep(100)
        assert (set(world.disk.content), world.writer.problem) == ({"m1", "m2", "m3"}, "")
        assert len(world.published) == 3, "nothing is published twice"

    world.play(script)


def test_what_is_not_yet_written_is_written_at_the_end(world):
    async def script():
        world.keep()
        await asyncio.sleep(0.0005)

    world.play(script)
    assert set(world.disk.content) == {"m1"}
    assert world.published == [], "and not used any more"


def test_a_disk_that_hangs_does_not_hold_up_the_end():
    world = World(Disk(takes_s=None))

    async def script():
        world.keep()
        await asyncio.sleep(0.1)

    world.play(script)
    assert world.loop.now <= 0.1 + FLUSH_S + 0.01


def test_with_nothing_new_nothing_is_written():
    world = World()
    world.disk.content = {"m1": StoredLease(world.lease(), "02:aa")}

    async def script():
        await asyncio.sleep(10_000)

    world.play(script)
    assert world.disk.begun == []


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.sampled_from(["m1", "m2"]), st.integers(5, 6), st.sampled_from([None, 1400])),
        st.tuples(st.just("withdraw"), st.sampled_from(["m1", "m2"])),
        st.tuples(st.just("shorten"), st.sampled_from(["m1", "m2"])),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.0004, 0.0011, 0.5, 40.0, 1800.0])),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_killed_at_any_moment_it_finds_the_terms_in_use_and_no_others(events):
    world = World()
    in_use = {}

    def check(link, lease):
        if lease is not None:
            on_disk = world.disk.content[link].lease
            assert (on_disk.ip, on_disk.mtu) == (lease.ip, lease.mtu)
            assert on_disk.expires_at > world.loop.now, "what is found still holds"
        in_use[link] = lease

    world._publish = check
    world.writer = LeaseWriter(world.disk, Clock(world.loop), check)

    async def script():
        for name, *arguments in events:
            if name == "wait":
                await asyncio.sleep(*arguments)
                world.withdraw_ended()
                continue
            link, *terms = arguments
            if name == "keep":
                world.keep(link, terms[0], mtu=terms[1])
            elif name == "withdraw":
                world.writer.withdraw(link)
            elif link in world.writer.records:
                world.shorten(link)
        await asyncio.sleep(60)
        world.withdraw_ended()
        await asyncio.sleep(1)
        assert world.disk.content == world.writer.records
        assert {link: lease for link, lease in in_use.items() if lease}.keys() == world.disk.content.keys()

    world.play(script)
