"""What a process and its children have used, read from /proc."""

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and its living descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """Return CPU seconds used so far by a process, its living descendants and its ended children."""
    return sum(_running_s(member) + _ended_s(member) for member in family(pid))


def _running_s(pid: int) -> float:
    """Nanosecond bookkeeping of the living threads."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9


def _ended_s(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[13]) + int(after_name[14])) / TICKS_PER_S


def peak_rss_mb(pid: int) -> float:
    """Return the largest resident set the process itself ever had."""
    return _field(Path(f"/proc/{pid}/status"), "VmHWM:")


def pss_mb(pid: int) -> float:
    """Return the proportional set size of a process and its living descendants, now."""
    return sum(_field(Path(f"/proc/{member}/smaps_rollup"), "Pss:") for member in family(pid))


def _field(path: Path, name: str) -> float:
    line = next(line for line in path.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def machine_s() -> tuple[float, float]:
    """Return the CPU seconds of the whole machine so far, and those in which it had nothing to do."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return sum(ticks) / TICKS_PER_S, (ticks[3] + ticks[4]) / TICKS_PER_S


def idle_share(begun: tuple[float, float], ended: tuple[float, float]) -> float:
    """Return the share of the time between two readings in which the machine had nothing to do."""
    return (ended[1] - begun[1]) / max(ended[0] - begun[0], 1e-9)
