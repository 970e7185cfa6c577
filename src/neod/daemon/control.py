"""The verbs of ``neodctl``, on the daemon's state. See ``neod.control.service`` for what each promises."""

import asyncio
import difflib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from neod import __version__
from neod.control.errors import ApplyFailed, Busy, FileInvalid, NoSuchObject, Paused, TimedOut
from neod.control.replies import (
    ApplyReply,
    ConfirmReply,
    DoctorReply,
    EventRecord,
    FileState,
    LeasesReply,
    ModeReply,
    NeedRow,
    PathsReply,
    PlanReply,
    ReloadReply,
    ShowReply,
    StatusReply,
    WaitReply,
    WhyReply,
)
from neod.daemon.config_store import FileKeeper, Reading
from neod.daemon.controller import Core
from neod.daemon.doctor.examine import examine
from neod.daemon.views import roles
from neod.daemon.views import status as words
from neod.daemon.views.describe import flat, iso
from neod.daemon.views.paths import paths_reply, scene
from neod.features.desired import Desired
from neod.model.change import Report
from neod.model.errors import KernelError
from neod.model.key import Key
from neod.model.kind import needs_of
from neod.model.status import Phase

APPLY_ROUNDS = 3
"""Passes that ``apply`` and ``down`` wait for: what was in the way in one is done by the next."""


class DaemonControl:
    """The protocol ``Control`` on a running daemon."""

    def __init__(self, core: Core, file: FileKeeper) -> None:
        self._core, self._file = core, file
        self._since = iso(core.clock.wall())
        self._pause_until = ""
        self._pause_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ reading

    @property
    def mode(self) -> str:
        """Return ``running``, ``paused`` or ``down``."""
        reconciler = self._core.reconciler
        return "down" if reconciler.down else "running" if reconciler.writing else "paused"

    async def status(self, object: str | None) -> StatusReply:
        """Return the state after the last pass."""
        core = self._core
        keys = self._keys_of(object) if object else None
        names = {str(key) for key in keys or ()}
        belongs = words.path_keys(core)
        waits = words.waits_by_path(core)
        rows = [
            words.path_row(core, path, belongs[path.name], waits.get(path.name, ()))
            for path in core.intents.paths
            if object is None or path.name == object or names & {str(key) for key in belongs[path.name]}
        ]
        drifts = words.drifts(core)
        if object is not None:
            drifts = [d for d in drifts if d.object in names or d.object.endswith(f"/{object}")]
        return StatusReply(
            converged=core.converged and not self._file.problems,
            mode=self.mode,
            version=__version__,
            pid=os.getpid(),
            since=self._since,
            file=self._file_state(),
            counts=words.counts(core),
            until=self._pause_until,
            confirm_s=self._file.trial_left_s,
            notes=self._notes(),
            last_pass=words.pass_summary(core.journal.last) if core.journal.last else None,
            paths=tuple(rows),
            forwards=tuple(row for row in roles.forward_rows(core) if object in (None, row.name)),
            namespaces=tuple(row for row in roles.namespace_rows(core) if object in (None, row.name)),
            drifts=tuple(drifts),
            objects=words.object_rows(core, keys or ()),
        )

    def _file_state(self) -> FileState:
        current = self._file.current
        loaded = iso(current.wall) if current else ""
        warnings = current.intents.warnings if current else ()
        state = "stale" if self._file.problems else "ok"
        return FileState(str(self._file.path), state, loaded, self._file.problems, warnings)

    def _notes(self) -> tuple[str, ...]:
        notes = [
            self._file.degraded,
            self._core.dhcp.degraded,
            self._core.scrapes.note if self._core.scrapes else "",
            *(f"not read: {e}" for e in self._core.reconciler.unread),
        ]
        notes += roles.nat_notes(self._core)
        if self._core.multipath:
            notes += self._core.multipath.notes()
        if not self._core.ready:
            notes.append("the first pass is not over yet")
        return tuple(note for note in notes if note)

    def _keys_of(self, name: str) -> list[Key]:
        """Return the keys that *name* means: one key's text, or all that belong to a path or a unit."""
        core = self._core
        known = {str(key): key for key in (*core.reconciler.specs, *core.reconciler.ledger.troubles)}
        known |= {str(key): key for key in core.reconciler.observed}
        if name in known:
            return [known[name]]
        belonging = words.path_keys(core).get(name)
        if belonging is None and any(path.name == name for path in core.intents.paths):
            belonging = []
        for space in core.intents.namespaces:
            if space.name == name:
                belonging = roles.namespace_keys(core, name, space.links)
        if any(forward.name == name for forward in core.intents.forwards) and belonging is None:
            belonging = [key for key in core.reconciler.specs if key.kind == roles.NAT]
        if belonging is not None:
            return belonging
        if f"link:{name}" in known:
            return [known[f"link:{name}"]]
        candidates = [*known, *(path.name for path in core.intents.paths)]
        raise NoSuchObject(name, tuple(difflib.get_close_matches(name, candidates, 3)))

    async def diff(self) -> PlanReply:
        """Return what separates the kernel, read now, from what is desired."""
        return await self.plan(None)

    async def plan(self, file: str | None) -> PlanReply:
        """Return the plan of a full pass now, or with another file."""
        core = self._core
        wants, warnings, name = None, self._file_state().warnings, str(self._file.path)
        if file is not None:
            reading = await self._file.read(Path(file))
            desired = Desired(reading.intents)
            desired.compile_all(core.facts)
            wants, warnings, name = desired.wants, reading.intents.warnings, file
        try:
            return words.plan_reply(core, await core.reconciler.preview(wants), name, warnings)
        except KernelError as error:
            raise ApplyFailed(f"the kernel could not be read: {error}") from error

    async def show(self, which: str, kind: str | None) -> ShowReply:
        """Return the desired or the observed resources."""
        core = self._core
        if kind is not None and kind not in core.kinds:
            raise NoSuchObject(kind, tuple(difflib.get_close_matches(kind, core.kinds, 3)))
        if which == "desired":
            found = [words.resource(core, key, spec) for key, spec in core.reconciler.specs.items()]
        else:
            seen = core.reconciler.observed
            found = [words.resource(core, key, seen[key].spec, seen[key].owned) for key in seen]
        chosen = [r for r in found if kind in (None, r.kind)]
        return ShowReply(which, tuple(sorted(chosen, key=lambda r: (r.kind, r.object))))

    async def leases(self) -> LeasesReply:
        """Return every DHCP client, by link."""
        statuses = sorted(self._core.dhcp.status(), key=lambda status: status.link)
        return LeasesReply(tuple(words.lease_row(self._core, status) for status in statuses))

    async def doctor(self, server: tuple[str, int] | None) -> DoctorReply:
        """Return what kernel and host allow, and what becomes of connections to *server*."""
        if self._core.ports is None:
            return DoctorReply(False)
        return await examine(self._core.ports, scene(self._core, server))

    async def paths(self) -> PathsReply:
        """Return every MPTCP connection."""
        try:
            return await paths_reply(self._core)
        except KernelError as error:
            raise ApplyFailed(f"the sockets could not be read: {error}") from error

    async def why(self, object: str) -> WhyReply:
        """Return line of the file, lease, needs and last actions of one object."""
        core, reconciler = self._core, self._core.reconciler
        keys = self._keys_of(object)
        if not keys:
            raise NoSuchObject(object)
        troubles = reconciler.ledger.troubles
        key = next((k for k in keys if k in troubles), next((k for k in keys if k.kind == "link"), keys[0]))
        want, seen, trouble = reconciler.desire.wants.get(key), reconciler.observed.get(key), troubles.get(key)
        now = core.clock.boottime()
        spec = want.spec if want else seen.spec if seen else None
        needs = needs_of(core.kinds[key.kind], key, spec) if spec is not None else ()
        if want is not None:
            reason = "the file asks for it"
        elif seen is not None and seen.owned:
            reason = "nothing asks for it; it carries neo's mark"
        else:
            reason = "it is not neo's"
        line = want.origin.line if want else 0
        return WhyReply(
            object=str(key),
            phase=words.phase_of(core, key) if want or trouble else "foreign",
            reason=reason,
            file=str(self._file.path) if want else "",
            table=want.origin.path if want else "",
            line=line,
            text=self._line(line),
            lease=want.lease if want else "",
            desired=flat(reconciler.specs.get(key), now) if key in reconciler.specs else None,
            observed=flat(seen.spec, now) if seen else None,
            owned=seen.owned if seen else True,
            needs=tuple(NeedRow(str(need), words.phase_of(core, need)) for need in needs),
            drift=words.drift_row(core, key, trouble) if trouble else None,
            actions=core.journal.feed.of(str(key)),
        )

    def _line(self, number: int) -> str:
        current = self._file.current
        lines = current.text.decode("utf-8", "replace").splitlines() if current else []
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def events(self, since: float | None, follow: bool) -> AsyncIterator[Sequence[EventRecord]]:
        """Yield records in batches."""
        return self._core.journal.feed.events(since, follow)

    async def wait(self, any_path: bool, timeout_s: float) -> WaitReply:
        """Return as soon as everything, or with *any_path* one path, is as it should be."""
        core, begun = self._core, self._core.clock.boottime()
        try:
            async with asyncio.timeout(timeout_s), core.passed:
                await core.passed.wait_for(
                    lambda: core.settled and (core.converged or (any_path and bool(self._ready_paths())))
                )
        except TimeoutError:
            raise TimedOut(self._missing()) from None
        return WaitReply(core.converged, round(core.clock.boottime() - begun, 3), self._ready_paths())

    def _ready_paths(self) -> tuple[str, ...]:
        core = self._core
        if not core.ready:
            return ()
        belongs = words.path_keys(core)
        waits = words.waits_by_path(core)
        rows = (words.path_row(core, p, belongs[p.name], waits.get(p.name, ())) for p in core.intents.paths)
        return tuple(row.name for row in rows if row.state == Phase.IN_SYNC and row.address)

    def _missing(self) -> tuple[str, ...]:
        core = self._core
        if not core.ready:
            return ()
        texts = [text for waits in core.waiting().values() for text in waits]
        return (*texts, *(f"{key} ({t.phase})" for key, t in core.reconciler.ledger.troubles.items()))[:20]

    # ------------------------------------------------------------ writing

    async def apply(self) -> ApplyReply:
        """Run full passes now and return what came of them."""
        if self.mode == "paused":
            raise Paused(self._pause_until)
        return await self._full_pass("neodctl apply")

    async def _full_pass(self, cause: str) -> ApplyReply:
        core, reports = self._core, []
        for _ in range(APPLY_ROUNDS):
            await core.wakeup.full_pass(cause)
            if core.journal.last is None:
                raise ApplyFailed("the pass could not run")
            reports.append(core.journal.last)
            if not core.reconciler.ledger.troubles:
                break
        if core.reconciler.unread:
            raise ApplyFailed(f"the kernel could not be read: {next(iter(core.reconciler.unread))}")
        return words.apply_reply(core, self._joined(reports), core.converged)

    @staticmethod
    def _joined(reports: list[Report]) -> Report:
        """Return the reports as one: the last outcome of each object counts."""
        last, outcomes = reports[-1], {o.change.key: o for report in reports for o in report.outcomes}
        duration_s = sum(report.duration_s for report in reports)
        return Report(last.number, last.wall_time, duration_s, last.cause, last.plan, tuple(outcomes.values()))

    async def reload(self, confirm_s: float | None) -> ReloadReply:
        """Read the file again and put it to work."""
        if self._file.trial_left_s is not None:
            raise Busy("a reload is still waiting for its confirmation: neodctl confirm")
        reloads = self._core.journal.tally.reloads
        try:
            reading = await self._file.read()
        except FileInvalid:
            reloads["invalid"] += 1
            raise
        if confirm_s is not None:
            try:
                self._file.try_out(reading, confirm_s)
            except OSError as error:
                raise ApplyFailed(f"the way back could not be kept on disk: {error.strerror}") from error
        else:
            self._file.use(reading)
        reloads["used"] += 1
        reply = await self.adopt(reading, "reload")
        return ReloadReply(reply, confirm_s)

    async def adopt(self, reading: Reading, cause: str) -> PlanReply:
        """Work from *reading*; return the plan that leads to."""
        core = self._core
        core.reconciler.down = False
        core.adopt(reading.intents, cause)
        core.journal.note(cause, detail=str(self._file.path))
        plan = words.plan_reply(core, await core.reconciler.preview(), str(self._file.path), reading.intents.warnings)
        core.wakeup.hint_everything(cause)
        return plan

    async def confirm(self) -> ConfirmReply:
        """Make the last reload permanent."""
        self._file.confirm()
        self._core.journal.note("confirmed", detail=str(self._file.path))
        return ConfirmReply(str(self._file.path))

    async def pause(self, for_s: float | None) -> ModeReply:
        """Stop writing, go on observing."""
        core = self._core
        core.reconciler.writing = False
        self._cancel_pause()
        if for_s is not None:
            self._pause_until = iso(core.clock.wall() + for_s)
            loop = asyncio.get_running_loop()
            self._pause_timer = loop.call_later(for_s, self._write_again, "the pause is over")
        core.journal.note("paused", detail=f"until {self._pause_until}" if self._pause_until else "")
        return self._mode_reply()

    async def resume(self) -> ModeReply:
        """Write again, also after ``down``."""
        self._write_again("neodctl resume")
        return self._mode_reply()

    def _write_again(self, cause: str) -> None:
        core = self._core
        self._cancel_pause()
        core.reconciler.writing, core.reconciler.down = True, False
        core.journal.note("resumed")
        core.wakeup.hint_everything(cause)

    def _cancel_pause(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._pause_timer, self._pause_until = None, ""

    def _mode_reply(self) -> ModeReply:
        phases: dict[str, int] = {}
        for trouble in self._core.reconciler.ledger.troubles.values():
            phases[str(trouble.phase)] = phases.get(str(trouble.phase), 0) + 1
        return ModeReply(self.mode, self._pause_until, phases)

    async def down(self) -> ApplyReply:
        """Remove everything owned and nothing else, and stay that way."""
        core = self._core
        self._cancel_pause()
        core.reconciler.writing, core.reconciler.down = True, True
        core.reconciler.ledger.retire_everything(core.reconciler.desire.specs)
        core.journal.note("down")
        return await self._full_pass("neodctl down")
