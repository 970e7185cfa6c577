"""What upstreams made of the connections that they took: which ones answer, and which only shake hands. Pure.

A handshake proves little: the kernel of a host whose program hangs completes it, and so does a relay whose target is
gone. A client's own behaviour counts against nobody: who says nothing, or leaves at once, is owed no answer.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from neod.race.order import AddressPair

AT_ONCE_S: Final = 1.0
"""An upstream that ends a connection sooner has not waited for its client; a client that leaves later has waited."""

CUT_SHORT_BYTES: Final = 64
"""A reset after fewer than these is no answer: no program sends less and is done, and resets what it wanted read."""

FIRST_S: Final = 30.0
LONGEST_S: Final = 600.0
"""How long a candidate that failed is a last resort: doubled by each failure in a row."""

UPSTREAM_ENDS: Final = frozenset({"upstream_reset", "upstream_lost"})
CLIENT_ENDS: Final = frozenset({"finished", "client_reset", "client_lost"})
TIMEOUTS: Final = frozenset({"first_byte_timeout", "idle_timeout"})


class Ending(NamedTuple):
    """How one connection ended, or what is certain of it before."""

    how: str  # as ``neo_race_closed_total`` says
    left_first: str  # client | upstream; empty: neither has sent its FIN
    asked: int  # bytes to the upstream
    answered: int
    began_s: float  # established
    ended_s: float
    waited_s: float  # without a byte, before the first FIN


def fault(end: Ending) -> str:
    """Return what the upstream did wrong; empty: nothing, or nobody can tell."""
    at_once = end.ended_s - end.began_s < AT_ONCE_S and end.left_first != "client"
    if end.how in UPSTREAM_ENDS:
        spoiled = end.answered < CUT_SHORT_BYTES and (end.asked or at_once)
        return ("reset after its first bytes" if end.answered else "reset without an answer") if spoiled else ""
    if end.answered:
        return ""
    if end.left_first == "upstream":
        return "closed without an answer" if end.asked or at_once else ""
    gave_up = end.how in TIMEOUTS or (end.how in CLIENT_ENDS and end.waited_s >= AT_ONCE_S)
    return "no answer" if end.asked and gave_up else ""


class Record(NamedTuple):
    """Failures in a row, and when the last was."""

    faults: int
    at_s: float


class Conduct:
    """Which candidates are to be a last resort: pairs that failed, and upstreams with two failures in a row.

    What ends counts only if it began after the last failure: a hundred connections that break together are one.
    """

    def __init__(self) -> None:
        self._records: dict[AddressPair | tuple[str, int], Record] = {}

    def __bool__(self) -> bool:
        return bool(self._records)

    def note(self, pair: AddressPair, faulty: bool, end: Ending) -> None:
        """Count one ended connection; an answer clears what was held against its pair and its upstream."""
        for key in (pair, (pair.host, pair.port)):
            before = self._records.get(key, Record(0, float("-inf")))
            if end.began_s < before.at_s:
                continue
            if faulty:
                self._records[key] = Record(before.faults + 1, end.ended_s)
            else:
                self._records.pop(key, None)

    def avoids(self, pair: AddressPair, now_s: float) -> bool:
        """Whether *pair* is to be tried after all others now."""
        return self._rests(pair, 0, now_s) or self._rests((pair.host, pair.port), 1, now_s)

    def _rests(self, key: AddressPair | tuple[str, int], pardoned: int, now_s: float) -> bool:
        record = self._records.get(key)
        if record is None or record.faults <= pardoned:
            return False
        return now_s - record.at_s < min(FIRST_S * 2.0 ** min(record.faults - pardoned - 1, 16), LONGEST_S)

    def forget_all_but(self, pairs: Collection[AddressPair]) -> None:
        """Keep what is known of *pairs*."""
        kept = {*pairs, *((pair.host, pair.port) for pair in pairs)}
        self._records = {key: record for key, record in self._records.items() if key in kept}
