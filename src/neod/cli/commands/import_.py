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
HOOKS: Final = ("if-pre-up.d", "if-up.d", "if-down.d", "if-post-down.d")
NAMES_OF_TABLES: Final = ("rt_tables", "rt_tables.d/*.conf")
IPROUTE2: Final = ("/usr/share/iproute2", "/usr/lib/iproute2", "/etc/iproute2")
MOST_FILES: Final = 256
MOST_BYTES: Final = 4 << 20  # of all files together; a host has some KiB
MOST_WILD: Final = 2  # parts of a path with wildcards: more could look at every folder of the host


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

    What has no place in it is named in comments at its end, with its line and the reason. Nothing is changed. Needs no
    daemon.
    """
    from neod.cli.ifupdown import parse
    from neod.cli.ifupdown_hooks import hook_rule
    from neod.cli.ifupdown_paths import understand
    from neod.cli.ifupdown_toml import toml

    file, room = Path(invocation.args.file), Room()
    try:
        text = room.read(file)
    except OSError as error:
        return _refuse(invocation, f"{file}: {error.strerror or error}")
    interfaces = parse(text, str(file), lambda *line: _sourced(room, *line))
    imported = understand(interfaces, hook_rule(_texts(room, file)), _tables(room, file))
    if not imported.macvlans:
        left_out = ("left out, line by line:", *imported.left_out) if imported.left_out else ()
        return _refuse(invocation, "\n".join((f"{file}: no macvlan in it that neo could keep", *left_out)))
    made = toml(imported, str(file))
    if problems := _problems(made):
        return _refuse(invocation, "\n".join((f"{file}: what comes of it is no valid neo.toml:", *problems)))
    reply = ImportReply(tuple(made.splitlines()), tuple(imported.left_out))
    invocation.show(ControlReply(as_mapping(reply), reply), _view)
    return FINE


def _problems(made: str) -> tuple[str, ...]:
    """Return what the reader of neo's file says against it: nothing is printed that neod would refuse."""
    import os

    from neod.config.reader import ConfigError, answer_of, spawn

    descriptor = os.memfd_create("neo.toml")
    name = f"/proc/{os.getpid()}/fd/{descriptor}"
    try:
        os.write(descriptor, made.encode())
        answer_of(spawn(name, {key: value for key, value in os.environ.items() if not key.startswith("NEO_")}, "races"))
    except ConfigError as error:
        return tuple(problem.replace(name, "neo.toml") for problem in error.problems)
    finally:
        os.close(descriptor)
    return ()


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


class Room:
    """How much may still be read."""

    def __init__(self) -> None:
        self._files: list[int] = []  # the size of each, in bytes

    def read(self, path: Path) -> str:
        """Return the text of a regular file; a byte that is no UTF-8 is replaced.

        Raises:
            OSError: it cannot be read, or is none, or there is no room for it.
        """
        import os
        import stat

        def at_once(name: str, flags: int) -> int:
            return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)

        with open(path, "rb", opener=at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("is not a regular file, and only those are read")
            left = MOST_BYTES - sum(self._files)
            content = file.read(left + 1) if len(self._files) < MOST_FILES else b""
        if len(content) > left or len(self._files) >= MOST_FILES:
            raise OSError(f"more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB in all: that is no interfaces file")
        self._files.append(len(content))
        return content.decode("utf-8-sig", "replace")


def _sourced(room: Room, word: str, what: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the files that a source line means, with their text or a problem; relative to *name*, which has the line.

    Source: config.c of ifupdown. Of a folder only names that are words count.
    """
    import re
    from glob import glob, has_magic

    patterns = what[:4096].split()
    for pattern in patterns:
        wild = [part for part in pattern.split("/") if has_magic(part)]
        if re.search(r"[$`~'\"\\]", pattern) or "\0" in pattern or len(wild) > MOST_WILD:
            yield "", "", f"{pattern}: such a pattern is not followed"
            continue
        found = sorted(glob(str(Path(name).parent / pattern)))  # noqa: PTH207  absolute patterns too
        for path in (Path(one) for one in found):
            inside = sorted(path.iterdir()) if word == "source-directory" and path.is_dir() else [path]
            for file in inside:
                if word != "source-directory" or re.fullmatch(r"[A-Za-z0-9_-]+", file.name):
                    yield _text(room, file)
        if not found and not (wild and Path(name).parent.joinpath(pattern).parent.is_dir()):
            yield "", "", f"{pattern}: there is no such file"


def _texts(room: Room, main: Path) -> Iterator[tuple[str, str]]:
    """Yield the hooks beside the interfaces file, with their texts."""
    for folder in HOOKS:
        directory = main.parent / folder
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if path.is_file():
                name, text, _ = _text(room, path)
                yield name, text


def _tables(room: Room, main: Path) -> dict[str, int]:
    """Return the numbers of the tables that have names, on this host or, first of all, beside the interfaces file."""
    found: dict[str, int] = {}
    for folder in (*map(Path, IPROUTE2), main.parent.parent / "iproute2"):
        for pattern in NAMES_OF_TABLES:
            for path in sorted(folder.glob(pattern)):
                for line in _text(room, path)[1].splitlines():
                    match line.partition("#")[0].split():
                        case [number, name] if number.isascii() and number.isdigit():
                            found[name] = int(number[:10])
    return found


def _text(room: Room, path: Path) -> tuple[str, str, str]:
    """Return a file's name and text, or why it cannot be read."""
    try:
        return str(path), room.read(path), ""
    except OSError as error:
        return str(path), "", f"{path}: {error.strerror or error}"


COMMAND: Final = Command(_import, _arguments, also=(FILE_INVALID,))
