"""From a path to parsed TOML: the file is there, is a text, is safe to parse, and says something."""

import errno
import os
import re
import stat
import tomllib
from ast import literal_eval
from dataclasses import dataclass
from typing import Any, Final

from neod.config.positions import Unsafe, scan
from neod.features.validation.context import Positions
from neod.features.validation.excerpt import excerpt
from neod.features.validation.text import path_text
from neod.model.errors import ConfigError
from neod.observability.streams import printable

MAX_BYTES: Final = 1 << 20
PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
KEY: Final = re.compile(r"""\((?:'.*'|".*"),?\)""")
TO_ASK_FOR_NOTHING: Final = "to remove all that neod made, write the table [daemon]"

REMEDIES: Final = {
    "Invalid value": "a text stands in quotes",
    "Expected '=' after a key": "write key = value",
    "Cannot declare": "a table is written once; put its keys together",
    "Cannot overwrite a value": "a key is written once",
    "Cannot mutate immutable": "a table in braces is complete; write it once",
    "Expected newline or end of document after a statement": "write one key a line",
    "Unclosed array": "close it with ]",
    "Unterminated string": "close it with a quote",
    "Illegal character '\\n'": "close the text on its own line",
    "Illegal character": "remove it",
    "Found invalid character": "remove it",
    "Invalid statement": "write key = value or [table]",
    "Expected ']'": "close the name of the table",
}


@dataclass(frozen=True, slots=True)
class Document:
    source: str
    data: dict[str, Any]
    positions: Positions


def read(path: str) -> Document:
    """Return the parsed file.

    Raises:
        ConfigError: it cannot be read, cannot be parsed, or says nothing:
            none of which means that nothing is desired.
    """
    shown = printable(path)
    text = _decode(_content(path, shown), shown)
    try:
        positions = scan(text)
    except Unsafe as unsafe:
        line, column = _place_of(text, unsafe.offset)
        raise _refused_at(shown, text, line, column, f"{unsafe.problem}; {unsafe.hint}") from None
    data = _parse(text, shown)
    if not data:
        raise ConfigError((f"{shown}: asks for nothing, not even a table; {TO_ASK_FOR_NOTHING}",))
    return Document(shown, data, positions)


def _content(path: str, shown: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            before = os.fstat(descriptor)
            content = _bytes(descriptor) if stat.S_ISREG(before.st_mode) else None
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise ConfigError((f"{shown}: {_why_unreadable(error)}",)) from None
    if content is None:
        raise ConfigError((f"{shown}: is not a regular file; name another",))
    if len(content) > MAX_BYTES:
        raise ConfigError((f"{shown}: is larger than {MAX_BYTES >> 20} MiB; a file for neo is far smaller",))
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, len(content)):
        raise ConfigError((f"{shown}: changed while it was read; try again when it is complete",))
    if not content:
        raise ConfigError((f"{shown}: is empty; {TO_ASK_FOR_NOTHING}",))
    return content


def _bytes(descriptor: int) -> bytes:
    """Return the content, or one byte more than a file may have."""
    parts: list[bytes] = []
    left = MAX_BYTES + 1
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _why_unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "is not a path; name another file"
    match error.errno:
        case errno.ENOENT:
            return "does not exist; write it, or name another file"
        case errno.EACCES | errno.EPERM:
            return "cannot be read: permission denied; neod has to run as root, or the file's mode to allow it"
        case code:
            name = errno.errorcode.get(code or 0, str(code))
            return f"cannot be read: {name}: {error.strerror or error}; name a regular file"


def _decode(content: bytes, shown: str) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place_of(content[: error.start].decode("utf-8"), error.start)
        byte = content[error.start]
        problem = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        raise _refused_at(shown, content.decode("utf-8", "replace"), line, column, problem) from None
    if text.startswith("\ufeff"):
        raise ConfigError((f"{shown}:1:1: begins with a byte order mark; save the file as UTF-8 without one",))
    return text


def _place_of(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _parse(text: str, shown: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(str(error), text, shown) from None
    except RecursionError:
        raise ConfigError((f"{shown}: nests too deep; write tables instead of brackets",)) from None
    except MemoryError:
        raise ConfigError((f"{shown}: takes more memory to parse than there is; make it smaller",)) from None
    except ValueError as error:
        raise ConfigError((f"{shown}: {printable(str(error))}; no number of neo is so large",)) from None


def _refused_at(shown: str, text: str, line: int, column: int, problem: str) -> ConfigError:
    lines = text.split("\n")
    found = excerpt(lines[line - 1], line, column) if 0 < line <= len(lines) else ""
    return ConfigError((f"{shown}:{line}:{column}: {problem}",), (found,))


def _syntax(message: str, text: str, shown: str) -> ConfigError:
    match = PLACE.fullmatch(message)
    problem = KEY.sub(_key, printable(match[1] if match else message))
    line, column = (int(match[2]), int(match[3])) if match and match[2] else _place_of(text, len(text))
    remedy = next((remedy for start, remedy in REMEDIES.items() if problem.startswith(start)), "see https://toml.io")
    return _refused_at(shown, text, line, column, f"this is not TOML: {problem}; {remedy}")


def _key(match: re.Match[str]) -> str:
    """Return a key as people write it; the parser names it by its parts."""
    try:
        return path_text(literal_eval(match[0]))
    except (ValueError, SyntaxError):
        return "a key"
