"""Paused, nothing is changed; what would end by itself does not end."""

import asyncio
from dataclasses import replace

import pytest
from tests.doubles import builders
from tests.doubles.kernel import FakeClock, FakeKernel
from tests.doubles.reconciling import Reconciling

from neod.kinds import KINDS
from neod.model.status import ObjectPhase
from neod.reconcile.queue import Hints

LINK = builders.macvlan("neo1", 1)
FORWARDING = builders.sysctl("net/ipv4/ip_forward", "1")


def address(valid_until):
    return builders.address("neo1", "10.8.1.1", 16, valid_until)


class Paused:
    """A host that was converged on an address of a lease that ends at 1060, and then paused."""

    def __init__(self):
        self.kernel = FakeKernel(KINDS.values())
        self.kernel.add_foreign(*builders.macvlan("up0", 200, parent=""))
        pairs = (LINK, address(1060.0), FORWARDING)
        self.host = Reconciling(self.kernel.kinds, self.kernel.drivers(), FakeClock(), pairs)
        self.run()
        self.host.reconciler.pause()
        self.kernel.writes = 0

    def run(self):
        asyncio.run(self.host.run(Hints(everything=True)))

    def valid_until(self):
        return self.kernel.objects[address(0.0)[0]].spec.valid_until

    def phases(self):
        return {key.kind: status.phase for key, status in self.host.state.status.out_of_sync.items()}


@pytest.fixture
def paused():
    return Paused()


def test_a_renewed_lease_reaches_the_kernel(paused):
    paused.host.want((LINK, address(1120.0), FORWARDING))
    paused.run()
    assert paused.valid_until() == 1120.0
    assert (paused.kernel.writes, paused.phases()) == (1, {})


def test_a_lease_that_ends_earlier_does_not(paused):
    """The file or a server asks for a change; that waits."""
    paused.host.want((LINK, address(1010.0), FORWARDING))
    paused.run()
    assert (paused.valid_until(), paused.kernel.writes) == (1060.0, 0)
    assert paused.phases() == {"address": ObjectPhase.CHANGING}


def test_an_address_that_somebody_deleted_is_not_put_back_by_a_renewal(paused):
    paused.kernel.lose(address(0.0)[0])
    paused.host.want((LINK, address(1120.0), FORWARDING))
    paused.run()
    assert paused.kernel.writes == 0


def test_other_changes_of_the_same_pass_wait(paused):
    paused.kernel.lose(FORWARDING[0])
    paused.host.want((LINK, address(1120.0), FORWARDING))
    paused.run()
    assert (paused.valid_until(), paused.kernel.writes) == (1120.0, 1)
    assert paused.phases() == {"sysctl": ObjectPhase.CHANGING}


def test_a_foreign_address_is_not_prolonged(paused):
    key, spec = address(1060.0)
    paused.kernel.objects[key] = replace(paused.kernel.objects[key], owned=False)
    paused.host.want((LINK, (key, replace(spec, valid_until=1120.0)), FORWARDING))
    paused.run()
    assert paused.kernel.writes == 0
