"""What the file writes and what has no effect: each key and table says itself why, beside its declaration."""

from collections.abc import Iterator
from typing import Any, Final

from neod.config.root import TABLES
from neod.features.intents import Intents
from neod.features.validation.context import Context
from neod.features.validation.fields import Section, Validator
from neod.features.validation.text import Path

EACH_ITS_OWN: Final = "every interface of the group says its own"


def note_idle(intents: Intents, context: Context) -> None:
    """Warn of every table and key that says nothing, with the reason; of a table that as a whole does not, once."""
    for name, section in context.sections.items():
        if reason := TABLES[name].idle(section, intents):
            context.warn((name,), reason)
            continue
        for path, one in _sections(section, (name,)):
            for key in sorted(one.model_fields_set):
                if reason := _reason(one, key, intents):
                    context.warn((*path, key), reason)


def _sections(section: Any, path: Path) -> Iterator[tuple[Path, Section]]:
    """Yield every section at *path* and below it."""
    if isinstance(section, Section):
        yield path, section
        yield from ((path + further, one) for further, one in section.below())
    elif isinstance(section, dict):
        for name, one in section.items():
            yield from _sections(one, (*path, name))


def _reason(section: Section, key: str, intents: Intents) -> str:
    """Return why *key* has no effect, for none of those that it is said for; empty if it has one."""
    field = type(section).model_fields[key]
    counted = section.counts_for(key)
    if not counted:
        return "" if field.is_required() else EACH_ITS_OWN
    idle = next((one.idle for one in field.metadata if isinstance(one, Validator)), None)
    reasons = [idle(one, intents) for one in counted] if idle else [""]
    return reasons[0] if all(reasons) else ""
