"""Read the file: all of it is right, or all that is wrong is said at once."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from neod.config import document, problems
from neod.config.contradictions import contradictions
from neod.config.environment import DELIMITER, places, speaking
from neod.config.root import Closed, json_schema, root
from neod.features.context import Context
from neod.features.intents import DaemonSettings, Intents
from neod.features.registry import REGISTRY
from neod.features.text import Path, did_you_mean, show
from neod.kinds.sysctl import SysctlSpec
from neod.model.errors import ConfigError
from neod.model.want import Origin, Want

__all__ = ["json_schema", "load"]

TABLES = {table.name: table for table in REGISTRY}


def load(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Intents:
    """Return what the file at *path* asks for, with what the ``NEO_*`` variables of *environ* say over it.

    Raises:
        ConfigError: the file cannot be read, says nothing, or is wrong
            somewhere: every place in one line. Nothing of it counts then.
    """
    read = document.read(os.fspath(path))
    variables = places(environ, read.data)
    context = Context(read.source, read.positions, variables)
    _note_unknown_tables(read.data, variables, context)
    data = {name: section for name, section in read.data.items() if name in TABLES}
    if any(path[0] in TABLES for path in variables):
        data = _overridden(data, environ)
    context.sections = _validated(data, root(Closed), context)
    intents = _compiled(context)
    if context.problems:
        raise ConfigError(context.errors)
    return replace(intents, warnings=context.warnings, source=read.source)


def _note_unknown_tables(data: Iterable[str], variables: Mapping[Path, str], context: Context) -> None:
    for name in data:
        if name not in TABLES:
            context.problem((name,), "there is no such table", did_you_mean(name, TABLES), at_key=True)
    for path, variable in variables.items():
        if path[0] not in TABLES and DELIMITER in variable:
            context.problem(path, "there is no such table", did_you_mean(str(path[0]), TABLES))
        elif path[0] not in TABLES:
            context.warn(path, "there is no such table, so the variable says nothing")


def _overridden(data: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    from neod.config.overrides import overridden

    return overridden(data, speaking(environ))


def _validated(data: dict[str, Any], model: type[BaseModel], context: Context) -> dict[str, Any]:
    """Return the sections by table. Invalid entries are noted and left out, so that the others are checked as well."""
    try:
        checked = model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems.note(found, model, context)
        rest = _without(data, problems.entries(found, data, model))
        return _validated(rest, model, context)
    return {name: getattr(checked, name) for name in checked.model_fields_set}


def _without(data: dict[str, Any], entries: Iterable[Path]) -> dict[str, Any]:
    left = dict(data)
    for table, *name in dict.fromkeys(entries):
        if not name:
            left.pop(str(table), None)
        elif isinstance(section := left.get(str(table)), dict):
            left[str(table)] = {key: value for key, value in section.items() if key != name[0]}
    return left


def _compiled(context: Context) -> Intents:
    """Return the parts of all tables together; what is wrong with them is noted."""
    parts = [
        table.intents(context.sections[name], context) for name, table in TABLES.items() if name in context.sections
    ]
    whole = merged(parts)
    for table in REGISTRY:
        whole = table.whole(whole, context)
    context.settle()
    for pair in () if context.problems else contradictions(whole.fragments):  # the rest, which no table foresaw
        here, there = sorted(pair, key=lambda want: _blame(want.origin))
        line = f" (line {there.origin.line})" if there.origin.line else ""
        wrong = f"{here.key} would be {_value(here)} here, and {_value(there)} for {there.origin.path}{line}"
        context.problem_at(here.origin, wrong, "leave it out here")
    return whole


def _blame(origin: Origin) -> tuple[bool, int]:
    """Sort first what is easier to leave out: a line of [sysctl], then what comes later in the file."""
    return not origin.path.startswith("sysctl."), -origin.line


def _value(want: Want) -> str:
    return show(want.spec.value) if isinstance(want.spec, SysctlSpec) else str(want.spec)


def merged(parts: Iterable[Intents]) -> Intents:
    """Return the parts of several tables as one: tuples joined, settings where they differ from the default."""
    parts = list(parts)
    default = Intents(fragments=())
    tuples = [field.name for field in fields(Intents) if isinstance(getattr(default, field.name), tuple)]
    joined: dict[str, Any] = {name: tuple(item for part in parts for item in getattr(part, name)) for name in tuples}
    return Intents(**joined, daemon=_settings(part.daemon for part in parts))


def _settings(parts: Iterable[DaemonSettings]) -> DaemonSettings:
    default = DaemonSettings()
    said: dict[str, Any] = {}
    for part in parts:
        said |= {
            field.name: getattr(part, field.name)
            for field in fields(DaemonSettings)
            if getattr(part, field.name) != getattr(default, field.name)
        }
    return DaemonSettings(**said)
