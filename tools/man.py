"""``python tools/man.py DIRECTORY``: the man pages, written from the parsers and the JSON Schema.

``python tools/man.py --file docs/file.md`` writes the same schema for readers
of the repository. Nothing here says anything about an option or a key that
the program does not say of itself.
"""

import argparse
import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from neod.cli.parser import front, parser_of
from neod.cli.registry import command_of, names, summary
from neod.config.load import json_schema
from neod.daemon.main import parser as neod_parser
from neod.race.main import main as race_main

SEE_ALSO: Final = ("neod(8)", "neodctl(1)", "neo.toml(5)", "neo-race(8)", "ip-mptcp(8)", "systemd.time(7)")
FILES: Final = (
    ("/etc/neo/neo.toml", "what is to be true on this host"),
    ("/etc/neo/neo.schema.json", "its JSON Schema, for editors"),
    (
        "/run/neo/neod.sock",
        "the control socket (Varlink), for root and members of the group neo; those of neo-read may only ask",
    ),
    ("/run/neo-lock", "which network namespaces a neod keeps: one each, whatever its directories"),
    ("/var/lib/neo", "leases, the last good file, and what sysctls were before"),
)
COMMON: Final = " [-h] [--json] [--runtime-dir DIR] [--version]"
SIGNALS: Final = (
    ("SIGHUP", "Read the file again. A file with any error changes nothing."),
    ("SIGTERM, SIGINT", "End; the network stays, unless the file says on_stop = \"remove\"."),
)  # fmt: skip


# ── roff ────────────────────────────────────────────────────────────────────────────────────────


def escaped(text: str) -> str:
    """Return *text* such that roff prints it as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("…", "...")
    text = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def filled(text: str) -> Iterator[str]:
    """Yield *text* as paragraphs of short lines; one that is indented stays as it stands."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        if number:
            yield ".PP"
        if paragraph.startswith(" "):
            yield from (".nf", escaped(paragraph.rstrip()), ".fi")
        else:
            lines = wrap(paragraph, 72, break_long_words=False, break_on_hyphens=False)
            yield from map(escaped, lines)


def head(title: str, section: int, about: str) -> Iterator[str]:
    """Yield the beginning of a page."""
    now = time.time()  # noqa: TID251  a page is dated by when it is built
    built = datetime.fromtimestamp(float(os.environ.get("SOURCE_DATE_EPOCH", now)), UTC)
    yield f'.TH "{title.upper()}" {section} "{built:%Y-%m-%d}" "neo {version("neod")}" "neo"'
    yield from (".SH NAME", f"{escaped(title)} \\- {escaped(about)}")


def entry(term: str, text: str) -> Iterator[str]:
    """Yield one paragraph under a term in bold."""
    yield from (".TP", f".B {escaped(term)}", *(filled(text) if text else ["\\&"]))


def foot(but: str) -> Iterator[str]:
    """Yield the end of a page."""
    yield ".SH SEE ALSO"
    yield ",\n".join(
        f".BR {escaped(page.partition('(')[0])} ({page.partition('(')[2]}" for page in SEE_ALSO if page != but
    )


# ── commands ────────────────────────────────────────────────────────────────────────────────────


def terms(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield every argument and option of a parser, with its help."""
    for action in parser._actions:  # argparse has no public way to ask what it parses
        if action.help == argparse.SUPPRESS:
            continue
        shown = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
        value = "" if action.nargs == 0 else f" {shown}"
        help_ = (action.help or "") % {"default": action.default, "prog": parser.prog}
        yield (", ".join(action.option_strings) + value if action.option_strings else str(shown)), help_


def synopsis(parser: argparse.ArgumentParser) -> str:
    """Return the usage line without its first word."""
    return " ".join(parser.format_usage().split()).removeprefix("usage: ")


def program(title: str, section: int, about: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the page of a program without commands."""
    yield from head(title, section, about)
    yield from (".SH SYNOPSIS", *filled(synopsis(parser)))
    yield from (".SH DESCRIPTION", *filled(cleandoc(parser.description or "")))
    yield ".SH OPTIONS"
    for term, text in terms(parser):
        yield from entry(term, text)
    if parser.epilog:
        yield from (".SH NOTES", ".nf", escaped(cleandoc(parser.epilog)), ".fi")


def neod() -> Iterator[str]:
    """Yield neod(8)."""
    yield from program("neod", 8, "keep the network of this host what one file says", neod_parser())
    for title, rows in ((".SH SIGNALS", SIGNALS), (".SH FILES", FILES)):
        yield title
        for term, text in rows:
            yield from entry(term, text)
    yield from foot("neod(8)")


def neo_race() -> Iterator[str]:
    """Yield neo-race(8)."""
    yield from head("neo-race", 8, "racing dialer: connect over all ways, keep the first")
    usage, _, rest = said_by(race_main).partition("\n\n")
    yield from (".SH SYNOPSIS", ".nf", escaped(cleandoc(usage.removeprefix("usage:"))), ".fi")
    description, _, options = rest.partition("\n\n")
    yield from (".SH DESCRIPTION", *filled(" ".join(description.split())))
    yield from (".SH OPTIONS", ".nf", escaped(options.rstrip()), ".fi")
    yield from foot("neo-race(8)")


def said_by(main: Callable[[list[str]], int]) -> str:
    """Return what a program prints for ``--help``: its parser is made in the middle of things."""
    os.environ["COLUMNS"] = "90"
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        main(["--help"])
    return said.getvalue()


def neodctl() -> Iterator[str]:
    """Yield neodctl(1)."""
    yield from head("neodctl", 1, "ask and direct neod")
    yield from (".SH SYNOPSIS", *filled(synopsis(front())), ".SH OPTIONS")
    common = [(term, text) for term, text in terms(front()) if term.startswith("-")]
    for term, text in common:
        yield from entry(term, text)
    yield ".PP"
    yield from filled("Options may stand before and after the command and its arguments.")
    yield ".SH COMMANDS"
    for name in names():
        sub = parser_of(name)
        yield f".SS {escaped(synopsis(sub).replace(COMMON, ''))}"
        yield from filled(cleandoc(command_of(name).run.__doc__ or summary(name)))
        for term, text in terms(sub):
            if (term, text) not in common:
                yield from entry(term, text)
        yield from (".PP", ".nf", escaped((sub.epilog or "").rstrip()), ".fi")
    yield from foot("neodctl(1)")


# ── the file ────────────────────────────────────────────────────────────────────────────────────


def tables(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, meaning and keys of every table of the file, the ones inside others last."""
    for name, about in schema["properties"].items():
        section, many = _section(about, schema)
        title = f"[{name}.NAME]" if many else f"[{name}]"
        keys = {} if section is None else section.get("properties", {})
        yield (
            title,
            about.get("description", ""),
            {key: value for key, value in keys.items() if not _section(value, schema)[1]},
        )
        for key, value in keys.items():
            inner, many = _section(value, schema)
            if many:
                yield f"{title[:-1]}.{key}.NAME]", value.get("description", ""), (inner or {}).get("properties", {})


def _section(value: dict[str, Any], schema: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """Return the object that a table is, and whether there are many by name."""
    many = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
    for inner in (part for part in many if isinstance(part, dict) and "$ref" in part):
        return schema["$defs"][inner["$ref"].rpartition("/")[2]], True
    for part in (value, *value.get("allOf", ()), *value.get("anyOf", ())):
        if "$ref" in part:
            return schema["$defs"][part["$ref"].rpartition("/")[2]], False
    return None, False


def toml_value(value: Any) -> str:
    """Return *value* as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def example(key: str, value: dict[str, Any]) -> str:
    """Return a line of TOML with the key."""
    examples = value.get("examples") or [value.get("default", "")]
    return f"{key} = {toml_value(examples[0])}"


def remark(value: dict[str, Any]) -> str:
    """Return what the key means, and its default."""
    default = f" Default: {toml_value(value['default'])}." if "default" in value else ""
    return re.sub(r"\s+", " ", value.get("description", "")) + default


def neo_toml() -> Iterator[str]:
    """Yield neo.toml(5)."""
    schema = json_schema()
    yield from head("neo.toml", 5, "what neod keeps true on this host")
    yield from (".SH SYNOPSIS", "/etc/neo/neo.toml", ".SH DESCRIPTION", *filled(schema["description"]))
    yield from filled(
        "Durations are written as systemd does: 20ms, 5s, 2min. A variable NEO_TABLE__KEY outranks the file."
    )
    for title, about, keys in tables(schema):
        yield from (f".SH {escaped(title)}", *filled(about))
        for key, value in keys.items():
            yield from entry(example(key, value), remark(value))
    yield from foot("neo.toml(5)")


def markdown() -> Iterator[str]:
    """Yield the file, key by key, as Markdown."""
    schema = json_schema()
    yield "# The file, key by key"
    yield "\nMade by `make docs` from the model that reads the file; `man neo.toml` says the same.\n"
    yield f"{schema['description']} Durations are written as systemd does: `20ms`, `5s`, `2min`. A variable"
    yield "`NEO_TABLE__KEY` outranks the file: `NEO_DAEMON__LOG_LEVEL=debug`."
    for title, about, keys in tables(schema):
        yield f"\n## `{title}`\n\n{about}\n"
        if keys:
            yield "| key, as an example | meaning |\n| --- | --- |"
        for key, value in keys.items():
            yield f"| `{example(key, value)}` | {remark(value)} |".replace("\\|", "|")


PAGES: Final = {"neod.8": neod, "neodctl.1": neodctl, "neo.toml.5": neo_toml, "neo-race.8": neo_race}


def main() -> int:
    """Write the pages, or the Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--file", type=Path, metavar="MARKDOWN")
    arguments = parser.parse_args()
    if arguments.file:
        arguments.file.write_text("\n".join(markdown()) + "\n")
    if arguments.directory:
        arguments.directory.mkdir(parents=True, exist_ok=True)
        for name, page in PAGES.items():
            (arguments.directory / name).write_text("\n".join(page()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
