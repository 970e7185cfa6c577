"""Cold start to converged: process start, file, links, leases, addresses, rules, routes."""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.campus import Campus
from tests.lab.netns import argv_in, die_with_parent

from bench import usage
from bench.figures import figure, now, table
from bench.stopwatch import Stopwatch

SIZES = (8, 64, 250, 1000)
RAW_LIMIT = Path(__file__).with_name("rawlimit.py")


@dataclass(frozen=True, slots=True)
class Run:
    """One cold start."""

    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    pss_mb: float


def raw_limit(campus: Campus) -> Run:
    """Bring the campus to life with the least that can be done."""
    watch = Stopwatch(campus)
    argv = [sys.executable, "-I", "-S", str(RAW_LIMIT), campus.host.nic, str(campus.n), str(campus.table_base)]
    started = now()
    child = subprocess.Popen(argv_in(campus.host.ns, *argv), preexec_fn=die_with_parent)
    _pid, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"the raw limit ended with {child.returncode}")
    return Run(watch.stopped_at() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, 0.0)


def neod(campus: Campus) -> Run:
    """Bring the campus to life with neod."""
    campus.host.write_config(campus.file())
    watch = Stopwatch(campus)
    started = now()
    pid = campus.host.start_neod().pid
    try:
        wall_s = watch.stopped_at() - started
    except TimeoutError as late:
        raise TimeoutError(f"{late}\n{campus.host.tail()}") from None
    return Run(wall_s, usage.cpu_s(pid), usage.peak_rss_mb(pid), usage.pss_mb(pid))


STARTERS: dict[str, Callable[[Campus], Run]] = {"raw limit": raw_limit, "neod": neod}


def measure(runs: int, sizes: Sequence[int] = SIZES) -> dict[str, object]:
    """Measure both in turn, print the table, return the figures."""
    results: dict[str, object] = {}
    rows = []
    for n in sizes:
        found: dict[str, list[Run]] = defaultdict(list)
        for _ in range(runs):
            for name, start in STARTERS.items():
                with Campus(n, bridge=False, quiet=True) as campus:
                    found[name].append(start(campus))
        for name, measured in found.items():
            by_field = {field: figure(asdict(run)[field] for run in measured) for field in asdict(measured[0])}
            results[f"{n} {name}"] = {field: value.plain() for field, value in by_field.items()}
            base = figure(run.wall_s for run in found["raw limit"]).median
            rows.append([
                str(n), name, by_field["wall_s"].show(2), f"{by_field['wall_s'].median / base:.1f}×",
                by_field["cpu_s"].show(2), f"{by_field['peak_rss_mb'].median:.0f}", f"{by_field['pss_mb'].median:.0f}",
            ])  # fmt: skip
    head = ["N", "who", "wall s: median (min…max)", "to limit", "CPU s", "peak RSS MB", "PSS MB"]
    table(f"Cold start to converged, {runs} runs", head, rows)
    return results
