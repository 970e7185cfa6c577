"""Registry entry for one TOML table."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from neod.features.intents import Intents
from neod.features.validation.context import Context

NOTHING_IN_IT: Final = "there is nothing in it"


def nothing(given: object, context: Context) -> Iterable[object]:
    """Contribute nothing."""
    return ()


def says_something(given: object, intents: Intents) -> str:
    """Of the tables with entries only one without any has no effect."""
    return NOTHING_IN_IT if given == {} else ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file: what may stand in it, and what it contributes."""

    about: str  # for people: JSON Schema, man page
    section: Any
    """A ``Section``, or ``dict[name type, Section]`` for tables with a name: ``[uplinks.ens3]``."""

    contribute: Callable[[Any, Context], Iterable[object]] = nothing
    """(section, context) -> its fragments and values."""

    finalize: Callable[[Intents, Context], Iterable[object]] = nothing
    """(the contributions of all tables, context) -> what follows from more than one table.

    It is called where the table is absent, too.
    """

    idle: Callable[[Any, Intents], str] = says_something
    """(section, the contributions of all tables) -> why the table as a whole has no effect; empty if it has one.

    What is true of one key is said beside the key, with ``idle``.
    """

    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON Schema of the table where its type does not say enough; empty otherwise."""
