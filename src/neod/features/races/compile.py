"""``[races]``: neod itself does nothing about them; neo-race asks the reader of the file for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from neod.model.want import Origin


@dataclass(frozen=True, slots=True)
class RaceRequest:
    """One race as plain values, which neo-race decodes: it shares no class with neod."""

    name: str
    settings: Mapping[str, object]
    ends: tuple[str, ...]  # where it listens and connects to, as the file says it
    origin: Origin
