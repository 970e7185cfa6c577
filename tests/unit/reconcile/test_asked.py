"""What was asked for is not in sync before a pass that began after has decided on it."""

import asyncio
from ipaddress import ip_address

from tests.doubles.kernel import FakeClock
from tests.doubles.reconciling import Pairs, Reconciling
from tests.unit.reconcile.test_preview import BROKEN, KEY, WHOLE, Probed, in_sync_once

from neod.kinds import KINDS
from neod.kinds.address import AddressSpec
from neod.model.change import Seen
from neod.model.errors import KernelError
from neod.model.key import AddressKey
from neod.model.status import ASKED, ObjectPhase
from neod.reconcile.queue import Hints
from neod.reconcile.state import HostState


def test_a_new_file_is_not_in_sync_until_a_pass_is_over():
    made, _ = in_sync_once()
    made.want([(KEY, BROKEN)])
    assert made.state.status.of(KEY) is ASKED
    assert made.state.status.standing() == {KEY: ASKED}
    assert not made.state.is_in_sync()
    asyncio.run(made.run(Hints(everything=True)))
    assert made.state.is_converged()
    assert made.state.status.of(KEY) is None


def test_what_is_asked_for_while_a_pass_writes_waits_for_the_next():
    made, probed = in_sync_once()
    put = probed.put

    async def put_and_ask_again(items):
        assert made.state.status.of(KEY) is ASKED
        made.want([(KEY, WHOLE)])
        return await put(items)

    made.want([(KEY, BROKEN)])
    probed.put = put_and_ask_again
    asyncio.run(made.run(Hints(everything=True)))
    assert not made.state.is_in_sync()
    probed.put = put
    asyncio.run(made.run(Hints(everything=True)))
    assert made.state.is_converged()


def test_what_cannot_be_read_stays_undecided():
    probed = Probed()
    made = Reconciling(KINDS, probed, FakeClock(), [(KEY, WHOLE)])

    async def refused(wanted):
        raise KernelError("read", 5, "no")

    read, probed.observe_all = probed.observe_all, refused
    asyncio.run(made.run(Hints(everything=True)))
    assert made.state.status.of(KEY) is ASKED
    probed.observe_all = read
    asyncio.run(made.run(Hints(everything=True)))
    assert made.state.is_converged()


def test_after_down_nothing_is_in_sync_and_after_resume_not_before_a_pass():
    made, probed = in_sync_once()
    made.reconciler.withdraw()
    probed.there = {}
    asyncio.run(made.run(Hints(everything=True)))
    assert not made.state.is_in_sync()
    assert not made.state.status.standing()
    assert list(made.state.desired.written) == [KEY]
    made.reconciler.resume()
    assert made.state.status.of(KEY) is ASKED
    asyncio.run(made.run(Hints(everything=True)))
    assert made.state.is_converged()


def test_what_is_contested_is_in_sync_while_it_is_repaired_and_never_converged():
    clock = FakeClock()
    made, probed = in_sync_once(clock)
    for _ in range(3):
        probed.there = {KEY: Seen(BROKEN, True)}
        asyncio.run(made.run(Hints(everything=True)))
    assert made.state.status.of(KEY).phase is ObjectPhase.CONTESTED
    assert not made.state.is_in_sync()  # the third repair waits for its turn
    clock.advance(3)
    asyncio.run(made.run(Hints(everything=True)))
    assert made.state.status.of(KEY).phase is ObjectPhase.CONTESTED
    assert made.state.is_in_sync()
    assert not made.state.is_converged()


def test_a_lease_that_is_renewed_leaves_its_address_in_sync():
    key = AddressKey("", "neo1", ip_address("10.8.0.5"), 16)
    made = HostState(KINDS)
    for until, in_sync in ((1000.0, False), (5000.0, True)):
        made.note_requested(made.desired.replace([Pairs(((key, AddressSpec(valid_until=until)),))], {}))
        assert (made.status.of(key) is None) == in_sync
        made.status.take_in_hand({key})
        made.status.put_down()
        made.observed.set(key, Seen(AddressSpec(valid_until=until), True))
