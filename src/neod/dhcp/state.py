"""One DHCPv4 client between two events, and what an event can ask the outside to do. Values only."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from neod.dhcp.packet import Request
from neod.model.facts import FOREVER, Lease, ProbePolicy


class Phase(StrEnum):
    """The states of RFC 2131, figure 5, with the ARP probe and the pause of a missing link."""

    STOPPED = "stopped"  # no link or no carrier
    INIT = "init"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    PROBING = "probing"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"
    REBOOTING = "rebooting"


class ConflictCheck(NamedTuple):
    """The search for another owner of *ip*."""

    ip: int = 0
    silent_at: float = 0.0  # nobody answered by then: it is ours alone; 0: that is settled, or was not asked
    until: float = 0.0  # a claim counts against the address until then
    claimant: bytes = b""  # the MAC that claims it; what that is worth shows by ``silent_at``


class Refusal(NamedTuple):
    """A NAK."""

    server: int
    words: str
    at: float


class State(NamedTuple):
    """One client. A tuple and not a dataclass: it is replaced four times a lease, and that is 3x cheaper."""

    link: str
    phase: Phase = Phase.STOPPED
    retry_at: float = FOREVER  # when ``timer`` is to be called
    xid: int = 0
    attempt: int = 0  # transmissions in this exchange
    broadcast: bool = False  # the last one asked for a broadcast answer
    since: float = 0.0  # first transmission of this exchange
    sent_at: float = 0.0  # first transmission of the current REQUEST: the lease counts from it
    lease: Lease | None = None  # published and not expired
    server_mac: bytes = b""  # who sent the ACK: the server, or the router before it
    wanted: int = 0  # the address to ask for again
    prefer: int = 0  # the server whose offer goes first
    offer_ip: int = 0
    offer_server: int = 0
    offered: Mapping[int, bytes] = MappingProxyType({})  # the options of that offer
    pending: Lease | None = None  # acknowledged, being probed
    check: ConflictCheck = ConflictCheck()
    gateway_seen: bool = False
    declined: tuple[tuple[int, float, str], ...] = ()  # (address, until, why)
    refused: Refusal | None = None  # by a server that was not asked: counts unless another confirms in this round
    naks: int = 0  # that counted, in a row
    nak: str = ""  # what the last of them said
    error: str = ""
    probe: ProbePolicy = ProbePolicy.AUTO


class Send(NamedTuple):
    """Send *request*: broadcast, or to the server at *server_mac* and *server*."""

    request: Request
    server_mac: bytes = b""
    server: int = 0


class Probe(NamedTuple):
    """Ask by ARP whether somebody has *ip*, and report it as ``claimed``."""

    ip: int


class Recheck(NamedTuple):
    """Ask by ARP who else has *ip*, which is in use."""

    ip: int


class Announce(NamedTuple):
    """Announce by ARP that *ip* is ours."""

    ip: int


class AskGateway(NamedTuple):
    """Ask by ARP, in the name of *ip*, for *gateway*, and report the answer as ``gateway_seen``."""

    ip: int
    gateway: int


class Publish(NamedTuple):
    """Publish that *lease* holds from now on, in place of any other."""

    lease: Lease


class Shorten(NamedTuple):
    """Remember that the published lease ends earlier, when *lease* says."""

    lease: Lease


class Withdraw(NamedTuple):
    """Publish that there is no lease any more."""

    why: str


Action = Send | Probe | Recheck | Announce | AskGateway | Publish | Shorten | Withdraw
Step = tuple[State, tuple[Action, ...]]
