"""Random orders of sending, ending, resetting and stalling, and what must come of them.

One seed is one session: two scripts, for client and server, run at the same
time. What each side sends is a function of the seed, so whoever receives it
can say which byte is wrong. The same script over a direct connection is the
reference for what TCP itself allows.

    python -m tests.lab.race.orders 10000
"""

import contextlib
import random
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.lab.netns import namespace
from tests.lab.race.racer import Racer, Server, dial, reset

HEADER = struct.Struct("!Q")
PATIENCE_S = 30.0
AT_ONCE = 24


@dataclass(frozen=True, slots=True)
class Script:
    """What one side does, in order; it reads all the time, but while it stalls."""

    steps: tuple[tuple[str, int], ...]  # send bytes | stall ms | fin | reset
    stuff: bytes  # everything it would send


@dataclass(slots=True)
class Outcome:
    """What one side saw."""

    received: bytearray = field(default_factory=bytearray)
    end: str = ""  # eof | reset | own reset | silent
    sent_all: bool = False


def scripts(seed: int) -> tuple[Script, Script]:
    """Return the scripts of client and server."""
    dice = random.Random(seed)
    return _script(dice, client=True, seed=seed), _script(dice, client=False, seed=seed)


def _script(dice: random.Random, client: bool, seed: int) -> Script:
    steps: list[tuple[str, int]] = []
    for _ in range(dice.randrange(5)):
        if dice.random() < 0.7:
            steps.append(("send", dice.choice((1, 3, 100, 1460, 16384, 16385, 70_000, 300_000))))
        else:
            steps.append(("stall", dice.choice((1, 5, 20))))
    end = dice.random()
    if end < 0.2:
        steps.append(("reset", 0))
    elif end < 0.3:
        steps += [("fin", 0), ("stall", dice.choice((0, 5))), ("reset", 0)]
    else:
        steps.append(("fin", 0))
    total = sum(amount for what, amount in steps if what == "send")
    stuff = random.Random(f"{seed}/{client}").randbytes(total)
    return Script(tuple(steps), HEADER.pack(seed) + stuff if client else stuff)


def perform(sock: socket.socket, script: Script, outcome: Outcome) -> None:
    """Run *script* on a connected socket, and note what comes."""
    sock.setblocking(False)
    todo = memoryview(script.stuff)
    steps = list(script.steps)
    if len(todo) > sum(amount for what, amount in steps if what == "send"):
        steps.insert(0, ("send", HEADER.size))
    deadline = time.monotonic() + PATIENCE_S
    try:
        for what, amount in steps:
            match what:
                case "send":
                    piece, todo = todo[:amount], todo[amount:]
                    _send(sock, piece, outcome, deadline)
                case "stall":
                    time.sleep(amount / 1000)
                case "fin":
                    sock.shutdown(socket.SHUT_WR)
                    outcome.sent_all = True
                case "reset":
                    outcome.end = "own reset"
                    reset(sock)
                    return
        while _read(sock, outcome):
            _wait(sock, select.POLLIN, deadline)
    except (ConnectionResetError, BrokenPipeError):
        _drain(sock, outcome)
        outcome.end = "reset"
    except OSError as error:  # shutdown after a reset
        outcome.end = "reset" if error.errno == 107 else f"{error!r}"
    except TimeoutError:
        outcome.end = "silent"


def _drain(sock: socket.socket, outcome: Outcome) -> None:
    """What came before a reset that was met while sending is still there."""
    with contextlib.suppress(OSError):
        while _read(sock, outcome):
            if not _ready(sock):
                return


def _ready(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def _send(sock: socket.socket, piece: memoryview, outcome: Outcome, deadline: float) -> None:
    while piece:
        _read(sock, outcome)
        try:
            piece = piece[sock.send(piece) :]
        except BlockingIOError:
            _wait(sock, select.POLLIN | select.POLLOUT if outcome.end != "eof" else select.POLLOUT, deadline)


def _read(sock: socket.socket, outcome: Outcome) -> bool:
    """Take what is there; False: nothing will come any more."""
    while outcome.end != "eof":
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return True
        outcome.received += data
        if not data:
            outcome.end = "eof"
    return False


def _wait(sock: socket.socket, events: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(sock, events)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def verdict(seed: int, client: Outcome, server: Outcome | None) -> list[str]:
    """Return what is not as it must be."""
    first, second = scripts(seed)
    if server is None:  # the reset came before the seed did
        return [] if ("reset", 0) in first.steps else ["the server never heard of it"]
    wrong = []
    sides = (("client", client, first, second, server), ("server", server, second, first, client))
    for name, saw, own, other, peer in sides:
        expected = other.stuff
        if not expected.startswith(bytes(saw.received)):
            wrong.append(f"{name} received bytes that were not sent, or twice, or in another order")
        if saw.end == "silent" or saw.end not in ("eof", "reset", "own reset"):
            wrong.append(f"{name} ended with {saw.end!r}")
        if saw.end == "eof" and len(saw.received) != len(expected):
            wrong.append(f"{name} saw the end after {len(saw.received)} of {len(expected)} bytes")
        if saw.end == "eof" and ("fin", 0) not in other.steps:
            wrong.append(f"{name} saw an end that the other side never made")
        if saw.end == "reset" and ("reset", 0) not in other.steps:
            wrong.append(f"{name} was reset by nobody")
        del own, peer
    return wrong


class Stage:
    """A server that plays its script for every session, and remembers what it saw."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._changed = threading.Condition()

    def serve(self, sock: socket.socket) -> None:
        """Learn the seed, and play."""
        head = b""
        while len(head) < HEADER.size:
            if not (more := sock.recv(HEADER.size - len(head))):
                return
            head += more
        (seed,) = HEADER.unpack(head)
        outcome = Outcome(bytearray(head))
        perform(sock, scripts(seed)[1], outcome)
        with self._changed:
            self.outcomes[seed] = outcome
            self._changed.notify_all()

    def outcome(self, seed: int, expected: bool) -> Outcome | None:
        """Return what the server saw of a session; waits for it, longer if it must come."""
        with self._changed:
            self._changed.wait_for(lambda: seed in self.outcomes, PATIENCE_S + 5 if expected else 1.0)
            return self.outcomes.get(seed)


def play(ns: str, address: tuple[str, int], stage: Stage, seed: int) -> tuple[list[str], str]:
    """Play one session and return what was wrong with it, and how it ended."""
    script = scripts(seed)[0]
    outcome = Outcome()
    with dial(ns, address) as sock:
        perform(sock, script, outcome)
    server = stage.outcome(seed, expected=("reset", 0) not in script.steps)
    problems = [f"seed {seed}: {line}" for line in verdict(seed, outcome, server)]
    return problems, f"{outcome.end}/{server.end if server else 'unheard'}"


def session_errors(ns: str, address: tuple[str, int], stage: Stage, seeds: range, ends: Counter[str]) -> Iterator[str]:
    """Play many sessions, some at a time, and yield what was wrong."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for problems, end in pool.map(lambda seed: play(ns, address, stage, seed), seeds):
            ends[end] += 1
            yield from problems


def main() -> int:
    """Play as many sessions as the command line says; print what was wrong and how they ended."""
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    mptcp = "mptcp" in sys.argv
    ends: Counter[str] = Counter()
    problems: list[str] = []
    stage = Stage()
    with namespace("orders") as ns, Server(ns, stage.serve, proto=262 if mptcp else 0) as server:
        keys = "mptcp = true\nlisten_mptcp = true\n" if mptcp else ""
        race = f'[races.o]\nlisten = "127.0.0.1:0"\nupstreams = ["{server.upstream}"]\n{keys}'
        with Racer(ns, race) as racer:
            address = server.address if "direct" in sys.argv else racer.address("o")
            for line in session_errors(ns, address, stage, range(sessions), ends):
                problems.append(line)
                print(line, flush=True)
            left = racer.total("neo_race_connections_open")
    print(f"{sessions} sessions, {len(problems)} wrong, {left:g} left open; ends: {dict(ends.most_common())}")
    return 1 if problems or left else 0


if __name__ == "__main__":
    sys.exit(main())
