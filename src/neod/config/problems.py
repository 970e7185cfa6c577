"""From pydantic's errors to lines for people: what is wrong, and what would be right."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from neod.features.validation.checks import InvalidValue
from neod.features.validation.context import Context
from neod.features.validation.text import Path, did_you_mean, path_text, show, toml

MOST_ERRORS: Final = 1000
KEY: Final = "[key]"  # pydantic's mark: the name of an entry is invalid, not its value


def note(errors: Iterable[ErrorDetails], model: type[BaseModel], context: Context) -> None:
    """Report the errors to *context*, at most ``MOST_ERRORS`` of them."""
    for error in islice(errors, MOST_ERRORS):
        path: Path = tuple(part for part in error["loc"] if part != KEY)
        at_key = error["type"] in ("missing", "extra_forbidden") or KEY in error["loc"]
        invalid = error.get("ctx", {}).get("error")
        for one in invalid.each() if isinstance(invalid, InvalidValue) else (None,):
            where = path if one is None or one.index is None else (*path, one.index)
            context.problem(where, *_texts(error, where, one, model), at_key=at_key)


def _texts(error: ErrorDetails, path: Path, invalid: InvalidValue | None, model: type[BaseModel]) -> tuple[str, str]:
    """Return problem and hint."""
    match error["type"]:
        case "missing":
            return "is required", _example(path, model)
        case "extra_forbidden":
            return "there is no such key", did_you_mean(str(path[-1]), _keys(path[:-1], model))
        case "value_error" if isinstance(invalid, InvalidValue):
            return invalid.problem, invalid.hint or _example(path, model)
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"{show(error['input'])} is not a table", _table_example(path)
        case _:
            return error["msg"], _example(path, model)


def _table_example(path: Path) -> str:
    named = path_text(path)
    return f"write [{named}]" if len(path) > 1 else f"write e.g. [{named}] and its keys below"


def _example(path: Path, model: type[BaseModel]) -> str:
    """Return ``write e.g. count = 8``, from the examples of the key; empty if it has none."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    field = _field(path, model)
    return f"write e.g. {path[-1]} = {toml(field.examples[0])}" if field and field.examples else ""


def _keys(path: Path, model: type[BaseModel]) -> Iterable[str]:
    found = _type_at(path, model)
    return found.model_fields if isinstance(found, type) and issubclass(found, BaseModel) else ()


def _field(path: Path, model: type[BaseModel]) -> FieldInfo | None:
    above = _type_at(path[:-1], model)
    if path and isinstance(above, type) and issubclass(above, BaseModel):
        return above.model_fields.get(str(path[-1]))
    return None


def _type_at(path: Path, model: type[BaseModel]) -> Any:
    """Return the type of what stands at *path*; None where there is no type for it."""
    found: Any = model
    for part in path:
        if isinstance(found, type) and issubclass(found, BaseModel):
            field = found.model_fields.get(str(part))
            found = field.annotation if field else None
        else:  # dict[name, Section]
            found = (*get_args(found), None, None)[1]
    return found


def entries(errors: Iterable[ErrorDetails], data: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Path]:
    """Yield what must be left out of *data* for the rest to be valid: the entry of a table, or a whole one."""
    for error in errors:
        table, *rest = error["loc"]
        by_name = not _keys((str(table),), model) and isinstance(data.get(str(table)), Mapping)
        yield (table, rest[0]) if by_name and rest else (table,)
