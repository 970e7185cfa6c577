"""the neo.toml that replaces macvlans of an interfaces file"""

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neod.cli.command import Command, Invocation
from neod.cli.exits import FILE_INVALID, FINE
from neod.cli.text import Screen
from neod.control.codec import ControlReply, as_mapping

DEFAULT_FILE: Final = "/etc/network/interfaces"
HOOKS: Final = ("if-up.d", "if-post-down.d")


@dataclass(frozen=True, slots=True)
class ImportReply:
    """The file, and what it leaves out."""

    lines: tuple[str, ...]  # of neo.toml
    left_out: tuple[str, ...] = ()


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("what", choices=("ifupdown",), help="what to import")
    parser.add_argument("file", nargs="?", metavar="FILE", default=DEFAULT_FILE, help=f"(default {DEFAULT_FILE})")


def _import(invocation: Invocation) -> int:
    """Print the neo.toml that replaces the macvlans of an interfaces file, and the hooks in if-up.d beside it.

    What has no place in it is named in comments at its end. Nothing is changed. Needs no daemon.
    """
    from neod.cli.ifupdown import parse
    from neod.cli.ifupdown_commands import hook_rule
    from neod.cli.ifupdown_paths import understand
    from neod.cli.ifupdown_toml import toml

    file = Path(invocation.args.file)
    try:
        interfaces = parse(file.read_text(errors="replace"), str(file), lambda word, what: _sourced(file, word, what))
    except OSError as error:
        return _refuse(invocation, f"{file}: {error.strerror or error}")
    imported = understand(interfaces, hook_rule(_texts(file)))
    if not imported.macvlans:
        return _refuse(invocation, "\n".join((f"{file}: no macvlan in it that neo could keep", *imported.left_out)))
    reply = ImportReply(tuple(toml(imported, str(file)).splitlines()), tuple(imported.left_out))
    invocation.show(ControlReply(as_mapping(reply), reply), _view)
    return FINE


def _refuse(invocation: Invocation, why: str) -> int:
    """Say why there is nothing to print."""
    if invocation.args.json:
        invocation.print_json({"error": "NothingToImport", "parameters": {"reason": why}})
    else:
        import sys

        print(f"neodctl: {why}", file=sys.stderr)
    return FILE_INVALID


def _view(reply: ImportReply, screen: Screen) -> Iterator[str]:
    del screen
    yield from reply.lines


def _sourced(main: Path, word: str, what: str) -> Iterator[tuple[str, str]]:
    """Yield the files that a source line means; relative to the interfaces file, as ifupdown has it."""
    import re
    from glob import glob

    for pattern in what.split():
        found = sorted(glob(str(main.parent / pattern)))  # noqa: PTH207  absolute patterns too
        for path in (Path(name) for name in found):
            inside = sorted(path.iterdir()) if word == "source-directory" and path.is_dir() else [path]
            for file in inside:
                if word != "source-directory" or re.fullmatch(r"[A-Za-z0-9_-]+", file.name):
                    yield from _text(file)


def _texts(main: Path) -> Iterator[str]:
    """Yield the hooks beside the interfaces file."""
    for folder in HOOKS:
        directory = main.parent / folder
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            yield from (text for _, text in _text(path))


def _text(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a file's name and text; nothing for what is no file, or not ours to read."""
    try:
        if path.is_file():
            yield str(path), path.read_text(errors="replace")
    except OSError:
        return


COMMAND: Final = Command(_import, _arguments, also=(FILE_INVALID,))
