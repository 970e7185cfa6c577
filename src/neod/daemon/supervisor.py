"""The tasks of the daemon, its signals, and the order of its end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from neod.control.errors import ControlError, FileInvalid
from neod.daemon.config_store import ConfigStore
from neod.daemon.control import DaemonControl
from neod.daemon.controller import Controller
from neod.daemon.netns import NamespaceRegistry
from neod.features.daemon.compile import DaemonSettings
from neod.features.metrics.compile import MetricsSettings
from neod.features.parts import PathInfo
from neod.model.errors import NeoError, ReadingFailed
from neod.model.marks import PROTOCOL
from neod.observability.hang_up import take_hang_up
from neod.observability.logs import Log
from neod.observability.metrics_server import SHORTAGE, MetricsServer
from neod.observability.systemd import SystemdNotify

if TYPE_CHECKING:
    from neod.control.server import ControlServer

SUSPEND_CHECK_S: Final = 5.0
JUMP_S: Final = 5.0
"""CLOCK_BOOTTIME ahead of the loop's clock by so much: the machine slept, and anything may have happened."""

COMPLAINT_S: Final = 30.0

READ_AGAIN_S: Final = 5.0
"""After a reload for which the host had not the means."""

STUCK_S: Final = 120.0
"""A pass that takes longer than this no longer sends WATCHDOG=1."""


class Supervisor:
    """Runs everything until stopped; every task is expected to run until then."""

    def __init__(
        self,
        controller: Controller,
        control: DaemonControl,
        bound_server: "Callable[[], ControlServer]",
        metrics: MetricsServer,
        config: ConfigStore,
        namespaces: NamespaceRegistry,
        notify: SystemdNotify,
        log: Log,
    ) -> None:
        self._controller, self._control, self._config = controller, control, config
        self._bound_server, self._metrics_server = bound_server, metrics
        self._namespaces, self._notify, self._log = namespaces, notify, log
        self._stop = asyncio.Event()
        self._sighup = asyncio.Event()
        self._serving = self._said_ready = False
        self._next_complaint = 0.0

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then leave everything in place (or remove it, if the file says so)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        take_hang_up()
        loop.set_exception_handler(self._say_what_the_loop_met)
        self.refilter()
        self._namespaces.start(loop)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._run_guarded(work), name=name)
                    for name, work in (
                        ("passes", self._passes),
                        ("dhcp", self._controller.dhcp.service.run),
                        ("flows", self._controller.flows.run),
                        ("dwellers", self._controller.dwellers.run),
                        ("paths", self._controller.mptcp.run),
                        ("control", self._serve),
                        ("metrics", self._metrics),
                        ("state files", self._config.save_again),
                        ("sighup", self._reload_on_sighup),
                        ("suspend watch", self._watch_for_suspend),
                        ("watchdog", self._watchdog),
                    )
                ]
                await self._stop.wait()
                self._notify.stopping()
                if self._controller.intents.settings(DaemonSettings).on_stop == "remove":
                    await self._control.down()
                for task in tasks:
                    task.cancel()
        finally:
            self._namespaces.close()

    async def _run_guarded(self, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await work()
        except NeoError:  # main prints it
            raise
        except Exception:
            self._log.error("bug", exc_info=True, why="a task of neod ended; the service manager starts neod again")
            raise

    def _say_what_the_loop_met(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what no task answers for: a shortage of descriptors in one line in a while, a bug with its place."""
        error = context.get("exception")
        if not isinstance(error, OSError):
            self._log.error("bug", exc_info=error, why=context["message"])
        elif loop.time() >= self._next_complaint:
            self._next_complaint = loop.time() + COMPLAINT_S
            self._log.warning("the system refuses", what=context["message"], why=error.strerror or str(error))

    def refilter(self) -> None:
        """Let the events of our tables through, whatever they are now."""
        self._namespaces.main.events.filter(PROTOCOL, self._controller.facts.tables, self._namespaces.main.rtnl.port_id)

    async def _passes(self) -> None:
        controller = self._controller
        controller.queue.hint_everything("start")
        rtnl = self._namespaces.main.rtnl
        intents, port = controller.intents, rtnl.port_id
        while True:
            await controller.step()
            if controller.intents is not intents or rtnl.port_id != port:
                intents, port = controller.intents, rtnl.port_id
                self.refilter()
            self._notify_systemd()

    async def _serve(self) -> None:
        """Serve the control socket, from the end of the first pass on: what it takes to load need not come before."""
        async with self._controller.passed:
            await self._controller.passed.wait_for(lambda: self._controller.reconciler.passes > 0)
        server = self._bound_server()
        self._serving = True
        self._notify_systemd()
        await server.run()

    async def _metrics(self) -> None:
        """Serve metrics where the file says, as soon as it says so."""
        controller, server = self._controller, self._metrics_server

        def wanted() -> str:
            return controller.intents.settings(MetricsSettings).listen

        with closing(server):
            while True:
                async with controller.passed:
                    await controller.passed.wait_for(
                        lambda: controller.reconciler.passes > 0 and wanted() != server.requested
                    )
                server.serve_at(wanted())

    def _notify_systemd(self) -> None:
        controller = self._controller
        if not controller.ready or not self._serving:
            return
        if not self._said_ready:
            self._said_ready = True
            self._notify.ready()
            self._log.info("ready", objects=len(controller.state.desired.specs))
        mode, drifts = controller.reconciler.mode, len(controller.state.status.standing())
        paths = len(controller.intents.of(PathInfo))
        state = "converged" if controller.converged else f"{drifts} drifts, {len(controller.waiting())} waiting"
        state = state if mode == "running" else "down" if mode == "down" else f"{mode}, {state}"
        stale = "the file on disk was not confirmed" if self._config.unconfirmed else "the file on disk has errors"
        self._notify.status(f"{paths} paths: {state}" + (f"; {stale}" if self._config.problems else ""))

    def _hang_up(self) -> None:
        """Take note of SIGHUP: from now on, status does not speak of the file before as of now."""
        if not self._sighup.is_set():
            self._controller.expect()
            self._sighup.set()

    async def _reload_on_sighup(self) -> None:
        while True:
            await self._sighup.wait()
            self._sighup.clear()
            self._notify.reloading()
            try:
                await self._control.reload(None)
            except FileInvalid as error:
                for problem in error.problems:
                    self._log.error("file not used", problem=problem)
                why = error.__cause__
                if isinstance(why, ReadingFailed) or getattr(why, "errno", None) in SHORTAGE:  # the file may be right
                    asyncio.get_running_loop().call_later(READ_AGAIN_S, self._hang_up)
            except (ControlError, NeoError, OSError) as error:
                self._log.error("file not used", problem=str(error))
            except Exception:  # the top of what a signal asks for, as a call of a client has one
                self._log.error("bug", exc_info=True, why="a reload failed; the file before may be in force")
            await self._controller.expected()
            self._notify.ready()

    async def _watch_for_suspend(self) -> None:
        """Notice that the machine slept."""
        clock, loop = self._controller.clock, asyncio.get_running_loop()
        ahead = clock.boottime() - loop.time()
        while True:
            await asyncio.sleep(SUSPEND_CHECK_S)
            now_ahead = clock.boottime() - loop.time()
            if now_ahead - ahead > JUMP_S:
                self._controller.queue.hint_everything("the machine woke up")
            ahead = now_ahead

    async def _watchdog(self) -> None:
        """Send WATCHDOG=1 while the loop runs and no pass takes longer than STUCK_S."""
        interval_s = self._notify.watchdog_s
        while interval_s is not None:
            if not self._controller.queue.stuck(STUCK_S):
                self._notify.feed_watchdog()
            await asyncio.sleep(interval_s)
        await asyncio.Event().wait()
