"""Multipath TCP on a throttled campus: rate by addresses, a choked path, repair, and what the path manager costs."""

import sys
import time
from pathlib import Path

from tests.lab.multipath import SERVER, Multipath
from tests.lab.netns import inside, ip, poll
from tests.lab.process import Program
from tests.lab.transfer import PLACE, Transfer

from bench import usage
from bench.figures import figure, now, table

CASES = ((1, "kernel"), (8, "kernel"), (24, "neod"), (64, "neod"))
NEEDED = {8: 0.95, 24: 0.9}
WARM_UP_S, MEASURED_S = 8.0, 24.0
"""The ramp is not measured: windows grow to what they need. Then long enough that what waits at the receiver for a
late path, some megabytes, is a small part."""

CHOKED_BACK_S = 3.0
CONNECTIONS = 100


def measure(runs: int = 3) -> dict[str, object]:
    """Measure all of it, print the tables, return the figures."""
    rates = _rates(runs)
    return {
        "rates": rates,
        "choked": _choked(runs),
        "repair": _repair(runs),
        "cost": {str(n): _cost(n, manager) for n, manager in ((8, "neod"), (24, "neod"))},
    }


def _prepared(lab: Multipath, manager: str) -> list[str]:
    addresses = lab.start(manager)
    lab.serve(manager)
    lab.tune()
    return addresses


def _rates(runs: int) -> dict[str, object]:
    found: dict[str, object] = {}
    rows: list[list[str]] = []
    one = 0.0
    for n, manager in CASES:
        with Multipath(n) as lab:
            addresses = _prepared(lab, manager)
            begun = usage.machine_s()
            values = figure([_rate(lab, addresses) for _ in range(runs)])
            idle = usage.idle_share(begun, usage.machine_s())
        one = one or values.median
        share = values.median / (n * one)
        verdict = "" if n not in NEEDED else "met" if share >= NEEDED[n] else "missed"
        found[str(n)] = {**values.plain(), "share": share, "manager": manager, "idle": idle}
        wanted = f"{NEEDED[n]:.2f}" if n in NEEDED else "-"
        rows.append([str(n), manager, values.show(1), f"{share:.3f}", wanted, verdict, f"{idle:.0%}"])
    table("One connection, Mbit/s", ["addresses", "manager", "rate", "of N x one", "needed", "", "machine idle"], rows)
    return found


def _rate(lab: Multipath, addresses: list[str]) -> float:
    with lab.transfer() as transfer:
        transfer.start(WARM_UP_S + MEASURED_S, addresses[0])
        transfer.result()
        return transfer.mbit_s(MEASURED_S)


def _choked(runs: int) -> dict[str, object]:
    """Throttle one of eight addresses to nothing in the middle; measure until the others carry all there is.

    The second over which the rate is taken is part of the figure.
    """
    found: dict[str, object] = {}
    rows = []
    for manager in ("kernel", "neod"):
        seen = figure([_choke_once(manager, 1 + turn % 7) for turn in range(runs)])
        found[manager] = seen.plain()
        rows.append([manager, f"{CHOKED_BACK_S}", seen.show(2)])
    table("A choked path: s until 7/8 of the rate, over 1 s", ["manager", "needed", "seen"], rows)
    return found


def _choke_once(manager: str, victim: int) -> float:
    """Measure one choke, in a lab of its own: a class that was throttled owes the time of what it let through."""
    with Multipath(8) as lab:
        addresses = _prepared(lab, manager)
        with lab.transfer() as transfer:
            transfer.start(60, addresses[0])
            time.sleep(WARM_UP_S + 4)
            before = transfer.mbit_s(4)
            lab.choke(addresses[victim])
            took = _back_after(transfer, before * 7 / 8)
            if not transfer.sending:
                raise RuntimeError(f"the application saw {transfer.result()}")
            return took


def _back_after(transfer: Transfer, rate: float) -> float:
    """Return the seconds until the rate over the last second is *rate* again, less what one sample may err."""
    begun = time.monotonic()
    poll(
        lambda: time.monotonic() - begun > 1.0 and transfer.mbit_s(1.0) >= 0.95 * rate, 50, 0.05, "the rate comes back"
    )
    return time.monotonic() - begun


def _repair(runs: int) -> dict[str, object]:
    """Measure the repair of what no event tells."""
    found: dict[str, object] = {}
    rows = []
    with Multipath(8) as lab:
        lab.start("kernel")
        endpoints, limits = _shown(lab, "endpoint"), _shown(lab, "limits")
        for words in ("endpoint flush", "limits set subflow 0 add_addr_accepted 0"):
            values = []
            for turn in range(max(runs, 5)):
                time.sleep(0.3 + 0.37 * turn % 1)
                if turn and turn % 2 == 0:  # a third repair within a minute is slowed down on purpose
                    lab.host.stop()
                    lab.host.start_neod()
                    lab.host.wait()
                begun = now()
                ip(lab.host.ns, "mptcp", *words.split())
                poll(lambda: (_shown(lab, "endpoint"), _shown(lab, "limits")) == (endpoints, limits), 20, 0.005)
                values.append(now() - begun)
            seen = figure(values)
            found[words] = seen.plain()
            rows.append([words, seen.show(2), "1.5"])
    table("Repair of what sends no event, s", ["broken", "seen", "needed"], rows)
    return found


def _shown(lab: Multipath, what: str) -> set[str]:
    lines = ip(lab.host.ns, "mptcp", what, "show").splitlines()
    return {line.split(" id ")[0] if what == "endpoint" else line for line in lines}


def _cost(n: int, manager: str) -> dict[str, object]:
    """Measure the CPU time of neod a connection, and how long many at once take to get all subflows."""
    with Multipath(n, rate_mbit=1000) as lab:
        addresses = _prepared(lab, manager)
        assert lab.host.neod is not None
        pid = lab.host.neod.pid
        base = [sys.executable, "-m", "tests.lab.transfer"]
        receiver = Program(lab.far.ns, [*base, "recv", SERVER, "5002"], lab.directory / "flood-recv.log", PLACE)
        poll(lambda: "listening" in receiver.printed(), 10)
        used, begun = usage.cpu_s(pid), now()
        command = [*base, "flood", SERVER, "5002", str(CONNECTIONS), addresses[0]]
        sender = Program(lab.host.ns, command, lab.directory / "flood.log", PLACE)
        wanted = CONNECTIONS * n
        poll(lambda: _subflows(lab) >= wanted, 120, 0.2, f"{wanted} subflows")
        elapsed, cpu = now() - begun, usage.cpu_s(pid) - used
        for program in (sender, receiver):
            program.kill()
    found = {"cpu_ms_a_connection": 1000 * cpu / CONNECTIONS, "connections_a_second": CONNECTIONS / elapsed}
    rows = [[str(n), f"{found['cpu_ms_a_connection']:.2f}", f"{found['connections_a_second']:.0f}"]]
    head = ["subflows", "CPU ms a connection", "connections/s with all subflows"]
    table(f"neod as the path manager, {CONNECTIONS} connections at once", head, rows)
    return dict(found)


def _subflows(lab: Multipath) -> int:
    """Count the established subflows, without asking the daemon whose time is measured."""
    with inside(lab.host.ns):
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[3] == "01" and line.split()[2].endswith(f":{5002:04X}"))
