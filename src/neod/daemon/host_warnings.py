"""What of this host is in the way of translation, for ``status``: looked at when it can have changed, not at each call.

Links, addresses, routes and rules make a pass when they change. Of sockets nothing tells, and of marks in routing rules
only some passes: what is known grows old.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from neod.features.intents import Intents
from neod.features.parts import NatPart
from neod.model.ports import Clock

RECENT_S: Final = 5.0
"""So long what was seen of sockets counts."""


def look(intents: Intents) -> tuple[str, ...]:
    """Return what is in the way. Reads the kernel and /proc, and runs no other program; not loaded before."""
    from neod.config.host import host_warnings

    return host_warnings(intents)


def look_thoroughly(intents: Intents) -> tuple[str, ...]:
    """Return it with what other programs list."""
    from neod.config.host import thorough_warnings

    return thorough_warnings(intents)


async def thorough_warnings_of(intents: Intents) -> tuple[str, ...]:
    """Return what is in the way now, without blocking the loop; nothing for a file without translation."""
    if not intents.of(NatPart):
        return ()
    try:
        return await asyncio.to_thread(look_thoroughly, intents)
    except OSError as error:
        return (_unread(error),)


def _unread(error: OSError) -> str:
    return f"what of this host is in the way of translation could not be read: {error.strerror or error}"


class HostWarnings:
    """The lines for one file as of one pass."""

    def __init__(self, clock: Clock, look: Callable[[Intents], tuple[str, ...]] = look) -> None:
        self._clock, self._look = clock, look
        self._intents: Intents | None = None
        self._pass = 0
        self._until = 0.0
        self._lines: tuple[str, ...] = ()

    async def of(self, intents: Intents, pass_: int) -> tuple[str, ...]:
        """Return the lines for *intents* after pass number *pass_*."""
        if not intents.of(NatPart):
            return ()
        now = self._clock.boottime()
        if self._intents is not intents or self._pass != pass_ or now >= self._until:
            try:
                lines = await asyncio.to_thread(self._look, intents)
            except OSError as error:
                return (*self._lines, _unread(error))
            self._intents, self._pass, self._until, self._lines = intents, pass_, now + RECENT_S, lines
        return self._lines
