"""errors and warnings of a file; needs no daemon"""

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FILE_INVALID, FINE
from neod.cli.text import Screen
from neod.control.codec import ControlReply, as_mapping
from neod.model.errors import ConfigError
from neod.model.words import count

DEFAULT_FILE: Final = "/etc/neo/neo.toml"


@dataclass(frozen=True, slots=True)
class ValidateReply:
    """What is wrong with a file."""

    file: str
    valid: bool
    problems: tuple[str, ...] = ()  # one line each
    warnings: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()  # the problems for people: below each the line of the file, and a line with a caret


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", default=DEFAULT_FILE, help=f"(default {DEFAULT_FILE})")


def _validate(invocation: Invocation) -> int:
    """Show every error and warning in the file, with line, column and what would be right. Needs no daemon."""
    from neod.config.host import thorough_warnings
    from neod.config.load import load  # pydantic: only those who validate pay for it

    file = invocation.args.file
    try:
        intents = load(Path(file), os.environ)
        reply = ValidateReply(file, True, warnings=(*intents.warnings, *thorough_warnings(intents)))
    except ConfigError as exc:
        reply = ValidateReply(file, False, problems=exc.problems, lines=exc.lines)
    invocation.show(ControlReply(as_mapping(reply), reply), _view)
    return FINE if reply.valid else FILE_INVALID


def _view(reply: ValidateReply, screen: Screen) -> Iterator[str]:
    for line in reply.lines:
        yield screen.paint(line, "" if line.startswith(" ") else "red")
    for warning in reply.warnings:
        yield f"warning: {warning}"
    if reply.valid:
        yield f"{reply.file} is valid" + (f", with {count(len(reply.warnings), 'warning')}." if reply.warnings else ".")
    else:
        yield f"{reply.file} is invalid: {count(len(reply.problems), 'error')}."


COMMAND: Final = Command(_validate, _arguments, also=(FILE_INVALID,))
