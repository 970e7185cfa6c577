"""Whether the packets of each path leave by it: the condition ``routed``.

That neo's own rule, table and route are there says nothing of what stands
before them: another program's rule, or one that refuses. So the kernel is
asked for the way from the path's address to an address outside
(RTM_GETROUTE; nothing is sent), after what can change the answer changed:
the path's own objects, or any rule, or a route that events tell of.
"""

import asyncio
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neod.daemon.event_log import EventLog
from neod.features.intents import Intents
from neod.features.parts import paths_by_table
from neod.kinds.route import DEFAULTS, RouteSpec
from neod.kinds.route_lookup import Way, default_of, ways_out
from neod.kinds.rule import RuleKey, every_rule, path_rules
from neod.kinds.rule_words import FR_ACT_TO_TBL, RuleSeen
from neod.model.change import Actor
from neod.model.errors import KernelError
from neod.model.key import Key, LinkKey, TableKey
from neod.model.kind import path_of
from neod.model.nat import Ip
from neod.model.ports import Clock, Rtnl
from neod.model.status import Condition
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.state import HostState

VRF: Final = "vrf"
LEAST_PAUSE_S: Final = 0.05
SHARE: Final = 20
"""Where others change rules without end, the pause after a look is this many times what the look took."""


@dataclass(frozen=True, slots=True)
class Question:
    """One address of a path, and the way that its packets should take."""

    path: str
    rule: RuleKey
    want: RouteSpec
    bound: int = 0  # index of the link, where it is in a VRF: sockets there are bound to it

    @property
    def source(self) -> Ip:
        """Return the address."""
        return self.rule.source.network_address


class EffectiveRoutes:
    """The condition ``routed`` of every path, as of the last change of routes or rules that was seen."""

    def __init__(self, state: HostState, rtnl: Rtnl, clock: Clock, queue: HintQueue, event_log: EventLog) -> None:
        self._state, self._rtnl, self._clock, self._queue, self._log = state, rtnl, clock, queue, event_log
        self._tables: Mapping[int, str] = {}
        self._conditions: dict[str, Condition] = {}
        self._stale = True  # every path has to be asked for
        self._actor: Actor | None = None  # who changed a rule or route last
        self._next_at = 0.0

    def want(self, intents: Intents) -> None:
        """Ask for exactly the paths of *intents*, all of them with the next pass."""
        self._tables = paths_by_table(intents)
        self._conditions = {name: one for name, one in self._conditions.items() if name in self._tables.values()}
        self._stale = True

    def condition(self, path: str) -> Condition | None:
        """Return what is known of a path; None where nothing was asked."""
        return self._conditions.get(path)

    async def on_pass_done(self, hints: Hints, changed: Iterable[Key]) -> None:
        """Ask for the paths that something changed for; where others never stop, at a bounded rate."""
        begun = self._clock.boottime()
        self._stale |= hints.rerouted or hints.everything
        self._actor = hints.rerouted_by or self._actor
        if self._stale and begun < self._next_at and not hints.everything:
            asyncio.get_running_loop().call_later(self._next_at - begun, self._queue.hint_rerouted, "routes of others")
            return
        paths = None if self._stale else self._paths_of((*self._not_polled(hints.keys), *changed))
        if paths is not None and not paths:
            return
        actor, self._stale, self._actor = self._actor, False, None
        asked = {name: number for number, name in self._tables.items() if paths is None or name in paths}
        questions = [question for name, number in asked.items() for question in self._questions(name, number)]
        self._note(asked, await self._reasons(questions), {question.path for question in questions}, actor)
        took = self._clock.boottime() - begun
        self._next_at = begun + max(LEAST_PAUSE_S, SHARE * took)

    def _not_polled(self, keys: Iterable[Key]) -> Iterator[Key]:
        """What is only polled decides over no route; unless it changed, it is looked at for its own sake."""
        return (key for key in keys if self._state.kind_of(key).poll is None)

    def _paths_of(self, keys: Iterable[Key]) -> set[str]:
        state, found = self._state, set()
        for key in keys:
            seen = state.observed.get(key)
            spec = state.desired.specs.get(key, seen.spec if seen else None)
            found.add(path_of(state.kind_of(key), key, spec, self._tables))
        return found.intersection(self._tables.values())

    def _questions(self, path: str, number: int) -> Iterator[Question]:
        """Yield a question for each address of a path whose table has a default and is as it should be."""
        state = self._state
        for version in DEFAULTS:
            default = default_of(number, version, state.desired.specs)
            if default is None or default[0] not in state.observed:
                continue
            want = default[1]
            for rule in path_rules(state.desired.dependents_of(TableKey("", number, version))):
                if rule in state.observed:
                    yield Question(path, rule, want, self._vrf_member(want.link))

    def _vrf_member(self, link: str) -> int:
        seen = self._state.observed.get(LinkKey("", link))
        master = self._state.observed.get(LinkKey("", seen.spec.master)) if seen and seen.spec.master else None
        return (self._rtnl.index_of(link) or 0) if master and master.spec.driver == VRF else 0

    async def _reasons(self, questions: Sequence[Question]) -> dict[str, str]:
        """Return why packets of paths do not leave as they should, by path."""
        answers = await ways_out(self._rtnl, [(question.source, question.bound) for question in questions])
        answered = zip(questions, answers, strict=True)
        wrong = [(question, answer) for question, answer in answered if not self._is_right(question, answer)]
        rules = {version: await self._rules(version) for version in {q.source.version for q, _ in wrong}}
        return {q.path: self._reason(q, answer, rules[q.source.version]) for q, answer in reversed(wrong)}

    def _is_right(self, question: Question, answer: Way) -> bool:
        if answer.hop is None:
            return False
        link = self._rtnl.name_of(answer.hop.index)
        return (link, answer.hop.gateway) == (question.want.link, question.want.gateway)

    async def _rules(self, version: int) -> list[RuleSeen]:
        try:
            return await every_rule(self._rtnl, version)
        except KernelError:
            return []

    def _reason(self, question: Question, answer: Way, rules: Sequence[RuleSeen]) -> str:
        goes = self._goes(question, answer)
        first = next((rule for rule in rules if _turns(rule, question, answer)), None)
        if first is None:
            return f"table {answer.table}: {goes}" if answer.table else goes
        owner = f" from {first.owner}" if first.owner else ""
        return f"rule {first.priority}{owner} comes first ({first}): {'no packet leaves' if first.refuses else goes}"

    def _goes(self, question: Question, answer: Way) -> str:
        if answer.hop is None:
            return f"no packet leaves: {os.strerror(answer.refusal)}"
        link, gateway = self._rtnl.name_of(answer.hop.index) or "an unknown link", answer.hop.gateway
        if link != question.want.link:
            return f"packets leave by {link}"
        there, wanted = (f"to {one}" if one else "without a gateway" for one in (gateway, question.want.gateway))
        return f"packets go {there}, not {wanted}"

    def _note(
        self, asked: Collection[str], reasons: Mapping[str, str], known: Collection[str], actor: Actor | None
    ) -> None:
        """Take over the answers, and write down what changed; what was not asked is unknown."""
        now = self._clock.wall()
        for path in asked:
            before = self._conditions.get(path)
            status, evidence = (not reasons.get(path), reasons.get(path, "")) if path in known else (None, "")
            since = before.since if before is not None and before.status == status else now
            self._conditions[path] = Condition("routed", status, since, evidence)
            if status is False and (before is None or before.evidence != evidence):
                self._log.note("path down", object=f"link:{path}", detail=evidence, by=str(actor or ""))
            elif status and before is not None and before.status is False:
                self._log.note("path up", object=f"link:{path}", by=str(actor or ""))


def _turns(rule: RuleSeen, question: Question, answer: Way) -> bool:
    """Whether *rule*, before that of the path, is where the kernel's answer comes from."""
    if rule.priority >= question.rule.priority or not rule.takes(question.source, bound=bool(question.bound)):
        return False
    if answer.hop is None:
        return rule.refuses or (rule.action == FR_ACT_TO_TBL and rule.priority > 0)
    return rule.action == FR_ACT_TO_TBL and (rule.by_vrf or rule.table == answer.table)
