"""State of one parent link: the clients by MAC, the queue of those that want to send, whose each answer is."""

from collections import deque
from ipaddress import IPv4Address
from typing import Final, Protocol

from neod.dhcp.concurrency_limit import ConcurrencyLimit
from neod.dhcp.frame import CHADDR_AFTER_IP, XID_TO_CHADDR, dhcp_at
from neod.dhcp.packet import NAK, Malformed, Reply, decode
from neod.dhcp.parent_sockets import ParentSockets, Receiver
from neod.dhcp.rate_limited_log import RateLimitedLog
from neod.dhcp.rawsocket import Packets
from neod.dhcp.state import State
from neod.model.facts import FOREVER, Lease

FLAPS, FLAP_WINDOW_S, LONGEST_HOLD_S = 3, 10.0, 30.0
SERVERS_REMEMBERED: Final = 16

COUNTERS: Final = (
    *("received", "foreign", "malformed", "left_out", "late", "offers", "acks", "naks", "refused", "conflicts"),
    *("discovers", "requests", "declines", "arps", "send_errors", "dropped", "hurries"),
)


class Client:
    """One DHCP client: its state, and where it stands in the queues."""

    __slots__ = (
        *("armed_at", "claimed", "claims", "held", "link", "mac", "parent", "probed", "queued", "ready", "release"),
        *("state", "trouble", "unusable"),
    )

    def __init__(self, link: str, parent: str, mac: bytes) -> None:
        self.link, self.parent, self.mac = link, parent, mac
        self.state = State(link)
        self.ready = False  # the link exists and is up
        self.held = 0
        self.release = True  # whether its lease is given back when the file gives it up
        self.queued = False
        self.armed_at = FOREVER
        self.claimed: Lease | None = None  # what ``claims`` was made from
        self.probed = 0
        self.claims: tuple[int, int] = (0, 0)  # the address of its lease, and the one being probed
        self.trouble = ""  # why it cannot even begin
        self.unusable = ""  # whose last answer could not be used, and why


class Listener(Protocol):
    """Receives what arrives on a segment."""

    def replied(self, segment: "Segment", client: Client, reply: Reply, sender: bytes) -> None:
        """A server answered *client*."""
        ...

    def unusable(self, client: Client, sender: str, why: str) -> None:
        """Somebody answered *client* with what no lease can come of."""
        ...

    def turn(self, parent: str) -> None:
        """All that had arrived has been told."""
        ...


class CarrierDamping:
    """How long a carrier that comes back must last before it counts."""

    def __init__(self) -> None:
        self._ups: deque[float] = deque(maxlen=FLAPS)
        self._hold_s = 0.0

    def came_back(self, now: float) -> float:
        """Note that the carrier is back; return how long to let it settle: 0, or 1 to 30 s if it flaps."""
        self._ups.append(now)
        flapping = len(self._ups) == FLAPS and now - self._ups[0] < FLAP_WINDOW_S
        self._hold_s = min(LONGEST_HOLD_S, max(1.0, self._hold_s * 2)) if flapping else 0.0
        return self._hold_s


class Segment:
    """The clients behind one parent."""

    def __init__(
        self, parent: str, listener: Listener, packets: Packets, counters: dict[str, int], log: RateLimitedLog
    ) -> None:
        self.parent = parent
        self.clients: dict[bytes, Client] = {}
        self.queue: deque[Client] = deque()  # whose timer is due and who needs a place
        self.exchanges: ConcurrencyLimit[Client] = ConcurrencyLimit()
        self.carrier = CarrierDamping()
        self.sockets = ParentSockets(parent, Receiver(self._take, self._turn), packets, counters, log)
        self._listener, self._counters, self._log = listener, counters, log
        self._servers: set[int] = set()

    def next_due(self) -> float:
        """Return when something is to be done here, beside the timers of the clients."""
        if not self.sockets.is_open:
            return self.sockets.next_check()
        return self.exchanges.next_lapse() if self.queue else FOREVER

    def _take(self, frame: bytes) -> None:
        """Find its client, and whether it answers a request, before it is parsed: a flood must be cheap."""
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
        except Malformed as exc:
            counters["malformed"] += 1
            self._listener.unusable(client, f"{IPv4Address(frame[26:30])} ({frame[6:12].hex(':')})", str(exc))
            return
        self._note_server(reply)
        self._listener.replied(self, client, reply, frame[6:12])

    def _note_server(self, reply: Reply) -> None:
        """Report once that several servers answer here: one of them may be a rogue."""
        servers = self._servers
        if reply.server in servers or reply.type == NAK or len(servers) >= SERVERS_REMEMBERED:
            return
        servers.add(reply.server)
        if len(servers) > 1:
            known = ", ".join(str(IPv4Address(server)) for server in sorted(servers))
            self._log.limited("dhcp.several_servers", parent=self.parent, servers=known)

    def _turn(self) -> None:
        self._listener.turn(self.parent)
