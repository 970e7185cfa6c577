"""What the registry holds of one TOML table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from neod.features.context import Context
from neod.features.intents import Intents

Whole = Callable[[Intents, Context], Intents]


def unchanged(intents: Intents, context: Context) -> Intents:
    """Leave the whole as it is."""
    return intents


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file: what may stand in it, and what it asks for."""

    name: str
    about: str  # for people: JSON Schema, man page
    section: Any
    """A ``Section``, or ``dict[name type, Section]`` for tables with a name: ``[uplinks.ens3]``."""

    intents: Callable[[Any, Context], Intents]
    """(section, context) -> its part of the whole. The parts are put together field by field."""

    whole: Whole = unchanged
    """(the parts of all tables, context) -> the same with what follows from more than one table."""

    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON Schema of the table where its type does not say enough; empty otherwise."""
