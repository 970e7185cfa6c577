"""Old flows follow new rules: tracked connections that contradict changed translation are removed, off the passes.

Only after a change of our rules, also one that another process made or left
unfinished, and never while a reload may still be undone: what was cut does not
come back.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from neod.daemon.event_log import EventLog
from neod.daemon.translation_store import TranslationStore
from neod.features.intents import Intents
from neod.features.nat.compile import NatSettings
from neod.kernel.netfilter.flows import Judge
from neod.kinds import KINDS
from neod.model.change import Op, Report
from neod.model.errors import KernelError
from neod.model.flows import Addresses, Contradictions
from neod.model.key import Key
from neod.model.nat import Ruleset
from neod.netlink.conntrack import IPPROTO_TCP, TrackedFlow
from neod.netlink.host_addresses import HostAddress

NOTHING = Ruleset()

Cut = Callable[[str, Callable[[list[HostAddress]], Judge]], Collection[TrackedFlow]]
"""Removes what the judge condemns in a namespace; raises a KernelError where nothing can be read."""


@dataclass(frozen=True, slots=True)
class RuleChange:
    """Translation of one namespace: all that was in force since connections were last compared with it, and what is."""

    before: tuple[Ruleset, ...]
    now: Ruleset


class FlowCutter:
    """Compares connections with the rules once these were written."""

    def __init__(self, event_log: EventLog, store: TranslationStore, cut: Cut) -> None:
        self._event_log, self._store, self._cut = event_log, store, cut
        self._cuts_tcp = False  # open TCP connections follow, too
        self._kept = store.load()
        self._unfinished = {*self._kept}  # by the process before, as far as we know
        self._due: dict[Key, RuleChange] = {}
        self._woken, self._free = asyncio.Event(), asyncio.Event()
        self._free.set()

    def want(self, intents: Intents) -> None:
        """Treat open TCP connections as the file says."""
        self._cuts_tcp = intents.settings(NatSettings).established == "cut"

    def hold(self) -> None:
        """Cut nothing until ``release``: what is in force may be undone."""
        self._free.clear()

    def release(self) -> None:
        """Compare with what is in force now."""
        self._free.set()

    def on_pass_done(self, report: Report, desired: Mapping[Key, Any]) -> None:
        """Note which rules were written, and those that the process before us wrote without comparing."""
        for outcome in report.outcomes:
            change = outcome.change
            kind = KINDS[change.key.kind]
            if kind.translates:
                self._unfinished.discard(str(change.key))
                if outcome.error is None and not outcome.skipped:
                    gone = change.op is Op.DELETE or change.after is None
                    self._note(change.key, NOTHING if gone else kind.ruleset(change.after))
        if self._unfinished:
            self._finish(desired)
            self._unfinished.clear()

    def _finish(self, desired: Mapping[Key, Any]) -> None:
        """Note rules that are in force, for nothing had to be written, and may not have been compared with."""
        for key, spec in desired.items():
            kind = KINDS[key.kind]
            if kind.translates and str(key) in self._unfinished and self._kept[str(key)] != (kind.ruleset(spec),):
                self._note(key, kind.ruleset(spec))

    def _note(self, key: Key, now: Ruleset) -> None:
        due = self._due.get(key)
        before = dict.fromkeys((*(due.before if due else ()), *self._kept.get(str(key), ())))
        self._due[key] = RuleChange(tuple(before), now)
        self._kept[str(key)] = (*(one for one in before if one != now), now)
        self._woken.set()

    async def run(self) -> None:
        """Compare whenever rules were written, for ever."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            await self._save()
            await self._free.wait()
            due, self._due = self._due, {}
            for key, change in due.items():
                await self._compare(key, change)
            self._settle({str(key): change.now for key, change in due.items() if key not in self._due})
            await self._save()

    def _settle(self, compared: Mapping[str, Ruleset]) -> None:
        for name, now in compared.items():
            del self._kept[name]
            if now != NOTHING:
                self._kept[name] = (now,)

    async def _save(self) -> None:
        if problem := await asyncio.to_thread(self._store.save, dict(self._kept)):
            self._event_log.note("rules not kept", object="neod", detail=problem)

    async def _compare(self, key: Key, change: RuleChange) -> None:
        judge, name = self._judge(change), str(key)
        try:
            gone = await asyncio.to_thread(self._cut, key.netns, judge)
        except KernelError as error:
            self._event_log.note("flows not compared", object=name, detail=str(error))
            return
        if gone:
            self._event_log.note("flows cut", object=name, detail=_in_words(gone))

    def _judge(self, change: RuleChange) -> Callable[[list[HostAddress]], Judge]:
        cuts_tcp = self._cuts_tcp

        def judge(host: list[HostAddress]) -> Judge:
            addresses = Addresses(tuple((one.link, one.ip, one.prefix_length) for one in host))
            contradicts = Contradictions.between(change.before, change.now, addresses)

            def condemns(flow: TrackedFlow) -> bool:
                open_ = flow.protocol == IPPROTO_TCP and not flow.half_open
                return (cuts_tcp or not open_) and contradicts(flow)

            return condemns

        return judge


def _in_words(gone: Collection[TrackedFlow]) -> str:
    tcp = sum(flow.protocol == IPPROTO_TCP for flow in gone)
    return f"{len(gone)} tracked connections contradicted the rules: {tcp} of TCP, {len(gone) - tcp} others"
