"""Which path an object belongs to. Pure."""

from collections.abc import Mapping
from typing import Any

from neod.model.key import Key


def path_of(key: Key, tables: Mapping[int, str]) -> str:
    """Return the name of the path that *key* belongs to; empty for what belongs to none."""
    fields: Any = key
    if key.kind == "link":
        return str(fields.name)
    if key.kind == "address":
        return str(fields.link)
    if key.kind in ("route", "rule"):
        return tables.get(fields.table, "")
    if key.kind == "sysctl":
        parts = fields.path.split("/")
        return str(parts[3]) if len(parts) == 5 else ""
    return ""
