"""The log of races: one line a race at low rates, one summary a second at high rates."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from neod.observability.logs import Log
from neod.race.dialer import DialError, Winner
from neod.race.loop import Loop
from neod.race.order import AddressPair

NAMED_LOSERS: Final = 3
"""So many are told one by one, more as a sum."""

SILENT: Final = "the client said nothing"
GREETINGS: Final = 'if it waited for the server to speak first, leave dial = "first-byte" out'

LINES_PER_SECOND: Final = 20
"""More are summarised: a line takes half as much CPU as a connection, and the journal has a rate limit, too."""


class RaceLog:
    """Logs how races end, limited in rate."""

    def __init__(self, loop: Loop, log: Log) -> None:
        self.log = log
        self._loop = loop
        self._second = 0.0
        self._logged: Counter[str] = Counter()  # in this second
        self._unlogged: Counter[tuple[str, str, str]] = Counter()

    def won(self, race: str, client: str, winner: Winner, mptcp: bool) -> None:
        """Log winner, time to connect, and losers."""
        if not self._within_rate("won"):
            self._unlogged[race, "winner", str(winner.pair)] += 1
            return
        self.log.info(
            "race won",
            race=race,
            client=client,
            winner=str(winner.pair),
            connect_ms=round(winner.took_s * 1000, 2),
            protocol="mptcp" if mptcp else "tcp",
            losers=summed(winner.losers) or "none",
        )

    def lost(self, race: str, client: str, error: DialError) -> None:
        """Log why no connection was made."""
        if not self._within_rate("failed"):
            self._unlogged[race, "lost", error.reason] += 1
            return
        losers = summed(error.losers) or "no candidates"
        self.log.warning("race lost", race=race, client=client, reason=error.reason, losers=losers)

    def unasked(self, race: str, client: str, after_s: float) -> None:
        """Log that a client waited and said nothing, in a race in which none has said anything."""
        if not self._within_rate("failed"):
            self._unlogged[race, "not connected:", SILENT] += 1
            return
        after_ms = round(after_s * 1000, 2)
        self.log.warning("not connected", race=race, client=client, why=SILENT, after_ms=after_ms, next=GREETINGS)

    def unanswered(self, race: str, client: str, pair: AddressPair, why: str, after_s: float) -> None:
        """Log that an upstream took a connection and did not answer."""
        if not self._within_rate("failed"):
            self._unlogged[race, why, str(pair)] += 1
            return
        after_ms = round(after_s * 1000, 2)
        self.log.warning("not answered", race=race, client=client, upstream=str(pair), why=why, after_ms=after_ms)

    def _within_rate(self, what: str) -> bool:
        """Whether one more line fits; many races that are won leave room for those that fail."""
        now_s = self._loop.now_s
        if now_s - self._second >= 1.0:
            self._second, self._logged = now_s, Counter()
        self._logged[what] += 1
        if self._logged[what] == LINES_PER_SECOND + 1:
            self._loop.call_later(1.0, self._log_summary)
        return self._logged[what] <= LINES_PER_SECOND

    def _log_summary(self) -> None:
        """Log one line for each race that has results without a line of their own."""
        unlogged, self._unlogged = self._unlogged, Counter()
        for race in sorted({key[0] for key in unlogged}):
            mine = {f"{how} {what}": n for (name, how, what), n in unlogged.most_common() if name == race}
            self.log.info(
                "more races", race=race, count=sum(mine.values()), by=", ".join(f"{n} {k}" for k, n in mine.items())
            )


def summed(losers: Sequence[str]) -> str:
    """Return why each lost ("way: why"), or how many for which reason where these are many."""
    if len(losers) <= NAMED_LOSERS:
        return ", ".join(losers)
    reasons = Counter(loser.rpartition(": ")[2].partition(" than ")[0] for loser in losers)
    return f"{len(losers)}: " + ", ".join(f"{count} {why}" for why, count in reasons.most_common())
