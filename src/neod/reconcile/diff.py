"""The pure difference between what should exist and what does."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any

from neod.model.change import Change, Op, Seen
from neod.model.key import Key
from neod.model.kind import Kind

Kinds = Callable[[Key], Kind[Any, Any]]


def diff(
    keys: Iterable[Key],
    desired: Mapping[Key, object],
    observed: Mapping[Key, Seen[Any]],
    kinds: Kinds,
    made: Container[Key] = (),
) -> Iterator[Change]:
    """Yield what separates *observed* from *desired* among *keys*.

    A foreign object is never changed: unwanted, it is left alone; wanted but
    different, it is a conflict for the operator to settle. Under a key of
    *made*, where our own object was, one without our mark is what somebody
    made of ours (`ip route replace`): that is a drift.
    """
    for key in keys:
        want, seen = desired.get(key), observed.get(key)
        if want is None:
            if seen is not None and seen.owned:
                yield Change(Op.DELETE, key, seen.spec, None)
        elif seen is None:
            yield Change(Op.CREATE, key, None, want)
        else:
            kind = kinds(key)
            unmarked = not seen.owned and kind.reclaims(seen.spec, want, made=key in made)
            if unmarked or not kind.matches(seen.spec, want):
                if not (seen.owned or unmarked or kind.takes_over_foreign):
                    op = Op.CONFLICT
                else:
                    op = Op.UPDATE if kind.in_place(seen.spec, want) else Op.RECREATE
                yield Change(op, key, seen.spec, want)
