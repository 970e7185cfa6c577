"""the line of the file, the lease and the last actions on an object"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import verb_command
from neod.cli.object_name import OBJECT, object_name
from neod.cli.render_facts import why as view
from neod.control.verbs.objects import ObjectVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("object", metavar="OBJECT", type=object_name, help=OBJECT)


ABOUT: Final = "Show why an object is as it is: the line of the file, the lease, the last actions on it."

COMMAND: Final = verb_command(ObjectVerbs.why, view, ABOUT, _arguments)
