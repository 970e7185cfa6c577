"""observe and report, change nothing"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.duration import positive_s
from neod.cli.exits import FINE
from neod.cli.render_facts import mode as view
from neod.control.verbs.mode import ModeVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--for", dest="for_s", metavar="TIME", type=positive_s, help="resume by itself after (10min)")


def _pause(invocation: Invocation) -> int:
    """Let neod observe and report, and change nothing. Leases are still renewed."""
    invocation.show(invocation.ask(ModeVerbs.pause, for_s=invocation.args.for_s), view)
    return FINE


COMMAND: Final = Command(_pause, _arguments, ModeVerbs.pause)
