"""Tells in events and log who has no lease, once of each reason."""

from collections.abc import Mapping, Sequence

from neod.daemon.event_log import EventLog
from neod.model.words import by_reason, wait_for, waited_for


class WithoutLease:
    """What has been told of links without a lease."""

    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log
        self._before: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()

    def tell(self, links: Sequence[str], reasons: Mapping[str, str]) -> None:
        """Note each new one of the *reasons* of those *links* that had no lease at the last call either.

        One line has all who have it.
        """
        found = by_reason((reasons.get(link, ""), link) for link in links if link in self._before)
        self._before = frozenset(links)
        for reason, together in found.items():
            if reason and reason not in self._told:
                detail = wait_for(together, *waited_for(reason))
                self._event_log.note("no lease", object=f"link:{together[0]}", detail=detail)
        self._told = frozenset(found)
