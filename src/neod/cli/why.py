"""``neodctl why``."""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Context
from neod.cli.exits import ASKS, FINE, NO_OBJECT
from neod.cli.render_facts import why as view
from neod.control.verbs.objects import WhyReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("object", metavar="OBJECT", help="a path (neo3) or an object (rule:…)")


def _why(context: Context) -> int:
    """Show why an object is as it is: the line of the file, the lease, the last actions on it."""
    context.show(context.ask(WhyReply, "Why", object=context.args.object), view)
    return FINE


COMMANDS: Final = {"why": Command(_why, _arguments, (*ASKS, NO_OBJECT))}
