"""Load the file: all of it is valid, or every error is reported at once."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from neod.config import document, problems
from neod.config.contradictions import contradictions
from neod.config.environment import DELIMITER, neo_variables, places
from neod.config.idle import note_idle
from neod.config.root import TABLES, Closed, json_schema, root
from neod.config.spelling import respelled
from neod.features.intents import Intents, gather
from neod.features.parts import Interim
from neod.features.validation.context import Context
from neod.features.validation.text import Path, did_you_mean, show
from neod.model.errors import ConfigError
from neod.model.want import Origin

__all__ = ["json_schema", "load"]


def load(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Intents:
    """Return what the file at *path* asks for; the ``NEO_*`` variables of *environ* override it.

    Raises:
        ConfigError: the file cannot be read, is empty, or is invalid: one
            line for each error. Nothing of it is used then.
    """
    read = document.read(os.fspath(path))
    variables = places(environ, read.data)
    context = Context(read.source, read.positions, variables)
    _note_unknown_tables(read.data, variables, context)
    data = {name: section for name, section in read.data.items() if name in TABLES}
    if any(path[0] in TABLES for path in variables):
        data = _overridden(data, environ)
    context.sections.update(_validated(data, root(Closed), context))
    intents = _compiled(context)
    if context.problems:
        raise ConfigError(*context.errors)
    values = {kind: found for kind, found in intents.values.items() if not issubclass(kind, Interim)}
    return replace(intents, values=values, warnings=context.warnings, source=read.source)


def _note_unknown_tables(data: Iterable[str], variables: Mapping[Path, str], context: Context) -> None:
    for name in data:
        if name not in TABLES:
            context.problem((name,), "there is no such table", did_you_mean(name, TABLES), at_key=True)
    for path, variable in variables.items():  # those of other programs may begin with NEO_, too
        meant = did_you_mean(str(path[0]), TABLES)
        if path[0] not in TABLES and DELIMITER in variable and meant.startswith("did"):
            context.problem(path, "there is no such table", meant)
        elif DELIMITER not in variable and any(str(path[0]).startswith(f"{table}_") for table in TABLES):
            text = "it says nothing: two underscores stand between table and key, as in NEO_DAEMON__LOG_LEVEL"
            context.warn(path, text)


def _overridden(data: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    from neod.config.overrides import overridden

    return overridden(data, neo_variables(environ))


def _validated(data: dict[str, Any], model: type[BaseModel], context: Context) -> dict[str, Any]:
    """Return the sections by table. Invalid entries are reported and left out; the others are checked all the same."""
    try:
        checked = model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        if (written := respelled(found, data, context)) is not None:
            return _validated(written, model, context)
        problems.note(found, model, context)
        rest = _without(data, problems.entries(found, data, model))
        return _validated(rest, model, context)
    return {name: getattr(checked, name) for name in TABLES if name in checked.model_fields_set}


def _without(data: dict[str, Any], entries: Iterable[Path]) -> dict[str, Any]:
    left = dict(data)
    for table, *name in dict.fromkeys(entries):
        if not name:
            left.pop(str(table), None)
        elif isinstance(section := left.get(str(table)), dict):
            left[str(table)] = {key: value for key, value in section.items() if key != name[0]}
    return left


def _compiled(context: Context) -> Intents:
    """Return the contributions of all tables; problems with them are noted."""
    sections = context.sections
    found = [one for name in sections for one in TABLES[name].contribute(sections[name], context)]
    intents = gather(found)
    for table in TABLES.values():
        found += table.finalize(intents, context)
    context.settle()
    intents = gather(found)
    note_idle(intents, context)
    for pair in () if context.problems else contradictions(intents.fragments):  # those that no table checks itself
        here, there = sorted(pair, key=lambda want: _blame(want.origin))
        line = f" (line {there.origin.line})" if there.origin.line else ""
        would_be, is_for = show(str(here.spec)), show(str(there.spec))
        problem = f"{here.key} would be {would_be} here, and {is_for} for {there.origin.path}{line}"
        context.problem_at(here.origin, problem, "leave it out here")
    return intents


def _blame(origin: Origin) -> tuple[bool, int]:
    """Sort first what is easier to leave out: a line of [sysctl], then what comes later in the file."""
    return not origin.path.startswith("sysctl."), -origin.line
