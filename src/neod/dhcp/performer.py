"""Does what the state machine asks for, and tells it what happened. Decides nothing about leases itself."""

from collections.abc import Callable
from ipaddress import IPv4Address
from random import Random
from typing import Final

from neod.dhcp import fsm
from neod.dhcp.agenda import Agenda
from neod.dhcp.frame import BROADCAST_IP, BROADCAST_MAC, Arp, arp_announcement, arp_probe, arp_request, udp_frame
from neod.dhcp.lease_writer import LeaseWriter
from neod.dhcp.packet import ACK, DECLINE, DISCOVER, NAK, OFFER, REQUEST, Reply, encode
from neod.dhcp.sink import Sink
from neod.dhcp.state import Action, Announce, AskGateway, Phase, Probe, Publish, Send, Shorten, Withdraw
from neod.dhcp.store import StoredLease
from neod.dhcp.wire import Client, Wire
from neod.model.facts import FOREVER, Lease
from neod.model.ports import Clock

_SENT: Final = {DISCOVER: "discovers", REQUEST: "requests", DECLINE: "declines"}
_GOT: Final = {OFFER: "offers", ACK: "acks", NAK: "naks"}


class Performer:
    """Moves clients from state to state, each transmission in its turn."""

    def __init__(
        self,
        clock: Clock,
        rng: Random,
        writer: LeaseWriter,
        sink: Sink,
        counters: dict[str, int],
        rearm: Callable[[], None],
    ) -> None:
        self.wires: dict[str, Wire] = {}
        self.agenda: Agenda[Client] = Agenda()
        self._clock, self._rng, self._writer = clock, rng, writer
        self._sink, self._counters = sink, counters
        self._rearm = rearm  # what follows a turn: the loop's timer
        self._holders: dict[int, Client] = {}  # who of ours has an address, or is after it

    def step(self, client: Client, step: fsm.Step) -> None:
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
            self.wires[client.parent].window.leave(client)
        probed = fsm.probed(state)
        if lease is not client.claimed or probed != client.probed:
            self._claim(client, lease, probed)
        retry_at = FOREVER if client.queued else state.retry_at
        if lease is not None and lease.expires_at < retry_at:
            retry_at = lease.expires_at
        self.agenda.set(client, retry_at)

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
        """Let everybody act whose moment has come; who would send waits in the queue of its wire."""
        for client in self.agenda.due(now):
            lease = client.state.lease
            if lease is not None and now >= lease.expires_at:
                self.step(client, fsm.expire(client.state, now, self._rng))
            if client.queued or client.state.retry_at > now:
                self.settle(client)
            elif fsm.transmits(client.state):
                client.queued = True
                self.wires[client.parent].queue.append(client)
                self.settle(client)
            else:
                self.step(client, fsm.timer(client.state, now, self._rng))

    def pump(self, wire: Wire, now: float) -> None:
        """Let those at the head of the queue send, as many as the window of the wire has room for."""
        window, queue = wire.window, wire.queue
        window.lapse(now)
        while queue and window.has_room and wire.is_open:
            client = queue.popleft()
            client.queued = False
            if client.state.retry_at <= now:
                window.enter(client, now)
                self.step(client, fsm.timer(client.state, now, self._rng))
            else:
                self.settle(client)

    # ── what the wire tells ───────────────────────────────────────────────────────────────────

    def replied(self, wire: Wire, client: Client, reply: Reply, sender: bytes) -> None:
        """Pass a server's answer on, unless it gives one of our addresses to another of our links."""
        now = self._clock.boottime()
        if not client.ready:
            self._counters["late"] += 1
            return
        self._counters[_GOT[reply.type]] += 1
        holder = client if reply.type == NAK else self._holders.get(reply.yiaddr, client)
        if holder is not client:
            self._counters["refused"] += 1
            self._sink.provoked("dhcp.given_twice", link=client.link, ip=IPv4Address(reply.yiaddr), holder=holder.link)
            self.step(client, fsm.given_twice(client.state, reply.yiaddr, holder.link, now))
            return
        ends_silence = wire.window.heard(now)
        if reply.type == NAK:
            client.held = 0
            self._sink.provoked("dhcp.refused", link=client.link, server=IPv4Address(reply.server), why=reply.text())
        self.step(client, fsm.received(client.state, reply, sender, now, self._rng))
        if client.state.phase is Phase.REQUESTING:
            wire.window.enter(client, now)
        if ends_silence:
            self._hurry(wire, now)

    def claimed(self, wire: Wire, arp: Arp) -> None:
        """Find out whether ARP tells of a conflict, or of a gateway that is still there.

        Our own MACs are no conflict: all macvlans of a parent are on one segment.
        """
        if arp.mac == wire.mac or any(arp.mac in other.clients for other in self.wires.values()):
            return
        now = self._clock.boottime()
        asked = wire.clients.get(arp.target_mac)
        if asked is not None and asked.state.phase is Phase.REBOOTING:
            lease = asked.state.lease
            if lease is not None and lease.gateway is not None and int(lease.gateway) == arp.ip:
                self.step(asked, fsm.gateway_seen(asked.state))
        holder = self._holders.get(arp.ip or arp.target)
        if holder is None or wire.clients.get(holder.mac) is not holder:
            return
        ip = fsm.probed(holder.state)
        if ip and ip == (arp.ip or arp.target):
            self._counters["conflicts"] += 1
            self._sink.provoked("dhcp.conflict", link=holder.link, ip=IPv4Address(ip), mac=arp.mac.hex(":"))
            self.step(holder, fsm.conflict(holder.state, ip, now, self._rng))

    def turn(self, wire: Wire) -> None:
        """Use the places that answers have freed."""
        self.pump(wire, self._clock.boottime())
        self._rearm()

    def _hurry(self, wire: Wire, now: float) -> None:
        self._counters["hurries"] += 1
        for client in wire.clients.values():
            self.step(client, fsm.hurry(client.state, now))

    # ── what the state machine asks ───────────────────────────────────────────────────────────

    def _perform(self, client: Client, action: Action, before: Lease | None) -> None:
        wire = self.wires[client.parent]
        match action:
            case Send():
                self._send(wire, client, action)
            case Probe(ip):
                wire.listen_for_arp(self._clock.boottime())
                self._arp(wire, arp_probe(client.mac, ip))
            case Announce(ip):
                self._arp(wire, arp_announcement(client.mac, ip))
            case AskGateway(ip, gateway):
                wire.listen_for_arp(self._clock.boottime())
                self._arp(wire, arp_request(client.mac, ip, gateway))
            case Publish(lease):
                self._bound(client, lease, before)
            case Shorten(lease):
                self._writer.shorten(client.link, _record(client, lease))
            case Withdraw(why):
                self._sink.say("dhcp.lost", link=client.link, why=why)
                self._writer.withdraw(client.link)

    def _send(self, wire: Wire, client: Client, send: Send) -> None:
        request = send.request
        payload = encode(request, client.mac)
        if send.server_mac:
            frame = udp_frame(send.server_mac, client.mac, request.ciaddr, send.server, payload)
        else:
            frame = udp_frame(BROADCAST_MAC, client.mac, request.ciaddr, BROADCAST_IP, payload)
        self._counters[_SENT[request.type]] += 1
        wire.send(frame)

    def _arp(self, wire: Wire, frame: bytes) -> None:
        self._counters["arps"] += 1
        wire.send(frame)

    def _bound(self, client: Client, lease: Lease, before: Lease | None) -> None:
        """Keep and publish a lease; report it unless it is a mere extension."""
        client.held = 0
        if before is None or (before.ip, before.gateway) != (lease.ip, lease.gateway):
            lasts_s = lease.expires_at - lease.bound_at  # inf: without end
            self._sink.say("dhcp.bound", link=client.link, ip=lease.ip, gateway=lease.gateway, lasts_s=lasts_s)
        self._writer.keep(client.link, _record(client, lease))


def _record(client: Client, lease: Lease) -> StoredLease:
    return StoredLease(lease, client.mac.hex(":"), client.state.server_mac.hex(":"))
