"""``neodctl status``."""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Context
from neod.cli.exits import ASKS, DIFFERS, FINE, NO_OBJECT
from neod.cli.render import status as view
from neod.control.verbs.status import StatusReply


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("object", nargs="?", metavar="OBJECT", help="a path (neo3) or an object (rule:…)")


def _status(context: Context) -> int:
    """Show the paths, forwards and namespaces, and every drift with its reason and next attempt."""
    answer = context.ask(StatusReply, "Status", object=context.args.object)
    context.show(answer, view)
    return FINE if answer.reply.converged and answer.reply.file.state == "ok" else DIFFERS


COMMANDS: Final = {"status": Command(_status, _arguments, (*ASKS, DIFFERS, NO_OBJECT))}
