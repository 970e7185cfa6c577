"""The phase of one resource, and what stands in its way."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from neod.model.change import Actor, Change
from neod.model.errors import KernelError
from neod.model.key import Key


class ObjectPhase(StrEnum):
    """How one resource stands; the order is from worst to best."""

    FAILED = "failed"  # refused for good: the file or the kernel must change
    CONFLICT = "conflict"  # a foreign object holds its name
    CONTESTED = "contested"  # somebody keeps undoing it; repairs slow down
    RETRYING = "retrying"  # refused for now
    BLOCKED = "blocked"  # waits for others
    CHANGING = "changing"  # seen, and about to be changed (or neod is paused)
    IN_SYNC = "in-sync"


SEVERITY = {phase: rank for rank, phase in enumerate(ObjectPhase)}


class DriftKind(StrEnum):
    """How an object differs though nobody asked for it."""

    MISSING = "missing"
    MODIFIED = "modified"
    ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a path needs to carry packets, beside objects that are as the file says."""

    name: str
    status: bool | None  # None: not known
    since: float  # seconds since the epoch
    evidence: str = ""  # one sentence; of one that is false it is the reason


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """Why one resource is not in-sync, and what happens next."""

    phase: ObjectPhase
    change: Change | None = None
    drift: DriftKind | None = None
    error: KernelError | None = None
    waits_for: tuple[Key, ...] = ()
    next_at: float | None = None  # CLOCK_BOOTTIME of the next attempt; None: when what it waits for comes
    attempts: int = 0
    actor: Actor | None = None
    repaired: bool = False  # contested, but at present as it should be


ASKED: Final = ObjectStatus(ObjectPhase.CHANGING)
"""Of what the file or a fact asks for since the last pass: nobody has looked yet."""
