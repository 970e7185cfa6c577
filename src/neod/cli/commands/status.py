"""paths, forwards and namespaces, and every drift"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import DIFFERS, FINE
from neod.cli.render import status as view
from neod.control.verbs.status import StatusVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("object", nargs="?", metavar="OBJECT", help="a path (neo3) or an object (rule:…)")


def _status(invocation: Invocation) -> int:
    """Show the paths, forwards and namespaces, and every drift with its reason and next attempt."""
    reply = invocation.ask(StatusVerbs.status, object=invocation.args.object)
    invocation.show(reply, view)
    return FINE if reply.value.converged and reply.value.file.state == "ok" else DIFFERS


COMMAND: Final = Command(_status, _arguments, StatusVerbs.status, (DIFFERS,))
