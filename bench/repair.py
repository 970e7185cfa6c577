"""Repair of one deleted link, rule, route or address, at two sizes."""

import random
import time
from collections.abc import Iterator

from tests.lab.campus import Campus

from bench.figures import Figure, figure, table
from bench.repairs import KINDS, Breaker

SIZES = (8, 1000)
SETTLE_S = 0.05


def measure(samples: int = 100, sizes: tuple[int, ...] = SIZES) -> dict[str, object]:
    """Measure every kind at every size, print the table, return the figures in ms."""
    results: dict[str, object] = {}
    rows = []
    for n in sizes:
        with Campus(n, bridge=False, quiet=True) as campus:
            campus.host.write_config(campus.file())
            _start(campus)
            for kind in KINDS:
                measured = list(_repairs_ms(campus, kind, samples))
                times, deletion = (figure(column) for column in zip(*measured, strict=True))
                results[f"{n} {kind}"] = times.plain() | {"deletion_ms": deletion.median}
                rows.append([str(n), kind, *_cells(times), f"{deletion.median:.1f}"])
            _stop(campus)
    head = ["N", "kind", "p50", "p99", "min", "max", "the deletion alone"]
    table(f"Repair of one deleted object, ms, {samples} deletions each", head, rows)
    return results


def _repairs_ms(campus: Campus, kind: str, samples: int) -> Iterator[tuple[float, float]]:
    """Yield the time of a repair, and that of the deletion in it.

    No object is broken twice by one daemon's reckoning:
    the third repair of one object within a minute is slowed down on purpose,
    so neod is started anew when every interface has had its turn.
    """
    order = list(campus.names())
    left: list[str] = []
    with Breaker(campus.host.ns) as breaker:
        for number in range(samples):
            if not left:
                if number:
                    _stop(campus)
                    _start(campus)
                left = random.Random(number).sample(order, len(order))
            time.sleep(SETTLE_S + random.Random(number).random() * SETTLE_S)
            repaired_s, deleted_s = breaker.repair_s(kind, left.pop())
            yield repaired_s * 1000, deleted_s * 1000
    _stop(campus)
    _start(campus)


def _start(campus: Campus) -> None:
    campus.host.start_neod()
    campus.host.ready(60)
    campus.wait_converged(60)


def _stop(campus: Campus) -> None:
    campus.host.stop()


def _cells(times: Figure) -> list[str]:
    return [f"{value:.1f}" for value in (times.median, times.percentile(99), min(times.values), max(times.values))]
