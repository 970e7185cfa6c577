"""Every write of a cold start refused once, with every errno, on the real kernel: all the rest is done, then all is.

Also the lost acknowledgement: the kernel did it, and we were not told.
"""

import asyncio
import errno

import pytest
from tests.doubles import builders
from tests.doubles.reconciling import Reconciling
from tests.kernel.contract.test_laws_of_kinds import KINDS

from neod.kernel.clock import SystemClock
from neod.model.errors import KernelError
from neod.reconcile.queue import Hints

pytestmark = pytest.mark.kernel

ERRNOS = [
    errno.EINTR, errno.ENOBUFS, errno.EBUSY, errno.EEXIST, errno.ENOENT,
    errno.ENODEV, errno.EPERM, errno.ENOMEM, errno.EOPNOTSUPP, errno.EINVAL,
]  # fmt: skip
LOST_ACK = -1
PAIRS = [pair for number in (1, 2) for pair in builders.campus(f"neo{number}", number)]
PASSES = 6
TABLES = {1: "neo1", 2: "neo2"}


class Refusing:
    """An ``Rtnl`` whose n-th write is refused, or done and not acknowledged."""

    def __init__(self, rtnl, number, code):
        self._rtnl, self._number, self._code = rtnl, number, code
        self.count, self.spent = 0, False

    def __getattr__(self, name):
        return getattr(self._rtnl, name)

    async def send(self, requests):
        answers = []
        for request in requests:
            self.count += 1
            if self.count != self._number:
                answers += await self._rtnl.send([request])
                continue
            self.spent = True
            if self._code == LOST_ACK:
                await self._rtnl.send([request])
                answers.append(KernelError("injected", errno.ETIMEDOUT, "no answer"))
            else:
                answers.append(KernelError("injected", self._code, "injected"))
        return answers


def reconciler_on(drivers):
    return Reconciling(KINDS, drivers, SystemClock(), PAIRS)


async def insisting_pass(reconciler):
    waiter = asyncio.get_running_loop().create_future()
    return await reconciler.run(Hints(everything=True, waiters=[waiter]))


@pytest.mark.parametrize("code", [*ERRNOS, LOST_ACK], ids=[*(errno.errorcode[c] for c in ERRNOS), "lost-ack"])
def test_one_refused_write_is_made_good_whichever_it_was(real, code):
    async def go(drivers, ports):
        number = 0
        while True:
            number += 1
            faulty = Refusing(ports.rtnl, number, code)
            for driver in drivers.values():
                if hasattr(driver, "_rtnl"):
                    driver._rtnl = faulty
            reconciler = reconciler_on(drivers)
            first = await insisting_pass(reconciler)
            if not faulty.spent:
                break
            missed = [o.change for o in first.outcomes if o.error or o.skipped]
            undone = {KINDS[c.key.kind].path(c.key, c.after, TABLES) for c in missed}
            assert len(undone) <= 1, "what does not depend on the refused write was not done"
            for _ in range(PASSES):
                if not (await insisting_pass(reconciler)).plan.changes:
                    break
            assert reconciler.state.status.out_of_sync == {}, f"write {number}"
            for key, spec in PAIRS:
                seen = reconciler.state.observed.get(key)
                assert seen is not None
                assert KINDS[key.kind].matches(seen.spec, spec)
            real.ip("rule", "flush", "protocol", "110")
            real.ip("link", "del", "group", "110")
        assert number > 10

    real.run(go)
