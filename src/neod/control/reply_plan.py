"""The answers to ``plan``, ``diff``, ``apply``, ``down`` and ``reload``. See ``replies``."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One intended write: from what is observed (*before*) to what is desired (*after*)."""

    op: str  # create | update | recreate | delete | conflict
    object: str
    before: Mapping[str, str] | None = None  # None: does not exist
    after: Mapping[str, str] | None = None  # None: shall not exist
    fields: tuple[str, ...] = ()  # names that differ, of an update or recreate
    origin: str = ""
    by: str = ""  # of a conflict: who holds it, where known


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """One object that cannot be made yet."""

    object: str
    waits_for: tuple[str, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PlanReply:
    """What the next pass would do, in its order. ``diff``, ``plan`` and ``reload`` share it."""

    file: str  # the file that is compared with the kernel
    changes: tuple[ChangeRow, ...] = ()
    blocked: tuple[BlockedRow, ...] = ()
    conflicts: tuple[ChangeRow, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What came of one change."""

    op: str
    object: str
    result: str  # done | failed | skipped
    error: str = ""  # of a failed one
    skipped_for: tuple[str, ...] = ()  # these failed before it


@dataclass(frozen=True, slots=True)
class ApplyReply:
    """One full pass that was waited for; also the answer of ``down``."""

    converged: bool  # the kernel is now what was asked for
    number: int
    duration_ms: float
    outcomes: tuple[OutcomeRow, ...] = ()
    blocked: tuple[BlockedRow, ...] = ()
    conflicts: tuple[ChangeRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ReloadReply:
    """The file was read, accepted and put to work; *plan* is what that led to."""

    plan: PlanReply
    confirm_s: float | None = None  # undone after this, unless ``confirm`` comes


@dataclass(frozen=True, slots=True)
class ConfirmReply:
    """The last reload stays."""

    file: str
