"""The second pass and the restart: what neod writes when there is nothing to do."""

import json
import time
from collections import Counter

from tests.lab.campus import Campus
from tests.lab.taps import Wire, Writes

from bench.figures import figure, now, table

N = 1000
LATE_S = 3.0


def measure(runs: int, n: int = N) -> dict[str, object]:
    """Measure one full pass and several restarts on a converged host."""
    with Campus(n, bridge=False, quiet=True) as campus:
        campus.host.write_config(campus.file())
        campus.host.start_neod()
        campus.host.ready(60)
        campus.wait_converged(60)
        time.sleep(LATE_S)
        second = _second_pass(campus)
        restarts = [_restart(campus, brutal=number % 2 == 1) for number in range(runs)]
    _print(n, second, restarts)
    return {f"{n} second pass": second, f"{n} restarts": restarts}


def _second_pass(campus: Campus) -> dict[str, object]:
    with Writes(campus.host.ns) as writes:
        started = now()
        answer = campus.host.ctl("apply", "--json")
        took_s = now() - started
        seen = writes.count()
    return {"exit": answer.status, "wall_s": took_s, "writes": dict(seen), "reply": _brief(answer.out)}


def _brief(out: str) -> object:
    """Keep of a reply what is short: the counters, not the lists."""
    try:
        reply = json.loads(out)
    except ValueError:
        return out[:200]
    return {key: value for key, value in reply.items() if not isinstance(value, list | dict)}


def _restart(campus: Campus, brutal: bool) -> dict[str, object]:
    before = campus.host.look()
    with Writes(campus.host.ns) as writes, Wire(campus.lan) as wire:
        if brutal:
            campus.host.kill9()
        else:
            campus.host.stop()
        started = now()
        campus.host.start_neod()
        ready_s = campus.host.ready(60) - started
        at_ready = writes.count()
        time.sleep(LATE_S)
        after, messages = writes.count(), wire.count()
    changed = before.difference(campus.host.look())
    return {
        "how": "kill -9" if brutal else "SIGTERM",
        "ready_s": ready_s,
        "writes_until_ready": dict(at_ready),
        "writes_after": dict(after),
        "dhcp": dict(messages),
        "changed": changed[:10],
    }


def _print(n: int, second: dict[str, object], restarts: list[dict[str, object]]) -> None:
    rows = [["second pass", "apply", f"{second['wall_s']:.2f}", str(_sum(second["writes"])), "–", "–", "–"]]
    for run in restarts:
        writes, later, dhcp = run["writes_until_ready"], run["writes_after"], run["dhcp"]
        assert isinstance(dhcp, dict)
        rows.append([
            "restart", str(run["how"]), f"{run['ready_s']:.2f}", str(_sum(writes)), str(_sum(later)),
            str(dhcp.get("DISCOVER", 0)), str(dhcp.get("REQUEST", 0)),
        ])  # fmt: skip
    head = ["what", "how", "s", "writes", f"writes in {LATE_S:.0f} s after", "DISCOVERs", "REQUESTs"]
    table(f"Nothing to do, N = {n} (restart: seconds until READY)", head, rows)
    times = figure(float(str(run["ready_s"])) for run in restarts)
    print(f"  restart until READY, s: {times.show(2)}")


def _sum(counted: object) -> int:
    assert isinstance(counted, dict)
    return sum(Counter(counted).values())
