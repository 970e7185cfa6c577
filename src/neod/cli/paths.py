"""``neodctl paths``."""

import json
import time
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import PATIENCE_S, Command, Context
from neod.cli.duration import positive_s
from neod.cli.exits import ASKS, FINE
from neod.cli.render_paths import paths as view
from neod.cli.render_paths import rated
from neod.cli.text import page
from neod.control.client import ControlClient
from neod.control.codec import decode
from neod.control.verbs.paths import PathsReply

GLANCE_S: Final = 0.4
"""Between the two looks that a rate needs, when the view is not a live one."""

HOME_AND_CLEAR: Final = "\x1b[H\x1b[J"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--watch", "-w", action="store_true", help="a live view, until interrupted")
    parser.add_argument(
        "--interval", metavar="T", type=positive_s, default=1.0, help="between the looks of --watch (default 1s)"
    )


def _paths(context: Context) -> int:
    """Show every MPTCP connection with its subflows: source, RTT, bytes, rate and state.

    With --json, the reply as it came; with --watch --json, one a line, for ever.
    """
    if context.args.json and not context.args.watch:
        context.show(context.ask(PathsReply, "Paths"), view)
        return FINE
    with context.client() as client:
        if context.args.watch:
            _watch(context, client)
        before = _look(client)
        if before.connections:
            _pause(GLANCE_S)
        context.out.write(page(view, rated(before, _look(client)), context.screen))
    return FINE


def _watch(context: Context, client: ControlClient) -> None:
    """Show a new picture at every interval, in place of the last one on a terminal."""
    clear = HOME_AND_CLEAR if context.out.isatty() else ""
    before: PathsReply | None = None
    while True:
        raw = client.call("Paths", PATIENCE_S)
        if context.args.json:
            context.out.write(json.dumps(raw) + "\n")
        else:
            now = decode(PathsReply, raw)
            context.out.write(clear + page(view, rated(before or now, now), context.screen))
            before = now
        context.out.flush()
        _pause(context.args.interval)


def _look(client: ControlClient) -> PathsReply:
    return decode(PathsReply, client.call("Paths", PATIENCE_S))


def _pause(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251  a client has no loop to block


COMMANDS: Final = {"paths": Command(_paths, _arguments, ASKS)}
