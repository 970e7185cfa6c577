"""One accepted connection: its race, then two flows, and an end that both sides can tell apart.

A FIN is passed on when all before it is; the connection ends when both ways
are finished. A reset is passed on as a reset, after what came before it. Who
never says anything, or says nothing for too long, is reset.
"""

import errno
from dataclasses import dataclass
from socket import SO_ERROR, SOL_SOCKET, socket
from typing import Final, Protocol

from neod.race.dial import Defeat, Dialer, Race, Winner
from neod.race.loop import DUPLEX, ERR, HUP, IN, OUT, RDHUP, Loop
from neod.race.settings import RaceSettings
from neod.race.sockets import FROM_THE_START, IPPROTO_MPTCP, tune, unacknowledged_bytes, will_reset
from neod.race.splice import Broken, Flow, Scratch

GRACE_S: Final = 1.0
"""How long what was received before a reset may take to reach a slow receiver, before the reset overtakes it."""

FIRST_LOOK_S: Final = 0.002
LONGEST_LOOK_S: Final = 0.05
"""How often to look whether the receiver has confirmed everything: doubling from the first to the second."""

QUIET: Final = IN | OUT
"""Events after which a short read means an empty socket; all others mean "read to the end"."""


GONE: Final = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
"""The path died; everything else is a reset by the far end."""


class Owner(Protocol):
    """Whoever accepted the connection and hears of its fate."""

    loop: Loop
    scratch: Scratch
    dialer: Dialer

    @property
    def settings(self) -> RaceSettings: ...
    def on_won(self, connection: "Connection", winner: Winner) -> None: ...
    def on_lost(self, connection: "Connection", defeat: Defeat) -> None: ...
    def on_closed(self, connection: "Connection", how: str) -> None: ...


@dataclass(slots=True)
class Doom:
    """One side is gone: what is left is to deliver what it sent, then to reset the other."""

    flow: Flow  # from the dead side to the other
    how: str
    until_s: float
    look_s: float = FIRST_LOOK_S


class Connection:
    """From accept to close. ``touched_s`` is when a side last spoke or took something."""

    __slots__ = (
        "_doom",
        "_owner",
        "_race",
        "_seen",
        "client",
        "closed",
        "down",
        "endures",
        "host",
        "since_s",
        "touched_s",
        "up",
    )

    def __init__(self, owner: Owner, client: socket, host: str) -> None:
        self._owner, self.client, self.host = owner, client, host
        self.up: Flow | None = None  # client to upstream; with ``down``, once the race is won
        self.down: Flow | None = None
        self.since_s = self.touched_s = owner.loop.now_s  # accepted; then joined
        self.closed = False
        self.endures = False  # its upstream is asked whether it lives
        self._race: Race | None = None
        self._doom: Doom | None = None
        self._seen = 0  # what epoll said of the client while the race was on

    def open(self) -> None:
        """Watch the client and start the race."""
        self._owner.loop.watch(self.client.fileno(), self._on_client_early, DUPLEX)
        self._race = self._owner.dialer.race(self._on_won, self._on_lost)

    def endure(self) -> None:
        """Notice from now on when the upstream dies: this one is not over in a moment.

        A connection that is never asks for it: five system calls of 26 (profiled).
        """
        if self.up is not None and not self.endures and not self.closed:
            self.endures = True
            tune(self.up.sink, self._owner.dialer.wishes)

    def overdue(self, now_s: float) -> str:
        """Return which limit of silence is exceeded; empty: none, or the race is still on."""
        settings, up, down = self._owner.settings, self.up, self.down
        if up is None or down is None or self._doom is not None:
            return ""
        if 0 < settings.first_byte_timeout_s < now_s - self.since_s and not (up.moved or down.moved):
            return "first_byte_timeout"
        return "idle_timeout" if 0 < settings.idle_timeout_s < now_s - self.touched_s else ""

    def abort(self, how: str) -> None:
        """Reset both sides now."""
        will_reset(self.client)
        if self.up is not None:
            will_reset(self.up.sink)
        self._close(how)

    def _close(self, how: str) -> None:
        if self.closed:
            return
        self.closed = True
        loop = self._owner.loop
        loop.close_later(self.client)
        if self._race is not None:
            self._race.cancel()
            self._race = None
        if self.up is not None and self.down is not None:
            loop.close_later(self.up.sink)
            self.up.drop()
            self.down.drop()
        self._doom = None
        self._owner.on_closed(self, how)

    # ── the race ────────────────────────────────────────────────────────────────────────────────

    def _on_client_early(self, mask: int) -> None:
        self._seen |= mask
        if mask & (ERR | HUP):
            self.abort("client_gave_up")

    def _on_lost(self, defeat: Defeat) -> None:
        self._race = None
        self._owner.on_lost(self, defeat)
        self.abort("no_upstream")

    def _on_won(self, winner: Winner) -> None:
        owner, client, upstream = self._owner, self.client, winner.sock
        self._race = None
        tune(upstream, FROM_THE_START)
        self.up = Flow(client, upstream, owner.scratch, exact=client.proto == IPPROTO_MPTCP)
        self.down = Flow(upstream, client, owner.scratch, exact=upstream.proto == IPPROTO_MPTCP)
        self.since_s = owner.loop.now_s
        owner.loop.transfer(client.fileno(), self._on_client)
        owner.loop.transfer(upstream.fileno(), self._on_upstream)
        owner.on_won(self, winner)
        self.up.writable = True
        self._on_client(self._seen)
        if not self.closed and self._doom is None:
            self._on_upstream(winner.mask)

    # ── forwarding ──────────────────────────────────────────────────────────────────────────────

    def _on_client(self, mask: int) -> None:
        assert self.up is not None and self.down is not None
        self._arrived(mask, self.up, self.down)

    def _on_upstream(self, mask: int) -> None:
        assert self.up is not None and self.down is not None
        self._arrived(mask, self.down, self.up)

    def _arrived(self, mask: int, reads: Flow, writes: Flow) -> None:
        """Act on what epoll said of the socket that *reads* reads from and *writes* writes to."""
        self.touched_s = self._owner.loop.now_s
        again = False
        try:
            if mask & OUT:
                writes.writable = True
            if mask & ~OUT:
                reads.readable = True
                if mask & ~QUIET:
                    reads.exact = True
                    reads.closing = bool(mask & RDHUP)
                again = reads.pump()
            if mask & OUT and writes.held and writes.pump():
                again = True
        except Broken as broken:
            self._on_broken(broken)
            return
        if mask & ERR:
            self._condemn(reads, reads.source.getsockopt(SOL_SOCKET, SO_ERROR))
        elif reads.done and writes.done:
            self._close("finished")
        elif again:
            self._owner.loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Go on where the turn's share was used up."""
        if self.closed or self._doom is not None or self.up is None or self.down is None:
            return
        try:
            again_up, again_down = self.up.pump(), self.down.pump()
        except Broken as broken:
            self._on_broken(broken)
            return
        if self.up.done and self.down.done:
            self._close("finished")
        elif again_up or again_down:
            self._owner.loop.call_soon(self._resume)

    # ── a side is gone ──────────────────────────────────────────────────────────────────────────

    def _on_broken(self, broken: Broken) -> None:
        assert self.up is not None and self.down is not None
        self._condemn(self.up if broken.sock is self.client else self.down, broken.error.errno or 0)

    def _condemn(self, flow: Flow, code: int) -> None:
        """The source of *flow* is gone: deliver what it sent, then reset the other side."""
        loop = self._owner.loop
        back = self.down if flow is self.up else self.up
        assert back is not None
        back.drop()
        side = "client" if flow is self.up else "upstream"
        self._doom = Doom(flow, f"{side}_{'lost' if code in GONE else 'reset'}", loop.now_s + GRACE_S)
        flow.done = flow.exact = flow.readable = True  # done: no FIN, a reset will follow
        loop.forget(flow.source.fileno())
        loop.transfer(flow.sink.fileno(), self._on_survivor)
        self._work_off()

    def _on_survivor(self, mask: int) -> None:
        assert self._doom is not None
        if mask & (ERR | HUP):
            self.abort(self._doom.how)
        elif mask & OUT:
            self._doom.flow.writable = True
            self._deliver(self._doom)

    def _work_off(self) -> None:
        """Deliver; reset as soon as all is confirmed, or the time is up; else look again soon."""
        doom, loop = self._doom, self._owner.loop
        if doom is None or self.closed:
            return
        settled = self._deliver(doom) and not unacknowledged_bytes(doom.flow.sink)
        if self.closed:
            return
        if settled or loop.now_s >= doom.until_s:
            self.abort(doom.how)
            return
        loop.call_later(doom.look_s, self._work_off)
        doom.look_s = min(2 * doom.look_s, LONGEST_LOOK_S)

    def _deliver(self, doom: Doom) -> bool:
        """Move what can move of what the dead side sent; True: nothing is left of it."""
        flow = doom.flow
        try:
            while flow.pump():
                pass
        except Broken as broken:
            flow.readable = False
            if broken.sock is flow.sink:
                self.abort(doom.how)
        return not flow.held
