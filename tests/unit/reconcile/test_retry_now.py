"""What was refused while something it needs was away is tried as soon as that is back."""

import errno

from neod.kinds.sysctl import SysctlKey, SysctlSpec
from neod.model.change import Change, Op, Outcome
from neod.model.errors import KernelError
from neod.reconcile.status import StatusTable

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
