"""When a lifetime that the kernel keeps counts as the lease's."""

import pytest

from neod.kinds.address import AddressKind, AddressSpec, slack
from neod.model.facts import FOREVER

LEASE = AddressSpec(5000.0, slack_s=slack(3600.0))


@pytest.mark.parametrize(
    ("kernel", "kept"),
    [
        pytest.param(5000.0, True, id="exact"),
        pytest.param(5004.0, True, id="rounded"),
        pytest.param(4800.0, True, id="ends a little early: asked again after a restart"),
        pytest.param(3200.0, False, id="ends at half time: renewed since"),
        pytest.param(5010.0, False, id="outlives the lease"),
        pytest.param(FOREVER, False, id="never ends"),
    ],
)
def test_the_kernel_may_end_an_address_a_little_early_but_never_late(kernel, kept):
    assert AddressKind().matches(AddressSpec(kernel), LEASE) is kept


def test_an_endless_lease_has_an_endless_address():
    assert AddressKind().matches(AddressSpec(FOREVER), AddressSpec(FOREVER, slack_s=slack(FOREVER)))
    assert not AddressKind().matches(AddressSpec(5000.0), AddressSpec(FOREVER, slack_s=slack(FOREVER)))
