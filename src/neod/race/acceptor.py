"""The listening socket of one race: accepts in batches, enforces limits and time-outs.

``connection`` is what happens to an accepted connection, ``dialer`` decides who wins.
"""

import socket
from dataclasses import astuple
from typing import Final, Protocol

from neod.race.byte_flow import SharedBuffers
from neod.race.conduct import AT_ONCE_S, Ending, verdict
from neod.race.connection import ProxiedConnection
from neod.race.dialer import Dialer, DialError, Winner
from neod.race.limits import ConnectionLimits, DescriptorBudget
from neod.race.loop import IN, Timer
from neod.race.metrics import RaceGauges, RaceStats, count
from neod.race.order import AddressPair
from neod.race.settings import RaceSettings
from neod.race.sockets import (
    INITIAL_OPTIONS,
    SHORTAGE,
    bound_buffers,
    is_loopback,
    is_mptcp,
    reset_on_close,
    set_options,
)

BATCH: Final = 64
"""Accepted in one turn; so a SYN flood leaves time for open connections."""

PAUSE_S: Final = 0.1
"""How long nothing is accepted when descriptors or memory have run out."""

UNASKED: Final = frozenset({"client_silent", "client_gave_up"})

SWEEPS_PER_TIMEOUT: Final = 8  # of the shortest time-out: it is kept to within an eighth, and never too early
SHORTEST_SWEEP_S: Final = 0.05
LONGEST_SWEEP_S: Final = 15.0


class RaceObserver(Protocol):
    """Gets the result of each race."""

    def won(self, race: str, client: str, winner: Winner, mptcp: bool) -> None: ...
    def lost(self, race: str, client: str, error: DialError) -> None: ...
    def unasked(self, race: str, client: str, after_s: float) -> None: ...
    def unanswered(self, race: str, client: str, pair: AddressPair, why: str, after_s: float) -> None: ...


class Acceptor:
    """The listening socket of one race and its accepted connections, whose ``ConnectionOwner`` it is.

    Settings may change while connections are open: time-outs apply to them
    from then on. After :meth:`stop_listening` open connections go on.
    """

    def __init__(
        self,
        dialer: Dialer,
        scratch: SharedBuffers,
        descriptors: DescriptorBudget,
        stats: RaceStats,
        observer: RaceObserver,
    ) -> None:
        self.loop, self.dialer, self.scratch, self.stats = dialer.loop, dialer, scratch, stats
        self.limits = ConnectionLimits(dialer.settings.max_connections, dialer.settings.max_connections_per_client)
        self.connections: set[ProxiedConnection] = set()
        self._descriptors, self._observer = descriptors, observer
        self._sock: socket.socket | None = None
        self._paused = False
        self._sweep = self._next_sweep()

    @property
    def settings(self) -> RaceSettings:
        return self.dialer.settings

    @property
    def address(self) -> tuple[str, int] | None:
        """The listening address, with the port that the kernel chose if it was 0; None: not listening."""
        return self._sock.getsockname()[:2] if self._sock is not None else None

    def listen_on(self, sock: socket.socket) -> None:
        """Accept from *sock*, and close the listening socket before it."""
        self.stop_listening()
        self._sock, self._paused = sock, False
        self.loop.watch(sock.fileno(), self._on_ready, IN)

    def apply(self, settings: RaceSettings) -> None:
        """Use other settings from now on."""
        self.dialer.apply(settings)
        self.limits.change(settings.max_connections, settings.max_connections_per_client)
        self._sweep.cancel()  # it may come too late for a time-out that has become shorter
        self._sweep = self._next_sweep()
        if self._sock is not None:
            set_options(self._sock, self.dialer.options)

    def stop_listening(self) -> None:
        if self._sock is not None:
            self.loop.forget(self._sock.fileno())
            self._sock.close()  # at once: the address may be wanted by the next
            self._sock = None

    def gauges(self) -> RaceGauges:
        joined = [c for c in self.connections if c.up is not None and c.down is not None]
        up = sum(c.up.moved for c in joined if c.up is not None)
        down = sum(c.down.moved for c in joined if c.down is not None)
        return RaceGauges(len(self.connections), len(self.dialer.candidates), up, down)

    def _on_ready(self, _: int) -> None:
        sock = self._sock
        for _ in range(BATCH):
            if sock is None or self.limits.full:
                self._pause_accepting()
                return
            try:
                client, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORTAGE:
                    count(self.stats.refused, "descriptors")
                    self._pause_accepting()
                    return
                continue  # accept(2): the error of a connection that ended in the queue
            self._admit(client, address[0].removeprefix("::ffff:"))
            if self._descriptors.scarce(client.fileno()):
                self._pause_accepting()
                return

    def _admit(self, client: socket.socket, host: str) -> None:
        client.setblocking(False)
        if self.settings.listen_mptcp:
            set_options(client, INITIAL_OPTIONS)  # one of plain TCP has inherited none
        if is_loopback(host) or host == self.settings.listen.host:
            bound_buffers(client)
        if not self.limits.admit(host):
            count(self.stats.refused, "per_client")
            reset_on_close(client)
            client.close()
            return
        self.stats.accepted += 1
        connection = ProxiedConnection(self, client, host)
        self.connections.add(connection)
        try:
            connection.open()
        except OSError:  # epoll has no memory left
            connection.abort("shortage")

    def _pause_accepting(self) -> None:
        """Leave connections in the kernel's queue for a while."""
        if self._sock is not None and not self._paused:
            self._paused = True
            self.loop.change(self._sock.fileno(), 0)
            self.loop.call_later(PAUSE_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self._sock is None or not self._paused:
            return
        if self.limits.full or self._descriptors.scarce_now():
            self.loop.call_later(PAUSE_S, self._resume_accepting)
            return
        self._paused = False
        self.loop.change(self._sock.fileno(), IN)

    def _enforce_timeouts(self) -> None:
        """Reset connections over a time-out; enable keepalive on those that have lasted a while."""
        now_s = self.loop.now_s
        for connection, how in [(c, how) for c in self.connections if (how := c.exceeded_timeout(now_s))]:
            connection.abort(how)
        self._enable_keepalive([c for c in self.connections if not c.keepalive])
        self._sweep = self._next_sweep()

    def _next_sweep(self) -> Timer:
        return self.loop.call_later(_sweep_interval_s(self.settings), self._enforce_timeouts)

    def _enable_keepalive(self, fresh: list[ProxiedConnection]) -> None:
        """Enable keepalive on a batch, and on the rest in later turns: each is seven system calls."""
        for connection in fresh[-BATCH:]:
            connection.enable_keepalive()
        del fresh[-BATCH:]
        if fresh:
            self.loop.call_soon(lambda: self._enable_keepalive(fresh))

    def on_won(self, connection: ProxiedConnection, winner: Winner) -> None:
        mptcp = self.settings.mptcp and is_mptcp(winner.sock)
        candidate = winner.pair
        count(self.stats.won, (candidate.upstream, candidate.source, "mptcp" if mptcp else "tcp"))
        self.stats.connect.observe(winner.took_s)
        self.stats.slower += winner.slower
        self._observer.won(self.settings.name, connection.host, winner, mptcp)

    def on_lost(self, connection: ProxiedConnection, error: DialError) -> None:
        count(self.stats.lost, error.reason)
        self._observer.lost(self.settings.name, connection.host, error)

    def on_answered(self, asked: int, after_s: float) -> None:
        self.dialer.conduct.heard(asked, after_s)

    def on_judged(self, connection: ProxiedConnection, pair: AddressPair, end: Ending) -> None:
        """Learn what the upstream of a connection made of it."""
        conduct = self.dialer.conduct
        why, weight = verdict(end, conduct.owes(end, self.settings.timeouts.first_byte_s))
        if why or (end.answered and conduct):
            conduct.note(pair, weight, end)
        if weight == 1.0 or (why and conduct.avoids(pair, end.ended_s)):
            count(self.stats.unanswered, (pair.upstream, pair.source, why))
            name, after_s = self.settings.name, end.ended_s - end.began_s
            self._observer.unanswered(name, connection.host, pair, why, after_s)

    def on_closed(self, connection: ProxiedConnection, how: str) -> None:
        """Count how a connection ended, and its bytes."""
        stats = self.stats
        after_s = self.loop.now_s - connection.since_s
        if not connection.dialed and how in UNASKED and after_s >= AT_ONCE_S and not (stats.won or stats.lost):
            self._observer.unasked(self.settings.name, connection.host, after_s)
        count(stats.closed, how)
        if connection.up is not None and connection.down is not None:
            stats.bytes_up += connection.up.moved
            stats.bytes_down += connection.down.moved
        self.connections.discard(connection)
        self.limits.leave(connection.host)


def _sweep_interval_s(settings: RaceSettings) -> float:
    limits = [silence_s for silence_s in astuple(settings.timeouts) if silence_s > 0]
    return min(max(min(limits, default=LONGEST_SWEEP_S) / SWEEPS_PER_TIMEOUT, SHORTEST_SWEEP_S), LONGEST_SWEEP_S)
