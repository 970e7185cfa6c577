"""Calls of verbs as bytes, and bytes as replies: what a blocking client and one on an event loop share."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PREFIX: Final = "org.neo.Control1."


class RawReply(NamedTuple):
    """One reply of a call; of a stream, one of several."""

    parameters: dict[str, Any]
    error: str  # its full name; empty: none
    continues: bool


def request(method: str, parameters: Mapping[str, object], more: bool) -> bytes:
    """Return the call of *method*; parameters that are None are left out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    call = {"method": PREFIX + method, "parameters": given} | ({"more": True} if more else {})
    return json.dumps(call).encode() + b"\0"


class ReplyBuffer:
    """Takes bytes as they are received, and gives replies."""

    def __init__(self) -> None:
        self._received, self._searched = bytearray(), 0

    def __len__(self) -> int:
        return len(self._received)

    def add(self, chunk: bytes) -> None:
        """Append what was received."""
        self._received += chunk

    def take(self) -> RawReply | None:
        """Return the next reply; None: it is not complete.

        Raises:
            ValueError, AttributeError: it is none.
        """
        end = self._received.find(b"\0", self._searched)
        if end < 0:
            self._searched = len(self._received)
            return None
        reply = json.loads(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        return RawReply(reply.get("parameters") or {}, reply.get("error", ""), bool(reply.get("continues")))
