"""the desired or the observed resources"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE
from neod.cli.render_facts import show as view
from neod.control.verbs.objects import ObjectVerbs


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("which", choices=("desired", "observed"), help="what the file asks for, or what the kernel has")
    parser.add_argument("kind", nargs="?", metavar="KIND", help="link, address, route, rule, sysctl, … (default: all)")


def _show(invocation: Invocation) -> int:
    """Show the resources of one kind, or all."""
    reply = invocation.ask(ObjectVerbs.show, which=invocation.args.which, kind=invocation.args.kind)
    invocation.show(reply, view)
    return FINE


COMMAND: Final = Command(_show, _arguments, ObjectVerbs.show)
