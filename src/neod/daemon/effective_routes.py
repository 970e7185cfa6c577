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
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from neod.daemon.event_log import EventLog
from neod.features.intents import Intents
from neod.features.parts import PathInfo
from neod.kinds.route import DEFAULTS, RTA_DST, RTA_SRC, RTA_TABLE, RouteKey, RouteSpec
from neod.kinds.route_hops import RTA_OIF, Hop, hops
from neod.kinds.rule import RuleKey
from neod.kinds.rule_words import FR_ACT_TO_TBL, RuleSeen, rule_seen
from neod.model.change import Actor
from neod.model.errors import KernelError
from neod.model.key import Key, LinkKey, TableKey
from neod.model.ports import Clock, Rtnl
from neod.model.status import Condition
from neod.netlink.attributes import Ip, attr, attr_u32, attrs, family_of, u32
from neod.netlink.rtnetlink import RTM_GETROUTE, RTM_GETRULE, RTMSG, RULEHDR
from neod.reconcile.queue import HintQueue, Hints
from neod.reconcile.state import HostState

OUTSIDE: Final[dict[int, Ip]] = {4: IPv4Address("198.41.0.4"), 6: IPv6Address("2001:503:ba3e::2:30")}
"""a.root-servers.net: an address that no host has a route of its own for."""

RTM_F_LOOKUP_TABLE, RTM_F_FIB_MATCH = 0x1000, 0x2000
FLAGS: Final = {4: RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH, 6: RTM_F_FIB_MATCH}
"""The answer is the route itself, since redirects are no matter of rules, and names its table. IPv6 always does, and
refuses the flag. Source: net/ipv6/route.c, inet6_rtm_valid_getroute_req."""

VRF: Final = "vrf"
LEAST_PAUSE_S: Final = 0.05
SHARE: Final = 20
"""Where others change rules without end, the pause after a look is this many times what the look took."""


@dataclass(frozen=True, slots=True)
class Question:
    """One address of a path, and the way that its packets should take."""

    path: str
    rule: RuleKey
    source: Ip
    want: RouteSpec
    bound: int = 0  # index of the link, where it is in a VRF: sockets there are bound to it


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel said: a route, or a refusal."""

    table: int = 0
    hop: Hop | None = None
    refusal: int = 0  # errno


class EffectiveRoutes:
    """The condition ``routed`` of every path, as of the last change of routes or rules that was seen."""

    def __init__(self, state: HostState, rtnl: Rtnl, clock: Clock, queue: HintQueue, event_log: EventLog) -> None:
        self._state, self._rtnl, self._clock, self._queue, self._log = state, rtnl, clock, queue, event_log
        self._tables: Mapping[int, str] = {}
        self._numbers: Mapping[str, int] = {}
        self._conditions: dict[str, Condition] = {}
        self._stale = True  # every path has to be asked for
        self._actor: Actor | None = None  # who changed a rule or route last
        self._next_at = 0.0

    def want(self, intents: Intents) -> None:
        """Ask for exactly the paths of *intents*, all of them with the next pass."""
        self._tables = {path.table: path.name for path in intents.of(PathInfo)}
        self._numbers = {path.name: path.table for path in intents.of(PathInfo)}
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
        paths = None if self._stale else self._paths_of((*hints.keys, *changed))
        if paths is not None and not paths:
            return
        actor, self._stale, self._actor = self._actor, False, None
        asked = [name for name in self._tables.values() if paths is None or name in paths]
        questions = [question for name in asked for question in self._questions(name)]
        self._note(asked, await self._reasons(questions), {question.path for question in questions}, actor)
        took = self._clock.boottime() - begun
        self._next_at = begun + max(LEAST_PAUSE_S, SHARE * took)

    def _paths_of(self, keys: Iterable[Key]) -> set[str]:
        state, found = self._state, set()
        for key in keys:
            seen = state.observed.get(key)
            spec = state.desired.specs.get(key, seen.spec if seen else None)
            found.add(state.kind_of(key).path(key, spec, self._tables) if not key.netns else "")
        return found.intersection(self._tables.values())

    def _questions(self, path: str) -> Iterator[Question]:
        """Yield a question for each address of a path whose table has a default and is as it should be."""
        state, number = self._state, self._numbers[path]
        for version, default in DEFAULTS.items():
            key = RouteKey("", number, default.dst, default.metric)
            want = state.desired.specs.get(key)
            if not isinstance(want, RouteSpec) or key not in state.observed:
                continue
            for rule in state.desired.dependents_of(TableKey("", number, version)):
                if isinstance(rule, RuleKey) and not rule.mask and rule in state.observed:
                    yield Question(path, rule, rule.source.network_address, want, self._vrf_member(want.link))

    def _vrf_member(self, link: str) -> int:
        seen = self._state.observed.get(LinkKey("", link))
        master = self._state.observed.get(LinkKey("", seen.spec.master)) if seen and seen.spec.master else None
        return (self._rtnl.index_of(link) or 0) if master and master.spec.driver == VRF else 0

    async def _reasons(self, questions: Sequence[Question]) -> dict[str, str]:
        """Return why packets of paths do not leave as they should, by path."""
        answers = await self._rtnl.get([(RTM_GETROUTE, _request(question)) for question in questions])
        told = [(question, _answer(answer)) for question, answer in zip(questions, answers, strict=True)]
        wrong = [(question, answer) for question, answer in told if not self._is_right(question, answer)]
        rules = {version: await self._rules(version) for version in {q.source.version for q, _ in wrong}}
        return {q.path: self._reason(q, answer, rules[q.source.version]) for q, answer in reversed(wrong)}

    def _is_right(self, question: Question, answer: Answer) -> bool:
        if answer.hop is None:
            return False
        link = self._rtnl.name_of(answer.hop.index)
        return (link, answer.hop.gateway) == (question.want.link, question.want.gateway)

    async def _rules(self, version: int) -> list[RuleSeen]:
        try:
            dumped = await self._rtnl.dump(RTM_GETRULE, RULEHDR.pack(family_of(version), 0, 0, 0, 0, 0, 0, 0, 0))
        except KernelError:
            return []
        return [rule_seen(payload) for _, payload in dumped]

    def _reason(self, question: Question, answer: Answer, rules: Sequence[RuleSeen]) -> str:
        goes = self._goes(question, answer)
        first = next((rule for rule in rules if _turns(rule, question, answer)), None)
        if first is None:
            return f"table {answer.table}: {goes}" if answer.table else goes
        owner = f" from {first.owner}" if first.owner else ""
        return f"rule {first.priority}{owner} comes first ({first}): {'no packet leaves' if first.refuses else goes}"

    def _goes(self, question: Question, answer: Answer) -> str:
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


def _request(question: Question) -> bytes:
    version, bits = question.source.version, question.source.max_prefixlen
    head = RTMSG.pack(family_of(version), bits, bits, 0, 0, 0, 0, 0, FLAGS[version])
    out = attr_u32(RTA_OIF, question.bound) if question.bound else b""
    return head + attr(RTA_DST, OUTSIDE[version].packed) + attr(RTA_SRC, question.source.packed) + out


def _answer(answer: tuple[int, memoryview] | KernelError) -> Answer:
    if isinstance(answer, KernelError):
        return Answer(refusal=answer.code)
    found = attrs(answer[1], RTMSG.size)
    table = u32(found[RTA_TABLE]) if RTA_TABLE in found else RTMSG.unpack_from(answer[1])[4]
    return Answer(table, next(hops(found, 0), None))


def _turns(rule: RuleSeen, question: Question, answer: Answer) -> bool:
    """Whether *rule*, before that of the path, is where the kernel's answer comes from."""
    if rule.priority >= question.rule.priority or not rule.takes(question.source, bound=bool(question.bound)):
        return False
    if answer.hop is None:
        return rule.refuses or (rule.action == FR_ACT_TO_TBL and rule.priority > 0)
    return rule.action == FR_ACT_TO_TBL and (rule.by_vrf or rule.table == answer.table)
