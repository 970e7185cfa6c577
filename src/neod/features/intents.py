"""The whole file, checked: what the daemon works from. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from neod.model.want import Fragment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Intents:
    """The contributions of all tables. Picklable."""

    fragments: tuple[Fragment, ...] = ()
    values: Mapping[type, tuple[Any, ...]] = field(default_factory=dict)  # the other contributions, by their type
    warnings: tuple[str, ...] = ()  # one line each: file:line: text
    source: str = ""  # the file's path

    def of(self, kind: type[T]) -> tuple[T, ...]:
        """Return the values of one type: first of the table that is registered first, there by name."""
        return self.values.get(kind, ())

    def settings(self, kind: type[T]) -> T:
        """Return the value of a type that there is at most one of; its defaults where the table is absent."""
        return (*self.of(kind), kind())[0]


def gather(contributions: Iterable[object]) -> Intents:
    """Return fragments and values, each type of values by itself, in the given order."""
    fragments: list[Fragment] = []
    values: dict[type, list[object]] = {}
    for one in contributions:
        if isinstance(one, Fragment):
            fragments.append(one)
        else:
            values.setdefault(type(one), []).append(one)
    return Intents(tuple(fragments), {kind: tuple(found) for kind, found in values.items()})
