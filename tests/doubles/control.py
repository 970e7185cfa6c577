"""A ``ControlService`` that answers what a test gives it, and a server for it in this process."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs
from tests.doubles.waiting import until

from neod.control import errors
from neod.control.access import Groups
from neod.control.feed import Feed
from neod.control.server import ControlServer
from neod.control.stream import ClientLimits
from neod.control.verbs.doctor import DoctorReply
from neod.control.verbs.events import EventsReply
from neod.control.verbs.mode import ModeReply, WaitReply
from neod.control.verbs.objects import LeasesReply, ShowReply, WhyReply
from neod.control.verbs.paths import PathsReply
from neod.control.verbs.plan import ApplyReply, ConfirmReply, PlanReply, ReloadReply
from neod.control.verbs.status import FileState, PathRow, StatusReply

STATUS = StatusReply(
    converged=True,
    mode="running",
    version="0.1.0",
    pid=812,
    since="2026-05-01T11:59:00+02:00",
    file=FileState("/etc/neo/neo.toml", "ok"),
    counts={"in-sync": 8},
    paths=(PathRow("neo1", "ens3", "dhcp", "10.8.0.11/16", 3483.0, 1, 11001, ("subflow",), 201, "in-sync"),),
)


class FakeControl:
    """Answers from ``answers``; an exception there is raised. Every call is noted in ``calls``."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {
            "status": STATUS,
            "diff": PlanReply("/etc/neo/neo.toml"),
            "plan": PlanReply("/etc/neo/neo.toml"),
            "apply": ApplyReply(True, 12, 8.1),
            "reload": ReloadReply(PlanReply("/etc/neo/neo.toml")),
            "confirm": ConfirmReply("/etc/neo/neo.toml"),
            "show": ShowReply("desired"),
            "leases": LeasesReply(),
            "paths": PathsReply(12.5),
            "doctor": DoctorReply(True),
            "why": WhyReply("link:neo1", "in-sync"),
            "wait": WaitReply(True, 0.0),
            "pause": ModeReply("paused"),
            "resume": ModeReply("running"),
            "down": ApplyReply(True, 13, 1.0),
        }
        self.calls: list[tuple[object, ...]] = []
        self.feed = Feed()
        self.endless: set[str] = set()  # verbs that never answer
        self.cancelled: list[str] = []
        self.log: list[MutableMapping[str, Any]] = []

    async def _answer(self, verb, *arguments):
        self.calls.append((verb, *arguments))
        if verb in self.endless:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(verb)
                raise
        answer = self.answers[verb]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def status(self, object):
        return await self._answer("status", object)

    async def diff(self):
        return await self._answer("diff")

    async def plan(self, file, caller):
        return await self._answer("plan", file, caller)

    async def apply(self):
        return await self._answer("apply")

    async def reload(self, confirm_s, digest, caller):
        return await self._answer("reload", confirm_s, digest, caller)

    async def confirm(self):
        return await self._answer("confirm")

    async def show(self, which, kind):
        return await self._answer("show", which, kind)

    async def leases(self):
        return await self._answer("leases")

    async def paths(self):
        return await self._answer("paths")

    async def doctor(self, server):
        return await self._answer("doctor", server)

    async def why(self, object):
        return await self._answer("why", object)

    async def events(self, since, follow):
        self.calls.append(("events", since, follow))
        try:
            async for batch in self.feed.events(since, follow):
                yield EventsReply(tuple(batch))
        finally:
            self.cancelled.append("events")

    async def wait(self, any, timeout_s):
        return await self._answer("wait", any, timeout_s)

    async def pause(self, for_s):
        return await self._answer("pause", for_s)

    async def resume(self):
        return await self._answer("resume")

    async def down(self):
        return await self._answer("down")


@asynccontextmanager
async def serving(
    control: FakeControl, directory: Path, limits: ClientLimits | None = None, groups: Groups | None = None
) -> AsyncIterator[ControlServer]:
    """Serve *control* in *directory* for the length of the block; its log goes to ``control.log``."""
    server = ControlServer(control, directory, "0.1.0", limits, groups)
    server.bind()
    with capture_logs() as control.log:
        task = asyncio.create_task(server.run())
        await asyncio.sleep(0)  # a task that never began would not clean up
        try:
            yield server
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


__all__ = ["STATUS", "FakeControl", "errors", "serving", "until"]
