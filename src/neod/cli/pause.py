"""``neodctl pause`` and ``neodctl resume``."""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Context
from neod.cli.duration import positive_s
from neod.cli.exits import FINE
from neod.cli.render_facts import mode as view
from neod.control.verbs.mode import ModeReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--for", dest="for_s", metavar="TIME", type=positive_s, help="resume by itself after (10min)")


def _pause(context: Context) -> int:
    """Let neod observe and report, and change nothing. Leases are still renewed."""
    context.show(context.ask(ModeReply, "Pause", for_s=context.args.for_s), view)
    return FINE


def _resume(context: Context) -> int:
    """Let neod change things again."""
    context.show(context.ask(ModeReply, "Resume"), view)
    return FINE


COMMANDS: Final = {"pause": Command(_pause, _arguments), "resume": Command(_resume)}
