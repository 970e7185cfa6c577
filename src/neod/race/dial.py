"""The race: connect over several ways, keep the first that is established, reset the rest.

Not for: what the connection is used for. No byte is sent here.
"""

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from neod.race.loop import ERR, HUP, OUT, Loop, Timer
from neod.race.order import (
    Candidate,
    Score,
    arrange,
    by_upstream,
    connected,
    explores,
    failed,
    outrun,
    starters,
    window,
    with_explorer,
)
from neod.race.settings import RaceSettings
from neod.race.sockets import SockAddr, address_of, connecting, will_reset, wishes

LOCAL_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Says nothing of the candidate: it is tried again."""

SHORTAGE_PAUSE_S: Final = 0.1

WEIGHED: Final = 64
"""Candidates weighed for one race where there are more: the others have their turn in the next."""

MAKE_ROOM_S: Final = 1.0
"""When all places are taken and none has answered for this long, after which TCP sends its second SYN, the
oldest attempt gives way to a candidate that has not been tried."""

Opener = Callable[[int, SockAddr | None, SockAddr, bool], socket.socket]
"""Makes a socket that is connecting: family, local and remote address, whether MPTCP."""


class Entrant:
    """A candidate, what it takes to start it, and what became of it lately."""

    __slots__ = ("candidate", "family", "local", "remote", "score")

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.family, self.remote = address_of(candidate.host, candidate.port)
        self.local: SockAddr | None = address_of(candidate.source, 0)[1] if candidate.source else None
        self.score = Score()


class Winner(NamedTuple):
    """An established connection, its bytes untouched."""

    sock: socket.socket
    candidate: Candidate
    took_s: float  # of this attempt, from SYN to established
    losers: tuple[str, ...]  # "candidate: why"
    mask: int  # what epoll has said already


class Defeat(NamedTuple):
    """No connection."""

    reason: str  # failed: every candidate, at once or one by one | timeout | no_candidates
    losers: tuple[str, ...]


class Dialer:
    """The candidates of one race and their scores; starts races between them."""

    def __init__(
        self,
        loop: Loop,
        settings: RaceSettings,
        opener: Opener = connecting,
        note_failure: Callable[[Candidate, str], None] = lambda candidate, error: None,
    ) -> None:
        self.loop, self.open, self.note_failure = loop, opener, note_failure
        self.apply(settings)
        self.entrants: list[Entrant] = []
        self._lanes: list[list[Entrant]] = []
        self.turn = 0
        self._waiting: dict[Race, None] = {}

    def apply(self, settings: RaceSettings) -> None:
        """Go by other settings from now on."""
        self.settings, self.wishes = settings, wishes(settings)

    def enter(self, candidates: Iterable[Candidate]) -> None:
        """Race between *candidates* from now on; those that stay keep their scores."""
        known = {entrant.candidate: entrant for entrant in self.entrants}
        self.entrants = [known.get(candidate) or Entrant(candidate) for candidate in dict.fromkeys(candidates)]
        self._lanes = by_upstream(self.entrants)
        if self.entrants:
            waiting, self._waiting = self._waiting, {}
            for race in waiting:
                race.begin()

    def race(self, won: Callable[[Winner], None], lost: Callable[[Defeat], None]) -> "Race":
        """Start a race; exactly one of *won* and *lost* is called, but never before this returns."""
        race = Race(self, won, lost)
        if self.entrants:
            race.begin()
        else:
            self._waiting[race] = None
        return race

    def line_up(self) -> tuple[list[Entrant], int]:
        """Return who starts in which order in the next race, and how many of them at once."""
        self.turn += 1
        settings, entrants = self.settings, self.entrants
        if len(entrants) == 1:
            return entrants[:], 1
        together = settings.max_attempts if settings.stagger_s == 0 else 1
        if together >= len(entrants):
            first = self.turn % len(entrants)
            return [*entrants[first:], *entrants[:first]], together
        if len(entrants) > WEIGHED:
            entrants = window(self._lanes, self.turn, WEIGHED)
        arranged = arrange(entrants, self.turn, self.loop.now_s)
        if explores(self.turn):
            arranged = with_explorer(arranged, together if settings.stagger_s else together - 1)
        return arranged, starters(arranged, self.turn, together) if settings.stagger_s else together

    def others(self, tried: Iterable[Entrant]) -> list[Entrant]:
        """Return the entrants that are not among *tried*."""
        known = set(map(id, tried))
        return [entrant for entrant in self.entrants if id(entrant) not in known]

    def forget(self, race: "Race") -> None:
        """A race that waited for candidates is over."""
        self._waiting.pop(race, None)


class Attempt:
    """One connection on its way."""

    __slots__ = ("entrant", "race", "sock", "started_s")

    def __init__(self, race: "Race", entrant: Entrant, sock: socket.socket, started_s: float) -> None:
        self.race, self.entrant, self.sock, self.started_s = race, entrant, sock, started_s

    def on_event(self, mask: int) -> None:
        """Established, or refused."""
        if mask & (ERR | HUP):
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.race.on_failure(self, code or errno.ECONNRESET)
        elif mask & OUT:
            self.race.on_established(self, mask)


class Race:
    """One connection to be made: attempts under way, and those that have not started."""

    __slots__ = (
        "_cancelled",
        "_deadline",
        "_dialer",
        "_lined_up",
        "_losers",
        "_lost",
        "_next",
        "_queue",
        "_running",
        "_won",
    )

    def __init__(self, dialer: Dialer, won: Callable[[Winner], None], lost: Callable[[Defeat], None]) -> None:
        self._dialer, self._won, self._lost = dialer, won, lost
        self._queue: deque[Entrant] = deque()
        self._lined_up: list[Entrant] = []
        self._running: dict[Attempt, None] = {}  # oldest first
        self._losers: list[str] = []
        self._next: Timer | None = None
        self._deadline = dialer.loop.call_later(dialer.settings.timeout_s, self._time_out)

    def begin(self) -> None:
        """Start the first attempts."""
        arranged, together = self._dialer.line_up()
        self._lined_up = arranged
        self._queue.extend(arranged)
        self._start(together)

    def cancel(self) -> None:
        """Nobody wants the connection any more; neither callback is called."""
        self._end()
        self._dialer.forget(self)

    def on_established(self, attempt: Attempt, mask: int) -> None:
        """The first one wins."""
        dialer, loop = self._dialer, self._dialer.loop
        now_s = loop.boottime_s()
        took_s = now_s - attempt.started_s
        attempt.entrant.score = connected(attempt.entrant.score, took_s, now_s)
        del self._running[attempt]
        for loser in self._running:
            waited_s = now_s - loser.started_s
            judge = failed(loser.entrant.score, now_s) if waited_s >= MAKE_ROOM_S else None
            loser.entrant.score = judge or outrun(loser.entrant.score, waited_s, now_s)
            self._losers.append(f"{loser.entrant.candidate}: slower than {waited_s * 1000:.1f} ms")
        self._end()
        won = self._won
        dialer.forget(self)
        won(Winner(attempt.sock, attempt.entrant.candidate, took_s, tuple(self._losers), mask))

    def on_failure(self, attempt: Attempt, code: int) -> None:
        """One is out; the next in the queue takes its place at once (RFC 8305, 5)."""
        del self._running[attempt]
        self._dialer.loop.close_later(attempt.sock)
        self._out(attempt.entrant, code)
        self._start(1)

    def _start(self, wanted: int) -> None:
        """Start up to *wanted* attempts more, as far as there are places and candidates."""
        places = min(wanted, self._dialer.settings.max_attempts - len(self._running))
        while places > 0 and self._queue:
            places -= self._attempt(self._queue.popleft())
        if self._queue:
            self._schedule()
        elif not self._running:
            self._next = self._dialer.loop.call_later(0.0, self._last_hope)

    def _attempt(self, entrant: Entrant) -> int:
        """Start one; return how many places that took: 0 if it failed at once, many if nothing can start now."""
        dialer = self._dialer
        started_s = dialer.loop.boottime_s()
        try:
            sock = dialer.open(entrant.family, entrant.local, entrant.remote, dialer.settings.mptcp)
            attempt = Attempt(self, entrant, sock, started_s)
            dialer.loop.watch(sock.fileno(), attempt.on_event)
        except OSError as error:
            if error.errno in LOCAL_SHORTAGE:
                self._queue.append(entrant)
                return 1 << 16
            self._out(entrant, error.errno or errno.EIO)
            return 0
        self._running[attempt] = None
        return 1

    def _schedule(self) -> None:
        """Decide when the queue is looked at again."""
        if self._next is not None:
            self._next.cancel()
        settings, loop = self._dialer.settings, self._dialer.loop
        if len(self._running) >= settings.max_attempts:
            self._next = loop.call_later(MAKE_ROOM_S, self._make_room)
        else:
            self._next = loop.call_later(settings.stagger_s or SHORTAGE_PAUSE_S, self._step)

    def _step(self) -> None:
        self._start(1 if self._dialer.settings.stagger_s else self._dialer.settings.max_attempts)

    def _make_room(self) -> None:
        oldest = next(iter(self._running))
        if self._dialer.loop.now_s - oldest.started_s >= MAKE_ROOM_S / 2:
            self.on_failure(oldest, errno.ETIMEDOUT)
        else:
            self._schedule()

    def _out(self, entrant: Entrant, code: int) -> None:
        name = errno.errorcode.get(code, str(code))
        entrant.score = failed(entrant.score, self._dialer.loop.now_s)
        self._losers.append(f"{entrant.candidate}: {os.strerror(code)}")
        self._dialer.note_failure(entrant.candidate, name)

    def _time_out(self) -> None:
        for attempt in self._running:
            self._out(attempt.entrant, errno.ETIMEDOUT)
        self._defeat("timeout" if self._running or self._queue else "no_candidates")

    def _last_hope(self) -> None:
        """All that were lined up have failed: try those that were not, if there are any."""
        lined_up, self._lined_up = self._lined_up, self._dialer.entrants
        self._queue.extend(self._dialer.others(lined_up))
        if self._queue:
            self._start(self._dialer.settings.max_attempts)
        else:
            self._defeat("failed")

    def _defeat(self, reason: str) -> None:
        self._end()
        self._dialer.forget(self)
        self._lost(Defeat(reason, tuple(self._losers)))

    def _end(self) -> None:
        """Reset whoever is still on the way, and never ring again."""
        for attempt in self._running:
            will_reset(attempt.sock)
            self._dialer.loop.close_later(attempt.sock)
        self._running.clear()
        self._queue.clear()
        self._deadline.cancel()
        if self._next is not None:
            self._next.cancel()
