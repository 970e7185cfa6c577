"""The DHCP client of the whole host: every wanted link has a lease, as long as any server gives one.

Here events, clocks and sockets meet; what to do about them is decided in ``fsm``. One raw socket a
parent serves all its links: with a socket each, every broadcast would be parsed once a link.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from random import Random, SystemRandom
from typing import Final

from neod.dhcp import fsm
from neod.dhcp.action_executor import ActionExecutor, Report
from neod.dhcp.lease_returns import LeaseReturns
from neod.dhcp.lease_writer import LeaseDisk, LeaseWriter
from neod.dhcp.loop_timer import LoopTimer
from neod.dhcp.rate_limited_log import Log, RateLimitedLog
from neod.dhcp.rawsocket import Packets, Port68
from neod.dhcp.segment import COUNTERS, Client, Segment
from neod.dhcp.state import State
from neod.model.facts import FOREVER, DhcpClient, Lease
from neod.model.ports import Clock

TICK_S: Final = 3.0
"""How often clocks are compared and sockets looked at: bounds how late it is noticed that the machine
slept (5 s with the spread below), or that a parent was replaced. Each look costs some 20 us."""

JUMP_S: Final = 5.0  # CLOCK_BOOTTIME ran ahead of the loop's clock by more: the machine slept
RESUME_SPREAD_S: Final = 2.0
CARRIER_SPREAD_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """One client as ``neodctl leases`` shows it."""

    link: str
    parent: str
    mac: str
    state: str
    lease: Lease | None
    last_error: str
    attempts: int
    next_at: float  # seconds of CLOCK_BOOTTIME; inf when nothing is planned
    unanswered: bool = False  # nobody answers what it asked last, not even with what it cannot use


class DhcpService:
    """Leases for every wanted link of this namespace. All calls are for the thread of the loop."""

    def __init__(
        self,
        clock: Clock,
        disk: LeaseDisk,
        publish: Callable[[str, Lease | None], None],
        *,
        packets: Packets | None = None,
        rng: Random | None = None,
        log: Log | None = None,
        report: Report = lambda what, link, detail: None,
        tell_without: Callable[[Sequence[str]], None] = lambda links: None,
    ) -> None:
        """Begin; *tell_without* is told every few seconds which links have no usable lease."""
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._clock = clock
        self._rng = rng or SystemRandom()  # an xid that can be guessed can be answered by anybody
        self._packets = packets or Packets()
        self._log = RateLimitedLog(log, clock)
        self._writer = LeaseWriter(disk, clock, publish)
        self._clients: dict[str, Client] = {}
        self._down: set[str] = set()  # parents without carrier
        self._executor = ActionExecutor(
            clock, self._rng, self._writer, self._packets, self._log, self.counters, self._rearm, report
        )
        self._segments = self._executor.segments
        self.returns = LeaseReturns(self._writer, self._segments, self._packets, clock, self._rng, self._log)
        self._timer = LoopTimer(clock, self._wake)
        self._tick_at = 0.0
        self._port_68 = Port68(self._packets)
        self._tell_without = tell_without

    # ── what the daemon asks ──────────────────────────────────────────────────────────────────

    def stored(self) -> Mapping[str, Lease]:
        """Return every lease that holds, by link: at the start, those from the disk."""
        return {link: record.lease for link, record in self._writer.records.items()}

    def want(self, clients: Sequence[DhcpClient]) -> None:
        """Have exactly *clients*. Who is not among them is forgotten, its lease given up and published as gone."""
        wanted = {client.link: client for client in clients}
        for link in [link for link in self._clients if link not in wanted]:
            self._forget(self._clients[link])
        for link, client in wanted.items():
            known = self._clients.get(link)
            if known is None:
                self._adopt(client)
                self.returns.take_up(link)
            else:
                self._update(known, client)
            self._keep_policy(self._clients[link], client.release)
        self.returns.give_up(self._writer.records.keys() - wanted.keys())
        self._close_unused()
        if self._tick_at == FOREVER:
            self._tick_at = 0.0  # there may be something to look at again
        self._timer.soon()

    def link_ready(self, link: str, mac: str, held: IPv4Address | None = None) -> None:
        """Start the client of *link*, which exists and is up, or let it go on.

        It asks again for the address of its lease, else for *held*, else for any. Another *mac* than
        before is another client: the lease of the old one is withdrawn.
        """
        client = self._clients.get(link)
        if client is None:
            return
        address = _octets(mac)
        if client.ready and client.mac == address:
            return
        if client.ready:
            self._detach(client, "the MAC changed")
        if client.mac != address:
            self._lose_lease(client)
            client.mac = address
        segment = self._segment(client.parent)
        other = segment.clients.setdefault(address, client)
        if other is not client:
            client.trouble = f"{other.link} has the same MAC"
            return
        client.trouble, client.ready = "", True
        client.held = int(held) if held is not None else 0
        self._start(client, 0.0)
        self._timer.soon()

    def link_gone(self, link: str) -> None:
        """Stop the client of *link*; its lease stays until it ends."""
        client = self._clients.get(link)
        if client is not None and client.ready:
            self._detach(client, "no link")
            self._timer.soon()

    def carrier(self, parent: str, up: bool) -> None:
        """Note whether *parent* has a carrier: without one nothing is sent, and afterwards every lease is confirmed."""
        if up is (parent not in self._down):
            return
        self._down.symmetric_difference_update((parent,))
        segment = self._segments.get(parent)
        if segment is None:
            return
        hold_s = segment.carrier.came_back(self._clock.boottime()) if up else 0.0
        for client in list(segment.clients.values()):
            self._start(client, hold_s + self._rng.uniform(0, CARRIER_SPREAD_S))
        self._timer.soon()

    def guard(self, link: str, parent: str, mac: str, ip: IPv4Address, *, leased: bool) -> None:
        """Find out from now on who else claims *ip* of *link*."""
        self._executor.guard(parent).guard(int(ip), link, _octets(mac), leased=leased)
        self._tick_at = min(self._tick_at, self._clock.boottime() + TICK_S)
        self._timer.soon()

    def release(self, link: str, parent: str, ip: IPv4Address) -> None:
        """Guard *ip* no longer."""
        if parent in self._executor.guards:
            self._executor.guards[parent].release(int(ip), link)

    def trouble(self, link: str, parent: str) -> str:
        """Return in one sentence what is wrong with the lease or the addresses of *link*; empty if nothing is."""
        client, guard = self._clients.get(link), self._executor.guards.get(parent)
        found = guard.trouble(link) if guard else ""
        return found or (self._reason(client) if client else "")

    def status(self) -> Sequence[LeaseStatus]:
        """Return every client, by link."""
        return [self._status(client) for _, client in sorted(self._clients.items())]

    def status_of(self, link: str) -> LeaseStatus | None:
        """Return the client of *link*, where there is one."""
        client = self._clients.get(link)
        return self._status(client) if client is not None else None

    @property
    def degraded(self) -> str:
        """What works, but not as it should, for people; empty when nothing."""
        problems = (
            self._writer.problem,
            self._port_68.problem,
            *(segment.sockets.problem for segment in self._segments.values()),
            *(guard.problem for guard in self._executor.guards.values()),
        )
        return "; ".join(problem for problem in problems if problem)

    async def run(self) -> None:
        """Serve indefinitely. Cancelled, it closes its sockets and writes the leases to disk."""
        self._timer.start()
        try:
            self._timer.soon()
            await self._writer.run()
        finally:
            self._close()

    # ── clients ───────────────────────────────────────────────────────────────────────────────

    def _adopt(self, wanted: DhcpClient) -> None:
        """Begin a client, with the lease from the disk unless that belongs to another MAC."""
        client = Client(wanted.link, wanted.parent, b"")
        client.state = State(wanted.link, probe=wanted.probe)
        record = self._writer.records.get(wanted.link)
        if record is not None and wanted.mac.lower() in ("", record.mac):
            client.mac = _octets(record.mac)
            server_mac = _octets(record.server_mac)
            client.state = client.state._replace(lease=record.lease, server_mac=server_mac, error="no link")
        elif record is not None:
            self._writer.withdraw(wanted.link)
        self._clients[wanted.link] = client
        self._segment(wanted.parent)
        self._executor.settle(client)

    def _update(self, known: Client, wanted: DhcpClient) -> None:
        known.state = known.state._replace(probe=wanted.probe)
        if known.parent != wanted.parent:
            self._detach(known, "the link moved to another parent")
            known.parent = wanted.parent
            self._segment(wanted.parent)

    def _keep_policy(self, client: Client, release: bool) -> None:
        """Remember, also on disk, whether the lease is given back when the file gives it up."""
        client.release = release
        record = self._writer.records.get(client.link)
        if record is not None and record.release is not release:
            self._writer.amend(client.link, replace(record, release=release))

    def _start(self, client: Client, delay_s: float) -> None:
        if client.parent in self._down:
            self._executor.step(client, fsm.stop(client.state, f"no carrier on {client.parent}"))
            return
        now = self._clock.boottime()
        self._executor.step(client, fsm.start(client.state, now, self._rng, held=client.held, delay_s=delay_s))

    def _detach(self, client: Client, why: str) -> None:
        """Take the client off its segment: nothing is sent or received for it any more."""
        segment = self._segments.get(client.parent)
        if segment is not None and segment.clients.get(client.mac) is client:
            del segment.clients[client.mac]
        client.ready = False
        self._executor.step(client, fsm.stop(client.state, why))

    def _lose_lease(self, client: Client) -> None:
        had = client.state.lease is not None
        client.state = State(client.link, probe=client.state.probe)
        client.held = 0
        self._executor.settle(client)
        if had:
            self._writer.withdraw(client.link)

    def _forget(self, client: Client) -> None:
        self._detach(client, "not wanted")
        client.state = State(client.link)
        self._executor.settle(client)
        del self._clients[client.link]

    def _segment(self, parent: str) -> Segment:
        segment = self._segments.get(parent)
        if segment is None:
            segment = self._segments[parent] = Segment(parent, self._executor, self._packets, self.counters, self._log)
        return segment

    def _close_unused(self) -> None:
        used = {client.parent for client in self._clients.values()}
        for parent in [parent for parent in self._segments if parent not in used]:
            self._segments.pop(parent).sockets.close()
        if not used:
            self._port_68.close()

    def _close_unused_guards(self) -> None:
        guards = self._executor.guards
        for parent in [one for one, guard in guards.items() if one not in self._segments and not guard.is_used]:
            guards.pop(parent).close()

    def _reason(self, client: Client) -> str:
        state, segment = client.state, self._segments[client.parent]
        if client.trouble or not client.ready:
            return client.trouble or state.error
        return client.unusable or state.error or segment.sockets.problem

    def _status(self, client: Client) -> LeaseStatus:
        state = client.state
        return LeaseStatus(
            link=client.link,
            parent=client.parent,
            mac=client.mac.hex(":"),
            state=state.phase.value,
            lease=state.lease,
            last_error=self.trouble(client.link, client.parent),
            attempts=state.attempt,
            next_at=state.retry_at,
            unanswered=not client.unusable and fsm.is_unanswered(state),
        )

    # ── time ──────────────────────────────────────────────────────────────────────────────────

    def _wake(self) -> None:
        try:
            self._attend(self._clock.boottime())
        finally:
            self._rearm()  # a bug in one client must not end the time of all

    def _attend(self, now: float) -> None:
        if now >= self._tick_at:
            self._tick(now)
        for segment in self._segments.values():
            if now >= segment.sockets.next_check():
                segment.sockets.check(now)
        self._executor.due(now)
        for segment in self._segments.values():
            self._executor.pump(segment, now)

    def _rearm(self) -> None:
        """Have the loop wake us when the next thing is due."""
        due = [self._tick_at, self._executor.timers.next_at()]
        self._timer.at(min(due + [segment.next_due() for segment in self._segments.values()]))

    def _tick(self, now: float) -> None:
        self._close_unused_guards()
        guards = self._executor.guards
        self._tick_at = now + TICK_S if self._clients or guards else FOREVER
        self._notice_sleep(now)
        for segment in self._segments.values():
            segment.sockets.check(now)
        for guard in guards.values():
            guard.check(now)
        if self._clients:
            self._port_68.hold()
        leases = ((link, client.state.lease) for link, client in self._clients.items())
        self._tell_without([link for link, lease in leases if lease is None or lease.no_router])

    def _notice_sleep(self, now: float) -> None:
        """After a sleep nothing is known about the network: confirm every lease."""
        slept_s = self._timer.slept_s(now)
        if slept_s <= JUMP_S:
            return
        self._log.say("dhcp.woke_up", slept_s=round(slept_s))
        for client in self._clients.values():
            if client.ready:
                self._start(client, self._rng.uniform(0, RESUME_SPREAD_S))

    def _close(self) -> None:
        self._timer.stop()
        for segment in self._segments.values():
            segment.sockets.close()
        for guard in self._executor.guards.values():
            guard.close()
        self._port_68.close()


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
