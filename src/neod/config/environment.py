"""The ``NEO_*`` environment variables, and the path in the file that each overrides. Pure; imports nothing heavy."""

from collections.abc import Mapping
from typing import Any, Final

from neod.features.validation.text import Path

PREFIX: Final = "NEO_"
DELIMITER: Final = "__"


def neo_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that begin with ``NEO_`` and are not empty."""
    return {name: value for name, value in environ.items() if name.upper().startswith(PREFIX) and value}


def places(environ: Mapping[str, str], file: Mapping[str, Any]) -> dict[Path, str]:
    """Return the variable that overrides each path, in the case of *file*."""
    found: dict[Path, str] = {}
    for name in sorted(neo_variables(environ)):
        path: Path = ()
        below: Any = file
        for part in name[len(PREFIX) :].lower().split(DELIMITER):
            known = below if isinstance(below, Mapping) else {}
            key = canonical_case(part, known)
            path, below = (*path, key), known.get(key)
        found[path] = name
    return found


def canonical_case(key: str, known: Mapping[str, Any]) -> str:
    """Return *key* in the case of *known*: names of variables are case-insensitive."""
    if key in known:
        return key
    return next((name for name in known if name.lower() == key.lower()), key)
