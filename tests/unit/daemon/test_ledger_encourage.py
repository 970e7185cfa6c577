"""What was refused while something it needs was away is tried as soon as that is back."""

import errno

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.change import Change, Op, Outcome
from neod.model.errors import KernelError
from neod.reconcile.status import Ledger

KEY = SysctlKey("", "net/ipv4/ip_forward")


def refused(ledger, now):
    change = Change(Op.CREATE, KEY, None, SysctlSpec("1"))
    ledger.settle(Outcome(change, KernelError("write", errno.EINVAL, "no")), now, None)


def test_a_refusal_for_good_is_tried_at_once_when_what_it_needs_was_made():
    ledger = Ledger()
    refused(ledger, 10.0)
    assert ledger.next_due() > 10.0
    ledger.encourage([KEY], 11.0)
    assert ledger.next_due() == 11.0


def test_what_has_no_trouble_is_left_alone():
    ledger = Ledger()
    ledger.encourage([KEY], 11.0)
    assert ledger.next_due() is None
