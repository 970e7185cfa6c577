"""wait until everything is converged"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import REPLY_TIMEOUT_S, Command, Invocation
from neod.cli.duration import duration_s
from neod.cli.exits import FINE
from neod.cli.render_facts import wait as view
from neod.control.verbs.mode import ModeVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--any", action="store_true", help="one path is enough")
    parser.add_argument("--timeout", metavar="TIME", type=duration_s, default=120.0, help="give up after (120s)")


def _wait(invocation: Invocation) -> int:
    """Wait until everything is converged. For neo-wait-online.service and scripts."""
    any_path, timeout_s = invocation.args.any, invocation.args.timeout
    invocation.show(
        invocation.ask_within(timeout_s + REPLY_TIMEOUT_S, ModeVerbs.wait, any=any_path, timeout_s=timeout_s), view
    )
    return FINE


COMMAND: Final = Command(_wait, _arguments, ModeVerbs.wait)
