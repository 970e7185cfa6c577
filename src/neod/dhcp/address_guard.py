"""Who else claims an address of ours, leased or static: heard by ARP on one parent (RFC 5227, 2.4).

A conflict in use is shown, and answered by one announcement in ten seconds; nothing is given up for it, because anybody
can send ARP. Until it is over, the other host is asked for again and again. A MAC that claims everything does not count
(``claimants``); one of our own that answers is a copy of this machine (``clones``).
"""

from ipaddress import IPv4Address
from itertools import islice
from random import Random
from typing import Final, Protocol

from neod.dhcp.arp_listener import ArpListener
from neod.dhcp.claimants import Claimants
from neod.dhcp.clones import Clones
from neod.dhcp.conflict_check import LATE_S
from neod.dhcp.frame import Arp, arp_announcement, arp_probe, arp_request, parse_arp
from neod.dhcp.rawsocket import Packets
from neod.model.facts import FOREVER
from neod.model.ports import Clock

JUDGED_S: Final = 0.3  # by then it is known whether the MAC claims everything
DEFEND_S: Final = 10.0  # RFC 5227, 1.1: DEFEND_INTERVAL
FIRST_S: Final = 1.0  # how long after an address is there it is asked for
ASK_AGAIN_S: Final = 10.0  # while somebody else is known to have it
STATIC_S: Final = 300.0  # and where no renewal says when
AT_ONCE: Final = 50  # questions a check
OVER_S: Final = 35.0  # not heard for so long, though asked three times: the other host is gone


class GuardListener(Protocol):
    """Who decides about claims, and hears of conflicts."""

    def owner(self, mac: bytes) -> tuple[str, str] | None:
        """Return the parent and the link of which *mac* is; None if it is not ours."""
        ...

    def claimed(self, parent: str, arp: Arp) -> bytes:
        """Somebody said by ARP which address is whose, or asked; return our MAC that this may take an address from."""
        ...

    def acquitted(self, parent: str, mac: bytes) -> None:
        """*mac* was found to claim everything."""
        ...

    def report(self, what: str, link: str, detail: str) -> None:
        """Something happened that people should know."""
        ...

    def turn(self, parent: str) -> None:
        """All that had arrived has been told."""
        ...


class Guarded:
    """An address of ours, and who else claims it."""

    __slots__ = (
        "ask_at",
        "asks_every_s",
        "defended_at",
        "heard_at",
        "ip",
        "link",
        "mac",
        "rival",
        "rival_since",
        "since",
    )

    def __init__(self, ip: int, link: str, mac: bytes, now: float, asks_every_s: float) -> None:
        self.ip, self.link, self.mac, self.since = ip, link, mac, now
        self.asks_every_s, self.ask_at = asks_every_s, now + FIRST_S
        self.rival = b""
        self.rival_since = self.heard_at = self.defended_at = 0.0

    def contest(self, rival: bytes, now: float) -> None:
        """Note who claims the address now; empty: nobody."""
        self.rival, self.rival_since = rival, now
        self.ask_at = now + (ASK_AGAIN_S if rival else self.asks_every_s)


class AddressGuard:
    """The addresses of ours behind one parent."""

    def __init__(self, parent: str, packets: Packets, clock: Clock, rng: Random, listener: GuardListener) -> None:
        self.parent = parent
        self.claimants, self._clones = Claimants(rng), Clones()
        self._clock, self._listener = clock, listener
        self._arp = ArpListener(parent, packets, self._take, lambda: listener.turn(parent))
        self._guarded: dict[int, Guarded] = {}
        self._links: dict[bytes, str] = {}  # by MAC; what is guarded no more stays until the next check
        self._shown: dict[str, str] = {}  # by link: who else has an address of it

    @property
    def is_used(self) -> bool:
        """Whether there is anything to guard."""
        return bool(self._guarded)

    @property
    def problem(self) -> str:
        """Return who claims everything here, for people; empty if nobody does."""
        macs = ", ".join(mac.hex(":") for mac in self.claimants.everything())
        return everything(macs, self.parent) if macs else ""

    def trouble(self, link: str) -> str:
        """Return who else has the MAC or an address of *link*, in one sentence; empty if nobody has."""
        mac = self._clones.of(link)
        return cloned(mac) if mac else self._shown.get(link, "")

    # ── what is guarded ───────────────────────────────────────────────────────────────────────

    def guard(self, ip: int, link: str, mac: bytes, *, leased: bool) -> None:
        """Guard *ip* of *link* from now on. For what is leased the renewals say when to ask again."""
        known = self._guarded.get(ip)
        if known is not None and (known.link, known.mac) == (link, mac):
            return
        self._guarded[ip] = Guarded(ip, link, mac, self._clock.boottime(), FOREVER if leased else STATIC_S)
        self._links[mac] = link

    def release(self, ip: int, link: str) -> None:
        """Guard *ip* no longer, if it is *link*'s."""
        known = self._guarded.get(ip)
        if known is not None and known.link == link:
            del self._guarded[ip]
            self._shown.pop(link, None)

    def link_of(self, mac: bytes) -> str:
        """Return the guarded link that has *mac*; empty if none has."""
        return self._links.get(mac, "")

    def check(self, now: float) -> None:
        """Show what has been judged, ask for rivals again, forget those that are gone; keep the socket open."""
        self.claimants.forget(now)
        self._clones.forget(now)
        self._links = {one.mac: one.link for one in self._guarded.values()}
        self._arp.check(self._guarded, now)
        for one in self._guarded.values():
            if one.rival:
                self._check_rival(one, now)
        due = (one for one in self._guarded.values() if one.ask_at <= now)
        for one in list(islice(due, AT_ONCE)):
            one.ask_at = now + (ASK_AGAIN_S if one.rival else one.asks_every_s)
            self.ask(one.ip)

    def close(self) -> None:
        """Give the socket back."""
        self._arp.close()

    def _check_rival(self, one: Guarded, now: float) -> None:
        if self.claimants.claims_everything(one.rival) or now - one.heard_at > OVER_S:
            if self._shown.pop(one.link, None):
                self._listener.report("address conflict over", one.link, f"{IPv4Address(one.ip)} is ours alone again")
            one.contest(b"", now)
            return
        sentence = f"another host, {one.rival.hex(':')}, answers for {IPv4Address(one.ip)}"
        if now - one.rival_since >= JUDGED_S and self._shown.get(one.link) != sentence:
            self._shown[one.link] = sentence
            self._listener.report("address conflict", one.link, sentence)

    # ── sending ───────────────────────────────────────────────────────────────────────────────

    def ask(self, ip: int) -> bool:
        """Ask who has *ip*, in the name of the parent: so a clone answers, too. Return whether that was sent."""
        mac, now = self._arp.mac, self._clock.boottime()
        if not mac:
            return False
        self._clones.asked(ip, now)
        return self._arp.ask(arp_probe(mac, ip), now)

    def probe(self, mac: bytes, ip: int) -> bool:
        """Ask, in the name of no address, who has *ip*; return whether that was sent."""
        return self._arp.ask(arp_probe(mac, ip), self._clock.boottime())

    def announce(self, mac: bytes, ip: int) -> bool:
        """Tell that *ip* is at *mac*; return whether that was sent."""
        return self._arp.ask(arp_announcement(mac, ip), self._clock.boottime())

    def request(self, mac: bytes, ip: int, target: int) -> bool:
        """Ask, in the name of *ip*, who has *target*; return whether that was sent."""
        return self._arp.ask(arp_request(mac, ip, target), self._clock.boottime())

    # ── what arrives ──────────────────────────────────────────────────────────────────────────

    def _take(self, frame: bytes) -> None:
        arp = parse_arp(frame)
        if arp is None:
            return
        now = self._clock.boottime()
        owner = self._listener.owner(arp.mac)
        if owner is None:
            self._take_foreign(arp, now)
        elif arp.mac == self._arp.mac and not arp.ip:
            self._clones.came_back(arp.target)
        elif owner[0] == self.parent and self._clones.answered(arp.ip, owner[1], arp.mac, now):
            self._listener.report("cloned MAC", owner[1], cloned(arp.mac))

    def _take_foreign(self, arp: Arp, now: float) -> None:
        if self.claimants.heard(arp.mac, arp.ip, now):
            self._listener.report("proxy ARP", self.parent, everything(arp.mac.hex(":"), self.parent))
            self._listener.acquitted(self.parent, arp.mac)
        ours = self._listener.claimed(self.parent, arp)
        one = self._guarded.get(arp.ip)
        if one is not None and not self.claimants.claims_everything(arp.mac):
            self._contest(one, arp, now)
            ours = one.mac
        if ours and not self.claimants.claims_everything(arp.mac):
            for decoy in self.claimants.decoys(arp.mac, arp.ip or arp.target, self._guarded, now):
                self.probe(ours, decoy)

    def _contest(self, one: Guarded, arp: Arp, now: float) -> None:
        """Note a claim to an address in use; one that all hear is answered, so that all hear who else has it."""
        if one.rival != arp.mac:
            one.contest(arp.mac, now)
        one.heard_at = now
        to_us = arp.target_mac in (one.mac, self._arp.mac)
        if not to_us and now - one.since > LATE_S and now - one.defended_at > DEFEND_S:
            one.defended_at = now
            self.announce(one.mac, one.ip)


def everything(mac: str, parent: str) -> str:
    """Return what people are told of a MAC that claims everything."""
    return (
        f"{mac} answers ARP for every address that is asked for on {parent}: proxy ARP, or a switch or host that "
        'claims the segment; its answers do not count, and probe = "off" asks nothing'
    )


def cloned(mac: bytes) -> str:
    """Return what people are told of a MAC of ours that another host has, too."""
    return f"another host has the MAC {mac.hex(':')}, too: a clone with the same machine-id?"
