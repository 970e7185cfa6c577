"""``Status``: the state after the last pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from neod.control.errors import NoSuchObject
from neod.control.verb import Right, Text, verb

ASKED: Final = "asked for just now"
"""The reason of what a new file or lease asks for, as long as no pass has looked."""


@dataclass(frozen=True, slots=True)
class FileState:
    """The file neod works from, and whether what is on disk could be used."""

    path: str
    state: str  # ok | stale: the last reading failed, neod goes on with the one before
    loaded: str = ""  # when the one in use was read
    problems: tuple[str, ...] = ()  # of a stale file, one line each: file:line:column: key: …
    warnings: tuple[str, ...] = ()  # of the one in use, one line each
    unconfirmed: bool = False  # a stale one has no error: nobody confirmed its reload


@dataclass(frozen=True, slots=True)
class PassSummary:
    """The last pass, whether it changed something or not."""

    number: int
    time: str  # when it began
    duration_ms: float
    writes: int  # changes that were done
    failures: int
    cause: str  # what woke it


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """One thing that a path needs to carry packets."""

    name: str  # routed: packets from its address leave by its link and gateway
    status: bool | None  # null: not known
    since: str  # when that began
    evidence: str = ""  # human-readable


@dataclass(frozen=True, slots=True)
class PathRow:
    """One interface of the file with its address, lease, table, rule and endpoint."""

    name: str
    parent: str  # empty: an uplink
    ipv4: str  # dhcp | follow | static
    address: str  # "10.8.0.5/16"; empty: none yet
    lease_left_s: float | None  # None: not leased, or an infinite lease
    table: int
    rule_priority: int | None  # None: no rule yet
    mptcp: tuple[str, ...]  # flags of its endpoint
    mptcp_id: int | None  # endpoint id in the kernel
    state: str  # a phase: the worst among its objects; down: all are in sync, and a condition is false, or mode down
    detail: str = ""  # why not in-sync, human-readable
    mptcp_state: str = ""  # endpoint | neod (neod is the path manager) | waiting (for a slot) | empty: not there yet
    reason: str = ""  # of the first condition that is false
    conditions: tuple[ConditionRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ForwardRow:
    """One ``[forwards]`` table."""

    name: str
    protocol: str
    ports: tuple[str, ...]
    to: str
    snat: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """One ``[namespaces]`` table."""

    name: str
    uplink: str
    subnet: str
    expose: tuple[str, ...]
    relay_addresses: tuple[str, ...]
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """One object that is not what the file says, why, and what happens next."""

    object: str
    phase: str  # changing | blocked | retrying | failed | conflict | contested
    kind: str = ""  # missing | modified | orphan
    reason: str = ""  # human-readable
    waits_for: tuple[str, ...] = ()  # objects, or facts: "a lease for neo3"
    error: str = ""  # from the kernel, with call and errno
    next_attempt_s: float | None = None  # None: when what it waits for comes, or never
    by: str = ""  # who made it, or holds it: "ip[812]"
    origin: str = ""  # "line 12 [macvlans.neo]"


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One desired object; ``status OBJECT`` lists those that belong to it."""

    object: str
    phase: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class StatusReply:
    """The state of everything, from the last pass; answered while a pass runs."""

    converged: bool  # the kernel is what the file says: no drift, and nothing waits for a fact; never in mode down
    mode: str  # running | paused | down
    version: str
    pid: int
    since: str  # when this process started
    file: FileState
    counts: Mapping[str, int]  # objects that the file asks for by phase, "in-sync" among them; "down" in that mode
    until: str = ""  # end of a pause; empty: until ``resume``
    confirm_s: float | None = None  # a reload waits this long for ``confirm``, then is undone
    notes: tuple[str, ...] = ()  # backends and limits, human-readable: "nat: nftables"
    last_pass: PassSummary | None = None
    paths: tuple[PathRow, ...] = ()
    forwards: tuple[ForwardRow, ...] = ()
    namespaces: tuple[NamespaceRow, ...] = ()
    drifts: tuple[Drift, ...] = ()  # worst first
    objects: tuple[ObjectRow, ...] = ()  # only with an OBJECT


class StatusVerbs(Protocol):
    """The verb on the state of everything."""

    @verb(Right.READ, NoSuchObject)
    async def status(self, object: Text | None = None) -> StatusReply:
        """The state of everything, or of one object, after the last pass.

        Returned at once, also while a pass runs. A unit that waits for a fact
        counts as blocked: a drift named after the unit, with the fact in
        ``waits_for``. With *object*, rows, drifts and ``objects`` are those of
        that object only; the rest is the same.
        """
        ...
