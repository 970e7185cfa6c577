"""A driver that cannot even read what its writes need has refused them, and nothing else is held up."""

import asyncio
import errno

import pytest
from tests.doubles.kernel import FakeClock, FakeDriver, FakeKernel
from tests.doubles.reconciling import Reconciling

from neod.kinds import KINDS
from neod.kinds.link import LinkKey, LinkSpec
from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.errors import KernelError
from neod.reconcile.queue import Hints

LINK, SYSCTL = LinkKey("", "br7"), SysctlKey("", "net/ipv4/ip_forward")
EVERYTHING = Hints(everything=True)


class Unreadable(FakeDriver):
    """Raises in a call that writes, as one does that begins with a dump."""

    def __init__(self, driver, verb):
        self.__dict__ |= vars(driver)
        self.verb, self.broken = verb, True

    async def put(self, items):
        if self.broken and self.verb == "put":
            raise KernelError("link get", errno.ENOBUFS, "No buffer space available")
        return await super().put(items)

    async def drop(self, keys):
        if self.broken and self.verb == "drop":
            raise KernelError("link get", errno.ENOBUFS, "No buffer space available")
        return await super().drop(keys)


@pytest.mark.parametrize("verb", ["put", "drop"])
def test_a_write_that_cannot_be_begun_is_a_refusal_of_its_objects(verb):
    kernel = FakeKernel(KINDS.values())
    drivers = kernel.drivers()
    driver = drivers["", "link"] = Unreadable(drivers["", "link"], verb)
    wanted = [(LINK, LinkSpec("bridge", "br7"))]
    host = Reconciling(KINDS, drivers, FakeClock(), wanted if verb == "put" else ())
    if verb == "drop":
        driver.broken = False
        host.want(wanted)
        asyncio.run(host.run(EVERYTHING))
        driver.broken = True
        host.want(())
    host.want([*(wanted if verb == "put" else ()), (SYSCTL, SysctlSpec("1"))])
    report = asyncio.run(host.run(EVERYTHING))
    errors = {outcome.change.key: outcome.error for outcome in report.outcomes}
    assert errors[LINK] is not None and errors[LINK].code == errno.ENOBUFS
    assert errors[SYSCTL] is None and SYSCTL in kernel.objects
    assert LINK in host.state.status.out_of_sync
