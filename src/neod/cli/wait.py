"""``neodctl wait``."""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import PATIENCE_S, Command, Context
from neod.cli.duration import duration_s
from neod.cli.exits import ASKS, FINE
from neod.cli.render_facts import wait as view
from neod.control.verbs.mode import WaitReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--any", action="store_true", help="one path is enough")
    parser.add_argument("--timeout", metavar="TIME", type=duration_s, default=120.0, help="give up after (120s)")


def _wait(context: Context) -> int:
    """Wait until everything is converged. For neo-wait-online.service and scripts."""
    timeout_s = context.args.timeout
    answer = context.ask(WaitReply, "Wait", timeout_s + PATIENCE_S, any=context.args.any, timeout_s=timeout_s)
    context.show(answer, view)
    return FINE


COMMANDS: Final = {"wait": Command(_wait, _arguments, ASKS)}
