"""The answers to ``show``, ``leases``, ``why``, ``events``, ``wait`` and ``pause``. See ``replies``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from neod.control.reply_status import Drift


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
