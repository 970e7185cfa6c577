"""Names and values of sysctls. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from neod.features.validation.checks import InvalidValue
from neod.features.validation.text import Path, show

if TYPE_CHECKING:
    from pydantic.config import JsonDict

PART: Final = re.compile(r"[A-Za-z0-9_.:@-]+")
LONGEST_VALUE: Final = 1024
SYSCTLS: Final["JsonDict"] = {
    r"^net[./][A-Za-z0-9_.:@/-]+$": {
        "anyOf": [
            {"type": ["integer", "boolean"]},
            {"type": "string", "pattern": rf"^[^\x00-\x08\x0a-\x1f\x7f]{{0,{LONGEST_VALUE}}}$"},
        ]
    },
    "^net$": {"type": "object"},
}
"""The schema: those that are written in quotes; without, TOML reads the dots of a key as tables."""

OF_INTERFACES: Final = ("conf", "neigh")
"""Below net/FAMILY: these have a directory for each interface."""


def proc_path(key: str) -> str:
    """Return the path of a sysctl below /proc/sys.

    The first separator counts: after a slash, dots are dots; after a dot, dots are slashes and slashes dots, for
    interface names that have dots. A dot of such a name may also be written as one: only one sysctl deep are those of
    an interface, and no interface has a slash in its name.

    Source: sysctl.d(5); net/ipv4/devinet.c, __devinet_sysctl_register.
    """
    dotted = re.search(r"[./]", key)
    path = key.translate(str.maketrans("./", "/.")) if dotted and dotted[0] == "." else key
    parts = path.split("/")
    if not all(PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise InvalidValue(f"{show(key)} is not the name of a sysctl", 'write e.g. "net.ipv4.ip_forward" = 1')
    if len(parts) > 5 and parts[2] in OF_INTERFACES:
        parts[3:-1] = [".".join(parts[3:-1])]
    if parts[0] != "net" or len(parts) < 3:
        raise InvalidValue(
            f"{show(key)} is not below net", "neo sets sysctls of the network alone, e.g. net.ipv4.ip_forward"
        )
    return "/".join(parts)


def proc_value(value: object) -> str:
    match value:
        case bool():
            return str(int(value))
        case str():
            if len(value) > LONGEST_VALUE or not value.replace("\t", " ").isprintable():
                raise InvalidValue(f"{show(value)} is not one line of text", "write e.g. 1, true or a text in quotes")
            return " ".join(value.split())
        case int():
            return str(value)
        case _:
            raise InvalidValue(f"{show(value)} is not a value for a sysctl", "write e.g. 1, true or a text in quotes")


def leaves(section: Mapping[str, object], path: Path, slashed: str = "") -> Iterator[tuple[Path, str, object]]:
    """Yield path, key and value of each sysctl; an unquoted dotted key parses as nested tables.

    The value is empty where the table of such a key has nothing in it.
    """
    for key, value in sorted(section.items()):
        name = f"{slashed}/{key}" if slashed else key
        if value and isinstance(value, dict):
            yield from leaves(value, (*path, key), name)
        else:
            yield (*path, key), name, value
