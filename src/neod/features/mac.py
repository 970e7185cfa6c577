"""MACs that follow from the machine and the name of a link. Pure."""

import hmac
from functools import lru_cache


@lru_cache(maxsize=4096)
def derived_mac(machine_id: str, link: str) -> str:
    """Return the MAC of *link* on that machine: locally administered, unicast, the same always."""
    return "02:" + hmac.digest(machine_id.encode(), link.encode(), "sha256")[:5].hex(":")
