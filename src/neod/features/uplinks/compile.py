"""An uplink that somebody else configures: tables and rules for whatever addresses are there. Pure."""

from dataclasses import dataclass

from neod.features.path import Addressing, followed, table
from neod.model.facts import Followed
from neod.model.want import FactKey, Facts, Fragment, Origin, Want


@dataclass(frozen=True, slots=True)
class FollowFragment(Fragment):
    """One followed NIC. Its addresses and its main routes are not touched."""

    name: str  # ``uplinks.ens3``
    link: str
    table: int
    origin: Origin

    @property
    def needs(self) -> tuple[FactKey, ...]:
        return (FactKey("followed", self.link),)

    def compile(self, facts: Facts) -> list[Want]:
        """Return the routes of the table, and a rule for each address."""
        return table(self.link, self.table, self._addressings(facts), self.origin)

    def waits_for(self, facts: Facts) -> tuple[str, ...]:
        """Return the address, where there is none; IPv6 is not followed.

        A gateway is not waited for: a segment without one is a path to its hosts.
        """
        return () if self._addressings(facts) else (f"an IPv4 address on {self.link}",)

    def _addressings(self, facts: Facts) -> tuple[Addressing, ...]:
        fact = facts.get(FactKey("followed", self.link))
        return followed(fact) if isinstance(fact, Followed) else ()
