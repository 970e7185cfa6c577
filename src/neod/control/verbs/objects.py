"""Objects one by one: ``Show``, ``Leases`` and ``Why``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from neod.control.errors import NoSuchObject
from neod.control.verb import Right, Text, one_of, verb
from neod.control.verbs.events import EventRecord
from neod.control.verbs.status import ConditionRow, Drift, ObjectRow


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
class DhcpClientRow:
    """One DHCP client, with or without a lease."""

    link: str
    state: str  # selecting | requesting | bound | renewing | rebinding | rebooting | …
    parent: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True)
class LeaseRow(DhcpClientRow):
    """A client and its lease. Without a lease, *address* is empty and *state* says how far it is."""

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
    detail: str = ""  # the last error or the next attempt, human-readable
    left_out: tuple[str, ...] = ()  # what the server said beside, and why it cannot be


@dataclass(frozen=True, slots=True)
class LeasesReply:
    """Every DHCP client neod runs, by link."""

    leases: tuple[LeaseRow, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedRow:
    """Something the object needs, and how that is."""

    object: str
    phase: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the file asks for one object."""

    object: str
    phase: str
    reason: str = ""
    file: str = ""
    table: str = ""  # "macvlans.neo"
    line: int = 0  # from 1; 0: no line says it (a default, or not desired)
    text: str = ""  # that line


@dataclass(frozen=True, slots=True)
class WhyReply(Asked):
    """Why one object is there, or should be, or is as it is."""

    lease: str = ""  # what a lease contributed, human-readable
    desired: Mapping[str, str] | None = None
    observed: Mapping[str, str] | None = None
    owned: bool = True  # False: observed, without our mark
    needs: tuple[NeedRow, ...] = ()
    drift: Drift | None = None
    actions: tuple[EventRecord, ...] = ()  # the last on this object, oldest first
    conditions: tuple[ConditionRow, ...] = ()  # of the path that it belongs to
    also: tuple[ObjectRow, ...] = ()  # what else the name stands for, the first of it


class ObjectVerbs(Protocol):
    """Verbs on single objects."""

    @verb(Right.READ, NoSuchObject)
    async def show(self, which: Annotated[str, one_of("desired", "observed")], kind: Text | None = None) -> ShowReply:
        """The resources, "desired" or "observed", of one kind or all.

        Observed is what was read last. ``NoSuchObject``: there is no such kind.
        """
        ...

    @verb(Right.READ)
    async def leases(self) -> LeasesReply:
        """Every DHCP client.

        With or without a lease, by link.
        """
        ...

    @verb(Right.READ, NoSuchObject)
    async def why(self, object: Text) -> WhyReply:
        """Why one object is as it is.

        The line of the file, the lease, its needs and the last actions.
        *object* is any name or number that a reply shows. Of one that stands
        for several objects, the most telling: what has a drift, or waits,
        else the link; the others are in ``also``. A race and what is no more
        have a name, too: their phases are "neo-race" and "absent".
        """
        ...
