"""What neod knows of one MPTCP connection, and how events and a dump of the sockets change it. Pure."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from neod.netlink import mptcp_pm as pm
from neod.netlink.attributes import Ip
from neod.netlink.sock_diag import FLOW_BACKUP_LOC, ConnectionSeen

RST_PROHIBITED: Final = 3
"""MPTCP_RST_EPROHIBIT: the peer wants no such subflow. Source: RFC 8684, section 3.6."""

REFUSALS: Final = (errno.ECONNREFUSED, errno.ECONNRESET)
FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0
REFUSED_FIRST_S: Final = 5.0
REFUSED_LONGEST_S: Final = 300.0
"""A peer that refuses is asked rarely, and with one subflow: it may be one whose path manager is being restarted."""

GIVEN_UP_S: Final = 150.0
"""After this a subflow asked for that neither came nor failed counts as failed: longer than the SYNs of any setting."""

Pair = tuple[Ip, Ip, int]  # local address, remote address and port
Quad = tuple[Ip, int, Ip, int]


@dataclass(frozen=True, slots=True)
class Subflow:
    local: Ip
    local_port: int
    remote: Ip
    remote_port: int
    local_id: int = 0
    remote_id: int = 0
    mapped: bool = field(default=False, compare=False)  # IPv4 on an IPv6 socket: the kernel finds it by that form only

    @property
    def pair(self) -> Pair:
        """Return what a replacement of it would connect."""
        return self.local, self.remote, self.remote_port

    @property
    def end(self) -> tuple[Ip, int]:
        return self.remote, self.remote_port

    @property
    def quad(self) -> Quad:
        return self.local, self.local_port, self.remote, self.remote_port


@dataclass(frozen=True, slots=True)
class Failures:
    """How often one pair failed in a row, and when it may be tried again; seconds of CLOCK_BOOTTIME."""

    count: int
    next_at: float


ACCEPTED: Final = Failures(0, 0.0)


@dataclass(slots=True)
class MptcpConnection:
    """One connection; its first subflow has the address id 0."""

    token: int
    server: bool
    first: Subflow
    established: bool = False
    deny_join_id0: bool = False  # no further subflows to the peer's first address (RFC 8684, the C flag)
    flows: dict[Quad, Subflow] = field(default_factory=dict)
    announced: dict[int, tuple[Ip, int]] = field(default_factory=dict)  # by the peer, by its id; below 0: id unknown
    withdrawn: set[tuple[Ip, int]] = field(default_factory=set)  # by the peer, after they were announced
    announced_by_us: dict[Ip, int] = field(default_factory=dict)
    ids: dict[Ip, int] = field(default_factory=dict)  # of our addresses, as this connection has them
    unusable_ids: set[int] = field(
        default_factory=set
    )  # ids that the kernel refused: it remembers them for another address
    pending: dict[Pair, float] = field(default_factory=dict)  # asked for, when
    backups: set[Pair] = field(default_factory=set)  # opened as backup by us, or made one since
    failures: dict[Pair, Failures] = field(default_factory=dict)
    refusals: Failures = ACCEPTED  # by the peer, in a row, whichever the pair
    announce_at: float | None = None  # the next may not leave before; None: none was refused or has just left

    @property
    def local(self) -> Ip:
        """Return our address that it began with."""
        return self.first.local

    @property
    def remote(self) -> Ip:
        """Return the peer's address that it began with."""
        return self.first.remote

    @property
    def remote_port(self) -> int:
        """Return the peer's port that it began with."""
        return self.first.remote_port

    def on_event(self, event: pm.Event, now: float) -> None:
        """Apply one event; CLOSED is for whoever holds the connection."""
        if event.what == pm.EVENT_ESTABLISHED:
            self.established, self.deny_join_id0 = True, event.deny_join_id0
            self._join(self.first)
        elif event.what == pm.EVENT_ANNOUNCED and event.remote is not None:
            self._announced(event.remote_id, (event.remote, event.remote_port or self.remote_port))
        elif event.what == pm.EVENT_REMOVED:
            self._removed(event.remote_id)
        elif event.what in (pm.EVENT_SUB_ESTABLISHED, pm.EVENT_SUB_CLOSED):
            flow = flow_of(event)
            if flow is None:  # the kernel repeats SUB_CLOSED with addresses of zeros (mptcp_net-next 603)
                return
            if event.what == pm.EVENT_SUB_ESTABLISHED:
                self._join(flow)
                self._on_accepted()
            else:
                self._leave(flow, event, now)

    def _announced(self, number: int, end: tuple[Ip, int]) -> None:
        self.announced = {n: known for n, known in self.announced.items() if n >= 0 or known != end}
        self.announced[number] = end
        self.withdrawn.discard(end)

    def _removed(self, number: int) -> None:
        """Forget what the peer announced as *number*; 0 is the address that the connection began with."""
        end = self.first.end if number == 0 else self.announced.pop(number, None)
        if end is not None and end not in self.announced.values():
            self.withdrawn.add(end)

    def _must_be_announced(self, end: tuple[Ip, int]) -> None:
        """Note an address of the peer that a subflow of ours goes to: it was announced before we listened.

        What its number is, nobody can tell: behind a relay the subflow has
        the one of the address that the relay translates to.
        """
        if not self.server and end != self.first.end and end not in self.announced.values():
            self.announced[min([0, *self.announced]) - 1] = end

    def _join(self, flow: Subflow) -> None:
        self.flows[flow.quad] = flow
        self.pending.pop(flow.pair, None)
        self.failures.pop(flow.pair, None)
        self.ids.setdefault(flow.local, flow.local_id)

    def _leave(self, flow: Subflow, event: pm.Event, now: float) -> None:
        was_there = self.flows.pop(flow.quad, None) is not None
        self.backups.discard(flow.pair)
        if was_there:
            self.failures.pop(flow.pair, None)
        if was_there or flow.pair in self.pending:
            self.failed(flow.pair, now)
            if not was_there and (event.reset == RST_PROHIBITED or event.error in REFUSALS):
                self._on_refused(now)

    def _on_refused(self, now: float) -> None:
        """Stop asking for a while; many refusals of one moment count once."""
        if now >= self.refusals.next_at:
            count = self.refusals.count
            pause = min(REFUSED_FIRST_S * 4.0 ** min(count, 8), REFUSED_LONGEST_S)
            self.refusals = Failures(count + 1, now + pause)

    def _on_accepted(self) -> None:
        """Ask for all again: the peer accepts."""
        if self.refusals.count:
            self.refusals = ACCEPTED
            self.failures.clear()

    def failed(self, pair: Pair, now: float) -> None:
        """Note that a subflow did not come about, or ended."""
        self.pending.pop(pair, None)
        before = self.failures.get(pair)
        count = 1 if before is None else before.count + 1
        self.failures[pair] = Failures(count, now + pause_s(count))

    def overdue(self, now: float) -> None:
        """Count as failed what was requested and got no event."""
        for pair in [pair for pair, asked in self.pending.items() if now >= asked + GIVEN_UP_S]:
            self.failed(pair, now)

    def note_backup(self, pair: Pair, backup: bool) -> None:
        """Note as what the peer was told that a subflow is."""
        (self.backups.add if backup else self.backups.discard)(pair)

    def announced_to_peer(self, ip: Ip, number: int) -> None:
        """Note that an address of ours was announced."""
        self.announced_by_us[ip] = self.ids[ip] = number

    def announce_after(self, at: float | None) -> None:
        """Let the next announcement leave no sooner than *at*; None: at once."""
        self.announce_at = at

    def next_due(self, now: float) -> float | None:
        """Return when, after *now*, time alone will allow something; None if only news can.

        What was allowed already and is not done waits for something else: its address, or room.
        """
        due = [max(one.next_at, self.refusals.next_at) for one in self.failures.values()]
        due += [asked + GIVEN_UP_S for asked in self.pending.values()]
        due += [self.announce_at] if self.announce_at is not None else []
        return min((at for at in due if at > now), default=None)

    def update(self, seen: ConnectionSeen) -> None:
        """Take over the subflows that the sockets show; what was asked for and is not there yet stays asked for."""
        self.flows = {}
        self.backups &= self.pending.keys()
        for one in seen.flows:
            ends = one.local, one.local_port, one.remote, one.remote_port
            flow = Subflow(*ends, one.local_id, one.remote_id, one.mapped)
            self._join(flow)
            self.note_backup(flow.pair, bool(one.flags & FLOW_BACKUP_LOC))
            self._must_be_announced(flow.end)
        self.established = self.established or bool(self.flows)


def pause_s(count: int) -> float:
    """Return the seconds until a pair that failed *count* times is tried again."""
    return min(FIRST_S * 2.0 ** min(count - 1, 16), LONGEST_S)


def flow_of(event: pm.Event) -> Subflow | None:
    """Return the subflow an event is about; None where the kernel no longer knows."""
    if event.local is None or event.remote is None or not event.remote_port or int(event.remote) == 0:
        return None
    ends = event.local, event.local_port, event.remote, event.remote_port
    return Subflow(*ends, event.local_id, event.remote_id, event.mapped)


def from_event(event: pm.Event) -> MptcpConnection | None:
    """Return a new connection; None if the event does not say between whom."""
    if event.local is None or event.remote is None:
        return None
    first = Subflow(event.local, event.local_port, event.remote, event.remote_port, mapped=event.mapped)
    return MptcpConnection(event.token, event.server, first)


def from_dump(seen: ConnectionSeen) -> MptcpConnection:
    """Return a connection that was there before us."""
    first = Subflow(seen.local, seen.local_port, seen.remote, seen.remote_port)
    made = MptcpConnection(seen.token, seen.server, first)
    made.update(seen)
    return made


def locals_of(connection: MptcpConnection) -> Iterable[Ip]:
    """Return the addresses of ours that carry it, and the one it began with."""
    return {connection.local, *(flow.local for flow in connection.flows.values())}
