"""Who lives in namespaces that were made anew, go, or have lost their name: told, and their units restarted.

A program stays in the namespace that it was started in, and does not end with it: nothing that starts programs again
after their end would notice.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from neod.daemon.event_log import EventLog
from neod.daemon.outside import Outside
from neod.daemon.unit_restarts import Restarts
from neod.features.intents import Intents
from neod.features.namespaces.compile import NamespaceInfo
from neod.model.change import Op, Report
from neod.model.key import NetnsKey
from neod.model.ports import Dweller, Namespaces

SHOWN: Final = 3
RECENT_S: Final = 5.0
"""So long what was seen of processes counts."""


def in_words(dwellers: Sequence[Dweller]) -> str:
    """Return ``2 programs (pid 812 v2ray, pid 813 sleep)``."""
    shown = ", ".join(f"pid {one.pid} {one.program}" for one in dwellers[:SHOWN])
    more = ", …" if len(dwellers) > SHOWN else ""
    return f"{len(dwellers)} program{'s' if len(dwellers) > 1 else ''} ({shown}{more})"


def live(dwellers: Sequence[Dweller]) -> str:
    return f"{in_words(dwellers)} {'live' if len(dwellers) > 1 else 'lives'}"


def by_unit(verb: str, dwellers: Sequence[Dweller], when: str = "") -> str:
    """Return how people do it: ``restart it: systemctl restart v2ray.service``."""
    units = sorted({one.unit for one in dwellers if one.unit})
    command = f": systemctl {verb} {' '.join(units)}" if units else ""
    return f"{verb} {'them' if len(dwellers) > 1 else 'it'}{when}{command}"


def elsewhere(dwellers: Sequence[Dweller]) -> str:
    """Return what is told of programs in a namespace that has lost its name."""
    return f"{live(dwellers)} in an older namespace of this name, which leads nowhere; {by_unit('restart', dwellers)}"


class Dwellers:
    """Told of every pass; looks at processes, and asks the service manager, beside the passes."""

    def __init__(self, port: Namespaces, outside: Outside, event_log: EventLog) -> None:
        self._port, self._outside, self._clock, self._event_log = port, outside, outside.clock, event_log
        self._units: dict[str, tuple[str, ...]] = {}  # to restart, by namespace
        self._names: frozenset[str] = frozenset()
        self._changes: list[tuple[NetnsKey, Op, bool]] = []  # each with whether it is a repair
        self._restarts: dict[str, Restarts] = {}
        self._refused: dict[str, str] = {}  # why units were not restarted, by namespace
        self._woken = asyncio.Event()
        self._older: Mapping[str, Sequence[Dweller]] = {}
        self._older_until = 0.0

    def want(self, intents: Intents) -> None:
        """Work for the namespaces of the file."""
        rows = intents.of(NamespaceInfo)
        self._names = frozenset(row.name for row in rows)
        self._units = {row.name: row.on_recreate for row in rows if row.on_recreate}
        self._refused = {name: why for name, why in self._refused.items() if name in self._units}

    def on_pass_done(self, report: Report, repaired: Iterable[str]) -> None:
        """Note which namespaces were made, removed, or given their name back."""
        for outcome in report.outcomes:
            key = outcome.change.key
            if isinstance(key, NetnsKey) and outcome.error is None and not outcome.skipped:
                self._changes.append((key, outcome.change.op, str(key) in repaired))
                self._older_until = 0.0
                self._woken.set()

    async def run(self) -> None:
        """Tell, and restart what is due, for ever."""
        while True:
            due = [restarts.due_at for restarts in self._restarts.values() if restarts.due_at is not None]
            try:
                async with asyncio.timeout(max(0.0, min(due) - self._clock.boottime()) if due else None):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            changes, self._changes = self._changes, []
            await self._tell(changes)
            now = self._clock.boottime()
            for name in [name for name, restarts in self._restarts.items() if restarts.is_due(now)]:
                await self._restart_units(name)

    async def _tell(self, changes: Sequence[tuple[NetnsKey, Op, bool]]) -> None:
        """Look at processes once for all that passes did: they may be thousands, and so may namespaces at a start."""
        kept = [key.name for key, op, _ in changes if op is Op.UPDATE]
        older = await self._port.dwellers_of_older() if len(kept) < len(changes) else {}
        current = await self._port.dwellers(kept)
        for key, op, repair in changes:
            self._note(key, op, (current if op is Op.UPDATE else older).get(key.name, ()), repair=repair)

    def _note(self, netns: NetnsKey, op: Op, dwellers: Sequence[Dweller], *, repair: bool) -> None:
        name, key = netns.name, str(netns)
        if op is Op.CREATE:
            if dwellers:
                self._event_log.note("namespace made anew", object=key, detail=elsewhere(dwellers))
            if name in self._units and (dwellers or repair or self._outside.has_units()):
                self._restarts[name] = self._restarts.get(name, Restarts()).recreated(self._clock.boottime())
        elif dwellers and op is Op.DELETE:
            detail = f"{live(dwellers)} in it, without a name; {by_unit('stop', dwellers)}"
            self._event_log.note("namespace left", object=key, detail=detail)
        elif dwellers:
            detail = f"it had lost its name, and {live(dwellers)} in it"
            self._event_log.note("namespace kept", object=key, detail=detail)

    async def _restart_units(self, name: str) -> None:
        units, restarts, key = self._units.get(name, ()), self._restarts[name], str(NetnsKey("", name))
        if not units:
            self._restarts.pop(name)
            return
        problem = await asyncio.to_thread(self._outside.restart_running, units)
        now, words = self._clock.boottime(), " ".join(units)
        if not problem:
            self._restarts[name] = restarts.done(now)
            self._refused.pop(name, None)
            self._event_log.note("units restarted", object=key, detail=words)
            return
        self._restarts[name] = restarts.refused(now)
        if self._refused.get(name) != problem:
            self._refused[name] = problem
            self._event_log.note("units not restarted", object=key, detail=f"{words}: {problem}")

    async def look(self) -> None:
        """Know who lives in namespaces that have lost their name; what was just seen counts."""
        if self._names and self._clock.boottime() >= self._older_until:
            self._older = await self._port.dwellers_of_older()
            self._older_until = self._clock.boottime() + RECENT_S

    def older(self, name: str) -> str:
        """Return what is told of programs in an older namespace of a name, as last looked at; empty where none are."""
        dwellers = self._older.get(name, ()) if name in self._names else ()
        return elsewhere(dwellers) if dwellers else ""

    def notes(self) -> Iterable[str]:
        """Return what ``status`` says."""
        for name in sorted(self._names):
            if text := self.older(name):
                yield f"namespaces.{name}: {text}"
            if problem := self._refused.get(name):
                yield f"namespaces.{name}: on_recreate: {problem}; nothing was restarted"

    async def leaving(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return what becomes of the programs in namespaces that are taken away."""
        found = await self._port.dwellers(list(names))
        return tuple(
            f"the namespace {name} goes while {live(dwellers)} in it, from then on without links; "
            f"{by_unit('stop', dwellers, ' before')}"
            for name, dwellers in found.items()
            if dwellers
        )
