"""Carries out the actions of the state machine and passes it events. Decides nothing about leases itself."""

from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random
from typing import Final

from neod.dhcp import conflict_check, fsm
from neod.dhcp.address_guard import AddressGuard
from neod.dhcp.frame import BROADCAST_IP, BROADCAST_MAC, Arp, udp_frame
from neod.dhcp.lease_from_ack import terms_of
from neod.dhcp.lease_writer import LeaseWriter
from neod.dhcp.packet import ACK, DECLINE, DISCOVER, NAK, OFFER, REQUEST, Reply, encode
from neod.dhcp.rate_limited_log import RateLimitedLog
from neod.dhcp.rawsocket import Packets
from neod.dhcp.segment import Client, Segment
from neod.dhcp.state import Action, Announce, AskGateway, Phase, Probe, Publish, Recheck, Send, Shorten, Step, Withdraw
from neod.dhcp.store import StoredLease
from neod.dhcp.timer_queue import TimerQueue
from neod.model.facts import FOREVER, Lease
from neod.model.ports import Clock

_SENT: Final = {DISCOVER: "discovers", REQUEST: "requests", DECLINE: "declines"}
_GOT: Final = {OFFER: "offers", ACK: "acks", NAK: "naks"}


Report = Callable[[str, str, str], None]
"""What happened, to which link, in one sentence."""


class ActionExecutor:
    """Moves clients from state to state; transmissions wait in the queue of their segment."""

    def __init__(
        self,
        clock: Clock,
        rng: Random,
        writer: LeaseWriter,
        packets: Packets,
        log: RateLimitedLog,
        counters: dict[str, int],
        rearm: Callable[[], None],
        report: Report,
    ) -> None:
        self.segments: dict[str, Segment] = {}
        self.guards: dict[str, AddressGuard] = {}
        self.timers: TimerQueue[Client] = TimerQueue()
        self._clock, self._rng, self._writer = clock, rng, writer
        self._log, self._counters = log, counters
        self._rearm = rearm  # what follows a turn: the loop's timer
        self.report, self._packets = report, packets
        self._holders: dict[int, Client] = {}  # who of ours has an address, or is after it

    def step(self, client: Client, step: Step) -> None:
        """Put *client* into its next state and do what that takes."""
        before = client.state.lease
        client.state, actions = step
        for action in actions:
            self._perform(client, action, before)
        self.settle(client)

    def settle(self, client: Client) -> None:
        """Bring whatever depends on the state of *client* in line with it."""
        state = client.state
        lease = state.lease
        if not fsm.awaits_answer(state):
            self.segments[client.parent].exchanges.leave(client)
        probed = fsm.probed(state)
        if lease is not client.claimed or probed != client.probed:
            self._claim(client, lease, probed)
        retry_at = FOREVER if client.queued else state.retry_at
        if lease is not None and lease.expires_at < retry_at:
            retry_at = lease.expires_at
        self.timers.set(client, retry_at)

    def _claim(self, client: Client, lease: Lease | None, probed: int) -> None:
        """Note which addresses *client* has or is after; who was first keeps them."""
        holders = self._holders
        for ip in client.claims:
            if holders.get(ip) is client:
                del holders[ip]
        client.claimed, client.probed = lease, probed
        client.claims = (int(lease.ip) if lease is not None else 0, probed)
        for ip in client.claims:
            if ip:
                holders.setdefault(ip, client)

    def due(self, now: float) -> None:
        """Run every timer that is due; a client that would send is put in the queue of its segment."""
        for client in self.timers.due(now):
            lease = client.state.lease
            if lease is not None and now >= lease.expires_at:
                self.step(client, fsm.expire(client.state, now, self._rng))
            if client.queued or client.state.retry_at > now:
                self.settle(client)
            elif fsm.transmits(client.state):
                client.queued = True
                self.segments[client.parent].queue.append(client)
                self.settle(client)
            else:
                self.step(client, fsm.timer(client.state, now, self._rng))

    def pump(self, segment: Segment, now: float) -> None:
        """Let clients at the head of the queue send, as many as the limit allows."""
        limit, queue = segment.exchanges, segment.queue
        limit.lapse(now)
        while queue and limit.has_room and segment.sockets.is_open:
            client = queue.popleft()
            client.queued = False
            if client.state.retry_at <= now:
                limit.enter(client, now)
                self.step(client, fsm.timer(client.state, now, self._rng))
            else:
                self.settle(client)

    # ── what arrives ───────────────────────────────────────────────────────────────────

    def replied(self, segment: Segment, client: Client, reply: Reply, sender: bytes) -> None:
        """Pass a server's answer on, unless it gives an address that this host has elsewhere."""
        now = self._clock.boottime()
        if not client.ready:
            self._counters["late"] += 1
            return
        client.unusable = ""
        self._counters[_GOT[reply.type]] += 1
        if reply.type != NAK:
            self._counters["left_out"] += len(terms_of(reply).left_out)
            if (refusal := self._refusal(client, reply, now)) is not None:
                self._counters["refused"] += 1
                self.step(client, refusal)
                return
        ends_silence = segment.exchanges.heard(now)
        if reply.type == NAK:
            self._log.limited("dhcp.refused", link=client.link, server=IPv4Address(reply.server), why=reply.text())
        self.step(client, fsm.received(client.state, reply, sender, now, self._rng))
        if client.state.naks:
            client.held = 0
        if client.state.phase is Phase.REQUESTING:
            segment.exchanges.enter(client, now)
        if ends_silence:
            self._retry_all(segment, now)

    def _refusal(self, client: Client, reply: Reply, now: float) -> Step | None:
        """Return what becomes of *client* if this host has elsewhere what it is given, else None."""
        ip, holder = reply.yiaddr, self._holders.get(reply.yiaddr, client)
        if holder is not client:
            self._log.limited("dhcp.duplicate_offer", link=client.link, ip=IPv4Address(ip), holder=holder.link)
            return fsm.duplicate_offer(client.state, ip, holder.link, now)
        where = self._packets.elsewhere(ip, client.link)
        return conflict_check.taken_here(client.state, reply, where, now, self._rng) if where else None

    def unusable(self, client: Client, sender: str, why: str) -> None:
        """Remember, until somebody gives a usable answer, what is wrong with that of *sender*."""
        client.unusable = f"the answer of {sender} cannot be used: {why}"
        self._log.limited("dhcp.unusable", link=client.link, sender=sender, why=why)

    def claimed(self, parent: str, arp: Arp) -> bytes:
        """Find out whether ARP of another host claims an address, or tells that a gateway is still there."""
        segment = self.segments.get(parent)
        if segment is None:
            return b""
        asked = segment.clients.get(arp.target_mac)
        if asked is not None and asked.state.phase is Phase.REBOOTING:
            lease = asked.state.lease
            if lease is not None and lease.gateway is not None and int(lease.gateway) == arp.ip:
                self.step(asked, fsm.gateway_seen(asked.state))
        holder = self._holders.get(arp.ip or arp.target)
        if holder is None or segment.clients.get(holder.mac) is not holder:
            return b""
        return self._contest(holder, arp)

    def _contest(self, holder: Client, arp: Arp) -> bytes:
        if self.guards[holder.parent].claimants.claims_everything(arp.mac):
            return b""
        ip = arp.ip if holder.state.phase is Phase.BOUND else arp.ip or arp.target
        step = conflict_check.claimed(holder.state, ip, arp.mac, self._clock.boottime())
        if step[0] is holder.state:
            return b""
        self._counters["conflicts"] += 1
        self._log.limited("dhcp.conflict", link=holder.link, ip=IPv4Address(ip), mac=arp.mac.hex(":"))
        self.step(holder, step)
        return holder.mac

    def acquitted(self, parent: str, mac: bytes) -> None:
        """Forget what *mac* claims: it claims everything."""
        now = self._clock.boottime()
        for client in list(self.segments[parent].clients.values()) if parent in self.segments else ():
            self.step(client, conflict_check.acquitted(client.state, mac, now))

    def owner(self, mac: bytes) -> tuple[str, str] | None:
        """Return the parent and the link of which *mac* is; None if it is not ours."""
        for parent, segment in self.segments.items():
            if mac == segment.sockets.mac:
                return parent, parent
            if (client := segment.clients.get(mac)) is not None:
                return parent, client.link
        found = ((parent, guard.link_of(mac)) for parent, guard in self.guards.items())
        return next(((parent, link) for parent, link in found if link), None)

    def guard(self, parent: str) -> AddressGuard:
        """Return what hears and sends the ARP of *parent*."""
        guard = self.guards.get(parent)
        if guard is None:
            guard = self.guards[parent] = AddressGuard(parent, self._packets, self._clock, self._rng, self)
        return guard

    def turn(self, parent: str) -> None:
        """Use the places that answers have freed."""
        if parent in self.segments:
            self.pump(self.segments[parent], self._clock.boottime())
        self._rearm()

    def _retry_all(self, segment: Segment, now: float) -> None:
        self._counters["hurries"] += 1
        for client in segment.clients.values():
            self.step(client, fsm.retry_immediately(client.state, now))

    # ── what the state machine asks ───────────────────────────────────────────────────────────

    def _perform(self, client: Client, action: Action, before: Lease | None) -> None:
        segment = self.segments[client.parent]
        match action:
            case Send():
                self._send(segment, client, action)
            case Probe(ip):
                self._arp(self.guard(client.parent).probe(client.mac, ip))
            case Recheck(ip):
                self._arp(self.guard(client.parent).ask(ip))
            case Announce(ip):
                self._arp(self.guard(client.parent).announce(client.mac, ip))
            case AskGateway(ip, gateway):
                self._arp(self.guard(client.parent).request(client.mac, ip, gateway))
            case Publish(lease):
                self._bound(client, lease, before)
            case Shorten(lease):
                self._writer.amend(client.link, _record(client, lease))
            case Withdraw(why):
                self._log.say("dhcp.lost", link=client.link, why=why)
                self._writer.withdraw(client.link)

    def _send(self, segment: Segment, client: Client, send: Send) -> None:
        request = send.request
        payload = encode(request, client.mac)
        if send.server_mac:
            frame = udp_frame(send.server_mac, client.mac, request.ciaddr, send.server, payload)
        else:
            frame = udp_frame(BROADCAST_MAC, client.mac, request.ciaddr, BROADCAST_IP, payload)
        self._counters[_SENT[request.type]] += 1
        if request.type == DECLINE:
            self.report("address declined", client.link, client.state.error)
        segment.sockets.send(frame)

    def _arp(self, sent: bool) -> None:
        self._counters["arps" if sent else "send_errors"] += 1

    def _bound(self, client: Client, lease: Lease, before: Lease | None) -> None:
        """Keep and publish a lease; report it unless it is a mere extension."""
        client.held = 0
        if before is None or (before.ip, before.gateway) != (lease.ip, lease.gateway):
            lasts_s = lease.expires_at - lease.bound_at  # inf: without end
            self._log.say("dhcp.bound", link=client.link, ip=lease.ip, gateway=lease.gateway, lasts_s=lasts_s)
        self._writer.keep(client.link, _record(client, lease))


def _record(client: Client, lease: Lease) -> StoredLease:
    macs = client.mac.hex(":"), client.state.server_mac.hex(":")
    return StoredLease(lease, *macs, client.parent, client.release)
