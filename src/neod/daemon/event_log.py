"""Writes each change to the event feed and the log. A pass without changes writes nothing."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from neod.control.feed import Feed
from neod.control.verbs.events import EventRecord
from neod.daemon.counters import Counters
from neod.daemon.describe import WHAT, in_words, iso
from neod.kinds import KINDS
from neod.model.change import Actor, Change, Outcome, Report
from neod.model.kind import path_of
from neod.model.ports import Clock
from neod.model.status import DriftKind, ObjectPhase
from neod.model.words import WENT_WITH, maker
from neod.observability.logs import Log
from neod.reconcile.queue import Hints
from neod.reconcile.status import StatusTable

MANY: Final = 32
"""A pass with more changes than this is one line in the log; each is still in the event feed."""


class EventLog:
    """Writes reports and other happenings down."""

    def __init__(self, clock: Clock, feed: Feed, log: Log) -> None:
        self._clock, self._log, self.feed = clock, log, feed
        self._conflicts: set[str] = set()
        self.last: Report | None = None
        self.counters = Counters()
        self._tables: dict[int, str] = {}

    def name_tables(self, paths: Mapping[int, str]) -> None:
        """Say which path each table is of. What was is kept: what is removed now had a path, too."""
        self._tables.update(paths)

    def note(self, what: str, *, object: str = "", detail: str = "", by: str = "", quiet: bool = False) -> None:
        """Write down something that is not a change of a pass: a lease, a reload, a pause.

        *quiet*: the log has it at level debug; what follows from it is logged anyway.
        """
        wall = self._clock.wall()
        record = EventRecord(0, iso(wall), what, object=object, detail=detail, by=by)
        self.feed.append(record, wall)
        fields = {"object": object, "detail": detail, "by": by}
        write = self._log.debug if quiet else self._log.info
        write(what, **{name: value for name, value in fields.items() if value})

    def report(
        self,
        report: Report,
        hints: Hints,
        drifts: dict[str, DriftKind],
        actors: dict[str, Actor],
        gone_with: dict[str, str],
        stale: Collection[str],
    ) -> None:
        """Write down a pass, if it did or found anything new. *drifts*, *actors*, *gone_with* are by key text.

        *stale*: refusals that are no failure yet, since a late event of a
        deletion makes us create what exists again. The next pass reads and decides.
        """
        self.last = report
        self.counters.passed(report, drifts)
        wall, now = self._clock.wall(), self._clock.boottime()
        since = hints.first_at if hints.first_at is not None else now - report.duration_s
        many, when = len(report.outcomes) > MANY, iso(wall)
        for outcome in report.outcomes:
            name = str(outcome.change.key)
            if not outcome.skipped and name not in stale:
                fields = self._fields(outcome, name, drifts.get(name), actors.get(name), (now - since) * 1000, now)
                if (other := gone_with.get(name)) and not fields["by"]:
                    fields["detail"] = f"{WENT_WITH}{other}"
                record = self.feed.append(EventRecord(0, when, cause=report.cause, **fields), wall)
                if outcome.error is not None or not many:
                    self._log_change(record, outcome)
        if many:
            failed = sum(1 for outcome in report.outcomes if outcome.error or outcome.skipped)
            took_ms = round(report.duration_s * 1000, 1)
            changes = len(report.outcomes)
            self._log.info("pass", changes=changes, not_done=failed, took_ms=took_ms, why=report.cause)
        self._conflicts_of(report, wall, now)

    def _fields(
        self, outcome: Outcome, name: str, drift: DriftKind | None, actor: Actor | None, took_ms: float, now: float
    ) -> dict[str, Any]:
        change = outcome.change
        what = "failed" if outcome.error else "repaired" if drift else WHAT[change.op]
        return {
            "what": what,
            "object": name,
            "op": str(change.op),
            "drift": str(drift or ""),
            "by": str((drift and actor) or ""),  # who else wrote there made no drift: a child of ours did, for one
            "error": str(outcome.error or ""),
            "duration_ms": round(took_ms, 2),
            "detail": in_words(change, now),
        }

    def _log_change(self, record: EventRecord, outcome: Outcome) -> None:
        fields = {
            "object": record.object,
            "op": record.op,
            "drift": record.drift,
            "by": maker(record.drift, record.by, record.detail),
            "fields": record.detail,
            "error": record.error,
            "took_ms": record.duration_ms,
            "why": record.cause,
            "_path": self._path(outcome.change),
        }
        known = {name: value for name, value in fields.items() if value}
        if outcome.error is not None:
            self._log.warning(record.what, **known)
        else:
            self._log.info(record.what, **known)

    def _path(self, change: Change) -> str:
        spec = change.after if change.after is not None else change.before
        return path_of(KINDS[change.key.kind], change.key, spec, self._tables)

    def _conflicts_of(self, report: Report, wall: float, now: float) -> None:
        """Tell a conflict when it begins, not with every pass that meets it again."""
        for change in report.plan.conflicts:
            name = str(change.key)
            if name not in self._conflicts:
                self._conflicts.add(name)
                detail = in_words(change, now)
                self.feed.append(EventRecord(0, iso(wall), "conflict", object=name, op="conflict", detail=detail), wall)
                why = KINDS[change.key.kind].conflict(change.before)
                self._log.warning("conflict", object=name, fields=detail, why=why, _path=self._path(change))

    def forget_resolved_conflicts(self, table: StatusTable) -> None:
        """Forget conflicts that are over, so that a new one is logged."""
        standing = {str(key) for key, t in table.out_of_sync.items() if t.phase is ObjectPhase.CONFLICT}
        self._conflicts &= standing
