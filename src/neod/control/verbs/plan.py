"""Passes and the file they work from: ``Diff``, ``Plan``, ``Apply``, ``Down``, ``Reload`` and ``Confirm``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from neod.control.errors import ApplyFailed, Busy, FileInvalid, NothingToConfirm, Paused
from neod.control.verb import Path, PositiveSeconds, Remark, Right, Text, verb
from neod.model.words import count


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
class ImpactRow:
    """What a plan takes away, and what is on it now."""

    objects: int  # that go
    recreated: int  # that go and come again
    leases: tuple[str, ...] = ()  # links whose lease goes
    paths: tuple[str, ...] = ()  # that go, or lose their link or address
    connections: int | None = (
        0  # open TCP connections by them; all subflows of an MPTCP connection are one. None: unread
    )
    subflows: int = 0  # of MPTCP connections among them, by them
    caller: str = ""  # how the caller's own connection comes in, where that goes or changes

    def __str__(self) -> str:
        """``3 objects go, 1 lease, 1 path, 4 open connections by them``; empty where nothing goes."""
        parts = [f"{count(self.objects, 'object')} {'goes' if self.objects == 1 else 'go'}"] if self.objects else []
        parts += [f"{count(self.recreated, 'object')} made anew"] if self.recreated else []
        parts += [count(len(names), what) for names, what in ((self.leases, "lease"), (self.paths, "path")) if names]
        return ", ".join((*parts, self._connections())) if parts or self.connections else ""

    def _connections(self) -> str:
        if self.connections is None:
            return "and the open connections could not be read"
        subflows = f" ({count(self.subflows, 'MPTCP subflow')})" if self.subflows else ""
        number = count(self.connections, "open connection") if self.connections else "no open connection"
        return f"{number} by them{subflows}"


@dataclass(frozen=True, slots=True)
class PlanReply:
    """What the next pass would do, in its order. ``diff``, ``plan`` and ``reload`` share it."""

    file: str  # the file that is compared with the kernel
    changes: tuple[ChangeRow, ...] = ()
    blocked: tuple[BlockedRow, ...] = ()
    conflicts: tuple[ChangeRow, ...] = ()
    warnings: tuple[str, ...] = ()
    mode: str = "running"  # of neod: paused or down, it does nothing of this until ``resume``
    impact: ImpactRow | None = None  # of ``plan`` and ``reload``
    digest: str = ""  # of the file's text, for ``reload``


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

    converged: bool  # the kernel is now what was asked for; after ``down``: nothing owned is left
    number: int
    duration_ms: float
    outcomes: tuple[OutcomeRow, ...] = ()
    blocked: tuple[BlockedRow, ...] = ()
    conflicts: tuple[ChangeRow, ...] = ()
    mode: str = "running"  # of neod | down
    warnings: tuple[str, ...] = ()  # of ``down``: programs that it leaves behind


@dataclass(frozen=True, slots=True)
class ReloadReply:
    """The file was read, accepted and put to work; *plan* is what that led to."""

    plan: PlanReply
    confirm_s: float | None = None  # undone after this, unless ``confirm`` comes


@dataclass(frozen=True, slots=True)
class ConfirmReply:
    """The last reload stays."""

    file: str


class PlanVerbs(Protocol):
    """Verbs on plans, passes and the file."""

    @verb(Right.READ, ApplyFailed)
    async def diff(self) -> PlanReply:
        """What separates the kernel from the file.

        The kernel is read now; in plan order. Writes nothing. What nobody knew of before, the next pass looks at.
        In mode ``down``, all that the file asks for.
        """
        ...

    @verb(Right.READ, FileInvalid, ApplyFailed, write_if="file")
    async def plan(self, file: Path | None = None, caller: Remark | None = None) -> PlanReply:
        """What a pass would do, with the file in use or another one. Changes nothing.

        The very plan that the next pass would run; paused or down, the first one after ``resume``. A *file* is read
        with the daemon's rights, and quoted from: that needs the right to write. *caller* is what ``SSH_CONNECTION``
        says of the caller's terminal, or the address of its peer alone.
        """
        ...

    @verb(Right.WRITE, ApplyFailed, Paused)
    async def apply(self) -> ApplyReply:
        """One full pass, now.

        After any that is running. Failed changes are part of the reply; ``Paused`` in mode ``paused`` or ``down``;
        ``ApplyFailed`` is for a pass that could not run (the kernel could not be read).
        """
        ...

    @verb(Right.WRITE, ApplyFailed, Busy, FileInvalid)
    async def reload(
        self, confirm_s: PositiveSeconds | None = None, digest: Text | None = None, caller: Remark | None = None
    ) -> ReloadReply:
        """Read the file again; with confirm_s it is undone unless Confirm follows in time.

        A valid file becomes the desired state, and the pass follows by itself.
        An invalid one changes nothing; ``status`` shows it as stale. With
        *confirm_s* the file before comes back after that time, also if the
        caller has disconnected; ``Busy`` until then. With *digest*, only the file that a plan was shown of is taken.
        """
        ...

    @verb(Right.WRITE, NothingToConfirm)
    async def confirm(self) -> ConfirmReply:
        """Keep what the last Reload brought."""
        ...

    @verb(Right.WRITE, ApplyFailed)
    async def down(self) -> ApplyReply:
        """Remove everything owned.

        And nothing else, and stay that way (mode ``down``) until ``resume``,
        ``reload`` or a restart. Foreign objects, and leases on disk, stay. Until then nothing is converged:
        ``status``, ``diff`` and ``wait`` compare with the file.
        """
        ...
