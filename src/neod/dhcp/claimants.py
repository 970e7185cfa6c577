"""What a claim by ARP is worth: a MAC that claims whatever is asked for says nothing about one address. Pure.

Proxy ARP for a whole segment (isolated ports, RFC 3069), a hostile switch or host: each answers for every address, and
to believe it would decline address after address until the pool is empty. So whoever claims an address is asked for two
that chance chose; no host has both of them beside ours.
"""

from collections.abc import Container
from itertools import islice
from random import Random
from typing import Final

DECOYS: Final = 2
TRIAL_S: Final = 2.0
REMEMBERED: Final = 64  # MACs under test: an attacker makes up any number
BELIEVED_S: Final = 600.0
"""How long what was found out about a MAC holds, since it last claimed anything."""


class Claimants:
    """The MACs of one segment that claimed an address of ours."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._asked: dict[bytes, tuple[float, set[int]]] = {}  # by MAC on trial: since when, decoys without an answer
        self._everything: dict[bytes, float] = {}  # until when it is known to claim everything

    def decoys(self, mac: bytes, ip: int, ours: Container[int], now: float) -> tuple[int, ...]:
        """Return which addresses to ask for, to try *mac*, which claims *ip*; none while it is being tried."""
        if mac in self._asked or len(self._asked) >= REMEMBERED:
            return ()
        near = (ip & ~0xFF | host for host in self._rng.sample(range(1, 255), 254))
        chosen = tuple(islice((decoy for decoy in near if decoy != ip and decoy not in ours), DECOYS))
        self._asked[mac] = now, set(chosen)
        return chosen

    def heard(self, mac: bytes, ip: int, now: float) -> bool:
        """Note that *mac* claims *ip*; return whether it is known from now on that it claims everything."""
        if mac in self._everything:
            self._everything[mac] = now + BELIEVED_S
            return False
        _, left = self._asked.get(mac, (0.0, set[int]()))
        if ip not in left:
            return False
        left.discard(ip)
        if left:
            return False
        self._everything[mac] = now + BELIEVED_S
        return True

    def claims_everything(self, mac: bytes) -> bool:
        """Whether a claim of *mac* is worth nothing."""
        return mac in self._everything

    def everything(self) -> tuple[bytes, ...]:
        """Return who claims everything."""
        return tuple(self._everything)

    def forget(self, now: float) -> None:
        """End old trials, and forget who has been quiet for long."""
        self._asked = {mac: trial for mac, trial in self._asked.items() if now - trial[0] < TRIAL_S}
        self._everything = {mac: until for mac, until in self._everything.items() if until > now}
