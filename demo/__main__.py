"""``python -m demo``: the whole system in namespaces: what it gives, what goes wrong, and what neo makes of it."""

# ruff: noqa: TID251 (a demo may look at the clock)
import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

from demo import growth, opening, trouble
from demo.hold import hold
from demo.page import write_page
from demo.programs import Programs
from demo.sampler import Sampler
from demo.stage import PLACE, ROOT, Stage, end_all, need_tools, seclude
from demo.story import Story
from demo.world import World

OUT = ROOT / "demo/out"
SCENES: tuple[Callable[[Story], None], ...] = (
    opening.topology,
    opening.the_files,
    opening.converge,
    opening.programs,
    opening.one_and_many,
    trouble.sabotage,
    trouble.relay_dies,
    trouble.renumber,
    growth.grow,
)
LAST_SCENES = (growth.finish_download, growth.away)


def play(stage: Stage, holding: bool) -> None:
    """Play everything; leaving takes everything away."""
    with World(PLACE / "world") as world:
        story = Story(stage, world, Programs(PLACE / "world", world.hosts["campus"]))
        story.sampler = Sampler(("campus", "relay1", "relay2"))
        try:
            for scene in SCENES:
                scene(story)
            if holding:
                story.sampler.stop()
                hold(stage, world)
            for scene in LAST_SCENES:
                scene(story)
        finally:
            story.sampler.stop()
            story.programs.stop()
        tell(story)


def tell(story: Story) -> None:
    """End with the summary and the page."""
    story.stage.say("Summary")
    story.stage.output("\n".join(growth.summary(story)))
    page = write_page(story, OUT)
    print(f"\n  {story.stage.paint('1', str(page.relative_to(ROOT)))}: the same as a page, with pictures")
    print(f"  played in {time.monotonic() - story.began:.0f} s; load {os.getloadavg()[0]:.1f}\n", flush=True)


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


def unwind_on(*signals: signal.Signals) -> None:
    """Make these signals unwind the stack, so that everything is taken away."""
    told: list[str] = []

    def leave(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            told.append(signal.Signals(number).name)
        if frame is not None and frame.f_globals.get("__name__") in HOOKS:
            signal.setitimer(signal.ITIMER_REAL, 0.02)  # when it has left there
            return
        raise KeyboardInterrupt(told[-1])

    for each in (*signals, signal.SIGALRM):
        signal.signal(each, leave)


def main() -> int:
    """Play the demo and leave nothing behind, whatever happens; return the exit status."""
    options = arguments()
    need_tools()
    seclude([sys.executable, "-m", "demo", *sys.argv[1:]])
    unwind_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    stage = Stage(options.pace)
    try:
        status = run(stage, options.hold)
    finally:
        left = take_away(stage)
    return status or bool(left)


def run(stage: Stage, holding: bool) -> int:
    """Play, and return the exit status: what stops it is told in a line."""
    try:
        play(stage, holding)
    except KeyboardInterrupt as stop:
        print(f"\n  interrupted ({stop}): everything is taken away …", flush=True)
        return 128 + signal.Signals[str(stop) or "SIGINT"]
    except (TimeoutError, RuntimeError, OSError, subprocess.SubprocessError) as trouble_met:
        print(f"\nthe demo failed: {trouble_met}", file=sys.stderr, flush=True)
        return 1
    return 0


def take_away(stage: Stage) -> list[int]:
    """End whatever is left, undisturbed by further signals; return the processes that would not go."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(each, signal.SIG_IGN)
    left = end_all()
    if left:
        stage.bad(f"processes that would not end: {left}")
    else:
        stage.good("nothing is left: no process, no namespace, no file but the page")
    return left


if __name__ == "__main__":
    sys.exit(main())
