"""neo-race's promises at full length: ``python -m bench.race_trial``, as root. Exit status 1: one was broken.

Three ways to one server, each slowed, silenced and refused in turn while 200
connections a second come in; and ten thousand random orders of sending,
ending, resetting and stalling. The tests do the same for a shorter time.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import exit_on_sigterm, sweep
from tests.lab.netns import namespace, poll
from tests.lab.race.orders import Stage, session_errors
from tests.lab.race.racer import Racer, Server
from tests.lab.race.relays import RATE, WAYS, Lab, crowd, file, opened_over, relays, speaks, wins

from bench.figures import machine, table

KINDS = ("slow", "silent", "refused")
PHASE_S = 20.0
SESSIONS = 10_000


def troubles(phase_s: float) -> int:
    """Let each way be in each kind of trouble; return how many promises were broken."""
    rows, broken = [], 0
    with relays() as lab, Racer(lab.client, file()) as racer, ThreadPoolExecutor(64) as pool:
        kept = {way: opened_over(lab, racer, way) for way in WAYS}
        for way in WAYS:
            for kind in KINDS:
                row, wrong = _phase(lab, racer, pool, way, kind, phase_s)
                dead = [name for name, client in kept.items() if not speaks(client)]
                rows.append([f"{way} {kind}", *row, ", ".join(dead) or "none"])
                broken += wrong + len(dead)
        for client in kept.values():
            client.close()
        poll(lambda: racer.total("neo_race_connections_open") == 0, 20, why="all are closed")
        lost = racer.total("neo_race_lost_total")
    head = ["", "connections", "failed", *(f"won by {way}" for way in WAYS), "open ones that ended"]
    table(f"{RATE} connections a second, {phase_s:g} s of each trouble; races lost: {lost:g}", head, rows)
    return broken + int(lost)


def _phase(
    lab: Lab, racer: Racer, pool: ThreadPoolExecutor, way: str, kind: str, phase_s: float
) -> tuple[list[str], int]:
    with lab.trouble(way, kind):
        time.sleep(0.1)
        before = wins(racer)
        failed, count = crowd(lab.client, pool, phase_s)
        after = wins(racer)
    won = {name: int(after[name] - before[name]) for name in WAYS}
    return [str(count), str(len(failed)), *(str(won[name]) for name in WAYS)], len(failed) + won[way]


def orders(sessions: int, mptcp: bool) -> tuple[list[str], int]:
    """Play random orders; return a row of the table, and how many bytes or ends were wrong."""
    ends: Counter[str] = Counter()
    stage = Stage()
    keys = "mptcp = true\nlisten_mptcp = true\n" if mptcp else ""
    with namespace("orders") as ns, Server(ns, stage.serve, proto=262 if mptcp else 0) as server:
        race = f'[races.o]\nlisten = "127.0.0.1:0"\nupstreams = ["{server.upstream}"]\n{keys}'
        with Racer(ns, race) as racer:
            wrong = list(session_errors(ns, racer.address("o"), stage, range(sessions), ends))
            left = int(racer.total("neo_race_connections_open"))
    for line in wrong[:20]:
        print(line)
    kinds = ", ".join(f"{count} {end}" for end, count in ends.most_common(4))
    return ["mptcp" if mptcp else "tcp", str(sessions), str(len(wrong)), str(left), kinds], len(wrong) + left


def main() -> int:
    """Try all of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.race_trial", description=__doc__)
    parser.add_argument("--phase", type=float, default=PHASE_S, help="seconds of each trouble (default %(default)g)")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="random orders (default %(default)s)")
    arguments = parser.parse_args()
    if os.geteuid():
        sys.exit("bench makes network namespaces: run it as root")
    exit_on_sigterm()
    sweep()
    print("machine:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    broken = troubles(arguments.phase)
    rows = []
    for mptcp in (False, True):
        row, wrong = orders(arguments.sessions, mptcp)
        rows.append(row)
        broken += wrong
    table("Random orders", ["", "sessions", "wrong", "left open", "ends (client/server)"], rows)
    print("load at the end:", Path("/proc/loadavg").read_text().split()[0])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
