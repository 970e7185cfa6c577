"""The verbs of the control socket, on the daemon's state. ``neod.control.verbs`` says what each promises."""

import asyncio
import difflib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from neod import __version__
from neod.control.errors import ApplyFailed, Busy, FileInvalid, NoSuchObject, Paused, TimedOut
from neod.control.verb import address_and_port
from neod.control.verbs.doctor import DoctorReply
from neod.control.verbs.events import EventsReply
from neod.control.verbs.mode import ModeReply, WaitReply
from neod.control.verbs.objects import LeasesReply, NeedRow, ShowReply, WhyReply
from neod.control.verbs.paths import PathsReply
from neod.control.verbs.plan import ApplyReply, ConfirmReply, PlanReply, ReloadReply
from neod.control.verbs.status import FileState, StatusReply
from neod.daemon.config_store import ConfigStore, LoadedConfig
from neod.daemon.controller import Controller
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
    """The protocol ``ControlService`` on a running daemon."""

    def __init__(self, controller: Controller, file: ConfigStore) -> None:
        self._controller, self._file = controller, file
        self._since = iso(controller.clock.wall())
        self._pause_until = ""
        self._pause_timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ reading

    @property
    def mode(self) -> str:
        """Return ``running``, ``paused`` or ``down``."""
        reconciler = self._controller.reconciler
        return "down" if reconciler.down else "running" if reconciler.writing else "paused"

    async def status(self, object: str | None = None) -> StatusReply:
        """Return the state after the last pass."""
        controller = self._controller
        keys = self._keys_of(object) if object else None
        names = {str(key) for key in keys or ()}
        belongs = words.path_keys(controller)
        waits = words.waits_by_path(controller)
        rows = [
            words.path_row(controller, path, belongs[path.name], waits.get(path.name, ()))
            for path in controller.intents.paths
            if object is None or path.name == object or names & {str(key) for key in belongs[path.name]}
        ]
        drifts = words.drifts(controller)
        if object is not None:
            drifts = [d for d in drifts if d.object in names or d.object.endswith(f"/{object}")]
        return StatusReply(
            converged=controller.converged and not self._file.problems,
            mode=self.mode,
            version=__version__,
            pid=os.getpid(),
            since=self._since,
            file=self._file_state(),
            counts=words.counts(controller),
            until=self._pause_until,
            confirm_s=self._file.trial_left_s,
            notes=self._notes(),
            last_pass=words.pass_summary(controller.event_log.last) if controller.event_log.last else None,
            paths=tuple(rows),
            forwards=tuple(row for row in roles.forward_rows(controller) if object in (None, row.name)),
            namespaces=tuple(row for row in roles.namespace_rows(controller) if object in (None, row.name)),
            drifts=tuple(drifts),
            objects=words.object_rows(controller, keys or ()),
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
            self._controller.dhcp.degraded,
            self._metrics_note(),
            *(f"not read: {e}" for e in self._controller.reconciler.unread),
        ]
        notes += roles.driver_notes(self._controller)
        if self._controller.mptcp:
            notes += self._controller.mptcp.notes()
        if not self._controller.ready:
            notes.append("the first pass is not over yet")
        return tuple(note for note in notes if note)

    def _metrics_note(self) -> str:
        server = self._controller.metrics_server
        if server is not None and server.error:
            return f"metrics: cannot listen on {server.error}; tried again"
        return f"metrics: http://{server.address}/metrics" if server is not None and server.address else ""

    def _keys_of(self, name: str) -> list[Key]:
        """Return the keys that *name* means: one key's text, or all that belong to a path or a unit."""
        controller = self._controller
        known = {str(key): key for key in (*controller.reconciler.specs, *controller.reconciler.status.out_of_sync)}
        known |= {str(key): key for key in controller.reconciler.observed}
        if name in known:
            return [known[name]]
        belonging = words.path_keys(controller).get(name)
        if belonging is None and any(path.name == name for path in controller.intents.paths):
            belonging = []
        for namespace in controller.intents.namespaces:
            if namespace.name == name:
                belonging = roles.namespace_keys(controller, name, namespace.links)
        if any(forward.name == name for forward in controller.intents.forwards) and belonging is None:
            belonging = roles.translation_keys(controller)
        if belonging is not None:
            return belonging
        if f"link:{name}" in known:
            return [known[f"link:{name}"]]
        candidates = [*known, *(path.name for path in controller.intents.paths)]
        raise NoSuchObject(name, tuple(difflib.get_close_matches(name, candidates, 3)))

    async def diff(self) -> PlanReply:
        """Return what separates the kernel, read now, from what is desired."""
        return await self.plan(None)

    async def plan(self, file: str | None = None) -> PlanReply:
        """Return the plan of a full pass now, or with another file."""
        controller = self._controller
        wants, warnings, name = None, self._file_state().warnings, str(self._file.path)
        if file is not None:
            loaded = await self._file.read(Path(file))
            desired = Desired(loaded.intents)
            desired.compile_all(controller.facts)
            wants, warnings, name = desired.wants, loaded.intents.warnings, file
        try:
            return words.plan_reply(controller, await controller.reconciler.preview(wants), name, warnings)
        except KernelError as error:
            raise ApplyFailed(f"the kernel could not be read: {error}") from error

    async def show(self, which: str, kind: str | None = None) -> ShowReply:
        """Return the desired or the observed resources."""
        controller = self._controller
        if kind is not None and kind not in controller.kinds:
            raise NoSuchObject(kind, tuple(difflib.get_close_matches(kind, controller.kinds, 3)))
        if which == "desired":
            found = [words.resource(controller, key, spec) for key, spec in controller.reconciler.specs.items()]
        else:
            seen = controller.reconciler.observed
            found = [words.resource(controller, key, seen[key].spec, seen[key].owned) for key in seen]
        chosen = [r for r in found if kind in (None, r.kind)]
        return ShowReply(which, tuple(sorted(chosen, key=lambda r: (r.kind, r.object))))

    async def leases(self) -> LeasesReply:
        """Return every DHCP client, by link."""
        statuses = sorted(self._controller.dhcp.status(), key=lambda status: status.link)
        return LeasesReply(tuple(words.lease_row(self._controller, status) for status in statuses))

    async def doctor(self, server: str | None = None) -> DoctorReply:
        """Return what kernel and host allow, and what becomes of connections to *server*."""
        if self._controller.ports is None:
            return DoctorReply(False)
        return await examine(
            self._controller.ports, scene(self._controller, address_and_port(server) if server else None)
        )

    async def paths(self) -> PathsReply:
        """Return every MPTCP connection."""
        try:
            return await paths_reply(self._controller)
        except KernelError as error:
            raise ApplyFailed(f"the sockets could not be read: {error}") from error

    async def why(self, object: str) -> WhyReply:
        """Return line of the file, lease, needs and last actions of one object."""
        controller, reconciler = self._controller, self._controller.reconciler
        keys = self._keys_of(object)
        if not keys:
            raise NoSuchObject(object)
        out_of_sync = reconciler.status.out_of_sync
        leading = next((k for k in keys if controller.kinds[k.kind].leads_path), keys[0])
        key = next((k for k in keys if k in out_of_sync), leading)
        want, seen, status = reconciler.desire.wants.get(key), reconciler.observed.get(key), out_of_sync.get(key)
        now = controller.clock.boottime()
        spec = want.spec if want else seen.spec if seen else None
        needs = needs_of(controller.kinds[key.kind], key, spec) if spec is not None else ()
        if want is not None:
            reason = "the file asks for it"
        elif seen is not None and seen.owned:
            reason = "nothing asks for it; it carries neo's mark"
        else:
            reason = "it is not neo's"
        line = want.origin.line if want else 0
        return WhyReply(
            object=str(key),
            phase=words.phase_of(controller, key) if want or status else "foreign",
            reason=reason,
            file=str(self._file.path) if want else "",
            table=want.origin.path if want else "",
            line=line,
            text=self._line(line),
            lease=want.lease if want else "",
            desired=flat(reconciler.specs.get(key), now) if key in reconciler.specs else None,
            observed=flat(seen.spec, now) if seen else None,
            owned=seen.owned if seen else True,
            needs=tuple(NeedRow(str(need), words.phase_of(controller, need)) for need in needs),
            drift=words.drift_row(controller, key, status) if status else None,
            actions=controller.event_log.feed.of(str(key)),
        )

    def _line(self, number: int) -> str:
        current = self._file.current
        lines = current.text.decode("utf-8", "replace").splitlines() if current else []
        return lines[number - 1] if 0 < number <= len(lines) else ""

    async def events(self, since: float | None = None, follow: bool = False) -> AsyncIterator[EventsReply]:
        """Yield records in batches."""
        async for batch in self._controller.event_log.feed.events(since, follow):
            yield EventsReply(tuple(batch))

    async def wait(self, any: bool = False, timeout_s: float = 120.0) -> WaitReply:
        """Return as soon as everything, or with *any* one path, is as it should be."""
        controller, begun = self._controller, self._controller.clock.boottime()
        try:
            async with asyncio.timeout(timeout_s), controller.passed:
                await controller.passed.wait_for(
                    lambda: controller.settled and (controller.converged or (any and bool(self._ready_paths())))
                )
        except TimeoutError:
            raise TimedOut(self._missing()) from None
        return WaitReply(controller.converged, round(controller.clock.boottime() - begun, 3), self._ready_paths())

    def _ready_paths(self) -> tuple[str, ...]:
        controller = self._controller
        if not controller.ready:
            return ()
        belongs = words.path_keys(controller)
        waits = words.waits_by_path(controller)
        rows = (words.path_row(controller, p, belongs[p.name], waits.get(p.name, ())) for p in controller.intents.paths)
        return tuple(row.name for row in rows if row.state == Phase.IN_SYNC and row.address)

    def _missing(self) -> tuple[str, ...]:
        controller = self._controller
        if not controller.ready:
            return ()
        texts = [text for waits in controller.waiting().values() for text in waits]
        return (*texts, *(f"{key} ({t.phase})" for key, t in controller.reconciler.status.out_of_sync.items()))[:20]

    # ------------------------------------------------------------ writing

    async def apply(self) -> ApplyReply:
        """Run full passes now and return what came of them."""
        if self.mode == "paused":
            raise Paused(self._pause_until)
        return await self._full_pass("neodctl apply")

    async def _full_pass(self, cause: str) -> ApplyReply:
        controller, reports = self._controller, []
        for _ in range(APPLY_ROUNDS):
            await controller.queue.full_pass(cause)
            if controller.event_log.last is None:
                raise ApplyFailed("the pass could not run")
            reports.append(controller.event_log.last)
            if not controller.reconciler.status.out_of_sync:
                break
        if controller.reconciler.unread:
            raise ApplyFailed(f"the kernel could not be read: {next(iter(controller.reconciler.unread))}")
        return words.apply_reply(controller, self._joined(reports), controller.converged)

    @staticmethod
    def _joined(reports: list[Report]) -> Report:
        """Return the reports as one: the last outcome of each object counts."""
        last, outcomes = reports[-1], {o.change.key: o for report in reports for o in report.outcomes}
        duration_s = sum(report.duration_s for report in reports)
        return Report(last.number, last.wall_time, duration_s, last.cause, last.plan, tuple(outcomes.values()))

    async def reload(self, confirm_s: float | None = None) -> ReloadReply:
        """Read the file again and put it to work."""
        if self._file.trial_left_s is not None:
            raise Busy("a reload is still waiting for its confirmation: neodctl confirm")
        reloads = self._controller.event_log.counters.reloads
        try:
            loaded = await self._file.read()
        except FileInvalid:
            reloads["invalid"] += 1
            raise
        if confirm_s is not None:
            try:
                self._file.try_out(loaded, confirm_s)
            except OSError as error:
                raise ApplyFailed(f"the way back could not be kept on disk: {error.strerror}") from error
        else:
            self._file.use(loaded)
        reloads["used"] += 1
        reply = await self.adopt(loaded, "reload")
        return ReloadReply(reply, confirm_s)

    async def adopt(self, loaded: LoadedConfig, cause: str) -> PlanReply:
        """Work from *reading*; return the plan that leads to."""
        controller = self._controller
        controller.reconciler.down = False
        controller.adopt(loaded.intents, cause)
        controller.event_log.note(cause, detail=str(self._file.path))
        plan = words.plan_reply(
            controller, await controller.reconciler.preview(), str(self._file.path), loaded.intents.warnings
        )
        controller.queue.hint_everything(cause)
        return plan

    async def confirm(self) -> ConfirmReply:
        """Make the last reload permanent."""
        self._file.confirm()
        self._controller.event_log.note("confirmed", detail=str(self._file.path))
        return ConfirmReply(str(self._file.path))

    async def pause(self, for_s: float | None = None) -> ModeReply:
        """Stop writing, go on observing."""
        controller = self._controller
        controller.reconciler.writing = False
        self._cancel_pause()
        if for_s is not None:
            self._pause_until = iso(controller.clock.wall() + for_s)
            loop = asyncio.get_running_loop()
            self._pause_timer = loop.call_later(for_s, self._write_again, "the pause is over")
        controller.event_log.note("paused", detail=f"until {self._pause_until}" if self._pause_until else "")
        return self._mode_reply()

    async def resume(self) -> ModeReply:
        """Write again, also after ``down``."""
        self._write_again("neodctl resume")
        return self._mode_reply()

    def _write_again(self, cause: str) -> None:
        controller = self._controller
        self._cancel_pause()
        controller.reconciler.writing, controller.reconciler.down = True, False
        controller.event_log.note("resumed")
        controller.queue.hint_everything(cause)

    def _cancel_pause(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._pause_timer, self._pause_until = None, ""

    def _mode_reply(self) -> ModeReply:
        phases: dict[str, int] = {}
        for status in self._controller.reconciler.status.out_of_sync.values():
            phases[str(status.phase)] = phases.get(str(status.phase), 0) + 1
        return ModeReply(self.mode, self._pause_until, phases)

    async def down(self) -> ApplyReply:
        """Remove everything owned and nothing else, and stay that way."""
        controller = self._controller
        self._cancel_pause()
        controller.reconciler.writing, controller.reconciler.down = True, True
        controller.reconciler.status.mark_all_deleted(controller.reconciler.desire.specs)
        controller.event_log.note("down")
        return await self._full_pass("neodctl down")
