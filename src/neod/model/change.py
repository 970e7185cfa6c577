"""What was seen, what is to be written, and what came of it. Values only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Generic, TypeVar

from neod.model.errors import KernelError
from neod.model.key import Key

S = TypeVar("S")


class Op(StrEnum):
    """What one change does to its object."""

    CREATE = "create"
    UPDATE = "update"
    RECREATE = "recreate"  # delete and create: the kernel cannot change it in place
    DELETE = "delete"
    CONFLICT = "conflict"  # a foreign object holds the key; nothing is written


@dataclass(frozen=True, slots=True)
class Seen(Generic[S]):
    """One object as the kernel reported it, and whether it carries our mark."""

    spec: S
    owned: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One intended write. *before* is None for what does not exist, *after* for what shall not."""

    op: Op
    key: Key
    before: object | None
    after: object | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass will do, step by step; changes within a step do not depend on each other."""

    steps: tuple[tuple[Change, ...], ...] = ()
    blocked: Mapping[Key, tuple[Key, ...]] = field(default_factory=dict)
    conflicts: tuple[Change, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every write of the plan, in order."""
        return tuple(change for step in self.steps for change in step)

    def only(self, chosen: Callable[[Change], bool]) -> "Plan":
        """Return the plan of the chosen changes alone."""
        return replace(self, steps=tuple(tuple(filter(chosen, step)) for step in self.steps))


@dataclass(frozen=True, slots=True)
class Actor:
    """The program that made a change, where the kernel says so; ``name`` is its ``comm``, empty if it has ended."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}[{self.pid}]" if self.name else f"pid {self.pid} (ended)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one change. Neither *error* nor *skipped* means that it was done."""

    change: Change
    error: KernelError | None = None
    skipped: tuple[Key, ...] = ()  # not tried: these failed before it


@dataclass(frozen=True, slots=True)
class Report:
    """One pass, as the journal keeps it."""

    number: int
    wall_time: float  # seconds since the epoch, for people
    duration_s: float
    cause: str
    plan: Plan
    outcomes: tuple[Outcome, ...]
