"""Changes arranged so that nothing is used before it exists or after it is gone.

The order comes from ``requires`` alone; ties are broken by name, so that the same input always gives the same plan.
What is new comes before what is old goes (make before break), except where a kind says that the old must make room.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from neod.model.change import Change, Op, Plan
from neod.model.key import Key
from neod.model.kind import needs_of
from neod.reconcile.diff import Kinds


@dataclass(frozen=True, slots=True)
class OrderContext:
    """What ordering must know of everything that is not itself changing."""

    kinds: Kinds
    present: Callable[[Key], bool]
    dependents: Callable[[Key], Iterable[Key]]  # desired, transitively; what a re-creation destroys
    desired: Mapping[Key, object]


def order(changes: Iterable[Change], context: OrderContext) -> Plan:
    """Arrange *changes* in steps; what cannot be done yet is blocked, by what it waits for."""
    todo: dict[Key, Change] = {}
    conflicts: list[Change] = []
    for change in sorted(changes, key=lambda c: str(c.key)):
        if change.op is Op.CONFLICT:
            conflicts.append(change)
        else:
            todo[change.key] = change
    _plan_again_what_falls_with_a_link(todo, context)
    deletes = {key: c for key, c in todo.items() if c.op is Op.DELETE}
    writes = {key: c for key, c in todo.items() if c.op is not Op.DELETE}
    early = _making_room(deletes, context)
    held = {c.key for c in conflicts}
    levels, blocked = _write_levels(writes, deletes, held, context)
    steps = [
        *_delete_steps({k: c for k, c in deletes.items() if k in early}, context),
        *_steps(writes, levels),
        *_delete_steps({k: c for k, c in deletes.items() if k not in early}, context),
    ]
    return Plan(tuple(steps), blocked, tuple(conflicts))


def _plan_again_what_falls_with_a_link(todo: dict[Key, Change], context: OrderContext) -> None:
    for key in [key for key, change in todo.items() if change.op is Op.RECREATE]:
        for dependent in context.dependents(key):
            planned = todo.get(dependent)
            if planned is None:
                todo[dependent] = Change(Op.CREATE, dependent, None, context.desired[dependent])
            elif planned.op is Op.UPDATE:
                todo[dependent] = replace(planned, op=Op.CREATE, before=None)


def _needs(change: Change, context: OrderContext) -> Iterable[Key]:
    spec = change.before if change.op is Op.DELETE else change.after
    return needs_of(context.kinds(change.key), change.key, spec)


def _providers(todo: Mapping[Key, Change], context: OrderContext) -> Mapping[Key, list[Key]]:
    """For every key that comes with others' existence: who brings it."""
    found: defaultdict[Key, list[Key]] = defaultdict(list)
    for key in todo:
        for provided in context.kinds(key).provides(key):
            found[provided].append(key)
    return found


def _making_room(deletes: Mapping[Key, Change], context: OrderContext) -> set[Key]:
    """The deletes that come first: those that free something exclusive, and what hangs on them."""
    early: set[Key] = set()
    going: set[Key] = set()  # the early ones, and what comes with them
    more = {key for key in deletes if context.kinds(key).delete_before_create}
    while more:
        early |= more
        going |= more | {provided for key in more for provided in context.kinds(key).provides(key)}
        more = {k for k, c in deletes.items() if k not in early and not going.isdisjoint(_needs(c, context))}
    return early


def _write_levels(
    writes: Mapping[Key, Change], deletes: Mapping[Key, Change], held: set[Key], context: OrderContext
) -> tuple[dict[Key, int], dict[Key, tuple[Key, ...]]]:
    """Return the step number of every write that can be done, and what the others wait for."""
    levels: dict[Key, int] = {}
    blocked: dict[Key, tuple[Key, ...]] = {}
    providers = _providers(writes, context)

    def hides(key: Key) -> bool:
        """Whether it is there and of no use yet: what depends on it is looked at once it is changed."""
        return writes[key].op is Op.UPDATE and not context.present(key)

    def visit(key: Key) -> None:
        if key in levels or key in blocked:
            return
        level, missing = 0, []
        for need in _needs(writes[key], context):
            bringers = (need,) if need in writes and not hides(need) else providers.get(need, ())
            for bringer in bringers:
                visit(bringer)
            ready = [levels[bringer] for bringer in bringers if bringer in levels]
            if ready:
                level = max(level, 1 + max(ready))
            elif bringers or need in held or need in deletes or not context.present(need):
                missing.append(need)
        if missing:
            blocked[key] = tuple(missing)
        else:
            levels[key] = level

    for key in writes:
        visit(key)
    return levels, blocked


def _steps(changes: Mapping[Key, Change], levels: Mapping[Key, int]) -> Iterator[tuple[Change, ...]]:
    steps: defaultdict[int, list[Change]] = defaultdict(list)
    for key, change in changes.items():
        if key in levels:
            steps[levels[key]].append(change)
    for level in sorted(steps):
        yield tuple(steps[level])


def _delete_steps(deletes: Mapping[Key, Change], context: OrderContext) -> Iterator[tuple[Change, ...]]:
    """Take away first what others do not need: the write order, backwards."""
    levels: dict[Key, int] = {}
    providers = _providers(deletes, context)

    def level_of(key: Key) -> int:
        if key not in levels:
            levels[key] = 0
            needs = (b for n in _needs(deletes[key], context) for b in ((n,) if n in deletes else providers.get(n, ())))
            levels[key] = max((1 + level_of(bringer) for bringer in needs), default=0)
        return levels[key]

    for key in deletes:
        level_of(key)
    return iter([tuple(reversed(step)) for step in reversed(list(_steps(deletes, levels)))])
