"""``Doctor``: what kernel and host allow."""

from dataclasses import dataclass
from typing import Protocol

from neod.control.verb import Right, Server, verb


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One thing that was looked at."""

    name: str  # "link drivers"
    state: str  # ok | warning | problem
    evidence: str  # what was seen
    remedy: str = ""  # what to do about it; empty where nothing is to be done


@dataclass(frozen=True, slots=True)
class DoctorReply:
    """All probes, the worst first."""

    healthy: bool  # nothing is a problem
    probes: tuple[ProbeRow, ...] = ()


class DoctorVerbs(Protocol):
    """The verb on what kernel and host allow."""

    @verb(Right.READ, write_if="server")
    async def doctor(self, server: Server | None = None) -> DoctorReply:
        """What kernel and host allow, with evidence and remedy; with a server, connect to it too. For writers then."""
        ...
