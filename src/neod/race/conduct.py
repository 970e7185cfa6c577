"""What upstreams made of the connections that they took: which ones answer, and which only shake hands. Pure.

A handshake proves little: the kernel of a host whose program hangs completes it, and so does a relay whose target is
gone. A client's own behaviour counts against nobody: who leaves at once is owed no answer, and who says nothing only
where it is the upstream that speaks first.
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

DOUBT: Final = 0.5

UPSTREAM_ENDS: Final = frozenset({"upstream_reset", "upstream_lost"})
CLIENT_ENDS: Final = frozenset({"finished", "client_reset", "client_lost"})
TIMEOUTS: Final = frozenset({"first_byte_timeout", "idle_timeout"})


class Ending(NamedTuple):
    """How one connection ended, or what is certain of it before."""

    how: str  # as ``neo_race_closed_total`` says
    left_first: str  # client | upstream; empty: neither has sent its FIN
    asked: int  # bytes of the client, whether or not the upstream took them
    answered: int
    began_s: float  # established
    ended_s: float
    waited_s: float  # without a byte, before the first FIN


class Verdict(NamedTuple):
    """What an upstream did wrong; *why* is empty if it did nothing, or nobody can tell."""

    why: str
    weight: float  # 1 counts by itself, DOUBT only in a row; 0 where *why* is empty


def verdict(end: Ending, owed: bool) -> Verdict:
    """Return what the upstream made of a connection; *owed*: its client waits for a word.

    Who sends and sends its FIN at once may have left, or may wait: that alone
    is a doubt, and with each that ends so in a row less of one.
    """
    why = fault(end, owed)
    if not why and owed and end.asked and not end.answered and end.how == "finished":
        return Verdict("closed without an answer", DOUBT)
    return Verdict(why, 1.0 if why else 0.0)


def fault(end: Ending, owed: bool) -> str:
    """Return what the upstream did wrong; empty: nothing, or nobody can tell. *owed*: its client waits for a word."""
    at_once = end.ended_s - end.began_s < AT_ONCE_S and end.left_first != "client"
    if end.how in UPSTREAM_ENDS:
        missed = owed and not end.answered and end.left_first != "client"
        spoiled = end.answered < CUT_SHORT_BYTES and (end.asked or at_once or missed)
        return ("reset after its first bytes" if end.answered else "reset without an answer") if spoiled else ""
    if end.answered:
        return ""
    if end.left_first == "upstream":
        return "closed without an answer" if owed or at_once else ""
    gave_up = end.how in TIMEOUTS or (end.how in CLIENT_ENDS and end.waited_s >= AT_ONCE_S)
    return "no answer" if owed and gave_up else ""


class Record(NamedTuple):
    """Failures in a row, by weight, and when the last was."""

    faults: float
    at_s: float


class Conduct:
    """Which candidates are to be a last resort: pairs that failed, and upstreams with two failures in a row.

    What ends counts only if it began after the last failure: a hundred connections that break together are one.
    """

    def __init__(self) -> None:
        self._records: dict[AddressPair | tuple[str, int], Record] = {}
        self._greets: bool | None = None  # whether upstreams speak before their clients; None: none has spoken yet

    def __bool__(self) -> bool:
        return bool(self._records)

    def heard(self, asked: int, after_s: float) -> None:
        """Note the first byte of an upstream: before its client's it is a greeting, if not a complaint of silence."""
        if not asked and after_s < AT_ONCE_S:
            self._greets = True
        elif asked and self._greets is None:
            self._greets = False

    def owes(self, end: Ending, first_byte_s: float) -> bool:
        """Whether the upstream had to speak: it was asked, or is not known to let its client speak first.

        Without a time for the first byte it never has to, as a log server.
        """
        return first_byte_s > 0 and (end.asked > 0 or self._greets is not False)

    def note(self, pair: AddressPair, weight: float, end: Ending) -> None:
        """Count one ended connection; an answer clears what was held against its pair and its upstream."""
        for key in (pair, (pair.host, pair.port)):
            before = self._records.get(key, Record(0, float("-inf")))
            if end.began_s < before.at_s:
                continue
            if weight:
                self._records[key] = Record(before.faults + weight, end.ended_s)
            else:
                self._records.pop(key, None)

    def avoids(self, pair: AddressPair, now_s: float) -> bool:
        """Whether *pair* is to be tried after all others now."""
        return self._rests(pair, 0, now_s) or self._rests((pair.host, pair.port), 1, now_s)

    def _rests(self, key: AddressPair | tuple[str, int], pardoned: int, now_s: float) -> bool:
        record = self._records.get(key)
        if record is None or record.faults < pardoned + 1:
            return False
        return now_s - record.at_s < min(FIRST_S * 2.0 ** min(int(record.faults) - pardoned - 1, 16), LONGEST_S)

    def forget_all_but(self, pairs: Collection[AddressPair]) -> None:
        """Keep what is known of *pairs*."""
        kept = {*pairs, *((pair.host, pair.port) for pair in pairs)}
        self._records = {key: record for key, record in self._records.items() if key in kept}
