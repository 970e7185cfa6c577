"""The answer to ``doctor``. See ``replies``."""

from dataclasses import dataclass


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
