"""One thread, one epoll: the turns in which everything of neo-race happens.

Watchers are edge-triggered unless they ask otherwise, so a connection costs
two ``epoll_ctl`` in its life, and back-pressure costs none.

Not for: anything that blocks.
"""

import heapq
import os
import select
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from socket import socket
from typing import Final

IN, OUT, ERR, HUP, RDHUP, PRI = (
    select.EPOLLIN,
    select.EPOLLOUT,
    select.EPOLLERR,
    select.EPOLLHUP,
    select.EPOLLRDHUP,
    select.EPOLLPRI,
)
DUPLEX: Final = IN | OUT | RDHUP | PRI | select.EPOLLET
"""Everything a stream can say, each once when it begins to be true."""

EVENTS_A_TURN: Final = 512
WEED_AT: Final = 4096
"""Timers, cancelled ones included, from which the heap is cleaned."""

BUGS: Final = 100
"""After so many exceptions that nobody expected, the process had better start anew."""

Watcher = Callable[[int], object]
"""Gets the epoll event mask."""


def boottime_s() -> float:
    """Return seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Timer:
    """A call that is due at ``due_s``, unless it is cancelled before."""

    __slots__ = ("call", "due_s")

    def __init__(self, due_s: float, call: Callable[[], object]) -> None:
        self.due_s = due_s
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Never call; what the call held on to is let go at once."""
        self.call = None


class Loop:
    """Calls whoever watches a file descriptor, and whoever waits for a time.

    ``now_s`` is CLOCK_BOOTTIME at the start of the turn: good enough for
    everything but measuring.
    """

    def __init__(
        self, boottime_s: Callable[[], float] = boottime_s, on_bug: Callable[[Exception], None] | None = None
    ) -> None:
        self.boottime_s, self._on_bug = boottime_s, on_bug
        self._bugs = 0
        self.now_s = boottime_s()
        self.turns = 0
        self._epoll = select.epoll()
        self._watchers: dict[int, Watcher] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._weed_at = WEED_AT
        self._serial = count()
        self._soon: list[Callable[[], object]] = []
        self._graves: list[socket] = []
        self._running = False
        self._posted: deque[Callable[[], object]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._bell, self._on_bell, IN)

    def watch(self, fd: int, watcher: Watcher, mask: int = DUPLEX) -> None:
        """Call *watcher* with what happens on *fd*.

        Raises:
            PermissionError: *fd* is of a kind that is always ready, a regular file.
        """
        self._epoll.register(fd, mask)
        self._watchers[fd] = watcher

    def transfer(self, fd: int, watcher: Watcher) -> None:
        """Call *watcher* from now on for *fd*, which is watched already; costs no system call."""
        self._watchers[fd] = watcher

    def change(self, fd: int, mask: int) -> None:
        """Look for other events on *fd*."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Watch *fd* no longer, and leave it open."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def add_reader(self, fd: int, call: Callable[[], object], /) -> None:
        """Call as long as *fd* is readable."""
        self.watch(fd, lambda _: call(), IN)

    def add_writer(self, fd: int, call: Callable[[], object], /) -> None:
        """Call as long as *fd* is writable; it must have no reader."""
        self.watch(fd, lambda _: call(), OUT)

    def remove_reader(self, fd: int, /) -> None:
        """Watch *fd* no longer."""
        self.forget(fd)

    remove_writer = remove_reader

    def close_later(self, sock: socket) -> None:
        """Watch *sock* no longer and close it when this turn ends.

        Not sooner: its number could be given to a new connection, and what
        epoll has already reported for the old would reach the new.
        """
        self._watchers.pop(sock.fileno(), None)
        self._graves.append(sock)

    def call_soon(self, call: Callable[[], object], /) -> None:
        """Call after the events of this turn, or else in the next turn, which then does not wait."""
        self._soon.append(call)

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        """Call in the next turn; the only method that another thread may use."""
        self._posted.append(call)
        os.eventfd_write(self._bell, 1)

    def call_later(self, delay_s: float, call: Callable[[], object], /) -> Timer:
        """Call after *delay_s*, counted from the start of this turn."""
        timer = Timer(self.now_s + delay_s, call)
        heapq.heappush(self._timers, (timer.due_s, next(self._serial), timer))
        return timer

    def stop(self) -> None:
        """Let :meth:`run` return at the end of this turn."""
        self._running = False

    def run(self) -> None:
        """Take turns until :meth:`stop`."""
        self._running = True
        while self._running:
            self.turn()

    def turn(self, longest_s: float | None = None) -> None:
        """Wait for something to happen, at most *longest_s*, and do all that is due."""
        events = self._epoll.poll(self._patience_s(longest_s), EVENTS_A_TURN)
        self.now_s = self.boottime_s()
        self.turns += 1
        watchers = self._watchers
        for fd, mask in events:
            watcher = watchers.get(fd)
            if watcher is not None:
                try:
                    watcher(mask)
                except Exception as error:
                    self._bug(error)
        if self._soon:
            calls, self._soon = self._soon, []
            for call in calls:
                self._do(call)
        if self._timers:
            self._ring()
        if self._graves:
            graves, self._graves = self._graves, []
            for sock in graves:
                sock.close()

    def _do(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self._bug(error)

    def _bug(self, error: Exception) -> None:
        """Report what nobody expected: it shall cost its own connection, not all of them."""
        self._bugs += 1
        if self._on_bug is None or self._bugs > BUGS:
            raise error
        self._on_bug(error)

    def close(self) -> None:
        """Close what was buried, and epoll itself."""
        for sock in self._graves:
            sock.close()
        self._epoll.close()
        os.close(self._bell)

    def _on_bell(self, _: int) -> None:
        os.eventfd_read(self._bell)
        while self._posted:
            self._do(self._posted.popleft())

    def _patience_s(self, longest_s: float | None) -> float | None:
        if self._soon:
            return 0.0
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return longest_s
        due_s = max(0.0, self._timers[0][0] - self.boottime_s())
        return due_s if longest_s is None else min(due_s, longest_s)

    def _ring(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_s:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                self._do(timer.call)
                timer.call = None
        if len(self._timers) > self._weed_at:
            self._weed()

    def _weed(self) -> None:
        """Drop cancelled timers, which are most of the heap: a race cancels nearly all of its own."""
        self._timers = [entry for entry in self._timers if entry[2].call is not None]
        heapq.heapify(self._timers)
        self._weed_at = max(WEED_AT, 2 * len(self._timers))
