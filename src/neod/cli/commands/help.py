"""what a command does, its options and exit statuses"""

from argparse import ArgumentParser
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FINE
from neod.cli.registry import names


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("of", nargs="?", metavar="COMMAND", choices=names(), help="(default: the list of all)")


def _help(invocation: Invocation) -> int:
    """Show what a command does, as its --help does."""
    from neod.cli.parser import front, parser_of

    name = invocation.args.of
    text = (parser_of(name) if name else front()).format_help()
    if invocation.args.json:
        invocation.print_json({"command": name or "", "text": text})
    else:
        invocation.out.write(text)
    return FINE


COMMAND: Final = Command(_help, _arguments)
