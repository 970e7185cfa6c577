"""Replies to JSON and back: dataclasses, tuples and plain values, nothing else.

asyncvarlink can convert dataclasses too, but walks every field through a context manager: 54 ms for the status of 1000
paths, on the daemon's loop. This takes 10 ms. Not for: validating what a client sent; the server does that with the
types of the interface.
"""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
Convert = Callable[[Any], Any]


class ControlReply(NamedTuple, Generic[T]):
    """One reply: as received, possibly with unknown fields, and decoded."""

    raw: dict[str, Any]
    value: T


@cache
def _getter(cls: type) -> tuple[tuple[str, ...], Callable[[object], Any]]:
    names = tuple(item.name for item in fields(cls))
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda value: tuple(getattr(value, name) for name in names)


def as_mapping(value: object) -> dict[str, Any]:
    """Return the fields of a dataclass by name; nested ones stay as they are.

    Raises:
        TypeError: *value* is not a dataclass.
    """
    cls: Any = type(value)
    names, get = _getter(cls)
    return dict(zip(names, get(value), strict=True))


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=as_mapping)


def encode(value: object) -> bytes:
    """Return *value* as compact JSON, pure ASCII.

    Raises:
        ValueError: a number is not finite; JSON cannot express that.
    """
    return _ENCODER.encode(value).encode("ascii")


@cache
def _converters(cls: type) -> dict[str, Convert | None]:
    return {item.name: _converter(item.type) for item in fields(cls)}


def _converter(kind: Any) -> Convert | None:
    """Return what turns JSON into *kind*; None where JSON has it already."""
    if isinstance(kind, UnionType):
        convert = _converter(next(arg for arg in kind.__args__ if arg is not type(None)))
        return convert and (lambda value: None if value is None else convert(value))
    if getattr(kind, "__origin__", None) is tuple:
        inner = _converter(kind.__args__[0])
        return tuple if inner is None else (lambda value: tuple(map(inner, value)))
    if isinstance(kind, type) and is_dataclass(kind):
        return lambda value: decode(kind, value)
    return None


def decode(cls: Callable[..., T], value: dict[str, Any]) -> T:
    """Return the *cls* that *value* was encoded from; unknown fields are left out.

    Raises:
        TypeError, AttributeError: *value* is something else.
    """
    converters = _converters(cls)
    known = {
        name: convert(value[name]) if (convert := converters[name]) else value[name]
        for name in value.keys() & converters.keys()
    }
    return cls(**known)
