"""The event loop of neo-race: one thread, one epoll.

Not asyncio, by measurement: for the same job asyncio takes 2.4 times the CPU a connection, 1.8 times the latency and
5.9 times the memory of an idle connection (``python -m bench.race_loop``; figures in docs/race.md). Little of that is
its loop, which takes 1.5 times the CPU an event. Most is what asyncio needs for a connection: two transports and
protocols, a task for the race, a task and a future an attempt, and a copy of all data. Its ``add_reader`` and
``add_writer`` would avoid these, but are level-triggered: a socket that is writable but has nothing to send needs
``epoll_ctl`` each time that changes.

Here watchers are edge-triggered by default, so a connection costs two ``epoll_ctl`` in its life, and back-pressure
costs none. Methods that asyncio has as well have its names. Nothing that blocks may run on the loop.
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
"""All events of a stream, edge-triggered: each is reported once when it begins."""

EVENTS_PER_TURN: Final = 512
CLEAN_HEAP_AT: Final = 4096
"""Timers, including cancelled ones, at which cancelled ones are removed from the heap."""

MAX_BUGS: Final = 100
"""After so many unexpected exceptions the process ends, to be restarted."""

Watcher = Callable[[int], object]
"""Gets the epoll event mask."""


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Timer:
    """A call due at ``due_s`` unless cancelled."""

    __slots__ = ("call", "due_s")

    def __init__(self, due_s: float, call: Callable[[], object]) -> None:
        self.due_s = due_s
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Do not call; references held by the call are released at once."""
        self.call = None


class Loop:
    """Calls watchers of file descriptors, and timers.

    ``now_s`` is CLOCK_BOOTTIME at the start of the turn: precise enough for everything except measuring.
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
        self._clean_heap_at = CLEAN_HEAP_AT
        self._serial = count()
        self._soon: list[Callable[[], object]] = []
        self._closing: list[socket] = []
        self._running = False
        self._posted: deque[Callable[[], object]] = deque()
        self._wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._wakeup_fd, self._on_wakeup, IN)

    def watch(self, fd: int, watcher: Watcher, mask: int = DUPLEX) -> None:
        """Call *watcher* with the events of *fd*.

        Raises:
            PermissionError: *fd* is a regular file, which epoll does not support.
        """
        self._epoll.register(fd, mask)
        self._watchers[fd] = watcher

    def transfer(self, fd: int, watcher: Watcher) -> None:
        """Replace the watcher of *fd*, without a system call."""
        self._watchers[fd] = watcher

    def change(self, fd: int, mask: int) -> None:
        """Watch *fd* for other events."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Stop watching *fd*; it stays open."""
        if self._watchers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def add_reader(self, fd: int, call: Callable[[], object], /) -> None:
        self.watch(fd, lambda _: call(), IN)

    def add_writer(self, fd: int, call: Callable[[], object], /) -> None:
        """Call as long as *fd* is writable; it must have no reader."""
        self.watch(fd, lambda _: call(), OUT)

    def remove_reader(self, fd: int, /) -> None:
        """Stop watching *fd*."""
        self.forget(fd)

    remove_writer = remove_reader

    def close_later(self, sock: socket) -> None:
        """Stop watching *sock* and close it when this turn ends.

        Not sooner: its number could be reused by a new connection, which would
        get the events that epoll has already reported for the old one.
        """
        self._watchers.pop(sock.fileno(), None)
        self._closing.append(sock)

    def call_soon(self, call: Callable[[], object], /) -> None:
        """Call after the events of this turn, or else in the next turn, which then does not wait."""
        self._soon.append(call)

    def call_soon_threadsafe(self, call: Callable[[], object]) -> None:
        """Call in the next turn; the only method for other threads."""
        self._posted.append(call)
        os.eventfd_write(self._wakeup_fd, 1)

    def call_later(self, delay_s: float, call: Callable[[], object], /) -> Timer:
        """Call after *delay_s*, counted from the start of this turn."""
        timer = Timer(self.now_s + delay_s, call)
        heapq.heappush(self._timers, (timer.due_s, next(self._serial), timer))
        return timer

    def stop(self) -> None:
        """Make :meth:`run` return at the end of this turn."""
        self._running = False

    def run(self) -> None:
        """Run turns until :meth:`stop`."""
        self._running = True
        while self._running:
            self.turn()

    def turn(self, longest_s: float | None = None) -> None:
        """Wait for events, at most *longest_s*, and call all that is due."""
        events = self._epoll.poll(self._poll_timeout_s(longest_s), EVENTS_PER_TURN)
        self.now_s = self.boottime_s()
        self.turns += 1
        watchers = self._watchers
        for fd, mask in events:
            watcher = watchers.get(fd)
            if watcher is not None:
                try:
                    watcher(mask)
                except Exception as error:
                    self._report_bug(error)
        if self._soon:
            calls, self._soon = self._soon, []
            for call in calls:
                self._run_guarded(call)
        if self._timers:
            self._run_due_timers()
        if self._closing:
            closing, self._closing = self._closing, []
            for sock in closing:
                sock.close()

    def _run_guarded(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self._report_bug(error)

    def _report_bug(self, error: Exception) -> None:
        """Report an unexpected exception: it costs its own connection, not all of them."""
        self._bugs += 1
        if self._on_bug is None or self._bugs > MAX_BUGS:
            raise error
        self._on_bug(error)

    def close(self) -> None:
        """Close pending sockets and epoll itself."""
        for sock in self._closing:
            sock.close()
        self._epoll.close()
        os.close(self._wakeup_fd)

    def _on_wakeup(self, _: int) -> None:
        os.eventfd_read(self._wakeup_fd)
        while self._posted:
            self._run_guarded(self._posted.popleft())

    def _poll_timeout_s(self, longest_s: float | None) -> float | None:
        if self._soon:
            return 0.0
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return longest_s
        due_s = max(0.0, self._timers[0][0] - self.boottime_s())
        return due_s if longest_s is None else min(due_s, longest_s)

    def _run_due_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_s:
            timer = heapq.heappop(self._timers)[2]
            if timer.call is not None:
                self._run_guarded(timer.call)
                timer.call = None
        if len(self._timers) > self._clean_heap_at:
            self._drop_cancelled_timers()

    def _drop_cancelled_timers(self) -> None:
        """Remove cancelled timers, which are most of the heap: a race cancels nearly all of its own."""
        self._timers = [entry for entry in self._timers if entry[2].call is not None]
        heapq.heapify(self._timers)
        self._clean_heap_at = max(CLEAN_HEAP_AT, 2 * len(self._timers))
