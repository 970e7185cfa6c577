"""What probes look at and what they find. Plain values: the daemon fills them in, or a test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neod.netlink.host_links import HostLink

OK, WARNING, PROBLEM = "ok", "warning", "problem"
ORDER: Final = {PROBLEM: 0, WARNING: 1, OK: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a probe found."""

    probe: str
    verdict: str  # fine | warning | fault
    evidence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ProbedPath:
    """One address that is to be a path."""

    name: str  # of its link
    address: str
    parent: str = ""  # the NIC below; empty where it is one


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What the probes may look at. Plain values: the daemon fills it in, or a test."""

    proc: Path = Path("/proc")
    paths: tuple[ProbedPath, ...] = ()
    silent_nics: tuple[str, ...] = ()  # that do not answer for the addresses of macvlans above them
    host_links: tuple[HostLink, ...] = ()  # everybody's
    manager: str = "kernel"  # of the file: kernel | neod
    unmanageable: str = ""  # why neod cannot be the path manager
    endpoints: tuple[tuple[str, int, bool], ...] = ()  # address, id, ours
    in_the_way: tuple[str, ...] = ()  # of translation, on this host
    waiting: tuple[str, ...] = ()  # what parts of the file wait for, leases above all, and why
    mode: str = "running"  # | paused | down
    marks: str = ""  # which bits of marks are ours, and who has which
    server: tuple[str, int] | None = None  # to try, if the user named one
