"""The verbs of the control socket, on a running daemon. ``neod.control.verbs`` says what each promises.

What reads is in ``views``; here stands what changes the daemon's mode or its file.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from neod.control.errors import ApplyFailed, Busy, FileInvalid, NoSuchObject, Paused, TimedOut
from neod.control.verb import address_and_port
from neod.control.verbs.doctor import DoctorReply
from neod.control.verbs.events import EventsReply
from neod.control.verbs.mode import ModeReply, WaitReply
from neod.control.verbs.objects import LeasesReply, ShowReply, WhyReply
from neod.control.verbs.paths import PathsReply
from neod.control.verbs.plan import ApplyReply, ConfirmReply, ImpactRow, PlanReply, ReloadReply
from neod.control.verbs.status import StatusReply
from neod.daemon.config_store import ConfigStore, LoadedConfig
from neod.daemon.controller import Controller
from neod.daemon.describe import iso
from neod.daemon.doctor.context import ProbeContext
from neod.daemon.host_warnings import HostWarnings, thorough_warnings_of
from neod.daemon.views.impact import caller_of, impact_of
from neod.daemon.views.leases import leases_reply
from neod.daemon.views.names import kinds_meant
from neod.daemon.views.objects import show_reply
from neod.daemon.views.path_rows import is_up, one_is_ready, ready_paths
from neod.daemon.views.paths import path_towards, paths_reply, probe_context
from neod.daemon.views.plan import apply_reply, joined, plan_reply
from neod.daemon.views.status import missing, status_reply
from neod.daemon.views.why import why_reply
from neod.features.intents import Intents
from neod.features.namespaces.compile import NamespaceInfo
from neod.features.nat.compile import marks_in_words
from neod.model.change import Op, Report
from neod.model.errors import KernelError
from neod.model.key import NetnsKey
from neod.observability.metrics_server import MetricsServer
from neod.reconcile.desired import DesiredState

READING_S = 10.0
"""So long a call waits for a file that is being read; a reading that takes longer is shown by ``status``."""

APPLY_ROUNDS = 3
"""Passes that ``apply`` and ``down`` wait for: what was in the way in one is done by the next."""


class DaemonControl:
    """The protocol ``ControlService`` on a running daemon."""

    def __init__(
        self,
        controller: Controller,
        config: ConfigStore,
        examine: Callable[[ProbeContext], Awaitable[DoctorReply]],
        metrics: MetricsServer,
    ) -> None:
        self._controller, self._config, self._examine, self._metrics = controller, config, examine, metrics
        self._since = iso(controller.clock.wall())
        self._in_the_way = HostWarnings(controller.clock)
        self._pause_until = ""
        self._pause_timer: asyncio.TimerHandle | None = None
        self._reloading = asyncio.Lock()

    async def status(self, object: str | None = None) -> StatusReply:
        """Return the state after the last pass."""
        controller, config = self._controller, self._config
        last = controller.event_log.last
        await controller.dwellers.look()
        warnings = await self._in_the_way.of(controller.intents, last.number if last else 0)
        return status_reply(controller, config, self._metrics, object, (self._since, self._pause_until), warnings)

    async def _file_is_read(self) -> None:
        """Let a file that is being read come into force first: who asks meant that one, and who acts comes after it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(READING_S), self._controller.passed:
                await self._controller.passed.wait_for(lambda: not self._controller.queue.expected)

    async def diff(self) -> PlanReply:
        """Return what separates the kernel, read now, from what is desired."""
        return await self.plan()

    async def plan(self, file: str | None = None, caller: str | None = None) -> PlanReply:
        """Return the plan of a full pass now, or with another file."""
        await self._file_is_read()
        loaded = self._config.current if file is None else await self._config.read(Path(file))
        if loaded is None:
            raise ApplyFailed("no file is in force yet")
        return await self._preview(loaded, file or str(self._config.path), caller)

    async def _preview(self, loaded: LoadedConfig, file: str, caller: str | None) -> PlanReply:
        """Return the plan towards *loaded* and its impact. After ``down``, nobody asks for what is in force."""
        controller, intents = self._controller, loaded.intents
        other = None
        if intents is not controller.intents or controller.state.desired.suspended:
            other = DesiredState(controller.state.kinds)
            other.replace(intents.fragments, controller.facts.known)
        try:
            plan = await controller.reconciler.preview(other)
        except KernelError as error:
            raise ApplyFailed(f"the kernel could not be read: {error}") from error
        impact = await impact_of(controller, plan, intents, caller_of(caller))
        going = [c.key.name for c in plan.changes if isinstance(c.key, NetnsKey) and c.op is Op.DELETE]
        warnings = (*await _warnings(intents), *await controller.dwellers.leaving(going))
        reply = plan_reply(controller, plan, other or controller.state.desired, file, warnings)
        return replace(reply, impact=impact, digest=loaded.digest)

    async def show(self, which: str, kind: str | None = None) -> ShowReply:
        """Return the desired or the observed resources."""
        await self._file_is_read()
        if kind is not None and kind not in self._controller.state.kinds:
            raise NoSuchObject(kind, kinds_meant(self._controller, kind))
        return show_reply(self._controller, which, kind)

    async def leases(self) -> LeasesReply:
        """Return every DHCP client, by link."""
        await self._file_is_read()
        return leases_reply(self._controller)

    async def doctor(self, server: str | None = None) -> DoctorReply:
        """Return what kernel and host allow, and what becomes of connections to *server*."""
        await self._file_is_read()
        context = probe_context(self._controller, address_and_port(server) if server else None)
        intents = self._controller.intents
        in_the_way, mode = await thorough_warnings_of(intents), self._controller.reconciler.mode
        return await self._examine(replace(context, in_the_way=in_the_way, mode=mode, marks=marks_in_words(intents)))

    async def paths(self) -> PathsReply:
        """Return every MPTCP connection."""
        try:
            return await paths_reply(self._controller)
        except KernelError as error:
            raise ApplyFailed(f"the sockets could not be read: {error}") from error

    async def why(self, object: str) -> WhyReply:
        """Return line of the file, lease, needs and last actions of one object."""
        await self._file_is_read()
        controller, config = self._controller, self._config
        try:
            return why_reply(controller, config, object)
        except NoSuchObject:
            if not (path := await path_towards(controller, object)):
                raise
        return why_reply(controller, config, path)

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
                    lambda: controller.settled and (is_up(controller) or (any and one_is_ready(controller)))
                )
        except TimeoutError:
            raise TimedOut(missing(controller)) from None
        return WaitReply(controller.in_sync, round(controller.clock.boottime() - begun, 3), ready_paths(controller))

    async def apply(self) -> ApplyReply:
        """Run full passes now and return what came of them."""
        await self._file_is_read()
        controller = self._controller
        if controller.reconciler.mode != "running":
            raise Paused(self._pause_until, controller.reconciler.mode)
        report = await self._full_passes("neodctl apply")
        return apply_reply(controller, report, controller.converged)

    async def _full_passes(self, cause: str) -> Report:
        controller, reports = self._controller, []
        for _ in range(APPLY_ROUNDS):
            await controller.queue.full_pass(cause)
            if controller.event_log.last is None:
                raise ApplyFailed("the pass could not run")
            reports.append(controller.event_log.last)
            if not controller.state.status.out_of_sync:
                break
        for error in controller.reconciler.unreadable:
            raise ApplyFailed(f"the kernel could not be read: {error}")
        return joined(reports)

    async def reload(
        self, confirm_s: float | None = None, digest: str | None = None, caller: str | None = None
    ) -> ReloadReply:
        """Read the file again and put it to work."""
        self._controller.expect()
        try:
            async with self._reloading:
                return await self._reload(confirm_s, digest, caller)
        finally:
            await self._controller.expected()

    async def _reload(self, confirm_s: float | None, digest: str | None, caller: str | None) -> ReloadReply:
        config, reloads = self._config, self._controller.event_log.counters.reloads
        if config.trial_left_s is not None:
            raise Busy("a reload is still waiting for its confirmation: neodctl confirm")
        try:
            loaded = await config.read()
        except FileInvalid:
            reloads["invalid"] += 1
            raise
        if digest not in (None, loaded.digest):
            raise Busy("the file changed after its plan was shown; nothing was done: neodctl reload again")
        plan = await self._plan_of_reload(loaded, caller)
        if confirm_s is not None:
            try:
                config.try_out(loaded, confirm_s)
            except OSError as error:
                raise ApplyFailed(f"the way back could not be kept on disk: {error.strerror or error}") from error
            self._controller.hold()
        else:
            config.use(loaded)
        reloads["used"] += 1
        self._adopt(loaded, plan.impact)
        return ReloadReply(replace(plan, mode=self._controller.reconciler.mode), confirm_s)

    async def _plan_of_reload(self, loaded: LoadedConfig, caller: str | None) -> PlanReply:
        """Return what *loaded* leads to, as things are before anything of it is done."""
        file = str(self._config.path)
        try:
            return await self._preview(loaded, file, caller)
        except ApplyFailed as error:  # it is put to work all the same
            return PlanReply(file, warnings=(str(error),))

    def _adopt(self, loaded: LoadedConfig, impact: ImpactRow | None) -> None:
        """Work from *loaded*; the log has what goes with it, whoever asked."""
        controller = self._controller
        controller.reconciler.reinstate()
        controller.adopt(loaded.intents, "reload")
        goes = f": {impact}" if impact is not None and str(impact) else ""
        controller.event_log.note("reload", detail=f"{self._config.path}{goes}")
        controller.queue.hint_everything("reload")

    async def confirm(self) -> ConfirmReply:
        """Make the last reload permanent."""
        self._config.confirm()
        self._controller.release()
        self._controller.event_log.note("confirmed", detail=str(self._config.path))
        return ConfirmReply(str(self._config.path))

    async def pause(self, for_s: float | None = None) -> ModeReply:
        """Stop writing, go on observing."""
        controller = self._controller
        controller.reconciler.pause()
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
        self._cancel_pause()
        self._controller.reconciler.resume()
        self._controller.event_log.note("resumed")
        self._controller.queue.hint_everything(cause)

    def _cancel_pause(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._pause_timer, self._pause_until = None, ""

    def _mode_reply(self) -> ModeReply:
        phases = Counter(str(status.phase) for status in self._controller.state.status.standing().values())
        return ModeReply(self._controller.reconciler.mode, self._pause_until, dict(phases))

    async def down(self) -> ApplyReply:
        """Remove everything owned and nothing else, and stay that way."""
        await self._file_is_read()
        self._cancel_pause()
        controller = self._controller
        left = await controller.dwellers.leaving(row.name for row in controller.intents.of(NamespaceInfo))
        controller.reconciler.withdraw()
        controller.event_log.note("down")
        report = await self._full_passes("neodctl down")
        return replace(apply_reply(controller, report, not controller.state.status.out_of_sync), warnings=left)


async def _warnings(intents: Intents) -> tuple[str, ...]:
    """Return what the file is warned of, and what of this host is in its way."""
    return (*intents.warnings, *await thorough_warnings_of(intents))
