"""What the daemon answers. The one model behind the control socket, ``--json`` and every table.

Plain values, computed by the daemon: who prints them decides nothing. A field
is added with a default and never changes its meaning; readers ignore fields
they do not know. An empty string or ``None`` says "there is none".

Objects are named by the text of their key (``rule:11003/from 10.8.0.5/32
lookup 3``). Durations are seconds or milliseconds from the moment of the
reply; instants are wall-clock times in ISO 8601 with offset, for people.

Not for: errors (see ``errors``), and anything that needs an import: this module
is on the start-up path of ``neodctl``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# ---------------------------------------------------------------- status


@dataclass(frozen=True, slots=True)
class FileState:
    """The file neod works from, and whether what is on disk could be used."""

    path: str
    state: str  # ok | stale: the last reading failed, neod goes on with the one before
    loaded: str = ""  # when the one in use was read
    problems: tuple[str, ...] = ()  # of a stale file, one line each: file:line:column: key: …
    warnings: tuple[str, ...] = ()  # of the one in use, one line each


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
class PathRow:
    """One interface of the file with its address, lease, table, rule and endpoint."""

    name: str
    parent: str  # empty: an uplink
    ipv4: str  # dhcp | follow | static
    address: str  # "10.8.0.5/16"; empty: none yet
    lease_left_s: float | None  # None: not leased, or leased for ever
    table: int
    rule_priority: int | None  # None: no rule yet
    mptcp: tuple[str, ...]  # flags of its endpoint
    mptcp_id: int | None  # endpoint id in the kernel
    state: str  # a phase: the worst among its objects
    detail: str = ""  # why not in-sync, in words


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
    reason: str = ""  # in words
    waits_for: tuple[str, ...] = ()  # objects, or facts in words: "a lease for neo3"
    error: str = ""  # what the kernel said, with call and errno
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

    converged: bool  # no drift, and nothing waits for a fact
    mode: str  # running | paused | down
    version: str
    pid: int
    since: str  # when this process started
    file: FileState
    counts: Mapping[str, int]  # desired objects by phase, "in-sync" among them
    until: str = ""  # end of a pause; empty: until ``resume``
    confirm_s: float | None = None  # a reload waits this long for ``confirm``, then is undone
    notes: tuple[str, ...] = ()  # backends and limits in words: "nat: nftables"
    last_pass: PassSummary | None = None
    paths: tuple[PathRow, ...] = ()
    forwards: tuple[ForwardRow, ...] = ()
    namespaces: tuple[NamespaceRow, ...] = ()
    drifts: tuple[Drift, ...] = ()  # worst first
    objects: tuple[ObjectRow, ...] = ()  # only with an OBJECT


# ---------------------------------------------------------------- plan, diff, apply


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One intended write: from what is observed (*before*) to what is desired (*after*)."""

    op: str  # create | update | recreate | delete | conflict
    object: str
    before: Mapping[str, str] | None = None  # None: does not exist
    after: Mapping[str, str] | None = None  # None: shall not exist
    fields: tuple[str, ...] = ()  # names that differ, of an update or recreate
    origin: str = ""
    by: str = ""  # of a conflict: who holds it, where known


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """One object that cannot be made yet."""

    object: str
    waits_for: tuple[str, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PlanReply:
    """What the next pass would do, in its order. ``diff``, ``plan`` and ``reload`` share it."""

    file: str  # the file that is compared with the kernel
    changes: tuple[ChangeRow, ...] = ()
    blocked: tuple[BlockedRow, ...] = ()
    conflicts: tuple[ChangeRow, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """What came of one change."""

    op: str
    object: str
    result: str  # done | failed | skipped
    error: str = ""  # of a failed one
    skipped_for: tuple[str, ...] = ()  # these failed before it


@dataclass(frozen=True, slots=True)
class ApplyReply:
    """One full pass that was waited for; also the answer of ``down``."""

    converged: bool  # the kernel is now what was asked for
    number: int
    duration_ms: float
    outcomes: tuple[OutcomeRow, ...] = ()
    blocked: tuple[BlockedRow, ...] = ()
    conflicts: tuple[ChangeRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ReloadReply:
    """The file was read, accepted and put to work; *plan* is what that led to."""

    plan: PlanReply
    confirm_s: float | None = None  # undone after this, unless ``confirm`` comes


@dataclass(frozen=True, slots=True)
class ConfirmReply:
    """The last reload stays."""

    file: str


# ---------------------------------------------------------------- show, leases, why


@dataclass(frozen=True, slots=True)
class Resource:
    """One object with its controllable values."""

    object: str
    kind: str
    spec: Mapping[str, str]
    owned: bool = True  # observed only: it carries our mark
    origin: str = ""  # desired only


@dataclass(frozen=True, slots=True)
class ShowReply:
    """Resources, sorted by kind and name."""

    which: str  # desired | observed
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One DHCP client. Without a lease, *address* is empty and *state* says how far it is."""

    link: str
    state: str  # selecting | requesting | bound | renewing | rebinding | rebooting | …
    parent: str = ""
    mac: str = ""
    address: str = ""  # "10.8.0.5/16"
    gateway: str = ""
    server: str = ""
    bound: str = ""  # when
    renew_in_s: float | None = None  # None: never (an endless lease), or no lease
    rebind_in_s: float | None = None
    expires_in_s: float | None = None
    dns: tuple[str, ...] = ()
    domain: str = ""
    mtu: int | None = None  # bytes
    routes: tuple[str, ...] = ()  # "10.0.0.0/8 via 10.8.0.1"
    detail: str = ""  # the last refusal or what is tried next, in words


@dataclass(frozen=True, slots=True)
class LeasesReply:
    """Every DHCP client neod runs, by link."""

    leases: tuple[LeaseRow, ...] = ()


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One thing that happened: a change neod made or wanted to make, or a change of its own state."""

    seq: int  # counts up by one; a gap means records were lost
    time: str  # ISO 8601 with milliseconds and offset
    what: str  # created | changed | removed | recreated | repaired | failed | conflict | contested | lease | …
    object: str = ""
    op: str = ""  # create | update | recreate | delete | conflict
    drift: str = ""  # missing | modified | orphan: somebody else did it; empty: the file or a lease asked for it
    by: str = ""  # who made the drift: "ip[812]"
    error: str = ""
    duration_ms: float | None = None  # from the kernel's event, or the start of the pass, to done
    cause: str = ""  # what woke the pass
    detail: str = ""  # in words: "mtu: 1400 → 1500"


@dataclass(frozen=True, slots=True)
class EventsReply:
    """Some records, oldest first; one of several replies."""

    events: tuple[EventRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedRow:
    """Something the object needs, and how that is."""

    object: str
    phase: str


@dataclass(frozen=True, slots=True)
class WhyReply:
    """Why one object is there, or should be, or is as it is."""

    object: str
    phase: str
    reason: str = ""
    file: str = ""
    table: str = ""  # "macvlans.neo"
    line: int = 0  # from 1; 0: no line says it (a default, or not desired)
    text: str = ""  # that line
    lease: str = ""  # what a lease contributed, in words
    desired: Mapping[str, str] | None = None
    observed: Mapping[str, str] | None = None
    owned: bool = True  # False: observed, without our mark
    needs: tuple[NeedRow, ...] = ()
    drift: Drift | None = None
    actions: tuple[EventRecord, ...] = ()  # the last on this object, oldest first


# ---------------------------------------------------------------- wait, pause


@dataclass(frozen=True, slots=True)
class WaitReply:
    """What was waited for has come."""

    converged: bool  # False with --any: at least one path is ready
    waited_s: float
    paths: tuple[str, ...] = ()  # names of those that are ready


@dataclass(frozen=True, slots=True)
class ModeReply:
    """The mode after ``pause`` or ``resume``."""

    mode: str  # running | paused | down
    until: str = ""  # end of the pause; empty: until ``resume``
    changes: Mapping[str, int] = field(default_factory=dict)  # drift by phase that waits for ``resume``
