"""What a converged neod costs while nothing happens."""

import time

from tests.lab.campus import Campus

from bench import usage
from bench.figures import now, table

SIZES = (64, 1000)
SETTLE_S = 5.0


def measure(seconds: float, sizes: tuple[int, ...] = SIZES) -> dict[str, object]:
    """Measure CPU over some seconds and memory at their end."""
    results: dict[str, object] = {}
    rows = []
    for n in sizes:
        with Campus(n, bridge=False, quiet=True) as campus:
            campus.host.write_config(campus.file())
            pid = campus.host.start_neod().pid
            campus.host.ready(60)
            campus.wait_converged(60)
            time.sleep(SETTLE_S)
            used, started = usage.cpu_s(pid), now()
            time.sleep(seconds)
            percent = 100 * (usage.cpu_s(pid) - used) / (now() - started)
            found = {"cpu_percent": percent, "pss_mb": usage.pss_mb(pid), "peak_rss_mb": usage.peak_rss_mb(pid)}
            results[str(n)] = found
            rows.append([str(n), f"{percent:.3f}", f"{found['pss_mb']:.1f}", f"{found['peak_rss_mb']:.1f}"])
    table(f"Idle over {seconds:.0f} s", ["N", "% of a core", "PSS MB", "peak RSS MB"], rows)
    return results
