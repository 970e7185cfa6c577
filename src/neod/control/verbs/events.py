"""``Events``: what happened, and what happens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from neod.control.errors import Lagged
from neod.control.verb import Instant, Right, verb


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One thing that happened: a change neod made or wanted to make, or a change of its own state."""

    seq: int  # counts up by one; a gap means records were lost
    time: str  # ISO 8601 with milliseconds and offset
    what: str  # created | changed | removed | recreated | repaired | failed | conflict | contested | lease | …
    object: str = ""
    op: str = ""  # create | update | recreate | delete | conflict
    drift: str = ""  # missing | modified | orphan: made by another process; empty: the file or a lease asked for it
    by: str = ""  # who made the drift: "ip[812]"; empty where the kernel does not tell
    error: str = ""
    duration_ms: float | None = None  # from the kernel's event, or the start of the pass, to done
    cause: str = ""  # what woke the pass
    detail: str = ""  # human-readable: "mtu: 1400 → 1500"


@dataclass(frozen=True, slots=True)
class EventsReply:
    """Some records, oldest first; one of several replies."""

    events: tuple[EventRecord, ...] = ()


class EventVerbs(Protocol):
    """The verb on events."""

    @verb(Right.READ, Lagged)
    def events(self, since: Instant | None = None, follow: bool = False) -> AsyncIterator[EventsReply]:
        """What happened, oldest first; with follow also what will. Call with "more".

        Replies come in batches of at least one record: what is still kept, of
        *since* then, else all that is kept, or with *follow* only what comes.
        ``neod.control.feed.Feed`` keeps them.
        """
        ...
