"""``python -m demo``: the whole system in network namespaces: throughput, faults and their repair, scaling."""

# ruff: noqa: TID251 (a demo may look at the clock)
import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

from demo import baseline, faults, scaling
from demo.console import ROOT, RUN_DIR, Console, check_tools, isolate, kill_all
from demo.interactive import interact
from demo.network import DemoNetwork
from demo.page import write_page
from demo.programs import Programs
from demo.sampler import Sampler
from demo.scenario import Scenario

OUT = ROOT / "demo/out"
STEPS: tuple[Callable[[Scenario], None], ...] = (
    baseline.topology,
    baseline.show_files,
    baseline.converge,
    baseline.programs,
    baseline.compare_rates,
    faults.delete_objects,
    faults.relay_fails,
    faults.change_addresses,
    scaling.add_addresses,
)
LAST_STEPS = (scaling.finish_download, scaling.remove_everything)


def run_steps(console: Console, holding: bool) -> None:
    """Run all steps; leaving removes everything."""
    with DemoNetwork(RUN_DIR / "hosts") as network:
        scenario = Scenario(console, network, Programs(RUN_DIR / "hosts", network.hosts["campus"]))
        scenario.sampler = Sampler(("campus", "relay1", "relay2"))
        try:
            for step in STEPS:
                step(scenario)
            if holding:
                scenario.sampler.stop()
                interact(console, network)
            for step in LAST_STEPS:
                step(scenario)
        except Exception:
            print(scenario.programs.last_words(), file=sys.stderr, flush=True)  # the logs go with everything else
            raise
        finally:
            scenario.sampler.stop()
            scenario.programs.stop()
        print_report(scenario)


def print_report(scenario: Scenario) -> None:
    """Print the summary and write the page."""
    scenario.console.heading("Summary")
    scenario.console.output("\n".join(scaling.summary(scenario)))
    page = write_page(scenario, OUT)
    print(f"\n  {scenario.console.paint('1', str(page.relative_to(ROOT)))}: the same as a page, with pictures")
    print(f"  played in {time.monotonic() - scenario.began:.0f} s; load {os.getloadavg()[0]:.1f}\n", flush=True)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    pace = os.environ.get("PACE") or "1"
    parser.add_argument("--pace", type=float, default=float(pace), help="0: no pauses; 2: twice as slow ($PACE)")
    parser.add_argument(
        "--hold", action="store_true", default=os.environ.get("HOLD", "") not in ("", "0"), help="stay before the end"
    )
    return parser.parse_args()


HOOKS = ("logging", "threading", "random", "weakref")
"""Modules that have functions called by a fork, or by the collector: Python ignores what is raised in those."""


def raise_on(*signals: signal.Signals) -> None:
    """Make these signals raise KeyboardInterrupt, so that everything is removed."""
    received: list[str] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            received.append(signal.Signals(number).name)
        if frame is not None and frame.f_globals.get("__name__") in HOOKS:
            signal.setitimer(signal.ITIMER_REAL, 0.02)  # when it has left there
            return
        raise KeyboardInterrupt(received[-1])

    for each in (*signals, signal.SIGALRM):
        signal.signal(each, on_signal)


def main() -> int:
    """Run the demo and leave nothing behind, whatever happens; return the exit status."""
    options = arguments()
    check_tools()
    isolate([sys.executable, "-m", "demo", *sys.argv[1:]])
    raise_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    console = Console(options.pace)
    try:
        status = run(console, options.hold)
    finally:
        left = clean_up(console)
    return status or bool(left)


def run(console: Console, holding: bool) -> int:
    """Run the steps and return the exit status; an error is printed as one line."""
    try:
        run_steps(console, holding)
    except KeyboardInterrupt as stop:
        print(f"\n  interrupted ({stop}): everything is taken away …", flush=True)
        return 128 + signal.Signals[str(stop) or "SIGINT"]
    except (TimeoutError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def clean_up(console: Console) -> list[int]:
    """Kill what is left, ignoring further signals; return the processes that remain."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(each, signal.SIG_IGN)
    left = kill_all()
    if left:
        console.failed(f"processes that would not end: {left}")
    else:
        console.passed("nothing is left: no process, no namespace, no file but the page")
    return left


if __name__ == "__main__":
    sys.exit(main())
