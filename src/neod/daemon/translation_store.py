"""The rules that open connections may still follow, kept on disk: a file that changes while neod is away is a change
like any other.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from neod.kernel.files import write_atomically
from neod.model.nat import AnswerBy, Dnat, Guard, NatRule, Ruleset, SnatFrom, SnatTo

RULES: Final = {kind.__name__: kind for kind in (AnswerBy, Dnat, Guard, SnatFrom, SnatTo)}
Kept = Mapping[str, tuple[Ruleset, ...]]
"""By the name of the object; the last one is in force."""


class TranslationStore:
    """One file. What cannot be read is as if it were not there: then less is known of old connections."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, tuple[Ruleset, ...]]:
        """Return what was saved last."""
        try:
            stored = json.loads(self._path.read_bytes())["rules"]
            return {name: tuple(map(_ruleset, rulesets)) for name, rulesets in stored.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def save(self, kept: Kept) -> None:
        """Replace it; no file where there are no rules.

        Raises:
            OSError: it cannot be written; what was there stays.
        """
        if not kept:
            self._path.unlink(missing_ok=True)
            return
        rules = {name: [[_written(rule) for rule in one.rules] for one in rulesets] for name, rulesets in kept.items()}
        write_atomically(self._path, json.dumps({"version": 1, "rules": rules}).encode())


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
    return Ruleset(tuple(RULES[kind](*map(_value, values)) for kind, *values in stored))


def _value(stored: object) -> Any:
    match stored:
        case {"ip": str(text)}:
            return ip_address(text)
        case {"net": str(text)}:
            return ip_network(text)
        case list():
            return tuple(stored)
    return stored
