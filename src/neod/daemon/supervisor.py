"""The tasks of the daemon, its signals, and the order of its end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from neod.control.errors import Busy, FileInvalid
from neod.daemon.config_store import FileKeeper
from neod.daemon.control import DaemonControl
from neod.daemon.controller import Core
from neod.daemon.event_log import Log
from neod.daemon.netns import Spaces
from neod.model.errors import NeoError
from neod.model.marks import PROTOCOL
from neod.observability.notify import Notify

if TYPE_CHECKING:
    from neod.control.server import ControlServer

TICK_S: Final = 5.0
JUMP_S: Final = 5.0
"""CLOCK_BOOTTIME ahead of the loop's clock by so much: the machine slept, and anything may have happened."""

STUCK_S: Final = 120.0
"""A pass that takes longer than this is no longer reported as life."""


class Supervisor:
    """Runs everything until told to stop; every task is expected to run for ever."""

    def __init__(
        self,
        core: Core,
        control: DaemonControl,
        bound_server: "Callable[[], ControlServer]",
        file: FileKeeper,
        spaces: Spaces,
        notify: Notify,
        log: Log,
    ) -> None:
        self._core, self._control, self._bound_server, self._file = core, control, bound_server, file
        self._spaces, self._notify, self._log = spaces, notify, log
        self._stop = asyncio.Event()
        self._hangups = asyncio.Event()
        self._serving = self._said_ready = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then leave everything in place (or remove it, if the file says so)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hangups.set)
        self.refilter()
        self._spaces.start(loop)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._for_ever(work), name=name)
                    for name, work in (
                        ("passes", self._passes),
                        ("dhcp", self._core.dhcp.run),
                        *((("paths", self._core.multipath.run),) if self._core.multipath else ()),
                        ("control", self._serve),
                        ("metrics", self._metrics),
                        ("hangups", self._reload_on_hangup),
                        ("ticks", self._ticks),
                        ("watchdog", self._watchdog),
                    )
                ]
                await self._stop.wait()
                self._notify.stopping()
                if self._core.intents.daemon.on_stop == "remove":
                    await self._control.down()
                for task in tasks:
                    task.cancel()
        finally:
            self._spaces.close()

    async def _for_ever(self, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            await work()
        except NeoError:  # told by main, in words
            raise
        except Exception:
            self._log.error(
                "bug", exc_info=True, why="a task of neod ended; it starts anew through the service manager"
            )
            raise

    def refilter(self) -> None:
        """Let the events of our tables through, whatever they are now."""
        self._spaces.main.events.filter(PROTOCOL, self._core.tables, self._spaces.main.rtnl.port_id)

    async def _passes(self) -> None:
        core = self._core
        core.wakeup.hint_everything("start")
        rtnl = self._spaces.main.rtnl
        intents, port = core.intents, rtnl.port_id
        while True:
            await core.step()
            if core.intents is not intents or rtnl.port_id != port:
                intents, port = core.intents, rtnl.port_id
                self.refilter()
            self._tell_manager()

    async def _serve(self) -> None:
        """Serve the control socket, from the end of the first pass on: what it takes to load need not come before."""
        async with self._core.passed:
            await self._core.passed.wait_for(lambda: self._core.reconciler.number > 0)
        server = self._bound_server()
        self._serving = True
        self._tell_manager()
        await server.run()

    async def _metrics(self) -> None:
        """Serve metrics where the file says, as soon as it says so; nothing is loaded for a host without."""
        core = self._core

        def wanted() -> str:
            return core.intents.daemon.metrics_listen

        async with core.passed:
            await core.passed.wait_for(lambda: core.reconciler.number > 0 and wanted())
        from neod.daemon.metrics import metrics
        from neod.daemon.scrape import Scrapes

        core.scrapes = Scrapes(lambda: metrics(core, self._file), wanted, self._log)
        await core.scrapes.run(core.passed)

    def _tell_manager(self) -> None:
        core = self._core
        if not core.ready or not self._serving:
            return
        if not self._said_ready:
            self._said_ready = True
            self._notify.ready()
            self._log.info("ready", objects=len(core.reconciler.specs))
        troubles = len(core.reconciler.ledger.troubles)
        paths = len(core.intents.paths)
        state = "converged" if core.converged else f"{troubles} drifts, {len(core.waiting())} waiting"
        stale = "; file on disk has errors" if self._file.problems else ""
        self._notify.status(f"{paths} paths: {state}{stale}")

    async def _reload_on_hangup(self) -> None:
        while True:
            await self._hangups.wait()
            self._hangups.clear()
            self._notify.reloading()
            try:
                await self._control.reload(None)
            except FileInvalid as error:
                for problem in error.problems:
                    self._log.error("file not used", problem=problem)
            except Busy as error:
                self._log.error("file not used", problem=str(error))
            self._notify.ready()

    async def _ticks(self) -> None:
        """Notice that the machine slept."""
        clock, loop = self._core.clock, asyncio.get_running_loop()
        ahead = clock.boottime() - loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now_ahead = clock.boottime() - loop.time()
            if now_ahead - ahead > JUMP_S:
                self._core.wakeup.hint_everything("the machine woke up")
            ahead = now_ahead

    async def _watchdog(self) -> None:
        """Say that we live, as long as the loop turns and passes come to an end."""
        interval_s = self._notify.watchdog_s
        while interval_s is not None:
            if not self._core.reconciler.stuck(STUCK_S):
                self._notify.alive()
            await asyncio.sleep(interval_s)
        await asyncio.Event().wait()
