"""The rules that open connections may still follow, kept on disk: a file that changes while neod is away is a change
like any other.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, get_origin, get_type_hints

from neod.kernel.files import StateFile
from neod.model.nat import AnswerBy, Dnat, Guard, NatRule, Ruleset, SnatFrom, SnatTo

RULES: Final = {kind.__name__: kind for kind in (AnswerBy, Dnat, Guard, SnatFrom, SnatTo)}
Kept = Mapping[str, tuple[Ruleset, ...]]
"""By the name of the object; the last one is in force."""


class TranslationStore:
    """One file. What cannot be read is as if it were not there: then less is known of old connections."""

    def __init__(self, file: StateFile) -> None:
        self._file = file

    def load(self) -> dict[str, tuple[Ruleset, ...]]:
        """Return what was saved last."""
        return self._file.load(_stored) or {}

    def save(self, kept: Kept) -> str:
        """Replace it, and return what went wrong, or nothing; no file where there are no rules."""
        if not kept:
            self._file.remove()
            return ""
        rules = {name: [[_written(rule) for rule in one.rules] for one in rulesets] for name, rulesets in kept.items()}
        return self._file.save(json.dumps({"version": 1, "rules": rules}).encode())


def _stored(content: bytes) -> dict[str, tuple[Ruleset, ...]]:
    stored = json.loads(content)["rules"]
    return {name: tuple(map(_ruleset, rulesets)) for name, rulesets in stored.items()}


def _written(rule: NatRule) -> list[Any]:
    return [type(rule).__name__, *(_plain(getattr(rule, one.name)) for one in fields(rule))]


def _plain(value: object) -> object:
    match value:
        case IPv4Address() | IPv6Address():
            return {"ip": str(value)}
        case IPv4Network() | IPv6Network():
            return {"net": str(value)}
    return value


def _ruleset(stored: list[list[Any]]) -> Ruleset:
    return Ruleset(tuple(_rule(kind, *map(_value, values)) for kind, *values in stored))


def _rule(kind: str, *values: Any) -> NatRule:
    """Return the rule.

    Raises:
        TypeError: a value is not of the type of its field: who compares rules later would stumble over it.
    """
    made = RULES[kind](*values)
    hints = get_type_hints(RULES[kind])
    if wrong := [one.name for one in fields(made) if not _is_a(getattr(made, one.name), hints[one.name])]:
        raise TypeError(f"{kind}.{wrong[0]}")
    return made


def _is_a(value: object, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    return isinstance(value, hint)


def _value(stored: object) -> Any:
    match stored:
        case {"ip": str(text)}:
            return ip_address(text)
        case {"net": str(text)}:
            return ip_network(text)
        case list():
            return tuple(stored)
    return stored
