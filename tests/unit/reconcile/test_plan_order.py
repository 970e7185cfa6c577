"""The order of a plan: needs first, deletions backwards, new before old."""

import itertools

import pytest
from tests.doubles import builders

from neod.kinds import KINDS
from neod.model.change import Op, Seen
from neod.model.key import LinkKey
from neod.reconcile.diff import diff
from neod.reconcile.order import OrderContext, order

PARENT = LinkKey("", "up0")


def kind_of(key):
    return KINDS[key.kind]


def planned(desired, observed, dependents_of=lambda key: ()):
    desired, observed = dict(desired), {key: Seen(spec, True) for key, spec in dict(observed).items()}
    provided = {p for key in observed for p in kind_of(key).provides(key)}
    context = OrderContext(
        kind_of, lambda key: key in observed or key in provided or key == PARENT, dependents_of, desired
    )
    return order(diff({*desired, *observed}, desired, observed, kind_of), context)


def positions(plan):
    return {change.key: number for number, step in enumerate(plan.steps) for change in step}


def test_nothing_is_used_before_it_exists():
    resources = builders.campus("neo1", 1)
    at = positions(planned(resources, {}))
    for key, spec in resources:
        for need in kind_of(key).requires(key, spec):
            bringers = [k for k in at if k == need or need in kind_of(k).provides(k)]
            assert all(at[b] < at[key] for b in bringers)
    assert len(at) == len(resources)


def test_nothing_is_deleted_while_something_that_stays_in_the_plan_needs_it():
    resources = builders.campus("neo1", 1)
    at = positions(planned({}, resources))
    for key, spec in resources:
        for need in kind_of(key).requires(key, spec):
            bringers = [k for k in at if k == need or need in kind_of(k).provides(k)]
            assert all(at[b] > at[key] for b in bringers)


def test_what_cannot_be_done_is_blocked_by_name_and_holds_nothing_else_up():
    orphaned = [builders.address("gone", "10.0.0.1", 24)]
    plan = planned([*builders.campus("neo1", 1), *orphaned], {})
    assert plan.blocked == {orphaned[0][0]: (LinkKey("", "gone"),)}
    assert len(plan.changes) == len(builders.campus("neo1", 1))


def test_what_needs_something_blocked_is_blocked_too():
    resources = builders.campus("neo1", 1, parent="nowhere")
    plan = planned(resources, {})
    assert not plan.changes
    assert set(plan.blocked) == {key for key, _ in resources}


def test_a_new_address_comes_before_the_old_one_goes():
    link = builders.macvlan("neo1")
    old, new = builders.address("neo1", "10.0.0.1", 24), builders.address("neo1", "10.0.0.2", 24)
    plan = planned([link, new], [link, old])
    assert [(c.op, c.key) for c in plan.changes] == [(Op.CREATE, new[0]), (Op.DELETE, old[0])]


def test_an_old_link_makes_room_before_a_new_one_comes():
    old = [builders.macvlan("neo1", 1), builders.address("neo1", "10.0.0.1", 24)]
    new = [builders.macvlan("neo2", 1), builders.address("neo2", "10.0.0.1", 24)]
    keys = [change.key for change in planned(new, old).changes]
    assert keys == [old[1][0], old[0][0], new[0][0], new[1][0]]


def test_a_recreated_link_takes_what_hangs_on_it_along():
    address = builders.address("neo1", "10.0.0.1", 24)
    now, want = builders.macvlan("neo1", parent="up0"), builders.macvlan("neo1", parent="up1")
    other_parent = builders.macvlan("up1", 9)
    hanging = {want[0]: [address[0]]}
    plan = planned([want, address, other_parent], [now, address, other_parent], lambda key: hanging.get(key, ()))
    assert [(c.op, c.key) for c in plan.changes] == [(Op.RECREATE, want[0]), (Op.CREATE, address[0])]


@pytest.mark.parametrize("seed", range(6))
def test_the_same_input_in_another_order_gives_the_same_plan(seed):
    resources = [*builders.campus("neo1", 1), *builders.campus("neo2", 2)]
    shuffled = list(itertools.islice(itertools.cycle(resources), seed, seed + len(resources)))
    assert planned(resources, {}).steps == planned(shuffled, {}).steps
