"""State of one parent link: its sockets, the clients by MAC, the queue of those that want to send.

Whatever the link does (down, deleted, made anew) ends in a socket opened again later, never
in an exception.
"""

import asyncio
import errno
from collections import deque
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final, Protocol

from neod.dhcp import rawsocket
from neod.dhcp.concurrency_limit import ConcurrencyLimit
from neod.dhcp.frame import CHADDR_AFTER_IP, XID_TO_CHADDR, Arp, dhcp_at, parse_arp
from neod.dhcp.packet import NAK, Malformed, Reply, decode
from neod.dhcp.rate_limited_log import RateLimitedLog
from neod.dhcp.rawsocket import PacketSocket
from neod.dhcp.state import State
from neod.model.facts import FOREVER, Lease

DRAIN: Final = 256  # frames a turn of the loop; the rest waits for the next
REOPEN_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ARP_LINGER_S: Final = 3.0
"""How long the ARP socket stays without a question: closing it waits for the kernel (RCU), so not after each."""

FLAPS, FLAP_WINDOW_S, LONGEST_HOLD_S = 3, 10.0, 30.0
SERVERS_REMEMBERED: Final = 16

COUNTERS: Final = (
    *("received", "foreign", "malformed", "late", "offers", "acks", "naks", "refused", "conflicts"),
    *("discovers", "requests", "declines", "arps", "send_errors", "dropped", "hurries"),
)


class Client:
    """One DHCP client: its state, and where it stands in the queues."""

    __slots__ = (
        *("armed_at", "claimed", "claims", "held", "link", "mac", "parent", "probed", "queued", "ready"),
        *("state", "trouble"),
    )

    def __init__(self, link: str, parent: str, mac: bytes) -> None:
        self.link, self.parent, self.mac = link, parent, mac
        self.state = State(link)
        self.ready = False  # the link exists and is up
        self.held = 0
        self.queued = False
        self.armed_at = FOREVER
        self.claimed: Lease | None = None  # what ``claims`` was made from
        self.probed = 0
        self.claims: tuple[int, int] = (0, 0)  # the address of its lease, and the one being probed
        self.trouble = ""  # why it cannot even begin


class Listener(Protocol):
    """Receives what arrives on a segment."""

    def replied(self, segment: "Segment", client: Client, reply: Reply, sender: bytes) -> None:
        """A server answered *client*."""
        ...

    def claimed(self, segment: "Segment", arp: Arp) -> None:
        """Somebody said by ARP which address is whose, or asked for one."""
        ...

    def turn(self, segment: "Segment") -> None:
        """All that had arrived has been told."""
        ...


class Segment:
    """The sockets of one parent and the clients behind them."""

    def __init__(self, parent: str, listener: Listener, counters: dict[str, int], log: RateLimitedLog) -> None:
        self.parent = parent
        self.clients: dict[bytes, Client] = {}
        self.queue: deque[Client] = deque()  # whose timer is due and who needs a place
        self.exchanges: ConcurrencyLimit[Client] = ConcurrencyLimit()
        self.carrier = True
        self.problem = ""
        self._listener, self._counters, self._log = listener, counters, log
        self._dhcp: PacketSocket | None = None
        self._arp: PacketSocket | None = None
        self._arp_until = 0.0
        self._reopen_at, self._failures = 0.0, 0
        self._ups: deque[float] = deque(maxlen=FLAPS)
        self._hold_s = 0.0
        self._servers: set[int] = set()

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._dhcp is not None

    @property
    def mac(self) -> bytes:
        """The parent's own MAC, as far as it is known."""
        return self._dhcp.mac if self._dhcp else b""

    # ── sockets ───────────────────────────────────────────────────────────────────────────────

    def check(self, now: float) -> None:
        """Have the socket open on the link that has the parent's name now; keep it if the link was only renamed."""
        if self._dhcp is not None:
            index = rawsocket.index_of(self.parent)
            if index == self._dhcp.index or (not index and rawsocket.name_of(self._dhcp.index)):
                self._count_drops()
                self._close_idle_arp(now)
                return
            self._fail("the link is gone", now)
        if now >= self._reopen_at:
            self._open(now)

    def next_check(self) -> float:
        """Return when ``check`` should be called, beside its regular turn."""
        return FOREVER if self._dhcp is not None else self._reopen_at

    def close(self) -> None:
        """Give everything back to the kernel."""
        for sock in (self._dhcp, self._arp):
            if sock is not None:
                asyncio.get_running_loop().remove_reader(sock.fileno())
                sock.close()
        self._dhcp = self._arp = None

    def _open(self, now: float) -> None:
        try:
            self._dhcp = rawsocket.open_dhcp(self.parent)
        except OSError as exc:
            self._fail(f"{errno.errorcode.get(exc.errno or 0, '')} {exc.strerror}", now)
            return
        asyncio.get_running_loop().add_reader(self._dhcp.fileno(), self._on_dhcp)
        self._failures, self.problem = 0, ""
        self._log.say("dhcp.listening", parent=self.parent, index=self._dhcp.index)

    def _fail(self, why: str, now: float) -> None:
        self.close()
        self._reopen_at = now + REOPEN_S[min(self._failures, len(REOPEN_S) - 1)]
        self._failures += 1
        if not self.problem:
            self._log.limited("dhcp.deaf", parent=self.parent, why=why)
        self.problem = f"cannot listen on {self.parent}: {why}"

    def _count_drops(self) -> None:
        if self._dhcp is not None:
            self._counters["dropped"] += self._dhcp.dropped()

    def _close_idle_arp(self, now: float) -> None:
        if self._arp is not None and now >= self._arp_until:
            asyncio.get_running_loop().remove_reader(self._arp.fileno())
            self._arp.close()
            self._arp = None

    # ── sending ───────────────────────────────────────────────────────────────────────────────

    def send(self, frame: bytes) -> None:
        """Send *frame*; what the kernel does not take is lost, as anything on a wire can be."""
        if self._dhcp is None:
            return
        try:
            self._dhcp.send(frame)
        except OSError as exc:
            self._counters["send_errors"] += 1
            self.problem = f"cannot send on {self.parent}: {exc.strerror}"
        else:
            if self.problem:
                self.problem = ""

    def listen_for_arp(self, now: float) -> None:
        """Hear ARP for the next seconds; without a socket nothing is heard, and nothing else happens."""
        self._arp_until = now + ARP_LINGER_S
        if self._arp is None:
            with suppress(OSError):
                self._arp = rawsocket.open_arp(self.parent)
                asyncio.get_running_loop().add_reader(self._arp.fileno(), self._on_arp)

    # ── receiving ─────────────────────────────────────────────────────────────────────────────

    def _on_dhcp(self) -> None:
        if self._dhcp is None:
            return
        try:
            for frame in self._dhcp.frames(DRAIN):
                self._take(frame)
        except OSError as exc:
            if exc.errno != errno.ENETDOWN:  # that is said once when the link goes down, and the socket lives on
                self.close()
        finally:
            self._listener.turn(self)

    def _take(self, frame: bytes) -> None:
        """Look whose it is, and whether it answers anything, before all else: a flood must be cheap."""
        counters = self._counters
        counters["received"] += 1
        at = CHADDR_AFTER_IP + ((frame[14] & 15) << 2) if len(frame) > 14 else 0
        client = self.clients.get(frame[at : at + 6])
        if client is None:
            counters["foreign"] += 1
            return
        if int.from_bytes(frame[at - XID_TO_CHADDR : at - XID_TO_CHADDR + 4], "big") != client.state.xid:
            counters["late"] += 1
            return
        bounds = dhcp_at(frame)
        if bounds is None:
            counters["malformed"] += 1
            return
        try:
            reply = decode(frame[bounds[0] : bounds[1]])
        except Malformed:
            counters["malformed"] += 1
            return
        self._note_server(reply)
        self._listener.replied(self, client, reply, frame[6:12])

    def _note_server(self, reply: Reply) -> None:
        """Tell once that several servers answer here: one of them may be a rogue."""
        servers = self._servers
        if reply.server in servers or reply.type == NAK or len(servers) >= SERVERS_REMEMBERED:
            return
        servers.add(reply.server)
        if len(servers) > 1:
            known = ", ".join(str(IPv4Address(server)) for server in sorted(servers))
            self._log.limited("dhcp.several_servers", parent=self.parent, servers=known)

    def _on_arp(self) -> None:
        if self._arp is None:
            return
        try:
            for frame in self._arp.frames(DRAIN):
                arp = parse_arp(frame)
                if arp is not None:
                    self._listener.claimed(self, arp)
        except OSError:
            self._arp_until = 0.0  # closed by the next check; a probe without an answer is as good as none
        self._listener.turn(self)

    # ── carrier ───────────────────────────────────────────────────────────────────────────────

    def came_back(self, now: float) -> float:
        """Note that the carrier is back; return how long to let it settle: 0, or 1 to 30 s if it flaps."""
        self._ups.append(now)
        flapping = len(self._ups) == FLAPS and now - self._ups[0] < FLAP_WINDOW_S
        self._hold_s = min(LONGEST_HOLD_S, max(1.0, self._hold_s * 2)) if flapping else 0.0
        return self._hold_s
