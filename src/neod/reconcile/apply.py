"""Runs a plan: step by step, a batch a kind, one outcome per change."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from neod.model.change import Change, Op, Outcome, Plan
from neod.model.errors import KernelError
from neod.model.key import Key, Place
from neod.model.kind import Driver, Explains, Kind, needs_of

DriverOf = Callable[[Place], Driver[Any, Any]]
Refused = Sequence[tuple[Key, object, KernelError]]


async def apply(plan: Plan, driver_of: DriverOf, kinds: Mapping[str, Kind[Any, Any]]) -> tuple[Outcome, ...]:
    """Carry out *plan* and return one outcome per change, in plan order.

    A refusal never raises: what depends on the refused object is skipped, and everything else is done.
    """
    outcomes: list[Outcome] = []
    failed: set[Key] = set()
    for step in plan.steps:
        doable: defaultdict[Place, list[Change]] = defaultdict(list)
        for change in step:
            if causes := _failed_before(change, failed, kinds):
                outcomes.append(Outcome(change, skipped=causes))
                failed.add(change.key)
            else:
                doable[change.key.netns, change.key.kind].append(change)
        for done in await asyncio.gather(*(_run(driver_of, place, batch) for place, batch in doable.items())):
            outcomes += done
            failed |= {outcome.change.key for outcome in done if outcome.error}
    return tuple(outcomes)


def _failed_before(change: Change, failed: set[Key], kinds: Mapping[str, Kind[Any, Any]]) -> tuple[Key, ...]:
    """Return what a write needs that could not be made. A deletion needs nothing."""
    if not failed or change.op is Op.DELETE:
        return ()
    return tuple(need for need in needs_of(kinds[change.key.kind], change.key, change.after) if need in failed)


async def _run(driver_of: DriverOf, place: Place, batch: Sequence[Change]) -> list[Outcome]:
    """Do one kind's share of a step: deletions and re-creations are dropped, then all but deletions are put."""
    try:
        driver = driver_of(place)
    except KernelError as error:  # the namespace went away
        return [Outcome(change, error) for change in batch]
    answers: dict[Key, KernelError | None] = {}
    dropped = [c.key for c in batch if c.op in (Op.DELETE, Op.RECREATE)]
    if dropped:
        answers |= await _answered(dropped, driver.drop(dropped))
    puts = [c for c in batch if c.op is not Op.DELETE and answers.get(c.key) is None]
    if puts:
        items = [(c.key, c.after, None if c.op is Op.RECREATE else c.before) for c in puts]
        answers |= await _answered([c.key for c in puts], driver.put(items))
        refused = [(c.key, c.after, refusal) for c in puts if (refusal := answers[c.key])]
        answers |= await _explained(driver, refused) if refused and isinstance(driver, Explains) else {}
    return [Outcome(change, answers[change.key]) for change in batch]


async def _answered(
    keys: Sequence[Key], writing: Awaitable[Sequence[KernelError | None]]
) -> dict[Key, KernelError | None]:
    """Return what each key got. A driver that could not read what it needs for its writes has refused them all."""
    try:
        return dict(zip(keys, await writing, strict=True))
    except KernelError as error:
        return dict.fromkeys(keys, error)


async def _explained(driver: Explains, refused: Refused) -> dict[Key, KernelError | None]:
    """Return the refusals with what is in the way, as far as it is known."""
    try:
        obstacles = await driver.explain(refused)
    except KernelError:
        return {}
    return {key: error.because(obstacle) for (key, _, error), obstacle in zip(refused, obstacles, strict=True)}
