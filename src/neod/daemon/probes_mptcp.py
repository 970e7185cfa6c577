"""What ``neodctl doctor`` asks about MPTCP: probes of kernel, paths and the way, each with evidence and remedy.

A probe is a function of a ``Scene`` that yields findings; none changes
anything. ``TO_SERVER`` are those that open connections to a server that the
user named; they block for some seconds and belong in a thread.
"""

import errno
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from neod.mptcp import MOST_ENDPOINTS

IPPROTO_MPTCP: Final = 262
SOL_MPTCP: Final = 284
MPTCP_INFO: Final = 1
INFO_FLAGS: Final = Struct("=8xI")
FALLBACK, KEY_RECEIVED = 1, 2
PATIENCE_S: Final = 3.0
FALLBACKS: Final = {
    "MPCapableFallbackACK": "a server or something on the way answered MP_CAPABLE and then dropped MPTCP",
    "MPCapableFallbackSYNACK": "servers answered without MP_CAPABLE: they do not speak MPTCP, or it is stripped",
    "MPFallbackTokenInit": "connections were begun as MPTCP and could not be",
    "DSSNotMatching": "a middlebox changes sequence numbers or payload",
    "InfiniteMapRx": "peers fell back to TCP in the middle of a connection",
    "MPJoinSynAckHMacFailure": "joins were answered with a wrong key: a middlebox answers for the server",
    "MPTCPRstRx": "peers closed subflows with a reason",
}
"""Counters of /proc/net/netstat that say that something does not let MPTCP through."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a probe found."""

    probe: str
    verdict: str  # fine | warning | fault
    evidence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class PathSeen:
    """One address that is to be a path."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What the probes may look at. Plain values: the daemon fills it in, or a test."""

    proc: Path = Path("/proc")
    paths: tuple[PathSeen, ...] = ()
    manager: str = "kernel"  # of the file: kernel | neod
    unmanageable: str = ""  # why neod cannot be the path manager
    endpoints: tuple[tuple[str, int, bool], ...] = ()  # address, id, ours
    server: tuple[str, int] | None = None  # to try, if the user named one


Probe = Callable[[Scene], Iterator[Finding]]


def kernel_speaks(scene: Scene) -> Iterator[Finding]:
    """Is there MPTCP, is it switched on, and is the path manager the one of the file?"""
    root = scene.proc / "sys/net/mptcp"
    if not root.is_dir():
        yield Finding("mptcp kernel", "fault", "no /proc/sys/net/mptcp", "use a kernel with CONFIG_MPTCP")
        return
    if _read(root / "enabled") != "1":
        remedy = "neod sets it where an address has mptcp flags; otherwise: sysctl net.mptcp.enabled=1"
        yield Finding("mptcp kernel", "fault", f"net.mptcp.enabled = {_read(root / 'enabled')}", remedy)
    else:
        manager = _read(root / "path_manager") or f"pm_type {_read(root / 'pm_type')}"
        yield Finding("mptcp kernel", "fine", f"enabled, path manager {manager}, scheduler {_read(root / 'scheduler')}")
    if scene.manager == "neod" and scene.unmanageable:
        remedy = 'use a kernel of 5.19 or newer, or write path_manager = "kernel"'
        yield Finding("mptcp path manager", "fault", scene.unmanageable, remedy)


def slots(scene: Scene) -> Iterator[Finding]:
    """Do endpoints of others take the kernel's eight slots?"""
    foreign = [f"{address} id {number}" for address, number, ours in scene.endpoints if not ours]
    if foreign and scene.manager == "kernel":
        told = f"{len(foreign)} of {MOST_ENDPOINTS} endpoints are not neo's: {', '.join(foreign[:8])}"
        remedy = "find who makes them: NetworkManager (connection.mptcp-flags 0x1 switches it off), mptcpd, a script"
        yield Finding("mptcp endpoints", "warning", told, remedy)
    elif scene.manager == "kernel" and len(scene.paths) > MOST_ENDPOINTS:
        told = f"{len(scene.paths)} addresses for {MOST_ENDPOINTS} endpoints"
        yield Finding("mptcp endpoints", "warning", told, 'write [mptcp] path_manager = "neod" to use all of them')
    else:
        yield Finding("mptcp endpoints", "fine", f"{len(scene.endpoints)} endpoints")


def fallbacks(scene: Scene) -> Iterator[Finding]:
    """Do the kernel's counters say that something on the way strips MPTCP?"""
    counters = mptcp_counters(_text(scene.proc / "net/netstat"))
    seen = {name: counters[name] for name in FALLBACKS if counters.get(name)}
    for name, number in seen.items():
        remedy = "see which with: neodctl doctor --server ADDRESS:PORT; a relay or another port may be let through"
        yield Finding("mptcp fallback", "warning", f"{name} = {number}: {FALLBACKS[name]}", remedy)
    if not seen:
        yield Finding("mptcp fallback", "fine", "no connection fell back to TCP")


def one_gateway_mac(scene: Scene) -> Iterator[Finding]:
    """Do several neighbours of one link claim one MAC, or one neighbour several: proxy ARP, or ARP flux?"""
    by_ip: defaultdict[str, set[str]] = defaultdict(set)
    for line in _text(scene.proc / "net/arp").splitlines()[1:]:
        words = line.split()
        if len(words) >= 6 and words[3] != "00:00:00:00:00:00":
            by_ip[words[0]].add(words[3])
    flux = {ip: macs for ip, macs in by_ip.items() if len(macs) > 1}
    for ip, macs in flux.items():
        told = f"{ip} answers with {len(macs)} MACs: {', '.join(sorted(macs))}"
        remedy = "two hosts have this address, or one answers for all its interfaces (arp_ignore = 1 there)"
        yield Finding("arp", "warning", told, remedy)
    if not flux:
        yield Finding("arp", "fine", f"{len(by_ip)} neighbours, each with one MAC")


def server_speaks(scene: Scene) -> Iterator[Finding]:
    """Does the named server speak MPTCP with every address; do packets of every address return?"""
    if scene.server is None:
        return
    for path in scene.paths:
        yield try_server(path, scene.server)


def try_server(path: PathSeen, server: tuple[str, int]) -> Finding:
    """Open one MPTCP connection from *path* to *server* and say what came of it. Blocks for seconds at most."""
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    name = f"mptcp from {path.name}"
    try:
        with socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP) as sock:
            sock.settimeout(PATIENCE_S)
            sock.bind((path.address, 0))
            sock.connect(server)
            flags = _flags_of(sock)
    except OSError as error:
        return Finding(name, "fault", f"{path.address} → {server[0]}:{server[1]}: {_why(error)}", _remedy(error))
    if flags & FALLBACK or not flags & KEY_RECEIVED:
        told = f"{path.address} → {server[0]}:{server[1]}: connected, but as plain TCP"
        remedy = "the server does not listen with MPTCP (see: ss -M), or this way strips it: try a relay"
        return Finding(name, "fault", told, remedy)
    return Finding(name, "fine", f"{path.address} → {server[0]}:{server[1]} speaks MPTCP")


def _flags_of(sock: socket.socket) -> int:
    """Return the flags of a connection; FALLBACK where the kernel has handed it to TCP and tells no more."""
    try:
        flags: int = INFO_FLAGS.unpack_from(sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 128))[0]
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return FALLBACK
        raise
    return flags


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE_S:g} s"
    return error.strerror or str(error)


def _remedy(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "packets leave or return nowhere: the network knows this lease by another port, or filters its source"
    return {
        errno.ECONNREFUSED: "nothing listens there: check address and port",
        errno.EADDRNOTAVAIL: "the address is not on this host now: see neodctl status",
        errno.ENETUNREACH: "its table has no way there: see neodctl status",
        errno.EHOSTUNREACH: "its gateway does not answer: see ip neighbour",
        errno.ENOPROTOOPT: "this kernel does not tell; 5.16 or newer does",
    }.get(error.errno or 0, "see ip route get to the server from this address")


def mptcp_counters(netstat: str) -> Mapping[str, int]:
    """Return the counters of MPTCP in the text of /proc/net/netstat."""
    lines = [line.split() for line in netstat.splitlines() if line.startswith("MPTcpExt:")]
    if len(lines) < 2:
        return {}
    return dict(zip(lines[0][1:], map(int, lines[1][1:]), strict=False))


def _read(path: Path) -> str:
    return _text(path).strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


PROBES: Final[tuple[Probe, ...]] = (kernel_speaks, slots, fallbacks, one_gateway_mac)
TO_SERVER: Final[tuple[Probe, ...]] = (server_speaks,)
