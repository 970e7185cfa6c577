"""observe and report, change nothing"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import verb_command
from neod.cli.duration import positive_s
from neod.cli.render_facts import mode as view
from neod.control.verbs.mode import ModeVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--for", dest="for_s", metavar="TIME", type=positive_s, help="resume by itself after (10min)")


ABOUT: Final = "Let neod observe and report, and change nothing. Leases are still renewed, and their addresses stay."

COMMAND: Final = verb_command(ModeVerbs.pause, view, ABOUT, _arguments)
