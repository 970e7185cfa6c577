"""the desired or the observed resources"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import verb_command
from neod.cli.render_facts import show as view
from neod.control.verbs.objects import ObjectVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("which", choices=("desired", "observed"), help="what the file asks for, or what the kernel has")
    parser.add_argument("kind", nargs="?", metavar="KIND", help="link, address, route, rule, sysctl, … (default: all)")


COMMAND: Final = verb_command(ObjectVerbs.show, view, "Show the resources of one kind, or all.", _arguments)
