"""The pure difference, one row per way two states can differ."""

import pytest
from tests.doubles import builders

from neod.kinds import KINDS
from neod.kinds.link import LinkSpec
from neod.model.change import Op, Seen
from neod.model.key import LinkKey
from neod.reconcile.diff import diff

KEY, WANT = builders.macvlan("neo1")
OTHER_MTU = LinkSpec("macvlan", "neo1", "up0", "private", "02:4e:65:6f:00:01", 1400)
WANT_MTU = LinkSpec("macvlan", "neo1", "up0", "private", "02:4e:65:6f:00:01", 1500)
OTHER_PARENT = LinkSpec("macvlan", "neo1", "up9", "private", "02:4e:65:6f:00:01")
SYSCTL, ONE = builders.sysctl("net/ipv4/ip_forward", "1")
ZERO = builders.sysctl("net/ipv4/ip_forward", "0")[1]


def ops(desired, observed):
    return [change.op for change in diff({*desired, *observed}, desired, observed, lambda key: KINDS[key.kind])]


@pytest.mark.parametrize(
    ("desired", "observed", "expected"),
    [
        pytest.param({KEY: WANT}, {}, [Op.CREATE], id="missing"),
        pytest.param({KEY: WANT_MTU}, {KEY: Seen(OTHER_MTU, True)}, [Op.UPDATE], id="modified"),
        pytest.param({KEY: WANT}, {KEY: Seen(OTHER_MTU, True)}, [], id="modified-where-nothing-is-asked"),
        pytest.param({KEY: WANT}, {KEY: Seen(OTHER_PARENT, True)}, [Op.RECREATE], id="modified-beyond-repair"),
        pytest.param({}, {KEY: Seen(WANT, True)}, [Op.DELETE], id="orphan"),
        pytest.param({KEY: WANT}, {KEY: Seen(WANT, True)}, [], id="in-sync"),
        pytest.param({}, {KEY: Seen(WANT, False)}, [], id="foreign"),
        pytest.param({KEY: WANT}, {KEY: Seen(OTHER_PARENT, False)}, [Op.CONFLICT], id="conflict"),
        pytest.param({KEY: WANT}, {KEY: Seen(WANT, False)}, [], id="foreign-and-right"),
        pytest.param({SYSCTL: ONE}, {SYSCTL: Seen(ZERO, False)}, [Op.UPDATE], id="adopted"),
    ],
)
def test_diff_covers_every_way_two_states_can_differ(desired, observed, expected):
    assert ops(desired, observed) == expected


ROUTE, BY_1 = builders.route(7, "0.0.0.0/0", "neo1", gateway="10.9.0.1")
BY_2 = builders.route(7, "0.0.0.0/0", "neo1", gateway="10.9.0.2")[1]
NETNS, MADE = builders.netns("proxy")


@pytest.mark.parametrize(
    ("key", "want", "seen", "made", "expected"),
    [
        pytest.param(ROUTE, BY_1, BY_2, True, [Op.UPDATE], id="replaced"),
        pytest.param(ROUTE, BY_1, BY_1, True, [Op.UPDATE], id="mark-lost"),
        pytest.param(ROUTE, BY_1, BY_2, False, [Op.CONFLICT], id="found-before-we-wrote"),
        pytest.param(ROUTE, None, BY_2, True, [], id="nothing-asks-for-it"),
        pytest.param(SYSCTL, ONE, ONE, True, [], id="settings-have-no-mark"),
        pytest.param(NETNS, MADE, MADE, True, [], id="a-namespace-is-its-inhabitants"),
        pytest.param(KEY, WANT, OTHER_PARENT, True, [Op.CONFLICT], id="a-link-is-known-by-its-index"),
    ],
)
def test_what_was_ours_and_has_lost_our_mark_is_a_drift(key, want, seen, made, expected):
    desired = {} if want is None else {key: want}
    kinds = (lambda key: KINDS[key.kind],)
    changes = diff([key], desired, {key: Seen(seen, False)}, *kinds, {key} if made else ())
    assert [change.op for change in changes] == expected


def test_only_the_named_keys_are_compared():
    other = LinkKey("", "neo2")
    changes = list(diff([KEY], {KEY: WANT, other: WANT}, {}, lambda key: KINDS[key.kind]))
    assert [change.key for change in changes] == [KEY]
