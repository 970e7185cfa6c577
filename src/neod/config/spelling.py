"""What 0.1.0 took is taken, with a warning that says how it is written. Pure."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from pydantic_core import ErrorDetails

from neod.features.validation.checks import ABSENT, InvalidValue, OldSpelling
from neod.features.validation.context import Context
from neod.features.validation.text import Path


def respelled(errors: Iterable[ErrorDetails], data: Mapping[str, Any], context: Context) -> dict[str, Any] | None:
    """Return *data* as it is written now, and warn of each old spelling; None if *errors* are about nothing of that."""
    found = [(path, old) for error in errors for path, old in _old(error)]
    if not found:
        return None
    left = deepcopy(dict(data))
    for path, old in found:
        context.warn(path, f"{old}; {old.hint} (taken as 0.1.0 took it)")
        _put(left, path, old.meant)
    return left


def _old(error: ErrorDetails) -> Iterable[tuple[Path, OldSpelling]]:
    invalid = error.get("ctx", {}).get("error")
    for one in invalid.each() if isinstance(invalid, InvalidValue) else ():
        if isinstance(one, OldSpelling):
            yield (error["loc"] if one.index is None else (*error["loc"], one.index)), one


def _put(data: Any, path: Path, meant: object) -> None:
    for part in path[:-1]:
        data = data[part]
    if meant is ABSENT:
        del data[path[-1]]
    else:
        data[path[-1]] = meant
