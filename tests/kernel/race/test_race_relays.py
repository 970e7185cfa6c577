"""Three ways to one proxy, each slowed, silenced and refused in turn under load: see ``race_relays``.

At full length: ``python -m bench.race_trial``.
"""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.lab.netns import poll
from tests.lab.race.racer import KERNEL, Racer
from tests.lab.race.relays import RATE, WAYS, crowd, file, opened_over, relays, speaks, story, wins

pytestmark = KERNEL

PHASE_S = 1.0


@pytest.fixture
def lab():
    with relays() as made:
        yield made


@pytest.mark.slow
def test_no_connection_fails_while_one_way_lives_and_the_winner_follows(lab):
    with Racer(lab.client, file()) as racer, ThreadPoolExecutor(64) as pool:
        open_over = {way: opened_over(lab, racer, way) for way in WAYS}
        for way in WAYS:
            for kind in ("slow", "silent", "refused"):
                with lab.trouble(way, kind):
                    time.sleep(0.05)
                    before = wins(racer)
                    failed, count = crowd(lab.client, pool, PHASE_S)
                    after = wins(racer)
                    assert failed == [], f"{way} {kind}: {story(racer)}"
                    assert count == RATE * PHASE_S
                    assert after[way] == before[way], f"{way} {kind}: it won all the same"
                    assert all(speaks(client) for name, client in open_over.items() if name != way)
        for client in open_over.values():
            assert speaks(client)
            client.close()
        poll(lambda: racer.total("neo_race_connections_open") == 0, 10)
        assert racer.total("neo_race_lost_total") == 0


@pytest.mark.slow
def test_the_last_way_that_lives_carries_everything(lab):
    with Racer(lab.client, file()) as racer, ThreadPoolExecutor(64) as pool:
        for last in WAYS:
            with contextlib.ExitStack() as stack:
                for way in WAYS:
                    if way != last:
                        kind = "silent" if way == "direct" else "refused"
                        stack.enter_context(lab.trouble(way, kind))
                failed, count = crowd(lab.client, pool, 0.5)
                assert failed == [], story(racer)
                assert count > 0
        assert racer.total("neo_race_lost_total") == 0
        assert threading.active_count() < 400
