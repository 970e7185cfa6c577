"""Figures: a median with its extremes, and tables of them."""

import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """Several measurements of one quantity."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle measurement."""
        return statistics.median(self.values)

    def percentile(self, percent: float) -> float:
        """Return the measurement that *percent* of all do not exceed (nearest rank)."""
        ordered = sorted(self.values)
        return ordered[max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1)]

    def show(self, digits: int) -> str:
        """Return ``median (min…max)``."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} ({low:.{digits}f}…{high:.{digits}f})"

    def plain(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "p99": self.percentile(99),
            "n": len(self.values),
        }


def figure(values: Iterable[float]) -> Figure:
    """Collect measurements."""
    return Figure(tuple(values))


def now() -> float:
    """Return seconds of CLOCK_MONOTONIC_RAW."""
    return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with columns as wide as they need to be."""
    body = [list(head), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in body) for i in range(len(head))]
    print(f"\n{title}")
    for number, row in enumerate(body):
        cells = [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]]
        print("  " + "  ".join(cells).rstrip())
        if not number:
            print("  " + "─" * (sum(widths) + 2 * len(widths) - 2))


def machine() -> dict[str, object]:
    """Return what the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "load": Path("/proc/loadavg").read_text().split()[0],
        "python": platform.python_version(),
    }
