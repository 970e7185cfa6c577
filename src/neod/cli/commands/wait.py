"""wait until everything is converged"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import REPLY_TIMEOUT_S, verb_command
from neod.cli.duration import duration_s
from neod.cli.render_facts import wait as view
from neod.control.verbs.mode import ModeVerbs


def _arguments(parser: ArgumentParser) -> None:
    about = "give up after (120s)"
    parser.add_argument("--any", action="store_true", help="one path is enough")
    parser.add_argument("--timeout", dest="timeout_s", metavar="TIME", type=duration_s, default=120.0, help=about)


ABOUT: Final = "Wait until everything is converged. For neo-wait-online.service and scripts."

COMMAND: Final = verb_command(
    ModeVerbs.wait, view, ABOUT, _arguments, within_s=lambda args: args.timeout_s + REPLY_TIMEOUT_S
)
