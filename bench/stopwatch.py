"""Stops when the kernel holds what the file asks for. A process of its own, started before the clock.

``python -m bench.stopwatch NS TIMEOUT_S`` reads the judge's wants as JSON on
standard input, says ``ready``, and prints the instant of convergence. The
instant is when the last address, rule or route arrived, if a full reading of
the kernel afterwards finds nothing missing; reading comes after, so that it
does not slow down what is timed.
"""

import json
import select
import subprocess
import sys
import time
from ipaddress import IPv4Address, IPv4Network

from tests.lab.campus import Campus
from tests.lab.judge import Judge, Wanted
from tests.lab.kernel import look_with
from tests.lab.rtnl import GROUP_ADDR4, GROUP_ROUTE4, GROUP_RULE4, NEWROUTE, NEWRULE, Rtnl

from bench.figures import now

QUIET_S = 0.05
COALESCE_S = 0.002


class Stopwatch:
    """The other side: the process that watches a campus."""

    def __init__(self, campus: Campus, timeout_s: float = 60.0) -> None:
        argv = [sys.executable, "-m", "bench.stopwatch", campus.host.ns, str(timeout_s)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        wanted = campus.judge().wanted
        self._say(json.dumps([wanted.names, wanted.parent, str(wanted.network), str(wanted.gateway),
                              [str(a) for a in wanted.pool], wanted.table_base]))  # fmt: skip
        if self._hear() != "ready":
            raise RuntimeError("the stopwatch did not start")

    def stopped_at(self) -> float:
        """Wait for convergence and return its instant on CLOCK_MONOTONIC_RAW."""
        answer = json.loads(self._hear() or '["the stopwatch died"]')
        self._process.wait(10)
        if isinstance(answer, list):
            raise TimeoutError("not converged:\n" + "\n".join(answer[:10]))
        return float(answer)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.close()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def watch(ns: str, judge: Judge, timeout_s: float) -> float | list[str]:
    """Return the instant of convergence, or what is missing at the end."""
    n = len(judge.wanted.names)
    seen, last, end = {NEWROUTE: 0, NEWRULE: 0}, now(), now() + timeout_s
    failed_at = 0.0
    with Rtnl(ns, (GROUP_ADDR4, GROUP_ROUTE4, GROUP_RULE4)) as events, Rtnl(ns) as reader:
        print("ready", flush=True)
        while True:
            if select.select([events.socket], [], [], QUIET_S)[0]:
                time.sleep(COALESCE_S)
                last = now()
                for kind, _port, _body in events.events():
                    seen[kind] = seen.get(kind, 0) + 1
                if seen[NEWROUTE] < 2 * n or seen[NEWRULE] < n:
                    continue
            if seen[NEWROUTE] < 2 * n and now() < end:
                continue
            asked_at = now()
            problems = judge.missing(look_with(reader))
            if not problems:
                return asked_at if failed_at > last else last
            failed_at = now()
            if failed_at > end:
                return problems


def main() -> None:
    """Watch one campus."""
    names, parent, network, gateway, pool, base = json.loads(sys.stdin.readline())
    first, last = (IPv4Address(address) for address in pool)
    wanted = Wanted(tuple(names), parent, IPv4Network(network), IPv4Address(gateway), (first, last), base)
    print(json.dumps(watch(sys.argv[1], Judge(wanted), float(sys.argv[2]))), flush=True)


if __name__ == "__main__":
    main()
