"""Taking an address: asked for by ARP, used, given back when another host has it. Pure.

The question goes out with the REQUEST (RFC 5227, 2.1), so that it adds no round trip. An address that is on the link
already, or that this host had before from the same server, is used with the ACK; another one when nobody has answered
for ``PROBE_WAIT_S``. A host that answers later still counts: the address is withdrawn and declined. It is announced
only after that time, because an announcement would change the entry of whoever else has it.

What a claim is worth is found out first: ``claimants`` asks whether its MAC claims everything, and ``acquitted`` takes
the answer.
"""

from ipaddress import IPv4Address
from random import Random
from typing import Final

from neod.dhcp import timers
from neod.dhcp.packet import ACK, DECLINE, OFFER, Reply, Request
from neod.dhcp.state import Action, Announce, ConflictCheck, Phase, Probe, Publish, Send, State, Step, Withdraw
from neod.model.facts import Lease, ProbePolicy

PROBE_WAIT_S: Final = 0.2
"""How long an ARP probe waits for an owner. RFC 5227 asks for three probes over 6 s; on one segment an
owner answers within milliseconds, and 0.2 s leaves room for a sleeping radio or a slow switch."""

LATE_S: Final = 3.0
"""How long after the question an answer still takes the address back; later it is a conflict in use, which is shown."""

DECLINE_PAUSE_S: Final = 10.0  # RFC 2131, 3.1.5: the minimum after DECLINE
DECLINE_LONGEST_S: Final = 320.0
"""The pause doubles with each address declined in the last ten minutes: whoever claims all that is offered costs the
server some thirty addresses an hour and client, and not its pool."""

DECLINED_FOR_S: Final = 600.0  # how long a DECLINE makes the next pauses longer
SHUNNED_S: Final = 60.0
"""How long an offer of a declined address is ignored. Then it is tried again: a server that has it reserved for us
offers no other, and the other host may be gone."""

DECLINED_MOST: Final = 8


AWAITING: Final = frozenset((Phase.SELECTING, Phase.REQUESTING, Phase.RENEWING, Phase.REBINDING, Phase.REBOOTING))


def restart(state: State, at: float, rng: Random, why: str) -> State:
    """Return the client about to send its first DISCOVER at *at*; the lease, if any, stays."""
    return state._replace(
        phase=Phase.INIT,
        retry_at=at,
        xid=rng.getrandbits(32),
        attempt=0,
        offer_ip=0,
        pending=None,
        check=ConflictCheck(),
        refused=None,
        error=why,
    )


def ask(state: State, ip: int, now: float) -> Step:
    """Ask whether somebody has *ip*, if the file lets us."""
    if state.probe is ProbePolicy.OFF:
        return state._replace(check=ConflictCheck(ip)), ()
    return state._replace(check=ConflictCheck(ip, now + PROBE_WAIT_S, now + LATE_S)), (Probe(ip),)


def take(state: State, lease: Lease, now: float, rng: Random) -> Step:
    """Use what the server acknowledged, now or when it is known that nobody else does."""
    ip = int(lease.ip)
    if why := why_declined(state, ip, now):
        return decline(state, ip, int(lease.server), why, now, rng)
    actions: tuple[Action, ...] = ()
    if ip not in (state.check.ip, ours(state)):  # a server may change its mind; then nobody has been asked yet
        state, actions = ask(state, ip, now)
    check = state.check
    if check.ip == ip and (check.claimant or (now < check.silent_at and not _at_once(state, lease))):
        return state._replace(phase=Phase.PROBING, pending=lease, retry_at=check.silent_at, error=""), actions
    state, more = bound(state, lease, now, rng)
    return state, actions + more


def bound(state: State, lease: Lease, now: float, rng: Random) -> Step:
    """Use *lease*; its address is announced when it is known that nobody else has it."""
    if now >= lease.expires_at:
        return restart(state, now + timers.RETRY_S[0], rng, "the ACK came after the end of its lease"), ()
    ip = int(lease.ip)
    fresh, check = ip != ours(state), state.check
    waits = fresh and ip == check.ip and now < check.silent_at
    if not waits:
        check = check._replace(silent_at=0.0) if ip == check.ip else ConflictCheck(ip)
    state = state._replace(
        phase=Phase.BOUND,
        retry_at=check.silent_at if waits else _renews_at(lease, now),
        attempt=0,
        lease=lease,
        wanted=ip,
        prefer=int(lease.server),
        offer_ip=0,
        pending=None,
        check=check,
        refused=None,
        naks=0,
        nak="",
        error="",
    )
    return state, (Publish(lease), Announce(ip)) if fresh and not waits else (Publish(lease),)


def settle(state: State, now: float, rng: Random) -> Step:
    """End the search: somebody claims the address, or it is ours alone."""
    check, lease = state.check, state.pending or state.lease
    if lease is None or int(lease.ip) != check.ip:
        return restart(state, now, rng, ""), ()
    if check.claimant:
        return decline(state, check.ip, int(lease.server), _claimed_by(check), now, rng)
    if state.pending is not None:
        return bound(state, lease, now, rng)
    state = state._replace(check=check._replace(silent_at=0.0), retry_at=_renews_at(lease, now))
    return state, (Announce(check.ip),)


def claimed(state: State, ip: int, mac: bytes, now: float) -> Step:
    """Note that *mac* claims the address in question; ``settle`` decides, when it is known what the claim is worth."""
    check = state.check
    if ip != check.ip or now >= check.until or check.claimant:
        return state, ()
    check = check._replace(claimant=mac, silent_at=now + PROBE_WAIT_S)
    due = state.phase in (Phase.PROBING, Phase.BOUND)
    return state._replace(check=check, retry_at=check.silent_at if due else state.retry_at), ()


def acquitted(state: State, mac: bytes, now: float) -> Step:
    """Note that *mac* claims whatever is asked for: that says nothing about this address."""
    if state.check.claimant != mac:
        return state, ()
    due = state.phase in (Phase.PROBING, Phase.BOUND)
    check = state.check._replace(claimant=b"", silent_at=now)
    return state._replace(check=check, retry_at=now if due else state.retry_at), ()


def taken_here(state: State, reply: Reply, holder: str, now: float, rng: Random) -> Step:
    """Refuse an address that this host has already, on *holder*, and tell the server that it is in use."""
    awaited = OFFER if state.phase is Phase.SELECTING else ACK
    if reply.type != awaited or reply.xid != state.xid or state.phase not in AWAITING:
        return state, ()
    ip = reply.yiaddr
    return decline(state, ip, reply.server, f"given {IPv4Address(ip)}, which {holder} of this host has", now, rng)


def decline(state: State, ip: int, server: int, why: str, now: float, rng: Random) -> Step:
    """Tell the server that another has the address, withdraw it if it is in use, and ask for another after a pause."""
    actions: tuple[Action, ...] = (Send(Request(DECLINE, state.xid, requested=ip, server=server)),)
    if state.lease is not None and int(state.lease.ip) == ip:
        actions += (Withdraw(why),)
        state = state._replace(lease=None)
    still = tuple(one for one in state.declined if one[1] > now)
    pause_s = min(DECLINE_LONGEST_S, DECLINE_PAUSE_S * 2 ** len(still))
    state = restart(state, now + pause_s, rng, why)
    return state._replace(declined=(*still, (ip, now + DECLINED_FOR_S, why))[-DECLINED_MOST:], wanted=0), actions


def ours(state: State) -> int:
    """Return the address that is on our link already; 0 for none."""
    if state.lease is not None:
        return int(state.lease.ip)
    return state.wanted if state.phase is Phase.REBOOTING else 0


def why_declined(state: State, ip: int, now: float) -> str:
    """Return why *ip* was declined in the last minute; empty if it was not."""
    since = now + DECLINED_FOR_S - SHUNNED_S
    return next((why for declined, until, why in reversed(state.declined) if ip == declined and since < until), "")


def _at_once(state: State, lease: Lease) -> bool:
    """Whether the address needs no silence first: we have it, or had it from this server."""
    ip = int(lease.ip)
    had = (ip, int(lease.server)) == (state.wanted, state.prefer)
    return ip == ours(state) or (had and state.probe is ProbePolicy.AUTO)


def _renews_at(lease: Lease, now: float) -> float:
    return max(lease.renew_at, now + timers.RETRY_S[0])


def _claimed_by(check: ConflictCheck) -> str:
    return f"another host, {check.claimant.hex(':')}, answers for {IPv4Address(check.ip)}"
