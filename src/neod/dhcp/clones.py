"""Which of our MACs another host has, too: a copy of this machine, with MACs from the same machine-id. Pure.

What is asked in the name of the parent's MAC a copy answers with the MAC that both have. What it answers to that MAC
itself, or broadcasts, a switch or the macvlan driver keeps from us (a private macvlan gets what bears its MAC:
drivers/net/macvlan.c, macvlan_handle_frame). We do not answer ourselves, unless a switch port in hairpin mode, or
a bond, gives our frames back; then the question comes back before the answer.
"""

from typing import Final

ANSWER_S: Final = 2.0  # how long an answer may take
SHOWN_S: Final = 600.0  # how long a copy is shown after its last answer; less than two questions in a static address


class Clones:
    """What was asked lately on one parent, and which links were found to have a MAC that is not theirs alone."""

    def __init__(self) -> None:
        self._asked: dict[int, float] = {}
        self._found: dict[str, tuple[bytes, float]] = {}

    def asked(self, ip: int, now: float) -> None:
        """Note that *ip* is asked for, in the name of the parent."""
        self._asked[ip] = now

    def came_back(self, ip: int) -> None:
        """Note that the question itself was heard: what answers it may be ourselves."""
        self._asked.pop(ip, None)

    def answered(self, ip: int, link: str, mac: bytes, now: float) -> bool:
        """Note that *mac*, which *link* has, answered for *ip*; return whether a copy is known from now on."""
        if now - self._asked.get(ip, -ANSWER_S) >= ANSWER_S:
            return False
        new = link not in self._found
        self._found[link] = mac, now
        return new

    def of(self, link: str) -> bytes:
        """Return the MAC of *link* if another host has it, too, else nothing."""
        return self._found.get(link, (b"", 0.0))[0]

    def forget(self, now: float) -> None:
        """Forget old questions, and copies that have not answered for long."""
        self._asked = {ip: at for ip, at in self._asked.items() if now - at < ANSWER_S}
        self._found = {link: found for link, found in self._found.items() if now - found[1] < SHOWN_S}
