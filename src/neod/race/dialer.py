"""The race: connect from several sources to several upstreams, keep the first that is established, reset the rest.

No byte is sent here.
"""

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from neod.race import order
from neod.race.conduct import Conduct
from neod.race.loop import ERR, HUP, OUT, Loop, Timer
from neod.race.settings import RaceSettings
from neod.race.sockets import SHORTAGE, SockAddr, address_of, connecting, options, reset_on_close

SHORTAGE_PAUSE_S: Final = 0.1

MAX_WEIGHED: Final = 64
"""Candidates ranked for one race if there are more; the next race ranks others."""

SILENT_ATTEMPT_S: Final = 1.0
"""With ``max_attempts`` under way and none established for this long (TCP has sent its second SYN by then), the
oldest attempt is replaced by the next candidate."""

OpenSocket = Callable[[int, SockAddr | None, SockAddr, bool], socket.socket]
"""Returns a socket that is connecting; takes family, local and remote address, and whether to use MPTCP."""


class DialCandidate:
    """An address pair, its socket addresses, and its recent results."""

    __slots__ = ("family", "local", "pair", "remote", "score")

    def __init__(self, pair: order.AddressPair) -> None:
        self.pair = pair
        self.family, self.remote = address_of(pair.host, pair.port)
        self.local: SockAddr | None = address_of(pair.source, 0)[1] if pair.source else None
        self.score = order.Score()


class Winner(NamedTuple):
    """An established connection; nothing was read from it or written to it."""

    sock: socket.socket
    pair: order.AddressPair
    took_s: float  # of this attempt, from SYN to established
    losers: tuple[str, ...]  # "source → upstream: why"
    slower: int  # of these, those that did not fail
    mask: int  # epoll events of the socket so far


class DialError(NamedTuple):
    """Why there is no connection. A value, not an exception."""

    reason: str  # failed (every candidate) | timeout | no_candidates
    losers: tuple[str, ...]


class Dialer:
    """The candidates of one race and their scores; starts races between them."""

    def __init__(
        self,
        loop: Loop,
        settings: RaceSettings,
        opener_in: Callable[[str], OpenSocket] = lambda netns: connecting,
        note_failure: Callable[[order.AddressPair, str], None] = lambda pair, error: None,
    ) -> None:
        self.loop, self.note_failure = loop, note_failure
        self._opener_in = opener_in
        self.settings, self.options = settings, options(settings)
        self.open = opener_in(settings.netns)
        self.conduct = Conduct()
        self.candidates: list[DialCandidate] = []
        self._lanes: list[list[DialCandidate]] = []
        self.turn = 0
        self._waiting: dict[DialRace, None] = {}

    def apply(self, settings: RaceSettings) -> None:
        """Use other settings from now on."""
        self.settings, self.options = settings, options(settings)
        self.open = self._opener_in(settings.netns)

    def set_candidates(self, pairs: Iterable[order.AddressPair]) -> None:
        """Race between *pairs* from now on; those that stay keep their scores."""
        known = {candidate.pair: candidate for candidate in self.candidates}
        self.candidates = [known.get(pair) or DialCandidate(pair) for pair in dict.fromkeys(pairs)]
        self._lanes = order.by_upstream(self.candidates)
        self.conduct.forget_all_but(known.keys() & {candidate.pair for candidate in self.candidates})
        if self.candidates:
            waiting, self._waiting = self._waiting, {}
            for race in waiting:
                race.begin()

    def start(self, won: Callable[[Winner], None], lost: Callable[[DialError], None]) -> "DialRace":
        """Start a race; exactly one of *won* and *lost* is called, never before this returns."""
        race = DialRace(self, won, lost)
        if self.candidates:
            race.begin()
        else:
            self._waiting[race] = None
        return race

    def start_order(self) -> tuple[list[DialCandidate], int]:
        """Return the candidates of the next race in order, and how many of them start at once.

        Without those that took connections and did not answer, unless there are no others.
        """
        self.turn += 1
        settings, candidates, lanes = self.settings, self.candidates, self._lanes
        if self.conduct and (trusted := [c for c in candidates if not self.conduct.avoids(c.pair, self.loop.now_s)]):
            candidates, lanes = trusted, order.by_upstream(trusted)
        if len(candidates) == 1:
            return candidates[:], 1
        together = settings.max_attempts if settings.stagger_s == 0 else 1
        if together >= len(candidates):
            first = self.turn % len(candidates)
            return [*candidates[first:], *candidates[:first]], together
        if len(candidates) > MAX_WEIGHED:
            candidates = order.window(lanes, self.turn, MAX_WEIGHED)
        arranged = order.ranked_order(candidates, self.turn, self.loop.now_s)
        if order.explores(self.turn):
            arranged = order.with_explorer(arranged, together if settings.stagger_s else together - 1)
        return arranged, order.starters(arranged, self.turn, together) if settings.stagger_s else together

    def untried(self, tried: Iterable[DialCandidate]) -> list[DialCandidate]:
        known = set(map(id, tried))
        return [candidate for candidate in self.candidates if id(candidate) not in known]

    def remove_waiting(self, race: "DialRace") -> None:
        """Forget a race that waited for candidates."""
        self._waiting.pop(race, None)


class Attempt:
    """One socket that is connecting."""

    __slots__ = ("candidate", "race", "sock", "started_s")

    def __init__(self, race: "DialRace", candidate: DialCandidate, sock: socket.socket, started_s: float) -> None:
        self.race, self.candidate, self.sock, self.started_s = race, candidate, sock, started_s

    def on_event(self, mask: int) -> None:
        """Report the socket as established or failed."""
        if mask & (ERR | HUP):
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.race.on_failure(self, code or errno.ECONNRESET)
        elif mask & OUT:
            self.race.on_established(self, mask)


class DialRace:
    """One connection to make: attempts under way, and candidates not started yet."""

    __slots__ = (
        "_deadline", "_dialer", "_last_resort", "_losers", "_lost", "_next", "_ordered", "_queue", "_running", "_won",
    )  # fmt: skip

    def __init__(self, dialer: Dialer, won: Callable[[Winner], None], lost: Callable[[DialError], None]) -> None:
        self._dialer, self._won, self._lost = dialer, won, lost
        self._queue: deque[DialCandidate] = deque()
        self._ordered: list[DialCandidate] = []
        self._running: dict[Attempt, None] = {}  # oldest first
        self._losers: list[str] = []
        self._next: Timer | None = None
        self._last_resort: Timer | None = None  # when candidates that are not trusted take part
        self._deadline = dialer.loop.call_later(dialer.settings.timeout_s, self._on_timeout)

    def begin(self) -> None:
        """Start the first attempts."""
        arranged, together = self._dialer.start_order()
        self._ordered = arranged
        self._queue.extend(arranged)
        if self._dialer.conduct and len(arranged) < len(self._dialer.candidates):
            self._last_resort = self._dialer.loop.call_later(self._dialer.settings.timeout_s / 2, self._try_remaining)
        self._start(together)

    def cancel(self) -> None:
        """End the race without calling back."""
        self._end()
        self._dialer.remove_waiting(self)

    def on_established(self, attempt: Attempt, mask: int) -> None:
        """Win with *attempt* and reset all others."""
        dialer, loop = self._dialer, self._dialer.loop
        now_s = loop.boottime_s()
        took_s = now_s - attempt.started_s
        attempt.candidate.score = order.after_success(attempt.candidate.score, took_s, now_s)
        del self._running[attempt]
        for loser in self._running:
            waited_s = now_s - loser.started_s
            silent, score = waited_s >= SILENT_ATTEMPT_S, loser.candidate.score
            loser.candidate.score = (
                order.after_failure(score, now_s) if silent else order.after_losing(score, waited_s, now_s)
            )
            self._losers.append(f"{loser.candidate.pair}: slower than {waited_s * 1000:.1f} ms")
        slower = len(self._running)
        self._end()
        won = self._won
        dialer.remove_waiting(self)
        won(Winner(attempt.sock, attempt.candidate.pair, took_s, tuple(self._losers), slower, mask))

    def on_failure(self, attempt: Attempt, code: int) -> None:
        """Drop *attempt* and start the next candidate at once (RFC 8305, section 5)."""
        del self._running[attempt]
        self._dialer.loop.close_later(attempt.sock)
        self._record_failure(attempt.candidate, code)
        self._start(1)

    def _start(self, wanted: int) -> None:
        """Start up to *wanted* more attempts, limited by ``max_attempts`` and by the queue."""
        places = min(wanted, self._dialer.settings.max_attempts - len(self._running))
        while places > 0 and self._queue:
            places -= self._attempt(self._queue.popleft())
        if self._queue:
            self._schedule_next()
        elif not self._running:
            self._next = self._dialer.loop.call_later(0.0, self._try_remaining)

    def _attempt(self, candidate: DialCandidate) -> int:
        """Start one; return how many places it took: 0 if it failed at once, very many if nothing can start now."""
        dialer = self._dialer
        started_s = dialer.loop.boottime_s()
        try:
            sock = dialer.open(candidate.family, candidate.local, candidate.remote, dialer.settings.mptcp)
            attempt = Attempt(self, candidate, sock, started_s)
            dialer.loop.watch(sock.fileno(), attempt.on_event)
        except OSError as error:
            if error.errno in SHORTAGE:
                self._queue.append(candidate)
                return 1 << 16
            self._record_failure(candidate, error.errno or errno.EIO)
            return 0
        self._running[attempt] = None
        return 1

    def _schedule_next(self) -> None:
        """Set the timer for the next candidate."""
        if self._next is not None:
            self._next.cancel()
        settings, loop = self._dialer.settings, self._dialer.loop
        if len(self._running) >= settings.max_attempts:
            self._next = loop.call_later(SILENT_ATTEMPT_S, self._replace_oldest)
        else:
            self._next = loop.call_later(settings.stagger_s or SHORTAGE_PAUSE_S, self._start_next)

    def _start_next(self) -> None:
        self._start(1 if self._dialer.settings.stagger_s else self._dialer.settings.max_attempts)

    def _replace_oldest(self) -> None:
        oldest = next(iter(self._running))
        if self._dialer.loop.now_s - oldest.started_s >= SILENT_ATTEMPT_S / 2:
            self.on_failure(oldest, errno.ETIMEDOUT)
        else:
            self._schedule_next()

    def _record_failure(self, candidate: DialCandidate, code: int) -> None:
        name = errno.errorcode.get(code, str(code))
        candidate.score = order.after_failure(candidate.score, self._dialer.loop.now_s)
        self._losers.append(f"{candidate.pair}: {os.strerror(code)}")
        self._dialer.note_failure(candidate.pair, name)

    def _on_timeout(self) -> None:
        for attempt in self._running:
            self._record_failure(attempt.candidate, errno.ETIMEDOUT)
        self._fail("timeout" if self._running or self._queue else "no_candidates")

    def _try_remaining(self) -> None:
        """All ordered candidates have failed, or are silent for too long: try those that were left out, if any."""
        tried, self._ordered = self._ordered, self._dialer.candidates
        self._queue.extend(self._dialer.untried(tried))
        if self._queue:
            self._start(self._dialer.settings.max_attempts)
        elif not self._running:
            self._fail("failed")

    def _fail(self, reason: str) -> None:
        self._end()
        self._dialer.remove_waiting(self)
        self._lost(DialError(reason, tuple(self._losers)))

    def _end(self) -> None:
        """Reset the attempts under way and cancel the timers."""
        for attempt in self._running:
            reset_on_close(attempt.sock)
            self._dialer.loop.close_later(attempt.sock)
        self._running.clear()
        self._queue.clear()
        for timer in (self._deadline, self._next, self._last_resort):
            if timer is not None:
                timer.cancel()
