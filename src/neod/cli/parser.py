"""The command line of ``neodctl``: options before or after the command and its arguments, in any order.

Subparsers of argparse cannot do that: ``import ifupdown --json FILE`` would be one argument too many. So what stands
before the command is read first, and the rest by the parser of the command alone; the others stay unread.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from inspect import cleandoc
from typing import Final

from neod.cli.exits import USAGE, epilog
from neod.cli.registry import command_of, names, summary
from neod.cli.text import screen_of
from neod.observability.command_line import Parser, meant

RUNTIME_DIR: Final = "/run/neo"


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. Left alone, argparse imports shutil and three compressors to find out."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(screen_of(sys.stdout, os.environ).width, 100) - 2)


class CommandParser(Parser):
    """With the options of every command."""

    def __init__(self, prog: str, about: str, end: str) -> None:
        super().__init__(prog, description=about, epilog=end, allow_abbrev=False, formatter_class=_Help)
        keep = argparse.SUPPRESS  # what was given before the command
        self.add_argument("--json", action="store_true", default=keep, help="print the reply as JSON")
        about = f"of the daemon (default {RUNTIME_DIR})"
        self.add_argument("--runtime-dir", metavar="DIR", default=keep, help=about)
        self.add_argument("--version", action="store_true", default=keep, help="print the version")


def front() -> CommandParser:
    """Return the parser of what stands before the command, and of the command."""
    width = max(map(len, names()))
    listed = "\n".join(f"    {name:<{width}}  {summary(name)}" for name in names())
    made = CommandParser(
        "neodctl", "Ask and direct neod.", f"commands:\n{listed}\n\nneodctl COMMAND --help says more of one."
    )
    made.add_argument("command", metavar="COMMAND", nargs="?", help="one of those below")
    made.add_argument("rest", metavar="...", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    made.usage = "neodctl [-h] [--json] [--runtime-dir DIR] [--version] COMMAND ..."
    return made


def parser_of(name: str) -> CommandParser:
    """Return the parser of what follows the command *name*."""
    command = command_of(name)
    made = CommandParser(f"neodctl {name}", cleandoc(command.run.__doc__ or ""), epilog(command.exits))
    if command.arguments:
        command.arguments(made)
    return made


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Return what *given* says; ends the program where it says nothing."""
    before = argparse.Namespace(json=False, runtime_dir=RUNTIME_DIR, version=False)
    own, end, plain = _split(given)
    args = front().parse_args(own, before)
    if args.version:
        return args
    if args.command is None:
        front().print_help(sys.stderr)
        raise SystemExit(USAGE)
    if args.command not in names():
        front().error(f"{args.command}: no such command{meant(args.command, names())}")
    parser = parser_of(args.command)
    return parser.parse_args([*args.rest, end, *plain], args) if end else parser.parse_intermixed_args(args.rest, args)


def _split(given: Sequence[str]) -> tuple[Sequence[str], str, Sequence[str]]:
    """Return what stands before a ``--``, that, and what stands after it: no options there."""
    at = given.index("--") if "--" in given else len(given)
    return given[:at], "".join(given[at : at + 1]), given[at + 1 :]
