"""paths, forwards and namespaces, and every drift"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import verb_command
from neod.cli.exits import DIFFERS, of_status
from neod.cli.object_name import OBJECT, object_name
from neod.cli.render import status as view
from neod.control.verbs.status import StatusVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("object", nargs="?", metavar="OBJECT", type=object_name, help=OBJECT)


ABOUT: Final = "Show the paths, forwards and namespaces, and every drift with its reason and next attempt."

COMMAND: Final = verb_command(StatusVerbs.status, view, ABOUT, _arguments, of_status, (DIFFERS,))
