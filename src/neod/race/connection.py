"""One accepted connection: its race, then two byte flows, and an end that is passed on as what it was.

A FIN is forwarded after all data before it; the connection ends when both directions have. A reset is forwarded as a
reset, after the data before it. A connection without a first byte of its upstream, or idle for too long, is reset.
"""

import errno
from dataclasses import dataclass
from socket import MSG_PEEK, SO_ERROR, SOL_SOCKET, socket
from typing import Final, Protocol

from neod.race.byte_flow import ByteFlow, FlowBroken, SharedBuffers
from neod.race.conduct import Ending
from neod.race.dialer import Dialer, DialError, DialRace, Winner
from neod.race.loop import DUPLEX, ERR, HUP, IN, OUT, RDHUP, Loop
from neod.race.order import AddressPair
from neod.race.settings import RaceSettings
from neod.race.sockets import INITIAL_OPTIONS, IPPROTO_MPTCP, reset_on_close, set_options, unacknowledged_bytes

GRACE_S: Final = 1.0
"""How long data received before a reset may take to reach a slow receiver; then the reset overtakes it."""

FIRST_POLL_S: Final = 0.002
LONGEST_POLL_S: Final = 0.05
"""How often to check whether the receiver has acknowledged everything: doubling from the first to the second."""

PLAIN_EVENTS: Final = IN | OUT
"""Events after which a short read means an empty socket; after all others, read until EAGAIN."""


UPLOAD_BYTES: Final = 1 << 16
"""As many bytes of a client begin the time for the first byte of the upstream anew: a long upload is answered at its
end, and what trickles is no upload."""

PATH_LOST: Final = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
"""Errors of a path that is down; everything else is a reset by the peer."""


class ConnectionOwner(Protocol):
    """What a connection needs of the acceptor, and reports to it."""

    loop: Loop
    scratch: SharedBuffers
    dialer: Dialer

    @property
    def settings(self) -> RaceSettings: ...
    def on_won(self, connection: "ProxiedConnection", winner: Winner) -> None: ...
    def on_lost(self, connection: "ProxiedConnection", error: DialError) -> None: ...
    def on_answered(self, asked: int, after_s: float) -> None: ...
    def on_judged(self, connection: "ProxiedConnection", pair: AddressPair, end: Ending) -> None: ...
    def on_closed(self, connection: "ProxiedConnection", how: str) -> None: ...


@dataclass(slots=True)
class Draining:
    """One side is closed: its data is still delivered, then the other side is reset."""

    flow: ByteFlow  # from the closed side to the other
    how: str
    until_s: float
    poll_s: float = FIRST_POLL_S


@dataclass(slots=True)
class Exchange:
    """Who said what to whom: by it the upstream is judged."""

    unjudged: AddressPair | None = None  # that won, until it is certain what it made of the connection
    asked: int = 0  # the client's bytes that the upstream has to answer
    asked_s: float = 0.0  # since when
    heard: bool = False  # a byte of the upstream
    first_fin: str = ""  # whose
    waited_s: float = 0.0  # without a byte, before it


class ProxiedConnection:
    """From accept to close. ``last_activity_s`` is when either side last sent or took data."""

    __slots__ = (
        "_draining", "_early_events", "_exchange", "_owner", "_race", "client", "closed", "dialed", "down", "host",
        "keepalive", "last_activity_s", "since_s", "up",
    )  # fmt: skip

    def __init__(self, owner: ConnectionOwner, client: socket, host: str) -> None:
        self._owner, self.client, self.host = owner, client, host
        self.up: ByteFlow | None = None  # client to upstream; with ``down``, once the race is won
        self.down: ByteFlow | None = None
        self.since_s = self.last_activity_s = owner.loop.now_s  # when accepted, then when joined
        self._exchange = Exchange()
        self.closed = self.dialed = False
        self.keepalive = False  # TCP keepalive and user time-out are set on the upstream socket
        self._race: DialRace | None = None
        self._draining: Draining | None = None
        self._early_events = 0  # epoll events of the client during the race

    def open(self) -> None:
        """Watch the client, and start the race unless it has to speak first."""
        self._owner.loop.watch(self.client.fileno(), self._on_client_while_dialing, DUPLEX)
        if self._owner.settings.dial == "accept":
            self._dial()

    def _dial(self) -> None:
        self.dialed = True
        self._race = self._owner.dialer.start(self._on_won, self._on_lost)

    def enable_keepalive(self) -> None:
        """Set keepalive and user time-out on the upstream socket.

        Not at the start: a connection that is over in a moment saves five system calls of 26 (profiled).
        """
        if self.up is not None and not self.keepalive and not self.closed:
            self.keepalive = True
            set_options(self.up.sink, self._owner.dialer.options)

    def exceeded_timeout(self, now_s: float) -> str:
        """Return the name of the exceeded time-out; empty: none, or the race is not decided."""
        timeouts, up, down = self._owner.settings.timeouts, self.up, self.down
        if self._draining is not None or self._race is not None:
            return ""
        if up is None or down is None:
            return "client_silent" if 0 < (timeouts.first_byte_s or timeouts.idle_s) < now_s - self.since_s else ""
        if not (down.moved or down.held) and self._unanswered(up, timeouts.first_byte_s, now_s):
            return "first_byte_timeout"
        return "idle_timeout" if 0 < timeouts.idle_s < now_s - self.last_activity_s else ""

    def _unanswered(self, up: ByteFlow, limit_s: float, now_s: float) -> bool:
        """Whether the upstream has been silent for too long: since it was joined, or asked."""
        exchange = self._exchange
        if up.moved - exchange.asked >= (UPLOAD_BYTES if exchange.asked else 1):
            exchange.asked, exchange.asked_s = up.moved, self.last_activity_s
        return 0 < limit_s < now_s - max(self.since_s, exchange.asked_s)

    def abort(self, how: str) -> None:
        """Reset both sides now."""
        reset_on_close(self.client)
        if self.up is not None:
            reset_on_close(self.up.sink)
        self._close(how)

    def _close(self, how: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._judge(how)
        loop = self._owner.loop
        loop.close_later(self.client)
        if self._race is not None:
            self._race.cancel()
            self._race = None
        if self.up is not None and self.down is not None:
            loop.close_later(self.up.sink)
            self.up.drop()
            self.down.drop()
        self._draining = None
        self._owner.on_closed(self, how)

    def _judge(self, how: str) -> None:
        """Tell what the upstream made of the connection, once."""
        up, down, exchange, pair = self.up, self.down, self._exchange, self._exchange.unjudged
        if up is None or down is None or pair is None:
            return
        exchange.unjudged = None
        asked, answered = (flow.moved + flow.held + flow.unsent for flow in (up, down))
        times = self.since_s, self._owner.loop.now_s, exchange.waited_s
        end = Ending(how, exchange.first_fin, asked, answered, *times)
        self._owner.on_judged(self, pair, end)

    def _on_client_while_dialing(self, mask: int) -> None:
        self._early_events |= mask
        if mask & (ERR | HUP):
            self.abort("client_gave_up")
        elif self._race is None and mask & ~OUT:
            self._dial_if_asked()

    def _dial_if_asked(self) -> None:
        """Start the race that waits for the first byte of the client, or end if none will come."""
        try:
            asked = self.client.recv(1, MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            self.abort("client_gave_up")
            return
        if asked:
            self._dial()
        else:
            self._close("client_gave_up")

    def _on_lost(self, error: DialError) -> None:
        self._race = None
        self._owner.on_lost(self, error)
        self.abort("no_upstream")

    def _on_won(self, winner: Winner) -> None:
        owner, client, upstream = self._owner, self.client, winner.sock
        self._race, self._exchange.unjudged = None, winner.pair
        set_options(upstream, INITIAL_OPTIONS)
        self.up = ByteFlow(client, upstream, owner.scratch, exact=client.proto == IPPROTO_MPTCP)
        self.down = ByteFlow(upstream, client, owner.scratch, exact=upstream.proto == IPPROTO_MPTCP)
        self.since_s = self.last_activity_s = owner.loop.now_s
        owner.loop.transfer(client.fileno(), self._on_client)
        owner.loop.transfer(upstream.fileno(), self._on_upstream)
        owner.on_won(self, winner)
        self.up.can_write()
        self._on_client(self._early_events)
        if not self.closed and self._draining is None:
            self._on_upstream(winner.mask)

    def _on_client(self, mask: int) -> None:
        assert self.up is not None and self.down is not None
        self._arrived(mask, self.up, self.down)

    def _on_upstream(self, mask: int) -> None:
        up, down = self.up, self.down
        assert up is not None and down is not None
        self._arrived(mask, down, up)
        if not self._exchange.heard and (down.moved or down.held):
            self._exchange.heard = True
            self._owner.on_answered(up.moved, self._owner.loop.now_s - self.since_s)

    def _arrived(self, mask: int, reads: ByteFlow, writes: ByteFlow) -> None:
        """Handle epoll events of the socket that *reads* reads from and *writes* writes to."""
        exchange, now_s = self._exchange, self._owner.loop.now_s
        if mask & RDHUP and not exchange.first_fin:
            exchange.first_fin = "client" if reads is self.up else "upstream"
            exchange.waited_s = now_s - self.last_activity_s
        self.last_activity_s = now_s
        again = False
        try:
            if mask & OUT:
                writes.can_write()
            if mask & ~OUT:
                reads.can_read()
                if mask & ~PLAIN_EVENTS:
                    reads.read_to_the_end(bool(mask & RDHUP))
                again = reads.pump()
            if mask & OUT and writes.held and writes.pump():
                again = True
        except FlowBroken as broken:
            self._on_broken(broken)
            return
        if mask & ERR:
            self._begin_drain(reads, reads.source.getsockopt(SOL_SOCKET, SO_ERROR))
        elif reads.done and writes.done:
            self._close("finished")
        elif again:
            self._owner.loop.call_soon(self._resume)
        elif reads.done and exchange.first_fin == "upstream":
            self._judge("finished")  # whatever the client does now

    def _resume(self) -> None:
        """Continue flows that used up their share of the last turn."""
        if self.closed or self._draining is not None or self.up is None or self.down is None:
            return
        try:
            again_up, again_down = self.up.pump(), self.down.pump()
        except FlowBroken as broken:
            self._on_broken(broken)
            return
        if self.up.done and self.down.done:
            self._close("finished")
        elif again_up or again_down:
            self._owner.loop.call_soon(self._resume)

    def _on_broken(self, broken: FlowBroken) -> None:
        assert self.up is not None and self.down is not None
        self._begin_drain(self.up if broken.sock is self.client else self.down, broken.error.errno or 0)

    def _begin_drain(self, flow: ByteFlow, code: int) -> None:
        """Deliver what the closed source of *flow* sent, then reset the other side."""
        loop = self._owner.loop
        back = self.down if flow is self.up else self.up
        assert back is not None
        back.drop()
        side = "client" if flow is self.up else "upstream"
        self._draining = Draining(flow, f"{side}_{'lost' if code in PATH_LOST else 'reset'}", loop.now_s + GRACE_S)
        flow.drain()
        loop.forget(flow.source.fileno())
        loop.transfer(flow.sink.fileno(), self._on_drain_event)
        self._drain_step()

    def _on_drain_event(self, mask: int) -> None:
        assert self._draining is not None
        if mask & (ERR | HUP):
            self.abort(self._draining.how)
        elif mask & OUT:
            self._draining.flow.can_write()
            self._deliver(self._draining)

    def _drain_step(self) -> None:
        """Deliver; reset when all is acknowledged or the time is up, else check again later."""
        draining, loop = self._draining, self._owner.loop
        if draining is None or self.closed:
            return
        delivered = self._deliver(draining) and not unacknowledged_bytes(draining.flow.sink)
        if self.closed:
            return
        if delivered or loop.now_s >= draining.until_s:
            self.abort(draining.how)
            return
        loop.call_later(draining.poll_s, self._drain_step)
        draining.poll_s = min(2 * draining.poll_s, LONGEST_POLL_S)

    def _deliver(self, draining: Draining) -> bool:
        """Move what can be moved of the closed side's data; True: nothing is left."""
        flow = draining.flow
        try:
            while flow.pump():
                pass
        except FlowBroken as broken:
            flow.stop_reading()
            if broken.sock is flow.sink:
                self.abort(draining.how)
        return not flow.held
