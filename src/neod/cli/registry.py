"""The commands of ``neodctl``: the modules of ``neod.cli.commands``, listed without being imported.

pathlib is left out: importing it takes 3 of the 48 ms of ``neodctl status``.
"""

import os
from importlib import import_module
from keyword import iskeyword

from neod.cli import commands
from neod.cli.command import Command


def names() -> tuple[str, ...]:
    """Return the names of all commands, sorted."""
    stems = (file.removesuffix(".py") for file in os.listdir(commands.__path__[0]) if file.endswith(".py"))  # noqa: PTH208
    return tuple(sorted(stem.rstrip("_") for stem in stems if stem != "__init__"))


def summary(name: str) -> str:
    """Return the line of a command in the list of commands: the first of its module."""
    with open(f"{commands.__path__[0]}/{_module(name)}.py", encoding="utf-8") as file:  # noqa: PTH123
        return file.readline().strip().strip('"')


def command_of(name: str) -> Command:
    command: Command = import_module(f"{commands.__name__}.{_module(name)}").COMMAND
    return command


def _module(name: str) -> str:
    return f"{name}_" if iskeyword(name) else name
