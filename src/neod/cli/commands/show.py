"""the desired or the observed resources"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import verb_command
from neod.cli.object_name import object_name
from neod.cli.render_facts import show as view
from neod.control.verbs.objects import ObjectVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("which", choices=("desired", "observed"), help="what the file asks for, or what the kernel has")
    kinds = "link, address, route, rule, sysctl, … (default: all)"
    parser.add_argument("kind", nargs="?", metavar="KIND", type=object_name, help=kinds)


COMMAND: Final = verb_command(ObjectVerbs.show, view, "Show the resources of one kind, or all.", _arguments)
