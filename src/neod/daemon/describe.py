"""Objects as text: specs as flat fields, changes as the fields that differ. Pure."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Final

from neod.model.change import Change, Op
from neod.model.facts import FOREVER

WHAT = {Op.CREATE: "created", Op.UPDATE: "changed", Op.RECREATE: "recreated", Op.DELETE: "removed"}

NOT_SHOWN: Final = ("slack_s", "quiet", "nic", "needs")
"""What tells a driver how to write, and not what the object is."""


def flat(spec: object, now: float) -> dict[str, str]:
    """Return the fields of *spec* that say something, as text; *now* is CLOCK_BOOTTIME."""
    if not is_dataclass(spec):
        return {}
    shown = {field.name: _text(field.name, getattr(spec, field.name), now) for field in fields(spec)}
    return {name: value for name, value in shown.items() if value}


def _text(name: str, value: object, now: float) -> str:
    if value is None or value == "":
        return ""
    if name in NOT_SHOWN:
        return ""
    if name == "valid_until" and isinstance(value, float):
        return "forever" if value == FOREVER else f"{max(0, round(value - now))} s from now"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(" ".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(value)


def differing(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return the names whose text differs, where both sides exist."""
    if before is None or after is None:
        return ()
    return tuple(name for name in {**before, **after} if before.get(name) != after.get(name))


def in_words(change: Change, now: float) -> str:
    """Return what an update changes: ``mtu: 1400 → 1500``. Empty where nothing compares."""
    if change.op not in (Op.UPDATE, Op.RECREATE, Op.CONFLICT):
        return ""
    before, after = flat(change.before, now), flat(change.after, now)
    names = [name for name in differing(before, after) if after.get(name)]
    return ", ".join(f"{name}: {before.get(name, 'none')} → {after[name]}" for name in names)


def iso(wall: float) -> str:
    """Return a wall-clock instant as ISO 8601 with milliseconds and offset, in local time."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(wall, UTC).astimezone().isoformat(timespec="milliseconds")
