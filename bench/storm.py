"""A storm of foreign routes, with one change of ours in the middle."""

import subprocess
import time
from ipaddress import IPv4Address

from tests.lab import rtnl
from tests.lab.campus import Campus
from tests.lab.kernel import Route, look_with, parse_route
from tests.lab.netns import argv_in
from tests.lab.rtnl import Rtnl

from bench import usage
from bench.figures import Figure, figure, now, table
from bench.repairs import default_route

N = 64
CHANGES = 200_000
FOREIGN_TABLE = 9999
IN_THE_MIDDLE = 0.4
PATIENCE_S = 30.0


def measure(runs: int, changes: int = CHANGES) -> dict[str, object]:
    """Let another program add and delete routes; time our repair and neod's CPU."""
    with Campus(N, bridge=False, quiet=True) as campus:
        campus.host.write_config(campus.file())
        campus.host.start_neod()
        campus.host.ready(60)
        campus.wait_converged(60)
        found = [_storm(campus, changes, f"neo{1 + number}") for number in range(runs)]
    by_field = {field: figure(run[field] for run in found) for field in found[0]}
    _print(changes, by_field)
    return {field: value.plain() for field, value in by_field.items()}


def _storm(campus: Campus, changes: int, victim: str) -> dict[str, float]:
    assert campus.host.neod is not None
    pid, ns = campus.host.neod.pid, campus.host.ns
    with Rtnl(ns) as reader:
        seen = look_with(reader)
    route = next(r for r in seen.owned().routes if r.link == victim and r.dst == "default")
    used, started = usage.cpu_s(pid), now()
    batch = subprocess.Popen(argv_in(ns, "ip", "-batch", "-"), stdin=subprocess.PIPE, text=True)
    assert batch.stdin is not None
    lines = _lines(campus, changes)
    middle = int(len(lines) * IN_THE_MIDDLE)
    batch.stdin.write("\n".join(lines[:middle]) + "\n")
    repair_s = _break_and_wait(campus, route)
    under_storm = batch.poll() is None
    batch.stdin.write("\n".join(lines[middle:]) + "\n")
    batch.stdin.close()
    batch.wait(120)
    storm_s = now() - started
    time.sleep(1.0)
    if not under_storm or batch.returncode:
        raise RuntimeError("the storm was over before ours was broken")
    return {"cpu_s": usage.cpu_s(pid) - used, "repair_ms": repair_s * 1000, "storm_s": storm_s}


def _lines(campus: Campus, changes: int) -> list[str]:
    first = int(IPv4Address("100.64.0.0"))
    lines = []
    for start in range(0, changes // 2, 1000):
        targets = [IPv4Address(first + number) for number in range(start, start + 1000)]
        lines += [f"route add {ip} dev {campus.host.nic} table {FOREIGN_TABLE} proto 42" for ip in targets]
        lines += [f"route del {ip} table {FOREIGN_TABLE}" for ip in targets]
    return lines


def _break_and_wait(campus: Campus, route: Route) -> float:
    """Delete one route of ours and poll its table until it is back; events would drown in the storm."""
    names = {link.index: link.name for link in campus.host.look().links}
    request = _table_request(route.table)
    with Rtnl(campus.host.ns) as reader:
        started = now()
        reader.request(rtnl.DELROUTE, 0, default_route(route))
        while now() - started < PATIENCE_S:
            if route in [parse_route(body, names) for _, body in reader.dump(rtnl.GETROUTE, request)]:
                return now() - started
    raise TimeoutError(f"{route} was not repaired")


def _table_request(table: int) -> bytes:
    """Ask the kernel for one table only."""
    return bytes([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) + rtnl.attr(15, table.to_bytes(4, "little"))


def _print(changes: int, by_field: dict[str, Figure]) -> None:
    rows = [[name, value.show(2)] for name, value in by_field.items()]
    table(f"{changes} foreign route changes, one route of ours deleted among them", ["what", "median (min…max)"], rows)
