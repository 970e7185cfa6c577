"""One DHCPv4 client as a pure state machine: (state, event, now) -> (state, actions). The table is at the end.

Every decision about a lease is made here; ``action_executor`` sends and ``runner`` keeps time. *now* and
every instant are seconds of CLOCK_BOOTTIME. A state waits for one instant, ``retry_at``, and the end of its lease.

Decisions that RFC 2131 leaves open:

* After a NAK the old lease is kept until the new one is bound, but no longer than ``NAK_GRACE_S``: a
  renumbering breaks no connection early, and a host does not keep an address that its server refuses.
* An INIT-REBOOT without an answer falls back on the old lease only if its gateway answers ARP
  (as in RFC 4436); elsewhere DISCOVER begins, and the lease ends when it ends.
* A NAK counts at once from the server that was asked, or that gave the lease. From any other it counts when nobody
  confirms within ``NAK_ROUND_S``: of two servers with a range each, one refuses what the other gave.
* FORCERENEW is never accepted: without authentication any host on the segment could send it.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random
from typing import Final

from neod.dhcp import timers
from neod.dhcp.conflict_check import AWAITING, ask, ours, restart, settle, take, why_declined
from neod.dhcp.lease_from_ack import lease_from, terms_of
from neod.dhcp.packet import ACK, DISCOVER, NAK, OFFER, REQUEST, Reply, Request
from neod.dhcp.state import Action, AskGateway, Phase, Recheck, Refusal, Send, Shorten, State, Step, Withdraw
from neod.model.facts import FOREVER, ProbePolicy

REFUSED_OFFER: Final = "offered "  # how the reason begins where there are offers that cannot be taken
NO_ANSWER: Final = "no answer "  # and where there is silence
UNANSWERED: Final = f"{NO_ANSWER}to DISCOVER"
NAK_GRACE_S: Final = 10.0
NAK_ROUND_S: Final = 1.0  # many times what a server on the wire needs; the first repetition comes no earlier
NAKS_PREFERRED: Final = 2
"""NAKs in a row after which the server of the last lease is no longer preferred: it may offer what it then refuses."""

REBOOT_GIVE_UP_S, REBOOT_TRIES = 10.0, 4  # RFC 2131, 3.2 leaves it open; after both the gateway decides
REQUEST_TRIES: Final = 5
PREFER_S: Final = 2.0
"""How long the server of the last lease keeps another one's offer waiting: against rogue
servers, which are usually the faster ones."""

DUPLICATE_OFFER_S: Final = 0.1
DUPLICATE_OFFER_TRIES: Final = 3
BROADCAST_AFTER: Final = 2
"""Tries after which every second one asks for a broadcast answer, for servers and access points that
cannot reach a client without an address. Not before: a broadcast is copied once for every macvlan."""

_HOLDING: Final = frozenset((Phase.BOUND, Phase.RENEWING, Phase.REBINDING, Phase.REBOOTING))


def transmits(state: State) -> bool:
    """Whether ``timer`` would send a request, and so needs a place in the queue of its segment."""
    return not _searches(state)


def awaits_answer(state: State) -> bool:
    """Whether a request is out and its answer would move the client."""
    return state.phase in AWAITING and state.attempt > 0


def is_unanswered(state: State) -> bool:
    """Whether nobody answers what was asked last, not even with an offer that cannot be taken."""
    return state.error.startswith(NO_ANSWER)


def probed(state: State) -> int:
    """Return the address whose owner is being looked for before the lease is published; 0 for none."""
    return state.check.ip if state.phase in (Phase.REQUESTING, Phase.PROBING, Phase.REBOOTING) else 0


# ── events ─────────────────────────────────────────────────────────────────────────────────────


def start(state: State, now: float, rng: Random, *, held: int = 0, delay_s: float = 0.0) -> Step:
    """Begin, or begin again: by INIT-REBOOT where an address is known, else by DISCOVER.

    *held* is an address found on the link; a lease of our own goes before it.
    """
    state = restart(state, now + delay_s, rng, "")._replace(gateway_seen=False)
    if state.lease is not None:
        return state._replace(phase=Phase.REBOOTING, wanted=int(state.lease.ip), prefer=int(state.lease.server)), ()
    if held:
        return state._replace(phase=Phase.REBOOTING, wanted=held), ()
    return state, ()


def stop(state: State, why: str) -> Step:
    """Stop sending; the lease stays until it ends."""
    return state._replace(phase=Phase.STOPPED, retry_at=FOREVER, pending=None, offer_ip=0, error=why), ()


def received(state: State, reply: Reply, sender: bytes, now: float, rng: Random) -> Step:
    """Take a reply with our chaddr, sent by the MAC *sender*; what does not fit the state is ignored."""
    state, actions = expire(state, now, rng)
    react = _TABLE[state.phase][1].get(reply.type)
    if react is None or reply.xid != state.xid:
        return state, actions
    state, more = react(state, reply, sender, now, rng)
    return state, actions + more


def timer(state: State, now: float, rng: Random) -> Step:
    """Do what ``retry_at`` was set for; before that moment, nothing."""
    state, actions = expire(state, now, rng)
    act = _TABLE[state.phase][0]
    if now < state.retry_at or act is None:
        return state, actions
    state, more = act(state, now, rng)
    return state, actions + more


def expire(state: State, now: float, rng: Random) -> Step:
    """Give the lease up if it has ended, and start again unless the client already has."""
    if state.lease is None or now < state.lease.expires_at:
        return state, ()
    gone = Withdraw(f"the lease of {state.lease.ip} ended")
    state = state._replace(lease=None)
    if state.phase in _HOLDING:
        state = restart(state, now, rng, gone.why)
    return state, (gone,)


def duplicate_offer(state: State, ip: int, holder: str, now: float) -> Step:
    """The server offered an address that another link of this host has: ignore it and ask again soon.

    dnsmasq forgets its offers: of two clients that ask together, the second gets another address
    once the first has its lease. A server that insists is asked ever more rarely.
    """
    if state.phase is not Phase.SELECTING:
        return state._replace(error=f"given {IPv4Address(ip)}, which {holder} has"), ()
    insists = state.attempt > DUPLICATE_OFFER_TRIES
    retry_at = state.retry_at if insists else min(state.retry_at, now + DUPLICATE_OFFER_S)
    return state._replace(retry_at=retry_at, error=f"{REFUSED_OFFER}{IPv4Address(ip)}, which {holder} has"), ()


def gateway_seen(state: State) -> Step:
    """The gateway of the old lease answered: this is still the same network."""
    return state._replace(gateway_seen=True), ()


def retry_immediately(state: State, now: float) -> Step:
    """The server answers again after a silence: send the pending request now."""
    if not awaits_answer(state):
        return state, ()
    return state._replace(retry_at=now, attempt=1), ()


# ── timers ─────────────────────────────────────────────────────────────────────────────────────


def _discover(state: State, now: float, rng: Random) -> Step:
    """Send the first or the next DISCOVER, or take the offer that had to wait."""
    if state.offer_ip:
        return _request(state, now, rng)
    first = state.attempt == 0
    since = now if first else state.since
    wanted = 0 if why_declined(state, state.wanted, now) else state.wanted
    broadcast = _asks_broadcast(state.attempt)
    request = Request(DISCOVER, state.xid, int(now - since), requested=wanted, broadcast=broadcast)
    state = state._replace(
        phase=Phase.SELECTING,
        since=since,
        retry_at=now + timers.retry_after(state.attempt, rng),
        attempt=state.attempt + 1,
        broadcast=broadcast,
        error=state.error if first or state.error.startswith(REFUSED_OFFER) else _unanswered(state),
    )
    return state, (Send(request),)


def _request(state: State, now: float, rng: Random) -> Step:
    """Send REQUEST for the offered address and its ARP probe together, so that the probe adds no round trip."""
    state, probe = (state, ()) if ours(state) == state.offer_ip else ask(state, state.offer_ip, now)
    state = state._replace(
        phase=Phase.REQUESTING,
        retry_at=now + timers.retry_after(0, rng),
        attempt=1,
        sent_at=now,
    )
    return state, (_confirmation(state, now), *probe)


def _request_again(state: State, now: float, rng: Random) -> Step:
    if state.attempt >= REQUEST_TRIES:
        why = f"{IPv4Address(state.offer_server)} offers but does not confirm"
        return _discover(restart(state, now, rng, why), now, rng)
    send = _confirmation(state, now)
    retry_at = now + timers.retry_after(state.attempt, rng)
    return state._replace(retry_at=retry_at, attempt=state.attempt + 1, error=f"{NO_ANSWER}to REQUEST"), (send,)


def _confirmation(state: State, now: float) -> Send:
    request = Request(
        REQUEST,
        state.xid,
        int(now - state.since),
        requested=state.offer_ip,
        server=state.offer_server,
        broadcast=state.broadcast,
    )
    return Send(request)


def _reboot(state: State, now: float, rng: Random) -> Step:
    """Send the first or the next INIT-REBOOT; after ``REBOOT_GIVE_UP_S`` decide without an answer."""
    if state.refused is not None:
        return _start_over(state, now, rng)
    first = state.attempt == 0
    probe: tuple[Action, ...] = ()
    if first:
        state, probe = ask(state._replace(since=now, sent_at=now), state.wanted, now)
    give_up_at = state.since + REBOOT_GIVE_UP_S
    if state.attempt >= REBOOT_TRIES and now >= give_up_at:
        return _reboot_unanswered(state, now, rng)
    broadcast = _asks_broadcast(state.attempt)
    request = Request(REQUEST, state.xid, int(now - state.since), requested=state.wanted, broadcast=broadcast)
    actions: tuple[Action, ...] = (Send(request), *probe)
    lease = state.lease
    if not first and lease is not None and lease.gateway is not None:
        actions += (AskGateway(int(lease.ip), int(lease.gateway)),)
    retry_at = now + timers.retry_after(state.attempt, rng)
    state = state._replace(
        retry_at=min(retry_at, give_up_at) if now < give_up_at else retry_at,
        attempt=state.attempt + 1,
        error="" if first else f"{NO_ANSWER}to INIT-REBOOT",
    )
    return state, actions


def _reboot_unanswered(state: State, now: float, rng: Random) -> Step:
    lease = state.lease
    if lease is not None and state.check.claimant:
        return settle(state, now, rng)
    if lease is None or not state.gateway_seen:
        return _discover(restart(state, now, rng, f"{NO_ANSWER}to INIT-REBOOT"), now, rng)
    check = state.check._replace(silent_at=0.0)
    state = state._replace(phase=Phase.BOUND, retry_at=lease.renew_at, attempt=0, check=check)
    return timer(state, now, rng)


def _renew(state: State, now: float, rng: Random) -> Step:
    """T1: ask the server to extend the lease, or any if T2 has passed too; and all who else has the address."""
    if _searches(state):
        return settle(state, now, rng)
    xid = rng.getrandbits(32)
    state, actions = _extend(state._replace(xid=xid, attempt=0, since=now, sent_at=now, error=""), now, rng)
    asks = state.lease is not None and state.probe is not ProbePolicy.OFF
    return state, (*actions, Recheck(state.wanted)) if asks else actions


def _extend(state: State, now: float, rng: Random) -> Step:
    lease = state.lease
    if lease is None:
        return restart(state, now, rng, ""), ()
    if state.refused is not None:
        return _start_over(state, now, rng)
    rebinds = now >= lease.rebind_at
    until = lease.expires_at if rebinds else lease.rebind_at
    send = Send(Request(REQUEST, state.xid, int(now - state.since), ciaddr=int(lease.ip)))
    if not rebinds and state.server_mac:
        send = send._replace(server_mac=state.server_mac, server=int(lease.server))
    state = state._replace(
        phase=Phase.REBINDING if rebinds else Phase.RENEWING,
        retry_at=timers.renew_again_at(now, until, lease.expires_at - lease.bound_at),
        attempt=state.attempt + 1,
        error=f"{NO_ANSWER}from {lease.server}" if state.attempt else state.error,
    )
    return state, (send,)


# ── replies ────────────────────────────────────────────────────────────────────────────────────


def _offered(state: State, reply: Reply, sender: bytes, now: float, rng: Random) -> Step:
    if why := why_declined(state, reply.yiaddr, now):
        return state._replace(error=f"{REFUSED_OFFER}{IPv4Address(reply.yiaddr)} again: {why}"), ()
    preferred = not state.prefer or reply.server == state.prefer
    if state.offer_ip and not preferred:
        return state, ()
    state = state._replace(offer_ip=reply.yiaddr, offer_server=reply.server, offered=reply.options)
    if not preferred and now < state.since + PREFER_S:
        return state._replace(retry_at=state.since + PREFER_S), ()
    return _request(state, now, rng)


def _acknowledged(state: State, reply: Reply, sender: bytes, now: float, rng: Random) -> Step:
    """Take what is granted. What the ACK leaves out stays as it was in the OFFER, or in the lease that it extends."""
    selected = state.phase is Phase.REQUESTING
    expected = (state.offer_ip, state.offer_server) if selected else _address_and_server(state)
    server = reply.server or (expected[1] if reply.yiaddr == expected[0] else 0)
    if state.phase is Phase.REBOOTING and state.lease is None and not _says_all(reply):
        state = state._replace(prefer=reply.server)
        return restart(state, now, rng, "the ACK leaves out mask, router or server"), ()
    if not server:
        return state._replace(error="the ACK does not say whose it is"), ()
    if selected and (reply.yiaddr, server) == expected:
        reply = reply._replace(options={**state.offered, **reply.options})
    reply = reply._replace(server=server)
    lease = lease_from(state.link, reply, state.sent_at, None if selected else state.lease, rng)
    return take(state._replace(server_mac=sender), lease, now, rng)


def _refused(state: State, reply: Reply, sender: bytes, now: float, rng: Random) -> Step:
    """Note a NAK, or ignore it where another server was asked; start over at once if it is from whom it counts."""
    asked, known = _asked(state), _known_server(state)
    if asked and reply.server != asked:
        return state, ()
    words = f"{IPv4Address(reply.server)} refused: {reply.text() or 'no reason given'}"
    if asked or reply.server == known:
        return _start_over(state._replace(refused=Refusal(reply.server, words, now)), now, rng)
    if state.refused is None:
        refused, retry_at = Refusal(reply.server, words, now), min(state.retry_at, now + NAK_ROUND_S)
        state = state._replace(refused=refused, retry_at=retry_at)
    return state, ()


def _start_over(state: State, now: float, rng: Random) -> Step:
    """Believe the NAK: start over after a pause that grows with every one in a row, with the known server first."""
    refused, known, lease = state.refused, _known_server(state), state.lease
    if refused is None:
        return state, ()
    naks = state.naks + 1
    actions: tuple[Action, ...] = ()
    if lease is not None and state.phase is not Phase.REQUESTING:
        lease = replace(lease, expires_at=min(lease.expires_at, now + NAK_GRACE_S))
        actions = (Shorten(lease),)
    others = refused.server != known and state.phase is not Phase.REQUESTING
    wanted = state.wanted if others else 0
    prefer = known if naks <= NAKS_PREFERRED else 0
    state = restart(state, max(now, refused.at + timers.nak_pause(naks, rng)), rng, refused.words)
    return state._replace(lease=lease, naks=naks, nak=refused.words, wanted=wanted, prefer=prefer), actions


# ── parts of the above ─────────────────────────────────────────────────────────────────────────


def _asked(state: State) -> int:
    """Return the server that the request names or was sent to; 0 if it was any."""
    if state.phase is Phase.REQUESTING:
        return state.offer_server
    if state.phase is Phase.RENEWING and state.server_mac and state.lease is not None:
        return int(state.lease.server)
    return 0


def _address_and_server(state: State) -> tuple[int, int]:
    """Return address and server of the lease; zeros for none."""
    return (int(state.lease.ip), int(state.lease.server)) if state.lease is not None else (0, 0)


def _known_server(state: State) -> int:
    """Return the server of the lease, or of the last one; 0 for none."""
    return int(state.lease.server) if state.lease is not None else state.prefer


def _says_all(reply: Reply) -> bool:
    """Whether an ACK is enough where no lease is known that would have the rest; if not, an OFFER has to say it."""
    terms = terms_of(reply)
    return bool(reply.server and terms.prefix_length and (terms.routing.gateway or terms.routing.routes))


def _searches(state: State) -> bool:
    """Whether the next timer ends a search for another owner of the address."""
    return state.phase is Phase.PROBING or (state.phase is Phase.BOUND and state.check.silent_at > 0)


def _unanswered(state: State) -> str:
    return f"{UNANSWERED}; before, {state.nak}" if state.nak else UNANSWERED


def _asks_broadcast(attempt: int) -> bool:
    return attempt >= BROADCAST_AFTER and attempt % 2 == 0


_Reaction = Callable[[State, Reply, bytes, float, Random], Step]
_Timer = Callable[[State, float, Random], Step]
# RFC 2131, figure 5, with PROBING for the ARP probe of RFC 5227. What is not in the table is ignored.
# fmt: off
_TABLE: Final[dict[Phase, tuple[_Timer | None, dict[int, _Reaction]]]] = {
    # state           when retry_at has come   when a reply with the client's xid arrives
    Phase.STOPPED:    (None,                   {}),
    Phase.INIT:       (_discover,              {}),
    Phase.SELECTING:  (_discover,              {OFFER: _offered}),
    Phase.REQUESTING: (_request_again,         {ACK: _acknowledged, NAK: _refused}),
    Phase.PROBING:    (settle,                 {}),
    Phase.BOUND:      (_renew,                 {}),
    Phase.RENEWING:   (_extend,                {ACK: _acknowledged, NAK: _refused}),
    Phase.REBINDING:  (_extend,                {ACK: _acknowledged, NAK: _refused}),
    Phase.REBOOTING:  (_reboot,                {ACK: _acknowledged, NAK: _refused}),
}
# fmt: on
