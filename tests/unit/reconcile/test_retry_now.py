"""What was refused while something it needs was away is tried as soon as that is back."""

import asyncio
import errno
from dataclasses import dataclass

import pytest
from tests.doubles import builders
from tests.doubles.kernel import FakeClock, FakeDriver, FakeKernel
from tests.doubles.reconciling import Reconciling

from neod.kinds import KINDS
from neod.kinds.link import LinkKey, LinkSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.change import Change, Op, Outcome
from neod.model.errors import KernelError, Obstacle
from neod.model.key import LocalKey
from neod.model.status import ObjectPhase
from neod.model.want import Fragment, Origin, Want
from neod.reconcile.queue import Hints
from neod.reconcile.state import HostState
from neod.reconcile.status import StatusTable


@dataclass(frozen=True, slots=True)
class Wants(Fragment):
    name: str
    wants: tuple[Want, ...]

    def compile(self, facts):
        return self.wants


KEY = SysctlKey("", "net/ipv4/ip_forward")


def refused(table, now):
    change = Change(Op.CREATE, KEY, None, SysctlSpec("1"))
    table.settle(Outcome(change, KernelError("write", errno.EINVAL, "no")), now, None)


def test_a_refusal_for_good_is_tried_at_once_when_what_it_needs_was_made():
    table = StatusTable()
    refused(table, 10.0)
    assert table.next_due() > 10.0
    table.retry_now([KEY], 11.0)
    assert table.next_due() == 11.0


def test_what_has_no_trouble_is_left_alone():
    table = StatusTable()
    table.retry_now([KEY], 11.0)
    assert table.next_due() is None


def test_another_change_of_a_refused_object_does_not_wait():
    table = StatusTable()
    refused(table, 10.0)
    again = Change(Op.CREATE, KEY, None, SysctlSpec("1"))
    other = Change(Op.UPDATE, KEY, SysctlSpec("0"), SysctlSpec("1"))
    assert [table.due(change, 11.0, insist=False) for change in (again, other)] == [False, True]
    assert table.due(again, 11.0, insist=True)


LINK, NIC = LinkKey("", "neo1"), LinkKey("", "ens3")
SPEC = LinkSpec("macvlan", "neo1", "ens3")


def host_with(error):
    state = HostState(KINDS)
    state.desired.replace([Wants("neo1", (Want(LINK, SPEC, Origin("macvlans.neo", 1)),))], {})
    state.status.settle(Outcome(Change(Op.CREATE, LINK, None, SPEC), error), 10.0, None)
    return state


@pytest.mark.parametrize("changed", [NIC, LinkKey("", "cmv")], ids=["what it needs", "what was in the way"])
def test_a_refused_link_is_tried_at_once_when_that_changes(changed):
    obstacle = Obstacle("cmv has it", LinkKey("", "cmv"), foreign=True)
    state = host_with(KernelError("link add", errno.EADDRINUSE, "in use", obstacle))
    assert state.status.out_of_sync[LINK].phase is ObjectPhase.CONFLICT
    assert state.retry_refused({LinkKey("", "eth9")}, 10.1) == set()
    assert state.retry_refused({changed}, 10.1, but={LINK}) == set()
    assert state.retry_refused({changed}, 10.1) == {LINK}
    assert state.status.next_due() == 10.1


def test_what_is_in_the_way_is_in_the_error_but_not_in_what_the_kernel_said():
    error = KernelError("link add", errno.EBUSY, "busy").because(Obstacle("ens3 is a port of br0: use br0"))
    assert str(error) == "link add: EBUSY: busy: ens3 is a port of br0: use br0"
    assert error.refusal == "link add: EBUSY: busy"


def test_what_went_with_what_it_needs_was_not_undone_by_anybody():
    table = StatusTable()
    change = Change(Op.CREATE, LINK, None, SPEC)
    for now in range(9):
        table.in_sync(LINK, now)
        table.blocked(change, (NIC,))
        table.settle(Outcome(change), now, None)
    assert table.out_of_sync == {}


class Explaining(FakeDriver):
    """One that finds an address, on whatever link, in the way."""

    async def explain(self, refused):
        return [Obstacle("the address is not usable", LocalKey("", ADDRESS[0].ip)) for _ in refused]


ADDRESS = builders.address("ens3", "10.8.0.5", 24)
ROUTE = builders.route(33, "10.9.0.0/24", "ens3")


def test_what_is_in_the_way_need_be_no_object_that_can_be_read():
    kernel = FakeKernel(KINDS.values())
    kernel.add_foreign(*builders.macvlan("ens3", 3, parent=""))
    drivers = kernel.drivers()
    drivers["", "route"] = Explaining(kernel, "", KINDS["route"])
    host = Reconciling(KINDS, drivers, FakeClock(), [ROUTE])
    kernel.fault = lambda verb, key: errno.EINVAL if (verb, key) == ("put", ROUTE[0]) else 0

    async def play():
        await host.run(Hints(everything=True))
        host.queue.hint_facts("so that something is to be taken")
        await host.run(await host.queue.take(1))
        refused = host.state.status.out_of_sync[ROUTE[0]]
        kernel.fault = lambda verb, key: 0
        kernel.add_foreign(*ADDRESS)
        await host.run(Hints(keys={ADDRESS[0]: None}))
        return refused

    assert asyncio.run(play()).error.obstacle.holder.kind not in KINDS
    assert host.state.is_converged()
