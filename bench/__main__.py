"""``python -m bench [cold|repair|restart|idle|storm|all] [--json FILE]``, as root, from the root of the tree."""

import argparse
import compileall
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.lab import exit_on_sigterm, sweep

from bench import cold, idle, mptcp, race, repair, restart, storm
from bench.figures import machine

ROOT = Path(__file__).resolve().parent.parent


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--runs", type=int, default=5, help="measurements of each figure (default 5)")
    parser.add_argument("--samples", type=int, default=100, help="deletions of each kind (default 100)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the idle measurement (default 30)")
    parser.add_argument("--sizes", type=lambda s: tuple(map(int, s.split(","))), help="numbers of macvlans: 8,64")
    return parser.parse_args()


Part = Callable[[argparse.Namespace], dict[str, object]]
PARTS: dict[str, Part] = {
    "cold": lambda a: cold.measure(a.runs, a.sizes or cold.SIZES),
    "repair": lambda a: repair.measure(a.samples, a.sizes or repair.SIZES),
    "restart": lambda a: restart.measure(a.runs, (a.sizes or (restart.N,))[0]),
    "idle": lambda a: idle.measure(a.seconds, a.sizes or idle.SIZES),
    "mptcp": lambda a: mptcp.measure(min(a.runs, 3)),
    "storm": lambda a: storm.measure(a.runs),
    "race": lambda a: race.measure(a.runs),
}


def main() -> None:
    """Measure what was asked for."""
    arguments = _parse()
    if os.geteuid():
        sys.exit("bench makes network namespaces: run it as root: sudo make bench")
    exit_on_sigterm()
    sweep()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "src", quiet=2)
    results: dict[str, object] = {"machine": machine()}
    print("machine:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    for name in PARTS if arguments.what == "all" else [arguments.what]:
        results[name] = PARTS[name](arguments)
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
