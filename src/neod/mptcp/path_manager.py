"""neod as the path manager of one namespace: events in, commands out, at a pace.

The kernel stays the authority: what is known here comes from its events, and
after a restart or an overrun from a dump of the sockets.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from neod.model.errors import KernelError
from neod.model.ports import Clock, MptcpPort
from neod.mptcp.connection import MptcpConnection, from_dump, from_event
from neod.mptcp.policy import (
    AnnounceAddress,
    CreateSubflow,
    DestroySubflow,
    Policy,
    SetPriority,
    Step,
    WithdrawAddress,
    concerns,
    releases,
    steps,
)
from neod.mptcp.subflow_limiter import SubflowLimiter
from neod.netlink import mptcp_pm as pm
from neod.netlink.sock_diag import ConnectionSeen

BATCH: Final = 8
"""Commands a turn of the loop: the kernel takes about 0.1 ms for a subflow, and others wait meanwhile."""

ANNOUNCE_AGAIN_S: Final = 0.05
"""One ADD_ADDR can be under way a connection; the kernel refuses the next until it has left."""

FORGOTTEN: Final = frozenset({errno.ESRCH, errno.ENOENT, errno.ENOTCONN})
"""The token is known no longer. Source: net/mptcp/pm_userspace.c, mptcp_userspace_pm_get_sock."""

DumpConnections = Callable[[], Awaitable[Sequence[ConnectionSeen]]]


@dataclass(slots=True)
class SubflowCounters:
    """What was done since the start."""

    created: int = 0
    refused: int = 0
    destroyed: int = 0
    announced: int = 0
    rebuilt: int = 0


class PathManager:
    """Gives every connection of one namespace as many subflows as the policy says.

    ``want`` may be called at any time; ``take`` and ``lost`` are for the
    event socket; ``run`` does the work and never ends.
    """

    def __init__(self, commands: MptcpPort, dump_connections: DumpConnections, clock: Clock) -> None:
        self._commands, self._dump_connections, self._clock = commands, dump_connections, clock
        self.connections: dict[int, MptcpConnection] = {}
        self.counters = SubflowCounters()
        self.last_refusal = ""  # what the kernel said last, in words
        self._policy = Policy()
        self._limiter = SubflowLimiter()
        self._dirty: dict[int, None] = {}
        self._due: dict[int, float] = {}  # token -> when to look again
        self._rebuild = True
        self._woken = asyncio.Event()

    def want(self, policy: Policy, max_total: int) -> None:
        """Manage connections by *policy* from now on; *max_total* subflows over all of them, 0 without limit."""
        if (policy, max_total) == (self._policy, self._limiter.limit):
            return
        came = policy.here - self._policy.here
        self._policy, self._limiter = policy, SubflowLimiter(max_total)
        for connection in self.connections.values():
            self._count(connection)
            for pair in [pair for pair in connection.failures if pair[0] in came]:
                del connection.failures[pair]  # an address that came back has no failures
        self._dirty |= dict.fromkeys(self.connections)
        self._woken.set()

    def take(self, event: pm.Event) -> None:
        """Apply one event of the path manager."""
        if event.what == pm.EVENT_CLOSED:
            self._forget(event.token)
            return
        connection = self.connections.get(event.token) or from_event(event)
        if connection is None:
            return
        self.connections[event.token] = connection
        connection.on_event(event, self._clock.boottime())
        self._count(connection)
        self._dirty[event.token] = None
        self._woken.set()

    def lost(self) -> None:
        """Dump all connections again: events were lost."""
        self._rebuild = True
        self._woken.set()

    @property
    def subflows(self) -> int:
        """Return how many subflows there are, over all connections."""
        return sum(len(one.flows) + len(one.pending) for one in self.connections.values())

    @property
    def refused_connections(self) -> int:
        """Return how many connections have a peer that refuses subflows."""
        return sum(bool(one.refusals.count) for one in self.connections.values())

    @property
    def managed(self) -> int:
        """Return how many connections are ours to manage."""
        return sum(concerns(one, self._policy) for one in self.connections.values())

    def _forget(self, token: int) -> None:
        self.connections.pop(token, None)
        self._dirty.pop(token, None)
        self._due.pop(token, None)
        if self._limiter.limit:
            self._limiter.count(token, 0)
            self._woken.set()  # there may be room for others

    def _count(self, connection: MptcpConnection) -> None:
        if self._limiter.limit and not connection.server and concerns(connection, self._policy):
            self._limiter.count(connection.token, len(connection.flows), len(connection.pending))

    async def run(self) -> None:
        while True:
            if self._rebuild:
                await self.rebuild()
            self._add_what_is_due()
            if not self._dirty:
                await self._sleep()
                continue
            await self.turn()
            await asyncio.sleep(0)

    async def _sleep(self) -> None:
        self._woken.clear()
        due = min(self._due.values(), default=None)
        timeout_s = None if due is None else max(0.0, due - self._clock.boottime())
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return

    def _add_what_is_due(self) -> None:
        now = self._clock.boottime()
        for token in [token for token, at in self._due.items() if at <= now]:
            del self._due[token]
            if token in self.connections:
                self._dirty[token] = None
        self._dirty |= dict.fromkeys(self._limiter.admit(BATCH))

    async def rebuild(self) -> None:
        """Read all connections from their sockets, keeping what no socket shows: refusals, announcements."""
        self._rebuild = False
        before = list(self.connections)  # what comes while the sockets are read may not be among them
        try:
            seen = {one.token: one for one in await self._dump_connections()}
        except KernelError:
            self._rebuild = True
            await asyncio.sleep(1.0)
            return
        for token in before:
            if token not in seen:
                self._forget(token)
        for token, one in seen.items():
            known = self.connections.get(token)
            if known is None:
                self.connections[token] = from_dump(one)
            else:
                known.update(one)
            self._count(self.connections[token])
            self._dirty[token] = None
        self.counters.rebuilt += 1

    async def turn(self) -> None:
        """Bring the next connections closer to what they should be: one batch of commands."""
        now = self._clock.boottime()
        given = self._given_up()
        batch = list(given)
        room = self._limiter.available
        while self._dirty and len(batch) < BATCH:
            token = next(iter(self._dirty))
            del self._dirty[token]
            connection = self.connections.get(token)
            if connection is None:
                continue
            connection.overdue(now)
            todo = _one_announcement(steps(connection, self._policy, now, max(0, min(room, BATCH))))
            if connection.announce_at is not None and connection.announce_at <= now:
                connection.announce_after(None)
            fits = todo[: BATCH - len(batch)]
            room -= sum(isinstance(step, CreateSubflow) for step in fits)
            batch += [(connection, step) for step in fits]
            if room <= 0:
                self._limiter.defer(token)
            if len(fits) < len(todo) or len(fits) == BATCH:
                self._dirty[token] = None
            self._plan_next(connection, now)
        if batch:
            self._dirty |= dict.fromkeys(connection.token for connection, _ in given)  # they may have to give more
            await self._carry_out(batch, now)

    def _given_up(self) -> list[tuple[MptcpConnection, Step]]:
        """Return what has to go because all together have more than they may; those that have most give first."""
        found: list[tuple[MptcpConnection, Step]] = []
        for token in self._limiter.largest(BATCH):
            connection = self.connections[token]
            found += [(connection, step) for step in releases(connection, self._policy, 1)]
        return found

    def _plan_next(self, connection: MptcpConnection, now: float) -> None:
        due = connection.next_due(now)
        if due is None:
            self._due.pop(connection.token, None)
        else:
            self._due[connection.token] = due

    async def _carry_out(self, batch: Sequence[tuple[MptcpConnection, Step]], now: float) -> None:
        for connection, step in batch:
            if isinstance(step, CreateSubflow):  # before the answer: the event may be quicker
                connection.pending[step.pair] = now
                connection.note_backup(step.pair, step.backup)
                self._count(connection)
                connection.ids[step.pair[0]] = step.local_id
        answers = await self._commands.send([request(connection.token, step) for connection, step in batch])
        for (connection, step), error in zip(batch, answers, strict=True):
            self._settle(connection, step, error, now)
            if connection.token in self.connections:
                self._count(connection)
                self._plan_next(connection, now)

    def _settle(self, connection: MptcpConnection, step: Step, error: KernelError | None, now: float) -> None:
        """Note what came of a command. What an event will tell is left to the event."""
        if error is not None and error.code in FORGOTTEN and not isinstance(step, DestroySubflow):
            self._forget(connection.token)
        elif isinstance(step, CreateSubflow):
            self._created(connection, step, error, now)
        elif isinstance(step, AnnounceAddress):
            self._announced(connection, step, error, now)
        elif isinstance(step, WithdrawAddress):
            connection.announced_by_us.pop(step.ip, None)
        elif isinstance(step, SetPriority):
            connection.note_backup(step.flow.pair, step.backup)  # a refusal would be one again: the subflow has gone
        else:
            connection.flows.pop(step.flow.quad, None)
            self.counters.destroyed += 1
            if error is None and all(flow.local != step.flow.local for flow in connection.flows.values()):
                connection.ids.pop(step.flow.local, None)

    def _created(self, connection: MptcpConnection, step: CreateSubflow, error: KernelError | None, now: float) -> None:
        if error is None:
            self.counters.created += 1
            return
        self.counters.refused += 1
        self.last_refusal = str(error)
        if error.code == errno.EINVAL and step.local_id:
            connection.unusable_ids.add(step.local_id)
        if error.code != errno.EEXIST and all(flow.local != step.pair[0] for flow in connection.flows.values()):
            connection.ids.pop(step.pair[0], None)
        connection.failed(step.pair, now)

    def _announced(
        self, connection: MptcpConnection, step: AnnounceAddress, error: KernelError | None, now: float
    ) -> None:
        if error is None:
            connection.announced_to_peer(step.ip, step.id)
            self.counters.announced += 1
        connection.announce_after(now + ANNOUNCE_AGAIN_S)


def _one_announcement(todo: list[Step]) -> list[Step]:
    first = next((step for step in todo if isinstance(step, AnnounceAddress)), None)
    return [step for step in todo if not isinstance(step, AnnounceAddress) or step is first]


def request(token: int, step: Step) -> tuple[int, bytes]:
    """Return the command and attributes of one step."""
    match step:
        case CreateSubflow((local, remote, port), local_id, index, backup):
            flags = pm.FLAGS["subflow"] | (pm.FLAGS["backup"] if backup else 0)
            said = pm.Endpoint(local, local_id, flags, index)
            return pm.CMD_SUBFLOW_CREATE, pm.subflow_create(token, said, pm.Endpoint(remote, port=port))
        case DestroySubflow(flow):
            here = pm.Endpoint(flow.local, flow.local_id, port=flow.local_port, mapped=flow.mapped)
            there = pm.Endpoint(flow.remote, port=flow.remote_port, mapped=flow.mapped)
            return pm.CMD_SUBFLOW_DESTROY, pm.subflow_destroy(token, here, there)
        case SetPriority(flow, backup):
            here = pm.Endpoint(flow.local, flow.local_id, pm.FLAGS["backup"] * backup, port=flow.local_port)
            there = pm.Endpoint(flow.remote, port=flow.remote_port)
            return pm.CMD_SET_FLAGS, pm.set_flags(token, here, there)
        case AnnounceAddress(ip, number, index, backup):
            flags = pm.FLAGS["signal"] | (pm.FLAGS["backup"] if backup else 0)
            return pm.CMD_ANNOUNCE, pm.announce(token, pm.Endpoint(ip, number, flags, index))
        case WithdrawAddress(_, number):
            return pm.CMD_REMOVE, pm.remove(token, number)
