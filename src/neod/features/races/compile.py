"""``[races]``: neod itself does nothing about them; neo-race asks the reader of the file for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaceRequest:
    """One race as plain values, which neo-race decodes: it shares no class with neod."""

    settings: Mapping[str, object]
