"""``neo-race connect NAME``: one race, its winner joined to standard input and output (ssh's ``ProxyCommand``).

Two threads and blocking calls: there is one connection, and making standard
input non-blocking would make it so for whoever shares it.
"""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from neod.netlink.netns import NetnsEntry
from neod.observability.logs import Log
from neod.race.candidate_set import CandidateSet
from neod.race.dialer import Dialer, DialError, Winner
from neod.race.loop import Loop
from neod.race.runner import socket_opener
from neod.race.settings import RaceSettings
from neod.race.sockets import set_options
from neod.race.sources import AutoSources

CHUNK_BYTES: Final = 1 << 16
OK, FAILED, TIMED_OUT = 0, 1, 3


def connect(settings: RaceSettings, paths: tuple[str, ...], runtime_dir: str, log: Log) -> int:
    """Race, join, and return the exit status when both ways have ended."""
    outcome = dial(settings, paths, runtime_dir, log)
    if isinstance(outcome, DialError):
        print(f"{settings.name}: no connection: {', '.join(outcome.losers) or outcome.reason}", file=sys.stderr)
        return TIMED_OUT if outcome.reason == "timeout" else FAILED
    log.debug("race won", winner=str(outcome.pair), connect_ms=round(outcome.took_s * 1000, 2))
    return join(outcome.sock)


def dial(settings: RaceSettings, paths: tuple[str, ...], runtime_dir: str, log: Log) -> Winner | DialError:
    """Return how one race ended; the winner's socket is blocking."""
    loop = Loop()
    ended: list[Winner | DialError] = []
    dialer = Dialer(loop, settings, partial(socket_opener, NetnsEntry))
    update: Callable[[], None] = lambda: candidates.update()  # noqa: E731
    auto = AutoSources(loop, runtime_dir, paths, lambda _: update()) if settings.sources is None else None
    candidates = CandidateSet(dialer, log, lambda: auto.addresses if auto is not None else (), update)
    candidates.update()
    dialer.start(ended.append, ended.append)
    while not ended:
        loop.turn()
    if isinstance(ended[0], Winner):
        loop.forget(ended[0].sock.fileno())
        ended[0].sock.setblocking(True)
        set_options(ended[0].sock, dialer.options)
    loop.turn(0)
    return ended[0]


def join(sock: socket.socket, stdin: int = 0, stdout: int = 1) -> int:
    """Forward both ways until both have ended; a reset ends both at once."""
    broken: list[OSError] = []

    def send() -> None:
        try:
            move(stdin, sock.fileno())
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            broken.append(error)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    sender = threading.Thread(target=send, name="stdin", daemon=True)
    sender.start()
    try:
        move(sock.fileno(), stdout)
        if not broken:
            os.close(stdout)
            sender.join()
    except OSError as error:
        broken.append(error)
    if broken:
        print(f"connection lost: {broken[0].strerror or broken[0]}", file=sys.stderr)
    return FAILED if broken else OK


def move(source: int, sink: int) -> None:
    """Move bytes until the source ends.

    Not with ``splice``: the kernel holds a pipe's lock while it waits for room
    in the socket, and whoever shares the pipe would wait with it (seen on
    6.18: the other end hung in ``write``).
    """
    while data := os.read(source, CHUNK_BYTES):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(sink, rest) :]
