"""What neo-race tells: each race, as long as there are few; how many and who won, when there are many."""

from collections import Counter
from typing import Final

from neod.observability.logs import Log
from neod.race.dial import Defeat, Winner
from neod.race.loop import Loop

LINES_A_SECOND: Final = 20
"""Races told one by one. A line takes half as much CPU as a connection, and the journal drops what is too much."""


class Story:
    """Tells how races end."""

    def __init__(self, loop: Loop, log: Log) -> None:
        self.log = log
        self._loop = loop
        self._second = 0.0
        self._told = 0
        self._untold: Counter[tuple[str, str, str]] = Counter()

    def won(self, race: str, client: str, winner: Winner, mptcp: bool) -> None:
        """Tell winner, time to connect, and losers."""
        if not self._may_tell():
            self._untold[race, "winner", str(winner.candidate)] += 1
            return
        self.log.info(
            "race won",
            race=race,
            client=client,
            winner=str(winner.candidate),
            connect_ms=round(winner.took_s * 1000, 2),
            protocol="mptcp" if mptcp else "tcp",
            losers=", ".join(winner.losers) or "none",
        )

    def lost(self, race: str, client: str, defeat: Defeat) -> None:
        """Tell why nobody won."""
        if not self._may_tell():
            self._untold[race, "lost", defeat.reason] += 1
            return
        losers = ", ".join(defeat.losers) or "no candidates"
        self.log.warning("race lost", race=race, client=client, reason=defeat.reason, losers=losers)

    def _may_tell(self) -> bool:
        now_s = self._loop.now_s
        if now_s - self._second >= 1.0:
            self._second, self._told = now_s, 0
        self._told += 1
        if self._told == LINES_A_SECOND + 1:
            self._loop.call_later(1.0, self._sum_up)
        return self._told <= LINES_A_SECOND

    def _sum_up(self) -> None:
        """Tell in one line a race what was not told one by one."""
        untold, self._untold = self._untold, Counter()
        for race in sorted({key[0] for key in untold}):
            mine = {f"{how} {what}": n for (name, how, what), n in untold.most_common() if name == race}
            self.log.info(
                "more races", race=race, count=sum(mine.values()), by=", ".join(f"{n} {k}" for k, n in mine.items())
            )
