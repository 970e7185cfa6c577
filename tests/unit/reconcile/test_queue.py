"""Many hints make one pass; facts come with it, and whoever waits goes on when it is over."""

import asyncio

from tests.doubles.kernel import FakeClock

from neod.kinds.sysctl import SysctlKey
from neod.model.change import Actor
from neod.model.facts import Host
from neod.model.want import FactKey
from neod.reconcile.queue import HintQueue

KEY = SysctlKey("", "net/ipv4/ip_forward")
WHO = Actor(1, "ip")
FACT = FactKey("host")


def taken(fill, timeout_s=5.0):
    async def go():
        queue = HintQueue(FakeClock())
        fill(queue)
        return queue, await queue.take(timeout_s)

    return asyncio.run(go())


def test_a_fact_is_taken_once_and_the_newest_counts():
    def fill(queue):
        queue.put_fact(FACT, Host("old"), "lease")
        queue.put_fact(FACT, None, "lease")

    queue, hints = taken(fill)
    assert (hints.facts, hints.cause) == ({FACT: None}, "lease")
    assert not hints  # nothing to look at yet: what the fact changes is not known
    assert not queue.pending


def test_what_waits_is_pending_until_it_is_taken_and_in_progress_until_it_is_done():
    async def go():
        clock = FakeClock()
        queue = HintQueue(clock)
        queue.put_fact(FACT, Host("x"), "lease")
        assert queue.pending
        hints = await queue.take(5.0)
        assert (queue.pending, queue.in_progress) == (False, True)
        clock.advance(120.0)
        assert queue.stuck(100.0)
        assert not queue.stuck(130.0)
        queue.done(hints)
        assert not queue.in_progress
        assert not queue.stuck(0.0)

    asyncio.run(go())


def test_who_asks_for_a_full_pass_goes_on_when_one_that_began_later_is_over():
    async def go():
        queue = HintQueue(FakeClock())
        queue.hint(KEY, "event")
        earlier = await queue.take(5.0)
        waiter = queue.full_pass("apply")
        queue.done(earlier)
        assert not waiter.done()
        later = await queue.take(5.0)
        assert later.everything
        queue.done(later)
        assert waiter.done()

    asyncio.run(go())


def test_an_actor_is_not_forgotten_by_a_hint_without_one():
    def fill(queue):
        queue.hint(KEY, "event", WHO)
        queue.hint(KEY, "event")
        queue.hint_keys([KEY], "lease")

    _, hints = taken(fill)
    assert hints.keys == {KEY: WHO}


def test_nothing_in_time_is_an_empty_batch():
    _, hints = taken(lambda queue: None, timeout_s=0.01)
    assert not hints
    assert not hints.facts
