"""``[sysctl]``: sysctls beyond those that the roles imply."""

import re
from collections.abc import Iterator
from typing import Any, Final

from neod.features.checks import EnvText, Wrong
from neod.features.context import Context
from neod.features.intents import Intents
from neod.features.sysctl.compile import SysctlFragment
from neod.features.table import Table
from neod.features.text import Path, show
from neod.model.want import Origin

PART: Final = re.compile(r"[A-Za-z0-9_.:@-]+")
LONGEST_VALUE: Final = 1024


def intents(section: dict[str, Any], context: Context) -> Intents:
    """Return one unit with every sysctl that the table asks for."""
    values: dict[str, tuple[str, Origin]] = {}
    for path, key, value in _leaves(section, ("sysctl",)):
        try:
            name = proc_path(key)
            values.setdefault(name, (proc_value(value), context.origin(*path)))
        except Wrong as wrong:
            context.problem(path, wrong.wrong, wrong.right)
        else:
            context.claim("the sysctl", name, show(key), path, "keep one of the two")
    unit = SysctlFragment(tuple((name, *values[name]) for name in sorted(values)))
    return Intents(fragments=(unit,) if values else ())


def _leaves(section: dict[str, Any], path: Path, slashed: str = "") -> Iterator[tuple[Path, str, object]]:
    """Yield path, key and value of each sysctl. Without quotes, TOML reads the dots of a key as tables: so be it."""
    for key, value in sorted(section.items()):
        name = f"{slashed}/{key}" if slashed else key
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key), name)
        else:
            yield (*path, key), name, value


def proc_path(key: str) -> str:
    """Return the path of a sysctl below /proc/sys.

    The first separator counts: after a slash, dots are dots; after a dot,
    dots are slashes and slashes dots, for interface names that have dots.

    Source: sysctl.d(5).
    """
    dotted = re.search(r"[./]", key)
    path = key.translate(str.maketrans("./", "/.")) if dotted and dotted[0] == "." else key
    parts = path.split("/")
    if not all(PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise Wrong(f"{show(key)} is not the name of a sysctl", 'write e.g. "net.ipv4.ip_forward" = 1')
    if parts[0] != "net" or len(parts) < 3:
        raise Wrong(f"{show(key)} is not below net", "neo sets sysctls of the network alone, e.g. net.ipv4.ip_forward")
    return path


def proc_value(value: object) -> str:
    """Return a value as the kernel prints it."""
    match value:
        case bool():
            return str(int(value))
        case EnvText() | str():
            if len(value) > LONGEST_VALUE or not value.replace("\t", " ").isprintable():
                raise Wrong(f"{show(value)} is not one line of text", "write e.g. 1, true or a text in quotes")
            return " ".join(value.split())
        case int():
            return str(value)
        case _:
            raise Wrong(f"{show(value)} is not a value for a sysctl", "write e.g. 1, true or a text in quotes")


TABLE: Final = Table(
    name="sysctl",
    about='Sysctls below net, beyond those that the roles imply: "net.ipv4.tcp_congestion_control" = "bbr". The value '
    "found before the first write comes back when the file no longer asks for one.",
    section=dict[str, Any],
    intents=intents,
    schema={
        "type": "object",
        "patternProperties": {"^net($|[./])": {"type": ["integer", "boolean", "string", "object"]}},
        "additionalProperties": False,
    },
)
