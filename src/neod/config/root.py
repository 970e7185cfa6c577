"""The whole file as one pydantic model, assembled from the registry of tables; and its JSON Schema."""

from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model
from pydantic.json_schema import GenerateJsonSchema

from neod.features import NAMES
from neod.features.table import Table

DIALECT: Final = GenerateJsonSchema.schema_dialect  # 2020-12
M = TypeVar("M", bound=BaseModel)

TABLES: Final[dict[str, Table]] = {name: import_module(f"neod.features.{name}.schema").TABLE for name in NAMES}
"""Every table of the file, by its name."""


class Closed(BaseModel):
    """A file with nothing but known tables."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


@cache
def root(base: type[M]) -> type[M]:
    """Return the model of the file: *base* with a field for each table, absent by default."""
    tables: dict[str, Any] = {
        name: (
            Annotated[table.section, WithJsonSchema(dict(table.schema))] if table.schema else table.section,
            Field(default=None, description=table.about),
        )
        for name, table in TABLES.items()
    }
    model: type[M] = create_model("Neo", __base__=base, **tables)
    return model


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors and for ``neodctl schema``."""
    schema = _tidy(root(Closed).model_json_schema())
    about = "What neod keeps true on this host. A key that is not known here is an error."
    return {"$schema": DIALECT, "title": "neo.toml", "description": about} | {
        key: value for key, value in schema.items() if key != "description"
    }


def _tidy(schema: Any) -> Any:
    """Return *schema* without defaults of null, which TOML cannot say, and without titles made of key names.

    Entries whose name does not fit are refused, as the checks refuse them.
    """
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "patternProperties" in schema else {}
    return closed | {key: _tidy(value) for key, value in schema.items() if not _is_noise(key, value)}


def _is_noise(key: str, value: Any) -> bool:
    return (key == "default" and value is None) or (key == "title" and isinstance(value, str))
