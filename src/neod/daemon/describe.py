"""Objects as text: specs as flat fields, changes as the fields that differ. Pure."""

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

from neod.model.change import Change, Op
from neod.model.facts import FOREVER
from neod.model.shown import AS_TIME_LEFT, HOW, IF_UNUSUAL, NEVER

WHAT = {Op.CREATE: "created", Op.UPDATE: "changed", Op.RECREATE: "recreated", Op.DELETE: "removed"}


def flat(spec: object, now: float, beside: object = None) -> dict[str, str]:
    """Return the fields of *spec* that say something, as text; *now* is CLOCK_BOOTTIME.

    *beside*: the other side of a change, whose difference is to be seen.
    """
    if not is_dataclass(spec):
        return {}
    shown = {one.name: _text(one, getattr(spec, one.name), now, beside) for one in fields(spec)}
    return {name: value for name, value in shown.items() if value}


def _text(field: "Field[Any]", value: object, now: float, beside: object) -> str:
    how = field.metadata.get(HOW)
    if value is None or value == "" or how == NEVER[HOW]:
        return ""
    if how == IF_UNUSUAL[HOW] and value == field.default and getattr(beside, field.name, value) == value:
        return ""
    if how == AS_TIME_LEFT[HOW] and isinstance(value, float):
        return "forever" if value == FOREVER else f"{max(0, round(value - now))} s from now"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(" ".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(value)


def sides(change: Change, now: float) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is and what should be; empty for what does not exist."""
    return flat(change.before, now, change.after), flat(change.after, now, change.before)


def differing(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return the names whose text differs, where both sides exist."""
    if before is None or after is None:
        return ()
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))


def in_words(change: Change, now: float) -> str:
    """Return what an update changes: ``mtu: 1400 → 1500``. Empty where nothing compares."""
    if change.op not in (Op.UPDATE, Op.RECREATE, Op.CONFLICT):
        return ""
    before, after = sides(change, now)
    names = [name for name in differing(before, after) if after.get(name)]
    return ", ".join(f"{name}: {before.get(name, 'none')} → {after[name]}" for name in names)


def iso(wall: float) -> str:
    """Return a wall-clock instant as ISO 8601 with milliseconds and offset, in local time."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(wall, UTC).astimezone().isoformat(timespec="milliseconds")
