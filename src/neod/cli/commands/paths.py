"""every MPTCP connection with its subflows; --watch for a live view"""

import json
import time
from argparse import ArgumentParser
from typing import Final

from neod.cli.command import REPLY_TIMEOUT_S, Command, Invocation
from neod.cli.duration import positive_s
from neod.cli.exits import FINE
from neod.cli.render_paths import paths as view
from neod.cli.render_paths import rated
from neod.cli.text import page
from neod.control.client import ControlClient
from neod.control.verbs.paths import PathsReply, PathVerbs

SAMPLING_S: Final = 0.4
"""Between the two replies that a rate needs, without --watch."""

CURSOR_HOME_AND_ERASE: Final = "\x1b[H\x1b[J"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--watch", "-w", action="store_true", help="a live view, until interrupted")
    parser.add_argument(
        "--interval", metavar="T", type=positive_s, default=1.0, help="between the looks of --watch (default 1s)"
    )


def _paths(invocation: Invocation) -> int:
    """Show every MPTCP connection with its subflows: source, RTT, bytes, rate and state.

    With --json, the reply as it came; with --watch --json, one a line, until interrupted.
    """
    with invocation.client() as client:
        if invocation.args.watch:
            _watch(invocation, client)
        if invocation.args.json:
            invocation.show(client.ask(PathVerbs.paths, REPLY_TIMEOUT_S), view)
            return FINE
        before = _read(client)
        if before.connections:
            _pause(SAMPLING_S)
        invocation.out.write(page(view, rated(before, _read(client)), invocation.screen))
    return FINE


def _watch(invocation: Invocation, client: ControlClient) -> None:
    """Show the paths at every interval; on a terminal, in place of the last."""
    clear = CURSOR_HOME_AND_ERASE if invocation.out.isatty() else ""
    before: PathsReply | None = None
    while True:
        reply = client.ask(PathVerbs.paths, REPLY_TIMEOUT_S)
        if invocation.args.json:
            invocation.out.write(json.dumps(reply.raw) + "\n")
        else:
            now = reply.value
            invocation.out.write(clear + page(view, rated(before or now, now), invocation.screen))
            before = now
        invocation.out.flush()
        _pause(invocation.args.interval)


def _read(client: ControlClient) -> PathsReply:
    return client.ask(PathVerbs.paths, REPLY_TIMEOUT_S).value


def _pause(seconds: float) -> None:
    time.sleep(seconds)  # noqa: TID251  a client has no loop to block


COMMAND: Final = Command(_paths, _arguments, PathVerbs.paths)
