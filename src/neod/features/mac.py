"""MACs that follow from the machine and the name of a link. Pure."""

import hmac
from functools import lru_cache

from neod.model.facts import Host
from neod.model.want import HOST, Facts


def mac_of(link: str, given: str, facts: Facts) -> str:
    """Return the MAC that the file gives *link*, or else the derived one; empty while the machine id is not known."""
    host = facts.get(HOST)
    return given or (derived_mac(host.machine_id, link) if isinstance(host, Host) and host.machine_id else "")


def waits_for_mac(link: str, given: str, facts: Facts) -> tuple[str, ...]:
    """Return the machine id, where it is missing."""
    return () if mac_of(link, given, facts) else ("a machine id, for the MAC; see machine-id(5)",)


@lru_cache(maxsize=4096)
def derived_mac(machine_id: str, link: str) -> str:
    """Return the MAC of *link* on that machine: locally administered, unicast, the same always."""
    return "02:" + hmac.digest(machine_id.encode(), link.encode(), "sha256")[:5].hex(":")
