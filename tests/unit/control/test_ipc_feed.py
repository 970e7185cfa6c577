"""The feed of events: one copy, many readers, and nobody waits for the slowest."""

import asyncio

import pytest

from neod.control.errors import Lagged
from neod.control.feed import BATCH, Feed
from neod.control.verbs.events import EventRecord


def record(name=""):
    return EventRecord(0, "2026-05-01T12:00:00.000+02:00", "repaired", name)


def filled(number, capacity=100):
    feed = Feed(capacity)
    for i in range(1, number + 1):
        feed.append(record(f"link:neo{i % 3}"), wall=float(i))
    return feed


async def read(feed, since=None):
    return [item.seq async for batch in feed.events(since, follow=False) for item in batch]


@pytest.mark.parametrize(
    ("number", "since", "expected"),
    [
        pytest.param(0, None, [], id="nothing"),
        pytest.param(3, None, [1, 2, 3], id="all"),
        pytest.param(3, 2.0, [2, 3], id="since"),
        pytest.param(3, 9.0, [], id="since the future"),
        pytest.param(250, None, list(range(151, 251)), id="only what is kept"),
        pytest.param(250, 1.0, list(range(151, 251)), id="since longer than is kept"),
        pytest.param(250, 249.0, [249, 250], id="since, after the ring went round"),
    ],
)
async def test_what_is_kept_comes_in_order(number, since, expected):
    assert await read(filled(number), since) == expected


async def test_batches_are_bounded_and_miss_nothing():
    feed = filled(3 * BATCH, capacity=10_000)
    sizes = [len(batch) async for batch in feed.events(None, follow=False)]
    assert sizes == [BATCH] * 3


async def test_every_follower_gets_every_record_once():
    feed = filled(5)
    got: dict[int, list[int]] = {0: [], 1: [], 2: []}

    async def follow(who):
        async for batch in feed.events(None, follow=True):
            got[who] += [item.seq for item in batch]
            if who == 1:
                await asyncio.sleep(0)  # falls behind a little
            if got[who][-1] == 55:
                return

    async def write():
        for burst in range(10):
            for _ in range(5):
                feed.append(record(), wall=9.0)
            for _ in range(burst % 3):
                await asyncio.sleep(0)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for who in got:
            group.create_task(follow(who))
        await asyncio.sleep(0)
        group.create_task(write())
    assert all(numbers == list(range(6, 56)) for numbers in got.values())


async def test_a_follower_may_begin_in_the_past():
    feed = filled(5)
    follower = feed.events(4.0, follow=True)
    assert [item.seq for item in await anext(follower)] == [4, 5]
    feed.append(record(), wall=6.0)
    assert [item.seq for item in await anext(follower)] == [6]


async def test_a_follower_that_was_lapped_learns_how_much_it_missed():
    feed = Feed(capacity=10)
    feed.append(record(), wall=1.0)
    follower = feed.events(0.0, follow=True)
    assert [item.seq for item in await anext(follower)] == [1]
    for _ in range(15):
        feed.append(record(), wall=2.0)
    with pytest.raises(Lagged) as caught:
        await anext(follower)
    assert caught.value.missed == 5


@pytest.mark.parametrize("number", [9, 100, 205])
def test_the_last_records_of_one_object(number):
    found = filled(number).of("link:neo1", last=3)
    ours = [i for i in range(1, number + 1) if i % 3 == 1]
    assert [item.seq for item in found] == ours[-3:]
