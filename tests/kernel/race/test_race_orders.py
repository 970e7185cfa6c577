"""What was sent arrives, once and in order, however the two sides go about ending."""

from collections import Counter

import pytest
from tests.lab.netns import namespace
from tests.lab.race.orders import Stage, session_errors
from tests.lab.race.racer import KERNEL, Racer, Server

pytestmark = KERNEL

SESSIONS = 400


@pytest.mark.parametrize("mptcp", [False, True], ids=["tcp", "mptcp"])
def test_random_orders_of_ending_resetting_and_stalling_lose_no_byte(mptcp):
    ends: Counter[str] = Counter()
    stage = Stage()
    with namespace("orders") as ns, Server(ns, stage.serve, proto=262 if mptcp else 0) as server:
        keys = "mptcp = true\nlisten_mptcp = true\n" if mptcp else ""
        with Racer(ns, f'[races.o]\nlisten = "127.0.0.1:0"\nupstreams = ["{server.upstream}"]\n{keys}') as racer:
            wrong = list(session_errors(ns, racer.address("o"), stage, range(SESSIONS), ends))
            assert wrong == []
            assert racer.total("neo_race_connections_open") == 0
            assert racer.total("neo_race_closed_total") == SESSIONS
    assert ends["eof/eof"] > SESSIONS // 4
    assert ends["reset/own reset"] > 10
    assert ends["own reset/reset"] > 10


@pytest.mark.parametrize("mptcp", [False, True], ids=["tcp", "mptcp"])
def test_the_reference_holds_for_a_direct_connection_too(mptcp):
    """Otherwise the test above would judge TCP, not neo-race."""
    ends: Counter[str] = Counter()
    stage = Stage()
    with namespace("orders") as ns, Server(ns, stage.serve, proto=262 if mptcp else 0) as server:
        assert list(session_errors(ns, server.address, stage, range(100), ends)) == []
