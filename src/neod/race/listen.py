"""Where connections of one race come in: accepted in batches, limited, watched for silence.

Not for: what becomes of a connection (``connection``), and who wins (``dial``).
"""

import errno
import socket
from typing import Final, Protocol

from neod.race.connection import Connection
from neod.race.dial import Defeat, Dialer, Winner
from neod.race.limits import Descriptors, Limits
from neod.race.loop import IN
from neod.race.metrics import Gauges, Stats, count
from neod.race.settings import RaceSettings
from neod.race.sockets import speaks_mptcp, tune, will_reset
from neod.race.splice import Scratch

BATCH: Final = 64
"""Accepted in one turn; a flood of SYNs leaves the others theirs."""

PAUSE_S: Final = 0.1
"""How long nothing is accepted when descriptors or memory have run out."""

SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

SWEEPS: Final = 8  # for the shortest limit of silence: it is kept to within an eighth, and never too early
SHORTEST_SWEEP_S: Final = 0.05
LONGEST_SWEEP_S: Final = 15.0


class Listener(Protocol):
    """Who wants to know how races end."""

    def won(self, race: str, client: str, winner: Winner, mptcp: bool) -> None: ...
    def lost(self, race: str, client: str, defeat: Defeat) -> None: ...


class Entrance:
    """The listening socket of one race and the connections that came through it.

    Settings may change while connections are open: limits of time apply to
    them from then on. After :meth:`retire` nothing more comes in; what is open
    goes on.
    """

    def __init__(
        self, dialer: Dialer, scratch: Scratch, descriptors: Descriptors, stats: Stats, listener: Listener
    ) -> None:
        self.loop, self.dialer, self.scratch, self.stats = dialer.loop, dialer, scratch, stats
        self.limits = Limits(dialer.settings.max_connections, dialer.settings.max_connections_per_client)
        self.connections: set[Connection] = set()
        self._descriptors, self._listener = descriptors, listener
        self._sock: socket.socket | None = None
        self._paused = False
        self.loop.call_later(_sweep_every_s(self.settings), self._sweep)

    @property
    def settings(self) -> RaceSettings:
        """What the file says now."""
        return self.dialer.settings

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, with the port that the kernel chose if it was 0; None: nowhere."""
        return self._sock.getsockname()[:2] if self._sock is not None else None

    def listen_on(self, sock: socket.socket) -> None:
        """Accept from *sock*, and no longer from the one before."""
        self.retire()
        self._sock, self._paused = sock, False
        self.loop.watch(sock.fileno(), self._on_ready, IN)

    def apply(self, settings: RaceSettings) -> None:
        """Go by other settings from now on."""
        self.dialer.apply(settings)
        self.limits.most, self.limits.most_per_client = settings.max_connections, settings.max_connections_per_client
        if self._sock is not None:
            tune(self._sock, self.dialer.wishes)

    def retire(self) -> None:
        """Accept nothing more."""
        if self._sock is not None:
            self.loop.forget(self._sock.fileno())
            self._sock.close()  # at once: the address may be wanted by the next
            self._sock = None

    def gauges(self) -> Gauges:
        """Return what is open now."""
        joined = [c for c in self.connections if c.up is not None and c.down is not None]
        up = sum(c.up.moved for c in joined if c.up is not None)
        down = sum(c.down.moved for c in joined if c.down is not None)
        return Gauges(len(self.connections), len(self.dialer.entrants), up, down)

    # ── accepting ───────────────────────────────────────────────────────────────────────────────

    def _on_ready(self, _: int) -> None:
        sock = self._sock
        for _ in range(BATCH):
            if sock is None or self.limits.full:
                self._pause()
                return
            try:
                client, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORTAGE:
                    count(self.stats.refused, "descriptors")
                    self._pause()
                    return
                continue  # accept(2): errors of a connection that has died in the queue already
            self._admit(client, address[0])
            if self._descriptors.scarce(client.fileno()):
                self._pause()
                return

    def _admit(self, client: socket.socket, host: str) -> None:
        client.setblocking(False)
        if not self.limits.admit(host):
            count(self.stats.refused, "per_client")
            will_reset(client)
            client.close()
            return
        self.stats.accepted += 1
        connection = Connection(self, client, host)
        self.connections.add(connection)
        try:
            connection.open()
        except OSError:  # epoll has no memory left
            connection.abort("shortage")

    def _pause(self) -> None:
        """Look at the queue again in a while: who waits there waits in the kernel."""
        if self._sock is not None and not self._paused:
            self._paused = True
            self.loop.change(self._sock.fileno(), 0)
            self.loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self._sock is None or not self._paused:
            return
        if self.limits.full or self._descriptors.scarce_now():
            self.loop.call_later(PAUSE_S, self._go_on)
            return
        self._paused = False
        self.loop.change(self._sock.fileno(), IN)

    def _sweep(self) -> None:
        """Reset who has been silent for too long, and make ready to stay whoever is still there."""
        now_s = self.loop.now_s
        for connection, how in [(c, how) for c in self.connections if (how := c.overdue(now_s))]:
            connection.abort(how)
        self._endure([c for c in self.connections if not c.endures])
        self.loop.call_later(_sweep_every_s(self.settings), self._sweep)

    def _endure(self, fresh: list[Connection]) -> None:
        """Let a batch of connections endure, and the rest in later turns: each is seven system calls."""
        for connection in fresh[-BATCH:]:
            connection.endure()
        del fresh[-BATCH:]
        if fresh:
            self.loop.call_soon(lambda: self._endure(fresh))

    # ── what connections report ─────────────────────────────────────────────────────────────────

    def on_won(self, connection: Connection, winner: Winner) -> None:
        """Count and tell."""
        mptcp = self.settings.mptcp and speaks_mptcp(winner.sock)
        candidate = winner.candidate
        count(self.stats.won, (candidate.upstream, candidate.source, "mptcp" if mptcp else "tcp"))
        self.stats.connect.observe(winner.took_s)
        self._listener.won(self.settings.name, connection.host, winner, mptcp)

    def on_lost(self, connection: Connection, defeat: Defeat) -> None:
        """Count and tell."""
        count(self.stats.lost, defeat.reason)
        self._listener.lost(self.settings.name, connection.host, defeat)

    def on_closed(self, connection: Connection, how: str) -> None:
        """Settle the account of a connection."""
        stats = self.stats
        count(stats.closed, how)
        if connection.up is not None and connection.down is not None:
            stats.bytes_up += connection.up.moved
            stats.bytes_down += connection.down.moved
        self.connections.discard(connection)
        self.limits.leave(connection.host)


def _sweep_every_s(settings: RaceSettings) -> float:
    silences = settings.first_byte_timeout_s, settings.idle_timeout_s, settings.keepalive_s, settings.user_timeout_s
    limits = [s for s in silences if s > 0]
    return min(max(min(limits, default=LONGEST_SWEEP_S) / SWEEPS, SHORTEST_SWEEP_S), LONGEST_SWEEP_S)
